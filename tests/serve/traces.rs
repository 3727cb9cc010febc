//! Traces: a frame's span and its stages reach a collector, under the client's own span.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::server::{client, sample, start};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attribute<'a>(span: &'a Span, key: &str) -> &'a Value {
    let found = span.attributes.iter().find(|attribute| attribute.key == key).unwrap();
    found.value.as_ref().unwrap().value.as_ref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_a_span_under_the_client_s_with_its_stages_within() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TraceServiceServer::new(collector.clone());
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let server = start(|settings| settings.otlp = Some(format!("http://{address}"))).await;

    let mut request = Request::new(sample(20).request(1));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    let mut client = client(&server).await;
    client.detect(request).await.unwrap();
    let unknown = uflow::serve::proto::v1::DetectRequest { model: "unknown".to_owned(), ..sample(20).request(2) };
    client.detect(unknown).await.unwrap_err();

    drop(client);
    // Traces are sent in the background; the last of them when the server ends.
    tokio::task::spawn_blocking(move || tokio::runtime::Handle::current().block_on(server.stop())).await.unwrap();
    for _ in 0..500 {
        if collector.0.lock().unwrap().len() >= 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let spans = collector.0.lock().unwrap().clone();
    let frame = spans.iter().find(|span| span.name == "detect" && span.trace_id[0] == 0x0a).unwrap();
    assert_eq!(hex(&frame.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&frame.parent_span_id), "b7ad6b7169203331");
    assert_eq!(attribute(frame, "uflow.model"), &Value::StringValue(sample(20).model.to_owned()));
    assert!(matches!(attribute(frame, "uflow.score_max"), Value::DoubleValue(score) if *score > 0.0));
    let mut stages: Vec<_> = spans.iter().filter(|span| span.parent_span_id == frame.span_id).collect();
    stages.sort_by_key(|span| span.start_time_unix_nano);
    let names: Vec<_> = stages.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["decode", "preprocess", "network", "segmentation"]);
    for pair in stages.windows(2) {
        assert!(pair[0].end_time_unix_nano <= pair[1].start_time_unix_nano, "stages follow each other");
    }
    assert!(stages[0].start_time_unix_nano >= frame.start_time_unix_nano);
    assert!(stages.last().unwrap().end_time_unix_nano <= frame.end_time_unix_nano);
    let failed = spans.iter().find(|span| span.name == "detect" && span.span_id != frame.span_id).unwrap();
    assert!(failed.status.as_ref().unwrap().message.starts_with("there is no model `unknown`"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
