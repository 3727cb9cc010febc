//! Checkpoints made to harm: nothing in them is executed, and each is refused with a reason, at once and in little memory.

use std::path::{Path, PathBuf};

use crate::checkpoints::{Pickle, block, entry, state, write, write_in_order, write_state};
use crate::counting::peak;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    import::{Checkpoint, RecogniseOptions},
    latents::ScaleShape,
};

/// Most memory that reading a file of a few megabytes may take.
const MOST_MEMORY: isize = 128 << 20;
const FEATURES: [ScaleShape; 1] = [ScaleShape { channels: 4, height: 2, width: 2 }];

/// Opens a file and imports its flow, within the memory.
fn import(path: &Path) -> Result<(), String> {
    let (peak, result) = peak(|| {
        Checkpoint::open(path)
            .and_then(|mut checkpoint| checkpoint.recognise(&FEATURES, &RecogniseOptions::default()).map(drop))
            .map_err(|error| error.to_string())
    });
    assert!(peak < MOST_MEMORY, "{} took {} MiB", path.display(), peak >> 20);
    result
}

/// A file of this pickle is refused for a reason with these words.
#[track_caller]
fn refused(name: &str, pickle: Vec<u8>, storages: &[Vec<u8>], words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder.path().join("hostile.pt"), &pickle, storages);
    let message = import(&path).expect_err(name);
    assert!(message.contains(words) && message.contains("hostile.pt"), "{name}: {message}");
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints").join(name)
}

#[test]
fn nothing_is_executed() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("executed");
    let command = format!("touch {}", marker.display());
    let calls: [(&str, &str, u8); 4] =
        [("os", "system", b'R'), ("posix", "system", b'R'), ("builtins", "eval", b'R'), ("subprocess", "Popen", 0x81)];
    let (pickle, storages) = state(&block("flow.0.", 4, 3));
    for (module, name, opcode) in calls {
        // The call lies beside a flow, as an entry of the dictionary.
        let evil = Pickle::new().raw(b"}").text("evil").global(module, name).raw(b"(").text(&command);
        let evil = evil.raw(b"t").raw(&[opcode]).raw(b"s").text("model").raw(&pickle[2..pickle.len() - 1]).raw(b"s");
        let path = write(&folder.path().join("evil.pt"), &evil.stop(), &storages);
        assert_eq!(import(&path), Ok(()), "{module}.{name}");
        // The call is all there is.
        let alone = Pickle::new().global(module, name).raw(b"(").text(&command).raw(b"t").raw(&[opcode]).stop();
        refused("a call alone", alone, &[], "whole Python object");
    }
    let state_of = Pickle::new().global("a", "B").raw(b")\x81}").text("x").global("os", "system").raw(b"sb").stop();
    refused("an object with state", state_of, &[], "whole Python object");
    assert!(!marker.exists(), "the pickle was executed");
}

#[test]
fn bombs_cycles_and_counts() {
    // Each list holds the one before ten times: 10⁴⁰ leaves.
    let mut laughs = Pickle::new().raw(b"]q\x00");
    for level in 0..40_u8 {
        let tens = [b'h', level].repeat(10);
        laughs = laughs.raw(b"](").raw(&tens).raw(b"e").raw(&[b'q', level + 1]);
    }
    refused("billion laughs", laughs.stop(), &[], "without tensors");
    let mut dictionaries = Pickle::new().raw(b"}q\x00");
    for level in 0..60_u8 {
        let get = [b'h', level];
        dictionaries = dictionaries.raw(b"}").text("a").raw(&get).raw(b"s").text("b").raw(&get).raw(b"s");
        dictionaries = dictionaries.raw(&[b'q', level + 1]);
    }
    refused("dictionaries of dictionaries", dictionaries.stop(), &[], "without tensors");
    let cycle = Pickle::new().raw(b"}q\x00").text("state_dict").raw(b"h\x00s").stop();
    refused("a dictionary in itself", cycle, &[], "without tensors");
    refused("a list in itself", Pickle::new().raw(b"]q\x00h\x00a").stop(), &[], "without tensors");
    let deep = Pickle::new().raw(&b"]".repeat(100_000)).raw(&b"a".repeat(99_999)).stop();
    refused("deep lists", deep, &[], "without tensors");
    refused("many instructions", Pickle::new().raw(&b"]".repeat(3 << 20)).stop(), &[], "instructions");
    refused("many memos", Pickle::new().raw(b"]").raw(&[0x94].repeat(3 << 20)).stop(), &[], "instructions");
    let pairs = Pickle::new().raw(b"(").raw(&b"N".repeat(100_000)).raw(b"l0]q\x00").stop();
    refused("a popped list", pairs, &[], "without tensors");
    let long = Pickle::new().raw(b"c").raw(&b"a".repeat(1 << 20)).raw(b"\nb\n").stop();
    refused("a long line", long, &[], "line of more than");
    let mut texts = Pickle::new();
    let text = "x".repeat(16_000);
    for _ in 0..2_500 {
        texts = texts.text(&text).raw(b"0");
    }
    refused("much text", texts.stop(), &[], "of text");
}

#[test]
fn lengths_that_are_not_there() {
    let huge: [&[u8]; 6] = [
        b"X\xFF\xFF\xFF\xFF",
        b"B\xFF\xFF\xFF\xFF",
        b"\x8B\xFF\xFF\xFF\xFF",
        b"\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"\x8E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
        b"\x96\x00\x00\x00\x00\x00\x00\x00\x10",
    ];
    for instruction in huge {
        refused("a length", Pickle::new().raw(instruction).stop(), &[], "cut off");
    }
    refused("an empty pickle", Vec::new(), &[], "cut off");
    for (instructions, words) in [
        (&b"."[..], "nothing on the stack"),
        (b"(.", "mark"),
        (b"t.", "no mark"),
        (b"(NNNd.", "key without a value"),
        (b"h\x07.", "no memo"),
        (b"Na.", "nothing on the stack"),
        (b"NNs.", "nothing on the stack"),
        (b"NNNs.", "not a dictionary"),
        (b"\x82\x01.", "0x82"),
        (b"NQ.", "storage's description"),
        (b"P0\n.", "by text"),
        (b"NN\x93.", "class without a name"),
        (b"Fabc\n.", "not a number"),
    ] {
        refused("a damaged pickle", instructions.to_vec(), &[], words);
    }
}

#[test]
fn tensors_that_do_not_fit_their_storages() {
    let flow = |pickle: Pickle| {
        // The one tensor that is made to harm comes before a whole block.
        let (block, storages) = state(&block("0.", 4, 1));
        let whole = pickle.raw(&block[4..]);
        (whole.0, storages)
    };
    let start = || Pickle::new().raw(b"}(").text("0.global_scale");
    let cases: [(&str, Pickle, &str); 9] = [
        ("a negative size", start().tensor("FloatStorage", "0", -4, 0, &[4], &[1]), "below zero"),
        ("a negative stride", start().tensor("FloatStorage", "0", 4, 0, &[4], &[-1]), "below zero"),
        ("a negative offset", start().tensor("FloatStorage", "0", 4, -1, &[4], &[1]), "below zero"),
        ("more strides than sides", start().tensor("FloatStorage", "0", 4, 0, &[4], &[1, 1]), "strides"),
        ("many sides", start().tensor("FloatStorage", "0", 4, 0, &[1; 9], &[1; 9]), "at most 8"),
        ("an unknown type", start().tensor("EvilStorage", "0", 4, 0, &[4], &[1]), "EvilStorage"),
        (
            "a tensor of text",
            start()
                .global("torch._utils", "_rebuild_tensor_v2")
                .raw(b"(")
                .text("a")
                .text("b")
                .text("c")
                .text("d")
                .raw(b"tR"),
            "without a storage",
        ),
        (
            "a storage's text size",
            start()
                .raw(b"(")
                .text("storage")
                .global("torch", "FloatStorage")
                .text("0")
                .text("cpu")
                .text("4")
                .raw(b"tQ"),
            "not a number",
        ),
        (
            "a key that is a list",
            start().raw(b"(").text("storage").global("torch", "FloatStorage").raw(b"]").text("cpu").int(4).raw(b"tQ"),
            "key",
        ),
    ];
    for (name, pickle, words) in cases {
        let (pickle, storages) = flow(pickle);
        refused(name, pickle, &storages, words);
    }
    // These are told when the tensor is read: the names and shapes are right.
    let scale = |class: &str, key: &str, count: i64, offset: i64, strides: &[i64]| {
        let (pickle, storages) = state(&block("0.", 4, 1));
        let evil = Pickle::new().text("0.global_scale").tensor(class, key, count, offset, &[1, 4, 1, 1], strides);
        let whole = Pickle(pickle[..pickle.len() - 2].to_vec()).raw(&evil.0[2..]).raw(b"u").stop();
        (whole, storages)
    };
    let large = i64::MAX;
    let cases = [
        ("past its storage", scale("FloatStorage", "0", 4, 1, &[4, 1, 1, 1]), "exceed the storage"),
        ("a large stride", scale("FloatStorage", "0", 4, 0, &[4, large, 1, 1]), "too large"),
        ("a large offset", scale("FloatStorage", "0", 4, large, &[4, 1, 1, 1]), "exceed the storage"),
        ("a storage that claims more", scale("FloatStorage", "0", large, 0, &[4, 1 << 40, 1, 1]), "cut off"),
        ("a storage that claims more bytes", scale("DoubleStorage", "0", 4, 0, &[4, 1, 1, 1]), "cut off"),
        ("an overlap", scale("FloatStorage", "0", 4, 0, &[4, 0, 1, 1]), "overlap"),
        ("whole numbers", scale("IntStorage", "0", 4, 0, &[4, 1, 1, 1]), "int32"),
        ("a missing storage", scale("FloatStorage", "77", 4, 0, &[4, 1, 1, 1]), "missing"),
        ("a way out", scale("FloatStorage", "../../../etc/passwd", 4, 0, &[4, 1, 1, 1]), "missing"),
    ];
    for (name, (pickle, storages), words) in cases {
        refused(name, pickle, &storages, words);
    }
    let mut not_finite = block("0.", 4, 1);
    not_finite[4].values[1] = f32::NAN;
    let (pickle, storages) = state(&not_finite);
    refused("not finite", pickle, &storages, "1 of 4 values are not finite");
    let mut empty = block("0.", 4, 1);
    empty.push(entry("0.huge", &[0, 1 << 30, 1 << 30]));
    let (pickle, storages) = state(&empty);
    refused("an empty tensor", pickle, &storages, "unexpected: `0.huge`");
}

#[test]
fn zips_that_are_not_pytorchs() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_state(&folder.path().join("whole.pt"), &block("flow.0.", 4, 3));
    assert_eq!(import(&path), Ok(()));
    let whole = std::fs::read(&path).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let path = folder.path().join("changed.pt");
        std::fs::write(&path, bytes).unwrap();
        import(&path).expect_err("a changed zip")
    };
    let headers = |bytes: &[u8], magic: &[u8]| {
        bytes.windows(4).enumerate().filter(|(_, window)| *window == magic).map(|(at, _)| at).collect::<Vec<_>>()
    };
    // The method of every entry is deflate, as in a zip bomb.
    let deflated = changed(&|bytes| {
        for (magic, field) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
            for at in headers(bytes, magic) {
                bytes[at + field] = 8;
            }
        }
    });
    assert!(deflated.contains("compressed"), "{deflated}");
    // The pickle claims a gigabyte.
    let large = changed(&|bytes| {
        for at in headers(bytes, b"PK\x01\x02") {
            bytes[at + 24..at + 28].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        }
    });
    assert!(large.contains("compressed") || large.contains("cannot be read"), "{large}");
    let damaged = changed(&|bytes| {
        // A weight's bit.
        let at = bytes.windows(4).rposition(|window| window == 0.1_f32.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
    });
    assert!(damaged.contains("damaged"), "{damaged}");
    let (pickle, storages) = state(&block("flow.0.", 4, 3));
    let big = import(&write_in_order(&folder.path().join("big.pt"), &pickle, &storages, "big")).unwrap_err();
    assert!(big.contains("big-endian order"), "{big}");
    let other = changed(&|bytes| {
        for at in (0..bytes.len() - 8).filter(|&at| &whole[at..at + 8] == b"data.pkl") {
            bytes[at] = b'D';
        }
    });
    assert!(other.contains("without `data.pkl`"), "{other}");
    for (bytes, words) in
        [(&b""[..], "not a checkpoint"), (b"PK\x03\x04", "not a whole zip"), (b"GIF89a", "not a checkpoint")]
    {
        let path = folder.path().join("other.pt");
        std::fs::write(&path, bytes).unwrap();
        let message = import(&path).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    assert!(import(folder.path()).unwrap_err().contains("not a file"));
    assert!(import(&folder.path().join("nowhere.pt")).unwrap_err().contains("cannot be opened"));
}

#[test]
fn cut_off_and_changed_files_are_errors_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.pt");
    for (name, features) in [("float64.pt", [(6, 3, 4)]), ("float16.pt", [(6, 3, 4)])] {
        let whole = std::fs::read(golden(name)).unwrap();
        let shapes = features.map(|(channels, height, width)| ScaleShape { channels, height, width });
        let open = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let (peak, result) = peak(|| {
                Checkpoint::open(&path)
                    .and_then(|mut checkpoint| checkpoint.recognise(&shapes, &RecogniseOptions::default()).map(drop))
            });
            assert!(peak < MOST_MEMORY);
            result
        };
        open(&whole).unwrap();
        for length in (0..whole.len()).step_by(7) {
            open(&whole[..length]).expect_err("a file that is cut off");
        }
        let mut random = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..1_000 {
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random_range(0..=255);
            }
            // Whether it is still a checkpoint is not the question.
            let _ = open(&bytes);
        }
    }
}
