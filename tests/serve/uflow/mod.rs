//! `uflow.v1` as clients see it: one frame, streams, models, limits, health and reflection.

mod frames;
mod models;
mod regions;
mod scheduling;
mod streams;

use crate::server::client;
use tokio_stream::StreamExt;
use uflow::serve::proto::v1;
use uflow::serve::proto::v1::detect_response::Outcome;
use uflow::serve::proto::v1::{DetectRequest, DetectResponse};

fn detection(response: &DetectResponse) -> &v1::Detection {
    match response.outcome.as_ref().unwrap() {
        Outcome::Detection(detection) => detection,
        Outcome::Error(error) => panic!("{error:?}"),
    }
}

async fn stream(server: &uflow::serve::Server, requests: Vec<DetectRequest>) -> Vec<DetectResponse> {
    let stream = client(server).await.detect_stream(tokio_stream::iter(requests)).await.unwrap();
    stream.into_inner().map(|response| response.unwrap()).collect().await
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A picture that takes a while to decode.
fn large_png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(5000, 5000).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}
