//! Reads pickles without running them.
//!
//! A pickle is a program for a stack machine that can import and call anything. Here, classes and functions are only names. A
//! call is recorded as an object with its arguments. The few functions with which PyTorch rebuilds tensors and dictionaries are
//! interpreted as data. So every checkpoint can be read, whatever hyper-parameters it contains besides the weights,
//! and no checkpoint can run code.
//!
//! Against malicious files, these are bounded: the number of instructions (and so of nodes, stack and memo entries), the list items copied, the
//! bytes of text, the length of a line, and a tensor's rank. Memory is allocated for bytes that are there, never for a length that a field claims.

use std::{collections::HashMap, io::BufRead};

use super::{
    input::Input,
    nodes::{Graph, Id, Node},
    tensors,
};
use crate::Reason;

/// Most instructions in all pickles of a file; a checkpoint of a thousand tensors has about 50,000.
const MOST_WORK: usize = 1 << 20;

pub(super) type Result<T> = std::result::Result<T, Reason>;

/// The stack machine. It reads successive pickles into one graph.
pub(super) struct Unpickler {
    pub(super) graph: Graph,
    work: usize,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl Unpickler {
    pub(super) fn new() -> Self {
        Self { graph: Graph::default(), work: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    /// Reads one pickle up to its `STOP` and returns its object.
    pub(super) fn read<R: BufRead>(&mut self, input: &mut Input<R>) -> Result<Id> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        loop {
            self.spend(1)?;
            let opcode = input.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode, input)?;
        }
    }

    fn spend(&mut self, work: usize) -> Result<()> {
        self.work = self.work.saturating_add(work);
        if self.work > MOST_WORK {
            return Err(
                format!("the pickle has more than {MOST_WORK} instructions, far more than a checkpoint needs").into()
            );
        }
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.graph.nodes.len() as Id);
        self.graph.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Id> {
        if self.marks.last() == Some(&self.stack.len()) {
            return Err("the pickle is damaged (a mark instead of a value)".into());
        }
        self.stack.pop().ok_or_else(|| "the pickle is damaged (nothing on the stack)".into())
    }

    fn top(&self) -> Result<Id> {
        match self.stack.last() {
            Some(&id) if self.marks.last() != Some(&self.stack.len()) => Ok(id),
            _ => Err("the pickle is damaged (nothing on the stack)".into()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or("the pickle is damaged (no mark)")?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_pairs(&mut self) -> Result<Vec<(Id, Id)>> {
        let values = self.pop_to_mark()?;
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("the pickle is damaged (a key without a value)".into());
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn step<R: BufRead>(&mut self, opcode: u8, input: &mut Input<R>) -> Result<()> {
        match opcode {
            // PROTO and FRAME carry no data.
            0x80 => input.skip(1)?,
            0x95 => input.skip(8)?,
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'I' | b'L' | b'F' | b'V' | b'J' | b'K' | b'M' | b'G' | 0x8A | 0x8B => self.scalar(opcode, input)?,
            b'X' | b'T' | b'U' | 0x8C | 0x8D | b'B' | b'C' | 0x8E | 0x96 => self.text(opcode, input)?,
            b'(' => self.marks.push(self.stack.len()),
            b')' | b']' | 0x8F => self.push(Node::Sequence(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b't' | b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Node::Sequence(items));
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                self.push(Node::Sequence(items));
            }
            b'd' => {
                let pairs = self.pop_pairs()?;
                self.push(Node::Dict(pairs));
            }
            b'a' | b'e' | 0x90 => {
                let values = if opcode == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? };
                self.append(values)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = self.pop_pairs()?;
                self.set(pairs)?;
            }
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memo(opcode, input)?,
            b'c' | 0x93 => self.global(opcode, input)?,
            b'P' | b'Q' => self.persistent(opcode)?,
            b'R' | 0x81 | 0x92 | b'b' => self.object(opcode)?,
            other => {
                return Err(format!("the pickle has instruction 0x{other:02x}, which PyTorch does not write").into());
            }
        }
        Ok(())
    }

    fn scalar<R: BufRead>(&mut self, opcode: u8, input: &mut Input<R>) -> Result<()> {
        let node = match opcode {
            b'J' => Node::Int(i32::from_le_bytes(input.array()?).into()),
            b'K' => Node::Int(input.byte()?.into()),
            b'M' => Node::Int(u16::from_le_bytes(input.array()?).into()),
            b'G' => Node::Float(f64::from_be_bytes(input.array()?)),
            0x8A | 0x8B => {
                let length = match opcode {
                    0x8A => input.byte()?.into(),
                    _ => u32::from_le_bytes(input.array()?).into(),
                };
                match length {
                    0..=8 => Node::Int(little_endian(&input.bytes(length)?)),
                    _ => {
                        input.skip(length)?;
                        Node::Other("a large number")
                    }
                }
            }
            _ => {
                let line = input.line()?;
                let number = line.strip_suffix('L').unwrap_or(&line);
                match opcode {
                    b'V' => Node::Text(line),
                    b'F' => Node::Float(line.parse().map_err(|_| "the pickle is damaged (not a number)")?),
                    _ if matches!(&*line, "00" | "01") => Node::Bool(line == "01"),
                    _ => number.parse().map_or(Node::Other("a large number"), Node::Int),
                }
            }
        };
        self.push(node);
        Ok(())
    }

    fn text<R: BufRead>(&mut self, opcode: u8, input: &mut Input<R>) -> Result<()> {
        let length = match opcode {
            b'U' | 0x8C | b'C' => input.byte()?.into(),
            b'X' | b'T' | b'B' => u32::from_le_bytes(input.array()?).into(),
            _ => u64::from_le_bytes(input.array()?),
        };
        let kept = matches!(opcode, b'X' | b'T' | b'U' | 0x8C | 0x8D);
        let node = match kept.then(|| input.text(length)).transpose()?.flatten() {
            Some(text) => Node::Text(text),
            None => {
                input.skip(length)?;
                Node::Other(if kept { "long text" } else { "bytes" })
            }
        };
        self.push(node);
        Ok(())
    }

    fn memo<R: BufRead>(&mut self, opcode: u8, input: &mut Input<R>) -> Result<()> {
        let key = match opcode {
            b'g' | b'p' => input.line()?.parse().map_err(|_| "the pickle is damaged (invalid memo number)")?,
            b'h' | b'q' => input.byte()?.into(),
            b'j' | b'r' => u32::from_le_bytes(input.array()?),
            _ => self.memo.len() as u32,
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let id = *self.memo.get(&key).ok_or_else(|| format!("the pickle is damaged (no memo {key})"))?;
            self.stack.push(id);
        } else {
            self.memo.insert(key, self.top()?);
        }
        Ok(())
    }

    fn global<R: BufRead>(&mut self, opcode: u8, input: &mut Input<R>) -> Result<()> {
        let name = if opcode == b'c' {
            format!("{}.{}", input.line()?, input.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.graph.node(module), self.graph.node(name)) {
                (Node::Text(module), Node::Text(name)) => format!("{module}.{name}"),
                _ => return Err("the pickle is damaged (a class without a name)".into()),
            }
        };
        input.charge(name.len())?;
        self.push(Node::Global(name));
        Ok(())
    }

    fn append(&mut self, values: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        match self.graph.nodes.get_mut(target as usize) {
            Some(Node::Sequence(items)) => items.extend(values),
            // Items of list-like objects are not needed.
            Some(Node::Object { .. }) => {}
            _ => return Err("the pickle is damaged (items for an object that is not a list)".into()),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<()> {
        let target = self.top()?;
        match self.graph.nodes.get_mut(target as usize) {
            Some(Node::Dict(items) | Node::Object { items, .. }) => items.extend(pairs),
            _ => return Err("the pickle is damaged (items for an object that is not a dictionary)".into()),
        }
        Ok(())
    }

    /// `('storage', class, key, device, count[, view])`. Old files of PyTorch also describe the sources of modules this way.
    fn persistent(&mut self, opcode: u8) -> Result<()> {
        if opcode == b'P' {
            return Err("the pickle names objects by text; only PyTorch before 0.1.10 does so".into());
        }
        let id = self.pop()?;
        let Node::Sequence(fields) = self.graph.node(id) else {
            return Err("the pickle is damaged (a storage's description)".into());
        };
        let node = match fields[..] {
            [tag, class, key, _, count, ref view @ ..] if self.is_text(tag, "storage") => {
                if view.first().is_some_and(|view| !matches!(self.graph.node(*view), Node::None)) {
                    return Err(
                        "some storages are parts of others; save the checkpoint with PyTorch 0.4 or newer".into()
                    );
                }
                tensors::storage(&self.graph, class, key, count)?
            }
            [tag, class, ..] if self.is_text(tag, "module") => Node::Object { class, items: Vec::new(), state: None },
            _ => return Err("the pickle is damaged (a storage's description)".into()),
        };
        // Use the module's class instead.
        match node {
            Node::Object { class, .. } => self.stack.push(class),
            node => {
                self.push(node);
                if let (Some(&id), Some(Node::Storage(storage))) = (self.stack.last(), self.graph.nodes.last()) {
                    self.graph.storages.insert(storage.key.clone(), id);
                }
            }
        }
        Ok(())
    }

    fn is_text(&self, id: Id, text: &str) -> bool {
        matches!(self.graph.node(id), Node::Text(found) if found == text)
    }

    /// A call, an object, or its state.
    fn object(&mut self, opcode: u8) -> Result<()> {
        let arguments = self.pop()?;
        if opcode == b'b' {
            let target = self.top()?;
            if let Some(Node::Object { state, .. }) = self.graph.nodes.get_mut(target as usize) {
                *state = Some(arguments);
            }
            return Ok(());
        }
        // NEWOBJ_EX: the arguments are below the keywords.
        let arguments = if opcode == 0x92 { self.pop()? } else { arguments };
        let class = self.pop()?;
        let name = match self.graph.node(class) {
            Node::Global(name) if opcode == b'R' => name.as_str(),
            _ => "",
        };
        let fields: &[Id] = match self.graph.node(arguments) {
            Node::Sequence(fields) => fields,
            _ => &[],
        };
        match (name, fields) {
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
                &[storage, offset, shape, strides, ..],
            ) => {
                let tensor = tensors::tensor(&self.graph, [storage, offset, shape, strides], None)?;
                self.push(tensor);
            }
            ("torch._utils._rebuild_tensor_v3", &[storage, offset, shape, strides, _, _, dtype, ..]) => {
                let tensor = tensors::tensor(&self.graph, [storage, offset, shape, strides], Some(dtype))?;
                self.push(tensor);
            }
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", &[data, ..]) => {
                self.stack.push(data);
            }
            ("collections.OrderedDict" | "builtins.dict" | "__builtin__.dict", &[]) => {
                self.push(Node::Dict(Vec::new()))
            }
            ("collections.OrderedDict" | "builtins.dict" | "__builtin__.dict", &[pairs]) => {
                let items = self.pairs(pairs)?;
                self.spend(items.len())?;
                self.push(Node::Dict(items));
            }
            ("collections.defaultdict", _) => self.push(Node::Dict(Vec::new())),
            _ => self.push(Node::Object { class, items: Vec::new(), state: None }),
        }
        Ok(())
    }

    /// A list of pairs, read as a dictionary's items.
    fn pairs(&self, id: Id) -> Result<Vec<(Id, Id)>> {
        let Node::Sequence(pairs) = self.graph.node(id) else { return Ok(self.graph.items(id).to_vec()) };
        let pair = |id: &Id| match self.graph.node(*id) {
            Node::Sequence(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err("the pickle is damaged (a dictionary's items)".into()),
        };
        pairs.iter().map(pair).collect()
    }
}

/// A two's complement number of at most eight bytes.
fn little_endian(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xFF } else { 0 };
    let mut whole = [fill; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(whole)
}
