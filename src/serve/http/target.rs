//! The model that a path names.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use super::error::Problem;
use crate::{Error, Result};

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
        let shown = text.chars().take(40).collect::<String>();
        Error::parameter("version", format!("`{}` is not a version; they are numbers from 1", shown.escape_debug()))
    })
}
