//! Segmentation of the caller's latents gives the numbers of the Rust interface, to the bit.

use std::{ptr, slice};

use crate::fixture::{failure, made, networks::numbers, ok, summary};
use ndarray::{Array3, s};
use uflow::{
    latents::ScaleShape,
    segment::{Bound, RegionFinder, Segmenter},
};
use uflow_ffi::*;

fn latents(seed: u64) -> [Array3<f32>; 2] {
    [(6, 20, 24), (9, 10, 12)].map(|(channels, height, width)| {
        let values = numbers(seed, channels * height * width).into_iter().map(|value| 3.4 * value).collect();
        let mut z = Array3::from_shape_vec((channels, height, width), values).unwrap();
        z.slice_mut(s![.., height / 4..height / 2, width / 4..width / 2]).mapv_inplace(|value| value * 40.0);
        z
    })
}

fn structs(latents: &[Array3<f32>]) -> Vec<uflow_latents> {
    let scale = |z: &Array3<f32>| uflow_latents {
        struct_size: size_of::<uflow_latents>(),
        data: z.as_ptr(),
        size: z.len(),
        channels: z.dim().0 as u32,
        height: z.dim().1 as u32,
        width: z.dim().2 as u32,
        reserved: 0,
    };
    latents.iter().map(scale).collect()
}

#[test]
fn the_numbers_are_the_segmenter_s_to_the_bit() {
    let (width, height) = (96, 80);
    let segmenter = made(|out| unsafe { uflow_segmenter_new(width, height, out) });
    let result = made(|out| unsafe { uflow_result_new(out) });
    let options = made(|out| unsafe { uflow_options_new(out) });
    ok(unsafe { uflow_options_set_maps(options, uflow_maps::UFLOW_MAPS_MASK as u32) });
    let mut found = 0;
    for (seed, frame, bound) in
        [(1, (0, 0), Bound::Chernoff), (2, (200, 150), Bound::Exact), (3, (96, 80), Bound::Exact)]
    {
        let latents = latents(seed);
        let shapes: Vec<ScaleShape> = latents
            .iter()
            .map(|z| z.dim())
            .map(|(channels, height, width)| ScaleShape { channels, height, width })
            .collect();
        let mut expected = Segmenter::new(&shapes, height as usize, width as usize).unwrap();
        let views: Vec<_> = latents.iter().map(|z| z.view()).collect();
        let maps = expected.run_latents(&views, bound).unwrap();
        let (frame_width, frame_height) = if frame == (0, 0) { (width, height) } else { frame };
        let mut finder = RegionFinder::new();
        let regions = finder.find(&maps, 0.0, frame_height as usize, frame_width as usize).unwrap().regions.to_vec();

        let number = if bound == Bound::Exact { 2 } else { 1 };
        ok(unsafe { uflow_options_set_bound(options, number) });
        let mut map = vec![9.0; maps.log10_nfa.len()];
        let mut buffers: uflow_buffers = unsafe { std::mem::zeroed() };
        buffers.struct_size = size_of::<uflow_buffers>();
        (buffers.log10_nfa_map, buffers.log10_nfa_map_capacity) = (map.as_mut_ptr(), map.len());
        (buffers.map_width, buffers.map_height) = (width, height);
        let scales = structs(&latents);
        ok(unsafe {
            uflow_segment_latents(
                segmenter,
                scales.as_ptr(),
                scales.len(),
                options,
                frame.0,
                frame.1,
                &raw const buffers,
                result,
            )
        });
        let summary = summary(result);
        assert_eq!((summary.score_max, summary.log10_nfa_min), (maps.score_max, maps.log10_nfa_min));
        assert_eq!((summary.width, summary.height), (frame_width, frame_height));
        assert_eq!((summary.regions as usize, summary.anomalous == 1), (regions.len(), !regions.is_empty()));
        assert!(map.iter().eq(maps.log10_nfa.iter()));
        let mut pixels = ptr::null();
        ok(unsafe { uflow_result_get_mask(result, &raw mut pixels, ptr::null_mut(), ptr::null_mut()) });
        let mask = unsafe { slice::from_raw_parts(pixels, (frame_width * frame_height) as usize) };
        assert!(mask.iter().eq(finder.mask().iter()));
        found += regions.len();
    }
    assert!(found > 0, "nothing was found to compare");
    unsafe {
        uflow_options_free(options);
        uflow_result_free(result);
        uflow_segmenter_free(segmenter);
    }
}

#[test]
fn a_region_of_interest_hides_the_rest_and_scales_come_finest_first() {
    let segmenter = made(|out| unsafe { uflow_segmenter_new(96, 80, out) });
    let result = made(|out| unsafe { uflow_result_new(out) });
    let options = made(|out| unsafe { uflow_options_new(out) });
    let latents = latents(1);
    let scales = structs(&latents);
    let segment = || {
        ok(unsafe { uflow_segment_latents(segmenter, scales.as_ptr(), 2, options, 0, 0, ptr::null(), result) });
        summary(result).anomalous
    };
    assert_eq!(segment(), 1);
    let turned = [scales[1], scales[0]];
    let (code, said) =
        failure(unsafe { uflow_segment_latents(segmenter, turned.as_ptr(), 2, options, 0, 0, ptr::null(), result) });
    assert!(code == uflow_status_code::UFLOW_STATUS_INVALID_ARGUMENT && said.contains("finest first"), "{said}");
    // The defect lies in the upper left; only the lower half counts.
    let mask: Vec<u8> = (0..12 * 10).map(|at| u8::from(at >= 12 * 5)).collect();
    ok(unsafe { uflow_options_set_roi(options, mask.as_ptr(), mask.len(), 12, 10, 0) });
    assert_eq!(segment(), 0);
    unsafe {
        uflow_options_free(options);
        uflow_result_free(result);
        uflow_segmenter_free(segmenter);
    }
}
