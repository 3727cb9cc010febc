//! Mutations of whole manifests. A mutated manifest either loads and means exactly what its text says, or is refused with a message that
//! names the field.

use proptest::prelude::*;
use serde_json::{Value, json};
use uflow::package::Manifest;

use crate::manifest::{calibrated, full, load};

/// Equal up to absent against null, and to the precision of the fields' types.
pub(super) fn same_meaning(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).all(|key| {
            // Packages from before the field's time are resized bilinearly.
            let absent = if key == "resize" { Value::from("bilinear") } else { Value::Null };
            same_meaning(a.get(key).unwrap_or(&absent), b.get(key).unwrap_or(&absent))
        }),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_meaning(a, b)),
        (Value::Number(a), Value::Number(b)) => {
            a.as_u64().zip(b.as_u64()).is_some_and(|(a, b)| a == b)
                || a.as_f64().map(|a| a as f32) == b.as_f64().map(|b| b as f32)
        }
        (a, b) => a == b,
    }
}

fn paths(value: &Value, path: String, all: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (format!("{path}/{key}"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, value)| (format!("{path}/{i}"), value)).collect(),
        _ => Vec::new(),
    };
    for (path, value) in children {
        all.push(path.clone());
        paths(value, path, all);
    }
}

/// Every place of both manifests.
fn places() -> Vec<(Value, String)> {
    let mut all = Vec::new();
    for manifest in [full(), calibrated()] {
        let mut here = Vec::new();
        paths(&manifest, String::new(), &mut here);
        all.extend(here.into_iter().map(|path| (manifest.clone(), path)));
    }
    all
}

/// The innermost named field of a path.
fn field_of(path: &str) -> &str {
    path.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap()
}

#[derive(Clone, Debug)]
enum Mutation {
    Remove,
    Replace(Value),
    Insert(String),
    Repeat,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..600).prop_map(Value::from),
        (-2.0..2.0_f64).prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        "[a-z./\\\\]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["nfa", "score", "reject", "exact", "bicubic", "flow.onnx", "backbone.onnx"])
            .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([0.1, 0.2, 0.3])),
    ];
    prop_oneof![
        2 => Just(Mutation::Remove),
        6 => value.prop_map(Mutation::Replace),
        1 => "[a-z_]{1,10}".prop_map(Mutation::Insert),
        1 => Just(Mutation::Repeat),
    ]
}

/// Applies a mutation at a path and tells which field an error has to name; `None` where it does not apply.
fn mutate(manifest: &mut Value, path: &str, mutation: Mutation) -> Option<String> {
    let (parent, key) = path.rsplit_once('/').unwrap();
    match mutation {
        Mutation::Replace(value) => *manifest.pointer_mut(path)? = value,
        Mutation::Remove => match manifest.pointer_mut(parent)? {
            Value::Object(fields) => drop(fields.remove(key)),
            Value::Array(items) => drop(items.remove(key.parse().ok()?)),
            _ => return None,
        },
        Mutation::Insert(name) => {
            let fields = manifest.pointer_mut(parent)?.as_object_mut()?;
            if fields.contains_key(&name) {
                return None;
            }
            fields.insert(name.clone(), json!(1));
            return Some(name);
        }
        Mutation::Repeat => {
            let items = manifest.pointer_mut(parent)?.as_array_mut()?;
            items.push(items.first()?.clone());
        }
    }
    Some(field_of(path).to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn mutated_manifests_mean_what_they_say_or_name_the_field(
        (mut manifest, path) in prop::sample::select(places()),
        mutation in mutation(),
    ) {
        let Some(field) = mutate(&mut manifest, &path, mutation) else { return Ok(()) };
        match load(&manifest) {
            Ok(loaded) => {
                let again: Value = serde_json::from_str(&loaded.to_json().unwrap()).unwrap();
                prop_assert!(same_meaning(&manifest, &again), "{} became {}", manifest, again);
            }
            // What the scales' shapes contradict is told of the scales.
            Err(message) => prop_assert!(
                message.contains(&field) || (path.starts_with("/scales") && message.contains("scales")),
                "`{}` is not named: {}", field, message
            ),
        }
    }

    #[test]
    fn changed_texts_mean_what_they_say_or_are_refused(
        manifest in prop::sample::select(vec![full(), calibrated()]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"0129.-eE\"{}[],: x\\u\x00\xFF".to_vec())), 1..4),
    ) {
        let mut text = manifest.to_string().into_bytes();
        for (index, byte) in changes {
            let at = index.index(text.len());
            text[at] = byte;
        }
        if let Ok(loaded) = Manifest::from_json(&text) {
            let said: Value = serde_json::from_slice(&text).unwrap();
            let again: Value = serde_json::from_str(&loaded.to_json().unwrap()).unwrap();
            prop_assert!(same_meaning(&said, &again), "{} became {}", said, again);
        }
    }
}
