//! What requests may say, and what is said of those that are wrong.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_heard() {
    let repo = Repo::new(&["bolt"]);
    let (_app, mut client) = start(&repo).await;
    let pixels = models::bad(2, 48, 32, PixelFormat::Rgb8);
    let frame = request(tensor("image", "UINT8", &[1, 32, 48, 3]), Some(pixels.clone()));
    let text = |text: &str| Choice::StringParam(text.to_owned());
    let verdict = async |client: &mut Client<Channel>, parameters: &[(&str, Choice)]| {
        let request = with(frame.clone(), &["anomalous", "regions"], parameters);
        let response = client.model_infer(request).await?.into_inner();
        let regions = regions((response.outputs[1].clone(), response.raw_output_contents[1].to_vec()));
        Ok::<_, Status>((response.raw_output_contents[0][0] == 1, regions[0].len()))
    };
    assert_eq!(verdict(&mut client, &[]).await.unwrap(), (false, 0));
    let (anomalous, regions) = verdict(&mut client, &[("epsilon", Choice::DoubleParam(EPSILON))]).await.unwrap();
    assert!(anomalous && regions > 0);
    assert_eq!(verdict(&mut client, &[("epsilon", text("1e300"))]).await.unwrap(), (anomalous, regions));
    assert!(!verdict(&mut client, &[("epsilon", Choice::Int64Param(2))]).await.unwrap().0);
    let all = [("epsilon", text("1e300")), ("min_area", Choice::Int64Param(1_000_000))];
    assert_eq!(verdict(&mut client, &all).await.unwrap(), (false, 0));
    let score = |threshold| [("verdict", text("score")), ("score_threshold", Choice::DoubleParam(threshold))];
    assert!(verdict(&mut client, &score(0.0)).await.unwrap().0);
    assert!(!verdict(&mut client, &score(1.0)).await.unwrap().0);
    let ignored = [
        ("priority", Choice::Uint64Param(1)),
        ("timeout", Choice::Int64Param(0)),
        ("bound", text("chernoff")),
        // What Triton's and KServe's clients send.
        ("sequence_id", Choice::Int64Param(3)),
        ("sequence_start", Choice::BoolParam(true)),
        ("sequence_end", Choice::BoolParam(true)),
        ("binary_data_output", Choice::BoolParam(true)),
        ("triton_enable_empty_final_response", Choice::BoolParam(false)),
    ];
    assert_eq!(verdict(&mut client, &ignored).await.unwrap(), (false, 0));
    assert!(verdict(&mut client, &[("bound", text("exact"))]).await.unwrap().0, "the exact probability is lower");
    let late = verdict(&mut client, &[("timeout", Choice::Int64Param(1))]).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    for (name, choice, expected) in [
        ("epsilon", Choice::BoolParam(true), "epsilon: it is the boolean true; give a number"),
        ("epsilon", text("much"), "epsilon: it is the text `much`; give a number"),
        ("epsilon", Choice::DoubleParam(-1.0), "epsilon: must be a number above 0"),
        ("verdict", text("maybe"), "verdict: `maybe` is not one of nfa, score, both, either"),
        ("verdict", Choice::Int64Param(1), "verdict: it is the integer 1; give one of its names"),
        ("score_threshold", Choice::DoubleParam(1.5), "score_threshold: must be from 0 to 1, not 1.5"),
        ("score_threshold", Choice::DoubleParam(f64::NAN), "score_threshold: must be from 0 to 1, not NaN"),
        ("score_threshold", text(""), "score_threshold: it is the text ``; give a number"),
        ("min_area", Choice::DoubleParam(1.5), "min_area: it is the number 1.5; give an integer from 0"),
        ("min_area", Choice::Int64Param(1 << 40), "min_area: 1099511627776 is not 0 to 4294967295"),
        ("bound", text("tight"), "bound: `tight` is not one of chernoff, exact"),
        ("tests", text("all"), "tests: `all` is not one of paper, sized"),
        ("tests", text("sized"), "tests: `sized` needs a null hypothesis calibrated on good images"),
        ("priority", text("high"), "priority: it is the text `high`; give an integer from 0"),
        ("timeout", Choice::Int64Param(-1), "timeout: it is the integer -1; give an integer from 0"),
        (
            "Epsilon",
            Choice::DoubleParam(1.0),
            "parameters: there is no parameter `Epsilon`; a request has epsilon, reject_rate, verdict, score_threshold, \
             min_area, bound, tests, significant_bits, priority, timeout, triton_enable_empty_final_response",
        ),
        ("triton_enable_empty_final_response", text("yes"), "triton_enable_empty_final_response: it is the text `yes`"),
    ] {
        let status = verdict(&mut client, &[(name, choice)]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with(expected), "{status}");
    }
}

/// A request that is wrong in one thing, and what the answer must say of it.
fn wrong() -> Vec<(ModelInferRequest, &'static str)> {
    let image =
        |datatype: &str, shape: &[i64], bytes: usize| request(tensor("image", datatype, shape), Some(vec![0; bytes]));
    let change = |change: fn(&mut ModelInferRequest)| {
        let mut request = small();
        change(&mut request);
        request
    };
    let bytes = |shape: &[i64], raw: &[u8]| request(tensor("encoded_image", "BYTES", shape), Some(raw.to_vec()));
    let no_output =
        "outputs: there is no output `heat`; there are score, score_max, anomalous, log10_nfa_min, p_value,";
    vec![
        (change(|request| request.model_name.clear()), "model_name: no model is named"),
        (change(|request| request.model_version = "one".to_owned()), "version: `one` is not a decimal number"),
        (with(small(), &["heat"], &[]), no_output),
        (with(small(), &["mask", "mask"], &[]), "outputs: `mask` is asked for twice"),
        (change(|request| request.inputs.clear()), "inputs: no input is given; give one of `image`"),
        (change(|request| request.inputs.push(tensor("image", "UINT8", &[1]))), "inputs: `image` is given twice"),
        (
            change(|request| request.inputs.push(tensor("encoded_image", "BYTES", &[1]))),
            "inputs: both `image` and `encoded_image` are given",
        ),
        (change(|request| request.inputs[0].name = "pixels".to_owned()), "inputs: there is no input `pixels`; give"),
        (image("FP32", &[1, 2, 3, 3], 72), "inputs: `image` has the datatype `FP32`; give one of"),
        (
            request(tensor("encoded_image", "UINT8", &[1, 1, 1, 1]), Some(vec![0])),
            "inputs: `encoded_image` has the datatype",
        ),
        (
            image("UINT8", &[1, 2, 3, 3], 17),
            "inputs: `image` has 17 bytes of pixels; UINT8 of the shape [1, 2, 3, 3] has 18",
        ),
        (image("UINT8", &[2, 3], 6), "inputs: `image` has the shape [2, 3]; use [batch, height, width, channels]"),
        (
            image("UINT8", &[1, 2, 3, 2], 12),
            "inputs: `image` has the shape [1, 2, 3, 2], 2 channels; UINT8 has 1 (grey)",
        ),
        (
            image("UINT16", &[1, 2, 3, 2], 24),
            "inputs: `image` has the shape [1, 2, 3, 2], 2 channels; UINT16 has 1 (grey), 3 (RGB) or 4 (RGBA)",
        ),
        (image("UINT8", &[1, 0, 3, 3], 0), "inputs: `image` has the shape [1, 0, 3, 3]; sizes are 1 to"),
        (image("UINT8", &[1, -1, 3, 3], 9), "inputs: `image` has the shape [1, -1, 3, 3]; sizes are 1 to"),
        (image("UINT8", &[1, i64::MAX, i64::MAX, 3], 9), "inputs: `image` has the shape [1, 9223372036854775807,"),
        (
            image("UINT8", &[4, u32::MAX.into(), u32::MAX.into(), 3], 9),
            "inputs: `image` has 9 bytes of pixels; UINT8 of the shape [4, 4294967295, 4294967295, 3] has more than",
        ),
        (image("UINT8", &[0, 2, 3, 3], 0), "inputs: `image` has the shape [0, 2, 3, 3]; a request has 1 to 64 images"),
        (image("UINT8", &[65, 1, 1, 1], 65), "inputs: `image` has the shape [65, 1, 1, 1]; a request has 1 to 64"),
        (bytes(&[i64::MAX], &[]), "inputs: `encoded_image` has the shape [9223372036854775807]; a request has"),
        (bytes(&[1, 2], &[]), "inputs: `encoded_image` has the shape [1, 2]; BYTES are [batch] or [batch, 1]"),
        (bytes(&[1], &[1, 0]), "inputs: element 0 of `encoded_image` is cut off: 2 bytes are left for its length"),
        (bytes(&[1], &[9, 0, 0, 0, 1]), "inputs: element 0 of `encoded_image` is cut off: it has 9 bytes, 1 are left"),
        (
            bytes(&[1], &[255; 4]),
            "inputs: element 0 of `encoded_image` is cut off: it has 4294967295 bytes, 0 are left",
        ),
        (bytes(&[2], &[0; 4]), "inputs: `encoded_image` has 1 elements; the shape [2] has 2"),
        (bytes(&[1], &[0; 5]), "inputs: `encoded_image` has 1 bytes after the 1 elements of its shape"),
        (
            change(|request| request.inputs[0].contents = Some(uints([1]))),
            "inputs: `image` has typed contents and raw_input_contents too; send one of them",
        ),
        (change(|request| request.raw_input_contents.clear()), "inputs: `image` has no contents; set"),
        (
            change(|request| request.raw_input_contents.push(vec![1].into())),
            "raw_input_contents: there are 2 for 1 input",
        ),
        (
            typed(tensor("image", "UINT8", &[1, 1, 2, 1]), uints([255, 256])),
            "inputs: `image` has 256 at uint_contents[1]; UINT8 is 0 to 255",
        ),
        (
            typed(tensor("image", "UINT8", &[1, 1, 2, 1]), uints([1])),
            "inputs: `image` has 1 bytes of pixels; UINT8 of the shape [1, 1, 2, 1] has 2",
        ),
        (
            typed(tensor("image", "UINT8", &[1, 1, 1, 1]), InferTensorContents { int_contents: vec![1], ..uints([1]) }),
            "inputs: there are contents in other lists than `uint_contents`, which is the one of UINT8",
        ),
        (
            change(|request| {
                request.inputs[0].parameters.insert("shared_memory_region".to_owned(), InferParameter::default());
            }),
            "inputs: `image` is in shared memory",
        ),
        (
            change(|request| {
                request.inputs[0].parameters.insert("gamma".to_owned(), InferParameter::default());
            }),
            "inputs: there is no parameter `gamma`; `image` has no parameters",
        ),
        (
            change(|request| {
                *request = with(request.clone(), &["score"], &[]);
                request.outputs[0].parameters.insert("classification".to_owned(), InferParameter::default());
            }),
            "outputs: there is no parameter `classification`; `score` has no parameters",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said() {
    let repo = Repo::new(&["bolt"]);
    let (app, mut client) = start(&repo).await;
    let cases = wrong();
    let count = cases.len();
    for (request, expected) in cases {
        let status = client.model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with(expected), "{}\n{expected}", status.message());
    }
    let status = client.model_infer(ModelInferRequest { model_name: "nut".to_owned(), ..small() }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = client.model_infer(ModelInferRequest { model_version: "2".to_owned(), ..small() }).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "model `bolt` has no version 2; there are 1"));
    let text = app.engine().metrics().text();
    let line = format!("uflow_requests_total{{code=\"INVALID_ARGUMENT\",model=\"\",protocol=\"oip\"}} {count}");
    assert!(text.contains(&line), "{text}");
    assert!(client.model_infer(small()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_clients_parameters_of_tensors_change_nothing() {
    let repo = Repo::new(&["bolt"]);
    let (_app, mut client) = start(&repo).await;
    let mut request = with(small(), &["score"], &[]);
    request.inputs[0].parameters.insert("binary_data_size".to_owned(), InferParameter::default());
    request.outputs[0].parameters.insert("binary_data".to_owned(), InferParameter::default());
    let with_them = client.model_infer(request).await.unwrap().into_inner();
    let without = client.model_infer(with(small(), &["score"], &[])).await.unwrap().into_inner();
    assert_eq!(with_them.raw_output_contents, without.raw_output_contents);
    assert!(without.parameters.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_final_answer_is_marked_where_that_is_asked_for() {
    let repo = Repo::new(&["bolt"]);
    let (_app, mut client) = start(&repo).await;
    let asking = [("triton_enable_empty_final_response", Choice::BoolParam(true))];
    let marked = |response: &ModelInferResponse| {
        let parameter = response.parameters.get("triton_final_response")?;
        parameter.parameter_choice.clone()
    };
    let one = client.model_infer(with(small(), &[], &asking)).await.unwrap().into_inner();
    assert_eq!(marked(&one), Some(Choice::BoolParam(true)));
    let mut bad = with(small(), &[], &asking);
    bad.model_name = "rivet".to_owned();
    let requests = [with(small(), &[], &asking), small(), bad];
    let answers = client.model_stream_infer(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = tokio_stream::StreamExt::collect::<Vec<_>>(answers).await;
    let found: Vec<_> = (answers.into_iter().map(|answer| answer.unwrap()))
        .map(|answer| (answer.error_message.is_empty(), marked(&answer.infer_response.unwrap())))
        .collect();
    let yes = Some(Choice::BoolParam(true));
    assert_eq!(found, [(true, yes.clone()), (true, None), (false, yes)]);
}
