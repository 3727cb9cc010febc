//! The examples with a camera.

use super::RGB;
use crate::fixture;
use crate::fixture::{Fixture, bad, build, image, libraries, ok, root};
use std::process::Command;

#[test]
fn the_reject_gate_rejects_the_right_parts() {
    const SLOTS: usize = 60;
    let fixture = Fixture::new();
    let libraries = libraries();
    let (files, scores): (Vec<_>, Vec<f32>) = (0..7_u64)
        .map(|seed| {
            let (width, height) = fixture::SIZE;
            let pixels = match seed % 3 {
                0 => bad(seed),
                _ => fixture::networks::models::good(seed, width, height, uflow::frame::PixelFormat::Rgb8),
            };
            ok(fixture.detect(&image(&pixels, RGB)));
            let file = fixture.folder.path().join(format!("part{seed}.png"));
            ::image::RgbImage::from_raw(width, height, pixels).unwrap().save(&file).unwrap();
            (file, fixture.summary().score_max)
        })
        .unzip();
    // A package that calls the three highest scores anomalous.
    let mut sorted = scores.clone();
    sorted.sort_by(f32::total_cmp);
    assert!(sorted[3] < sorted[4], "{scores:?}");
    let threshold = f32::midpoint(sorted[3], sorted[4]);
    let anomalous: Vec<bool> = scores.iter().map(|&score| score > threshold).collect();
    let package = fixture.package();
    let manifest = std::fs::read_to_string(package.join("uflow.json")).unwrap();
    let changed =
        manifest.replace("\"verdict\": \"nfa\"", &format!("\"verdict\": \"score\", \"score_threshold\": {threshold}"));
    assert_ne!(changed, manifest, "{manifest}");
    std::fs::write(package.join("uflow.json"), changed).unwrap();
    let expected: Vec<usize> = (0..SLOTS).filter(|slot| anomalous[slot % anomalous.len()]).collect();

    let program = fixture.folder.path().join("reject_gate");
    build(&root().join("examples/c/reject_gate.c"), &program, libraries.path(), &["-lpthread"]);
    // Verdicts are slow. With four buffers, every buffer already holds a later part when its verdict comes.
    let output = Command::new(&program).arg(&package).args([&SLOTS.to_string(), "5"]).args(&files).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && complained.is_empty(), "{said}{complained}");
    let slot = |line: &str| line.strip_prefix("rejected ").map(|slot| slot.parse::<usize>().unwrap());
    let rejected: Vec<usize> = said.lines().filter_map(slot).collect();
    assert_eq!(rejected, expected);
    assert!(said.ends_with(&format!("60 parts, {} rejected\n", expected.len())), "{said}");
    assert_eq!(Command::new(&program).output().unwrap().status.code(), Some(2));
}

#[test]
fn the_camera_example_gets_a_verdict_for_every_frame() {
    let fixture = Fixture::new();
    let libraries = libraries();
    let program = fixture.folder.path().join("camera_async");
    build(&root().join("examples/c/camera_async.c"), &program, libraries.path(), &[]);
    let run = |frames: &str| Command::new(&program).arg(fixture.package()).arg(frames).output().unwrap();
    let output = run("200");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("200 frames") && said.contains("200 verdicts") && said.contains("0 failed"), "{said}");
    assert!(!run("none").status.success());
}
