//! End to end against `tools/golden_segment.py`, an independent reference in Python (numpy, mpmath, PyTorch).

use std::fs::File;
use std::path::Path;

use ndarray::{Array1, Array2, Array3};
use ndarray_npy::NpzReader;
use uflow::latents::ScaleShape;
use uflow::segment::{Blocks, Bound, ChiSquared, Segmenter, upsample};

fn open(name: &str) -> NpzReader<File> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment").join(name);
    NpzReader::new(File::open(path).unwrap()).unwrap()
}

#[test]
fn maps_match_the_python_reference() {
    for name in ["two_scales", "correlated", "tied", "one_row", "calm"] {
        let mut file = open(&format!("{name}.npz"));
        let scales = file.names().unwrap().iter().filter(|name| name.starts_with('z')).count();
        let latents: Vec<Array3<f32>> = (0..scales).map(|scale| file.by_name(&format!("z{scale}")).unwrap()).collect();
        let score: Array2<f32> = file.by_name("score").unwrap();
        let shapes: Vec<_> = latents
            .iter()
            .map(|z| z.dim())
            .map(|(channels, height, width)| ScaleShape { channels, height, width })
            .collect();
        let views: Vec<_> = latents.iter().map(|z| z.view()).collect();
        let mut segmenter = Segmenter::new(&shapes, score.nrows(), score.ncols()).unwrap();
        for (bound, key) in [(Bound::Chernoff, "log10_nfa"), (Bound::Exact, "log10_nfa_exact")] {
            let expected: Array2<f32> = file.by_name(key).unwrap();
            let found = segmenter.run_latents(&views, bound).unwrap();
            assert_close(&format!("{name} score"), found.score.iter(), score.iter(), 1e-6, 0.0);
            assert_close(&format!("{name} {key}"), found.log10_nfa.iter(), expected.iter(), 2e-4, 1e-6);
            let (highest, lowest) =
                (found.score.fold(0.0, |a: f32, &b| a.max(b)), found.log10_nfa.fold(1e9, |a: f32, &b| a.min(b)));
            assert_eq!((found.score_max, found.log10_nfa_min), (highest, lowest), "{name}");
        }
    }
}

/// Against anomalib's own (`tools/golden_block.py`).
#[test]
fn block_counts_match_anomalibs() {
    let mut file = open("block.npz");
    let latents: Vec<Array3<f32>> = (0..3).map(|scale| file.by_name(&format!("z{scale}")).unwrap()).collect();
    let expected: Array2<f32> = file.by_name("log10_nfa").unwrap();
    let shape = |z: &Array3<f32>| ScaleShape { channels: z.dim().0, height: z.dim().1, width: z.dim().2 };
    let shapes: Vec<_> = latents.iter().map(shape).collect();
    let views: Vec<_> = latents.iter().map(|z| z.view()).collect();
    let blocks = Blocks::new(&shapes, expected.dim());
    let mut segmenter = Segmenter::new(&shapes, expected.nrows(), expected.ncols()).unwrap();
    let score = segmenter.run_latents(&views, Bound::Chernoff).unwrap().score.to_owned();
    let found = segmenter.run_blocks(&views, &blocks).unwrap();
    assert_close("log10_nfa", found.log10_nfa.iter(), expected.iter(), 2e-4, 1e-5);
    assert_eq!(found.score, score);
    assert!(found.log10_nfa_min < 0.7 && found.log10_nfa[[60, 40]] > 1.5);
    // The trees' map is back with the next image.
    let again = segmenter.run_latents(&views, Bound::Chernoff).unwrap();
    assert!(again.log10_nfa != blocks.log10_nfa(&views));
}

#[test]
fn interpolation_matches_pytorch() {
    let mut file = open("upsample.npz");
    for index in 0..6 {
        let source: Array2<f32> = file.by_name(&format!("in{index}")).unwrap();
        let expected: Array2<f32> = file.by_name(&format!("out{index}")).unwrap();
        let found = upsample(source.view(), expected.nrows(), expected.ncols()).unwrap();
        assert_close(&format!("pair {index}"), found.iter(), expected.iter(), 5e-7, 0.0);
        if source.dim() == expected.dim() {
            assert_eq!(found, source);
        }
    }
    assert!(upsample(Array2::zeros((0, 3)).view(), 2, 2).is_err());
    assert!(upsample(Array2::zeros((3, 3)).view(), 0, 2).is_err());
}

#[test]
fn survival_matches_high_precision() {
    let mut file = open("survival.npz");
    let degrees: Array1<i64> = file.by_name("degrees").unwrap();
    let u: Array1<f64> = file.by_name("u").unwrap();
    let expected: Array1<f64> = file.by_name("log10_sf").unwrap();
    for ((&degrees, &u), &expected) in degrees.iter().zip(&u).zip(&expected) {
        let found = ChiSquared::new(degrees as usize).log10_survival(u);
        let error = (found - expected).abs();
        assert!(error <= 1e-12 * expected.abs() + 1e-15, "C = {degrees}, u = {u}: {found}, not {expected}");
    }
    assert!(expected.iter().any(|&value| value < -1e6), "the file reaches far beyond the underflow");
}

fn assert_close<'a>(
    what: &str,
    found: impl Iterator<Item = &'a f32>,
    expected: impl Iterator<Item = &'a f32>,
    absolute: f32,
    relative: f32,
) {
    for (index, (&found, &expected)) in found.zip(expected).enumerate() {
        let allowed = absolute + relative * expected.abs();
        assert!((found - expected).abs() <= allowed, "{what}, pixel {index}: {found}, not {expected}");
    }
}
