//! Checkpoints as `torch.save` writes them, made byte by byte: whole ones, and ones made to harm.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A pickle's instructions.
#[derive(Clone, Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub fn int(self, value: i64) -> Self {
        self.raw(&[0x8A, 8]).raw(&value.to_le_bytes())
    }

    pub fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.raw(b"("), |pickle, value| pickle.int(*value)).raw(b"t")
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    /// A tensor of a storage of `count` elements.
    pub fn tensor(self, class: &str, key: &str, count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        let storage = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"((").text("storage");
        let storage = storage.global("torch", class).text(key).text("cpu").int(count).raw(b"tQ");
        storage.int(offset).ints(shape).ints(strides).raw(&[0x89, b'N', b't', b'R'])
    }

    pub fn stop(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// A tensor of a state dictionary.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

pub fn entry(name: &str, shape: &[usize]) -> Entry {
    Entry { name: name.to_owned(), shape: shape.to_vec(), values: vec![0.1; shape.iter().product()] }
}

/// A block of a flow that permutes nothing; its name ends in a dot.
pub fn block(name: &str, channels: usize, kernel: usize) -> Vec<Entry> {
    let (passive, active) = (channels - channels / 2, channels / 2);
    let identity: Vec<f32> = (0..channels * channels).map(|at| f32::from(at / channels == at % channels)).collect();
    let named = |end: &str, shape: &[usize]| entry(&format!("{name}{end}"), shape);
    let matrix = |end: &str| Entry { values: identity.clone(), ..named(end, &[channels, channels, 1, 1]) };
    vec![
        named("global_scale", &[1, channels, 1, 1]),
        named("global_offset", &[1, channels, 1, 1]),
        matrix("w_perm"),
        matrix("w_perm_inv"),
        named("subnet.0.weight", &[passive, passive, kernel, kernel]),
        named("subnet.0.bias", &[passive]),
        named("subnet.2.weight", &[2 * active, passive, kernel, kernel]),
        named("subnet.2.bias", &[2 * active]),
    ]
}

/// The pickle of a state dictionary, and its storages.
pub fn state(entries: &[Entry]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut pickle = Pickle::new().raw(b"}(");
    let mut storages = Vec::new();
    for (key, entry) in entries.iter().enumerate() {
        let shape: Vec<i64> = entry.shape.iter().map(|&side| side as i64).collect();
        let strides: Vec<i64> = (0..shape.len()).map(|at| shape[at + 1..].iter().product()).collect();
        let count = entry.values.len() as i64;
        pickle = pickle.text(&entry.name).tensor("FloatStorage", &key.to_string(), count, 0, &shape, &strides);
        storages.push(entry.values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }
    (pickle.raw(b"u").stop(), storages)
}

/// Writes a checkpoint's zip.
pub fn write(path: &Path, pickle: &[u8], storages: &[Vec<u8>]) -> PathBuf {
    write_in_order(path, pickle, storages, "little")
}

/// The same, of a machine of some byte order.
pub fn write_in_order(path: &Path, pickle: &[u8], storages: &[Vec<u8>], order: &str) -> PathBuf {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    put("data.pkl", pickle);
    put("byteorder", order.as_bytes());
    for (key, storage) in storages.iter().enumerate() {
        put(&format!("data/{key}"), storage);
    }
    put("version", b"3\n");
    zip.finish().unwrap();
    path.to_owned()
}

pub fn write_state(path: &Path, entries: &[Entry]) -> PathBuf {
    let (pickle, storages) = state(entries);
    write(path, &pickle, &storages)
}
