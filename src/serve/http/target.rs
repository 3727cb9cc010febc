//! The model that a path names.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use utoipa::IntoParams;

use super::error::Problem;
use crate::{Error, Result, serve::shown::shown};

/// `{model}` of a path, as the OpenAPI description has it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what Target reads")]
pub(super) struct Model {
    /// Name of the model, as in the repository.
    model: String,
}

/// `{version}` of a path, as the OpenAPI description has it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what Target reads")]
pub(super) struct Version {
    /// Version of the model.
    #[param(minimum = 1)]
    version: u32,
}

/// `{model}` and `{version}` of a path.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The model's name, as the client wrote it.
    pub(super) model: String,
    /// Its version; 0 where the path names none.
    pub(super) version: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|error| Error::parameter("path", error.body_text()))?;
        let mut target = Self { model: String::new(), version: 0 };
        for (name, value) in &params {
            match name {
                "version" => target.version = version(value)?,
                _ => value.clone_into(&mut target.model),
            }
        }
        Ok(target)
    }
}

fn version(text: &str) -> Result<u32> {
    let number = text.parse().ok().filter(|&number: &u32| number > 0);
    number.ok_or_else(|| {
        Error::parameter("version", format!("`{}` is not a version; versions are numbers from 1", shown(text)))
    })
}
