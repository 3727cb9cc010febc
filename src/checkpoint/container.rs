//! The two formats of `torch.save`: since PyTorch 1.6 a zip with uncompressed entries; before that, a sequence of pickles
//! followed by the storages. Tensors are read one at a time, on request.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use half::{bf16, f16};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::{
    input::Input,
    nodes::{ElementType, Graph, Id, Node, TensorNode},
    pickle::{Result, Unpickler},
};
use crate::Reason;

const MOST_ENTRIES: usize = 1 << 16;
/// The first pickle of a legacy file is this number.
const LEGACY_MAGIC: [u8; 10] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
const LEGACY_VERSION: i64 = 1001;

/// Location of the storages' bytes.
#[derive(Debug)]
pub(super) enum Container {
    /// The archive, and the name of its top folder.
    Zip(Box<ZipArchive<BufReader<File>>>, String),
    /// Start of each storage's elements.
    Legacy(File, HashMap<String, u64>),
}

/// Opens a checkpoint; returns its objects and the number of the saved object.
pub(super) fn open(path: &Path) -> Result<(Container, Graph, Id)> {
    let unreadable = |error: io::Error| Reason::because("the file cannot be opened", error);
    let mut file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err("the path is not a file".into());
    }
    let mut start = [0; 32];
    let length = file.by_ref().take(32).read(&mut start).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let start = &start[..length];
    if start.starts_with(b"PK") {
        open_zip(file)
    } else if start.windows(LEGACY_MAGIC.len()).any(|bytes| bytes == LEGACY_MAGIC) {
        open_legacy(file)
    } else {
        Err("the file is not a checkpoint: PyTorch 1.6 and newer writes a zip, older versions a pickle".into())
    }
}

fn open_zip(file: File) -> Result<(Container, Graph, Id)> {
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|error| Reason::because("the file is not a whole zip", error))?;
    if archive.len() > MOST_ENTRIES {
        return Err(format!("the zip has {} entries; the limit is {MOST_ENTRIES}", archive.len()).into());
    }
    let folder_of = |name: &str| Some(name.strip_suffix("data.pkl")?.to_owned());
    let mut folders = archive.file_names().filter_map(|name| folder_of(&name.ok()?));
    let Some(folder) = folders.find(|folder| folder.ends_with('/') && folder.matches('/').count() == 1) else {
        return Err("the file is a zip without `data.pkl`: not a checkpoint of PyTorch".into());
    };
    drop(folders);
    let name = format!("{folder}byteorder");
    if archive.index_for_name(&name).is_some() {
        let mut order = String::new();
        let read = stored(&mut archive, &name)?.take(16).read_to_string(&mut order);
        read.map_err(|error| Reason::because(format_args!("`{name}` is damaged"), error))?;
        if order != "little" {
            return Err(format!(
                "the numbers are in {order}-endian order; save the checkpoint on a little-endian machine"
            )
            .into());
        }
    }
    let mut unpickler = Unpickler::new();
    let entry = stored(&mut archive, &format!("{folder}data.pkl"))?;
    let root = unpickler.read(&mut Input::new(BufReader::new(entry)))?;
    Ok((Container::Zip(Box::new(archive), folder), unpickler.graph, root))
}

/// An entry of the archive. PyTorch does not compress entries, so none can be larger than the file.
fn stored<'a>(archive: &'a mut ZipArchive<BufReader<File>>, name: &str) -> Result<impl Read + 'a + use<'a>> {
    let compressed = || Reason::from(format!("`{name}` is compressed; PyTorch writes uncompressed entries"));
    let entry = archive.by_name(name).map_err(|error| match error {
        ZipError::FileNotFound => format!("`{name}` is missing").into(),
        ZipError::CompressionMethodNotSupported(_) => compressed(),
        error => Reason::because(format_args!("`{name}` cannot be read"), error),
    })?;
    if entry.compression() != CompressionMethod::Stored || entry.size() != entry.compressed_size() {
        return Err(compressed());
    }
    Ok(entry)
}

fn open_legacy(file: File) -> Result<(Container, Graph, Id)> {
    let mut input = Input::new(BufReader::new(file.try_clone().map_err(Reason::of)?));
    let mut unpickler = Unpickler::new();
    unpickler.read(&mut input)?;
    let version = unpickler.read(&mut input)?;
    if !matches!(unpickler.graph.node(version), Node::Int(LEGACY_VERSION)) {
        return Err("the file has an unknown legacy version".into());
    }
    let system = unpickler.read(&mut input)?;
    let little = unpickler.graph.get(system, "little_endian");
    if !little.is_some_and(|little| matches!(unpickler.graph.node(little), Node::Bool(true))) {
        return Err("the numbers are not in little-endian order; save the checkpoint on a little-endian machine".into());
    }
    let root = unpickler.read(&mut input)?;
    let keys = unpickler.read(&mut input)?;
    let start = input.position();
    drop(input);
    let graph = unpickler.graph;
    let storages = legacy_storages(&file, start, &graph, keys)?;
    Ok((Container::Legacy(file, storages), graph, root))
}

/// Each storage is its number of elements, followed by the elements.
fn legacy_storages(file: &File, start: u64, graph: &Graph, keys: Id) -> Result<HashMap<String, u64>> {
    let damaged = |what: &str| Reason::from(format!("the storages are damaged ({what})"));
    let Node::Sequence(keys) = graph.node(keys) else { return Err(damaged("no list of storages")) };
    let length = file.metadata().map_err(Reason::of)?.len();
    let mut reader = BufReader::new(file);
    let mut position = start;
    let mut storages = HashMap::new();
    for key in keys {
        let Node::Text(key) = graph.node(*key) else { return Err(damaged("a key is not text")) };
        let Some(Node::Storage(storage)) = graph.storages.get(key).map(|id| graph.node(*id)) else {
            return Err(damaged("an unused storage"));
        };
        reader.seek(SeekFrom::Start(position)).map_err(Reason::of)?;
        let mut count = [0; 8];
        reader.read_exact(&mut count).map_err(|_| "the file is cut off".to_owned())?;
        let bytes = storage.count.checked_mul(storage.kind.map_or(1, ElementType::bytes));
        if u64::from_le_bytes(count) != storage.count {
            return Err(damaged("the size differs from that in the pickle"));
        }
        storages.insert(key.clone(), position + 8);
        position = bytes
            .and_then(|bytes| (position + 8).checked_add(bytes))
            .filter(|end| *end <= length)
            .ok_or("the file is cut off")?;
    }
    Ok(storages)
}

impl Container {
    /// A tensor's values in order, as float32.
    pub(super) fn read(&mut self, graph: &Graph, tensor: &TensorNode) -> Result<Vec<f32>> {
        let Node::Storage(storage) = graph.node(tensor.storage) else {
            return Err("the tensor has no storage".into());
        };
        if let ElementType::Other(kind, _) = tensor.kind {
            return Err(format!("the values have type {kind}, not float32, float64, float16 or bfloat16").into());
        }
        let width = tensor.kind.bytes();
        let declared = storage.count.saturating_mul(storage.kind.map_or(1, ElementType::bytes)) / width;
        let view = View::new(tensor, declared)?;
        let (skip, length) = (tensor.offset * width, view.reach * width);
        let bytes = match self {
            Self::Zip(archive, folder) => {
                let name = format!("{folder}data/{}", storage.key);
                window(stored(archive, &name)?, skip, length).map_err(|reason| format!("`{name}` {reason}"))?
            }
            Self::Legacy(file, starts) => {
                let start = starts.get(&storage.key).ok_or("the storage is missing")?;
                file.seek(SeekFrom::Start(*start)).map_err(Reason::of)?;
                window(file.take(skip + length), skip, length)?
            }
        };
        let values: Vec<f32> = match tensor.kind {
            ElementType::F32 => elements(&bytes, f32::from_le_bytes),
            ElementType::F64 => elements(&bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            ElementType::F16 => elements(&bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            _ => elements(&bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        };
        Ok(view.gather(tensor, values))
    }
}

/// `length` bytes after the first `skip`. Also reads the rest, so that an archive's checksum is compared.
fn window(mut reader: impl Read, skip: u64, length: u64) -> Result<Vec<u8>> {
    let damaged = |error: io::Error| Reason::because("is damaged", error);
    io::copy(&mut reader.by_ref().take(skip), &mut io::sink()).map_err(damaged)?;
    let mut bytes = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut bytes).map_err(damaged)?;
    if (bytes.len() as u64) < length {
        return Err("is cut off".into());
    }
    io::copy(&mut reader, &mut io::sink()).map_err(damaged)?;
    Ok(bytes)
}

fn elements<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
}

/// The part of its storage that a tensor uses.
struct View {
    /// Elements of the storage from its offset to its last.
    reach: u64,
    contiguous: bool,
}

impl View {
    fn new(tensor: &TensorNode, declared: u64) -> Result<Self> {
        let count = tensor.shape.iter().try_fold(1_u64, |count, &side| count.checked_mul(side as u64));
        let last = tensor.shape.iter().zip(&tensor.strides).try_fold(0_u64, |last, (&side, &stride)| {
            (side as u64).saturating_sub(1).checked_mul(stride).and_then(|step| last.checked_add(step))
        });
        let (Some(count), Some(last)) = (count, last) else { return Err("the shape is too large".into()) };
        let reach = if count == 0 { 0 } else { last.saturating_add(1) };
        if tensor.offset.checked_add(reach).is_none_or(|end| end > declared) {
            return Err(format!(
                "shape {:?}, strides {:?} and offset {} exceed the storage of {declared} elements",
                tensor.shape, tensor.strides, tensor.offset
            )
            .into());
        }
        if count > reach {
            return Err(
                format!("shape {:?} and strides {:?} make elements overlap", tensor.shape, tensor.strides).into()
            );
        }
        let mut expected = 1_u64;
        let contiguous = count == 0
            || tensor.shape.iter().zip(&tensor.strides).rev().all(|(&side, &stride)| {
                let fits = side <= 1 || stride == expected;
                expected *= (side as u64).max(1);
                fits
            });
        Ok(Self { reach, contiguous })
    }

    fn gather(&self, tensor: &TensorNode, values: Vec<f32>) -> Vec<f32> {
        if self.contiguous {
            return values;
        }
        let mut positions = vec![0_usize];
        for (&side, &stride) in tensor.shape.iter().zip(&tensor.strides) {
            positions = positions.iter().flat_map(|at| (0..side).map(move |i| at + i * stride as usize)).collect();
        }
        positions.into_iter().map(|at| values[at]).collect()
    }
}
