//! Models that were trained elsewhere: the flow's weights out of a PyTorch checkpoint.
//!
//! A checkpoint is a pickle, which is a program. It is read, never run: see `pickle`. [`Checkpoint`] gives its tensors by
//! name; [`recognise`](Checkpoint::recognise) finds a U-shaped flow of FrEIA's `AllInOneBlock`s among them by the names' ends
//! and the shapes, under whatever names its owner gave the rest; [`import`] makes a package of it and a backbone.

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
    /// What else is in the state dictionary.
    others: BTreeMap<String, Id>,
}

impl Checkpoint {
    /// Opens a file that `torch.save` wrote, in its zip or its older format: a state dictionary, or a dictionary that holds one
    /// at any depth, as Lightning's checkpoints do. Weights are read when they are asked for.
    ///
    /// # Errors
    /// [`Error::Network`] for what is not such a file, is damaged, or holds no flow.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let refuse = |reason| Error::network(format!("checkpoint {}", path.display()), reason);
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
    /// [`Error::Network`] if there is no such tensor, or it is not of floating point numbers, all of them finite; or if the
    /// file is damaged.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let values = match self.tensors.get(name).map(|id| self.graph.node(*id)) {
            Some(Node::Tensor(tensor)) => self.container.read(&self.graph, tensor),
            _ => Err("there is none".to_owned()),
        };
        let finite = values.and_then(|values| match values.iter().filter(|value| !value.is_finite()).count() {
            0 => Ok(values),
            found => Err(format!("{found} of {} values are not finite; training had diverged", values.len())),
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

/// The end of the name that every block of a flow has.
const SCALE: &str = "global_scale";

/// The first dictionary, from the outermost inwards, that has a flow's parameters by name.
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
    Err(match largest.0 {
        0 if matches!(graph.node(root), Node::Object { .. }) => {
            format!("it holds {what}, a whole Python object; save the model's `state_dict()` instead")
        }
        0 => format!("it holds {what} without tensors by name; a state dictionary or a Lightning checkpoint is needed"),
        count => format!(
            "none of its {count} tensors is named `….{SCALE}`, as every block of a U-Flow model's flow has one; it is the \
             checkpoint of another kind of model"
        ),
    })
}
