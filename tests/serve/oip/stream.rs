//! Streams of requests.

use tokio_stream::StreamExt;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_in_order_and_a_bad_request_in_band() {
    let repo = Repo::new(&["bolt", "nut"]);
    let (_app, mut client) = start(&repo).await;
    let count = 40;
    let requests = (0..count).map(|index: usize| {
        let mut request = if index.is_multiple_of(3) {
            request(tensor("image", "BYTES", &[1]), Some(prefixed(&[png(index as u64, 300, 200)])))
        } else {
            small()
        };
        request.id = index.to_string();
        match index % 10 {
            4 => request.inputs[0].shape[0] = 9,
            5 => request.model_name = "rivet".to_owned(),
            6 => request.model_name = "nut".to_owned(),
            _ => {}
        }
        request
    });
    let requests: Vec<_> = requests.collect();
    let answers = client.model_stream_infer(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), count);
    for (index, answer) in answers.into_iter().enumerate() {
        let response = answer.infer_response.unwrap();
        assert_eq!(response.id, index.to_string());
        let error = answer.error_message;
        match index % 10 {
            4 => assert!(error.starts_with("inputs: ") && response.outputs.is_empty(), "{error}"),
            5 => assert!(error.starts_with("there is no model `rivet`; there are bolt, nut"), "{error}"),
            number => {
                assert_eq!((error.as_str(), response.outputs.len()), ("", 6));
                assert_eq!(response.model_name, if number == 6 { "nut" } else { "bolt" });
            }
        }
    }
}
