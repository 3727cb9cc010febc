//! `uflow serve` in a process of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A program without the settings of whoever runs the tests.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("UFLOW_") && name != "UFLOW_ONNXRUNTIME") {
        command.env_remove(name);
    }
    command
}

pub fn uflow() -> Command {
    command(env!("CARGO_BIN_EXE_uflow"))
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    /// How many of them [`Process::next`] has passed.
    passed: usize,
}

/// A server that runs; killed when it goes out of scope.
pub struct Process {
    pub child: Child,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// `uflow serve` on a repository, on ports of this machine.
    pub fn start(models: &Path, options: &[&str]) -> Self {
        Self::run(uflow(), ("127.0.0.1:0", "127.0.0.1:0"), models, options)
    }

    /// `serve` of a command, until its models are loaded.
    pub fn run(command: Command, ports: (&str, &str), models: &Path, options: &[&str]) -> Self {
        let server = Self::listen(command, ports, models, options);
        server.until_ready();
        server
    }

    /// `serve` of a command, until its ports are open.
    pub fn listen(mut command: Command, (grpc, http): (&str, &str), models: &Path, options: &[&str]) -> Self {
        let mut child = command
            .args(["serve", "--grpc", grpc, "--http", http, "--log-format", "json", "--models"])
            .arg(models)
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Log::default()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().lines.push(line)));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, grpc: any, http: any, log };
        let listening = server.next("listening");
        let address = |port: &str| listening[port].as_str().unwrap().parse().unwrap();
        (server.grpc, server.http) = (address("grpc"), address("http"));
        server
    }

    pub fn until_ready(&self) {
        until("the models are loaded", || self.status("/readyz") == Some(200));
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().lines.clone()
    }

    /// The first line of the log with this in it.
    pub fn says(&self, text: &str) -> String {
        let mut line = None;
        until(text, || {
            line = self.log().into_iter().find(|line| line.contains(text));
            line.is_some()
        });
        line.unwrap()
    }

    /// The next line of the log with this message, after the one that was found last.
    pub fn next(&self, message: &str) -> Value {
        let mut found = None;
        until(message, || {
            let mut log = self.log.lock().unwrap();
            let log = &mut *log;
            while found.is_none() && log.passed < log.lines.len() {
                let line: Option<Value> = serde_json::from_str(&log.lines[log.passed]).ok();
                found = line.filter(|line| line["message"] == message);
                log.passed += 1;
            }
            found.is_some()
        });
        found.unwrap()
    }

    /// The status and the body of a path, if the server answers.
    fn answer(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: uflow\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The status of a path, if the server answers.
    pub fn status(&self, path: &str) -> Option<u16> {
        self.answer(path).map(|(status, _)| status)
    }

    /// The status and the body of a path.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.answer(path).unwrap()
    }

    pub fn signal(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
    }

    /// The exit code, which must come in time.
    pub fn ends(&mut self, within: Duration) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < within, "the server is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
