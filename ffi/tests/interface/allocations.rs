//! After warm-up at the largest input, a call with the caller's buffers makes no allocations except those of the network's run. The tests
//! count allocations. Segmentation of latents needs no network and makes no allocations.

use std::{ptr, sync::Arc};

use crate::counting::allocations as count;
use crate::fixture::{self, Fixture, SIZE, bad, image, made, networks, ok};
use uflow::{
    package::Package,
    runtime::{Backbone, Network, Runtime, SessionOptions},
};
use uflow_ffi::*;

/// Allocations of a run of the networks alone.
fn of_the_network(fixture: &Fixture) -> usize {
    let (runtime, options) = (Runtime::load(None).unwrap(), SessionOptions::default());
    let package = Package::open(fixture.package()).unwrap();
    let backbone = Arc::new(Backbone::load(&runtime, package.backbone.source(), &options).unwrap());
    let shapes = package.manifest.shapes();
    let mut network = Network::load(&runtime, backbone, &package.flow, &shapes, &options).unwrap();
    let images = networks::images(1, 1, 32, 48);
    let mut run = || count(|| assert!(network.run(images.view(), false).is_ok()));
    run();
    run();
    run()
}

#[test]
fn a_frame_allocates_what_the_network_does() {
    let fixture = Fixture::new();
    let expected = of_the_network(&fixture);
    let pixels: Vec<Vec<u8>> = (0..6).map(bad).collect();
    let pictures: Vec<uflow_image> =
        pixels.iter().map(|pixels| image(pixels, uflow_format::UFLOW_FORMAT_RGB8)).collect();
    let mut mask = vec![0; (SIZE.0 * SIZE.1) as usize];
    let mut maps = [vec![0.0; 48 * 32], vec![0.0; 48 * 32]];
    let buffers = uflow_buffers {
        struct_size: size_of::<uflow_buffers>(),
        mask: mask.as_mut_ptr(),
        mask_capacity: mask.len(),
        mask_width: SIZE.0,
        mask_height: SIZE.1,
        score_map: maps[0].as_mut_ptr(),
        score_map_capacity: maps[0].len(),
        log10_nfa_map: maps[1].as_mut_ptr(),
        log10_nfa_map_capacity: maps[1].len(),
        map_width: 48,
        map_height: 32,
    };
    let (mut score, mut regions) = (0.0, 0);
    let mut all = || {
        let mut counts = Vec::with_capacity(2 * pictures.len());
        for picture in &pictures {
            let picture: *const uflow_image = picture;
            counts.push(count(|| unsafe {
                let (detector, options) = (fixture.detector, fixture.options);
                ok(uflow_detector_detect_into(detector, picture, options, &raw const buffers, fixture.result));
            }));
            regions += fixture.summary().regions;
            counts.push(count(|| unsafe {
                ok(uflow_detector_score(fixture.detector, picture, ptr::null(), &raw mut score, ptr::null_mut()));
            }));
        }
        counts
    };
    all();
    let counts = all();
    println!("{expected} allocations in the networks' run");
    assert!(counts.iter().all(|&count| count == expected), "{counts:?}, the networks' run has {expected}");
    assert!(regions > 0, "no region was found that could have taken memory");
}

#[test]
fn latents_allocate_nothing() {
    let (segmenter, result, options) = unsafe {
        let options = made(|out| uflow_options_new(out));
        ok(uflow_options_set_maps(options, 7));
        (made(|out| uflow_segmenter_new(96, 80, out)), made(|out| uflow_result_new(out)), options)
    };
    let z: Vec<f32> = networks::numbers(1, 6 * 20 * 24).into_iter().map(|value| 12.0 * value).collect();
    let latents = uflow_latents {
        struct_size: size_of::<uflow_latents>(),
        data: z.as_ptr(),
        size: z.len(),
        channels: 6,
        height: 20,
        width: 24,
        reserved: 0,
    };
    let run = |epsilon| {
        ok(unsafe { uflow_options_set_epsilon(options, epsilon) });
        count(|| {
            ok(unsafe {
                uflow_segment_latents(segmenter, &raw const latents, 1, options, 200, 100, ptr::null(), result)
            });
        })
    };
    for epsilon in [1.0, 1e250] {
        run(epsilon);
    }
    assert_eq!([1.0, 1e250].map(run), [0, 0]);
    assert!(fixture::summary(result).regions > 0);
    unsafe {
        uflow_options_free(options);
        uflow_result_free(result);
        uflow_segmenter_free(segmenter);
    }
}
