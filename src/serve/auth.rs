//! Who may call what: bearer tokens before every gRPC method and every HTTP route.
//!
//! Each gRPC method is in a table with what it takes to call it. A method that is not in the table is refused, so that a new
//! one is closed until somebody decides who may call it.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use prometheus::{IntCounterVec, Opts, Registry};
use strum::{Display, EnumString, IntoStaticStr};
use tonic::{
    Status,
    body::Body,
    codegen::{
        BoxFuture,
        http::{HeaderMap, Request, Response, header::AUTHORIZATION},
    },
};
use tower::{Layer, Service};

use super::{
    limiter::Limiter,
    origin::{Origin, REQUEST_ID},
    shown::shown,
    tokens::Tokens,
};
use crate::{Result, engine::register};

/// What a request does, and what a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Scope {
    /// Sending frames, and asking which models there are.
    Inference,
    /// Loading and unloading models, and registering shared memory.
    Control,
    /// Reading metrics.
    Metrics,
}

/// What it takes to make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// A token that is good for this, where the server has tokens.
    Needs(Scope),
}

const OPEN: Access = Access::Open;
const INFERENCE: Access = Access::Needs(Scope::Inference);
const CONTROL: Access = Access::Needs(Scope::Control);

/// Every method on the gRPC port. A test compares it with the protocol files.
const METHODS: [(&str, Access); 25] = [
    ("/uflow.v1.DetectionService/Detect", INFERENCE),
    ("/uflow.v1.DetectionService/DetectStream", INFERENCE),
    ("/uflow.v1.ModelService/ListModels", INFERENCE),
    ("/uflow.v1.ModelService/GetModel", INFERENCE),
    ("/uflow.v1.ModelService/LoadModel", CONTROL),
    ("/uflow.v1.ModelService/UnloadModel", CONTROL),
    ("/inference.GRPCInferenceService/ServerLive", OPEN),
    ("/inference.GRPCInferenceService/ServerReady", OPEN),
    ("/inference.GRPCInferenceService/ModelReady", INFERENCE),
    ("/inference.GRPCInferenceService/ServerMetadata", INFERENCE),
    ("/inference.GRPCInferenceService/ModelMetadata", INFERENCE),
    ("/inference.GRPCInferenceService/ModelInfer", INFERENCE),
    ("/inference.GRPCInferenceService/ModelStreamInfer", INFERENCE),
    ("/inference.GRPCInferenceService/ModelConfig", INFERENCE),
    ("/inference.GRPCInferenceService/ModelStatistics", INFERENCE),
    ("/inference.GRPCInferenceService/RepositoryIndex", INFERENCE),
    ("/inference.GRPCInferenceService/RepositoryModelLoad", CONTROL),
    ("/inference.GRPCInferenceService/RepositoryModelUnload", CONTROL),
    ("/inference.GRPCInferenceService/SystemSharedMemoryStatus", INFERENCE),
    ("/inference.GRPCInferenceService/SystemSharedMemoryRegister", CONTROL),
    ("/inference.GRPCInferenceService/SystemSharedMemoryUnregister", CONTROL),
    ("/grpc.health.v1.Health/Check", OPEN),
    ("/grpc.health.v1.Health/Watch", OPEN),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", INFERENCE),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", INFERENCE),
];

/// What it takes to call a gRPC method; `None` where there is no such method.
fn access(path: &str) -> Option<Access> {
    METHODS.iter().find(|(method, _)| *method == path).map(|(_, access)| *access)
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Refusal {
    /// The request has no bearer token.
    NoToken,
    /// The token is not in the file.
    UnknownToken,
    /// The token is not good for this.
    WrongScope(Scope),
    /// The file of tokens is missing, empty or wrong.
    NoTokensInForce,
    /// The gRPC method is not in the table.
    UnknownMethod,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoToken => {
                Self::unauthenticated("a token is needed: send the header `authorization: Bearer <token>`")
            }
            Refusal::UnknownToken => Self::unauthenticated("the token is not known"),
            Refusal::WrongScope(scope) => Self::permission_denied(format!("the token is not good for {scope}")),
            Refusal::NoTokensInForce => Self::unauthenticated(
                "the server's file of tokens is missing or has no correct line, so every token is refused; \
                 the server's log says more",
            ),
            Refusal::UnknownMethod => Self::unimplemented("the server has no such method"),
        }
    }
}

/// Checks tokens; logs and counts what is refused.
#[derive(Debug)]
pub struct Gate {
    tokens: Arc<Tokens>,
    refused: IntCounterVec,
    log: Limiter,
}

impl Gate {
    /// Registers the figures of refusals and of the file of tokens.
    ///
    /// # Errors
    /// They are registered already.
    pub fn new(tokens: Arc<Tokens>, registry: &Registry) -> Result<Self> {
        let opts = Opts::new(
            "uflow_requests_refused_total",
            "Requests refused before they were looked at, by reason: no_token, unknown_token, wrong_scope, \
             no_tokens_in_force or unknown_method.",
        );
        let refused = register(registry, IntCounterVec::new(opts, &["reason"]))?;
        tokens.register(registry)?;
        Ok(Self { tokens, refused, log: Limiter::default() })
    }

    /// Checks whether a request with these headers may be made. `what` names it in the log.
    ///
    /// # Errors
    /// UNAUTHENTICATED without a known token, PERMISSION_DENIED for one that is not good for it, UNIMPLEMENTED where there is no
    /// such method.
    pub fn check(
        &self,
        what: &str,
        access: Option<Access>,
        headers: &HeaderMap,
        origin: &Origin,
    ) -> Result<(), Status> {
        let checked = match access {
            Some(Access::Open) => return Ok(()),
            Some(Access::Needs(scope)) => self.tokens.check(authorization(headers), scope),
            None => Err(Refusal::UnknownMethod),
        };
        checked.map_err(|refusal| {
            let reason: &'static str = refusal.into();
            self.refused.with_label_values(&[reason]).inc();
            if let Some(left_out) = self.log.admit() {
                let what = shown(what);
                let client = origin.client().map(tracing::field::display);
                let request_id = origin.request_id();
                tracing::warn!(request = what, client, request_id, reason, left_out, "request refused");
            }
            refusal.into()
        })
    }

    /// Whether a request carries a token that is in the file, whatever it is good for.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        self.tokens.knows(authorization(headers))
    }
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

/// Before every gRPC call: notes where the call comes from, and lets it through if its token is good for it. Without a gate
/// every call passes.
#[derive(Clone, Debug)]
pub struct Auth(Option<Arc<Gate>>);

impl Auth {
    /// Behind this gate.
    pub fn new(gate: Option<Arc<Gate>>) -> Self {
        Self(gate)
    }

    fn check<B>(&self, request: &Request<B>, origin: &Origin) -> Result<(), Status> {
        let path = request.uri().path();
        let access = access(path);
        if let Some(gate) = &self.0 {
            gate.check(path, access, request.headers(), origin)?;
        }
        if access == Some(CONTROL) {
            let client = origin.client().map(tracing::field::display);
            tracing::info!(method = path, client, request_id = origin.request_id(), "model control");
        }
        Ok(())
    }
}

impl<S> Layer<S> for Auth {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { auth: self.clone(), inner }
    }
}

/// A service behind [`Auth`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    auth: Auth,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let origin = Origin::of(request.headers(), request.extensions());
        let id = origin.header();
        let answer = match self.auth.check(&request, &origin) {
            Ok(()) => {
                request.extensions_mut().insert(origin);
                Ok(self.inner.call(request))
            }
            Err(status) => Err(status.into_http()),
        };
        Box::pin(async move {
            let mut response = match answer {
                Ok(call) => call.await?,
                Err(refused) => refused,
            };
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn the_table_has_every_method_of_every_service_and_no_other() {
        let sets = [
            crate::serve::proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut declared = BTreeSet::new();
        for file in sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file) {
            for service in &file.service {
                let names = service.method.iter().map(|method| method.name());
                declared.extend(names.map(|name| format!("/{}.{}/{name}", file.package(), service.name())));
            }
        }
        assert_eq!(declared, METHODS.iter().map(|(method, _)| (*method).to_owned()).collect());
        assert_eq!(declared.len(), METHODS.len(), "none is there twice");
    }

    #[test]
    fn model_control_is_a_scope_of_its_own_health_is_open_and_the_unknown_is_not() {
        let with = |wanted: Access| METHODS.iter().filter(move |(_, access)| *access == wanted).map(|(name, _)| *name);
        let changes = ["Load", "Unload", "Register", "Unregister"];
        assert!(with(CONTROL).all(|name| changes.iter().any(|change| name.contains(change))));
        assert_eq!(with(CONTROL).count(), 6);
        assert!(with(OPEN).all(|name| name.contains("Health") || name.contains("/Server")));
        for path in ["/anything/else", "/uflow.v1.ModelService/DeleteModel", "/uflow.v1.ModelService/ListModels/", ""] {
            assert_eq!(access(path), None, "{path}");
        }
    }

    #[test]
    fn scopes_read_as_they_are_written() {
        for scope in [Scope::Inference, Scope::Control, Scope::Metrics] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("root".parse::<Scope>().is_err());
    }

    #[test]
    fn refusals_are_counted_by_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let registry = Registry::new();
        let gate = Gate::new(Arc::new(Tokens::load(file.path()).unwrap()), &registry).unwrap();
        let check = |access, authorization: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(authorization.map(|value| (AUTHORIZATION, value.parse().unwrap())));
            let origin = Origin::of(&headers, &Default::default());
            gate.check("/x", access, &headers, &origin).map_err(|status| status.code())
        };
        use tonic::Code;
        let known = Some("Bearer 0123456789abcdef");
        assert_eq!(check(Some(INFERENCE), known), Ok(()));
        assert_eq!(check(Some(OPEN), None), Ok(()));
        assert_eq!(check(Some(INFERENCE), None), Err(Code::Unauthenticated));
        assert_eq!(check(Some(INFERENCE), Some("Bearer 0123456789abcdee")), Err(Code::Unauthenticated));
        assert_eq!(check(Some(CONTROL), known), Err(Code::PermissionDenied));
        assert_eq!(check(None, known), Err(Code::Unimplemented));
        for reason in ["no_token", "unknown_token", "wrong_scope", "unknown_method"] {
            assert_eq!(gate.refused.with_label_values(&[reason]).get(), 1, "{reason}");
        }
    }
}
