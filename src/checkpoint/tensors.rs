//! Builds storages and tensors from the arguments in a pickle.

use super::{
    nodes::{ElementType, Graph, Id, Node, Storage, TensorNode},
    pickle::Result,
};
use crate::Reason;

/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

/// From class, key and number of elements.
pub(super) fn storage(graph: &Graph, class: Id, key: Id, count: Id) -> Result<Node> {
    let key = match graph.node(key) {
        Node::Text(key) => key.clone(),
        Node::Int(key) => key.to_string(),
        _ => return Err("the pickle is damaged (a storage's key)".into()),
    };
    let count = natural(graph, count, "a storage's size")?;
    let kind = match graph.node(class) {
        Node::Global(name) | Node::Text(name) => match name.rsplit('.').next().unwrap_or_default() {
            "UntypedStorage" => None,
            name => Some(ElementType::named(name).ok_or_else(|| format!("storages of type {name} are not known"))?),
        },
        _ => return Err("the pickle is damaged (a storage's type)".into()),
    };
    Ok(Node::Storage(Box::new(Storage { key, kind, count })))
}

/// From storage, offset, shape and strides; `dtype` is for a storage without a type.
pub(super) fn tensor(graph: &Graph, [storage, offset, shape, strides]: [Id; 4], dtype: Option<Id>) -> Result<Node> {
    let Node::Storage(stored) = graph.node(storage) else {
        return Err("the pickle is damaged (a tensor without a storage)".into());
    };
    let named = dtype.and_then(|dtype| match graph.node(dtype) {
        Node::Global(name) => ElementType::named(name.rsplit('.').next().unwrap_or_default()),
        _ => None,
    });
    let kind = named.or(stored.kind).ok_or("a tensor has an unknown type")?;
    let offset = natural(graph, offset, "a tensor's offset")?;
    let shape = naturals(graph, shape, "a tensor's shape")?;
    let strides = naturals(graph, strides, "a tensor's strides")?;
    let side = |side| usize::try_from(side).map_err(|_| Reason::from("a tensor is too large"));
    let shape = shape.into_iter().map(side).collect::<Result<Vec<_>>>()?;
    if strides.len() != shape.len() {
        return Err("the pickle is damaged (a tensor's strides)".into());
    }
    Ok(Node::Tensor(Box::new(TensorNode { storage, kind, offset, shape, strides })))
}

fn naturals(graph: &Graph, id: Id, what: &str) -> Result<Vec<u64>> {
    match graph.node(id) {
        Node::Sequence(values) if values.len() <= MOST_DIMENSIONS => {
            values.iter().map(|&value| natural(graph, value, what)).collect()
        }
        _ => Err(format!("the pickle is damaged ({what} is not a list of at most {MOST_DIMENSIONS} numbers)").into()),
    }
}

fn natural(graph: &Graph, id: Id, what: &str) -> Result<u64> {
    match graph.node(id) {
        Node::Int(value) => u64::try_from(*value).map_err(|_| format!("{what} is {value}, which is below zero").into()),
        _ => Err(format!("the pickle is damaged ({what} is not a number)").into()),
    }
}
