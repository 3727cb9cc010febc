//! Memory and connections of a server in a process of its own, under clients that ask for as much as they can.
//!
//! `UFLOW_SOAK=1` takes the numbers of the acceptance run: 24 regions of interest of 4096² pixels, 400 versions, 40 frames of
//! 60 MiB, six slow readers, 300 dripping sockets. `UFLOW_SOAK_BINARY` names another build of the command, to compare with.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio_stream::StreamExt;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use uflow::serve::proto::v1::{
    DetectRequest, GetModelRequest, MaskFormat, Outputs, PixelFormat, RawImage, detect_request::Image,
    detection_service_client::DetectionServiceClient, model_service_client::ModelServiceClient,
};

use crate::process::{Process, command, until};
use crate::server::{copy, copy_of_repository, sample};

/// One process at a time: each may take all of the machine's memory.
static ALONE: Mutex<()> = Mutex::new(());

fn soak() -> bool {
    std::env::var_os("UFLOW_SOAK").is_some()
}

/// So many in the acceptance run, a part of them otherwise.
fn count(soaked: usize, part: usize) -> usize {
    if soak() { soaked } else { part }
}

/// `uflow serve` on a repository, with at most so many open files.
fn start(models: &Path, files: usize, options: &[&str]) -> Process {
    start_at(("127.0.0.1:0", "127.0.0.1:0"), models, files, options)
}

fn start_at(addresses: (&str, &str), models: &Path, files: usize, options: &[&str]) -> Process {
    let program = std::env::var("UFLOW_SOAK_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_uflow").to_owned());
    let mut limited = command("sh");
    limited.args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &files.to_string(), &program]);
    Process::run(limited, addresses, models, options)
}

impl Process {
    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.timeout(Duration::from_secs(300)).connect().await.unwrap()
    }

    async fn client(&self) -> DetectionServiceClient<Channel> {
        DetectionServiceClient::new(self.channel().await)
            .max_decoding_message_size(1 << 30)
            .max_encoding_message_size(1 << 30)
    }

    /// A line of `/proc/<pid>/status`, in MiB.
    fn memory(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|found| found.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Resident memory now, and the most there ever was.
    fn resident(&self) -> f64 {
        self.memory("VmRSS:")
    }

    fn peak(&self) -> f64 {
        self.memory("VmHWM:")
    }

    /// Resident memory once the server has had time to tidy up.
    fn idle(&self, below: f64) -> f64 {
        let start = Instant::now();
        while self.resident() > below && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(200));
        }
        self.resident()
    }

    /// Prints a line for `benches/soak.md`.
    fn report(&self, run: &str, before: f64, idle: f64) {
        println!(
            "| {run} | {before:.0} MiB before | {:.0} MiB at the peak | {idle:.0} MiB idle afterwards |",
            self.peak()
        );
    }
}

/// Another build is being measured: it may lack options, and its numbers are printed only.
fn is_comparison() -> bool {
    std::env::var_os("UFLOW_SOAK_BINARY").is_some()
}

fn assert_below(what: &str, found: f64, bound: f64) {
    assert!(found < bound || is_comparison(), "{what}: {found:.0} MiB, bound {bound} MiB");
}

fn event_loop() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A 16-bit RGBA picture of one colour: a small file that becomes large.
fn large_region(side: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::ImageBuffer::from_pixel(side, side, image::Rgba([u16::MAX; 4]));
    image::DynamicImage::ImageRgba16(picture).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn regions_of_interest_are_decoded_by_the_workers_within_their_memory() {
    let _alone = ALONE.lock();
    let (calls, side) = (count(24, 8), count(4096, 3000) as u32);
    let options = ["--workers", "2", "--max-work-mib", "256"];
    let options = if is_comparison() { &options[..2] } else { &options[..] };
    let server = start(copy_of_repository().path(), 4096, options);
    let (before, region) = (server.resident(), large_region(side));
    event_loop().block_on(async {
        let client = server.client().await;
        let calls: Vec<_> = (0..calls)
            .map(|call| {
                let (mut client, mut roi) = (client.clone(), region.clone());
                // What follows the picture is not looked at, and makes it another file.
                roi.extend_from_slice(&call.to_le_bytes());
                let pixels = vec![90; 64 * 64].into();
                let raw = RawImage { pixels, width: 64, height: 64, stride: 0, format: PixelFormat::Gray8.into() };
                let mut request = DetectRequest { image: Some(Image::Raw(raw)), ..sample(1).request(call as u64) };
                request.options.as_mut().unwrap().roi = roi.into();
                tokio::spawn(async move { client.detect(request).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
    });
    let idle = server.idle(before + 200.0);
    server.report(&format!("{calls} calls with regions of {side}² pixels of 16-bit RGBA"), before, idle);
    // One at a time: 8 bytes a pixel decoded, 4 converted, 1 and 4 as a region; and 128 MiB of regions that are kept.
    let one = f64::from(side * side) * 17.0 / f64::from(1 << 20);
    assert_below("peak", server.peak(), before + 2.0 * one + 128.0 + 100.0);
}

#[test]
fn frames_are_bounded_in_bytes_and_the_others_are_refused() {
    let _alone = ALONE.lock();
    let (frames, mib) = (count(40, 24), count(60, 20));
    let budget = if soak() { "600" } else { "120" };
    let options = ["--workers", "2", "--max-frames-mib", budget, "--max-work-mib", "256", "--max-message-mib", "64"];
    let options = if is_comparison() { &options[..2] } else { &options[..] };
    let server = start(copy_of_repository().path(), 4096, options);
    let before = server.resident();
    let (taken, refused) = event_loop().block_on(async {
        let client = server.client().await;
        // Two pictures that take long to decode keep the workers busy meanwhile.
        let mut slow = std::io::Cursor::new(Vec::new());
        image::GrayImage::new(9000, 9000).write_to(&mut slow, image::ImageFormat::Png).unwrap();
        let slow = prost::bytes::Bytes::from(slow.into_inner());
        let width = 1024;
        let pixels = prost::bytes::Bytes::from(vec![90; mib << 20]);
        let raw = RawImage {
            height: (pixels.len() / 1024) as u32,
            pixels,
            width,
            stride: 0,
            format: PixelFormat::Gray8.into(),
        };
        let calls: Vec<_> = (0..frames + 2)
            .map(|call| {
                let mut client = client.clone();
                let image = if call < 2 { Image::Encoded(slow.clone()) } else { Image::Raw(raw.clone()) };
                let request = DetectRequest { image: Some(image), ..sample(1).request(call as u64) };
                tokio::spawn(async move { client.detect(request).await.map(drop) })
            })
            .collect();
        let (mut taken, mut refused) = (0, 0);
        for call in calls {
            match call.await.unwrap() {
                Ok(()) => taken += 1,
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                    refused += 1;
                }
            }
        }
        (taken, refused)
    });
    let idle = server.idle(before + 100.0);
    let run = format!("{frames} frames of {mib} MiB behind two slow ones: {taken} taken, {refused} refused");
    server.report(&run, before, idle);
    let bound = if soak() { 600.0 + 512.0 + 256.0 } else { 120.0 + 480.0 + 256.0 };
    assert_below("peak", server.peak(), before + bound + 100.0);
}

#[test]
fn memory_comes_back_after_model_changes() {
    let _alone = ALONE.lock();
    let (versions, repository) = (count(400, 60), copy_of_repository());
    let server = start(repository.path(), 4096, &["--model-control", "poll", "--poll-seconds", "0.02"]);
    let before = server.resident();
    event_loop().block_on(async {
        let mut models = ModelServiceClient::new(server.channel().await);
        for version in 2..=versions as u32 + 1 {
            let folder = repository.path().join("bolt").join(version.to_string());
            copy(&repository.path().join("bolt/1"), &repository.path().join("new"));
            std::fs::rename(repository.path().join("new"), folder).unwrap();
            let mut tries = 0;
            loop {
                let request = GetModelRequest { model: "bolt".to_owned(), version: 0 };
                let model = models.get_model(request).await.unwrap().into_inner().model.unwrap();
                if model.version == version {
                    break;
                }
                tries += 1;
                assert!(tries < 6000, "version {version} never came: {model:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let idle = server.idle(before + 30.0);
    server.report(&format!("{versions} new versions of one package"), before, idle);
    assert_below("idle", idle, before + 60.0);
}

#[test]
fn memory_comes_back_after_slow_readers() {
    let _alone = ALONE.lock();
    let repository = copy_of_repository();
    let server = start(repository.path(), 4096, &["--stream-overload", "wait"]);
    let before = server.resident();
    let clients = event_loop();
    let (width, height) = (count(3000, 1500) as u32, count(2000, 1000) as u32);
    let pixels = prost::bytes::Bytes::from(vec![90; (width * height) as usize]);
    for _ in 0..6 {
        let (address, pixels) = (server.grpc, pixels.clone());
        clients.spawn(async move {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = endpoint.connect().await.unwrap();
            let requests = tokio_stream::iter(0_u64..200).map(move |n| {
                let raw =
                    RawImage { pixels: pixels.clone(), width, height, stride: 0, format: PixelFormat::Gray8.into() };
                let outputs = Some(Outputs { mask: MaskFormat::Raw.into(), ..Outputs::default() });
                DetectRequest { image: Some(Image::Raw(raw)), outputs, ..sample(1).request(n) }
            });
            let answers = DetectionServiceClient::new(channel).detect_stream(requests).await.unwrap();
            std::future::pending::<()>().await;
            drop(answers);
        });
    }
    // Until nothing moves any more.
    let mut last = -1.0;
    until("the readers' answers are all waiting", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = server.resident();
        let still = (now - last).abs() < 1.0 && now > before + 10.0;
        last = now;
        still
    });
    clients.shutdown_background();
    let idle = server.idle(before + 40.0);
    server.report(&format!("six clients that do not read raw masks of {width}×{height}"), before, idle);
    assert_below("idle", idle, before + 80.0);
    event_loop().block_on(async { assert!(server.client().await.detect(sample(1).request(1)).await.is_ok()) });
}

/// Sockets that send the head of a request byte by byte, until this is dropped.
struct Drips {
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drips {
    fn start(address: SocketAddr, sockets: usize) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let head = b"GET /readyz HTTP/1.1\r\nHost: uflow\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let mut open: Vec<_> = (0..sockets).map(|_| TcpStream::connect(address).unwrap()).collect();
        let thread = std::thread::spawn(move || {
            let mut at = 0;
            while !seen.load(std::sync::atomic::Ordering::Relaxed) {
                let byte = head[at.min(head.len() - 1)];
                // Those that the server has closed are of no more use.
                open.retain_mut(|socket| socket.write_all(&[byte]).is_ok());
                at += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Drips {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn dripping_sockets_leave_probes_and_calls_alive() {
    let _alone = ALONE.lock();
    let server = start(copy_of_repository().path(), 256, &[]);
    let before = server.resident();
    if !is_comparison() {
        server.says("the limit of open files allows fewer connections");
    }
    let drips = Drips::start(server.http, 300);
    let mut probes = 0;
    for _ in 0..5 {
        probes += u32::from(server.status("/readyz") == Some(200));
        std::thread::sleep(Duration::from_millis(300));
    }
    let call = async {
        let mut client = server.client().await;
        client.detect(sample(1).request(1)).await
    };
    let answered = event_loop().block_on(async { tokio::time::timeout(Duration::from_secs(30), call).await });
    let answered = u32::from(matches!(answered, Ok(Ok(_))));
    drop(drips);
    let (lines, idle) = (server.log().len(), server.resident());
    let run = "300 dripping sockets at a limit of 256 files";
    server.report(
        &format!("{run}: {probes} of 5 probes and {answered} of 1 calls answered, {lines} log lines"),
        before,
        idle,
    );
    assert!((probes == 5 && answered == 1 && lines < 40) || is_comparison(), "{:?}", server.log());
}

#[test]
fn heads_that_do_not_come_in_time_end_their_connection() {
    let _alone = ALONE.lock();
    let server = start(copy_of_repository().path(), 4096, &["--head-seconds", "0.5"]);
    for address in [server.http, server.grpc] {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let start = b"GET /readyz HTTP/1.1\r\nHost: uflow\r\nX-Slow: ";
        for at in 0.. {
            assert!(at < 1000, "{address}: it is still open");
            // More than a greeting on the HTTP port, less than one on the other; each byte comes in time, the head does not.
            let sent = if address == server.http { start.get(at).copied().unwrap_or(b'a') } else { b'P' };
            if socket.write_all(&[sent]).is_err() {
                break;
            }
            match socket.read(&mut [0; 64]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(_) => break,
            }
        }
    }
    assert_eq!(server.status("/readyz"), Some(200));
}

#[test]
fn hosts_are_looked_up_and_open_ones_are_warned_about() {
    let _alone = ALONE.lock();
    let repository = copy_of_repository();
    let server = start_at(("localhost:0", "0.0.0.0:0"), repository.path(), 4096, &[]);
    assert!(server.grpc.ip().is_loopback(), "{}", server.grpc);
    server.says("every machine that reaches this address may use the server");
    server.says("cross the network unencrypted");
    let warnings: Vec<_> = server.log().into_iter().filter(|line| line.contains("\"port\":")).collect();
    assert!(warnings.iter().all(|line| line.contains("\"port\":\"http\"")), "{warnings:?}");
    assert_eq!(server.status("/readyz"), Some(200));
}

#[test]
fn a_limit_of_open_files_without_room_is_refused_at_the_start() {
    let repository = copy_of_repository();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 60; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_uflow"), "serve", "--models"])
        .arg(repository.path())
        .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the limit of 60 open files leaves no room for connections"), "{said}");
}
