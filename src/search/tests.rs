//! The choice, the candidates and the record.

use std::{fs, path::PathBuf, sync::Arc};

use super::{
    choice::{difference, replaces},
    record::{Entry, Found, Record, Verdict},
    settings::{Part, changes},
    *,
};
use crate::train::fit::{BackboneChoice, FitOptions};

/// Scores of 40 good images from 0 to 1, and of 80 defects between `from` and `from` + 1, in another order for another `turn`.
fn judged(from: f32, turn: usize) -> Judged {
    let spread = |count: usize, turn: usize| -> Vec<f32> {
        (0..count).map(|index| ((index * 7 + turn) % count) as f32 / count as f32).collect()
    };
    Judged {
        input: (448, 448),
        good: spread(40, turn),
        flagged: 0,
        defective: spread(80, turn).into_iter().map(|score| from + score).collect(),
        found: 40,
    }
}

#[test]
fn other_settings_replace_the_best_only_beyond_chance() {
    let replaced = |best: &Judged, other: &Judged| replaces(&difference(best, other).unwrap());
    let best = judged(0.4, 0);
    assert!(replaced(&best, &judged(0.8, 0)), "much better");
    assert!(!replaced(&judged(0.8, 0), &best), "much worse");
    assert!(!replaced(&best, &best), "a tie");
    // A little better by the area, but the images change places at random.
    let other = judged(0.42, 11);
    assert!(other.auroc().unwrap().0 > best.auroc().unwrap().0);
    assert!(!replaced(&best, &other), "better by chance");
    // As little, with every image in its place: it is beyond chance.
    assert!(replaced(&best, &judged(0.45, 0)));
    // The order of the scores alone counts, not how far apart they are.
    let mut stretched = best.clone();
    stretched.good.iter_mut().chain(&mut stretched.defective).for_each(|score| *score *= 1024.0);
    assert_eq!(difference(&best, &stretched).unwrap().value, 0.0);
}

#[test]
fn settings_that_saw_other_images_are_not_compared() {
    let mut other = judged(0.8, 0);
    other.defective.pop();
    assert!(difference(&judged(0.4, 0), &other).is_none());
}

#[test]
fn bounds_of_an_area_are_around_it() {
    let (auroc, [low, high]) = judged(0.4, 0).auroc().unwrap();
    assert!(low < auroc && auroc < high && high - low > 0.02 && high <= 1.0, "{low} {auroc} {high}");
    let opposite = Judged { good: vec![5.0; 8], ..judged(0.4, 0) };
    let (auroc, [low, high]) = opposite.auroc().unwrap();
    assert!((auroc, low) == (0.0, 0.0) && high > 0.05 && high < 0.25, "eight good images do not prove it: {high}");
}

fn network(name: &str, strides: &[usize]) -> Arc<Network> {
    let choice = BackboneChoice::File(PathBuf::from(format!("{name}.onnx")));
    Arc::new(Network { name: name.to_owned(), choice, sha256: name.repeat(8), strides: strides.to_vec() })
}

fn settings() -> Settings {
    Settings { network: network("first", &[8, 16, 32]), strides: Vec::new(), input_size: None, noise: 0.05 }
}

const NETWORKS: [(&str, &[usize]); 3] = [("first", &[8, 16, 32]), ("fine", &[4, 8, 16, 32]), ("coarse", &[16, 32])];

fn tried(part: Part, best: &Settings, input: (u32, u32), held: Held) -> Vec<super::settings::Change> {
    let networks: Vec<_> = NETWORKS.iter().map(|(name, strides)| network(name, strides)).collect();
    changes(part, best, input, held, &networks)
}

#[test]
fn each_part_changes_one_setting() {
    let best = settings();
    let found = |part| tried(part, &best, (512, 384), Held::default());
    let sizes: Vec<_> = found(Part::InputSize).iter().map(|change| change.settings.input_size.unwrap()).collect();
    assert_eq!(sizes, [(416, 320), (608, 448)]);
    assert!(found(Part::InputSize)[1].cost > 1.3, "a larger input takes longer");
    let strides: Vec<_> = found(Part::Strides).into_iter().map(|change| change.settings).collect();
    assert_eq!(
        strides.iter().map(|settings| settings.strides.clone()).collect::<Vec<_>>(),
        [vec![16, 32], vec![8, 16]]
    );
    assert!(strides.iter().all(|settings| settings.input_size == Some((512, 384))), "the input stays as it is");
    let noise: Vec<_> = found(Part::Noise).iter().map(|change| change.settings.noise).collect();
    assert_eq!(noise, [0.025, 0.1]);
    let names: Vec<_> = found(Part::Backbone).iter().map(|change| change.settings.network.name.clone()).collect();
    assert_eq!(names, ["fine", "coarse"], "not the one that is the best already");
    let mut ids: Vec<_> = Part::ALL.into_iter().flat_map(found).map(|change| change.settings.id()).collect();
    ids.push(best.id());
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "each candidate has an id of its own");
}

#[test]
fn what_the_user_has_set_is_held() {
    let held = Held { backbone: true, input_size: true, strides: true, noise: true };
    for part in Part::ALL {
        assert!(tried(part, &settings(), (448, 448), held).is_empty(), "{part:?}");
    }
    // With another backbone too: its size and strides are kept, or it is not tried.
    let best = Settings { strides: vec![8, 32], input_size: Some((320, 704)), noise: 0.2, ..settings() };
    let found = tried(Part::Backbone, &best, (320, 704), Held { backbone: false, ..held });
    let [fine, coarse] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((fine.settings.input_size, fine.settings.strides.as_slice()), (Some((320, 704)), &[8, 32][..]));
    assert_eq!((fine.settings.noise, &fine.impossible), (0.2, &None));
    assert_eq!(coarse.impossible.as_deref(), Some("it has no stride 8"));
    // What the search itself found is another backbone's own choice.
    let found = tried(Part::Backbone, &best, (320, 704), Held::default());
    assert!(found.iter().all(|change| change.settings.input_size.is_none() && change.settings.strides.is_empty()));
}

/// Images that are turned by 90 degrees need a square input, at every size.
#[test]
fn a_square_stays_one() {
    for side in [96, 128, 160, 448] {
        for change in tried(Part::InputSize, &settings(), (side, side), Held::default()) {
            let (width, height) = change.settings.input_size.unwrap();
            assert!(width == height && width != side && width % 32 == 0, "{side}: {width}×{height}");
        }
    }
}

#[test]
fn one_stride_and_no_noise_are_not_changed() {
    let best = Settings { strides: vec![16], noise: 0.0, ..settings() };
    assert!(tried(Part::Strides, &best, (448, 448), Held::default()).is_empty());
    assert!(tried(Part::Noise, &best, (448, 448), Held::default()).is_empty());
}

#[test]
fn a_fit_has_the_settings_and_all_else_as_it_was() {
    let best = Settings { strides: vec![8], input_size: Some((64, 32)), noise: 0.2, ..settings() };
    let mut before = FitOptions::new("bolt");
    before.training.seed = 7;
    let after = best.over(before);
    assert_eq!(after.backbone, BackboneChoice::File("first.onnx".into()));
    assert_eq!((after.strides, after.input_size, after.training.noise), (vec![8], Some((64, 32)), 0.2));
    assert_eq!((after.name.as_str(), after.training.seed), ("bolt", 7));
}

fn entry(id: &str) -> Entry {
    Entry { id: id.to_owned(), result: Verdict::Failed("too large".to_owned()), seconds: 1.25 }
}

#[test]
fn a_record_goes_on_with_its_key_and_begins_anew_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/search.json");
    let (mut record, found) = Record::open(&path, "key", 20.0).unwrap();
    assert_eq!(found, Found::New);
    record.push(&path, entry("a")).unwrap();
    let (again, found) = Record::open(&path, "key", 20.0).unwrap();
    assert_eq!((found, &again), (Found::Same, &record));
    assert_eq!((again.entry("a"), again.entry("b")), (Some(&entry("a")), None));
    let (other, found) = Record::open(&path, "another key", 20.0).unwrap();
    assert_eq!((found, other.entries.len()), (Found::Other, 0));
}

#[test]
fn scores_come_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("search.json");
    let mut record = Record::open(&path, "key", 20.0).unwrap().0;
    let scores = Judged { good: vec![f32::MIN, 0.1, 1.0 / 3.0], defective: Vec::new(), ..judged(0.0, 0) };
    record.push(&path, Entry { result: Verdict::Judged(scores), ..entry("a") }).unwrap();
    assert_eq!(Record::open(&path, "key", 20.0).unwrap().0, record);
}

#[test]
fn a_damaged_record_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("search.json");
    let mut record = Record::open(&path, "key", 20.0).unwrap().0;
    record.push(&path, entry("a")).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let missing = text.replace("\"entries\"", "\"entry\"");
    for damaged in ["", "{}", "[]", &text[..text.len() / 2], &missing] {
        fs::write(&path, damaged).unwrap();
        let error = Record::open(&path, "key", 20.0).unwrap_err().to_string();
        assert!(error.contains("search.json") && error.contains("remove it to begin anew"), "{damaged}: {error}");
    }
    // One with scores of other defects.
    let mut record = Record::open(&folder.path().join("none"), "key", 20.0).unwrap().0;
    record.push(&path, Entry { result: Verdict::Judged(judged(0.4, 0)), ..entry("a") }).unwrap();
    assert!(Record::open(&path, "key", 20.0).unwrap_err().to_string().contains("another number of defects"));
}

/// A candidate that takes all memory ends the program each time: the third time it is left out.
#[test]
fn a_candidate_that_ends_the_program_twice_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("search.json");
    let begin = |id: &str| Record::open(&path, "key", 20.0).unwrap().0.begin(&path, id).unwrap();
    assert!(begin("a") && begin("a") && !begin("a"));
    assert!(begin("b"), "another candidate");
    let mut record = Record::open(&path, "key", 20.0).unwrap().0;
    record.stopped(&path).unwrap();
    assert!(begin("b") && begin("b"), "what the user stops does not count");
}
