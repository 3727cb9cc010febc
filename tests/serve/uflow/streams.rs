//! Streams: order, answers in band, the end of the server.

use super::{detection, stream, value};
use crate::server::{MODELS, assert_same, client, detector, sample, start};
use std::collections::BTreeMap;
use tokio_stream::StreamExt;
use tonic::Code;
use uflow::serve::config::Overload;
use uflow::serve::proto::v1::detect_request::Image;
use uflow::serve::proto::v1::detect_response::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_each_frame_once_in_order_and_bad_ones_in_band() {
    let server = start(|settings| settings.stream_overload = Some(Overload::Wait)).await;
    let requests: Vec<_> = (0..200_u64)
        .map(|seed| {
            let mut request = sample(seed).request(seed);
            match seed % 10 {
                3 => request.model = "unknown".to_owned(),
                5 => request.image = Some(Image::Encoded(b"not an image".as_slice().into())),
                7 => request.image = None,
                8 => request.options.as_mut().unwrap().score_threshold = Some(1.5),
                9 => request.options.as_mut().unwrap().epsilon = Some(0.0),
                _ => {}
            }
            request
        })
        .collect();
    let responses = stream(&server, requests).await;
    assert_eq!(responses.len(), 200);
    let mut detectors: BTreeMap<_, _> = MODELS.iter().map(|model| (*model, detector(model))).collect();
    for (seed, response) in responses.iter().enumerate() {
        assert_eq!(response.sequence, seed as u64);
        let expected = match seed % 10 {
            3 => Some((Code::NotFound, "there is no model `unknown`; there are bolt, nut, washer")),
            5 => Some((Code::InvalidArgument, "the encoded frame: cannot be decoded: it is not an image")),
            7 => Some((Code::InvalidArgument, "invalid frame: the request has no frame")),
            8 => Some((Code::InvalidArgument, "score_threshold: must be from 0 to 1, not 1.5")),
            9 => Some((Code::InvalidArgument, "epsilon: must be a number above 0")),
            _ => None,
        };
        match (response.outcome.as_ref().unwrap(), expected) {
            (Outcome::Error(error), Some((code, message))) => {
                assert_eq!(error.code, code as i32);
                assert!(error.message.starts_with(message), "{}", error.message);
            }
            (Outcome::Detection(found), None) => {
                let sample = sample(seed as u64);
                assert_same(found, &sample.expected(detectors.get_mut(sample.model).unwrap()), false);
            }
            other => panic!("frame {seed}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_frames_over_many_streams_keep_their_order_and_numbers() {
    const STREAMS: u64 = 32;
    // 200,000 frames in all in the acceptance run (`make soak`).
    let frames: u64 = if std::env::var_os("UFLOW_SOAK").is_some() { 6_250 } else { 160 };
    let start_of_run = std::time::Instant::now();
    let server = start(|settings| settings.stream_overload = Some(Overload::Wait)).await;
    let mut detectors: BTreeMap<_, _> = MODELS.iter().map(|model| (*model, detector(model))).collect();
    let expected: Vec<_> = (0..60)
        .map(|seed| {
            let sample = sample(seed);
            sample.expected(detectors.get_mut(sample.model).unwrap())
        })
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for stream in 0..STREAMS {
        let mut client = client(&server).await;
        let expected = expected.clone();
        tasks.spawn(async move {
            let requests = (0..frames).map(move |frame| sample((stream * 7 + frame) % 60).request(frame));
            let mut answers = client.detect_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
            let mut next = 0;
            while let Some(answer) = answers.next().await {
                let answer = answer.unwrap();
                assert_eq!(answer.sequence, next);
                let seed = (stream * 7 + next) % 60;
                assert_eq!(answer.model, sample(seed).model);
                assert_same(detection(&answer), &expected[seed as usize], false);
                next += 1;
            }
            next
        });
    }
    let mut answered = 0;
    while let Some(frames) = tasks.join_next().await {
        answered += frames.unwrap();
    }
    assert_eq!(answered, STREAMS * frames);
    println!(
        "{answered} frames over {STREAMS} streams in {:.1} s, each once and in order",
        start_of_run.elapsed().as_secs_f64()
    );
    let metrics = server.app().engine().metrics().text();
    assert!(metrics.contains("uflow_in_flight_frames 0\n"), "{metrics}");
    let shared = value(&metrics, "uflow_batch_models_sum") - value(&metrics, "uflow_batch_models_count");
    assert!(shared > 0.0, "frames of different models never shared a batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_what_was_accepted_and_says_so_to_streams() {
    let server = start(|settings| settings.stream_overload = Some(Overload::Wait)).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = client(&server).await.detect_stream(requests).await.unwrap().into_inner();
    let feeding = tokio::spawn(async move {
        let mut sequence = 0;
        while sender.send(sample(sequence % 60).request(sequence)).await.is_ok() {
            sequence += 1;
        }
    });
    for sequence in 0..50 {
        assert_eq!(answers.next().await.unwrap().unwrap().sequence, sequence);
    }
    let stopping = tokio::spawn(server.stop());
    let mut next = 50;
    let end = loop {
        match answers.next().await {
            Some(Ok(answer)) => {
                assert_eq!(answer.sequence, next);
                assert!(matches!(answer.outcome, Some(Outcome::Detection(_))));
                next += 1;
            }
            Some(Err(status)) => break status,
            None => panic!("the stream ended without a word"),
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    assert!(stopping.await.unwrap());
    feeding.abort();
}
