//! Detection through the C interface: the numbers of the Rust one to the bit, from Rust and from a C program.

use std::{mem, process::Command, ptr, slice};

use crate::fixture::{
    self, Fixture, SIZE, bad, build, failure, image, libraries, made, networks::models, ok, root, rust_options, summary,
};
use uflow::{
    frame::{Frame, PixelFormat},
    pipeline::{Detection, Detector},
    segment::DecisionOptions,
};
use uflow_ffi::*;

/// Compares a result with a detection, and its maps with those of the detector. Returns its regions.
fn compare(result: *const uflow_result, expected: &Detection, detector: &Detector) -> usize {
    let summary = summary(result);
    assert_eq!(
        (summary.score_max, summary.log10_nfa_min, summary.anomalous == 1, summary.regions as usize),
        (expected.score_max, expected.log10_nfa_min, expected.anomalous, expected.regions.len())
    );
    assert_eq!((summary.score, summary.score), (expected.score, -expected.log10_nfa_min));
    assert_eq!((summary.width, summary.height), SIZE);
    for (index, expected) in expected.regions.iter().enumerate() {
        let mut region: uflow_region = unsafe { mem::zeroed() };
        region.struct_size = size_of::<uflow_region>();
        ok(unsafe { uflow_result_get_region(result, index as u32, &raw mut region) });
        assert_eq!([region.x, region.y, region.width, region.height], expected.bbox);
        assert_eq!([region.centroid_x, region.centroid_y], expected.centroid);
        assert_eq!(
            (region.area, region.log10_nfa_min, region.score_max, region.scale as usize, region.rings as usize),
            (expected.area, expected.log10_nfa_min, expected.score_max, expected.scale, expected.outline.len())
        );
        for (ring, expected) in expected.outline.iter().enumerate() {
            let (mut points, mut count) = (ptr::null(), 0);
            ok(unsafe { uflow_result_get_outline(result, index as u32, ring as u32, &raw mut points, &raw mut count) });
            let points = unsafe { slice::from_raw_parts(points, count) };
            assert!(points.iter().map(|point| [point.x, point.y]).eq(expected.iter().copied()));
        }
    }
    let (mut pixels, mut width, mut height) = (ptr::null(), 0, 0);
    ok(unsafe { uflow_result_get_mask(result, &raw mut pixels, &raw mut width, &raw mut height) });
    assert_eq!((width, height), SIZE);
    let mask = unsafe { slice::from_raw_parts(pixels, (width * height) as usize) };
    assert!(mask.iter().eq(detector.mask().iter()));
    let maps = detector.maps().unwrap();
    type Get = unsafe extern "C" fn(*const uflow_result, *mut *const f32, *mut u32, *mut u32) -> *mut uflow_status;
    for (get, expected) in
        [(uflow_result_get_score_map as Get, maps.score), (uflow_result_get_log10_nfa_map as Get, maps.log10_nfa)]
    {
        let mut pixels = ptr::null();
        ok(unsafe { get(result, &raw mut pixels, ptr::null_mut(), ptr::null_mut()) });
        let map = unsafe { slice::from_raw_parts(pixels, expected.len()) };
        assert!(map.iter().eq(expected.iter()));
    }
    expected.regions.len()
}

#[test]
fn the_numbers_are_the_detector_s_to_the_bit() {
    let fixture = Fixture::new();
    let mut detector = fixture.rust_detector();
    ok(unsafe { uflow_options_set_maps(fixture.options, 7) });
    let mut regions = 0;
    for (seed, format, number) in [
        (1, PixelFormat::Rgb8, uflow_format::UFLOW_FORMAT_RGB8),
        (2, PixelFormat::Gray16, uflow_format::UFLOW_FORMAT_GRAY16),
        (3, PixelFormat::Bgra8, uflow_format::UFLOW_FORMAT_BGRA8),
    ] {
        let pixels = models::bad(seed, SIZE.0, SIZE.1, format);
        let frame = Frame::packed(&pixels, SIZE.0, SIZE.1, format).unwrap();
        let expected: Detection = detector.detect(&frame, &rust_options()).unwrap();
        ok(fixture.detect(&image(&pixels, number)));
        regions += compare(fixture.result, &expected, &detector);

        let (mut score, mut anomalous) = (9.0, 9);
        let picture = image(&pixels, number);
        ok(unsafe {
            uflow_detector_score(
                fixture.detector,
                &raw const picture,
                fixture.options,
                &raw mut score,
                &raw mut anomalous,
            )
        });
        assert_eq!((score, anomalous == 1), (expected.score, expected.anomalous));
        score = 9.0;
        ok(unsafe {
            uflow_detector_score(fixture.detector, &raw const picture, fixture.options, &raw mut score, ptr::null_mut())
        });
        assert_eq!(score, expected.score, "without a verdict");

        let maps = detector.maps().unwrap();
        let mut mask = vec![9; (SIZE.0 * SIZE.1) as usize];
        let mut floats = [vec![9.0; maps.score.len()], vec![9.0; maps.score.len()]];
        let buffers = uflow_buffers {
            struct_size: size_of::<uflow_buffers>(),
            mask: mask.as_mut_ptr(),
            mask_capacity: mask.len(),
            mask_width: SIZE.0,
            mask_height: SIZE.1,
            score_map: floats[0].as_mut_ptr(),
            score_map_capacity: floats[0].len(),
            log10_nfa_map: floats[1].as_mut_ptr(),
            log10_nfa_map_capacity: floats[1].len(),
            map_width: 48,
            map_height: 32,
        };
        ok(unsafe {
            uflow_detector_detect_into(
                fixture.detector,
                &raw const picture,
                fixture.options,
                &raw const buffers,
                fixture.result,
            )
        });
        assert!(mask.iter().eq(detector.mask().iter()));
        assert!(floats[0].iter().eq(maps.score.iter()) && floats[1].iter().eq(maps.log10_nfa.iter()));
        compare(fixture.result, &expected, &detector);
    }
    assert!(regions > 0, "nothing was found to compare");
}

#[test]
fn a_stride_and_a_file_give_what_packed_pixels_give() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    ok(fixture.detect(&image(&pixels, uflow_format::UFLOW_FORMAT_RGB8)));
    let expected = fixture.summary().score;
    let row = SIZE.0 as usize * 3;
    let mut padded: Vec<u8> = pixels.chunks(row).flat_map(|row| [row, &[77; 13]].concat()).collect();
    padded.truncate(padded.len() - 13);
    let strided = uflow_image { stride: row + 13, ..image(&padded, uflow_format::UFLOW_FORMAT_RGB8) };
    ok(fixture.detect(&strided));
    assert_eq!(fixture.summary().score, expected);
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = ::image::RgbImage::from_raw(SIZE.0, SIZE.1, pixels).unwrap();
    picture.write_to(&mut png, ::image::ImageFormat::Png).unwrap();
    let file = image(png.get_ref(), uflow_format::UFLOW_FORMAT_ENCODED);
    ok(fixture.detect(&file));
    let summary = fixture.summary();
    assert!(summary.score == expected && summary.decode_ms > 0.0, "{summary:?}");
}

#[test]
fn a_batch_gives_what_its_images_give_alone() {
    let fixture = Fixture::new();
    let all: Vec<Vec<u8>> = (0..5).map(bad).collect();
    let images: Vec<uflow_image> = all.iter().map(|pixels| image(pixels, uflow_format::UFLOW_FORMAT_RGB8)).collect();
    let results: Vec<*mut uflow_result> = (0..5).map(|_| made(|out| unsafe { uflow_result_new(out) })).collect();
    for count in [5, 2, 5] {
        ok(unsafe {
            uflow_detector_detect_batch(fixture.detector, images.as_ptr(), count, fixture.options, results.as_ptr())
        });
        for (image, &result) in images[..count].iter().zip(&results) {
            ok(fixture.detect(image));
            let (alone, together) = (fixture.summary(), summary(result));
            assert!((alone.score_max - together.score_max).abs() <= 1e-5, "{} {}", alone.score_max, together.score_max);
            assert_eq!((alone.anomalous, alone.regions), (together.anomalous, together.regions));
        }
    }
    let before: Vec<f32> = results.iter().map(|&result| summary(result).score).collect();
    let mut broken = images.clone();
    broken[3].width = 0;
    let (code, said) = fixture::failure(unsafe {
        uflow_detector_detect_batch(fixture.detector, broken.as_ptr(), 5, fixture.options, results.as_ptr())
    });
    assert!(code == uflow_status_code::UFLOW_STATUS_INVALID_IMAGE && said.starts_with("images[3]: "), "{said}");
    assert!(results.iter().map(|&result| summary(result).score).eq(before));
    results.into_iter().for_each(|result| unsafe { uflow_result_free(result) });
}

#[test]
fn eight_threads_share_a_model() {
    const THREADS: usize = 8;
    const FRAMES: usize = 1250;
    struct Shared(*const uflow_model);
    unsafe impl Sync for Shared {}

    let fixture = Fixture::new();
    let images: Vec<Vec<u8>> = (0..4).map(bad).collect();
    let expected: Vec<f32> = images
        .iter()
        .map(|pixels| {
            ok(fixture.detect(&image(pixels, uflow_format::UFLOW_FORMAT_RGB8)));
            fixture.summary().score
        })
        .collect();
    let shared = Shared(fixture.model);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (shared, images, expected) = (&shared, &images, &expected);
            scope.spawn(move || {
                let shared: &Shared = shared;
                let detector = made(|out| unsafe { uflow_detector_new(shared.0, out) });
                for frame in 0..FRAMES {
                    let which = (thread + frame) % images.len();
                    let (picture, mut score) = (image(&images[which], uflow_format::UFLOW_FORMAT_RGB8), 9.0);
                    ok(unsafe {
                        uflow_detector_score(detector, &raw const picture, ptr::null(), &raw mut score, ptr::null_mut())
                    });
                    assert_eq!(score, expected[which], "thread {thread}, frame {frame}");
                }
                unsafe { uflow_detector_free(detector) };
            });
        }
    });
}

#[test]
fn a_c_program_says_what_the_detector_finds() {
    let fixture = Fixture::new();
    let libraries = libraries();
    let program = fixture.folder.path().join("detect");
    build(&root().join("examples/c/detect.c"), &program, libraries.path(), &[]);
    let pixels = bad(1);
    let picture = fixture.folder.path().join("bad.png");
    ::image::RgbImage::from_raw(SIZE.0, SIZE.1, pixels.clone()).unwrap().save(&picture).unwrap();
    let run =
        |package: &str| Command::new(&program).arg(fixture.folder.path().join(package)).arg(&picture).output().unwrap();
    let found = run("bolt");
    let said = String::from_utf8(found.stdout).unwrap();
    assert!(matches!(found.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&found.stderr));
    let frame = Frame::packed(&pixels, SIZE.0, SIZE.1, PixelFormat::Rgb8).unwrap();
    let expected = fixture.rust_detector().detect(&frame, &DecisionOptions::default()).unwrap();
    let score: f32 = said.split("score ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let log10_nfa: f32 = said.split("log10_nfa ").nth(1).unwrap().trim().lines().next().unwrap().parse().unwrap();
    assert_eq!((score, log10_nfa), (expected.score, expected.log10_nfa_min));
    let missing = run("none");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none"));
}

#[test]
fn the_package_s_region_can_be_cleared_for_a_call() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, uflow_format::UFLOW_FORMAT_RGB8);
    ok(fixture.detect(&picture));
    let whole = fixture.summary().score_max;
    // The package's region of interest does not contain the defect.
    let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
    let mask: Vec<u8> =
        (0..width * height).map(|at| u8::from(at % width < width / 3 && at / width < height / 3)).collect();
    let package = fixture.package();
    ::image::GrayImage::from_raw(SIZE.0, SIZE.1, mask.iter().map(|inside| inside * 255).collect())
        .unwrap()
        .save(package.join("roi.png"))
        .unwrap();
    let manifest = std::fs::read_to_string(package.join("uflow.json")).unwrap();
    let changed = manifest.replace("\"detection\": {", "\"detection\": {\"roi\": \"roi.png\", ");
    assert_ne!(changed, manifest);
    std::fs::write(package.join("uflow.json"), changed.replace(", }", "}")).unwrap();
    unsafe {
        let path = fixture::path_text(&package);
        let model = made(|out| uflow_engine_load(fixture.engine, path.as_ptr(), out));
        let detector = made(|out| uflow_detector_new(model, out));
        let mut info: uflow_model_info = std::mem::zeroed();
        info.struct_size = size_of::<uflow_model_info>();
        ok(uflow_model_get_info(model, &raw mut info));
        assert_eq!(info.has_roi, 1);
        let score = || {
            ok(uflow_detector_detect(detector, &raw const picture, fixture.options, fixture.result));
            fixture.summary().score_max
        };
        let inside = score();
        assert!(inside < whole, "{inside} {whole}");
        ok(uflow_options_clear_roi(fixture.options));
        assert_eq!(score(), whole);
        ok(uflow_options_reset(fixture.options));
        assert_eq!(score(), inside);
        uflow_detector_free(detector);
        uflow_model_free(model);
    }
}

#[test]
fn latents_are_those_of_the_engine() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, uflow_format::UFLOW_FORMAT_RGB8);
    let results = [0; 2].map(|_| made(|out| unsafe { uflow_result_new(out) }));
    let numbers = |result: *mut uflow_result| {
        (0..2)
            .map(|scale| unsafe {
                let mut latents: uflow_latents = std::mem::zeroed();
                latents.struct_size = size_of::<uflow_latents>();
                ok(uflow_result_get_latents(result, scale, &raw mut latents));
                assert_eq!(latents.size, (latents.channels * latents.height * latents.width) as usize);
                slice::from_raw_parts(latents.data, latents.size).to_vec()
            })
            .collect::<Vec<_>>()
    };
    unsafe {
        ok(uflow_options_set_maps(fixture.options, uflow_maps::UFLOW_MAPS_LATENTS as u32));
        ok(uflow_detector_detect_batch(fixture.detector, [picture; 2].as_ptr(), 2, fixture.options, results.as_ptr()));
        assert_eq!(summary(results[1]).batch_size, 2);
        let stream = made(|out| uflow_stream_new(fixture.model, ptr::null(), out));
        let mut status = ptr::null_mut();
        ok(uflow_stream_submit(stream, &raw const picture, fixture.options, ptr::null(), 0));
        ok(uflow_stream_next(stream, UFLOW_WAIT_FOREVER, ptr::null_mut(), fixture.result, &raw mut status));
        ok(status);
        uflow_stream_free(stream);
    }
    let expected = numbers(fixture.result);
    for found in results.map(numbers) {
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{found} {expected}");
        }
        assert!(expected.iter().flatten().count() > 100);
    }
    // A result that is filled again without maps has no maps.
    ok(unsafe { uflow_options_set_maps(fixture.options, 0) });
    ok(unsafe { uflow_detector_detect(fixture.detector, &raw const picture, fixture.options, results[0]) });
    assert_eq!(summary(results[0]).latents, 0);
    results.into_iter().for_each(|result| unsafe { uflow_result_free(result) });
}

/// A PNG of 61×43 pixels whose EXIF data says that it was taken on its side.
fn turned_png(pixels: Vec<u8>) -> Vec<u8> {
    let exif = [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[6, 0, 0, 0, 0, 0, 0, 0]].concat();
    let mut png = std::io::Cursor::new(Vec::new());
    let mut encoder = ::image::codecs::png::PngEncoder::new(&mut png);
    ::image::ImageEncoder::set_exif_metadata(&mut encoder, exif).unwrap();
    ::image::ImageEncoder::write_image(encoder, &pixels, SIZE.0, SIZE.1, ::image::ExtendedColorType::Rgb8).unwrap();
    png.into_inner()
}

#[test]
fn a_mask_of_a_turned_image_is_told_and_checked() {
    let fixture = Fixture::new();
    let png = turned_png(bad(1));
    let picture = image(&png, uflow_format::UFLOW_FORMAT_ENCODED);
    let mut info: uflow_image_info = unsafe { mem::zeroed() };
    info.struct_size = size_of::<uflow_image_info>();
    ok(unsafe { uflow_image_get_info(&raw const picture, &raw mut info) });
    assert_eq!((info.width, info.height, info.orientation), (SIZE.1, SIZE.0, 6));
    assert_eq!((info.format, info.bits, info.pages, info.is_float), (uflow_format::UFLOW_FORMAT_RGB8 as u32, 8, 1, 0));
    let mut mask = vec![9_u8; (SIZE.0 * SIZE.1) as usize];
    let mut buffers: uflow_buffers = unsafe { mem::zeroed() };
    buffers.struct_size = size_of::<uflow_buffers>();
    (buffers.mask, buffers.mask_capacity) = (mask.as_mut_ptr(), mask.len());
    let mut detect = |width, height| unsafe {
        (buffers.mask_width, buffers.mask_height) = (width, height);
        let buffers = &raw const buffers;
        uflow_detector_detect_into(fixture.detector, &raw const picture, fixture.options, buffers, fixture.result)
    };
    // The file's own width and height give the same number of bytes, but the rows would have another length.
    let (code, said) = fixture::failure(detect(SIZE.0, SIZE.1));
    assert!(code == uflow_status_code::UFLOW_STATUS_INVALID_ARGUMENT, "{said}");
    assert!(said.contains("is 61×43 (mask_width × mask_height), and the image is 43×61"), "{said}");
    ok(detect(info.width, info.height));
    assert!(mask.iter().all(|&value| value < 2));
    assert_eq!((fixture.summary().width, fixture.summary().height), (info.width, info.height));
    // Raw pixels are not turned.
    let pixels = bad(1);
    ok(unsafe { uflow_image_get_info(&image(&pixels, uflow_format::UFLOW_FORMAT_RGB8), &raw mut info) });
    assert_eq!((info.width, info.height, info.orientation, info.bits), (SIZE.0, SIZE.1, 1, 8));
}

#[test]
fn twelve_bits_in_sixteen_score_as_all_sixteen_do() {
    let fixture = Fixture::new();
    let full = models::bad(2, SIZE.0, SIZE.1, PixelFormat::Gray16);
    let samples = full.chunks(2).map(|sample| u16::from_ne_bytes([sample[0], sample[1]]));
    // The same brightness in 12 and in 16 bits.
    let twelve: Vec<u16> = samples.map(|sample| sample >> 4).collect();
    let bytes = |samples: &[u16]| samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect::<Vec<u8>>();
    let sixteen: Vec<u16> = twelve.iter().map(|&sample| (u32::from(sample) * 65535 / 4095) as u16).collect();
    let score = |pixels: &[u8], significant_bits| {
        let picture = uflow_image { significant_bits, ..image(pixels, uflow_format::UFLOW_FORMAT_GRAY16) };
        ok(fixture.detect(&picture));
        fixture.summary().score
    };
    let (low, high) = (bytes(&twelve), bytes(&sixteen));
    let (expected, given, not_given) = (score(&high, 0), score(&low, 12), score(&low, 0));
    let within = 1e-4 * expected.abs();
    assert!(
        (expected - given).abs() < within && (expected - not_given).abs() > within,
        "{expected} {given} {not_given}"
    );
    // The same through a stream.
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    let picture = uflow_image { significant_bits: 12, ..image(&low, uflow_format::UFLOW_FORMAT_GRAY16) };
    let mut status = ptr::null_mut();
    unsafe {
        ok(uflow_stream_submit(stream, &raw const picture, fixture.options, ptr::null(), 0));
        ok(uflow_stream_next(stream, UFLOW_WAIT_FOREVER, ptr::null_mut(), fixture.result, &raw mut status));
        ok(status);
        uflow_stream_free(stream);
    }
    assert!((fixture.summary().score - given).abs() <= 1e-5);
}

/// Every format gives what the frame gives that it becomes.
#[test]
fn camera_formats_are_what_they_become() {
    use uflow::frame::{RawFormat, RawFrame};
    let fixture = Fixture::new();
    let (width, height) = (48, 32);
    let mut formats = 0;
    for &format in RawFormat::ALL {
        let bytes = format.buffer_bytes(width, height).unwrap();
        // Samples of 16 bits have 10 at most; others can have any bits.
        let noise = models::good(formats, bytes as u32, 1, PixelFormat::Gray8);
        let pixels: Vec<u8> = match format.word_bytes() {
            2 => noise.chunks(2).flat_map(|pair| u16::to_ne_bytes(u16::from(pair[0]) << 2)).collect(),
            _ => noise,
        };
        let picture =
            uflow_image { width, height, format: format.number(), ..image(&pixels, uflow_format::UFLOW_FORMAT_GRAY8) };
        if format == RawFormat::Float32 {
            let (code, said) = failure(fixture.detect(&picture));
            assert_eq!(code, uflow_status_code::UFLOW_STATUS_INVALID_IMAGE, "{said}");
            assert!(said.contains("the range of floating-point samples is not known"), "{said}");
            continue;
        }
        ok(fixture.detect(&picture));
        let found = fixture.summary();
        let made = RawFrame::new(&pixels, width, height, 0, format).unwrap().picture(None, None).unwrap();
        let frame = made.frame();
        let packed: Vec<u8> = frame.rows().flatten().copied().collect();
        let number = RawFormat::from(frame.format()).number();
        let bits = frame.significant_bits().map_or(0, u32::from);
        let same = uflow_image {
            width,
            height,
            format: number,
            significant_bits: bits,
            ..image(&packed, uflow_format::UFLOW_FORMAT_GRAY8)
        };
        ok(fixture.detect(&same));
        assert_eq!((found.score, found.score_max), (fixture.summary().score, fixture.summary().score_max), "{format}");
        formats += 1;
    }
    assert_eq!(formats, RawFormat::ALL.len() as u64 - 1);
}
