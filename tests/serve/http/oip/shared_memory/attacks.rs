//! What a client must not be able to do with shared memory.

use super::*;

#[test]
fn what_is_no_object_is_refused() {
    let models = Models::new();
    let server = sharing(&models);
    let object = Object::new("refused", 1000);
    let name = object.key.trim_start_matches('/').to_owned();
    let beside = |name: &str| Path::new("/dev/shm").join(format!("uflow-test-{}-{name}", std::process::id()));
    let (link, folder, pipe) = (beside("link"), beside("folder"), beside("pipe"));
    symlink("/etc/passwd", &link).unwrap();
    fs::create_dir(&folder).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let key = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let kind = "is not a shared memory object but a link, a folder or a device";
    let not_a_name = "is not the name of a shared memory object";
    let cases = [
        (key(&link), 0, 10, kind),
        (key(&folder), 0, 10, kind),
        (key(&pipe), 0, 10, kind),
        (String::new(), 0, 10, not_a_name),
        ("/".to_owned(), 0, 10, not_a_name),
        (".".to_owned(), 0, 10, not_a_name),
        ("/..".to_owned(), 0, 10, not_a_name),
        ("../../etc/passwd".to_owned(), 0, 10, not_a_name),
        ("/etc/passwd".to_owned(), 0, 10, not_a_name),
        (format!("//{name}"), 0, 10, not_a_name),
        (format!("{}/x", key(&folder)), 0, 10, not_a_name),
        (format!("{name}\0"), 0, 10, not_a_name),
        ("x".repeat(256), 0, 10, not_a_name),
        (format!("{name}-none"), 0, 10, "cannot be opened: No such file"),
        (name.clone(), 0, 0, "0 bytes from offset 0 are not a region"),
        (name.clone(), 0, 1001, "has 1000 bytes; 1001 bytes from offset 0 need 1001. Set its size"),
        (name.clone(), 1, 1000, "1000 bytes from offset 1 need 1001"),
        (name.clone(), 1001, 1, "1 bytes from offset 1001 need 1002"),
        (name.clone(), u64::MAX, 1, "are not a region"),
        (name.clone(), 1, u64::MAX, "are not a region"),
        (name.clone(), 1 << 63, 1, "are not a region"),
    ];
    for (key, offset, byte_size, says) in cases {
        assert_error(&register(&server, "r", &key, offset, byte_size), 400, "INVALID_ARGUMENT", says);
    }
    let long = "x".repeat(256);
    assert_error(
        &register(&server, &long, &name, 0, 1),
        400,
        "INVALID_ARGUMENT",
        "a region has a name of 1 to 255 bytes",
    );
    for body in
        ["", "{}", r#"{"key": "x"}"#, r#"{"key": "x", "byte_size": -1}"#, r#"{"key": "x", "byte_size": 1, "mode": 1}"#]
    {
        let found = server.send("POST", "/v2/systemsharedmemory/region/r/register", &[], body.as_bytes());
        assert_error(&found, 400, "INVALID_ARGUMENT", "body: it is not the JSON that this path takes");
    }
    assert_eq!(server.get("/v2/systemsharedmemory/status").json(), json!([]), "nothing was registered");
    assert_eq!(register(&server, "r", &name, 0, 1000).status, 200, "without the slash too");
    assert_error(&register(&server, "r", &name, 0, 1), 409, "ALREADY_EXISTS", "the region `r` is registered already");
    fs::remove_file(&link).unwrap();
    fs::remove_file(&pipe).unwrap();
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn a_part_outside_its_region_is_refused() {
    let models = Models::new();
    let server = sharing(&models);
    let object = Object::new("outside", 20_000);
    assert_eq!(register(&server, "r", &object.key, 0, 10_000).status, 200);
    let size = 61 * 43 * 3;
    let byte_size = "shared_memory_byte_size: ";
    for (parameters, status, says) in [
        (place("r", 10_000 - size + 1, size), 400, "are not a part of the region `r`, which has 10000 bytes"),
        (place("r", 0, 10_001), 400, "10001 bytes from offset 0 are not a part of the region"),
        (place("r", u64::MAX, 2), 400, byte_size),
        (place("r", 2, u64::MAX), 400, byte_size),
        (place("r", 0, 0), 400, "0 bytes from offset 0"),
        (place("r", 0, size - 1), 400, "inputs: `image` has 7868 bytes of pixels"),
        (place("s", 0, size), 404, "there is no shared memory region `s`"),
        (place("../r", 0, size), 404, "there is no shared memory region `../r`"),
        (
            json!({ "shared_memory_region": "r" }),
            400,
            "`image` needs shared_memory_byte_size beside shared_memory_region",
        ),
        (
            json!({ "shared_memory_region": 7, "shared_memory_byte_size": size }),
            400,
            "`image` needs shared_memory_region, as string_param",
        ),
        (
            json!({ "shared_memory_region": "r", "shared_memory_byte_size": "9" }),
            400,
            "shared_memory_byte_size of `image` is not an integer from 0",
        ),
        (
            json!({ "shared_memory_region": "r", "shared_memory_byte_size": size, "shared_memory_offset": -1 }),
            400,
            "shared_memory_offset of `image` is not an integer from 0",
        ),
    ] {
        let found = infer(&server, json!([image(parameters)]), json!([]));
        assert_error(&found, status, if status == 404 { "NOT_FOUND" } else { "INVALID_ARGUMENT" }, says);
    }
    let without = json!({ "shared_memory_byte_size": size });
    let found = infer(&server, json!([image(without.clone())]), json!([]));
    assert_error(&found, 400, "INVALID_ARGUMENT", "`image` has no elements");
    // An output that has too little room leaves the memory as it was.
    let outputs = json!([
        { "name": "score", "parameters": place("r", 9000, 4) },
        { "name": "mask", "parameters": place("r", 0, 61 * 43 - 1) },
    ]);
    object.write(9000, &[7; 4]);
    let found = infer(&server, json!([image(place("r", 0, size))]), outputs);
    assert_error(
        &found,
        400,
        "INVALID_ARGUMENT",
        "`mask` has 2623 bytes, and 2622 are set aside for it in shared memory",
    );
    assert_eq!(object.read(9000, 4), [7; 4]);
}

#[test]
fn an_object_that_changes_behind_its_region_is_an_error() {
    let models = Models::new();
    let server = sharing(&models);
    let size = 61 * 43 * 3;
    let object = Object::new("changes", size);
    let inputs = || json!([image(place("r", 0, size))]);
    assert_eq!(register(&server, "r", &object.key, 0, size).status, 200);
    assert_eq!(infer(&server, inputs(), json!([])).status, 200);
    // Truncated: neither read nor written, and it does not grow.
    object.file.set_len(size - 1).unwrap();
    assert_error(
        &infer(&server, inputs(), json!([])),
        400,
        "INVALID_ARGUMENT",
        "`r` was truncated: its object has 7868 bytes",
    );
    let pixels = json!([{ "name": "image", "datatype": "UINT8", "shape": [1, 1, 1], "data": [1] }]);
    let into = json!([{ "name": "score", "parameters": place("r", size - 4, 4) }]);
    assert_error(&infer(&server, pixels.clone(), into.clone()), 400, "INVALID_ARGUMENT", "`r` was truncated");
    assert_eq!(object.file.metadata().unwrap().len(), size - 1);
    object.file.set_len(size).unwrap();
    assert_eq!(infer(&server, inputs(), into.clone()).status, 200, "as large as before, it is in order again");
    // Removed by name, it is still the object that was registered.
    fs::remove_file(&object.path).unwrap();
    assert_eq!(infer(&server, inputs(), json!([])).status, 200);
    // Replaced, the name is that of another object.
    let other = Object::new("changes", size);
    assert_error(
        &infer(&server, inputs(), json!([])),
        400,
        "INVALID_ARGUMENT",
        "`r` is of an object that was replaced",
    );
    fs::remove_file(&other.path).unwrap();
    symlink("/etc/passwd", &other.path).unwrap();
    assert_error(
        &infer(&server, inputs(), json!([])),
        400,
        "INVALID_ARGUMENT",
        "`r` is of an object that was replaced",
    );
    unregister(&server, "r");
    assert_eq!(register(&server, "r", &other.key, 0, size).status, 400, "a link is not followed");
}

#[test]
fn nothing_is_written_to_a_region_after_it_was_unregistered() {
    let shared = SharedMemory::new(Access::Anywhere);
    let object = Object::new("gone", 100);
    shared.register("r", &object.key, 10, 50).unwrap();
    let window = shared.window("r", 5, 4).unwrap();
    window.write("x", &[1, 2, 3, 4]).unwrap();
    assert_eq!(object.read(14, 6), [0, 1, 2, 3, 4, 0]);
    assert_eq!(window.read(4).unwrap(), [1, 2, 3, 4].as_slice());
    let limit = window.read(3).unwrap_err().to_string();
    assert_eq!(limit, "size of the tensor in shared memory is over the limit: 4 > 3 bytes");
    shared.unregister("");
    for error in [window.write("x", &[9; 4]).unwrap_err(), window.read(4).unwrap_err()] {
        assert!(error.to_string().contains("`r` was unregistered while a request used it"), "{error}");
    }
    assert_eq!(object.read(14, 6), [0, 1, 2, 3, 4, 0]);
    // The name can be used again, and the old part stays closed.
    shared.register("r", &object.key, 0, 100).unwrap();
    assert!(window.read(4).is_err() && shared.window("r", 0, 100).is_ok());
}

#[test]
fn there_are_so_many_regions_and_no_more() {
    let shared = SharedMemory::new(Access::Anywhere);
    let object = Object::new("many", 100);
    let mut count = 0;
    let refused = loop {
        match shared.register(&count.to_string(), &object.key, 0, 1) {
            Ok(()) => count += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), count), (Code::ResourceExhausted, 256));
    shared.unregister("7");
    shared.register("again", &object.key, 0, 1).unwrap();
}
