//! The protocol files as clients in other languages meet them: all is commented, and the generators' options are set.

use std::path::Path;

use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

/// Numbers of the fields of `descriptor.proto` that a path in the source info is made of.
mod tag {
    pub const FILE_MESSAGE: i32 = 4;
    pub const FILE_ENUM: i32 = 5;
    pub const FILE_SERVICE: i32 = 6;
    pub const MESSAGE_FIELD: i32 = 2;
    pub const MESSAGE_NESTED: i32 = 3;
    pub const MESSAGE_ENUM: i32 = 4;
    pub const MESSAGE_ONEOF: i32 = 8;
    pub const ENUM_VALUE: i32 = 2;
    pub const SERVICE_METHOD: i32 = 2;
}

/// What of a file has no comment before it.
struct Uncommented<'a> {
    file: &'a FileDescriptorProto,
    names: Vec<String>,
}

impl Uncommented<'_> {
    fn of(file: &FileDescriptorProto) -> Vec<String> {
        let mut found = Uncommented { file, names: Vec::new() };
        for (index, message) in (0..).zip(&file.message_type) {
            found.message(&[tag::FILE_MESSAGE, index], file.package(), message);
        }
        for (index, item) in (0..).zip(&file.enum_type) {
            found.enumeration(&[tag::FILE_ENUM, index], file.package(), item);
        }
        for (index, service) in (0..).zip(&file.service) {
            found.service(&[tag::FILE_SERVICE, index], file.package(), service);
        }
        found.names
    }

    /// Notes an item that has no comment; gives its full name.
    fn item(&mut self, path: &[i32], scope: &str, name: &str) -> String {
        let name = format!("{scope}.{name}");
        let locations = self.file.source_code_info.iter().flat_map(|info| &info.location);
        let comment = locations.filter(|location| location.path == path).find_map(|l| l.leading_comments.as_deref());
        if comment.is_none_or(|text| text.trim().is_empty()) {
            self.names.push(name.clone());
        }
        name
    }

    fn message(&mut self, path: &[i32], scope: &str, message: &DescriptorProto) {
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return;
        }
        let name = self.item(path, scope, message.name());
        for (index, field) in (0..).zip(&message.field) {
            self.item(&[path, &[tag::MESSAGE_FIELD, index]].concat(), &name, field.name());
        }
        for (index, oneof) in (0..).zip(&message.oneof_decl) {
            // `optional` makes a oneof of its own, which nobody wrote.
            let mut members = message.field.iter().filter(|field| field.oneof_index == Some(index));
            if members.any(|field| !field.proto3_optional()) {
                self.item(&[path, &[tag::MESSAGE_ONEOF, index]].concat(), &name, oneof.name());
            }
        }
        for (index, nested) in (0..).zip(&message.nested_type) {
            self.message(&[path, &[tag::MESSAGE_NESTED, index]].concat(), &name, nested);
        }
        for (index, item) in (0..).zip(&message.enum_type) {
            self.enumeration(&[path, &[tag::MESSAGE_ENUM, index]].concat(), &name, item);
        }
    }

    fn enumeration(&mut self, path: &[i32], scope: &str, item: &EnumDescriptorProto) {
        let name = self.item(path, scope, item.name());
        for (index, value) in (0..).zip(&item.value) {
            self.item(&[path, &[tag::ENUM_VALUE, index]].concat(), &name, value.name());
        }
    }

    fn service(&mut self, path: &[i32], scope: &str, service: &ServiceDescriptorProto) {
        let name = self.item(path, scope, service.name());
        for (index, method) in (0..).zip(&service.method) {
            self.item(&[path, &[tag::SERVICE_METHOD, index]].concat(), &name, method.name());
        }
    }
}

/// The files of a folder under `root`, compiled.
fn compile(root: &Path, folder: &str) -> Vec<FileDescriptorProto> {
    let names: Vec<String> = std::fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    let files = protox::compile(&names, [root]).unwrap().file;
    files.into_iter().filter(|file| names.iter().any(|name| name == file.name())).collect()
}

fn protocols() -> Vec<FileDescriptorProto> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files: Vec<_> = ["uflow/v1", "inference"].iter().flat_map(|folder| compile(&root, folder)).collect();
    assert!(files.len() >= 5, "the protocol files are there");
    files
}

#[test]
fn everything_is_commented() {
    let uncommented: Vec<String> = protocols().iter().flat_map(Uncommented::of).collect();
    assert!(uncommented.is_empty(), "without a comment: {uncommented:#?}");
}

#[test]
fn what_has_no_comment_is_found() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("t")).unwrap();
    let source = "syntax = \"proto3\"; package t;\n\n\
        service S {\n rpc Call(M) returns (M);\n}\n\
        // Said.\nmessage M {\n // Said.\n int32 said = 1;\n int32 field = 2;\n optional int32 maybe = 3;\n \
        oneof choice {\n // Said.\n int32 one = 4;\n }\n map<string, int32> map = 5;\n message N {}\n}\n\
        enum E {\n VALUE = 0;\n}\n";
    std::fs::write(root.path().join("t/t.proto"), source).unwrap();
    let files = compile(root.path(), "t");
    let expected = ["t.M.field", "t.M.maybe", "t.M.map", "t.M.choice", "t.M.N", "t.E", "t.E.VALUE", "t.S", "t.S.Call"];
    assert_eq!(Uncommented::of(&files[0]), expected);
}

#[test]
fn generators_of_other_languages_find_their_options() {
    for file in protocols() {
        let name = file.name().to_owned();
        let options = file.options.unwrap_or_default();
        let (folder, _) = name.rsplit_once('/').unwrap();
        // The client for Go holds the code of uflow.v1.
        let go_package = match folder {
            "uflow/v1" => "github.com/uflow-rs/uflow/clients/go/uflowpb;uflowpb".to_owned(),
            other => format!("github.com/uflow-rs/uflow/proto/{other};{other}"),
        };
        assert_eq!(options.go_package(), go_package, "{name}: go_package");
        assert!(options.java_package().starts_with("io.uflow."), "{name}: java_package");
        assert!(options.java_multiple_files(), "{name}: java_multiple_files");
        assert!(options.csharp_namespace().starts_with("Uflow."), "{name}: csharp_namespace");
    }
}

/// What the server's reflection hands out is these files, with the files they import.
#[cfg(feature = "serve")]
#[test]
fn the_library_holds_the_compiled_files() {
    let pool = protox::prost_reflect::DescriptorPool::decode(uflow::serve::proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut services: Vec<String> = pool.services().map(|service| service.full_name().to_owned()).collect();
    services.sort();
    assert_eq!(services, ["inference.GRPCInferenceService", "uflow.v1.DetectionService", "uflow.v1.ModelService"]);
    for file in protocols() {
        assert!(pool.get_file_by_name(file.name()).is_some(), "{}", file.name());
    }
}
