//! One frame: its numbers, masks and maps, wrong requests, large and compressed messages.

use super::detection;
use crate::server::{assert_same, channel, client, detector, sample, start};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tower::Service;
use uflow::serve::proto::v1;
use uflow::serve::proto::v1::detect_request::Image;
use uflow::serve::proto::v1::{DetectRequest, MapFormat, MaskFormat, Outputs};

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

/// Every format gives what the frame gives that it becomes, by gRPC and by HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn camera_formats_are_what_they_become() {
    use uflow::frame::{RawFormat, RawFrame};
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let (width, height) = (48, 32);
    let request = |pixels: Vec<u8>, format: RawFormat, bits: Option<u8>| {
        let format = v1::PixelFormat::try_from(format.number() as i32).unwrap().into();
        let raw = v1::RawImage { pixels: pixels.into(), width, height, stride: 0, format };
        let significant_bits = bits.map(u32::from);
        DetectRequest {
            model: "bolt".to_owned(),
            image: Some(Image::Raw(raw)),
            significant_bits,
            ..DetectRequest::default()
        }
    };
    for &format in RawFormat::ALL {
        let bytes = format.buffer_bytes(width, height).unwrap();
        let value = |at: usize| (at * 37 % 251) as u8;
        // Samples of 16 bits have 10 at most.
        let pixels: Vec<u8> = match format.word_bytes() {
            2 => (0..bytes / 2).flat_map(|at| (u16::from(value(at)) << 2).to_le_bytes()).collect(),
            _ => (0..bytes).map(value).collect(),
        };
        let answer = client.detect(request(pixels.clone(), format, None)).await;
        if format == RawFormat::Float32 {
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains("the range of floating-point samples is not known"), "{status}");
            continue;
        }
        let answer = answer.unwrap().into_inner();
        let made = RawFrame::new(&pixels, width, height, 0, format).unwrap().picture(None, None).unwrap();
        let frame = made.frame();
        let packed = frame.rows().flatten().copied().collect();
        let same = request(packed, frame.format().into(), frame.significant_bits());
        let same = client.detect(same).await.unwrap().into_inner();
        assert_eq!(detection(&answer).score, detection(&same).score, "{format}");
        assert_eq!(
            answer.timings.unwrap().decode_ms > 0.0,
            RawFrame::new(&pixels, width, height, 0, format).unwrap().made_bytes() > 0
        );
    }
}
