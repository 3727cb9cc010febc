//! Regions of interest.

use super::{detection, large_png};
use crate::server;
use crate::server::{Sample, assert_same, client, detector, sample, start};
use ndarray::Array2;
use tonic::Code;
use uflow::serve::proto::v1;

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_interest_that_is_needlessly_large_is_refused() {
    let server = start(|_| {}).await;
    let mut request = sample(1).request(1);
    request.options = Some(v1::DetectOptions { roi: large_png().into(), ..v1::DetectOptions::default() });
    let status = client(&server).await.detect(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("25000000 > 16777216 pixels"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_interest_of_another_shape_is_refused() {
    let server = start(|_| {}).await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(1000, 10, image::Luma([255])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let mut request = sample(0).request(1);
    request.options.as_mut().unwrap().roi = png.into_inner().into();
    let status = client(&server).await.detect(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("the mask is 1000×10 and the frame 48×32"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_interest_and_options_hold_for_their_request_only() {
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let sample = Sample { model: "bolt", ..sample(0) };
    let mut detector = detector("bolt");
    let roi = Array2::from_shape_fn((8, 12), |(y, _)| if y < 2 { 255_u8 } else { 0 });
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::from_raw(12, 8, roi.iter().copied().collect()).unwrap();
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let whole = sample.expected(&mut detector);
    for _ in 0..2 {
        let mut request = sample.request(1);
        request.options.as_mut().unwrap().roi = png.get_ref().clone().into();
        let inside = client.detect(request).await.unwrap().into_inner();
        let options = uflow::segment::DecisionOptions {
            roi: Some(uflow::segment::Roi::new(roi.view()).unwrap().into()),
            ..server::options()
        };
        assert_same(detection(&inside), &detector.detect(&sample.frame(), &options).unwrap(), true);
        assert_ne!(detection(&inside).score_max, whole.score_max);
        let without = client.detect(sample.request(2)).await.unwrap().into_inner();
        assert_same(detection(&without), &whole, true);
    }
}
