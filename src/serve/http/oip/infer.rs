//! `infer`: tensors in, tensors out, in JSON or with the binary tensor data extension.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use utoipa::ToSchema;

use super::{answer, json};
use crate::{
    Error, Result,
    serve::{
        app::{Protocol, WhenFull},
        http::{
            Server,
            body::{Encoding, beside, receive, refused},
            compress,
            document::InferResponses,
            error::Problem,
            target::{Model, Target, Version},
        },
        origin::Origin,
        proto::inference::ModelInferRequest,
    },
};

/// The length of the JSON in front of binary data.
const HEAD: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Tensors for a model.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `json` reads")]
pub(in crate::serve::http) struct InferRequest {
    /// Comes back with the answer.
    id: Option<String>,
    /// The model, where the body names it: that of the path.
    model_name: Option<String>,
    /// The version, where the body names it: that of the path.
    model_version: Option<String>,
    /// `epsilon`, `reject_rate`, `verdict`, `score_threshold`, `min_area`, `bound`, `tests`, `significant_bits`, `priority` (1 is
    /// high), `timeout` (microseconds), `binary_data_output`. Others are refused, except those of sequences, which have no effect.
    #[schema(value_type = Object)]
    parameters: (),
    /// `image` or `encoded_image`, and `roi` for a region of interest.
    inputs: Vec<InputTensor>,
    /// None means those that are small: `score`, `score_max`, `anomalous`, `log10_nfa_min`, `p_value` and `regions`.
    outputs: Option<Vec<RequestedOutput>>,
}

/// A tensor of a request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `json` reads")]
struct InputTensor {
    /// Name of the tensor.
    name: String,
    /// Its sizes, the number of images first.
    shape: Vec<i64>,
    /// `UINT8`, `UINT16` or `BYTES`.
    datatype: String,
    /// `binary_data_size`; or `shared_memory_region`, `shared_memory_offset` and `shared_memory_byte_size`; or `content_type`:
    /// `base64`, where `data` of BYTES is base64.
    #[schema(value_type = Object)]
    parameters: (),
    /// The elements, flat in row-major order or as lists within lists.
    #[schema(value_type = Vec<Object>)]
    data: (),
}

/// A tensor that is asked for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `json` reads")]
struct RequestedOutput {
    /// Name of the tensor.
    name: String,
    /// `binary_data`; or `shared_memory_region`, `shared_memory_offset` and `shared_memory_byte_size`.
    #[schema(value_type = Object)]
    parameters: (),
}

/// Run a model on tensors
///
/// The Open Inference Protocol with Triton's binary tensor data and system shared memory. docs/oip.md has the tensors and the
/// parameters.
#[utoipa::path(post, path = "/v2/models/{model}/infer", operation_id = "oipInfer", tag = "open inference protocol",
    params(Model, ("Inference-Header-Content-Length" = Option<u64>, Header,
        description = "Bytes of the JSON, where binary data follows it. 0: the body is one image file.")),
    request_body(
        description = "JSON, or JSON and the binary data of its inputs. May be compressed (`Content-Encoding: gzip` or `deflate`).",
        content((InferRequest = "application/json"), (Vec<u8> = "application/octet-stream")),
    ),
    responses(InferResponses),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn infer(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Response, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    let encoding = compress::wanted(request.headers());
    let prepared = prepare(&server, target, request).await;
    let count = |error: &Error| server.app.requests().begin(Protocol::Oip, origin.clone(), None).done(Some(error));
    let (request, binary) = prepared.inspect_err(count)?;
    let started = server.oip.start(request, (None, origin), WhenFull::Refuse).await?;
    let response = started.answer().await?;
    let most = server.app.largest_answer();
    let size: usize = response.raw_output_contents.iter().map(|raw| raw.len()).sum();
    let body = beside(size, move || answer::write(response, &binary, most)).await?;
    let kind = if body.head.is_some() { "application/octet-stream" } else { "application/json" };
    let mut response = compress::respond(encoding, kind, body.bytes).await?;
    response.headers_mut().extend(body.head.map(|head| (HEAD, HeaderValue::from(head))));
    Ok(response)
}

/// Run a version of a model on tensors
///
/// As without a version.
#[utoipa::path(post, path = "/v2/models/{model}/versions/{version}/infer", operation_id = "oipInferVersion",
    tag = "open inference protocol",
    params(Model, Version, ("Inference-Header-Content-Length" = Option<u64>, Header,
        description = "Bytes of the JSON, where binary data follows it. 0: the body is one image file.")),
    request_body(
        description = "JSON, or JSON and the binary data of its inputs. May be compressed (`Content-Encoding: gzip` or `deflate`).",
        content((InferRequest = "application/json"), (Vec<u8> = "application/octet-stream")),
    ),
    responses(InferResponses),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn infer_version(
    server: State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Response, Problem> {
    infer(server, target, request).await
}

async fn prepare(server: &Server, target: Target, request: Request) -> Result<(ModelInferRequest, json::Binary)> {
    server.app.registry().get(&target.model, target.version)?;
    let head = head(request.headers())?;
    let encoding = Encoding::of(request.headers())?;
    let body = receive(server, request, encoding, None).await?;
    beside(head.unwrap_or(body.len()), move || json::read(&body, head, &target)).await
}

/// The length of the JSON, where the request says it.
fn head(headers: &HeaderMap) -> Result<Option<usize>> {
    let Some(value) = headers.get(HEAD) else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| refused("Inference-Header-Content-Length", value, "give the bytes of the JSON"))
}
