//! Packages through their public interface: what is written is read again, and each way to be wrong is said exactly.

mod damage;
mod external;
mod golden;
mod keys;
mod sign;
mod write;

use prost::Message;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use uflow::latents::ScaleShape;
use uflow::onnx::GraphBuilder;
use uflow::package::{
    BackboneReference, Content, FORMAT, FileSource, Files, FlowReference, Manifest, Package, Scale, sha256, write,
};
use uflow::preprocess::Preprocess;
use uflow::segment::DecisionOptions;
use uflow::{Error, onnx};

fn network(name: &str) -> Vec<u8> {
    let mut graph = GraphBuilder::new(name);
    graph.floats("weights", &[2, 3], &[0.5; 6]);
    graph.node("Identity", &["weights"], "out", vec![onnx::int("axis", 1)]);
    graph.finish(&[("who", name)]).encode_to_vec()
}

fn manifest(flow: &[u8], backbone: &[u8]) -> Manifest {
    let shape = |channels, size| ScaleShape { channels, height: size, width: size };
    Manifest {
        format: FORMAT,
        name: "capacitor".to_owned(),
        version: None,
        created: "2026-03-14T15:09:26Z".to_owned(),
        uflow: "0.1.0".to_owned(),
        input: Preprocess::imagenet(448, 448),
        backbone: BackboneReference {
            name: "compact".to_owned(),
            sha256: sha256(backbone),
            file: Some("backbone.onnx".to_owned()),
        },
        flow: FlowReference { sha256: sha256(flow), file: "flow.onnx".to_owned() },
        scales: vec![
            Scale { features: shape(768, 28), latents: shape(816, 28) },
            Scale { features: shape(384, 14), latents: shape(192, 14) },
        ],
        training: None,
        scores: None,
        calibration: None,
        golden: None,
        limits: None,
        rejection: None,
        detection: DecisionOptions { roi: Some("roi.png".to_owned()), ..DecisionOptions::default() },
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    flow: Vec<u8>,
    backbone: Vec<u8>,
    roi: Vec<u8>,
    manifest: Manifest,
}

impl Fixture {
    fn new() -> Self {
        let (flow, backbone) = (network("flow"), network("backbone"));
        let mut roi = Cursor::new(Vec::new());
        image::DynamicImage::new_luma8(4, 3).write_to(&mut roi, image::ImageFormat::Png).unwrap();
        let manifest = manifest(&flow, &backbone);
        Self { folder: tempfile::tempdir().unwrap(), flow, backbone, roi: roi.into_inner(), manifest }
    }

    fn files(&self) -> Files<'_> {
        Files { flow: &self.flow, backbone: Some(FileSource::Bytes(&self.backbone)), roi: Some(&self.roi), golden: &[] }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn written(name: &str) -> (Self, std::path::PathBuf) {
        let fixture = Self::new();
        let path = fixture.path(name);
        write(&path, &fixture.manifest, &fixture.files()).unwrap();
        (fixture, path)
    }

    /// The message of opening `path`, without the package's own path.
    fn refusal(&self, path: &Path) -> String {
        let error = Package::open(path).unwrap_err();
        assert!(matches!(error, Error::Package { .. }), "{error:?}");
        let message = error.to_string();
        let start = format!("package {}: ", path.display());
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    /// The only things in the folder: nothing temporary stays.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn content(package: &Package) -> Vec<u8> {
    match &package.backbone.content {
        Content::File(path) => fs::read(path).unwrap(),
        Content::Bytes(bytes) => bytes.to_vec(),
    }
}
