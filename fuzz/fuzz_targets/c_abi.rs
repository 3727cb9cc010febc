//! Fuzzes the C interface with random images of every size, stride and format, encoded files, latents, manifests and package
//! files. Every call must succeed or fail with a status; no call may read or write out of bounds or panic.
//!
//! `tools/fuzz.sh` builds and runs this target. The networks of a package are not changed: ONNX Runtime's handling of malicious networks
//! is not under test, and the hashes in a package detect accidental changes.

#![no_main]

use std::{
    ffi::{CStr, CString},
    fs, mem,
    path::PathBuf,
    ptr,
    sync::OnceLock,
};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use uflow_ffi::{uflow_status_code::*, *};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Image { width: u32, height: u32, stride: usize, format: u32, struct_size: usize, epsilon: f64, data: &'a [u8] },
    Small { width: u8, height: u8, gap: u8, format: u8, maps: u8, min_area: u16, verdict: u8, data: &'a [u8] },
    Encoded { data: &'a [u8] },
    Latents { shapes: [(u8, u8, u8); 3], scales: u8, width: u8, height: u8, data: Vec<f32> },
    Manifest { data: &'a [u8] },
    Package { cut: u16, at: u16, data: &'a [u8] },
}

struct Fixture {
    folder: PathBuf,
    /// A valid package, as one file.
    package: Vec<u8>,
    engine: *mut uflow_engine,
    detector: *mut uflow_detector,
    segmenter: *mut uflow_segmenter,
    result: *mut uflow_result,
}

// SAFETY: libFuzzer calls its target from one thread.
unsafe impl Send for Fixture {}
unsafe impl Sync for Fixture {}

/// Requires success.
fn ok(status: *mut uflow_status) {
    assert!(status.is_null(), "{:?}", unsafe { CStr::from_ptr(uflow_status_get_message(status)) });
}

/// Accepts success and every failure except an internal error.
fn any(status: *mut uflow_status) {
    let code = unsafe { uflow_status_get_code(status) };
    let message = unsafe { CStr::from_ptr(uflow_status_get_message(status)) };
    assert!(code != UFLOW_STATUS_INTERNAL && code != UFLOW_STATUS_POISONED, "{message:?}");
    assert!(message.to_str().is_ok_and(|message| !message.is_empty()));
    unsafe { uflow_status_free(status) };
}

fn text(path: &std::path::Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

fn image(data: &[u8], width: u32, height: u32, stride: usize, format: u32) -> uflow_image {
    let struct_size = size_of::<uflow_image>();
    uflow_image { struct_size, data: data.as_ptr(), size: data.len(), stride, width, height, format, significant_bits: 0 }
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| unsafe {
        let folder = std::env::temp_dir().join(format!("uflow-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (mut engine, mut options, mut trainer) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        ok(uflow_engine_new(ptr::null(), &raw mut engine));
        ok(uflow_fit_options_new(c"fuzz".as_ptr(), &raw mut options));
        ok(uflow_fit_options_set_input_size(options, 32, 32));
        ok(uflow_fit_options_set_epochs(options, 1, 1));
        ok(uflow_fit_options_set_steps(options, 1));
        ok(uflow_trainer_new(engine, options, &raw mut trainer));
        for seed in 0..8_u32 {
            let pixels: Vec<u8> = (0..32 * 32_u32).map(|i| (i.wrapping_mul(seed + 7) >> 3) as u8).collect();
            ok(uflow_trainer_add(trainer, &raw const *&image(&pixels, 32, 32, 0, 1)));
        }
        let (file, unpacked) = (folder.join("fuzz.uflow"), folder.join("fuzz"));
        ok(uflow_trainer_fit(trainer, text(&file).as_ptr(), None, ptr::null_mut()));
        ok(uflow_trainer_fit(trainer, text(&unpacked).as_ptr(), None, ptr::null_mut()));
        uflow_trainer_free(trainer);
        uflow_fit_options_free(options);
        let (mut model, mut detector, mut segmenter, mut result) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        ok(uflow_engine_load(engine, text(&file).as_ptr(), &raw mut model));
        ok(uflow_detector_new(model, &raw mut detector));
        uflow_model_free(model);
        ok(uflow_segmenter_new(24, 40, &raw mut segmenter));
        ok(uflow_result_new(&raw mut result));
        Fixture { package: fs::read(&file).unwrap(), folder, engine, detector, segmenter, result }
    })
}

/// Reads everything from a result.
fn read(result: *const uflow_result) {
    unsafe {
        let mut summary: uflow_summary = mem::zeroed();
        summary.struct_size = size_of::<uflow_summary>();
        ok(uflow_result_get_summary(result, &raw mut summary));
        let mut corners = 0_u64;
        for index in 0..summary.regions {
            let mut region: uflow_region = mem::zeroed();
            region.struct_size = size_of::<uflow_region>();
            ok(uflow_result_get_region(result, index, &raw mut region));
            for ring in 0..region.rings {
                let (mut points, mut count) = (ptr::null(), 0);
                ok(uflow_result_get_outline(result, index, ring, &raw mut points, &raw mut count));
                let points = std::slice::from_raw_parts(points, count);
                assert!(points.iter().all(|point| point.x <= summary.width && point.y <= summary.height));
                corners += count as u64;
            }
        }
        assert!(corners >= 4 * u64::from(summary.regions));
        let (mut pixels, mut width, mut height) = (ptr::null(), 0, 0);
        let status = uflow_result_get_mask(result, &raw mut pixels, &raw mut width, &raw mut height);
        if status.is_null() {
            let mask = std::slice::from_raw_parts(pixels, width as usize * height as usize);
            assert!(mask.iter().all(|&value| value <= 1));
        } else {
            any(status);
        }
    }
}

fn detect(image: &uflow_image, options: *const uflow_options) {
    let fixture = fixture();
    let status = unsafe { uflow_detector_detect(fixture.detector, image, options, fixture.result) };
    if status.is_null() {
        read(fixture.result);
    }
    any(status);
}

fn load(path: &std::path::Path) {
    let fixture = fixture();
    let mut model = ptr::null_mut();
    any(unsafe { uflow_engine_load(fixture.engine, text(path).as_ptr(), &raw mut model) });
    unsafe { uflow_model_free(model) };
}

fuzz_target!(|input: Input<'_>| {
    let fixture = fixture();
    match input {
        Input::Image { width, height, stride, format, struct_size, epsilon, data } => unsafe {
            // The stated size may be smaller than the struct, but not larger.
            let struct_size = if struct_size % 4 == 0 { struct_size % size_of::<uflow_image>() } else { size_of::<uflow_image>() };
            let mut options = ptr::null_mut();
            ok(uflow_options_new(&raw mut options));
            any(uflow_options_set_epsilon(options, epsilon));
            // Without this, almost every input would only test the check of the format.
            let format = format % 9;
            detect(&uflow_image { struct_size, ..image(data, width, height, stride, format) }, options);
            uflow_options_free(options);
        },
        Input::Small { width, height, gap, format, maps, min_area, verdict, data } => unsafe {
            let mut options = ptr::null_mut();
            ok(uflow_options_new(&raw mut options));
            any(uflow_options_set_maps(options, maps.into()));
            ok(uflow_options_set_min_area(options, min_area.into()));
            any(uflow_options_set_verdict(options, verdict.into()));
            ok(uflow_options_set_epsilon(options, 1e200));
            let (width, height, format) = (u32::from(width), u32::from(height), u32::from(format % 7));
            let bytes = [0, 1, 2, 3, 3, 4, 4][format as usize];
            if width as usize * (height as usize) <= data.len() {
                any(uflow_options_set_roi(options, data.as_ptr(), data.len(), width, height, 0));
            }
            detect(&image(data, width, height, width as usize * bytes + usize::from(gap), format), options);
            uflow_options_free(options);
        },
        Input::Encoded { data } => detect(&image(data, 0, 0, 0, 7), ptr::null()),
        Input::Latents { shapes, scales, width, height, data } => {
            let latents = shapes.map(|(channels, rows, columns)| uflow_latents {
                struct_size: size_of::<uflow_latents>(),
                data: data.as_ptr(),
                size: data.len(),
                channels: channels.into(),
                height: rows.into(),
                width: columns.into(),
                reserved: 0,
            });
            let (width, height) = (width.into(), height.into());
            let status = unsafe {
                uflow_segment_latents(
                    fixture.segmenter,
                    latents.as_ptr(),
                    usize::from(scales % 4),
                    ptr::null(),
                    width,
                    height,
                    ptr::null(),
                    fixture.result,
                )
            };
            if status.is_null() {
                read(fixture.result);
            }
            any(status);
        }
        Input::Manifest { data } => {
            let manifest = fixture.folder.join("fuzz/uflow.json");
            fs::write(&manifest, data).unwrap();
            load(&fixture.folder.join("fuzz"));
        }
        Input::Package { cut, at, data } => {
            // The valid file with some bytes replaced or cut off, at its ends, where the archive's structure is.
            let mut bytes = fixture.package.clone();
            let end = bytes.len();
            let at = if at % 2 == 0 { usize::from(at) } else { end - usize::from(at).min(end) };
            let count = data.len().min(end - at);
            bytes[at..at + count].copy_from_slice(&data[..count]);
            if cut % 3 == 0 {
                bytes.truncate(end - usize::from(cut).min(end));
            }
            let path = fixture.folder.join("changed.uflow");
            fs::write(&path, bytes).unwrap();
            load(&path);
        }
    }
});
