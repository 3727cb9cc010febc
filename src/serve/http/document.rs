//! The OpenAPI description: what the handlers' annotations do not say.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, Modify, OpenApi, ToSchema as _,
    openapi::{
        ContentBuilder, Header, Object, OneOfBuilder, OpenApi as Description, Ref, RefOr, Response, ResponseBuilder,
        Type,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{answer::DetectionBody, error::Error, oip::InferResponse, several::DetectionsBody};

/// The description without its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "U-Flow server, HTTP port",
        description = "For curl, small gateways and clients of the Open Inference Protocol. Streams of frames are served over \
                       gRPC on another port.",
        version = "1",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        contact(),
    ),
    tags(
        (name = "detection", description = "Images in, detections out."),
        (name = "health", description = "For orchestrators."),
        (name = "server", description = "About the server itself."),
        (name = "open inference protocol",
            description = "The Open Inference Protocol v2 over REST, with Triton's extensions: binary tensor data, model \
                           repository, model configuration, statistics, schedule policy, parameters."),
        (name = "shared memory",
            description = "Triton's extension for clients on the same host, where the server allows it."),
    ),
    components(schemas(DetectionBody, DetectionsBody, Error, InferResponse)),
    modifiers(&Bearer),
)]
pub(super) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut Description) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("Where the server is set up with tokens.".to_owned());
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Errors of every route that a token protects.
pub(super) struct TokenErrors;

/// Errors of routes that name a model.
pub(super) struct ModelErrors;

/// A detection, and its errors.
pub(super) struct DetectResponses;

/// Errors of routes with a small body.
pub(super) struct BodyErrors;

/// Errors of routes that load and unload models.
pub(super) struct ControlErrors;

/// Errors of routes for regions of shared memory.
pub(super) struct SharedMemoryErrors;

/// Tensors, and errors.
pub(super) struct InferResponses;

const TOKEN: [(u16, &str); 2] =
    [(401, "The request has no token, or one that is not known."), (403, "The token does not allow this.")];

const MODEL: [(u16, &str); 3] = [
    (400, "The path is wrong."),
    (404, "There is no model of that name or version."),
    (503, "The model does not take frames, or the server is stopping; the message says why."),
];

const BODY: [(u16, &str); 5] = [
    (400, "The request is wrong: its body or a parameter."),
    (413, "The body is larger than allowed."),
    (429, "As many bodies as allowed are being received."),
    (500, "An error of the server."),
    (504, "The body did not arrive in time."),
];

const CONTROL: [(u16, &str); 2] =
    [(404, "There is no model of that name."), (503, "The model could not be loaded, or the server is stopping.")];

const SHARED: [(u16, &str); 2] =
    [(404, "There is no region of that name."), (409, "A region of that name is registered.")];

const DETECT: [(u16, &str); 7] = [
    (400, "The request is wrong: a parameter, the body, or the two together."),
    (404, "There is no model of that name or version."),
    (413, "The body, or the image in it, is larger than allowed."),
    (429, "As many frames as allowed are being worked on, or received."),
    (500, "The image could not be looked at: an error of the server or of the model."),
    (503, "The model is being loaded or unloaded, or could not be loaded; or the server is stopping."),
    (504, "Not done within the time limit, or the body did not arrive in time."),
];

impl IntoResponses for TokenErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&TOKEN)
    }
}

impl IntoResponses for ModelErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&[TOKEN.as_slice(), &MODEL].concat())
    }
}

impl IntoResponses for BodyErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&[TOKEN.as_slice(), &BODY].concat())
    }
}

impl IntoResponses for ControlErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&[TOKEN.as_slice(), &BODY, &CONTROL].concat())
    }
}

impl IntoResponses for SharedMemoryErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&[TOKEN.as_slice(), &BODY, &SHARED].concat())
    }
}

impl IntoResponses for InferResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let json = ContentBuilder::new().schema(Some(Ref::from_schema_name(InferResponse::name()))).build();
        let head = Header::new(Object::with_type(Type::Integer));
        let binary = ContentBuilder::new().schema(Some(Object::with_type(Type::String))).build();
        let found = ResponseBuilder::new()
            .description("The tensors: JSON, or JSON and binary data where some were asked for so.")
            .content("application/json", json)
            .content("application/octet-stream", binary)
            .header("Inference-Header-Content-Length", head)
            .build();
        let mut all = responses(&[TOKEN.as_slice(), &DETECT].concat());
        all.insert("200".to_owned(), RefOr::T(found));
        all
    }
}

impl IntoResponses for DetectResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let either = OneOfBuilder::new()
            .item(Ref::from_schema_name(DetectionBody::name()))
            .item(Ref::from_schema_name(DetectionsBody::name()));
        let found = ContentBuilder::new().schema(Some(either)).build();
        let picture = ContentBuilder::new().schema(Some(Object::with_type(Type::String))).build();
        let mut found = ResponseBuilder::new()
            .description("What was found, in one image or in several; or the image with its regions outlined.")
            .content("application/json", found)
            .content("image/png", picture);
        for name in ["uflow-anomalous", "uflow-score", "uflow-regions", "uflow-p-value"] {
            found = found.header(name, Header::default());
        }
        let found = found.build();
        let mut all = responses(&[TOKEN.as_slice(), &DETECT].concat());
        all.insert("200".to_owned(), RefOr::T(found));
        all
    }
}

fn responses(errors: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let response = |&(status, description): &(u16, &str)| {
        let error = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
        let response = ResponseBuilder::new().description(description).content("application/json", error);
        let response = match status {
            401 => response.header("WWW-Authenticate", Header::default()),
            429 | 503 => response.header("Retry-After", Header::new(Object::with_type(Type::Integer))),
            _ => response,
        };
        (status.to_string(), RefOr::T(response.build()))
    };
    errors.iter().map(response).collect()
}
