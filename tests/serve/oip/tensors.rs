//! Tensors that are not declared: the region of interest and the latents.

use std::sync::mpsc::sync_channel;

use uflow::{
    engine::{Request, Source, Wanted},
    segment::{RegionOfInterest, Roi},
};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn latents_are_those_of_the_engine() {
    let repo = Repo::new(&["bolt"]);
    let (app, mut client) = start(&repo).await;
    let frames: Vec<_> = (0..2).map(|seed| models::bad(seed, 48, 32, PixelFormat::Rgb8)).collect();
    let mut expected = Vec::new();
    for pixels in &frames {
        let model = app.registry().get("bolt", 0).unwrap();
        let (width, height, format) = (48, 32, PixelFormat::Rgb8);
        let source = Source::Raw { pixels: pixels.clone().into(), width, height, stride: 144, format: format.into() };
        let wanted = Wanted { latents: true, ..Wanted::default() };
        let (sender, receiver) = sync_channel(1);
        assert!(app.engine().submit(Request { wanted, ..Request::new(model, source) }, sender).is_ok());
        expected.push(receiver.recv().unwrap().unwrap().latents);
    }
    let scales = expected[0].len();
    assert_eq!(scales, 2);
    let names: Vec<_> = (0..scales).rev().map(|scale| format!("latents_{scale}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let bytes = |scale: usize, index: usize| -> Vec<u8> {
        expected[index][scale].iter().flat_map(|number: &f32| number.to_le_bytes()).collect()
    };
    let one = request(tensor("image", "UINT8", &[1, 32, 48, 3]), Some(frames[0].clone()));
    let found = client.model_infer(with(one, &names, &[])).await.unwrap().into_inner();
    for (output, raw) in found.outputs.iter().zip(&found.raw_output_contents) {
        let scale: usize = output.name.strip_prefix("latents_").unwrap().parse().unwrap();
        let (channels, height, width) = expected[0][scale].dim();
        assert_eq!(output.shape, [1, channels as i64, height as i64, width as i64]);
        assert_eq!((output.datatype.as_str(), &raw[..]), ("FP32", bytes(scale, 0).as_slice()));
    }
    assert_eq!(found.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), names);
    let uints = uints(frames.concat().into_iter().map(u32::from));
    let both = typed(tensor("image", "UINT8", &[2, 32, 48, 3]), uints);
    let found = client.model_infer(with(both, &["latents_1"], &[])).await.unwrap().into_inner();
    let contents = &found.outputs[0].contents.as_ref().unwrap().fp32_contents;
    let (size, both) = (expected[0][1].len(), expected.iter().flat_map(|latents| &latents[1]));
    assert_eq!((found.outputs[0].shape[0], contents.len()), (2, 2 * size));
    for (found, expected) in contents.iter().zip(both) {
        assert!((found - expected).abs() <= 1e-4, "{found} {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_interest_counts_for_all_images_in_every_form() {
    let repo = Repo::new(&["bolt"]);
    let (_app, mut client) = start(&repo).await;
    let mut detector = repo.detector("bolt", 1);
    let pixels = models::bad(5, 61, 43, PixelFormat::Rgb8);
    let mask: Vec<u8> = (0..61 * 43).map(|index| u8::from(index % 61 < 30)).collect();
    let mut file = Cursor::new(Vec::new());
    let picture = image::GrayImage::from_raw(61, 43, mask.iter().map(|inside| 255 * inside).collect()).unwrap();
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    let file = file.into_inner();
    let roi = RegionOfInterest::from(Roi::decode(&file, "roi", &Limits::default()).unwrap());
    let options = DecisionOptions { epsilon: Some(EPSILON), roi: Some(roi), ..DecisionOptions::default() };
    let frame = Frame::packed(&pixels, 61, 43, PixelFormat::Rgb8).unwrap();
    let expected = detector.detect(&frame, &options).unwrap().regions;
    assert_ne!(expected, detect(&mut detector, &pixels, 61, 43, PixelFormat::Rgb8).regions);
    let image = || request(tensor("image", "UINT8", &[1, 43, 61, 3]), Some(pixels.clone()));
    let raw = |roi: InferInputTensor, bytes: Vec<u8>| {
        let mut request = image();
        request.inputs.push(roi);
        request.raw_input_contents.push(bytes.into());
        request
    };
    let mut first = raw(tensor("roi", "UINT8", &[43, 61]), mask.clone());
    first.inputs.reverse();
    first.raw_input_contents.reverse();
    let mut lists = typed(tensor("image", "UINT8", &[1, 43, 61, 3]), uints(pixels.iter().map(|&byte| byte.into())));
    let contents = Some(uints(mask.iter().map(|&byte| byte.into())));
    lists.inputs.push(InferInputTensor { contents, ..tensor("roi", "UINT8", &[43, 61]) });
    for request in [
        raw(tensor("roi", "BYTES", &[1]), prefixed(std::slice::from_ref(&file))),
        raw(tensor("roi", "UINT8", &[1, 43, 61]), mask.clone()),
        first,
        lists,
    ] {
        let is_raw = !request.raw_input_contents.is_empty();
        let response = client.model_infer(epsilon(request)).await.unwrap().into_inner();
        assert_eq!(Outputs::of(&response, is_raw).regions, std::slice::from_ref(&expected));
    }
    let two = raw(tensor("roi", "BYTES", &[1]), prefixed(&[file.clone(), file.clone()]));
    let other_size = raw(tensor("roi", "UINT8", &[0, 61]), Vec::new());
    let mut missing = image();
    missing.inputs.push(tensor("roi", "BYTES", &[1]));
    for (request, expected) in [
        (two, "inputs: `roi` has"),
        (other_size, "inputs: `roi` has 0 bytes, which are not UINT8 of the shape [0, 61]"),
        (missing, "raw_input_contents: there are 1 for 2 inputs; send as many as inputs, in their order"),
    ] {
        let status = client.model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(expected), "{status}");
    }
}
