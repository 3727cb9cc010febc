//! `uflow.v1` as clients see it: one frame, streams, models, limits, health and reflection.

use std::{collections::BTreeMap, time::Duration};

use crate::server::{self, MODELS, Sample, assert_same, channel, client, detector, model_client, sample, start};
use ndarray::Array2;
use tokio_stream::StreamExt;
use tonic::{Code, codec::CompressionEncoding};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tower::Service;
use uflow::serve::{
    config::{ModelControl, Overload},
    proto::v1::{
        self, DetectRequest, DetectResponse, GetModelRequest, ListModelsRequest, LoadModelRequest, MapFormat,
        MaskFormat, ModelState, Outputs, UnloadModelRequest, detect_request::Image, detect_response::Outcome,
    },
};

fn detection(response: &DetectResponse) -> &v1::Detection {
    match response.outcome.as_ref().unwrap() {
        Outcome::Detection(detection) => detection,
        Outcome::Error(error) => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_frame_gives_the_detector_s_numbers_and_what_was_asked_for() {
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let mut regions = 0;
    for seed in 0..24 {
        let sample = sample(seed);
        let mut detector = detector(sample.model);
        let expected = sample.expected(&mut detector);
        let mut request = sample.request(seed);
        request.timestamp = Some(prost_types::Timestamp { seconds: 5, nanos: seed as i32 });
        let plain = client.detect(request.clone()).await.unwrap().into_inner();
        assert_eq!((plain.sequence, plain.model.as_str(), plain.version), (seed, sample.model, 1));
        assert_eq!(plain.timestamp.unwrap().nanos, seed as i32);
        assert_same(detection(&plain), &expected, true);
        let nothing = detection(&plain);
        assert!(
            nothing.mask.is_none()
                && nothing.score_map.is_none()
                && nothing.log10_nfa_map.is_none()
                && nothing.latents.is_empty()
        );
        assert_eq!((nothing.width, nothing.height), (sample.width, sample.height));
        let timings = plain.timings.unwrap();
        assert_eq!(timings.batch_size, 1);
        assert_eq!(timings.decode_ms > 0.0, sample.encoded);
        assert!(timings.network_ms > 0.0 && timings.total_ms >= timings.network_ms + timings.segmentation_ms);

        request.outputs = Some(Outputs {
            mask: MaskFormat::Raw.into(),
            score_map: MapFormat::F32.into(),
            log10_nfa_map: MapFormat::F32.into(),
            latents: true,
        });
        let all = client.detect(request).await.unwrap().into_inner();
        let found = detection(&all);
        assert_eq!(found.mask.as_ref().unwrap().data, detector.mask().iter().copied().collect::<Vec<_>>());
        let maps = detector.maps().unwrap();
        assert_eq!(floats(&found.score_map.as_ref().unwrap().data), maps.score.iter().copied().collect::<Vec<_>>());
        assert_eq!(
            floats(&found.log10_nfa_map.as_ref().unwrap().data),
            maps.log10_nfa.iter().copied().collect::<Vec<_>>()
        );
        let shapes: Vec<_> = detector.manifest().scales.iter().map(|scale| scale.latents.len() * 4).collect();
        assert_eq!(found.latents.iter().map(|z| z.data.len()).collect::<Vec<_>>(), shapes);
        regions += found.regions.len();
    }
    assert!(regions > 0);
    assert!(server.stop().await);
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_and_maps_come_in_every_format() {
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let sample = sample(3);
    let mut ask = async |mask: MaskFormat, map: MapFormat| {
        let mut request = sample.request(1);
        request.outputs = Some(Outputs { mask: mask.into(), score_map: map.into(), ..Outputs::default() });
        let response = client.detect(request).await.unwrap().into_inner();
        let found = detection(&response);
        (found.mask.clone().unwrap(), found.score_map.clone().unwrap())
    };
    let (raw, exact) = ask(MaskFormat::Raw, MapFormat::F32).await;
    let (png, half) = ask(MaskFormat::Png, MapFormat::F16).await;
    let (rle, levels) = ask(MaskFormat::Rle, MapFormat::Png).await;
    assert!(raw.data.contains(&1) && raw.data.contains(&0), "a mask of one value proves nothing");
    let picture = image::load_from_memory(&png.data).unwrap().into_luma8();
    assert_eq!(picture.dimensions(), (sample.width, sample.height));
    assert!(picture.iter().zip(&raw.data).all(|(&pixel, &inside)| pixel == 255 * inside));
    let runs: Vec<u8> =
        rle.runs.iter().enumerate().flat_map(|(index, &run)| vec![(index % 2) as u8; run as usize]).collect();
    assert_eq!(runs, raw.data);
    let exact = floats(&exact.data);
    let half: Vec<f32> =
        half.data.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect();
    assert!(exact.iter().zip(half).all(|(a, b)| (a - b).abs() < 1e-3));
    let picture = image::load_from_memory(&levels.data).unwrap().into_luma16();
    for (value, level) in exact.iter().zip(picture.iter()) {
        let back = levels.minimum + f32::from(*level) / 65_535.0 * (levels.maximum - levels.minimum);
        assert!((value - back).abs() < 1e-4);
    }
}

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

async fn stream(server: &uflow::serve::Server, requests: Vec<DetectRequest>) -> Vec<DetectResponse> {
    let stream = client(server).await.detect_stream(tokio_stream::iter(requests)).await.unwrap();
    stream.into_inner().map(|response| response.unwrap()).collect().await
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

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_or_makes_streams_wait() {
    let requests = || (0..64).map(|seed| sample(seed).request(seed)).collect::<Vec<_>>();
    let refusing = start(|settings| {
        (settings.max_in_flight, settings.workers, settings.stream_window) = (Some(1), Some(1), Some(1));
    })
    .await;
    let answers = stream(&refusing, requests()).await;
    let refused = answers.iter().filter(
        |answer| matches!(&answer.outcome, Some(Outcome::Error(error)) if error.code == Code::ResourceExhausted as i32),
    );
    assert!(refused.count() > 0, "frames beyond the window are refused when the server is full");
    assert!(refusing.app().engine().metrics().text().contains("outcome=\"refused\""), "refusals are counted");
    let sequences: Vec<_> = answers.iter().map(|answer| answer.sequence).collect();
    assert_eq!(sequences, (0..64).collect::<Vec<_>>(), "refusals keep the order");

    let waiting = start(|settings| {
        (settings.max_in_flight, settings.stream_overload) = (Some(1), Some(Overload::Wait));
    })
    .await;
    assert!(
        stream(&waiting, requests()).await.iter().all(|answer| matches!(answer.outcome, Some(Outcome::Detection(_))))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_end_frames() {
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let mut request = sample(1).request(1);
    request.time_limit = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let status = client.detect(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    request.time_limit = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let status = client.detect(request.clone()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "time_limit: it must be above 0"));
    for seconds in [60, i64::MAX] {
        request.time_limit = Some(prost_types::Duration { seconds, nanos: 0 });
        assert!(client.detect(request.clone()).await.is_ok(), "{seconds}");
    }
    // On a stream a limit is a frame's own.
    let requests = (0..3).map(|sequence| DetectRequest { sequence, ..request.clone() });
    let answers = stream(&server, requests.collect()).await;
    assert!(answers.iter().all(|answer| matches!(answer.outcome, Some(Outcome::Detection(_)))));
}

/// A picture that takes a while to decode.
fn large_png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(5000, 5000).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_late_is_counted_as_late() {
    let server = start(|_| {}).await;
    let image = Some(Image::Encoded(large_png().into()));
    let mut request = tonic::Request::new(DetectRequest { image, ..sample(0).request(0) });
    request.set_timeout(Duration::from_millis(5));
    // Which of the two sides ends it first is a race that either may win.
    let status = client(&server).await.detect(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    let counted = || server.app().engine().metrics().text();
    for _ in 0..500 {
        if counted().contains("uflow_requests_total{code=\"DEADLINE_EXCEEDED\",model=\"bolt\"") {
            return assert!(!counted().contains("CANCELLED"), "{}", counted());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{}", counted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_high_priority_has_a_place_in_a_full_server() {
    let server = start(|settings| {
        (settings.max_in_flight, settings.workers) = (Some(2), Some(1));
        settings.stream_overload = Some(Overload::Wait);
    })
    .await;
    let busy = client(&server).await;
    let feeding: Vec<_> = (0..4)
        .map(|_| {
            let mut client = busy.clone();
            tokio::spawn(async move {
                let requests = tokio_stream::iter((0..).map(|sequence| sample(sequence % 60).request(sequence)));
                let mut answers = client.detect_stream(requests).await.unwrap().into_inner();
                while let Some(Ok(answer)) = answers.next().await {
                    // Those that wait for their turn get it, whatever goes before them.
                    assert!(matches!(answer.outcome, Some(Outcome::Detection(_))), "{answer:?}");
                }
            })
        })
        .collect();
    let mut client = client(&server).await;
    let mut refused = 0;
    for sequence in 0..200 {
        let normal = sample(1).request(sequence);
        let high = DetectRequest { priority: v1::Priority::High.into(), ..normal.clone() };
        assert!(client.detect(high).await.is_ok());
        refused += u32::from(client.detect(normal).await.is_err());
    }
    for task in feeding {
        assert!(!task.is_finished(), "{:?}", task.await);
        task.abort();
    }
    assert!(refused > 0, "the server was not full");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_wrong_say_what_and_where() {
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let base = || sample(1).request(1);
    let raw = |change: fn(&mut v1::RawImage)| {
        let mut raw = sample(1).raw();
        change(&mut raw);
        DetectRequest { image: Some(Image::Raw(raw)), ..base() }
    };
    let cases = [
        (DetectRequest { model: String::new(), ..base() }, Code::InvalidArgument, "model: "),
        (DetectRequest { model: "../bolt".to_owned(), ..base() }, Code::NotFound, "there is no model `../bolt`"),
        (DetectRequest { version: 7, ..base() }, Code::NotFound, "model `nut` has no version 7; there are 1"),
        (raw(|raw| raw.width = 0), Code::InvalidArgument, "invalid frame: 0×"),
        (raw(|raw| raw.height = u32::MAX), Code::InvalidArgument, "size of the frame is over the limit"),
        (raw(|raw| raw.stride = 1), Code::InvalidArgument, "invalid frame: "),
        (raw(|raw| raw.format = 0), Code::InvalidArgument, "invalid frame: raw.format"),
        (raw(|raw| raw.format = 99), Code::InvalidArgument, "raw.format: 99"),
        (DetectRequest { priority: 9, ..base() }, Code::InvalidArgument, "priority: 9"),
        (
            DetectRequest { outputs: Some(Outputs { mask: 17, ..Outputs::default() }), ..base() },
            Code::InvalidArgument,
            "outputs.mask: 17",
        ),
        (
            DetectRequest {
                options: Some(v1::DetectOptions { roi: b"xx".as_slice().into(), ..v1::DetectOptions::default() }),
                ..base()
            },
            Code::InvalidArgument,
            "the region of interest: cannot be decoded",
        ),
    ];
    for (request, code, message) in cases {
        let status = client.detect(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().starts_with(message), "{}", status.message());
    }
    assert!(client.detect(base()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_interest_that_is_needlessly_large_is_refused() {
    let server = start(|_| {}).await;
    let mut request = sample(1).request(1);
    request.options = Some(v1::DetectOptions { roi: large_png().into(), ..v1::DetectOptions::default() });
    let status = client(&server).await.detect(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("25000000 > 16777216 pixels"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_interest_of_another_shape_is_refused() {
    let server = start(|_| {}).await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(1000, 10, image::Luma([255])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let mut request = sample(0).request(1);
    request.options.as_mut().unwrap().roi = png.into_inner().into();
    let status = client(&server).await.detect(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("the mask is 1000×10 and the frame 48×32"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_interest_and_options_hold_for_their_request_only() {
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let sample = Sample { model: "bolt", ..sample(0) };
    let mut detector = detector("bolt");
    let roi = Array2::from_shape_fn((8, 12), |(y, _)| if y < 2 { 255_u8 } else { 0 });
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::from_raw(12, 8, roi.iter().copied().collect()).unwrap();
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let whole = sample.expected(&mut detector);
    for _ in 0..2 {
        let mut request = sample.request(1);
        request.options.as_mut().unwrap().roi = png.get_ref().clone().into();
        let inside = client.detect(request).await.unwrap().into_inner();
        let options = uflow::segment::DecisionOptions {
            roi: Some(uflow::segment::Roi::new(roi.view()).unwrap().into()),
            ..server::options()
        };
        assert_same(detection(&inside), &detector.detect(&sample.frame(), &options).unwrap(), true);
        assert_ne!(detection(&inside).score, whole.score);
        let without = client.detect(sample.request(2)).await.unwrap().into_inner();
        assert_same(detection(&without), &whole, true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_limit_holds_at_its_edge_and_for_compressed_messages() {
    let server = start(|settings| settings.max_message_mib = Some(1)).await;
    let mut client = client(&server).await;
    let of = |bytes: usize| {
        let raw = v1::RawImage { pixels: vec![7; bytes].into(), width: 48, height: 32, stride: 0, format: 1 };
        DetectRequest { model: "bolt".to_owned(), image: Some(Image::Raw(raw)), ..DetectRequest::default() }
    };
    let overhead = prost::Message::encoded_len(&of(1 << 20)) - (1 << 20);
    assert!(client.detect(of((1 << 20) - overhead)).await.is_ok());
    let status = client.detect(of((1 << 20) - overhead + 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    for encoding in [CompressionEncoding::Deflate, CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = client.clone().send_compressed(encoding).accept_compressed(encoding);
        assert!(client.detect(of(100_000)).await.is_ok());
        let status = client.detect(of(50 << 20)).await.unwrap_err();
        assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    }
    assert!(client.detect(of(100_000)).await.is_ok());
}

/// A call's answer as it goes over the wire: the encoding that its header states, and whether the message is compressed.
async fn answer_on_the_wire(
    server: &uflow::serve::Server,
    sent: Option<&str>,
    accepted: &str,
) -> (Option<String>, bool) {
    let message = prost::Message::encode_to_vec(&sample(0).request(0));
    let mut body = vec![0];
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message);
    let mut request = tonic::codegen::http::Request::post("/uflow.v1.DetectionService/Detect")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-accept-encoding", accepted);
    if let Some(encoding) = sent {
        request = request.header("grpc-encoding", encoding);
    }
    let body = tonic::body::Body::new(http_body_util::Full::new(bytes::Bytes::from(body)));
    let mut channel = channel(server).await;
    let answer = tower::ServiceExt::ready(&mut channel).await.unwrap().call(request.body(body).unwrap()).await.unwrap();
    let encoding = answer.headers().get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (encoding, body[0] == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_as_their_requests_are() {
    let server = start(|_| {}).await;
    let plain = (None, false);
    assert_eq!(answer_on_the_wire(&server, None, "identity,deflate,gzip,zstd").await, plain);
    assert_eq!(answer_on_the_wire(&server, Some("gzip"), "zstd").await, plain);
    for encoding in ["deflate", "gzip", "zstd"] {
        let found = answer_on_the_wire(&server, Some(encoding), "identity,deflate,gzip,zstd").await;
        assert_eq!(found, (Some(encoding.to_owned()), true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_and_only_loaded_by_clients_where_allowed() {
    let server = start(|_| {}).await;
    let mut models = model_client(&server).await;
    let listed = models.list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    assert_eq!(listed.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), MODELS);
    assert!(listed.iter().all(|model| model.state() == ModelState::Ready && model.current));
    let bolt = listed[0].description.as_ref().unwrap();
    assert_eq!((bolt.input_width, bolt.input_height, bolt.device.as_str()), (48, 32, "cpu"));
    assert_eq!(bolt.backbone_sha256, listed[1].description.as_ref().unwrap().backbone_sha256);
    let unload = UnloadModelRequest { model: "bolt".to_owned(), version: 0 };
    assert_eq!(models.unload_model(unload.clone()).await.unwrap_err().code(), Code::PermissionDenied);

    let server = start(|settings| settings.model_control = Some(ModelControl::Explicit)).await;
    let (mut models, mut client) = (model_client(&server).await, client(&server).await);
    let bolt = || Sample { model: "bolt", ..sample(0) }.request(0);
    let status = client.detect(bolt()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "model `bolt` version 1 is not loaded"));
    let load = LoadModelRequest { model: "bolt".to_owned(), version: 0 };
    let loaded = models.load_model(load.clone()).await.unwrap().into_inner().model.unwrap();
    assert_eq!((loaded.state(), loaded.version, loaded.current), (ModelState::Ready, 1, true));
    assert!(client.detect(bolt()).await.is_ok());
    let unknown = LoadModelRequest { model: "../../etc".to_owned(), version: 0 };
    assert_eq!(models.load_model(unknown).await.unwrap_err().code(), Code::NotFound);
    models.unload_model(unload).await.unwrap();
    assert_eq!(client.detect(bolt()).await.unwrap_err().code(), Code::Unavailable);
    let get = GetModelRequest { model: "bolt".to_owned(), version: 1 };
    let state = models.get_model(get).await.unwrap().into_inner().model.unwrap().state();
    assert!(matches!(state, ModelState::Available | ModelState::Unloading), "{state:?}");
    models.load_model(load).await.unwrap();
    assert!(client.detect(bolt()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_server_and_its_models() {
    let server = start(|settings| {
        settings.model_control = Some(ModelControl::Explicit);
        settings.shutdown_delay_seconds = Some(0.5);
    })
    .await;
    let mut health = HealthClient::new(channel(&server).await);
    let mut models = model_client(&server).await;
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        health.check(request).await.map(|response| response.into_inner().status()).map_err(|status| status.code())
    };
    assert_eq!(check("").await, Ok(ServingStatus::NotServing), "no model is loaded");
    assert_eq!(check("uflow.v1.DetectionService").await, Ok(ServingStatus::NotServing));
    assert_eq!(check("nothing").await, Err(Code::NotFound));
    assert_eq!(check("bolt").await, Ok(ServingStatus::NotServing));
    models.load_model(LoadModelRequest { model: "bolt".to_owned(), version: 0 }).await.unwrap();
    let mut status = check("bolt").await;
    for _ in 0..100 {
        if status == Ok(ServingStatus::Serving) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        status = check("bolt").await;
    }
    assert_eq!(status, Ok(ServingStatus::Serving));
    assert_eq!(check("").await, Ok(ServingStatus::Serving));
    assert_eq!(check("uflow.v1.DetectionService").await, Ok(ServingStatus::Serving));
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(check("").await, Ok(ServingStatus::NotServing));
    assert_eq!(check("bolt").await, Ok(ServingStatus::NotServing));
    assert!(stopping.await.unwrap());
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

#[tokio::test(flavor = "multi_thread")]
async fn reflection_knows_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = start(|_| {}).await;
    let mut reflection = ServerReflectionClient::new(channel(&server).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) = answers.next().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["uflow.v1.DetectionService", "uflow.v1.ModelService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
}
