//! Who may call what: bearer tokens before every gRPC method.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    Status,
    body::Body,
    codegen::{
        BoxFuture,
        http::{Request, Response, header::AUTHORIZATION},
    },
};
use tower::{Layer, Service};

use super::tokens::Tokens;

/// What a request does, and a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Looking at frames, and at what models there are.
    Inference,
    /// Loading and unloading models.
    Control,
    /// Reading metrics.
    Metrics,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inference => "inference",
            Self::Control => "control",
            Self::Metrics => "metrics",
        })
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Inference, Self::Control, Self::Metrics].into_iter().find(|scope| scope.to_string() == text).ok_or(())
    }
}

/// What a gRPC method needs; health checks need nothing.
fn scope_of(path: &str) -> Option<Scope> {
    match path {
        "/uflow.v1.ModelService/LoadModel"
        | "/uflow.v1.ModelService/UnloadModel"
        | "/inference.GRPCInferenceService/RepositoryModelLoad"
        | "/inference.GRPCInferenceService/RepositoryModelUnload" => Some(Scope::Control),
        "/grpc.health.v1.Health/Check"
        | "/grpc.health.v1.Health/Watch"
        | "/inference.GRPCInferenceService/ServerLive"
        | "/inference.GRPCInferenceService/ServerReady" => None,
        _ => Some(Scope::Inference),
    }
}

/// Lets a call through that carries a token good for it; without tokens every one.
#[derive(Clone, Debug)]
pub struct Auth(Option<Arc<Tokens>>);

impl Auth {
    /// Checks against these tokens.
    pub fn new(tokens: Option<Arc<Tokens>>) -> Self {
        Self(tokens)
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Status> {
        let (Some(tokens), Some(scope)) = (&self.0, scope_of(request.uri().path())) else { return Ok(()) };
        tokens.check(request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()), scope)
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.auth.check(&request) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_control_is_a_scope_of_its_own_and_health_is_open() {
        assert_eq!(scope_of("/uflow.v1.ModelService/UnloadModel"), Some(Scope::Control));
        assert_eq!(scope_of("/inference.GRPCInferenceService/RepositoryModelLoad"), Some(Scope::Control));
        assert_eq!(scope_of("/grpc.health.v1.Health/Check"), None);
        assert_eq!(scope_of("/anything/else"), Some(Scope::Inference));
    }

    #[test]
    fn scopes_read_as_they_are_written() {
        for scope in [Scope::Inference, Scope::Control, Scope::Metrics] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("root".parse::<Scope>().is_err());
    }
}
