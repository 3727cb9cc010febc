//! From good images to a package: what is checked first, what cross-fitting does when it is stopped, and which images are left out.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    command::{stderr, text},
    networks::{META, TinyBackbone, models},
};
use prost::Message;
use serde_json::Value;
use uflow::{
    Error,
    flow::Topology,
    frame::{Frame, Limits, PixelFormat, ReadOptions},
    onnx::Dim,
    package::Package,
    preprocess::Resize,
    runtime::Runtime,
    segment::{DecisionOptions, TestCount},
    train::{
        Control, Progress, StopReason, TrainOptions,
        fit::{BackboneChoice, Event, FitOptions, Fitted, Fitter, Pushed, Survey, fit_files},
    },
};

const SIZE: (u32, u32) = (48, 32);

fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

fn options(backbone: &Path) -> FitOptions {
    let training = TrainOptions { epochs: 3, ..TrainOptions::default() };
    let backbone = BackboneChoice::File(backbone.to_owned());
    // One flow is enough for what most tests look at.
    let detection = DecisionOptions { tests: Some(TestCount::Paper), ..DecisionOptions::default() };
    FitOptions { backbone, training, detection, input_size: Some(SIZE), ..FitOptions::new("bolt") }
}

fn good(seed: u64) -> Vec<u8> {
    models::good(seed, SIZE.0, SIZE.1, PixelFormat::Rgb8)
}

fn push(fitter: &mut Fitter, pixels: &[u8]) -> Pushed {
    fitter.push(&Frame::packed(pixels, SIZE.0, SIZE.1, PixelFormat::Rgb8).unwrap()).unwrap()
}

/// A fitter with so many good frames.
fn fitter(folder: &Path, frames: u64, change: impl FnOnce(&mut FitOptions)) -> Fitter {
    let mut options = options(&models::backbone(folder, 1));
    change(&mut options);
    let mut fitter = Fitter::new(&runtime(), options).unwrap();
    (0..frames).for_each(|seed| assert_eq!(push(&mut fitter, &good(seed)), Pushed::Added));
    fitter
}

/// Answers `answer` from the given flow, epoch and step on.
fn from(fold: usize, epoch: usize, batch: usize, answer: Control) -> impl FnMut(&Progress) -> Control {
    move |at| if (at.fold, at.epoch, at.batch) >= (fold, epoch, batch) { answer } else { Control::Continue }
}

fn null_images(fitted: &Fitted) -> Option<usize> {
    fitted.manifest.calibration.as_ref().map(|null| null.images)
}

#[test]
fn a_flow_that_cross_fitting_did_not_finish_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let fitter = fitter(folder.path(), 12, |options| options.cross_fit = true);
    let whole = fitter.train(&mut |_| Control::Continue).unwrap();
    assert_eq!((null_images(&whole), whole.cross_fit.finished), (Some(12), 4));
    assert!(whole.cross_fit.is_complete() && whole.cross_fit.warning().is_none());

    // Flows 0 and 1 are finished, flow 2 is stopped before its first epoch, within one, and near its end.
    let stopped: Vec<Fitted> = [(2, 0, 0), (2, 1, 1), (2, 3, 1)]
        .map(|(fold, epoch, batch)| fitter.train(&mut from(fold, epoch, batch, Control::Stop)).unwrap())
        .into();
    for fitted in &stopped {
        assert_eq!(fitted.manifest.flow, whole.manifest.flow, "the model itself is complete");
        assert_eq!(null_images(fitted), Some(6));
        assert_eq!(fitted.manifest.calibration, stopped[0].manifest.calibration);
        let cross_fit = &fitted.cross_fit;
        assert!(cross_fit.stopped && !cross_fit.is_complete());
        assert_eq!((cross_fit.planned, cross_fit.finished), (4, 2));
        assert_eq!((cross_fit.planned_images, cross_fit.images), (12, 6));
        let warnings = fitted.warnings().join("\n");
        assert!(warnings.contains("2 of 3 further flows were not fitted"), "{warnings}");
        assert!(warnings.contains("6 good images instead of 12"), "{warnings}");
    }
    let path = folder.path().join("bolt");
    stopped[1].write(&path).unwrap();
    assert_eq!(Package::open(&path).unwrap().manifest.calibration.unwrap().images, 6);
}

/// A flow without steps is a Gaussian of each scale, and a package like any other.
#[test]
fn a_gaussian_is_a_package() {
    let folder = tempfile::tempdir().unwrap();
    let fitter = fitter(folder.path(), 12, |options| {
        options.training.steps = 0;
        options.training.topology = Topology::Parallel;
    });
    let path = folder.path().join("bolt");
    fitter.train(&mut |_| Control::Continue).unwrap().write(&path).unwrap();
    let training = Package::open(&path).unwrap().manifest.training.unwrap();
    assert_eq!((training.steps, training.topology), (0, Topology::Parallel));
}

#[test]
fn flows_that_the_time_budget_ends_count_and_the_fit_says_what_it_cost() {
    let folder = tempfile::tempdir().unwrap();
    let hurried = |options: &mut FitOptions| {
        (options.cross_fit, options.time_budget) = (true, Some(Duration::from_nanos(1)));
    };
    let mut folds = Vec::new();
    let fitted = fitter(folder.path(), 12, hurried).train(&mut |at| {
        folds.push(at.fold);
        assert!(at.time_budget.is_some_and(|budget| budget <= Duration::from_nanos(1)));
        Control::Continue
    });
    let fitted = fitted.unwrap();
    folds.dedup();
    assert_eq!(folds, [0, 1, 2, 3]);
    assert_eq!((fitted.summary.stopped, fitted.summary.optimiser_steps), (StopReason::TimeBudget, 1));
    assert!(fitted.cross_fit.is_complete(), "{:?}", fitted.cross_fit);
    assert_eq!(null_images(&fitted), Some(12));
    assert!(fitted.training_seconds > fitted.summary.seconds, "the further flows count, too");
}

#[test]
fn a_cancellation_while_cross_fitting_loses_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let fitter = fitter(folder.path(), 12, |options| options.cross_fit = true);
    let mut fitted = fitter.train_model(&mut |_| Control::Continue).unwrap();
    assert_eq!(null_images(&fitted), Some(3), "ready to be written before cross-fitting");
    fitted.write(&folder.path().join("first")).unwrap();
    let cancelled = fitter.cross_fit(&mut fitted, &mut from(2, 2, 0, Control::Cancel));
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let stopped = fitter.train(&mut from(2, 2, 0, Control::Stop)).unwrap();
    assert_eq!(fitted.manifest.calibration, stopped.manifest.calibration);
    fitted.write(&folder.path().join("second")).unwrap();
    assert!(matches!(fitter.train(&mut from(2, 2, 0, Control::Cancel)), Err(Error::Cancelled)));

    // A model whose own training was stopped is not cross-fitted.
    let early = fitter.train(&mut from(0, 2, 0, Control::Stop)).unwrap();
    assert_eq!((null_images(&early), early.cross_fit.finished, early.cross_fit.stopped), (Some(3), 1, true));
}

#[test]
fn a_null_of_too_few_images_is_left_out_and_the_count_is_the_paper_s() {
    let folder = tempfile::tempdir().unwrap();
    let fitter = fitter(folder.path(), 8, |options| options.detection.tests = Some(TestCount::PerSize));
    let whole = fitter.train(&mut |_| Control::Continue).unwrap();
    assert_eq!((null_images(&whole), whole.manifest.detection.tests), (Some(8), Some(TestCount::PerSize)));
    let stopped = fitter.train(&mut from(1, 0, 0, Control::Stop)).unwrap();
    assert_eq!((null_images(&stopped), stopped.manifest.detection.tests), (None, Some(TestCount::Paper)));
    let warnings = stopped.warnings().join("\n");
    assert!(warnings.contains("counts tests as the paper does"), "{warnings}");
    stopped.write(&folder.path().join("bolt")).unwrap();
    assert!(Package::open(folder.path().join("bolt")).is_ok());
}

#[test]
fn repeated_and_uniform_frames_are_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut fitter = fitter(folder.path(), 9, |_| {});
    assert_eq!(push(&mut fitter, &good(3)), Pushed::Repeated(3));
    assert_eq!(push(&mut fitter, &vec![0; good(0).len()]), Pushed::Uniform);
    assert_eq!(push(&mut fitter, &good(9)), Pushed::Added);
    assert_eq!(fitter.frames(), 10);
    let fitted = fitter.train(&mut |_| Control::Continue).unwrap();
    assert_eq!(fitted.summary.images + fitted.summary.held_out.len(), 10);
    let warnings = fitted.warnings().join("\n");
    assert!(warnings.contains("frame 9 (as frame 3)") && warnings.contains("remove: frame 10"), "{warnings}");
}

#[test]
fn frames_that_are_practically_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fitted = |frame: &dyn Fn(usize) -> Vec<u8>| {
        let mut fitter = fitter(folder.path(), 0, |_| {});
        for index in 0..20 {
            push(&mut fitter, &frame(index));
        }
        fitter.train(&mut |_| Control::Continue).unwrap_err().to_string()
    };
    let same = fitted(&|_| good(1));
    assert!(same.contains("1 good images are too few") && same.contains("same pixels"), "{same}");
    let black = fitted(&|_| vec![0; good(0).len()]);
    assert!(black.contains("0 good images are too few") && black.contains("one value in all pixels"), "{black}");
    let nearly = fitted(&|index| {
        let mut pixels = good(1);
        pixels[3 * index] ^= 1;
        pixels
    });
    assert!(nearly.contains("practically one image"), "{nearly}");
}

/// So many good pictures in a folder of their own.
fn pictures(folder: &Path, count: u64) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).unwrap();
    let picture = |seed| {
        let path = folder.join(format!("{seed:02}.png"));
        save(&path, good(seed));
        path
    };
    (0..count).map(picture).collect()
}

fn save(path: &Path, pixels: Vec<u8>) {
    image::RgbImage::from_raw(SIZE.0, SIZE.1, pixels).unwrap().save(path).unwrap();
}

#[test]
fn every_damaged_file_is_named_before_any_feature_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut images = pictures(&folder.path().join("good"), 39);
    let whole = std::fs::read(&images[0]).unwrap();
    for (name, bytes) in [("empty.png", &b""[..]), ("cut.png", &whole[..whole.len() / 2]), ("text.png", b"nothing")] {
        let path = folder.path().join("good").join(name);
        std::fs::write(&path, bytes).unwrap();
        images.push(path);
    }
    let mut features = 0;
    let options = options(&models::backbone(folder.path(), 1));
    let result = fit_files(&runtime(), &images, &Limits::default(), options, &mut |event| {
        features += usize::from(matches!(event, Event::Features { .. }));
        Control::Continue
    });
    let error = result.unwrap_err().to_string();
    assert_eq!(features, 0);
    for part in ["3 of 42 images cannot be read, more than the 1%", "empty.png", "cut.png", "text.png"] {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
}

#[test]
fn a_file_in_a_hundred_may_be_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let mut images = pictures(&folder.path().join("good"), 99);
    let torn = folder.path().join("good/torn.png");
    std::fs::write(&torn, b"nothing").unwrap();
    images.push(torn.clone());
    let survey = Survey::of(&images, &ReadOptions::default(), &mut |_, _| Control::Continue).unwrap();
    assert_eq!((survey.images.len(), &survey.unreadable[0].0), (99, &torn));
    let stopped = Survey::of(&images, &ReadOptions::default(), &mut |_, _| Control::Stop);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn the_model_is_complete_before_cross_fitting_begins() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(&folder.path().join("good"), 12);
    let options = FitOptions { cross_fit: true, ..options(&models::backbone(folder.path(), 1)) };
    let path = folder.path().join("early");
    let mut order = Vec::new();
    let fitted = fit_files(&runtime(), &images, &Limits::default(), options, &mut |event| {
        match event {
            Event::Trained(fitted) => {
                fitted.write(&path).unwrap();
                order.push("trained");
            }
            Event::Training(state) if state.fold > 0 && order.last() != Some(&"cross-fitting") => {
                assert_eq!(state.folds, 4);
                order.push("cross-fitting");
            }
            _ => {}
        }
        Control::Continue
    });
    assert_eq!(order, ["trained", "cross-fitting"]);
    assert_eq!(null_images(&fitted.unwrap()), Some(12));
    assert_eq!(Package::open(&path).unwrap().manifest.calibration.unwrap().images, 3);
}

#[test]
fn images_are_resized_by_the_filter_that_the_backbone_names() {
    let folder = tempfile::tempdir().unwrap();
    let fitted = |filter: &str| {
        let meta = META.replace("\"outputs\"", &format!("\"resize\": \"{filter}\", \"outputs\""));
        let path = folder.path().join(format!("{filter}.onnx"));
        let model = TinyBackbone::new(1).model(&meta, Dim::Named("h"), Dim::Named("w"));
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        // Smaller than the frames, so that they are resized.
        let mut fitter = Fitter::new(&runtime(), FitOptions { input_size: Some((24, 16)), ..options(&path) }).unwrap();
        (0..12).for_each(|seed| assert_eq!(push(&mut fitter, &good(seed)), Pushed::Added));
        let fitted = fitter.train(&mut |_| Control::Continue).unwrap();
        fitted.write(&folder.path().join(filter)).unwrap();
        Package::open(folder.path().join(filter)).unwrap().manifest
    };
    let (bilinear, bicubic) = (fitted("bilinear"), fitted("bicubic"));
    assert_eq!((bilinear.input.resize, bicubic.input.resize), (Resize::Bilinear, Resize::Bicubic));
    assert_ne!(bilinear.scores, bicubic.scores, "the features are those of other pixels");
}

#[test]
fn a_backbone_that_was_replaced_during_the_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fitted = fitter(folder.path(), 8, |_| {}).train(&mut |_| Control::Continue).unwrap();
    let other = models::backbone(folder.path(), 2);
    std::fs::copy(other, models::backbone(folder.path(), 1)).unwrap();
    for error in [
        fitted.write(&folder.path().join("bolt")).unwrap_err().to_string(),
        fitted.write_to_repository(&folder.path().join("models"), 1).unwrap_err().to_string(),
    ] {
        assert!(error.contains(&fitted.manifest.backbone.sha256), "{error}");
    }
}

fn fit(folder: &Path, good: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uflow"));
    let (good, out) = (folder.join(good), folder.join("bolt.uflow"));
    let backbone = models::backbone(folder, 1);
    command.args([
        "fit",
        "--good",
        text(&good),
        "--out",
        text(&out),
        "--backbone",
        text(&backbone),
        "--tests",
        "paper",
        "--json",
    ]);
    command.args(["--input-size", "32"]).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn copies_and_black_images_end_the_command_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, pixels) in [("copies", good(1)), ("black", vec![0; good(0).len()])] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        (0..20).for_each(|index| save(&folder.path().join(format!("{name}/{index:02}.png")), pixels.clone()));
        let output = fit(folder.path(), name, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("at least 8 are needed") && stderr(&output).contains("07.png"), "{output:?}");
        assert!(!folder.path().join("bolt.uflow").exists());
    }
    pictures(&folder.path().join("mixed"), 12);
    save(&folder.path().join("mixed/a-copy.png"), good(5));
    let output = fit(folder.path(), "mixed", &["--epochs", "2"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("warning: 1 of the good images have the same pixels") && said.contains("a-copy.png"),
        "{said}"
    );
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// The first lines of a child's output, up to one of which `is` holds.
#[cfg(unix)]
fn read_until(lines: &mut impl Iterator<Item = std::io::Result<String>>, is: impl Fn(&Value) -> bool) {
    let found = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).any(|line| is(&line));
    assert!(found, "the line never came");
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_cross_fitting_keeps_the_model_and_the_finished_flows() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("good"), 12);
    // A flow writes more lines than a pipe holds, so the second cannot end before the signal is sent.
    let mut child =
        fit(folder.path(), "good", &["--cross-fit", "--epochs", "900", "--patience", "900"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    read_until(&mut lines, |line| line["event"] == "epoch" && line["fold"] == 1);
    let path = folder.path().join("bolt.uflow");
    assert_eq!(Package::open(&path).unwrap().manifest.calibration.unwrap().images, 3, "written before");
    interrupt(&child);
    read_until(&mut lines, |line| line["event"] == "fitted" && line["cross_fit"]["finished"] == 1);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("the model is written"), "{said}");
    assert_eq!(Package::open(&path).unwrap().manifest.calibration.unwrap().images, 3);
}

#[cfg(unix)]
#[test]
fn ctrl_c_before_training_promises_nothing_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    pictures(&good, 12);
    // The warning about twenty copies, each named twice by a long path, is larger than a pipe holds.
    let deep = (0..10).fold(good.clone(), |path, _| path.join("d".repeat(200)));
    std::fs::create_dir_all(&deep).unwrap();
    (0..20).for_each(|copy| save(&deep.join(format!("{copy:02}.png")), good_copy()));
    let mut child = fit(folder.path(), "good", &[]).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("have the same pixels as an earlier image"), "{line}");
    // Now the fit waits to write the warning to standard output, which nobody reads yet.
    interrupt(&child);
    line.clear();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("there is no model yet, nothing will be written"), "{line}");
    let output = child.wait_with_output().unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest}");
    assert!(rest.contains("stopped before training: nothing was written"), "{rest}");
    assert!(!folder.path().join("bolt.uflow").exists());
}

/// The same pixels as those of no other picture of these tests.
#[cfg(unix)]
fn good_copy() -> Vec<u8> {
    good(4711)
}
