//! An S3 server in this process. s3s speaks the protocol and checks signatures, s3s-fs keeps each object as a file. A wrapper adds what
//! s3s-fs lacks, entity tags in listings and `If-Match`, and what goes wrong with stores.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use hyper_util::rt::TokioIo;
use s3s::{
    S3, S3Request, S3Response, S3Result,
    auth::SimpleAuth,
    dto::{
        ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
        ListObjectsV2Output, Object,
    },
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;

use crate::{
    process::{self, Process},
    server::copy_of_repository,
};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
/// What the tests serve.
pub const MODELS: &str = "s3://plant/line3/models";

/// A key, and what happens when it has been listed.
type After = (String, Box<dyn FnOnce() + Send>);

/// What goes wrong, and what was asked.
#[derive(Default)]
pub struct Faults {
    /// A key that the next listings have, too.
    pub key: Mutex<Option<String>>,
    /// Runs once, after the first listing that has the key.
    pub after_list: Mutex<Option<After>>,
    /// Keys that were read.
    pub reads: Mutex<Vec<String>>,
}

struct Server {
    files: FileSystem,
    folder: PathBuf,
    faults: Arc<Faults>,
}

impl Server {
    /// The tag of an object's content.
    fn tag(&self, bucket: &str, key: &str) -> Option<ETag> {
        let content = std::fs::read(self.folder.join(bucket).join(key)).ok()?;
        Some(ETag::Strong(uflow::package::sha256(&content)[..32].to_owned()))
    }
}

#[async_trait::async_trait]
impl S3 for Server {
    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let bucket = request.input.bucket.clone();
        let mut listed = self.files.list_objects_v2(request).await?;
        for object in listed.output.contents.iter_mut().flatten() {
            object.e_tag = object.key.as_deref().and_then(|key| self.tag(&bucket, key));
        }
        let key = self.faults.key.lock().unwrap().clone();
        if let (Some(key), Some(contents)) = (key, listed.output.contents.as_mut()) {
            contents.push(Object { key: Some(key), ..contents[0].clone() });
        }
        let has =
            |wanted: &str| listed.output.contents.iter().flatten().any(|object| object.key.as_deref() == Some(wanted));
        let after = self.faults.after_list.lock().unwrap().take_if(|(key, _)| has(key));
        if let Some((_, change)) = after {
            change();
        }
        Ok(listed)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.files.head_object(request).await
    }

    async fn get_object(&self, mut request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.faults.reads.lock().unwrap().push(request.input.key.clone());
        let wanted = request.input.if_match.take();
        let tag = self.tag(&request.input.bucket, &request.input.key);
        let mut answer = self.files.get_object(request).await?;
        answer.output.e_tag = tag;
        match (wanted, &answer.output.e_tag) {
            (Some(ETagCondition::ETag(wanted)), Some(found)) if !wanted.strong_cmp(found) => {
                Err(s3_error!(PreconditionFailed, "the object has another tag"))
            }
            _ => Ok(answer),
        }
    }
}

/// A bucket with the models of the tests, and its server.
pub struct Bucket {
    folder: tempfile::TempDir,
    /// Where servers keep their copies.
    pub cache: tempfile::TempDir,
    address: SocketAddr,
    service: S3Service,
    running: Option<tokio::runtime::Runtime>,
    pub faults: Arc<Faults>,
}

impl Bucket {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        crate::server::copy(copy_of_repository().path(), &folder.path().join("plant/line3/models"));
        let faults = Arc::new(Faults::default());
        let files = FileSystem::new(folder.path()).unwrap();
        let mut builder =
            S3ServiceBuilder::new(Server { files, folder: folder.path().to_owned(), faults: Arc::clone(&faults) });
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let cache = tempfile::tempdir().unwrap();
        let mut bucket = Self { folder, cache, address, service: builder.build(), running: None, faults };
        bucket.up();
        bucket
    }

    /// The repository's objects, as files.
    pub fn models(&self) -> PathBuf {
        self.folder.path().join("plant/line3/models")
    }

    /// Starts the server, on the address that it had before.
    pub fn up(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(self.address)).unwrap();
        self.address = listener.local_addr().unwrap();
        let service = self.service.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        self.running = Some(runtime);
    }

    /// Ends the server and all its connections.
    pub fn down(&mut self) {
        self.running.take().unwrap().shutdown_background();
    }

    /// A program with credentials for the bucket.
    pub fn command(&self) -> Command {
        self.command_with(SECRET)
    }

    pub fn command_with(&self, secret: &str) -> Command {
        let mut command = process::uflow();
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.ends_with("_PROXY")) {
            command.env_remove(name);
        }
        command
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("UFLOW_CACHE", self.cache.path());
        command
    }

    /// A server that takes frames.
    pub fn serve(&self, options: &[&str]) -> Process {
        let server = self.listen(options);
        server.until_ready();
        server
    }

    /// A server that may not be ready.
    pub fn listen(&self, options: &[&str]) -> Process {
        let options = [&["--poll-seconds", "0.1"], options].concat();
        Process::listen(self.command(), ("127.0.0.1:0", "127.0.0.1:0"), Path::new(MODELS), &options)
    }

    /// The folder with the copies.
    pub fn mirror(&self) -> PathBuf {
        let mut folders = std::fs::read_dir(self.cache.path().join("models")).unwrap();
        folders.next().unwrap().unwrap().path()
    }
}
