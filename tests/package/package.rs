//! Packages through their public interface: what is written is read again, and each way to be wrong is said exactly.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use prost::Message;
use uflow::Error;
use uflow::latents::ScaleShape;
use uflow::onnx::{self, GraphBuilder, GraphProto, ModelProto, StringStringEntryProto, TensorProto};
use uflow::package::{
    BackboneReference, Content, FORMAT, FileSource, Files, FlowReference, Manifest, Package, Scale, sha256, write,
    write_repository_backbone,
};
use uflow::preprocess::Preprocess;
use uflow::segment::DecisionOptions;

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
        Files { flow: &self.flow, backbone: Some(FileSource::Bytes(&self.backbone)), roi: Some(&self.roi) }
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

#[test]
fn a_folder_and_a_file_hold_the_same_package() {
    let fixture = Fixture::new();
    for name in ["capacitor", "capacitor.uflow", "new/parents/capacitor", "new/parents/capacitor.uflow"] {
        let path = fixture.path(name);
        write(&path, &fixture.manifest, &fixture.files()).unwrap();
        assert_eq!(path.is_file(), name.ends_with(".uflow"));
        let package = Package::open(&path).unwrap();
        assert_eq!(package.manifest, fixture.manifest);
        assert_eq!(package.flow, fixture.flow);
        assert_eq!(package.roi.as_deref(), Some(&fixture.roi[..]));
        assert_eq!(
            (&package.backbone.sha256, content(&package)),
            (&sha256(&fixture.backbone), fixture.backbone.clone())
        );
        assert_eq!(matches!(package.backbone.content, Content::File(_)), path.is_dir());
    }
    assert_eq!(fixture.names(), ["capacitor", "capacitor.uflow", "new"]);
}

#[test]
fn files_may_lie_in_folders_of_the_package() {
    let mut fixture = Fixture::new();
    fixture.manifest.flow.file = "networks/flow.onnx".to_owned();
    for name in ["deep", "deep.uflow"] {
        write(fixture.path(name), &fixture.manifest, &fixture.files()).unwrap();
        assert_eq!(Package::open(fixture.path(name)).unwrap().flow, fixture.flow);
    }
}

#[test]
fn the_same_package_gives_the_same_bytes() {
    let (fixture, path) = Fixture::written("a.uflow");
    write(fixture.path("b.uflow"), &fixture.manifest, &fixture.files()).unwrap();
    assert_eq!(fs::read(path).unwrap(), fs::read(fixture.path("b.uflow")).unwrap());
}

#[test]
fn a_backbone_can_be_copied_from_a_file() {
    let fixture = Fixture::new();
    let source = fixture.path("source.onnx");
    fs::write(&source, &fixture.backbone).unwrap();
    let files = Files { backbone: Some(FileSource::Path(&source)), ..fixture.files() };
    for name in ["copy", "copy.uflow"] {
        write(fixture.path(name), &fixture.manifest, &files).unwrap();
        assert_eq!(content(&Package::open(fixture.path(name)).unwrap()), fixture.backbone);
    }
}

#[test]
fn versions_in_a_repository_share_a_backbone() {
    let mut fixture = Fixture::new();
    fixture.manifest.backbone.file = None;
    let files = Files { backbone: None, ..fixture.files() };
    let root = fixture.path("models");
    let version = root.join("capacitor/1");
    write(&version, &fixture.manifest, &files).unwrap();
    let expected = root.canonicalize().unwrap().join(format!("backbones/{}.onnx", sha256(&fixture.backbone)));
    assert_eq!(
        fixture.refusal(&version),
        format!(
            "the backbone `compact` is neither in the package nor in the repository; copy it to {}, or save the package \
             with its backbone inside",
            expected.display()
        )
    );

    let first = write_repository_backbone(&root, &fixture.backbone).unwrap();
    assert!(matches!(first.content, Content::File(_)));
    let package = Package::open(&version).unwrap();
    assert!(matches!(&package.backbone.content, Content::File(path) if *path == expected));
    assert_eq!(package.backbone.sha256, first.sha256);

    // A damaged one is found by its hash, and written anew.
    fs::write(&expected, network("another")).unwrap();
    assert!(fixture.refusal(&version).contains("was changed or is damaged"));
    write_repository_backbone(&root, &fixture.backbone).unwrap();
    assert_eq!(content(&Package::open(&version).unwrap()), fixture.backbone);
    assert_eq!(fs::read_dir(root.join("backbones")).unwrap().count(), 1);

    let alone = fixture.path("alone.uflow");
    write(&alone, &fixture.manifest, &files).unwrap();
    assert!(fixture.refusal(&alone).ends_with("is not in this file; save the package with its backbone inside"));
}

#[test]
fn a_package_is_replaced_only_by_a_complete_one() {
    for name in ["model", "model.uflow"] {
        let (fixture, path) = Fixture::written(name);
        let newer = Manifest { version: Some("2".to_owned()), ..fixture.manifest.clone() };
        let wrong = Files { flow: b"not the flow", ..fixture.files() };
        write(&path, &newer, &wrong).unwrap_err();
        assert_eq!(Package::open(&path).unwrap().manifest, fixture.manifest);
        let gone = fixture.path("gone.onnx");
        write(&path, &newer, &Files { backbone: Some(FileSource::Path(&gone)), ..fixture.files() }).unwrap_err();
        assert_eq!(Package::open(&path).unwrap().manifest, fixture.manifest);
        write(&path, &newer, &fixture.files()).unwrap();
        assert_eq!(Package::open(&path).unwrap().manifest, newer);
        assert_eq!(fixture.names(), [name]);
    }
}

#[test]
fn only_packages_are_replaced() {
    let fixture = Fixture::new();
    let refusal = |path: &Path| write(path, &fixture.manifest, &fixture.files()).unwrap_err().to_string();
    let photos = fixture.path("photos");
    fs::create_dir(&photos).unwrap();
    write(&photos, &fixture.manifest, &fixture.files()).unwrap();
    fs::remove_file(photos.join("uflow.json")).unwrap();
    assert!(refusal(&photos).ends_with("is a folder with other content; it is not replaced"));
    assert!(photos.join("flow.onnx").is_file());
    let text = fixture.path("notes.txt");
    fs::write(&text, "keep me").unwrap();
    assert!(refusal(&text).ends_with("is a file; end the name in `.uflow` to write one file"));
    let folder = fixture.path("folder.uflow");
    fs::create_dir(&folder).unwrap();
    assert!(refusal(&folder).ends_with("is a folder; a name that ends in `.uflow` is for one file"));
}

#[test]
fn what_is_written_agrees_with_the_manifest() {
    let fixture = Fixture::new();
    let refusal = |manifest: &Manifest, files: &Files<'_>| {
        let message = write(fixture.path("x"), manifest, files).unwrap_err().to_string();
        assert!(!fixture.path("x").exists());
        message
    };
    let (manifest, files) = (&fixture.manifest, fixture.files());
    let flow = refusal(manifest, &Files { flow: &fixture.backbone, ..files });
    assert!(flow.contains(&format!(
        "flow.sha256: is {}, the given file's is {}",
        sha256(&fixture.flow),
        sha256(&fixture.backbone)
    )));
    let backbone = refusal(manifest, &Files { backbone: Some(FileSource::Bytes(&fixture.flow)), ..files });
    assert!(backbone.contains("backbone.sha256: is "));
    assert!(
        refusal(manifest, &Files { backbone: None, ..files }).ends_with("backbone.file: `backbone.onnx` was not given")
    );
    assert!(refusal(manifest, &Files { roi: None, ..files }).ends_with("detection.roi: `roi.png` was not given"));
    assert!(refusal(manifest, &Files { roi: Some(b"GIF89a"), ..files }).ends_with("roi.png: is not a PNG"));
    let mut none = manifest.clone();
    none.backbone.file = None;
    assert!(refusal(&none, &files).contains("backbone.file: a backbone was given"));
    let mut bad = manifest.clone();
    bad.input.width = 0;
    assert!(refusal(&bad, &files).ends_with("input.width: 0 is not within 1 to 8192"));
}

#[test]
fn damaged_folders_are_described() {
    let damage = |change: &dyn Fn(&Fixture, &Path)| {
        let (fixture, path) = Fixture::written("model");
        change(&fixture, &path);
        fixture.refusal(&path)
    };
    let remove = |name: &'static str| move |_: &Fixture, path: &Path| fs::remove_file(path.join(name)).unwrap();
    assert_eq!(damage(&remove("uflow.json")), "uflow.json: is missing; this is not a U-Flow package");
    assert_eq!(damage(&remove("flow.onnx")), "flow.onnx: is missing, though the manifest names it");
    assert_eq!(damage(&remove("backbone.onnx")), "backbone.onnx: is missing, though the manifest names it");
    assert_eq!(damage(&remove("roi.png")), "roi.png: is missing, though the manifest names it");

    let other = network("other");
    for name in ["flow.onnx", "backbone.onnx"] {
        let message = damage(&|_, path| fs::write(path.join(name), &other).unwrap());
        let start = format!("{name}: was changed or is damaged: its SHA-256 is {}, the manifest says ", sha256(&other));
        assert!(message.starts_with(&start), "{message}");
        let message = damage(&|_, path| {
            fs::remove_file(path.join(name)).unwrap();
            fs::create_dir(path.join(name)).unwrap();
        });
        assert_eq!(message, format!("{name}: is not a file"));
        let message =
            damage(&|fixture, path| fs::write(path.join(name), &fixture.flow[..fixture.flow.len() - 1]).unwrap());
        assert!(message.starts_with(&format!("{name}: is truncated")), "{message}");
        let message = damage(&|_, path| fs::write(path.join(name), b"").unwrap());
        assert_eq!(message, format!("{name}: is empty"));
    }
    let message = damage(&|fixture, path| fs::write(path.join("roi.png"), &fixture.roi[..20]).unwrap());
    assert!(message.starts_with("roi.png: cannot be decoded: "), "{message}");
    let message = damage(&|_, path| fs::write(path.join("uflow.json"), vec![b' '; 1 << 21]).unwrap());
    assert_eq!(message, "uflow.json: has 2097152 bytes, at most 1048576 are allowed");
    let fixture = Fixture::new();
    assert!(fixture.refusal(&fixture.path("nothing")).starts_with("cannot be opened: "));
}

#[cfg(unix)]
#[test]
fn links_may_not_lead_out() {
    use std::os::unix::fs::symlink;
    for name in ["uflow.json", "flow.onnx", "backbone.onnx", "roi.png"] {
        let (fixture, path) = Fixture::written("model");
        let outside = fixture.path("outside");
        fs::rename(path.join(name), &outside).unwrap();
        symlink("../outside", path.join(name)).unwrap();
        let message = fixture.refusal(&path);
        assert!(message.starts_with(&format!("{name}: is a link that leads out of ")), "{message}");
        // As Kubernetes mounts a volume: links within the package.
        fs::create_dir(path.join("..data")).unwrap();
        fs::rename(&outside, path.join("..data").join(name)).unwrap();
        fs::remove_file(path.join(name)).unwrap();
        symlink(Path::new("..data").join(name), path.join(name)).unwrap();
        Package::open(&path).unwrap();
        // A link to the package itself is no matter; writing through it keeps it.
        let link = fixture.path("link");
        symlink(&path, &link).unwrap();
        Package::open(&link).unwrap();
        write(&link, &fixture.manifest, &fixture.files()).unwrap();
        assert!(link.is_symlink() && !path.is_symlink());
        Package::open(&path).unwrap();
    }
    let (fixture, _) = Fixture::written("model");
    let mut shared = fixture.manifest.clone();
    shared.backbone.file = None;
    let root = fixture.path("models");
    write(root.join("model/1"), &shared, &Files { backbone: None, ..fixture.files() }).unwrap();
    let outside = fixture.path("outside.onnx");
    fs::write(&outside, &fixture.backbone).unwrap();
    fs::create_dir(root.join("backbones")).unwrap();
    symlink(&outside, root.join(format!("backbones/{}.onnx", sha256(&fixture.backbone)))).unwrap();
    assert!(fixture.refusal(&root.join("model/1")).contains("is a link that leads out of "));
}

/// A tensor whose values lie in `location`.
fn external_tensor(location: &str) -> TensorProto {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    TensorProto {
        name: "weights".to_owned(),
        external_data: vec![entry("offset", "0"), entry("location", location)],
        data_location: 1,
        ..Default::default()
    }
}

/// A protobuf field that holds a message.
fn field(number: u32, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(message.len() as u64, &mut bytes);
    bytes.extend(message);
    bytes
}

/// ONNX models with an external tensor, in every place where one can be.
fn external_models(location: &str) -> Vec<Vec<u8>> {
    let tensor = external_tensor(location);
    let graph = |graph: GraphProto| ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec();
    let attribute = |attribute: onnx::AttributeProto| {
        let node = onnx::NodeProto { attribute: vec![attribute], ..Default::default() };
        GraphProto { node: vec![node], ..Default::default() }
    };
    let initializer = GraphProto { initializer: vec![tensor.clone()], ..Default::default() };
    let mut without_flag = tensor.clone();
    without_flag.data_location = 0;
    let bytes = tensor.encode_to_vec();
    let sparse = field(1, &bytes);
    let empty = graph(GraphProto::default());
    let and = |extra: Vec<u8>| [empty.clone(), extra].concat();
    vec![
        graph(initializer.clone()),
        graph(GraphProto { initializer: vec![without_flag], ..Default::default() }),
        graph(attribute(onnx::AttributeProto { t: Some(tensor.clone()), ..Default::default() })),
        graph(attribute(onnx::AttributeProto { tensors: vec![tensor], ..Default::default() })),
        graph(attribute(onnx::AttributeProto { g: Some(initializer.clone()), ..Default::default() })),
        graph(attribute(onnx::AttributeProto { graphs: vec![initializer], ..Default::default() })),
        and(field(7, &field(15, &sparse))),
        and(field(7, &field(15, &field(2, &bytes)))),
        and(field(7, &field(1, &field(5, &field(22, &sparse))))),
        and(field(7, &field(1, &field(5, &field(23, &sparse))))),
        and(field(20, &field(1, &field(5, &bytes)))),
        and(field(20, &field(2, &field(5, &bytes)))),
        and(field(25, &field(7, &field(5, &field(5, &bytes))))),
        and(field(25, &field(11, &field(5, &bytes)))),
    ]
}

#[test]
fn external_data_are_refused_wherever_they_are_named() {
    let (fixture, path) = Fixture::written("model");
    for location in ["../../etc/weights.bin", "/etc/weights.bin", "beside.bin", "*/_ORT_MEM_ADDR_/*"] {
        for (place, model) in external_models(location).into_iter().enumerate() {
            for (flow, backbone, name) in
                [(&model, &network("b"), "flow.onnx"), (&network("f"), &model, "backbone.onnx")]
            {
                let mut changed = manifest(flow, backbone);
                changed.detection.roi = None;
                fs::write(path.join("uflow.json"), changed.to_json().unwrap()).unwrap();
                fs::write(path.join("flow.onnx"), flow).unwrap();
                fs::write(path.join("backbone.onnx"), backbone).unwrap();
                let expected = format!(
                    "{name}: keeps weights in another file, `{location}`; a network in a package must hold its own \
                     (save it without external data)"
                );
                assert_eq!(fixture.refusal(&path), expected, "place {place}");
                let files = Files { flow, backbone: Some(FileSource::Bytes(backbone)), roi: None };
                let error = write(fixture.path("new"), &changed, &files).unwrap_err();
                assert!(error.to_string().ends_with(&expected), "{error}");
            }
        }
    }
    let error = write_repository_backbone(fixture.path("models"), &external_models("x.bin")[0]).unwrap_err();
    assert!(error.to_string().contains("keeps weights in another file, `x.bin`"), "{error}");
    assert_eq!(fixture.names(), ["model"]);
}

#[test]
fn deeply_nested_graphs_end_in_an_error() {
    let mut graph = field(5, b"");
    for _ in 0..2000 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    let fixture = Fixture::new();
    let error = write_repository_backbone(fixture.path("models"), &field(7, &graph)).unwrap_err();
    assert!(error.to_string().contains("messages nest deeper than 100 at byte "), "{error}");
}

/// A zip of stored entries, written by hand so that headers can lie.
fn zip(entries: &[(&str, &[u8])], change: impl Fn(&mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let crc = data.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
        });
        let size = (data.len() as u32).to_le_bytes();
        let fields = [&[10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &(!crc).to_le_bytes(), &size, &size].concat();
        let mut local = [b"PK\x03\x04", &fields[..], &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        let offset = (file.len() as u32).to_le_bytes();
        let mut central =
            [b"PK\x01\x02\x0A\0", &fields[..], &(name.len() as u16).to_le_bytes(), &[0; 12], &offset].concat();
        change(&mut local, &mut central);
        file.extend([&local[..], name.as_bytes(), data].concat());
        directory.extend([&central[..], name.as_bytes()].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (start, size) = ((file.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    [file, directory, [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &start, &[0, 0]].concat()].concat()
}

#[test]
fn damaged_files_are_described() {
    let fixture = Fixture::new();
    let path = fixture.path("model.uflow");
    let json = fixture.manifest.to_json().unwrap();
    let entries: [(&str, &[u8]); 4] = [
        ("uflow.json", json.as_bytes()),
        ("flow.onnx", &fixture.flow),
        ("backbone.onnx", &fixture.backbone),
        ("roi.png", &fixture.roi),
    ];
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        fixture.refusal(&path)
    };
    fs::write(&path, zip(&entries, |_, _| {})).unwrap();
    assert_eq!(Package::open(&path).unwrap().manifest, fixture.manifest, "the zip made here is one");

    assert!(refusal(b"").starts_with("is not a `.uflow` file (a zip with stored entries): "));
    assert!(refusal(b"not a zip").starts_with("is not a `.uflow` file (a zip with stored entries): "));
    assert_eq!(refusal(&zip(&entries[1..], |_, _| {})), "uflow.json: is missing; this is not a U-Flow package");
    assert_eq!(refusal(&zip(&entries[..1], |_, _| {})), "flow.onnx: is missing, though the manifest names it");
    let deflated = zip(&entries, |local, central| {
        local[8] = 8;
        central[10] = 8;
    });
    assert_eq!(
        refusal(&deflated),
        "uflow.json: is compressed; the entries of a `.uflow` file must be stored (`zip -0`)"
    );
    // Sizes that claim more than there is: the entry's own, and both, up to 4 GiB.
    let inflated = zip(&entries, |local, central| {
        local[22..26].copy_from_slice(&[0, 0, 0xF, 0]);
        central[24..28].copy_from_slice(&[0, 0, 0xF, 0]);
    });
    assert_eq!(refusal(&inflated), "uflow.json: is stored, but its two sizes differ");
    let huge = zip(&entries, |local, central| {
        local[18..26].copy_from_slice(&[0, 0, 0, 0x7F, 0, 0, 0, 0x7F]);
        central[20..28].copy_from_slice(&[0, 0, 0, 0x7F, 0, 0, 0, 0x7F]);
    });
    assert_eq!(refusal(&huge), "uflow.json: has 2130706432 bytes, at most 1048576 are allowed");
    let many: Vec<(String, &[u8])> = (0..1100).map(|i| (format!("{i}"), &b""[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, data)| (name.as_str(), *data)).collect();
    assert_eq!(refusal(&zip(&many, |_, _| {})), "has 1100 entries, at most 1024 are allowed");
}

/// A byte of a package in one file changed: the same package, or an error. (Every fifth byte, for the time it takes.)
#[test]
fn no_changed_byte_goes_unnoticed() {
    let (fixture, path) = Fixture::written("model.uflow");
    let good = fs::read(&path).unwrap();
    let changed = fixture.path("changed.uflow");
    for at in (0..good.len()).step_by(5) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x11;
        fs::File::create(&changed).unwrap().write_all(&bytes).unwrap();
        match Package::open(&changed) {
            Ok(package) => {
                assert_eq!(package.manifest, fixture.manifest, "byte {at}");
                assert_eq!(package.flow, fixture.flow, "byte {at}");
                assert_eq!(content(&package), fixture.backbone, "byte {at}");
                assert_eq!(package.roi.as_deref(), Some(&fixture.roi[..]), "byte {at}");
            }
            Err(Error::Package { reason, .. }) => assert!(!reason.is_empty()),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    for length in (0..good.len()).rev().step_by(11) {
        fs::write(&changed, &good[..length]).unwrap();
        assert!(Package::open(&changed).is_err(), "{length} bytes");
    }
}
