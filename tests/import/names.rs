//! What is told of a checkpoint whose flow is not whole, not the backbone's, or not alone.

use crate::checkpoints::{Entry, block, entry, write_state};
use uflow::{
    import::{Checkpoint, Facts, RecogniseOptions},
    latents::ScaleShape,
};

/// Two scales: stages of 9 and 4 + 1 channels, of two steps each.
const FEATURES: [ScaleShape; 2] =
    [ScaleShape { channels: 4, height: 4, width: 6 }, ScaleShape { channels: 9, height: 2, width: 3 }];

fn whole() -> Vec<Entry> {
    let blocks = [(0, 9, 3), (1, 9, 1), (5, 5, 3), (6, 5, 1)];
    let mut entries: Vec<Entry> = blocks
        .iter()
        .flat_map(|(number, channels, kernel)| block(&format!("net.{number}."), *channels, *kernel))
        .collect();
    let kernel = (0..16).map(|at| f32::from(at / 4 % 4 == at % 4)).collect();
    entries.push(Entry { values: kernel, ..entry("net.3.downsample_kernel", &[4, 1, 2, 2]) });
    entries
}

fn recognise(entries: &[Entry], options: &RecogniseOptions) -> Result<Facts, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = write_state(&folder.path().join("model.pt"), entries);
    let mut checkpoint = Checkpoint::open(&path).map_err(|error| error.to_string())?;
    checkpoint.recognise(&FEATURES, options).map(|found| found.facts).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(entries: &[Entry], words: &[&str]) {
    let message = recognise(entries, &RecogniseOptions::default()).expect_err("it was accepted");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

fn at<'a>(entries: &'a mut [Entry], name: &str) -> &'a mut Entry {
    entries.iter_mut().find(|entry| entry.name == name).unwrap()
}

#[test]
fn any_prefix_will_do_and_what_is_not_needed_is_counted() {
    let mut entries = whole();
    entries.push(entry("backbone.layer1.weight", &[2, 2]));
    entries.push(entry("backbone.layer1.bias", &[2]));
    let facts = recognise(&entries, &RecogniseOptions::default()).unwrap();
    assert_eq!((facts.prefix.as_str(), facts.scales, facts.steps, facts.permutations), ("net.", 2, 2, 4));
    assert_eq!(facts.kernels, [3, 1]);
    assert_eq!(facts.hidden, [3, 5]);
    assert_eq!(facts.unused.into_iter().collect::<Vec<_>>(), [("backbone.layer1".to_owned(), 2)]);
    for entry in &mut entries {
        entry.name = entry.name.trim_start_matches("net.").to_owned();
    }
    assert_eq!(recognise(&entries, &RecogniseOptions::default()).unwrap().prefix, "");
}

#[test]
fn what_is_missing_unexpected_or_of_the_wrong_shape_is_named() {
    let mut entries = whole();
    entries.retain(|entry| entry.name != "net.1.subnet.2.bias" && entry.name != "net.5.global_scale");
    refused(&entries, &["missing: `net.1.subnet.2.bias`, `net.5.global_scale`"]);
    let mut entries = whole();
    entries.push(entry("net.6.condition.weight", &[2]));
    entries.push(entry("net.9.haar_weights", &[4, 1, 2, 2]));
    refused(&entries, &["unexpected: `net.6.condition.weight`, `net.9.haar_weights`"]);
    let mut entries = whole();
    *at(&mut entries, "net.0.w_perm") = entry("net.0.w_perm", &[9, 8, 1, 1]);
    *at(&mut entries, "net.6.subnet.0.weight") = entry("net.6.subnet.0.weight", &[3, 2, 1, 1]);
    refused(
        &entries,
        &["of the wrong shape", "`net.0.w_perm` ([9, 8, 1, 1] for [9, 9, 1, 1])", "`net.6.subnet.0.weight`"],
    );
    let mut entries = whole();
    entries.retain(|entry| !entry.name.contains("subnet"));
    refused(&entries, &["missing: `net.0.subnet.0.weight`", "and 10 more"]);
    let entries: Vec<Entry> = whole().into_iter().filter(|entry| !entry.name.ends_with("global_scale")).collect();
    refused(&entries, &["none of the", "another kind of model"]);
}

#[test]
fn the_backbone_must_fit() {
    let entries: Vec<Entry> = whole().into_iter().filter(|entry| !entry.name.starts_with("net.6.")).collect();
    refused(&entries, &["coarsest scale first, 2 × 9 channels, 1 × 5 channels", "4×4×6, 9×2×3", "with 9, 5 channels"]);
    let mut entries = whole();
    entries.retain(|entry| !entry.name.starts_with("net.1."));
    entries.extend(block("net.1.", 9, 3));
    refused(&entries, &["block `net.6.` has kernel 1", "not supported"]);
}

#[test]
fn one_flow_of_several_is_chosen() {
    let mut entries = whole();
    let copies = whole().into_iter().map(|entry| Entry { name: format!("average.{}", entry.name), ..entry });
    entries.extend(copies);
    refused(&entries, &["several flows: `average.net.`, `net.`", "--prefix"]);
    let options = RecogniseOptions { prefix: Some("average.net".to_owned()), clamp: None };
    let facts = recognise(&entries, &options).unwrap();
    assert_eq!((facts.prefix.as_str(), facts.unused["net.0"]), ("average.net.", 8));
    let options = RecogniseOptions { prefix: Some("other".to_owned()), clamp: None };
    assert!(recognise(&entries, &options).unwrap_err().contains("no flow's names begin with `other`"));
}

#[test]
fn layer_norms_are_told_by_their_shapes() {
    let norm =
        |name: &str, shape: &[usize]| [entry(&format!("{name}.weight"), shape), entry(&format!("{name}.bias"), shape)];
    let mut entries = whole();
    entries.extend(norm("norms.0", &[4, 4, 6]));
    refused(&entries, &["not for scales [1]"]);
    entries.extend(norm("norms.1", &[9, 2, 3]));
    let facts = recognise(&entries, &RecogniseOptions::default()).unwrap();
    assert_eq!(facts.layer_norms, [Some("norms.0".to_owned()), Some("norms.1".to_owned())]);
    assert!(facts.unused.is_empty());
    let mut other_size = whole();
    other_size.extend(norm("norms.0", &[4, 8, 12]));
    refused(&other_size, &["`norms.0` is for features of 4×8×12, but the backbone gives 4×4×6, 9×2×3", "--input-size"]);
    entries.extend(norm("twice", &[9, 2, 3]));
    refused(&entries, &["both LayerNorms of scale 1"]);
    let mut no_bias = whole();
    no_bias.push(entry("norms.0.weight", &[4, 4, 6]));
    refused(&no_bias, &["`norms.0.bias` is missing"]);
}

#[test]
fn invalid_mixings_upsamplings_and_clamps_are_refused() {
    let mut entries = whole();
    at(&mut entries, "net.0.w_perm").values[0] = 0.5;
    at(&mut entries, "net.0.w_perm_inv").values[0] = 0.5;
    refused(&entries, &["block `net.0.`", "not orthogonal"]);
    let mut entries = whole();
    at(&mut entries, "net.0.w_perm_inv").values.rotate_left(9);
    refused(&entries, &["`net.0.w_perm_inv` is not the transpose"]);
    let mut entries = whole();
    at(&mut entries, "net.3.downsample_kernel").values.rotate_left(1);
    refused(&entries, &["`net.3.downsample_kernel` is not the kernel"]);
    let without: Vec<Entry> = whole().into_iter().filter(|entry| !entry.name.contains("downsample")).collect();
    let facts = recognise(&without, &RecogniseOptions::default()).unwrap();
    assert!(facts.warnings[0].contains("IRevNetUpsampling"), "{:?}", facts.warnings);
    let options = RecogniseOptions { clamp: Some(-1.0), prefix: None };
    assert!(recognise(&whole(), &options).unwrap_err().contains("clamp"));
}
