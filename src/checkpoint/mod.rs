//! Checkpoints of PyTorch, read as data.
//!
//! A checkpoint is a pickle, which is a program. This module reads the pickle as data and never runs it: see `pickle`. [`Checkpoint`] gives
//! the tensors of one state dictionary by name.

mod container;
mod input;
mod nodes;
mod pickle;
mod tensors;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use container::Container;
use nodes::{Graph, Id, Node, TensorNode};

use crate::{Error, Reason, Result};

/// An opened checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    container: Container,
    graph: Graph,
    hyper_parameters: Option<Id>,
    /// The tensors of its state dictionary by name.
    tensors: BTreeMap<String, Id>,
    /// The other values of the state dictionary.
    others: BTreeMap<String, Id>,
}

/// What a state dictionary is known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// The end of the name of at least one of its tensors.
    pub(crate) ends_with: &'static str,
    /// What has such a name, for messages: `every block of a U-Flow model`.
    pub(crate) part: &'static str,
}

impl Checkpoint {
    /// Opens a file of `torch.save`. Its state dictionary is the outermost dictionary with the mark. Weights are read on request.
    ///
    /// # Errors
    /// [`Error::Data`] if the file is not a checkpoint, is damaged, or no dictionary has the mark.
    pub(crate) fn open_marked(path: impl Into<PathBuf>, mark: Mark) -> Result<Self> {
        let path = path.into();
        let refuse = |reason| Error::data(path.clone(), reason);
        let (container, graph, root) = container::open(&path).map_err(refuse)?;
        let dictionary = state_dictionary(&graph, root, mark).map_err(refuse)?;
        let (mut tensors, mut others) = (BTreeMap::new(), BTreeMap::new());
        for &(name, value) in graph.items(dictionary) {
            if let Node::Text(name) = graph.node(name) {
                let (into, from) = match graph.node(value) {
                    Node::Tensor(_) => (&mut tensors, &mut others),
                    _ => (&mut others, &mut tensors),
                };
                from.remove(name);
                into.insert(name.clone(), value);
            }
        }
        let hyper_parameters = graph.get(root, "hyper_parameters");
        Ok(Self { hyper_parameters, path, container, graph, tensors, others })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the state dictionary's tensors and their shapes, in the order of the names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors_from("")
    }

    /// The same, from the first name that is not before `start`.
    pub(crate) fn tensors_from(&self, start: &str) -> impl Iterator<Item = (&str, &[usize])> {
        let tensors = self.tensors.range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded));
        tensors.filter_map(|(name, id)| Some((name.as_str(), self.node(*id)?.shape.as_slice())))
    }

    /// Number of tensors.
    pub(crate) fn len(&self) -> usize {
        self.tensors.len()
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.node(*self.tensors.get(name)?)?.shape)
    }

    /// The names of the state dictionary's values that are not tensors.
    pub(crate) fn others(&self) -> impl Iterator<Item = &str> {
        self.others.keys().map(String::as_str)
    }

    /// What a value is that is not a tensor, for messages.
    pub(crate) fn describe_other(&self, name: &str) -> Option<String> {
        self.others.get(name).map(|id| self.graph.describe(*id))
    }

    /// A tensor's values, converted to float32.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no such tensor, if its values are not finite floating-point numbers, or if the
    /// file is damaged.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let values = match self.tensors.get(name).map(|id| self.graph.node(*id)) {
            Some(Node::Tensor(tensor)) => self.container.read(&self.graph, tensor),
            _ => Err("the checkpoint has no such tensor".into()),
        };
        let finite = values.and_then(|values| match values.iter().filter(|value| !value.is_finite()).count() {
            0 => Ok(values),
            found => Err(format!("{found} of {} values are not finite; the training diverged", values.len()).into()),
        });
        finite.map_err(|reason| self.refuse(format!("tensor `{name}`: {reason}")))
    }

    /// A number among a Lightning checkpoint's hyper-parameters.
    pub fn hyper_parameter(&self, name: &str) -> Option<f64> {
        self.graph.number(self.graph.get(self.hyper_parameters?, name)?)
    }

    pub(crate) fn refuse(&self, reason: impl Into<Reason>) -> Error {
        Error::data(self.path.clone(), reason)
    }

    fn node(&self, id: Id) -> Option<&TensorNode> {
        match self.graph.node(id) {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

/// The first dictionary, from the outermost inwards, that has the mark.
fn state_dictionary(graph: &Graph, root: Id, mark: Mark) -> pickle::Result<Id> {
    let mut seen = vec![false; graph.nodes.len()];
    let mut level = vec![root];
    let mut largest = (0, root);
    while !level.is_empty() {
        let mut next = Vec::new();
        for dictionary in level {
            if std::mem::replace(&mut seen[dictionary as usize], true) {
                continue;
            }
            let items = graph.items(dictionary);
            let is_tensor = |id: Id| matches!(graph.node(id), Node::Tensor(_));
            let marked = |name: Id| matches!(graph.node(name), Node::Text(name) if name.ends_with(mark.ends_with));
            if items.iter().any(|&(name, value)| is_tensor(value) && marked(name)) {
                return Ok(dictionary);
            }
            let tensors = items.iter().filter(|(_, value)| is_tensor(*value)).count();
            largest = largest.max((tensors, dictionary));
            next.extend(items.iter().map(|(_, value)| *value));
        }
        level = next;
    }
    let what = graph.describe(root);
    let text = match largest.0 {
        0 if matches!(graph.node(root), Node::Object { .. }) => {
            format!("the file holds {what}, a whole Python object; save the model's `state_dict()` instead")
        }
        0 => format!("the file holds {what} without tensors; give a state dictionary or a Lightning checkpoint"),
        count => format!(
            "none of the {count} tensors has a name like `….{}`, which {} has; the file is a checkpoint of another kind of model",
            mark.ends_with, mark.part
        ),
    };
    Err(text.into())
}
