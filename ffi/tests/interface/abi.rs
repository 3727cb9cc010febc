//! The binary interface: exported symbols, declarations, and sizes, offsets and numbers of structs and enumerations as C and Rust see
//! them, the same as in the committed lists. A line that is removed or changed breaks existing programs and needs a new major version.
//! New lines are added with `UFLOW_WRITE_ABI=1 cargo test -p uflow-ffi --test interface abi::`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    mem::offset_of,
    process::Command,
};

use crate::fixture::{library, root};
use uflow_ffi::*;

/// Compares a list with the committed one, or writes it.
fn check(name: &str, found: &str) {
    let path = root().join("ffi/abi").join(name);
    if std::env::var_os("UFLOW_WRITE_ABI").is_some() {
        fs::write(&path, found).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (committed, found) = (lines(&committed), lines(found));
    let gone: Vec<_> = committed.difference(&found).collect();
    let new: Vec<_> = found.difference(&committed).collect();
    assert!(gone.is_empty(), "{name}: gone or changed: {gone:#?}, new: {new:#?}");
    assert!(new.is_empty(), "{name}: new, and not in the list yet: {new:#?}");
}

/// No backbone is part of the library, so its terms are no terms of the library.
#[test]
fn the_library_holds_no_backbone() {
    let (library, photonet) = (fs::read(library()).unwrap(), fs::read(root().join("assets/photonet.onnx")).unwrap());
    let part = &photonet[photonet.len() / 2..][..64];
    assert!(!library.windows(part.len()).any(|window| window == part));
}

#[test]
fn exports_are_those_of_the_list() {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    names.retain(|name| !name.starts_with("UFLOW_")); // GNU ld lists the nodes too
    // A crate of the server exports names for C. They are there only if the library is built together with the server, as in `make test`;
    // `tools/check_library.sh` refuses them in the library that is shipped.
    names.retain(|name| !name.starts_with("crc_fast_"));
    names.sort_unstable();
    assert!(names.iter().all(|name| name.starts_with("uflow_")), "{names:?}");
    let list = fs::read_to_string(root().join("ffi/abi/symbols.txt")).unwrap();
    let nodes: BTreeMap<_, _> = list.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    let current = format!("UFLOW_{major}.{minor}");
    for (name, node) in &nodes {
        let version = node.strip_prefix("UFLOW_").and_then(|version| version.split_once('.'));
        let (its_major, its_minor) =
            version.unwrap_or_else(|| panic!("{name} has the node {node}, not UFLOW_MAJOR.MINOR"));
        assert_eq!(its_major, major, "{name}: a new major version begins the list again, with nodes of its own");
        assert!(
            its_minor.parse::<u32>().unwrap() <= minor.parse().unwrap(),
            "{name} has the node {node} of a version to come"
        );
    }
    // The installed library has nodes. The one that is built with this test has none, since rustc makes none.
    let lines = names.iter().map(|name| match name.split_once("@@") {
        Some((name, node)) => format!("{name} {node}\n"),
        None => format!("{name} {}\n", nodes.get(name).unwrap_or(&current.as_str())),
    });
    check("symbols.txt", &lines.collect::<String>());
}

/// The functions, callbacks and fields of the header, one a line, without comments and macros.
fn declarations(header: &str) -> BTreeSet<String> {
    let (c, _) = header.split_once("}  // extern \"C\"").unwrap(); // what follows is C++
    let code: String = c.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect();
    let code = code.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let code = code.replace("extern \"C\" {", "");
    let mut found = BTreeSet::new();
    let mut scope = String::new();
    for part in code.split(';') {
        let mut part = part.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((head, field)) = part.split_once(" { ").filter(|(head, _)| head.starts_with("typedef struct")) {
            scope = format!("{}: ", head.rsplit(' ').next().unwrap());
            part = field.to_owned();
        } else if part.starts_with('}') {
            scope.clear();
            continue;
        }
        if !part.is_empty() && !part.starts_with("enum ") {
            found.insert(format!("{scope}{part}"));
        }
    }
    found
}

#[test]
fn declarations_are_those_of_the_list() {
    let found = declarations(&fs::read_to_string(root().join("include/uflow.h")).unwrap());
    for line in [
        "uint32_t uflow_version_number(void)",
        "uflow_image: const uint8_t *data",
        "typedef void (*uflow_release_callback)(void *user_data, const struct uflow_frame *frame)",
    ] {
        assert!(found.iter().any(|declared| declared.ends_with(line)), "no `{line}` in {found:#?}");
    }
    check("declarations.txt", &found.iter().map(|line| format!("{line}\n")).collect::<String>());
}

/// `name size` for a struct and `name.field offset` for its fields: the values in Rust, and the C code that prints the values in C.
macro_rules! layouts {
    ($($name:ident { $($field:ident),* $(,)? })*) => {{
        let (mut rust, mut c) = (String::new(), String::new());
        $(
            writeln!(rust, "{} {}", stringify!($name), size_of::<$name>()).unwrap();
            writeln!(c, "printf(\"%s %zu\\n\", \"{0}\", sizeof({0}));", stringify!($name)).unwrap();
            $(
                writeln!(rust, "{}.{} {}", stringify!($name), stringify!($field), offset_of!($name, $field)).unwrap();
                writeln!(c, "printf(\"%s %zu\\n\", \"{0}.{1}\", offsetof({0}, {1}));", stringify!($name), stringify!($field))
                    .unwrap();
            )*
        )*
        (rust, c)
    }};
}

#[test]
fn layouts_are_the_same_on_both_sides_and_those_of_the_list() {
    let (mut rust, mut c) = layouts! {
        uflow_image { struct_size, data, size, stride, width, height, format, significant_bits }
        uflow_image_info { struct_size, width, height, format, bits, is_float, pages, orientation, reserved }
        uflow_buffers {
            struct_size, mask, mask_capacity, mask_width, mask_height, score_map, score_map_capacity, log10_nfa_map,
            log10_nfa_map_capacity, map_width, map_height,
        }
        uflow_frame { struct_size, id, timestamp, buffer }
        uflow_options_info {
            struct_size, epsilon, score_threshold, verdict, bound, tests, has_min_area, min_area, maps, priority,
            time_limit_ms, roi, reject_rate,
        }
        uflow_engine_options_info {
            struct_size, device, precision, onnxruntime, max_delay_ms, max_pixels, max_bytes,
            max_frame_bytes, max_work_bytes, threads, workers,
            max_batch, max_in_flight, trusted_keys,
        }
        uflow_stream_options_info {
            struct_size, capacity, time_limit_ms, result_callback, result_user_data, release_callback,
            release_user_data,
        }
        uflow_fit_options_info {
            struct_size, name, backbone, input_width, input_height, augmentation, epochs, patience, batch,
            learning_rate, weight_decay, noise, seed, memory, steps, verdict, epsilon, score_threshold, min_area,
            bound, tests, has_roi, significant_bits, float_low, float_high, cross_fit, golden,
            reject_rate, time_budget, tiles, tiles_width, tiles_height, tile_overlap,
        }
        uflow_latents { struct_size, data, size, channels, height, width, reserved }
        uflow_model_info {
            struct_size, version, input_width, input_height, scales, epsilon, verdict, min_area, fair_threshold,
            score_threshold, bound, tests, has_roi, calibration_images, device, flow_sha256, backbone, backbone_sha256,
            reject_rate, good_images, reject_extrapolated, decision,
        }
        uflow_summary {
            struct_size, anomalous, score, log10_nfa_min, regions, width, height, decode_ms, queue_ms, preprocess_ms,
            network_ms, segmentation_ms, batch_size, latents, p_value, p_extrapolated,
            score_max,
        }
        uflow_region {
            struct_size, x, y, width, height, area, scale, centroid_x, centroid_y, log10_nfa_min, score_max, rings,
            reserved, p_value,
        }
        uflow_point { x, y }
        uflow_progress {
            struct_size, epoch, epochs, batch, batches, loss, learning_rate, seconds, held_out_nll, latent_variance,
            fold, folds,
        }
        uflow_training {
            struct_size, images, held_out, epochs, best_epoch, stop_reason, fair_threshold, held_out_nll,
            latent_variance, seconds, null_images, null_images_planned,
        }
    };
    let header = fs::read_to_string(root().join("include/uflow.h")).unwrap();
    let structs =
        header.lines().filter(|line| line.starts_with("typedef struct uflow_") && line.ends_with('{')).count();
    assert_eq!(rust.lines().filter(|line| !line.contains('.')).count(), structs, "a struct of the header is not here");
    for line in header.lines().map(str::trim).filter(|line| line.starts_with("UFLOW_") && line.contains(" = ")) {
        let (name, number) = line.trim_end_matches(',').split_once(" = ").unwrap();
        writeln!(rust, "{name} {number}").unwrap();
        writeln!(c, "printf(\"%s %zu\\n\", \"{name}\", (size_t){name});").unwrap();
    }
    for name in header.lines().filter_map(|line| line.strip_prefix("enum uflow_")) {
        writeln!(rust, "uflow_{name} 4").unwrap();
        writeln!(c, "printf(\"%s %zu\\n\", \"uflow_{name}\", sizeof(uflow_{name}));").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let includes = "#include <stdio.h>\n#include <uflow.h>\nint main(void) {\n";
    for (compiler, suffix, standard) in [("gcc", "c", "-std=c11"), ("g++", "cpp", "-std=c++17")] {
        let (source, program) = (folder.path().join(format!("layout.{suffix}")), folder.path().join("layout"));
        fs::write(&source, format!("{includes}{c}return 0;\n}}\n")).unwrap();
        let mut command = Command::new(compiler);
        command.args([standard, "-Wall", "-Wextra", "-Werror", "-I"]).arg(root().join("include"));
        let built = command.arg(&source).arg("-o").arg(&program).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let said = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
        assert_eq!(said, rust, "{compiler}, and Rust");
    }
    if cfg!(all(target_pointer_width = "64", unix)) {
        check("layout-64bit.txt", &rust);
    }
}

#[test]
fn the_server_s_crates_are_not_in_the_library() {
    let tree = |package: &str| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--package", package])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    let (library, server) = (tree("uflow-ffi"), tree("uflow"));
    assert!(library.contains("ort") && library.contains("uflow"));
    for name in ["tokio", "tonic", "hyper", "axum", "rustls", "clap", "opentelemetry"] {
        assert!(!library.contains(name), "{name} is in the library");
        assert!(server.contains(name), "{name} is not in the server, so that it is not in the library says nothing");
    }
}
