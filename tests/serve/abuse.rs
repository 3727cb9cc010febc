//! Clients that leave, send nonsense, do not read, or come in crowds: the server answers the next request as before.
//!
//! `UFLOW_SOAK=1` takes the numbers of the acceptance run: 10,000 cancellations, 1,000 malformed requests, 5,000 connections.

use std::time::Duration;

use crate::{
    process::Process,
    server::{self, assert_same, channel, client, detector, sample, start},
};
use prost::bytes::{Buf, BufMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};
use uflow::serve::{
    Server,
    config::Overload,
    proto::v1::{
        DetectRequest, MapFormat, MaskFormat, Outputs, detect_response::Outcome,
        detection_service_client::DetectionServiceClient,
    },
};

/// So many in the acceptance run, a part of them otherwise.
fn count(soak: u64, part: u64) -> u64 {
    if std::env::var_os("UFLOW_SOAK").is_some() { soak } else { part }
}

/// A frame is answered as before, nothing is inside, and every place is free.
async fn assert_as_before(server: &Server) {
    // What clients that have gone had sent may still be inside.
    calm(server).await;
    let sample = sample(0);
    let answer = client(server).await.detect(sample.request(1)).await.unwrap().into_inner();
    let Some(Outcome::Detection(found)) = &answer.outcome else { panic!("{answer:?}") };
    assert_same(found, &sample.expected(&mut detector(sample.model)), true);
    calm(server).await;
}

/// Waits until no frame and no stream is inside; all places are free then.
async fn calm(server: &Server) {
    for _ in 0..500 {
        if server.app().engine().metrics().in_flight() == 0 && server.app().requests().open() == 0 {
            assert_eq!(server.app().free_places(), server.app().engine().options().max_in_flight);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("frames were left inside: {}", server.app().engine().metrics().text());
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Numbers below `below` that are the same every time.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_at_any_moment_cost_nothing() {
    alone!();
    let server = start(|settings| settings.stream_overload = Some(Overload::Wait)).await;
    let mut state = 7;
    assert_as_before(&server).await;
    let before = resident();
    let unary = client(&server).await;
    let rounds = count(10_000, 600);
    for round in 0..rounds {
        let pause = Duration::from_micros(random(&mut state, 8_000));
        match round % 3 {
            0 => {
                // A call whose future is dropped.
                let mut client = unary.clone();
                let _ = tokio::time::timeout(pause, client.detect(sample(round).request(round))).await;
            }
            1 => {
                // A stream whose answers are dropped.
                let mut client = unary.clone();
                let requests = tokio_stream::iter((0..40).map(|n| sample(n).request(n)));
                if let Ok(answers) = client.detect_stream(requests).await {
                    let mut answers = answers.into_inner();
                    let _ = tokio::time::timeout(pause, async { while answers.next().await.is_some() {} }).await;
                }
            }
            _ => {
                // A connection that is cut.
                let mut client = client(&server).await;
                let requests = tokio_stream::iter((0..40).map(|n| sample(n).request(n)));
                let task = tokio::spawn(async move {
                    let mut answers = client.detect_stream(requests).await?.into_inner();
                    while answers.next().await.is_some() {}
                    Ok::<_, Status>(())
                });
                tokio::time::sleep(pause).await;
                task.abort();
            }
        }
    }
    assert_as_before(&server).await;
    let after = resident();
    println!(
        "{rounds} calls, streams and connections left by their clients: {} of {} places free, resident memory {before:.1} MiB before, {after:.1} MiB after",
        server.app().free_places(),
        server.app().engine().options().max_in_flight
    );
    assert!(after < before + 32.0, "{before} MiB before, {after} MiB after");
}

/// Sends bytes as they are in place of a message.
#[derive(Clone, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_with_a_status() {
    alone!();
    let server = start(|_| {}).await;
    let mut grpc = tonic::client::Grpc::new(channel(&server).await);
    let mut state = 11;
    let (rounds, mut refused) = (count(1_000, 300), 0);
    for round in 0..rounds {
        let mut message = prost::Message::encode_to_vec(&sample(round % 60).request(round));
        // A message with some of its first bytes changed, cut off, or nothing but noise.
        match round % 3 {
            0 => {
                let reach = message.len().min(80) as u64;
                for _ in 0..=random(&mut state, 4) {
                    message[random(&mut state, reach) as usize] = random(&mut state, 256) as u8;
                }
            }
            1 => message.truncate(random(&mut state, message.len() as u64) as usize),
            _ => message = (0..random(&mut state, 200)).map(|_| random(&mut state, 256) as u8).collect(),
        }
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/uflow.v1.DetectionService/Detect");
        if let Err(status) = grpc.unary(Request::new(message), path, Bytes).await {
            assert!(
                matches!(
                    status.code(),
                    Code::InvalidArgument | Code::NotFound | Code::Internal | Code::DeadlineExceeded
                ),
                "{status}"
            );
            assert!(!status.message().contains("panic"), "{status}");
            refused += 1;
        }
    }
    println!("{rounds} malformed requests: {refused} refused with a status, the others still made sense");
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/uflow.v1.DetectionService/Nothing");
    assert_eq!(grpc.unary(Request::new(Vec::new()), path, Bytes).await.unwrap_err().code(), Code::Unimplemented);
    assert_as_before(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http2_are_dropped() {
    alone!();
    let server = start(|_| {}).await;
    let mut state = 13;
    for round in 0..count(500, 60) {
        let mut stream = tokio::net::TcpStream::connect(server.grpc_address()).await.unwrap();
        let mut noise: Vec<u8> = (0..300).map(|_| random(&mut state, 256) as u8).collect();
        if round % 2 == 0 {
            noise.splice(..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        }
        let _ = stream.write_all(&noise).await;
        let mut end = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.read_to_end(&mut end)).await;
    }
    assert_as_before(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_hold_no_more_than_their_window() {
    alone!();
    let server = start(|settings| {
        settings.stream_overload = Some(Overload::Wait);
        settings.stream_window = Some(4);
    })
    .await;
    assert_as_before(&server).await;
    let before = resident();
    let clients = count(64, 16);
    let address = format!("http://{}", server.grpc_address());
    // Their connections end with an event loop of their own.
    let theirs = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for _ in 0..clients {
        let address = address.clone();
        theirs.spawn(async move {
            let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
            let requests = tokio_stream::iter(0_u64..).map(|n| {
                let mut request = server::Sample { model: "bolt", ..sample(15) }.request(n);
                let (mask, map) = (MaskFormat::Raw.into(), MapFormat::F32.into());
                request.outputs = Some(Outputs { mask, score_map: map, log10_nfa_map: map, latents: true });
                request
            });
            let answers = DetectionServiceClient::new(channel).detect_stream(requests).await.unwrap();
            std::future::pending::<()>().await;
            drop(answers);
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Until their frames are through, all places can be taken: then the server says so, and a client tries again.
    let answer = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match client(&server).await.detect(sample(3).request(1)).await {
                Err(status) if status.code() == Code::ResourceExhausted => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => return answer,
            }
        }
    });
    let answer = answer.await.expect("the others are served");
    assert!(answer.is_ok(), "the others are served: {answer:?}");
    let with = resident();
    println!("{clients} clients that do not read: resident memory {before:.1} MiB before, {with:.1} MiB with them");
    // HTTP/2 windows and the queues of both sides, the clients' in this process too.
    assert!(with < before + 16.0 * clients as f64, "{before} MiB before, {with} MiB with");
    theirs.shutdown_background();
    assert_as_before(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_connections_is_served() {
    alone!();
    // Each connection is two file descriptors of this process.
    let crowd = count(5_000, 400);
    let server = start(|_| {}).await;
    let mut connections = Vec::new();
    for _ in 0..crowd {
        connections.push(tokio::net::TcpStream::connect(server.grpc_address()).await.unwrap());
    }
    assert_as_before(&server).await;
    println!(
        "{crowd} connections open: the next request is answered; resident memory {:.1} MiB with the clients'",
        resident()
    );
    drop(connections);
    let mut clients = Vec::new();
    for _ in 0..crowd / 10 {
        clients.push(client(&server).await);
    }
    for client in &mut clients {
        assert!(client.detect(sample(2).request(2)).await.is_ok());
    }
    drop(clients);
    assert_as_before(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_wait_for_their_turn() {
    alone!();
    let server = start(|settings| settings.max_connections = Some(2)).await;
    let (mut first, mut second) = (client(&server).await, client(&server).await);
    // A connection that has had no request gives its place up.
    for client in [&mut first, &mut second] {
        assert!(client.detect(sample(2).request(2)).await.is_ok());
    }
    let address = server.grpc_address();
    let third = tokio::spawn(async move {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut client = DetectionServiceClient::new(channel);
        client.detect(sample(2).request(2)).await.map(|_| ())
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!third.is_finished(), "it has no place yet");
    drop(first);
    third.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_pings_is_let_go() {
    alone!();
    let server = start(|settings| settings.keepalive_seconds = Some(0.1)).await;
    let mut stream = tokio::net::TcpStream::connect(server.grpc_address()).await.unwrap();
    // The preface and empty SETTINGS, and then nothing more.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut said = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
    assert!(end.is_ok(), "the connection is still open");
    // One that answers them stays.
    let mut client = client(&server).await;
    for _ in 0..3 {
        assert!(client.detect(sample(1).request(1)).await.is_ok());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_asked_to_end_at_its_age_and_its_streams_go_on_until_the_drain() {
    alone!();
    let repository = server::copy_of_repository();
    let options = ["--max-connection-age-seconds", "0.3", "--drain-seconds", "100"];
    let server = Process::start(repository.path(), &options);
    let channel = Channel::from_shared(format!("http://{}", server.grpc)).unwrap().connect().await.unwrap();
    let mut client = DetectionServiceClient::new(channel);
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = client.detect_stream(requests).await.unwrap().into_inner();
    // The stream keeps its connection. The next call of a client that was asked to end it takes another one.
    let begun = std::time::Instant::now();
    while !server.get("/metrics").1.lines().any(|line| line == "uflow_connections{port=\"grpc\"} 2") {
        assert!(begun.elapsed() < Duration::from_secs(60), "the client was never asked to end its connection");
        let _ = client.detect(sample(1).request(1)).await;
    }
    sender.send(sample(2).request(7)).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    assert_eq!(answer.sequence, 7, "{answer:?}");
    assert!(matches!(answer.outcome, Some(Outcome::Detection(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_at_its_age_and_its_client_comes_back() {
    alone!();
    let server = start(|settings| {
        (settings.max_connection_age_seconds, settings.drain_seconds) = (Some(0.3), Some(0.3));
    })
    .await;
    let mut client = client(&server).await;
    let (_sender, receiver) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = client.detect_stream(requests).await.unwrap().into_inner();
    let end = tokio::time::timeout(Duration::from_secs(20), answers.next()).await;
    assert!(!matches!(end, Err(_) | Ok(Some(Ok(_)))), "the stream is still open: {end:?}");
    // On a busy machine the client's transport may not have seen the end yet. It then cancels one call before it is sent, and connects anew.
    let mut answer = client.detect(sample(1).request(1)).await;
    if answer.as_ref().is_err_and(|status| status.code() == tonic::Code::Cancelled) {
        answer = client.detect(sample(1).request(1)).await;
    }
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_streams() {
    alone!();
    let server = start(|settings| settings.max_streams = Some(2)).await;
    let mut client = client(&server).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let (sender, receiver) = tokio::sync::mpsc::channel::<DetectRequest>(1);
        let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
        open.push((sender, client.detect_stream(requests).await.unwrap()));
    }
    let mut third = client.clone();
    let call = tokio::spawn(async move { third.detect(sample(1).request(1)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!call.is_finished(), "a third call at once");
    open.clear();
    assert!(call.await.unwrap().is_ok(), "it goes on when there is room");
}
