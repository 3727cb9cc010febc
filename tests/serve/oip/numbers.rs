//! Answers against the detector.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_frame_gives_the_detector_s_numbers_bit_for_bit_in_every_form() {
    let repo = Repo::new(&["bolt"]);
    let (_app, mut client) = start(&repo).await;
    let mut detector = repo.detector("bolt", 1);
    let (width, height) = (61, 43);
    let shape = |channels| [1, i64::from(height), i64::from(width), channels];
    let mut anomalous = 0;
    let formats = [
        ("UINT8", PixelFormat::Gray8, 1),
        ("UINT8", PixelFormat::Rgb8, 3),
        ("UINT8", PixelFormat::Rgba8, 4),
        ("UINT16", PixelFormat::Gray16, 1),
    ];
    let mut cases = Vec::new();
    for (datatype, format, channels) in formats {
        let pixels = models::bad(5, width, height, format);
        let expected = detect(&mut detector, &pixels, width, height, format);
        let values: Vec<u32> = match datatype {
            "UINT8" => pixels.iter().map(|&byte| u32::from(byte)).collect(),
            _ => pixels.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))).collect(),
        };
        let maps = (detector.mask().to_owned(), detector.maps().unwrap().score.to_owned());
        let maps = (maps.0, maps.1, detector.maps().unwrap().log10_nfa.to_owned());
        let one = |tensor, raw: &Vec<u8>| request(tensor, Some(raw.clone()));
        cases.push((one(tensor("image", datatype, &shape(channels)), &pixels), expected.clone(), maps.clone()));
        cases.push((one(tensor("image", datatype, &shape(channels)[1..]), &pixels), expected.clone(), maps.clone()));
        cases.push((typed(tensor("image", datatype, &shape(channels)), uints(values)), expected, maps));
    }
    // Colours of 16 bits are rounded to 8: 257 times a byte is that byte.
    let pixels = models::bad(5, width, height, PixelFormat::Rgb8);
    let expected = detect(&mut detector, &pixels, width, height, PixelFormat::Rgb8);
    let maps = detector.maps().unwrap();
    let maps = (detector.mask().to_owned(), maps.score.to_owned(), maps.log10_nfa.to_owned());
    let words: Vec<u8> = pixels.iter().flat_map(|&byte| (257 * u16::from(byte)).to_le_bytes()).collect();
    cases.push((request(tensor("image", "UINT16", &shape(3)), Some(words)), expected, maps));
    let file = png(6, width, height);
    let decoded = Image::decode(&file, "a picture", &Limits::default()).unwrap();
    let options = DecisionOptions { epsilon: Some(EPSILON), ..DecisionOptions::default() };
    let expected = detector.detect(&decoded.frame(), &options).unwrap();
    let maps = detector.maps().unwrap();
    let maps = (detector.mask().to_owned(), maps.score.to_owned(), maps.log10_nfa.to_owned());
    for (name, shape) in [("image", &[1][..]), ("image", &[1, 1]), ("encoded_image", &[1])] {
        let contents = InferTensorContents { bytes_contents: vec![file.clone().into()], ..Default::default() };
        let tensor = tensor(name, "BYTES", shape);
        cases.push((
            request(tensor.clone(), Some(prefixed(std::slice::from_ref(&file)))),
            expected.clone(),
            maps.clone(),
        ));
        cases.push((typed(tensor, contents), expected.clone(), maps.clone()));
    }
    for (request, expected, (mask, score_map, log10_nfa_map)) in cases {
        let raw = !request.raw_input_contents.is_empty();
        let response = client.model_infer(epsilon(request)).await.unwrap().into_inner();
        assert_eq!((response.model_name.as_str(), response.model_version.as_str()), ("bolt", "1"));
        assert_eq!(response.id, "7");
        let names: Vec<_> = response.outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, ALL);
        let outputs = Outputs::of(&response, raw);
        assert_eq!((outputs.score, outputs.anomalous), (vec![expected.score], vec![expected.anomalous]));
        assert_eq!(
            (outputs.log10_nfa_min, outputs.score_max),
            (vec![expected.log10_nfa_min], vec![expected.score_max])
        );
        assert_eq!(outputs.regions, std::slice::from_ref(&expected.regions));
        assert_eq!(outputs.mask, mask.into_raw_vec_and_offset().0);
        assert_eq!(outputs.score_map, score_map.into_raw_vec_and_offset().0);
        assert_eq!(outputs.log10_nfa_map, log10_nfa_map.into_raw_vec_and_offset().0);
        assert_eq!(outputs.shapes["score"], [1]);
        assert_eq!(outputs.shapes["mask"], [1, 43, 61]);
        assert_eq!(outputs.shapes["score_map"], [1, 32, 48]);
        anomalous += expected.regions.len();
    }
    assert!(anomalous > 0, "some of the frames must have regions, or they are not compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_gives_each_image_its_own_numbers() {
    let repo = Repo::new(&["bolt"]);
    let (_app, mut client) = start(&repo).await;
    let mut detector = repo.detector("bolt", 1);
    let frames: Vec<_> = (0..3).map(|seed| models::bad(seed, 48, 32, PixelFormat::Rgb8)).collect();
    let batch = request(tensor("image", "UINT8", &[3, 32, 48, 3]), Some(frames.concat()));
    let response = client.model_infer(epsilon(batch.clone())).await.unwrap().into_inner();
    let outputs = Outputs::of(&response, true);
    assert_eq!(outputs.shapes["regions"], [3]);
    assert_eq!(outputs.shapes["mask"], [3, 32, 48]);
    assert_eq!(outputs.shapes["log10_nfa_map"], [3, 32, 48]);
    for (index, pixels) in frames.iter().enumerate() {
        let expected = detect(&mut detector, pixels, 48, 32, PixelFormat::Rgb8);
        assert!((outputs.score_max[index] - expected.score_max).abs() <= 1e-5);
        assert_eq!(outputs.anomalous[index], expected.anomalous);
        assert!((outputs.log10_nfa_min[index] - expected.log10_nfa_min).abs() <= 1e-3);
        assert_eq!(outputs.regions[index].len(), expected.regions.len());
        let maps = detector.maps().unwrap();
        let size = maps.score.len();
        for (found, expected) in outputs.score_map[index * size..].iter().zip(maps.score) {
            assert!((found - expected).abs() <= 1e-5);
        }
        let threshold = EPSILON.log10() as f32;
        for ((found, expected), nfa) in outputs.mask[index * size..].iter().zip(detector.mask()).zip(maps.log10_nfa) {
            assert!(found == expected || (nfa - threshold).abs() <= 1e-3);
        }
    }
    let response = client.model_infer(batch).await.unwrap().into_inner();
    let names: Vec<_> = response.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ALL[..6], "what is cheap, where nothing is asked for");
    let contents = InferTensorContents {
        bytes_contents: vec![png(1, 48, 32).into(), png(2, 40, 30).into()],
        ..Default::default()
    };
    let two_sizes = typed(tensor("encoded_image", "BYTES", &[2]), contents);
    let response = client.model_infer(with(two_sizes.clone(), &ALL[8..], &[])).await.unwrap().into_inner();
    assert_eq!(response.outputs[0].shape, [2, 32, 48], "maps have the network's size");
    let status = client.model_infer(with(two_sizes, &["mask"], &[])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("`mask` of image 1 is [30, 40] and that of image 0 is [32, 48]"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_fails_is_named() {
    let repo = Repo::new(&["bolt"]);
    let (_app, mut client) = start(&repo).await;
    let elements = prefixed(&[png(1, 48, 32), vec![1, 2, 3], png(2, 48, 32)]);
    let status = client.model_infer(request(tensor("image", "BYTES", &[3]), Some(elements))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("image 1: the encoded frame: cannot be decoded"), "{status}");
    let elements = prefixed(&[vec![1, 2, 3]]);
    let status = client.model_infer(request(tensor("image", "BYTES", &[1]), Some(elements))).await.unwrap_err();
    assert!(status.message().starts_with("the encoded frame"), "{status}");
    assert!(client.model_infer(small()).await.is_ok(), "the next request is answered as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_are_too_large_together_are_refused() {
    let repo = Repo::new(&["bolt"]);
    let limits = Limits { max_bytes: 16 * 256 * 256, ..Limits::default() };
    let app = repo.app(Control::Static, EngineOptions { limits, ..EngineOptions::default() }).await;
    let mut client = serve(&app).await;
    let images = |count: u64| {
        let files: Vec<_> = (0..count).map(|seed| png(seed, 256, 256)).collect();
        with(request(tensor("image", "BYTES", &[count as i64]), Some(prefixed(&files))), &["mask"], &[])
    };
    client.model_infer(images(16)).await.unwrap();
    let status = client.model_infer(images(17)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("size of the request's outputs is over the limit: 1114112 > 1048576 bytes"),
        "{status}"
    );
}
