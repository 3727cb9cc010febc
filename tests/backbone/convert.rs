//! Conversion of a made-up network of the same kind, and checkpoints that are not such a network.

use std::path::{Path, PathBuf};

use ndarray::Axis;
use uflow::{
    backbone::{BackboneMeta, Conversion, Known, NetworkSource},
    runtime::{Backbone, Runtime, SessionOptions},
};

use crate::{
    checkpoints::{Entry, Pickle, block, entry, state, write, write_state},
    networks::{difference, images, numbers},
};

fn known() -> &'static Known {
    Known::named("efficientnet-lite0").unwrap()
}

/// Blocks and output channels of each stage.
const STAGES: [(usize, usize); 7] = [(1, 3), (2, 4), (2, 5), (3, 6), (3, 7), (4, 8), (1, 9)];

/// A network with the blocks of EfficientNet-Lite0 and few channels.
fn network() -> Vec<Entry> {
    let mut entries = convolution("_conv_stem", "_bn0", [4, 3, 3, 3]);
    let (mut channels, mut index) = (4, 0);
    for (stage, (count, outputs)) in STAGES.into_iter().enumerate() {
        for _ in 0..count {
            let wide = if stage == 0 { channels } else { 2 * channels };
            let kernel = if stage % 2 == 0 { 3 } else { 5 };
            let name = |end: &str| format!("_blocks.{index}.{end}");
            if stage > 0 {
                entries.extend(convolution(&name("_expand_conv"), &name("_bn0"), [wide, channels, 1, 1]));
            }
            entries.extend(convolution(&name("_depthwise_conv"), &name("_bn1"), [wide, 1, kernel, kernel]));
            entries.extend(convolution(&name("_project_conv"), &name("_bn2"), [outputs, wide, 1, 1]));
            (channels, index) = (outputs, index + 1);
        }
    }
    entries.push(entry("_fc.weight", &[10, 9]));
    entries
}

fn convolution(name: &str, norm: &str, shape: [usize; 4]) -> Vec<Entry> {
    let seed = name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
    let random = |seed, name: String, shape: &[usize], offset: f32| {
        let values = numbers(seed, shape.iter().product()).into_iter().map(|value| value + offset).collect();
        Entry { name, shape: shape.to_vec(), values }
    };
    let channels = [shape[0]];
    vec![
        random(seed, format!("{name}.weight"), &shape, 0.1),
        random(seed + 1, format!("{norm}.weight"), &channels, 1.0),
        random(seed + 2, format!("{norm}.bias"), &channels, 0.2),
        random(seed + 3, format!("{norm}.running_mean"), &channels, 0.0),
        random(seed + 4, format!("{norm}.running_var"), &channels, 1.0),
    ]
}

fn convert(folder: &Path, entries: &[Entry], conversion: &Conversion) -> Result<Vec<u8>, String> {
    let path = write_state(&folder.join("weights.pth"), entries);
    known().convert_weights(&path, conversion).map_err(|error| error.to_string())
}

fn load(bytes: &[u8]) -> Backbone {
    let source = NetworkSource::Bytes(bytes);
    Backbone::load(&Runtime::load(None).unwrap(), source, &SessionOptions::default()).unwrap()
}

/// Maps of ⌈n/s⌉ values for any size and batch; a file with some strides gives the same maps and has fewer bytes.
#[test]
fn any_size_and_any_choice_of_strides() {
    let folder = tempfile::tempdir().unwrap();
    let whole = convert(folder.path(), &network(), &Conversion::default()).unwrap();
    let some = Conversion { strides: vec![4, 16], input_size: Some(96) };
    let some = convert(folder.path(), &network(), &some).unwrap();
    assert!(some.len() < whole.len());
    let (whole, some) = (load(&whole), load(&some));
    assert_eq!((whole.meta().input_size, some.meta().input_size), ([448; 2], [96; 2]));
    assert_eq!(some.meta().strides, [4, 16]);
    for (height, width) in [(64, 96), (61, 33)] {
        let images = images(3, 2, height, width);
        let maps = whole.features(images.view()).unwrap();
        let shapes: Vec<_> = maps.iter().map(|map| map.dim()).collect();
        let expected = [(4, 4), (8, 5), (16, 7), (32, 9)];
        let of = |(stride, channels): (usize, usize)| (2, channels, height.div_ceil(stride), width.div_ceil(stride));
        assert_eq!(shapes, expected.map(of));
        let chosen = some.features(images.view()).unwrap();
        for (chosen, map) in chosen.iter().zip([&maps[0], &maps[2]]) {
            assert!(difference(chosen.view(), map.view()) < 1e-5);
        }
        assert_eq!(chosen.len(), 2);
        // Images of a batch do not see each other.
        let alone = whole.features(images.index_axis(Axis(0), 1).insert_axis(Axis(0))).unwrap();
        for (alone, map) in alone.iter().zip(&maps) {
            assert!(difference(alone.index_axis(Axis(0), 0), map.index_axis(Axis(0), 1)) < 1e-5);
        }
    }
}

#[test]
fn the_description_says_where_the_weights_are_from() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = convert(folder.path(), &network(), &Conversion::default()).unwrap();
    assert_eq!(convert(folder.path(), &network(), &Conversion::default()).unwrap(), bytes);
    let meta = BackboneMeta::read(NetworkSource::Bytes(&bytes)).unwrap();
    assert_eq!(meta, known().describe(&Conversion::default()).unwrap());
    assert_eq!(meta.licence.as_deref(), Some("Apache-2.0"));
    assert!(meta.trained_on.unwrap().contains("ImageNet"));
    assert!(meta.source.unwrap().contains(known().wheel().unwrap().sha256));
}

#[test]
fn what_is_missing_or_of_the_wrong_shape_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut Vec<Entry>), words: &[&str]| {
        let mut entries = network();
        change(&mut entries);
        let message = convert(folder.path(), &entries, &Conversion::default()).expect_err("it was accepted");
        for word in words {
            assert!(message.contains(word) && message.contains("weights.pth"), "no `{word}` in: {message}");
        }
    };
    let at = |entries: &mut Vec<Entry>, name: &str| entries.iter().position(|entry| entry.name == name).unwrap();
    let replace = |name: &'static str, shape: &'static [usize]| {
        move |entries: &mut Vec<Entry>| {
            let position = at(entries, name);
            entries[position] = entry(name, shape);
        }
    };
    refused(
        &|entries| entries.retain(|entry| entry.name != "_blocks.3._bn2.bias"),
        &["`_blocks.3._bn2.bias` is missing"],
    );
    refused(&|entries| entries.truncate(5), &["`_blocks.0._depthwise_conv.weight` is missing"]);
    let wrong = "is needed. The file is not a checkpoint of this network";
    refused(&replace("_blocks.1._expand_conv.weight", &[6, 5, 1, 1]), &["has the shape [6, 5, 1, 1]", wrong]);
    refused(&replace("_blocks.0._depthwise_conv.weight", &[5, 1, 3, 3]), &["has the shape [5, 1, 3, 3]", wrong]);
    refused(&replace("_conv_stem.weight", &[4, 3, 4, 4]), &["[channels, 3, k, k]", wrong]);
    refused(&replace("_conv_stem.weight", &[4, 3, 3]), &["[channels, 3, k, k]", wrong]);
    refused(&replace("_bn0.running_var", &[5]), &["`_bn0.running_var`", "[4]"]);
    let negative = |entries: &mut Vec<Entry>| {
        let position = at(entries, "_bn0.running_var");
        entries[position].values[1] = -1.0;
    };
    refused(&negative, &["`_bn0.running_var` has values below zero"]);
    let infinite = |entries: &mut Vec<Entry>| entries[0].values[1] = f32::INFINITY;
    refused(&infinite, &["`_conv_stem.weight`", "not finite"]);
}

/// A pickle can name any function. None is called: a call beside the weights changes nothing, a call alone is refused.
#[test]
fn functions_named_in_a_pickle_are_not_called() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("executed");
    let command = format!("touch {}", marker.display());
    let (pickle, storages) = state(&network());
    let clean = convert(folder.path(), &network(), &Conversion::default()).unwrap();
    let convert = |path: PathBuf| known().convert_weights(&path, &Conversion::default());
    for (module, name) in [("os", "system"), ("builtins", "eval"), ("numpy.core.multiarray", "_reconstruct")] {
        let call = |pickle: Pickle| pickle.global(module, name).raw(b"(").text(&command).raw(b"tR");
        let beside = call(Pickle::new().raw(b"}").text("call")).raw(b"s").text("state_dict");
        let beside = beside.raw(&pickle[2..pickle.len() - 1]).raw(b"s").stop();
        let path = write(&folder.path().join("beside.pth"), &beside, &storages);
        assert_eq!(convert(path).unwrap(), clean, "{module}.{name}");
        let alone = write(&folder.path().join("alone.pth"), &call(Pickle::new()).stop(), &[]);
        let message = convert(alone).unwrap_err().to_string();
        assert!(message.contains("whole Python object") && message.contains(name), "{message}");
    }
    assert!(!marker.exists(), "the pickle was executed");
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, words: &str| {
        let message = known().convert_weights(path, &Conversion::default()).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    };
    let flow = write_state(&folder.path().join("flow.pth"), &block("flow.0.", 4, 3));
    refused(&flow, "none of the 8 tensors has a name like `…._conv_stem.weight`, which every EfficientNet has");
    let text = folder.path().join("text.pth");
    std::fs::write(&text, "no weights").unwrap();
    refused(&text, "not a checkpoint");
    refused(&folder.path().join("none.pth"), "cannot be opened");
}
