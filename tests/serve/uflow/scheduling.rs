//! A full server, time limits, priorities.

use super::{large_png, stream};
use crate::server::{client, sample, start};
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::Code;
use uflow::serve::config::Overload;
use uflow::serve::proto::v1;
use uflow::serve::proto::v1::DetectRequest;
use uflow::serve::proto::v1::detect_request::Image;
use uflow::serve::proto::v1::detect_response::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_or_makes_streams_wait() {
    let requests = || (0..64).map(|seed| sample(seed).request(seed)).collect::<Vec<_>>();
    let refusing = start(|settings| {
        (settings.max_in_flight, settings.workers, settings.stream_window) = (Some(1), Some(1), Some(1));
    })
    .await;
    let answers = stream(&refusing, requests()).await;
    let refused = answers.iter().filter(
        |answer| matches!(&answer.outcome, Some(Outcome::Error(error)) if error.code == Code::ResourceExhausted as i32),
    );
    assert!(refused.count() > 0, "frames beyond the window are refused when the server is full");
    assert!(refusing.app().engine().metrics().text().contains("outcome=\"refused\""), "refusals are counted");
    let sequences: Vec<_> = answers.iter().map(|answer| answer.sequence).collect();
    assert_eq!(sequences, (0..64).collect::<Vec<_>>(), "refusals keep the order");

    let waiting = start(|settings| {
        (settings.max_in_flight, settings.stream_overload) = (Some(1), Some(Overload::Wait));
    })
    .await;
    assert!(
        stream(&waiting, requests()).await.iter().all(|answer| matches!(answer.outcome, Some(Outcome::Detection(_))))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_end_frames() {
    let server = start(|_| {}).await;
    let mut client = client(&server).await;
    let mut request = sample(1).request(1);
    request.time_limit = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let status = client.detect(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    request.time_limit = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let status = client.detect(request.clone()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "time_limit: it must be above 0"));
    for seconds in [60, i64::MAX] {
        request.time_limit = Some(prost_types::Duration { seconds, nanos: 0 });
        assert!(client.detect(request.clone()).await.is_ok(), "{seconds}");
    }
    // On a stream a limit is a frame's own.
    let requests = (0..3).map(|sequence| DetectRequest { sequence, ..request.clone() });
    let answers = stream(&server, requests.collect()).await;
    assert!(answers.iter().all(|answer| matches!(answer.outcome, Some(Outcome::Detection(_)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_late_is_counted_as_late() {
    let server = start(|_| {}).await;
    let image = Some(Image::Encoded(large_png().into()));
    let mut request = tonic::Request::new(DetectRequest { image, ..sample(0).request(0) });
    request.set_timeout(Duration::from_millis(5));
    // Which of the two sides ends it first is a race that either may win.
    let status = client(&server).await.detect(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    let counted = || server.app().engine().metrics().text();
    for _ in 0..500 {
        if counted().contains("uflow_requests_total{code=\"DEADLINE_EXCEEDED\",model=\"bolt\"") {
            return assert!(!counted().contains("CANCELLED"), "{}", counted());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{}", counted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_high_priority_has_a_place_in_a_full_server() {
    let server = start(|settings| {
        (settings.max_in_flight, settings.workers) = (Some(2), Some(1));
        settings.stream_overload = Some(Overload::Wait);
    })
    .await;
    let busy = client(&server).await;
    let feeding: Vec<_> = (0..4)
        .map(|_| {
            let mut client = busy.clone();
            tokio::spawn(async move {
                let requests = tokio_stream::iter((0..).map(|sequence| sample(sequence % 60).request(sequence)));
                let mut answers = client.detect_stream(requests).await.unwrap().into_inner();
                while let Some(Ok(answer)) = answers.next().await {
                    // Those that wait for their turn get it, whatever goes before them.
                    assert!(matches!(answer.outcome, Some(Outcome::Detection(_))), "{answer:?}");
                }
            })
        })
        .collect();
    let mut client = client(&server).await;
    let mut refused = 0;
    for sequence in 0..200 {
        let normal = sample(1).request(sequence);
        let high = DetectRequest { priority: v1::Priority::High.into(), ..normal.clone() };
        assert!(client.detect(high).await.is_ok());
        refused += u32::from(client.detect(normal).await.is_err());
    }
    for task in feeding {
        assert!(!task.is_finished(), "{:?}", task.await);
        task.abort();
    }
    assert!(refused > 0, "the server was not full");
}
