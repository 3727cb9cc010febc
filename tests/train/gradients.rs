//! The flow's mathematics: golden values of PyTorch and FrEIA, finite differences, inverse, Jacobian, threads.

use std::path::Path;

use ndarray::{Array2, Array3, ArrayView3};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use uflow::{
    flow::{Architecture, Flow, Mixing, Normalisation, Real, StepWeights, Topology},
    latents::ScaleShape,
    train::Gradients,
};

fn shapes(shapes: &[(usize, usize, usize)]) -> Vec<ScaleShape> {
    shapes.iter().map(|&(channels, height, width)| ScaleShape { channels, height, width }).collect()
}

/// A flow whose every parameter is far from its initial value, so that no term of a gradient is hidden by a zero.
fn random_flow(features: &[(usize, usize, usize)], steps: usize, kernels: &[usize], seed: u64) -> Flow<f64> {
    let architecture = Architecture::with_steps(shapes(features), steps, kernels.to_vec()).unwrap();
    let identity = vec![Normalisation::Identity; features.len()];
    let mut flow = Flow::<f64>::new(architecture, identity, seed).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed + 1000);
    for parameter in flow.parameters_mut() {
        *parameter += random.random_range(-0.8..0.8);
    }
    flow
}

fn random_images(architecture: &Architecture, batch: usize, seed: u64) -> Vec<Vec<Vec<f64>>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut map = |shape: &ScaleShape| (0..shape.len()).map(|_| random.random_range(-2.0..2.0)).collect();
    (0..batch).map(|_| architecture.features.iter().map(&mut map).collect()).collect()
}

fn arrays<T: Real>(shapes: &[ScaleShape], maps: &[Vec<f64>]) -> Vec<Array3<T>> {
    let array = |(shape, map): (&ScaleShape, &Vec<f64>)| {
        let values = map.iter().map(|&value| T::of(value)).collect();
        Array3::from_shape_vec((shape.channels, shape.height, shape.width), values).unwrap()
    };
    shapes.iter().zip(maps).map(array).collect()
}

fn views<T>(maps: &[Array3<T>]) -> Vec<ArrayView3<'_, T>> {
    maps.iter().map(|map| map.view()).collect()
}

fn loss<T: Real>(gradients: &mut Gradients<T>, flow: &Flow<T>, images: &[Vec<Vec<f64>>]) -> f64 {
    let fill = |image: usize, scale: usize, target: &mut [T]| {
        for (target, value) in target.iter_mut().zip(&images[image][scale]) {
            *target = T::of(*value);
        }
    };
    gradients.compute(flow, images.len(), fill).loss
}

/// Largest difference over the largest value: the relative error of a tensor.
fn relative_error(found: impl IntoIterator<Item = f64>, expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(1e-12f64, |largest, value| largest.max(value.abs()));
    let mut count = 0;
    let mut worst = 0.0f64;
    for (found, expected) in found.into_iter().zip(expected) {
        assert!(found.is_finite());
        worst = worst.max((found - expected).abs());
        count += 1;
    }
    assert_eq!(count, expected.len());
    worst / largest
}

#[derive(Deserialize)]
struct Golden {
    features: Vec<(usize, usize, usize)>,
    steps: usize,
    kernels: Vec<usize>,
    batch: usize,
    loss: f64,
    log_det: Vec<f64>,
    inputs: Vec<Vec<f64>>,
    latents: Vec<Vec<f64>>,
    stages: Vec<Vec<GoldenStep>>,
}

#[derive(Deserialize)]
struct GoldenStep {
    #[serde(flatten)]
    tensors: GoldenTensors,
    gradients: GoldenTensors,
    permutation: Vec<usize>,
}

#[derive(Deserialize)]
struct GoldenTensors {
    first_weight: Vec<f64>,
    first_bias: Vec<f64>,
    second_weight: Vec<f64>,
    second_bias: Vec<f64>,
    scale: Vec<f64>,
    offset: Vec<f64>,
}

impl Golden {
    fn flow(&self) -> Flow<f64> {
        let mut flow = random_flow(&self.features, self.steps, &self.kernels, 0);
        for (scale, steps) in self.stages.iter().enumerate() {
            for (index, GoldenStep { tensors, permutation, .. }) in steps.iter().enumerate() {
                let weights = StepWeights {
                    first_weight: tensors.first_weight.clone(),
                    first_bias: tensors.first_bias.clone(),
                    second_weight: tensors.second_weight.clone(),
                    second_bias: tensors.second_bias.clone(),
                    scale: tensors.scale.clone(),
                    offset: tensors.offset.clone(),
                    mixing: Mixing::Permutation(permutation.clone()),
                };
                flow.set_step_weights(scale, index, &weights).unwrap();
                assert_eq!(flow.step_weights(scale, index).unwrap(), weights);
            }
        }
        flow
    }

    fn images(&self) -> Vec<Vec<Vec<f64>>> {
        let map = |image, values: &Vec<f64>| {
            let length = values.len() / self.batch;
            values[image * length..(image + 1) * length].to_vec()
        };
        (0..self.batch).map(|image| self.inputs.iter().map(|values| map(image, values)).collect()).collect()
    }

    fn check<T: Real>(&self, name: &str, tolerance: f64) {
        let flow: Flow<T> = self.flow().cast();
        let images = self.images();
        let features = shapes(&self.features);
        for (image, maps) in images.iter().enumerate() {
            let (latents, log_det) = flow.forward(&views(&arrays::<T>(&features, maps))).unwrap();
            assert!(
                (log_det - self.log_det[image]).abs() <= tolerance * self.log_det[image].abs().max(1.0),
                "{name}: log-determinant {log_det}, not {}",
                self.log_det[image]
            );
            for (scale, latent) in latents.iter().enumerate() {
                let expected = &self.latents[scale][image * latent.len()..(image + 1) * latent.len()];
                let error = relative_error(latent.iter().map(|value| value.to_f64()), expected);
                assert!(error <= tolerance, "{name}: latents of scale {scale} differ by {error:e}");
            }
        }
        let mut gradients = Gradients::new(&flow);
        let loss = loss(&mut gradients, &flow, &images);
        assert!((loss - self.loss).abs() <= tolerance * self.loss.abs(), "{name}: loss {loss}, not {}", self.loss);
        for (scale, steps) in self.stages.iter().enumerate() {
            for (index, step) in steps.iter().enumerate() {
                let found = flow.in_step_layout(gradients.gradient(), scale, index).unwrap();
                let expected = &step.gradients;
                let groups = [
                    ("first weights", found.first_weight, &expected.first_weight),
                    ("first biases", found.first_bias, &expected.first_bias),
                    ("second weights", found.second_weight, &expected.second_weight),
                    ("second biases", found.second_bias, &expected.second_bias),
                    ("scales", found.scale, &expected.scale),
                    ("offsets", found.offset, &expected.offset),
                ];
                for (group, found, expected) in groups {
                    let error = relative_error(found.iter().map(|value| value.to_f64()), expected);
                    assert!(error <= tolerance, "{name}: {group} of scale {scale}, step {index} differ by {error:e}");
                }
            }
        }
    }
}

#[test]
fn equals_freia_in_single_and_double_precision() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/flow");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let golden: Golden = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        golden.check::<f64>(&name, 1e-9);
        golden.check::<f32>(&name, 1e-4);
        names.push(name);
    }
    names.sort();
    let expected =
        ["four_scales", "nothing_rises", "one_pixel", "one_scale", "one_scale_odd", "three_scales_odd", "two_scales"];
    assert_eq!(names, expected, "golden files, by tools/golden_flow.py");
}

#[test]
fn every_gradient_equals_central_differences() {
    type Case<'a> = (&'a [(usize, usize, usize)], usize, &'a [usize]);
    let cases: [Case<'_>; 7] = [
        (&[(4, 3, 3)], 2, &[3, 1]),
        (&[(5, 2, 3)], 2, &[1, 3]),
        (&[(2, 4, 1)], 1, &[5]),
        (&[(7, 1, 1)], 3, &[3, 1]),
        (&[(3, 4, 2), (9, 2, 1)], 2, &[3, 1]),
        (&[(2, 4, 4), (3, 2, 2), (17, 1, 1)], 2, &[3, 1]),
        (&[(2, 8, 8), (3, 4, 4), (8, 2, 2), (9, 1, 1)], 1, &[3]),
    ];
    for (case, (features, steps, kernels)) in cases.into_iter().enumerate() {
        let mut flow = random_flow(features, steps, kernels, case as u64);
        let images = random_images(flow.architecture(), 2, 50 + case as u64);
        let mut gradients = Gradients::new(&flow);
        loss(&mut gradients, &flow, &images);
        let gradient = gradients.gradient().to_vec();
        let step = 1e-5;
        for (index, &derivative) in gradient.iter().enumerate() {
            let middle = flow.parameters()[index];
            let mut at = |value: f64| {
                flow.parameters_mut()[index] = value;
                loss(&mut gradients, &flow, &images)
            };
            let difference = (at(middle + step) - at(middle - step)) / (2.0 * step);
            at(middle);
            let error = (difference - derivative).abs() / derivative.abs().max(1.0);
            assert!(
                error < 1e-5,
                "case {case}, parameter {index}: gradient {derivative}, finite difference {difference}"
            );
        }
    }
}

#[test]
fn parallel_stages_are_flows_of_one_scale() {
    let features = [(5, 8, 4), (7, 4, 2), (17, 2, 1)];
    let architecture = Architecture::connected(shapes(&features), 4, vec![3, 1], Topology::Parallel).unwrap();
    let mut flow = Flow::<f64>::new(architecture.clone(), vec![Normalisation::Identity; 3], 3).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    flow.parameters_mut().iter_mut().for_each(|parameter| *parameter += random.random_range(-0.05..0.05));
    let image = &random_images(&architecture, 1, 5)[0];
    let maps: Vec<Array3<f64>> = arrays(&architecture.features, image);
    let (latents, log_det) = flow.forward(&views(&maps)).unwrap();
    assert_eq!(architecture.latents(), architecture.features);
    let mut sum = 0.0;
    for (scale, shape) in features.iter().enumerate() {
        let mut alone =
            Flow::<f64>::new(Architecture::new(shapes(&[*shape])).unwrap(), vec![Normalisation::Identity], 0).unwrap();
        for step in 0..4 {
            alone.set_step_weights(0, step, &flow.step_weights(scale, step).unwrap()).unwrap();
        }
        let (latent, log_det) = alone.forward(&views(&maps[scale..=scale])).unwrap();
        assert_eq!(latent[0], latents[scale]);
        sum += log_det;
    }
    assert!((sum - log_det).abs() < 1e-9 * log_det.abs().max(1.0), "{sum} is not {log_det}");
    let back = flow.inverse(&views(&latents)).unwrap();
    for (back, map) in back.iter().flatten().zip(maps.iter().flatten()) {
        assert!((back - map).abs() < 1e-9, "{back} is not {map}");
    }
    let mut gradients = Gradients::new(&flow);
    let images = random_images(&architecture, 2, 6);
    loss(&mut gradients, &flow, &images);
    let gradient = gradients.gradient().to_vec();
    for index in (0..gradient.len()).step_by(7) {
        let middle = flow.parameters()[index];
        let mut at = |value: f64| {
            flow.parameters_mut()[index] = value;
            loss(&mut gradients, &flow, &images)
        };
        let difference = (at(middle + 1e-5) - at(middle - 1e-5)) / 2e-5;
        at(middle);
        let error = (difference - gradient[index]).abs() / gradient[index].abs().max(1.0);
        assert!(error < 1e-5, "parameter {index}: gradient {}, finite difference {difference}", gradient[index]);
    }
}

#[test]
fn inverse_undoes_forward() {
    for (features, seed) in
        [(&[(5, 8, 4), (7, 4, 2), (17, 2, 1)][..], 1), (&[(84, 16, 16)][..], 2), (&[(1, 2, 2), (16, 1, 1)][..], 3)]
    {
        let architecture = Architecture::new(shapes(features)).unwrap();
        let identity = vec![Normalisation::Identity; features.len()];
        let mut flow = Flow::<f32>::new(architecture.clone(), identity, seed).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for parameter in flow.parameters_mut() {
            *parameter += random.random_range(-0.05..0.05);
        }
        let features: Vec<Array3<f32>> = arrays(&architecture.features, &random_images(&architecture, 1, seed)[0]);
        let (latents, _) = flow.forward(&views(&features)).unwrap();
        let changed = latents.iter().flatten().zip(features.iter().flatten()).any(|(z, x)| (z - x).abs() > 0.1);
        assert!(changed, "the flow did nothing");
        let back = flow.inverse(&views(&latents)).unwrap();
        for (back, feature) in back.iter().zip(&features) {
            for (back, feature) in back.iter().zip(feature) {
                assert!((back - feature).abs() <= 1e-4, "{back} is not {feature}");
            }
        }
    }
}

#[test]
fn log_determinant_equals_the_jacobian() {
    for features in [&[(3, 2, 2)][..], &[(2, 4, 2), (8, 2, 1)][..], &[(2, 4, 4), (3, 2, 2), (9, 1, 1)][..]] {
        let flow = random_flow(features, 2, &[3, 1], 9);
        let architecture = flow.architecture().clone();
        let point: Vec<f64> = random_images(&architecture, 1, 4)[0].concat();
        let map = |point: &[f64]| -> (Vec<f64>, f64) {
            let mut start = 0;
            let mut maps = Vec::new();
            for shape in &architecture.features {
                maps.push(point[start..start + shape.len()].to_vec());
                start += shape.len();
            }
            let (latents, log_det) = flow.forward(&views(&arrays::<f64>(&architecture.features, &maps))).unwrap();
            (latents.into_iter().flatten().collect(), log_det)
        };
        let (latents, log_det) = map(&point);
        let count = point.len();
        assert_eq!(latents.len(), count);
        let mut jacobian = Array2::zeros((count, count));
        for column in 0..count {
            let at = |offset: f64| {
                let mut point = point.clone();
                point[column] += offset;
                map(&point).0
            };
            let (above, below) = (at(1e-6), at(-1e-6));
            for row in 0..count {
                jacobian[[row, column]] = (above[row] - below[row]) / 2e-6;
            }
        }
        let brute_force = log_abs_determinant(jacobian);
        assert!((brute_force - log_det).abs() < 1e-6, "log-determinant {log_det}, by the Jacobian {brute_force}");
    }
}

/// ln |det| by Gaussian elimination with partial pivoting.
fn log_abs_determinant(mut matrix: Array2<f64>) -> f64 {
    let count = matrix.nrows();
    let mut sum = 0.0;
    for column in 0..count {
        let by_size = |&a: &usize, &b: &usize| matrix[[a, column]].abs().total_cmp(&matrix[[b, column]].abs());
        let pivot = (column..count).max_by(by_size).unwrap();
        for other in 0..count {
            matrix.swap([pivot, other], [column, other]);
        }
        sum += matrix[[column, column]].abs().ln();
        for row in column + 1..count {
            let factor = matrix[[row, column]] / matrix[[column, column]];
            for other in column..count {
                matrix[[row, other]] -= factor * matrix[[column, other]];
            }
        }
    }
    sum
}

#[test]
fn rows_split_among_threads_give_the_same_gradient() {
    // One image of 64×48 is cut into several parts, sixteen of them are not.
    let flow = random_flow(&[(6, 64, 48), (8, 32, 24)], 2, &[3, 1], 5);
    let image = random_images(flow.architecture(), 1, 6);
    let copies = vec![image[0].clone(); 16];
    let mut gradients = Gradients::new(&flow);
    let whole_loss = loss(&mut gradients, &flow, &copies);
    let whole = gradients.gradient().to_vec();
    let split_loss = loss(&mut gradients, &flow, &image);
    assert!((whole_loss - split_loss).abs() < 1e-9 * whole_loss.abs());
    assert!(relative_error(gradients.gradient().iter().copied(), &whole) < 1e-12);
}

#[test]
fn gradients_have_the_same_bits_for_any_number_of_threads() {
    let flow: Flow<f32> = random_flow(&[(6, 64, 48), (8, 32, 24)], 2, &[3, 1], 5).cast();
    for batch in [1, 3, 8, 19] {
        let images = random_images(flow.architecture(), batch, 6);
        let mut bits = Vec::new();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut gradients = Gradients::new(&flow);
            let loss = pool.install(|| loss(&mut gradients, &flow, &images));
            let gradient: Vec<u32> = gradients.gradient().iter().map(|value| value.to_bits()).collect();
            bits.push((loss.to_bits(), gradient));
        }
        assert!(bits.windows(2).all(|pair| pair[0] == pair[1]), "batch {batch}");
    }
}

#[test]
fn shapes_that_cannot_be_built_are_refused() {
    let message = |features: &[(usize, usize, usize)]| Architecture::new(shapes(features)).unwrap_err().to_string();
    assert!(message(&[]).contains("no feature maps"));
    assert!(message(&[(4, 8, 8), (4, 4, 3)]).contains("scale 0 is 8×8 and scale 1 is 3×4"));
    assert!(message(&[(4, 7, 7), (4, 4, 4)]).contains("exactly twice"));
    assert!(message(&[(4, 0, 8)]).contains("is empty (4×0×8)"));
    assert!(message(&[(1, 8, 8)]).contains("has one channel"));
    assert!(Architecture::with_steps(shapes(&[(4, 2, 2)]), 0, vec![3]).is_err());
    assert!(Architecture::with_steps(shapes(&[(4, 2, 2)]), 4, vec![2]).unwrap_err().to_string().contains("odd"));

    let published = Architecture::new(shapes(&[(768, 28, 28), (384, 14, 14)])).unwrap();
    assert_eq!(published.latents(), shapes(&[(816, 28, 28), (192, 14, 14)]));
    let flow = Flow::<f32>::new(published, vec![Normalisation::Identity; 2], 0).unwrap();
    let wrong = Array3::zeros((768, 28, 14));
    let error = flow.forward(&[wrong.view(), wrong.view()]).unwrap_err().to_string();
    assert!(error.contains("scale 0 is 768×28×14, not 768×28×28"), "{error}");
}
