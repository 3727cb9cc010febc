//! What only imported flows have (rotations, another clamp, other hidden widths) keeps the flow's mathematics: gradients,
//! inverse, Jacobian.

use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    flow::{Architecture, Flow, Mixing, Normalisation, Real},
    latents::ScaleShape,
    train::Gradients,
};

fn architecture(features: &[(usize, usize, usize)], clamp: f64, hidden: &[usize]) -> Architecture {
    let shapes = features.iter().map(|&(channels, height, width)| ScaleShape { channels, height, width }).collect();
    let mut architecture = Architecture::with_steps(shapes, 3, vec![3, 1]).unwrap();
    architecture.clamp = clamp;
    architecture.hidden = hidden.to_vec();
    architecture
}

/// Every step rotates, every other one does, or none.
fn cases() -> Vec<Flow<f64>> {
    let flow = |architecture: Architecture, seed, rotated: fn(usize) -> bool| {
        let identity = vec![Normalisation::Identity; architecture.scales()];
        crate::flows::imported(architecture, identity, seed, 0.5, rotated)
    };
    vec![
        flow(architecture(&[(5, 2, 3)], 2.0, &[]), 1, |_| true),
        flow(architecture(&[(3, 4, 2), (9, 2, 1)], 1.3, &[2, 7]), 2, |index| index % 2 == 0),
        flow(architecture(&[(4, 4, 4), (3, 2, 2), (17, 1, 1)], 3.0, &[9, 1, 3]), 3, |_| true),
        flow(architecture(&[(4, 2, 2)], 0.4, &[5]), 4, |_| false),
    ]
}

fn image<T: Real>(flow: &Flow<T>, seed: u64) -> Vec<Array3<T>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut map = |shape: &ScaleShape| {
        let dims = (shape.channels, shape.height, shape.width);
        Array3::from_shape_simple_fn(dims, || T::of(random.random_range(-2.0..2.0)))
    };
    flow.architecture().features.iter().map(&mut map).collect()
}

fn loss(gradients: &mut Gradients<f64>, flow: &Flow<f64>, maps: &[Array3<f64>]) -> f64 {
    gradients.compute(flow, 1, |_, scale, target| target.copy_from_slice(maps[scale].as_slice().unwrap())).loss
}

#[test]
fn gradients_equal_central_differences() {
    for (case, mut flow) in cases().into_iter().enumerate() {
        let maps = image(&flow, 7);
        let mut gradients = Gradients::new(&flow);
        loss(&mut gradients, &flow, &maps);
        let gradient = gradients.gradient().to_vec();
        for (index, gradient) in gradient.iter().enumerate() {
            let middle = flow.parameters()[index];
            let mut at = |value: f64| {
                flow.parameters_mut()[index] = value;
                loss(&mut gradients, &flow, &maps)
            };
            let difference = (at(middle + 1e-5) - at(middle - 1e-5)) / 2e-5;
            at(middle);
            let error = (difference - gradient).abs() / gradient.abs().max(1.0);
            assert!(
                error < 1e-5,
                "case {case}, parameter {index}: gradient {gradient}, finite difference {difference}"
            );
        }
    }
}

#[test]
fn inverse_undoes_forward() {
    for flow in cases() {
        let maps = image(&flow, 8);
        let (latents, _) = flow.forward(&maps.iter().map(|map| map.view()).collect::<Vec<_>>()).unwrap();
        let back = flow.inverse(&latents.iter().map(|map| map.view()).collect::<Vec<_>>()).unwrap();
        for (back, map) in back.iter().flatten().zip(maps.iter().flatten()) {
            // The matrices are orthogonal to single precision only.
            assert!((back - map).abs() < 1e-4, "{back} is not {map}");
        }
    }
}

#[test]
fn the_log_determinant_is_that_of_the_same_flow_with_permutations() {
    // A rotation of the last step's output changes neither determinant nor energy.
    let flow = crate::flows::imported::<f64>(
        architecture(&[(6, 3, 2)], 1.5, &[4]),
        vec![Normalisation::Identity],
        5,
        0.5,
        |index| index == 2,
    );
    let mut permuted = flow.clone();
    let mut weights = permuted.step_weights(0, 2).unwrap();
    weights.mixing = Mixing::Permutation((0..6).rev().collect());
    permuted.set_step_weights(0, 2, &weights).unwrap();
    let maps = image(&flow, 9);
    let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
    let (rotated, first) = flow.forward(&views).unwrap();
    let (permuted, second) = permuted.forward(&views).unwrap();
    assert_eq!(first, second);
    let energy = |latents: &[Array3<f64>]| latents.iter().flatten().map(|z| z * z).sum::<f64>();
    assert!((energy(&rotated) / energy(&permuted) - 1.0).abs() < 1e-5);
    assert!((&rotated[0] - &permuted[0]).iter().any(|difference| difference.abs() > 0.1));
}

#[test]
fn a_matrix_that_is_not_orthogonal_and_a_wrong_clamp_or_width_are_refused() {
    let mut flow = cases().remove(0);
    let mut weights = flow.step_weights(0, 1).unwrap();
    weights.mixing = Mixing::Rotation(vec![0.5; 25]);
    let message = flow.set_step_weights(0, 1, &weights).unwrap_err().to_string();
    assert!(message.contains("scale 0, step 1") && message.contains("not orthogonal"), "{message}");
    for (clamp, hidden, what) in [(0.0, vec![], "clamp"), (f64::NAN, vec![], "clamp"), (2.0, vec![1, 1], "hidden")] {
        let message = architecture(&[(5, 2, 3)], clamp, &hidden).validate().unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn published_settings_are_not_written_and_others_are() {
    let json = |clamp, hidden: &[usize]| serde_json::to_string(&architecture(&[(5, 2, 3)], clamp, hidden)).unwrap();
    assert!(!json(2.0, &[]).contains("clamp") && !json(2.0, &[]).contains("hidden"));
    let other = json(1.5, &[4]);
    assert!(other.contains(r#""clamp":1.5"#) && other.contains(r#""hidden":[4]"#), "{other}");
    assert_eq!(serde_json::from_str::<Architecture>(&other).unwrap(), architecture(&[(5, 2, 3)], 1.5, &[4]));
}
