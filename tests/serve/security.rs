//! TLS, mutual TLS and bearer tokens, and their replacement while the server runs.

use std::{path::Path, sync::Arc, time::Duration};

use crate::server::{self, sample, start};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tonic::{
    Code, Request,
    metadata::MetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use uflow::serve::{
    Server,
    config::{ModelControl, Settings},
    proto::inference::{SystemSharedMemoryStatusRequest, grpc_inference_service_client::GrpcInferenceServiceClient},
    proto::v1::{
        DetectRequest, LoadModelRequest, detection_service_client::DetectionServiceClient,
        model_service_client::ModelServiceClient,
    },
};

/// An authority, and certificates that it signs.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `localhost` and its key, as PEM.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Writes a new certificate for the server.
    fn write(&self, folder: &Path) {
        let (certificate, key) = self.sign();
        std::fs::write(folder.join("cert.pem"), certificate).unwrap();
        std::fs::write(folder.join("key.pem"), key).unwrap();
    }
}

fn with_tls(settings: &mut Settings, folder: &Path) {
    settings.tls_cert = Some(folder.join("cert.pem"));
    settings.tls_key = Some(folder.join("key.pem"));
}

async fn connect(server: &Server, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let address = format!("https://localhost:{}", server.grpc_address().port());
    Endpoint::from_shared(address)?.tls_config(tls)?.connect().await
}

fn trusting(authority: &Authority) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.certificate))
}

async fn works(channel: Channel) -> bool {
    DetectionServiceClient::new(channel).detect(sample(1).request(1)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_certificates_can_be_replaced() {
    let (folder, authority, other) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    authority.write(folder.path());
    let server = start(|settings| with_tls(settings, folder.path())).await;
    assert!(works(connect(&server, trusting(&authority)).await.unwrap()).await);
    assert!(connect(&server, trusting(&other)).await.is_err(), "another authority did not sign it");
    let plain = Endpoint::from_shared(format!("http://localhost:{}", server.grpc_address().port())).unwrap();
    let spoken = match plain.connect().await {
        Ok(channel) => works(channel).await,
        Err(_) => false,
    };
    assert!(!spoken, "without TLS nothing is answered");

    std::fs::write(folder.path().join("cert.pem"), "not a certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(works(connect(&server, trusting(&authority)).await.unwrap()).await, "the old one stays in use");
    other.write(folder.path());
    let mut renewed = false;
    for _ in 0..100 {
        if let Ok(channel) = connect(&server, trusting(&other)).await {
            renewed = works(channel).await;
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(renewed, "the new certificate came into use");
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_lets_known_clients_in_only() {
    let (folder, authority, stranger) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    authority.write(folder.path());
    std::fs::write(folder.path().join("clients.pem"), &authority.certificate).unwrap();
    let server = start(|settings| {
        with_tls(settings, folder.path());
        settings.tls_client_ca = Some(folder.path().join("clients.pem"));
    })
    .await;
    let identity = |authority: &Authority| {
        let (certificate, key) = authority.sign();
        Identity::from_pem(certificate, key)
    };
    let known = connect(&server, trusting(&authority).identity(identity(&authority))).await.unwrap();
    assert!(works(known).await);
    for tls in [trusting(&authority), trusting(&authority).identity(identity(&stranger))] {
        // With TLS 1.3 a client learns that it was refused when it first reads.
        let answered = match connect(&server, tls).await {
            Ok(channel) => works(channel).await,
            Err(_) => false,
        };
        assert!(!answered);
    }
}

fn with_token<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for_and_model_control_needs_its_own() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "camera-token-0001\nforeman-token-0001 inference control\n").unwrap();
    let server = start(|settings| {
        settings.tokens = Some(file.path().to_owned());
        settings.model_control = Some(ModelControl::Explicit);
    })
    .await;
    let channel = server::channel(&server).await;
    let load = async |token| {
        let request = LoadModelRequest { model: "bolt".to_owned(), version: 0 };
        let answer = ModelServiceClient::new(channel.clone()).load_model(with_token(request, token)).await;
        answer.map(|_| ()).map_err(|status| status.code())
    };
    let detect = async |token| {
        let request: DetectRequest = server::Sample { model: "bolt", ..sample(1) }.request(1);
        let answer = DetectionServiceClient::new(channel.clone()).detect(with_token(request, token)).await;
        answer.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(load(None).await, Err(Code::Unauthenticated));
    assert_eq!(load(Some("camera-token-0001")).await, Err(Code::PermissionDenied));
    assert_eq!(load(Some("foreman-token-0001")).await, Ok(()));
    assert_eq!(detect(None).await, Err(Code::Unauthenticated));
    assert_eq!(detect(Some("camera-token-0002")).await, Err(Code::Unauthenticated));
    assert_eq!(detect(Some("camera-token-0001")).await, Ok(()));
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    assert!(health.check(tonic_health::pb::HealthCheckRequest::default()).await.is_ok(), "probes need no token");

    std::fs::write(file.path(), "camera-token-0002\n").unwrap();
    let mut renewed = false;
    for _ in 0..100 {
        renewed = detect(Some("camera-token-0002")).await.is_ok();
        if renewed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(renewed && detect(Some("camera-token-0001")).await == Err(Code::Unauthenticated));
}

/// Calls detection with a token until the answer is what is expected.
async fn until_answered(channel: &Channel, token: &str, expected: Result<(), Code>) -> Option<tonic::Status> {
    let mut answer = Ok(());
    for _ in 0..150 {
        let request = with_token(sample(1).request(1), Some(token));
        answer = DetectionServiceClient::new(channel.clone()).detect(request).await.map(|_| ());
        if answer.as_ref().copied().map_err(tonic::Status::code) == expected {
            return answer.err();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{answer:?} in place of {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_file_of_tokens_everybody_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let token = "camera-token-0001";
    std::fs::write(&file, token).unwrap();
    let server = start(|settings| settings.tokens = Some(file.clone())).await;
    let channel = server::channel(&server).await;
    let figures = || {
        let text = server.app().engine().metrics().text();
        let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
        (of("uflow_token_file_ok ").unwrap(), of("uflow_tokens ").unwrap())
    };
    until_answered(&channel, token, Ok(())).await;
    assert_eq!(figures(), (1, 1));
    for remove in [true, false] {
        if remove { std::fs::remove_file(&file) } else { std::fs::write(&file, "") }.unwrap();
        let status = until_answered(&channel, token, Err(Code::Unauthenticated)).await.unwrap();
        assert!(status.message().contains("every token is refused"), "{status}");
        assert_eq!(figures(), (0, 0));
        assert_eq!(http(&server, None, "/v2/models/bolt", Some(token)).await, Some(401));
        std::fs::write(&file, token).unwrap();
        until_answered(&channel, token, Ok(())).await;
        assert_eq!(figures(), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_in_no_table_is_refused_and_answers_carry_the_request_s_id() {
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "camera-token-0001 inference control metrics\n").unwrap();
    let server = start(|settings| settings.tokens = Some(file.path().to_owned())).await;
    let channel = server::channel(&server).await;
    let call = async |path: &'static str, token: Option<&str>| {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let mut request = with_token(HealthCheckRequest::default(), token);
        request.metadata_mut().insert("x-request-id", "order-4711".parse().unwrap());
        let answer = client.unary(request, path.parse().unwrap(), codec).await;
        let (code, metadata) = match answer {
            Ok(response) => (Code::Ok, response.metadata().clone()),
            Err(status) => (status.code(), status.metadata().clone()),
        };
        assert_eq!(metadata.get("x-request-id").unwrap(), "order-4711", "{path}");
        code
    };
    let known = Some("camera-token-0001");
    assert_eq!(call("/grpc.health.v1.Health/Check", None).await, Code::Ok);
    assert_eq!(call("/uflow.v1.ModelService/LoadModel", None).await, Code::Unauthenticated);
    for path in ["/uflow.v1.ModelService/DeleteModel", "/grpc.health.v1.Health/List", "/nothing"] {
        for token in [None, known] {
            assert_eq!(call(path, token).await, Code::Unimplemented, "{path}");
        }
    }
    let text = server.app().engine().metrics().text();
    assert!(text.contains("uflow_requests_refused_total{reason=\"unknown_method\"} 6"), "{text}");
}

/// The status of an answer on the HTTP port; `None` where nothing that is HTTP came.
async fn http(server: &Server, authority: Option<&Authority>, path: &str, token: Option<&str>) -> Option<u16> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\r\n");
    let stream = TcpStream::connect(server.http_address()).await.unwrap();
    let answer = match authority {
        None => exchange(stream, &request).await,
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
            let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            exchange(TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?, &request).await
        }
    };
    String::from_utf8_lossy(&answer).strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    // A server that hangs up says nothing that counts.
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_port_keeps_the_same_rules() {
    let (folder, authority, other) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    authority.write(folder.path());
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "camera-token-0001\nmonitor-token-0001 metrics\n").unwrap();
    let secure = start(|settings| {
        with_tls(settings, folder.path());
        settings.tokens = Some(tokens.clone());
    })
    .await;
    let get = async |path, token| http(&secure, Some(&authority), path, token).await;
    assert_eq!(get("/readyz", None).await, Some(200));
    assert_eq!(get("/metrics", None).await, Some(401));
    assert_eq!(get("/metrics", Some("camera-token-0001")).await, Some(403));
    assert_eq!(get("/metrics", Some("monitor-token-0001")).await, Some(200));
    assert_eq!(get("/v2/models/bolt", Some("camera-token-0001")).await, Some(200));
    assert_eq!(http(&secure, Some(&other), "/readyz", None).await, None, "another authority did not sign it");
    assert_eq!(http(&secure, None, "/readyz", None).await, None, "without TLS nothing is answered");

    let open = start(|settings| {
        with_tls(settings, folder.path());
        settings.http_tls = Some(false);
    })
    .await;
    assert_eq!(http(&open, None, "/readyz", None).await, Some(200));
    assert!(works(connect(&open, trusting(&authority)).await.unwrap()).await, "gRPC speaks TLS all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_wrong_are_named_before_anything_starts() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.write(folder.path());
    let key = folder.path().join("key.pem");
    std::fs::write(&key, authority.sign().1).unwrap();
    let mut settings = server::settings(server::copy_of_repository().path().to_owned());
    with_tls(&mut settings, folder.path());
    let config = uflow::serve::config::Config::new(settings).unwrap();
    let error = Server::start(&server::runtime(), config).await.unwrap_err().to_string();
    assert!(error.contains("cert.pem") && error.contains("does not go with its key"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_is_off_unless_the_operator_allows_it() {
    let status = async |server: &Server| {
        let mut client = GrpcInferenceServiceClient::new(server::channel(server).await);
        let found = client.system_shared_memory_status(SystemSharedMemoryStatusRequest::default()).await;
        found.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(status(&start(|_| {}).await).await, Err(Code::PermissionDenied));
    assert_eq!(status(&start(|settings| settings.allow_shared_memory = Some(true)).await).await, Ok(()));
}
