//! The typed protocol, `uflow.v1`: see `proto/uflow/v1`.

mod answer;
mod detection;
mod drift;
mod models;
mod request;

pub use self::{detection::Detection, models::Models};
