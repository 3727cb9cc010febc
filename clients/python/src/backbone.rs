//! Backbones by name: where they are, and their conversion from a Python package's weights.

use std::path::PathBuf;

use pyo3::{prelude::*, types::PyBytes};
use uflow::{
    Error,
    backbone::{self, BackboneFile, Conversion, KNOWN, Known},
};

use crate::error::Result;

/// The folder that new backbones are written to.
#[pyfunction]
pub(crate) fn backbone_folder() -> Result<PathBuf> {
    Ok(backbone::user_folder()?)
}

/// The file of the backbone of this name. Raises `NotFoundError`, with the places that were searched.
#[pyfunction]
pub(crate) fn find_backbone(name: &str) -> Result<PathBuf> {
    match backbone::find(name, None)? {
        BackboneFile::File(path) => Ok(path),
        BackboneFile::Part(_) => Err(Error::internal("a backbone was found that is no file").into()),
    }
}

/// Name, licence and pip requirement (`project==version`, if there is one) of each known backbone.
#[pyfunction]
pub(crate) fn known_backbones() -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    KNOWN.iter().map(|known| (known.name, known.licence, known.wheel().map(|wheel| wheel.requirement))).collect()
}

/// Makes the ONNX file of a known backbone: from its wheel, whose hash is checked, or from the `.pth` file of the installed package.
#[pyfunction]
pub(crate) fn convert_backbone<'py>(
    py: Python<'py>,
    name: &str,
    file: PathBuf,
    installed: bool,
) -> Result<Bound<'py, PyBytes>> {
    let known = Known::named(name).ok_or_else(|| {
        let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        Error::parameter("name", format!("`{name}` is not one of {}", names.join(", ")))
    })?;
    let conversion = Conversion::default();
    let onnx = py.detach(|| {
        if installed { known.convert_weights(&file, &conversion) } else { known.convert(&file, &conversion) }
    })?;
    Ok(PyBytes::new(py, &onnx))
}
