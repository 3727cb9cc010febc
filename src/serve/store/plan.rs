//! The steps after which the mirror has what the server will serve.
//!
//! The rules are those of a folder. Of each model the highest versions are served, as many as `--versions` says; a version that cannot be
//! loaded does not count, so the next lower one takes its place. A version is removed when two looks in a row have missed it. An older
//! version stays until those that replace it take frames.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    catalogue::{Catalogue, Remote},
    mirror::{Key, Record},
};
use crate::{
    package::{MANIFEST_FILE, SIGNATURE_FILE},
    serve::registry::Standing,
};

/// The next steps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Versions to copy, because they are new or have changed.
    pub(super) fetch: Vec<Key>,
    /// Copies to remove.
    pub(super) remove: Vec<Key>,
    /// Versions that are not in the bucket now, and stay for one more look.
    pub(super) missing: BTreeSet<Key>,
}

/// What a plan is made from.
pub(super) struct Given<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) records: &'a BTreeMap<Key, Record>,
    /// Missing at the last look.
    pub(super) missing: &'a BTreeSet<Key>,
    /// Versions that clients have asked for.
    pub(super) asked: &'a BTreeSet<Key>,
    /// How many versions of a model are served.
    pub(super) most: usize,
    /// Whether clients load the models, so that nothing takes frames by itself.
    pub(super) explicit: bool,
    pub(super) standing: &'a (dyn Fn(&str, u32) -> Standing + Send + Sync),
    /// Whether a version in the bucket cannot be copied.
    pub(super) unusable: &'a (dyn Fn(&Key, &Remote) -> bool + Send + Sync),
    /// Whether an attempt to copy a version is due.
    pub(super) due: &'a (dyn Fn(&Key, &Remote) -> bool + Send + Sync),
}

impl Given<'_> {
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for (name, versions) in &self.catalogue.models {
            let wanted = self.wanted(name, versions);
            for &version in wanted.iter().rev() {
                let (key, remote) = ((name.clone(), version), &versions[&version]);
                if !self.is_current(&key, remote) && (self.due)(&key, remote) {
                    plan.fetch.push(key);
                }
            }
            let replaced = self.explicit || wanted.iter().all(|&version| self.stands(name, version, Standing::Serves));
            let spare = |version: u32| !wanted.contains(&version) && !self.stands(name, version, Standing::Serves);
            for version in versions.keys().copied().filter(|&version| replaced && spare(version)) {
                let key = (name.clone(), version);
                plan.remove.extend(self.records.contains_key(&key).then_some(key));
            }
        }
        for key in self.records.keys().filter(|(name, version)| self.catalogue.get(name, *version).is_none()) {
            match self.missing.contains(key) {
                true => plan.remove.push(key.clone()),
                false => drop(plan.missing.insert(key.clone())),
            }
        }
        plan
    }

    /// The versions of a model to have copies of: from the highest on, until there are enough that may be served.
    fn wanted(&self, name: &str, versions: &BTreeMap<u32, Remote>) -> BTreeSet<u32> {
        let (mut wanted, mut count) = (BTreeSet::new(), 0);
        for (&version, remote) in versions.iter().rev() {
            let key = (name.to_owned(), version);
            if count < self.most {
                wanted.insert(version);
                let fails = self.stands(name, version, Standing::Failed) || (self.unusable)(&key, remote);
                count += usize::from(!fails);
            }
            if self.asked.contains(&key) {
                wanted.insert(version);
            }
        }
        wanted
    }

    fn stands(&self, name: &str, version: u32, standing: Standing) -> bool {
        (self.standing)(name, version) == standing
    }

    /// Whether a copy was made of what is in the bucket now.
    fn is_current(&self, key: &Key, remote: &Remote) -> bool {
        self.records.get(key).is_some_and(|record| is_copy(record, remote))
    }
}

/// Whether a record is that of a package as it is in the bucket. Files that the manifest does not name do not matter.
pub(super) fn is_copy(record: &Record, remote: &Remote) -> bool {
    match remote {
        Remote::File(object) => {
            record.files.len() == 1 && record.files.get("").is_some_and(|stamp| stamp.is(&object.stamp))
        }
        Remote::Folder(files) => {
            let same = |(name, stamp): (&String, _)| files.get(name).is_some_and(|object| object.stamp.is(stamp));
            record.files.contains_key(MANIFEST_FILE)
                && record.files.contains_key(SIGNATURE_FILE) == files.contains_key(SIGNATURE_FILE)
                && record.files.iter().all(same)
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;
    use crate::serve::store::catalogue::{Object, Stamp};

    fn stamp(tag: &str) -> Stamp {
        Stamp { size: 1, e_tag: Some(tag.to_owned()), modified: 0 }
    }

    fn remote(tag: &str) -> Remote {
        let object =
            |name: &str, tag: &str| (name.to_owned(), Object { location: Path::from(name), stamp: stamp(tag) });
        Remote::Folder(BTreeMap::from([object(MANIFEST_FILE, tag), object("flow.onnx", "f"), object("notes.txt", tag)]))
    }

    fn record(tag: &str) -> Record {
        let files = [(MANIFEST_FILE.to_owned(), stamp(tag)), ("flow.onnx".to_owned(), stamp("f"))];
        Record { files: BTreeMap::from(files), backbone: None }
    }

    fn key(version: u32) -> Key {
        ("bolt".to_owned(), version)
    }

    struct Case {
        bucket: Vec<(u32, &'static str)>,
        mirror: Vec<(u32, &'static str)>,
        missing: Vec<u32>,
        asked: Vec<u32>,
        most: usize,
        explicit: bool,
        serves: Vec<u32>,
        failed: Vec<u32>,
        unusable: Vec<u32>,
        not_due: Vec<u32>,
    }

    fn case() -> Case {
        let none = Vec::new;
        Case {
            bucket: vec![(1, "a"), (2, "a"), (3, "a")],
            mirror: vec![],
            missing: none(),
            asked: none(),
            most: 1,
            explicit: false,
            serves: none(),
            failed: none(),
            unusable: none(),
            not_due: none(),
        }
    }

    impl Case {
        /// Versions to fetch, to remove, and missing.
        fn plan(&self) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
            let versions: BTreeMap<_, _> = self.bucket.iter().map(|(version, tag)| (*version, remote(tag))).collect();
            let mut catalogue = Catalogue::default();
            if !versions.is_empty() {
                catalogue.models.insert("bolt".to_owned(), versions);
            }
            let records = self.mirror.iter().map(|(version, tag)| (key(*version), record(tag))).collect();
            let keys = |versions: &[u32]| versions.iter().map(|version| key(*version)).collect::<BTreeSet<_>>();
            let plan = Given {
                catalogue: &catalogue,
                records: &records,
                missing: &keys(&self.missing),
                asked: &keys(&self.asked),
                most: self.most,
                explicit: self.explicit,
                standing: &|_, version| match version {
                    version if self.serves.contains(&version) => Standing::Serves,
                    version if self.failed.contains(&version) => Standing::Failed,
                    _ => Standing::Unknown,
                },
                unusable: &|key, _| self.unusable.contains(&key.1),
                due: &|key, _| !self.not_due.contains(&key.1),
            }
            .plan();
            let numbers = |keys: Vec<Key>| keys.into_iter().map(|(_, version)| version).collect();
            (numbers(plan.fetch), numbers(plan.remove), numbers(plan.missing.into_iter().collect()))
        }
    }

    #[test]
    fn only_the_versions_that_will_be_served_are_copied() {
        assert_eq!(case().plan(), (vec![3], vec![], vec![]));
        assert_eq!(Case { most: 2, ..case() }.plan().0, [3, 2]);
        assert_eq!(Case { most: usize::MAX, ..case() }.plan().0, [3, 2, 1]);
        assert_eq!(Case { mirror: vec![(3, "a")], ..case() }.plan().0, [0; 0]);
        assert_eq!(Case { asked: vec![1], explicit: true, ..case() }.plan().0, [3, 1]);
    }

    #[test]
    fn the_next_lower_version_takes_the_place_of_one_that_fails() {
        assert_eq!(Case { unusable: vec![3], not_due: vec![3], ..case() }.plan().0, [2]);
        assert_eq!(Case { failed: vec![3], mirror: vec![(3, "a")], ..case() }.plan().0, [2]);
        assert_eq!(Case { unusable: vec![3], failed: vec![2], mirror: vec![(2, "a")], ..case() }.plan().0, [3, 1]);
    }

    #[test]
    fn a_changed_file_makes_a_new_copy_and_a_file_that_is_not_named_does_not() {
        assert_eq!(Case { mirror: vec![(3, "before")], ..case() }.plan().0, [3]);
        let Remote::Folder(mut files) = remote("a") else { unreachable!() };
        assert!(is_copy(&record("a"), &Remote::Folder(files.clone())));
        files.get_mut("notes.txt").unwrap().stamp = stamp("other");
        assert!(is_copy(&record("a"), &Remote::Folder(files.clone())));
        files.insert(SIGNATURE_FILE.to_owned(), files["notes.txt"].clone());
        assert!(!is_copy(&record("a"), &Remote::Folder(files.clone())), "it was signed");
        files.remove(SIGNATURE_FILE);
        files.remove("flow.onnx");
        assert!(!is_copy(&record("a"), &Remote::Folder(files)));
        let object = Object { location: Path::from("bolt/3"), stamp: stamp("a") };
        let one = Record { files: BTreeMap::from([(String::new(), stamp("a"))]), backbone: None };
        assert!(is_copy(&one, &Remote::File(object.clone())) && !is_copy(&record("a"), &Remote::File(object)));
    }

    #[test]
    fn an_older_version_stays_until_it_is_replaced() {
        let both = Case { mirror: vec![(2, "a"), (3, "a")], ..case() };
        assert_eq!(both.plan().1, [0; 0], "version 3 is not loaded yet");
        assert_eq!(Case { serves: vec![2], ..both }.plan().1, [0; 0]);
        let both = Case { mirror: vec![(2, "a"), (3, "a")], ..case() };
        assert_eq!(Case { serves: vec![2, 3], ..both }.plan().1, [0; 0], "version 2 still has frames");
        let both = Case { mirror: vec![(2, "a"), (3, "a")], ..case() };
        assert_eq!(Case { serves: vec![3], ..both }.plan().1, [2]);
        let both = Case { mirror: vec![(2, "a"), (3, "a")], ..case() };
        assert_eq!(Case { explicit: true, ..both }.plan().1, [2]);
    }

    #[test]
    fn a_version_is_removed_when_two_looks_have_missed_it() {
        let gone = || Case { bucket: vec![], mirror: vec![(3, "a")], ..case() };
        assert_eq!(gone().plan(), (vec![], vec![], vec![3]));
        assert_eq!(Case { missing: vec![3], serves: vec![3], ..gone() }.plan(), (vec![], vec![3], vec![]));
    }
}
