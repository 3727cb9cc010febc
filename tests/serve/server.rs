//! A server in this process, on a repository of tiny models made once.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use tonic::transport::{Channel, Endpoint};
use uflow::{
    frame::{Frame, PixelFormat},
    package::Package,
    pipeline::{Detection, Detector},
    runtime::{Runtime, SessionOptions},
    segment::DecisionOptions,
    serve::{
        Server,
        config::{Config, Settings},
        proto::v1::{
            self, DetectRequest, RawImage, detect_request::Image, detection_service_client::DetectionServiceClient,
            model_service_client::ModelServiceClient,
        },
    },
};

use crate::networks::models;

/// `bolt` and `nut` share a backbone, `washer` has its own. Each has one version, 1.
pub const MODELS: [&str; 3] = ["bolt", "nut", "washer"];

/// No region of so small a map means anything at an ε of 1; at this one many do.
pub const EPSILON: f64 = 1e230;

pub fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

/// The repository, made once.
fn repository() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            for (index, name) in MODELS.iter().enumerate() {
                let backbone = models::backbone(folder.path(), 1 + index as u64 / 2);
                let fitted = models::fit(&runtime(), &backbone, name, index as u64);
                fitted.write_to_repository(&folder.path().join("models"), 1).unwrap();
            }
            folder
        })
        .path()
}

/// A copy of the repository that a test may change.
pub fn copy_of_repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&repository().join("models"), folder.path());
    folder
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Settings for a server on any free ports.
pub fn settings(models: PathBuf) -> Settings {
    let any = Some("127.0.0.1:0".parse().unwrap());
    Settings { models: Some(models), grpc: any.clone(), http: any, ..Settings::default() }
}

/// A server on the shared repository, its models loaded.
pub async fn start(change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = settings(repository().join("models"));
    change(&mut settings);
    let server = Server::start(&runtime(), Config::new(settings).unwrap()).await.unwrap();
    server.loaded().await;
    server
}

pub async fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.grpc_address())).unwrap().connect().await.unwrap()
}

/// A client without limits of its own, so that the server's are seen.
pub async fn client(server: &Server) -> DetectionServiceClient<Channel> {
    DetectionServiceClient::new(channel(server).await)
        .max_decoding_message_size(1 << 30)
        .max_encoding_message_size(1 << 30)
}

pub async fn model_client(server: &Server) -> ModelServiceClient<Channel> {
    ModelServiceClient::new(channel(server).await)
}

/// The detector that the command would use.
pub fn detector(model: &str) -> Detector {
    let package = Package::open(repository().join("models").join(model).join("1")).unwrap();
    Detector::open(&runtime(), &package, &SessionOptions::default()).unwrap()
}

pub fn options() -> DecisionOptions {
    DecisionOptions { epsilon: Some(EPSILON), ..DecisionOptions::default() }
}

/// Frame number `seed`: some good, some bad, of several sizes and formats.
#[derive(Clone, Debug)]
pub struct Sample {
    pub model: &'static str,
    pub pixels: Vec<u8>,
    pub width: u32,
    pub height: u32,
    pub format: PixelFormat,
    pub encoded: bool,
}

pub fn sample(seed: u64) -> Sample {
    let formats = [PixelFormat::Rgb8, PixelFormat::Gray8, PixelFormat::Bgr8, PixelFormat::Rgba8, PixelFormat::Gray16];
    let sizes = [(48, 32), (61, 43), (30, 50), (96, 64)];
    let format = formats[(seed % 5) as usize];
    let (width, height) = sizes[(seed / 5 % 4) as usize];
    let make = if seed.is_multiple_of(3) { models::bad } else { models::good };
    Sample {
        model: MODELS[(seed % 3) as usize],
        pixels: make(seed, width, height, format),
        width,
        height,
        format,
        encoded: seed.is_multiple_of(4) && format == PixelFormat::Rgb8,
    }
}

impl Sample {
    pub fn frame(&self) -> Frame<'_> {
        Frame::packed(&self.pixels, self.width, self.height, self.format).unwrap()
    }

    /// What the command would find.
    pub fn expected(&self, detector: &mut Detector) -> Detection {
        detector.detect(&self.frame(), &options()).unwrap()
    }

    pub fn request(&self, sequence: u64) -> DetectRequest {
        DetectRequest {
            sequence,
            model: self.model.to_owned(),
            image: Some(if self.encoded { Image::Encoded(self.png().into()) } else { Image::Raw(self.raw()) }),
            options: Some(v1::DetectOptions { epsilon: Some(EPSILON), ..v1::DetectOptions::default() }),
            ..DetectRequest::default()
        }
    }

    pub fn raw(&self) -> RawImage {
        let format = match self.format {
            PixelFormat::Gray8 => v1::PixelFormat::Gray8,
            PixelFormat::Gray16 => v1::PixelFormat::Gray16,
            PixelFormat::Rgb8 => v1::PixelFormat::Rgb8,
            PixelFormat::Bgr8 => v1::PixelFormat::Bgr8,
            PixelFormat::Rgba8 => v1::PixelFormat::Rgba8,
            _ => v1::PixelFormat::Bgra8,
        };
        RawImage {
            pixels: self.pixels.clone().into(),
            width: self.width,
            height: self.height,
            stride: 0,
            format: format.into(),
        }
    }

    pub fn png(&self) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_raw(self.width, self.height, self.pixels.clone()).unwrap();
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }
}

/// The same to the bit, or within what batches may change.
pub fn assert_same(found: &v1::Detection, expected: &Detection, exactly: bool) {
    let tolerance = if exactly { 0.0 } else { 1e-5 };
    assert!((found.score_max - expected.score_max).abs() <= tolerance, "{} {}", found.score_max, expected.score_max);
    if exactly {
        assert_eq!((found.anomalous, found.log10_nfa_min), (expected.anomalous, expected.log10_nfa_min));
        assert_eq!(found.regions.len(), expected.regions.len());
        for (found, expected) in found.regions.iter().zip(&expected.regions) {
            let bbox = found.r#box.unwrap();
            assert_eq!([bbox.x, bbox.y, bbox.width, bbox.height], expected.bbox);
            assert_eq!(
                (found.area, found.log10_nfa_min, found.score_max),
                (expected.area, expected.log10_nfa_min, expected.score_max)
            );
            let outline: Vec<Vec<[u32; 2]>> =
                found.outline.iter().map(|ring| ring.corners.as_chunks().0.to_vec()).collect();
            assert_eq!(outline, expected.outline);
        }
    }
}
