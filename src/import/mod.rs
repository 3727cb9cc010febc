//! Import of models that were trained elsewhere: reads the flow's weights from a PyTorch checkpoint.
//!
//! A checkpoint is a pickle, which is a program. This module reads the pickle as data and never runs it: see `pickle`. [`Checkpoint`] gives
//! the tensors by name. [`recognise`](Checkpoint::recognise) finds a U-shaped flow of FrEIA's `AllInOneBlock`s by the ends of the
//! names and by the shapes; the rest of the names may be anything. [`import`] makes a package of the flow and a backbone.

mod chain;
mod container;
mod examine;
mod input;
mod model;
mod nodes;
mod pickle;
mod recognise;
mod tensors;

pub use examine::{Examination, Examiner, LatentStatistics};
pub use model::{ImportOptions, Imported, import};
pub use recognise::{ClampSource, Facts, RecogniseOptions, Recognised};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use container::Container;
use nodes::{Graph, Id, Node, TensorNode};

use crate::{Error, Result};

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

impl Checkpoint {
    /// Opens a file of `torch.save` in its zip format or its older format. The file holds a state dictionary, or a dictionary that contains
    /// one at any depth, as in Lightning's checkpoints. Weights are read on request.
    ///
    /// # Errors
    /// [`Error::Data`] if the file is not a checkpoint, is damaged, or holds no flow.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let refuse = |reason| Error::data(path.clone(), reason);
        let (container, graph, root) = container::open(&path).map_err(refuse)?;
        let dictionary = state_dictionary(&graph, root).map_err(refuse)?;
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

    /// The names of the state dictionary's tensors and their shapes.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().filter_map(|(name, id)| Some((name.as_str(), self.node(*id)?.shape.as_slice())))
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

    fn node(&self, id: Id) -> Option<&TensorNode> {
        match self.graph.node(id) {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

/// The end of the name that occurs once in every block of a flow.
const SCALE: &str = "global_scale";

/// The first dictionary, from the outermost inwards, that contains a flow's parameters.
fn state_dictionary(graph: &Graph, root: Id) -> pickle::Result<Id> {
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
            let of_a_flow = |name: Id| matches!(graph.node(name), Node::Text(name) if name.ends_with(SCALE));
            if items.iter().any(|&(name, value)| is_tensor(value) && of_a_flow(name)) {
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
            "none of the {count} tensors has a name like `….{SCALE}`, which every block of a U-Flow model has; the file is a \
             checkpoint of another kind of model"
        ),
    };
    Err(text.into())
}
