//! Training end to end on small synthetic features: likelihood, whiteness, repeatability, stopping, the feature cache.

use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    flow::{Architecture, Flow, Normalisation, NormalisationKind, Topology},
    latents::ScaleShape,
    train::{Control, FeatureCache, Progress, Start, StopReason, TrainOptions, Trained, Trainer, train, train_on},
};

const SHAPES: [ScaleShape; 2] =
    [ScaleShape { channels: 4, height: 8, width: 8 }, ScaleShape { channels: 10, height: 4, width: 4 }];

/// Features with something to learn: channels depend on each other, not linearly, and have their own mean and spread.
fn image(random: &mut ChaCha8Rng) -> Vec<Array3<f32>> {
    let map = |shape: &ScaleShape| {
        let mut map = Array3::zeros((shape.channels, shape.height, shape.width));
        for y in 0..shape.height {
            for x in 0..shape.width {
                let mut normal = || (0..12).map(|_| random.random_range(-0.5f32..0.5)).sum::<f32>();
                let shared = normal();
                for channel in 0..shape.channels {
                    let own = 0.3 * normal();
                    let value = if channel % 2 == 0 { shared } else { 0.5 * shared * shared };
                    map[[channel, y, x]] = (value + own) * (1.0 + channel as f32) + 3.0 * channel as f32;
                }
            }
        }
        map
    };
    SHAPES.iter().map(map).collect()
}

fn cache(images: usize, budget: u64) -> FeatureCache {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut cache = FeatureCache::new(&SHAPES, budget).unwrap();
    for _ in 0..images {
        let image = image(&mut random);
        cache.push(&[image[0].view(), image[1].view()]).unwrap();
    }
    cache
}

fn options() -> TrainOptions {
    TrainOptions { epochs: 12, batch: 4, seed: 3, threads: Some(2), noise: 0.05, ..TrainOptions::default() }
}

fn quietly(cache: &FeatureCache, options: &TrainOptions) -> Trained {
    train(cache, options, &mut |_| Control::Continue).unwrap()
}

#[test]
fn likelihood_rises_and_latents_of_unseen_images_are_white() {
    let cache = cache(80, u64::MAX);
    // What whitening has taken out before, the linear dependence, cannot be gained again.
    let kinds = [NormalisationKind::Standardise, NormalisationKind::LayerNorm, NormalisationKind::Whiten];
    for (normalisation, gain) in kinds.into_iter().zip([0.1, 0.1, 0.02]) {
        let mut held_out = Vec::new();
        let mut note = |progress: Progress| {
            held_out.extend(progress.held_out);
            Control::Continue
        };
        // A U is kept as a whole; separate flows each at their own best epoch.
        let topology = Topology::UShaped;
        let options = TrainOptions { normalisation, topology, learning_rate: 3e-3, ..options() };
        let trained = train(&cache, &options, &mut note).unwrap();
        let summary = &trained.summary;
        assert!(
            summary.best.nll < held_out[0].nll - gain,
            "held-out likelihood went from {} to {}",
            held_out[0].nll,
            summary.best.nll
        );
        let least = held_out.iter().map(|held_out| held_out.nll).fold(f64::INFINITY, f64::min);
        assert_eq!(summary.best.nll, least, "the returned model is the best one");
        assert_eq!(held_out[summary.best_epoch].nll, least);
        assert!(
            summary.best.latent_variance.iter().all(|variance| (0.8..1.25).contains(variance)),
            "{:?}",
            summary.best
        );
        // So few epochs do not learn all linear dependence where whitening has not taken it out before.
        let worse = |warning: &String| warning.contains("worse than a Gaussian");
        let worse_allowed = normalisation != NormalisationKind::Whiten;
        let warnings: Vec<_> = summary.warnings().into_iter().filter(|text| !(worse_allowed && worse(text))).collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((summary.images, summary.held_out.len()), (72, 8));
        match (&trained.flow.normalisations()[1], normalisation) {
            (Normalisation::Standardise { mean, .. }, NormalisationKind::Standardise) => {
                assert!((mean[4] - 12.0).abs() < 0.3, "mean {}", mean[4]);
            }
            (Normalisation::LayerNorm { affine: None }, NormalisationKind::LayerNorm) => {}
            (Normalisation::Whiten { mean, .. }, NormalisationKind::Whiten) => {
                assert!((mean[4] - 12.0).abs() < 0.3, "mean {}", mean[4]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_flow_without_steps_is_a_gaussian_of_each_scale() {
    let cache = cache(40, u64::MAX);
    let options =
        TrainOptions { steps: 0, topology: Topology::Parallel, normalisation: NormalisationKind::Whiten, ..options() };
    let trained = quietly(&cache, &options);
    let summary = &trained.summary;
    assert_eq!((summary.stopped, summary.epochs, summary.optimiser_steps), (StopReason::Finished, 0, 0));
    assert!(summary.warnings().is_empty(), "{:?}", summary.warnings());
    // The covariance of the latents of the training images, summed without the code that whitens. Shrinkage makes it a little less than 1.
    for (scale, shape) in SHAPES.iter().enumerate() {
        let channels = shape.channels;
        let (mut sums, mut count) = (vec![0.0_f64; channels * channels], 0.0);
        for image in (0..cache.len()).filter(|image| !summary.held_out.contains(image)) {
            let (latents, log_det) = latents_of(&cache, image, &trained);
            assert_eq!(log_det, 0.0);
            for pixel in latents[scale].lanes(ndarray::Axis(0)) {
                for (index, sum) in sums.iter_mut().enumerate() {
                    *sum += f64::from(pixel[index / channels] * pixel[index % channels]);
                }
                count += 1.0;
            }
        }
        for (index, sum) in sums.iter().enumerate() {
            let (value, wanted) = (sum / count, if index / channels == index % channels { 1.0 } else { 0.0 });
            assert!((value - wanted).abs() < 0.1, "scale {scale}: covariance {index} is {value}, not {wanted}");
        }
    }
}

#[test]
fn act_norm_starts_from_the_data() {
    let cache = cache(40, u64::MAX);
    let mut first = None;
    let mut stop = |progress: Progress| {
        first = progress.held_out;
        Control::Stop
    };
    let options = TrainOptions { normalisation: NormalisationKind::LayerNorm, ..options() };
    let trained = train(&cache, &options, &mut stop).unwrap();
    assert_eq!((trained.summary.stopped, trained.summary.best_epoch), (StopReason::Asked, 0));
    assert_eq!(trained.summary.optimiser_steps, 0);
    for variance in first.unwrap().latent_variance {
        assert!((0.8..1.25).contains(&variance), "variance {variance} before training");
    }
}

/// The latents of an image and log |det J|, by the flow's public pass.
fn latents_of(cache: &FeatureCache, image: usize, trained: &Trained) -> (Vec<Array3<f32>>, f64) {
    let maps: Vec<Array3<f32>> = (SHAPES.iter().enumerate())
        .map(|(scale, shape)| {
            let mut map = vec![0.0; shape.len()];
            cache.read(image, 0, scale, &mut map);
            Array3::from_shape_vec((shape.channels, shape.height, shape.width), map).unwrap()
        })
        .collect();
    let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
    trained.flow.forward(&views).unwrap()
}

/// Negative log-likelihood of the held-out images in nats per value.
fn held_out_nll(cache: &FeatureCache, trained: &Trained) -> f64 {
    let (mut total, mut values) = (0.0, 0.0);
    for &image in &trained.summary.held_out {
        let (latents, log_det) = latents_of(cache, image, trained);
        let latents: Vec<f64> = latents.iter().flatten().map(|&z| f64::from(z)).collect();
        total += latents.iter().map(|z| 0.5 * z * z).sum::<f64>() - log_det;
        values += latents.len() as f64;
    }
    total / values + 0.5 * std::f64::consts::TAU.ln()
}

#[test]
fn on_whitened_features_every_flow_starts_as_their_gaussian_and_does_not_end_worse() {
    let cache = cache(60, u64::MAX);
    let whiten = TrainOptions { normalisation: NormalisationKind::Whiten, ..options() };
    let gaussian = quietly(&cache, &TrainOptions { steps: 0, topology: Topology::Parallel, ..whiten.clone() });
    let gaussian = held_out_nll(&cache, &gaussian);
    for topology in [Topology::UShaped, Topology::Parallel] {
        let mut start = None;
        let trained = train(&cache, &TrainOptions { topology, ..whiten.clone() }, &mut |progress| {
            start = start.or(progress.held_out.map(|held_out| held_out.nll));
            Control::Continue
        })
        .unwrap();
        let start = start.unwrap();
        assert!((start - gaussian).abs() < 1e-5, "{topology:?} starts at {start}, not at the Gaussian's {gaussian}");
        let summary = &trained.summary;
        let gain = summary.gain_over_gaussian().unwrap();
        assert!(gain > 0.0 && (gaussian - summary.best.nll - gain).abs() < 1e-5, "{gain}");
        // The figures are those of the flow that is returned.
        assert!((held_out_nll(&cache, &trained) - summary.best.nll).abs() < 1e-5);
        assert_eq!(summary.held_out_nll[summary.best_epoch], summary.best.nll);
        assert_eq!(summary.held_out_nll.len(), summary.epochs + 1);
    }
}

#[test]
fn a_flow_that_is_worse_than_the_gaussian_says_so() {
    let cache = cache(60, u64::MAX);
    for normalisation in [NormalisationKind::Standardise, NormalisationKind::LayerNorm] {
        // Channels depend on each other: one epoch at a tiny rate cannot learn it.
        let slow = TrainOptions { normalisation, epochs: 1, learning_rate: 1e-6, ..options() };
        let summary = quietly(&cache, &slow).summary;
        let gain = summary.gain_over_gaussian().unwrap();
        assert!(gain < -0.1, "{normalisation}: {gain}");
        let warnings = summary.warnings().join("\n");
        assert!(
            warnings.contains(&format!("worse than a Gaussian of the same features does, by {:.3} nats", -gain)),
            "{warnings}"
        );
        let other = quietly(&cache, &TrainOptions { fold: 1, ..slow }).summary;
        assert_eq!(other.gain_over_gaussian(), None, "only the model itself is compared");
    }
}

#[test]
fn a_time_budget_ends_training_within_an_epoch_with_the_best_model() {
    let cache = cache(40, u64::MAX);
    let hurried = TrainOptions { time_budget: Some(std::time::Duration::from_nanos(1)), ..options() };
    let trained = quietly(&cache, &hurried);
    let summary = &trained.summary;
    assert_eq!((summary.stopped, summary.epochs, summary.optimiser_steps), (StopReason::TimeBudget, 1, 1));
    assert!((held_out_nll(&cache, &trained) - summary.best.nll).abs() < 1e-5);
    // With time enough the budget changes nothing.
    let calm = TrainOptions { time_budget: Some(std::time::Duration::from_secs(3600)), epochs: 2, ..options() };
    let free = TrainOptions { time_budget: None, ..calm.clone() };
    let [calm, free] = [calm, free].map(|options| quietly(&cache, &options));
    assert_eq!(calm.summary.stopped, StopReason::Finished);
    assert_eq!(calm.flow.parameters(), free.flow.parameters());
}

#[test]
fn one_seed_gives_the_same_bits_with_any_number_of_threads() {
    let cache = cache(24, u64::MAX);
    let run = |threads, seed| {
        let options = TrainOptions { threads: Some(threads), seed, epochs: 3, ..options() };
        let trained = quietly(&cache, &options);
        let bits: Vec<u32> = trained.flow.parameters().iter().map(|value| value.to_bits()).collect();
        (bits, trained.summary.best.nll.to_bits(), trained.summary.held_out)
    };
    let first = run(1, 7);
    assert_eq!(first, run(1, 7));
    assert_eq!(first, run(2, 7));
    assert_ne!(first.0, run(2, 8).0);
}

#[test]
fn stopping_keeps_the_best_model_so_far() {
    let cache = cache(40, u64::MAX);
    let mut best = f64::INFINITY;
    let mut stop_in_third_epoch = |progress: Progress| {
        if let Some(held_out) = &progress.held_out {
            best = best.min(held_out.nll);
        }
        if progress.epoch == 3 && progress.batch == 2 { Control::Stop } else { Control::Continue }
    };
    let trained = train(&cache, &options(), &mut stop_in_third_epoch).unwrap();
    assert_eq!(trained.summary.stopped, StopReason::Asked);
    assert_eq!(trained.summary.epochs, 3);
    assert_eq!(trained.summary.best.nll, best);
    assert!(trained.summary.best_epoch >= 1);
}

#[test]
fn every_image_is_held_out_of_one_fold() {
    let cache = cache(30, u64::MAX);
    let fold = |fold| TrainOptions { fold, epochs: 1, held_out: 0.25, ..options() };
    let parts = [0, 1, 2, 3].map(|number| quietly(&cache, &fold(number)).summary.held_out);
    assert_eq!(parts.each_ref().map(Vec::len), [8, 8, 8, 6]);
    let mut all = parts.concat();
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>());
    let error = train(&cache, &fold(4), &mut |_| Control::Continue).unwrap_err().to_string();
    assert!(error.contains("no part 4 of 8 in 30 images"), "{error}");
}

#[test]
fn patience_ends_training() {
    let cache = cache(12, u64::MAX);
    // Far too high a rate for so few images: the held-out likelihood soon gets worse.
    let options = TrainOptions { epochs: 500, patience: 2, learning_rate: 2e-2, noise: 0.0, ..options() };
    let trained = quietly(&cache, &options);
    assert_ne!(trained.summary.stopped, StopReason::Finished);
    assert!(trained.summary.epochs < 500);
}

#[test]
fn a_step_whose_loss_is_not_finite_changes_nothing() {
    let identity = vec![Normalisation::Identity; 2];
    let flow = Flow::<f32>::new(Architecture::new(SHAPES.to_vec()).unwrap(), identity, 1).unwrap();
    let before = flow.parameters().to_vec();
    let mut trainer = Trainer::new(flow, &options());
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        let loss = trainer.step(2, 1e-3, |image, _, target| {
            target.fill(0.5);
            target[0] = if image == 1 { bad } else { 0.5 };
        });
        assert!(loss.loss.is_nan());
        assert_eq!(trainer.flow().parameters(), before);
    }
    assert!(trainer.step(2, 1e-3, |_, _, target| target.fill(0.5)).loss.is_finite());
    assert_ne!(trainer.flow().parameters(), before);
}

#[test]
fn too_few_images_and_wrong_options_are_refused() {
    let error = train(&cache(7, u64::MAX), &options(), &mut |_| Control::Continue).unwrap_err().to_string();
    assert!(error.contains("7 good images are too few: at least 8"), "{error}");
    let wrong: [(TrainOptions, &str); 7] = [
        (TrainOptions { epochs: 0, ..options() }, "epochs: must be at least 1"),
        (TrainOptions { noise: -0.1, ..options() }, "noise: -0.1 is outside [0, 1]"),
        (TrainOptions { held_out: 0.9, ..options() }, "held out: 0.9 is outside (0, 0.5]"),
        (TrainOptions { learning_rate: f64::NAN, ..options() }, "learning rate: NaN is outside (0, 1]"),
        (TrainOptions { least_gain: -0.1, ..options() }, "least gain: -0.1 is outside [0, 1]"),
        (TrainOptions { time_budget: Some(std::time::Duration::ZERO), ..options() }, "time budget: must be above 0 s"),
        (TrainOptions { kernels: vec![4], ..options() }, "kernel sizes must be odd"),
    ];
    for (options, expected) in wrong {
        let error = train(&cache(8, u64::MAX), &options, &mut |_| Control::Continue).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_cache_gives_back_what_was_put_in_wherever_it_lies() {
    let bytes = 2 * SHAPES.iter().map(|shape| shape.len()).sum::<usize>();
    for (budget, expected) in [(u64::MAX, [7, 0]), (3 * bytes as u64 + 1, [3, 4]), (0, [0, 7])] {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut cache = FeatureCache::new(&SHAPES, budget).unwrap();
        let mut pushed = Vec::new();
        for (number, versions) in [1, 3, 1, 2].into_iter().enumerate() {
            let maps: Vec<_> = (0..versions).map(|_| image(&mut random)).collect();
            for (version, maps) in maps.iter().enumerate() {
                let views = [maps[0].view(), maps[1].view()];
                if version == 0 { cache.push(&views).unwrap() } else { cache.push_version(&views).unwrap() }
            }
            assert_eq!(cache.versions(number), versions);
            pushed.push(maps);
        }
        assert_eq!(cache.len(), 4);
        assert_eq!(cache.bytes(), expected.map(|count| count * bytes));
        for (number, versions) in pushed.iter().enumerate() {
            for (version, maps) in versions.iter().enumerate() {
                for (scale, map) in maps.iter().enumerate() {
                    let mut read = vec![0.0; map.len()];
                    cache.read(number, version, scale, &mut read);
                    for (read, value) in read.iter().zip(map) {
                        assert!((read - value).abs() <= value.abs() / 1024.0, "{read} is not {value}");
                    }
                }
            }
        }
    }
}

#[test]
fn training_from_a_file_equals_training_from_memory() {
    let options = TrainOptions { epochs: 2, ..options() };
    let [memory, file] = [u64::MAX, 0].map(|budget| quietly(&cache(12, budget), &options).flow);
    assert_eq!(memory.parameters(), file.parameters());
}

#[test]
fn features_that_cannot_be_kept_are_refused() {
    let mut cache = FeatureCache::new(&SHAPES, u64::MAX).unwrap();
    let good = image(&mut ChaCha8Rng::seed_from_u64(1));
    let push = |cache: &mut FeatureCache, maps: &[Array3<f32>]| {
        let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
        cache.push(&views).unwrap_err().to_string()
    };
    assert!(cache.push_version(&[good[0].view(), good[1].view()]).is_err());
    assert!(push(&mut cache, &good[..1]).contains("1 maps given, 2 scales"));
    assert!(push(&mut cache, &[good[1].clone(), good[1].clone()]).contains("scale 0 is 10×4×4, not 4×8×8"));
    let mut nan = good.clone();
    nan[1][[0, 1, 2]] = f32::NAN;
    assert!(push(&mut cache, &nan).contains("features of scale 1: 1 of 160 values are not finite"));
    let mut large = good.clone();
    large[0][[0, 0, 0]] = -7e4;
    assert!(push(&mut cache, &large).contains("half-precision"));
    assert!(cache.is_empty());
    assert!(FeatureCache::new(&[], 0).is_err());
}

#[test]
fn training_goes_on_from_a_flow_with_the_held_out_images_that_it_is_given() {
    let cache = cache(80, u64::MAX);
    for (normalisation, topology) in [
        (NormalisationKind::Standardise, Topology::Parallel),
        (NormalisationKind::LayerNorm, Topology::UShaped),
        (NormalisationKind::Whiten, Topology::Parallel),
    ] {
        let first = TrainOptions { epochs: 3, normalisation, topology, ..options() };
        let before = quietly(&cache, &first);
        let read = Flow::from_onnx(&before.flow.to_onnx()).unwrap();
        let start = Start { flow: read, held_out: before.summary.held_out.clone() };
        let mut held_out = Vec::new();
        let mut note = |progress: Progress| {
            held_out.extend(progress.held_out);
            Control::Continue
        };
        // The flow's own topology and steps count, not those of the options.
        let second = TrainOptions { steps: 1, topology: Topology::UShaped, ..options() };
        let after = train_on(&cache, &second, &start, &mut note).unwrap();
        assert_eq!(after.flow.architecture(), before.flow.architecture());
        assert_eq!(after.summary.held_out, before.summary.held_out);
        let (was, begins) = (before.summary.best.nll, held_out[0].nll);
        assert!((was - begins).abs() < 1e-4, "{normalisation}: {begins} at the start, {was} at the end before");
        assert!(after.summary.best.nll < was - 0.005, "{normalisation}: {} after {was}", after.summary.best.nll);
        assert!(after.summary.continued && after.summary.gain_over_gaussian().is_none());
        let other = Start { held_out: vec![1, 5, 79], ..start };
        let after = train_on(&cache, &second, &other, &mut |_| Control::Stop).unwrap();
        assert_eq!((after.summary.held_out.as_slice(), after.summary.images), (&[1, 5, 79][..], 77));
    }
}

#[test]
fn a_start_that_does_not_fit_is_refused() {
    let cache = cache(12, u64::MAX);
    let flow = quietly(&cache, &TrainOptions { epochs: 1, ..options() }).flow;
    let other = Architecture::new(vec![ScaleShape { channels: 4, height: 4, width: 4 }]).unwrap();
    let other = Flow::new(other, vec![Normalisation::Identity], 0).unwrap();
    for (flow, held_out, words) in [
        (&other, vec![0], "other feature maps"),
        (&flow, vec![], "0 of 12 images are held out"),
        (&flow, (0..12).collect(), "12 of 12 images are held out"),
        (&flow, vec![3, 12], "image 12 is held out, and there are 12"),
    ] {
        let start = Start { flow: flow.clone(), held_out };
        let refused = train_on(&cache, &options(), &start, &mut |_| Control::Continue).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}
