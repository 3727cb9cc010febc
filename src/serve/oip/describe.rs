//! Metadata and configuration of the server and its models.

use std::collections::HashMap;

use super::{
    Oip,
    input::{ENCODED_IMAGE, IMAGE},
    output::Output,
    roi::ROI,
};
use crate::{
    engine::Model,
    runtime::Device,
    serve::{
        proto::inference::{
            DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelInstanceGroup, ModelMetadataResponse,
            ModelOutput, ModelParameter, ModelTransactionPolicy, ModelVersionPolicy, ServerMetadataResponse,
            model_config::SchedulingChoice,
            model_input::Format,
            model_instance_group::Kind,
            model_metadata_response::TensorMetadata,
            model_version_policy::{All, Latest, PolicyChoice},
            repository_index_response::ModelIndex,
        },
        registry::{ModelState, Status, Versions},
    },
};

/// Name of the server, and of the framework of its models.
const NAME: &str = "uflow";

/// Triton's names of the supported extensions. The model repository can always be listed; it can be changed where the server
/// allows that.
const EXTENSIONS: [&str; 6] =
    ["binary_tensor_data", "model_configuration", "model_repository", "parameters", "schedule_policy", "statistics"];
/// The one that the server has where it is allowed to.
const SHARED_MEMORY: &str = "system_shared_memory";

/// A model's tensors, with the batch axis. `versions` are the versions of the model that take frames.
pub(super) fn metadata(model: &Model, versions: Vec<u32>) -> ModelMetadataResponse {
    let tensor = |name: &str, datatype: &str, dims: Vec<i64>| TensorMetadata {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: std::iter::once(-1).chain(dims).collect(),
    };
    ModelMetadataResponse {
        name: model.name().to_owned(),
        versions: versions.iter().map(u32::to_string).collect(),
        platform: NAME.to_owned(),
        inputs: vec![tensor(IMAGE, "UINT8", vec![-1; 3])],
        outputs: (Output::DECLARED.iter())
            .map(|output| tensor(&output.name(), output.datatype().0, output.dims(model)))
            .collect(),
    }
}

/// An entry of the repository in the protocol's words.
pub(super) fn index(status: Status) -> ModelIndex {
    let state = match status.state {
        ModelState::Loading => "LOADING",
        ModelState::Ready => "READY",
        ModelState::Unloading => "UNLOADING",
        ModelState::Failed => "UNAVAILABLE",
        // Empty means that it was never loaded.
        ModelState::Available if status.reason.is_empty() => "",
        ModelState::Available => "UNAVAILABLE",
    };
    ModelIndex {
        name: status.name,
        version: status.version.to_string(),
        state: state.to_owned(),
        reason: status.reason,
    }
}

impl Oip {
    /// The server.
    pub(super) fn server(&self) -> ServerMetadataResponse {
        let shared_memory = Some(SHARED_MEMORY).filter(|_| self.shared.is_allowed());
        ServerMetadataResponse {
            name: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.into_iter().chain(shared_memory).map(str::to_owned).collect(),
        }
    }

    /// The configuration of a model. Shapes are without the batch axis.
    pub(super) fn config(&self, model: &Model) -> ModelConfig {
        let options = self.app.engine().options();
        let image = ModelInput {
            name: IMAGE.to_owned(),
            data_type: DataType::TypeUint8.into(),
            format: Format::Nhwc.into(),
            dims: vec![-1; 3],
            optional: false,
        };
        let output = |output: &Output| ModelOutput {
            name: output.name().into_owned(),
            data_type: output.datatype().1.into(),
            dims: output.dims(model),
        };
        let batching = ModelDynamicBatching {
            preferred_batch_size: vec![options.max_batch as i32],
            max_queue_delay_microseconds: options.max_delay.as_micros() as u64,
            preserve_ordering: false,
            priority_levels: 2,
            default_priority_level: 2,
        };
        let policy_choice = match self.app.registry().versions() {
            Versions::All => PolicyChoice::All(All {}),
            Versions::Latest(count) => PolicyChoice::Latest(Latest { num_versions: count as u32 }),
        };
        ModelConfig {
            name: model.name().to_owned(),
            platform: NAME.to_owned(),
            backend: NAME.to_owned(),
            version_policy: Some(ModelVersionPolicy { policy_choice: Some(policy_choice) }),
            max_batch_size: i32::try_from(self.most_images()).unwrap_or(i32::MAX),
            input: vec![image],
            output: Output::DECLARED.iter().map(output).collect(),
            instance_group: vec![instance(options.session.device)],
            parameters: alternatives(model),
            model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
            scheduling_choice: Some(SchedulingChoice::DynamicBatching(batching)),
        }
    }
}

/// What is accepted and given beyond the declared tensors.
fn alternatives(model: &Model) -> HashMap<String, ModelParameter> {
    let encoded = "BYTES [-1] or [-1, 1]: PNG, JPEG, BMP, TIFF, WebP, GIF or PNM files in the place of `image`";
    let sixteen = "UINT16 [-1, -1, -1, -1]: pictures of 16 bits as `image`";
    let roi =
        "BYTES [1]: an image file, or UINT8 [-1, -1]: a region of interest beside `image`; black and 0 do not count";
    let inputs = [(ENCODED_IMAGE, encoded), ("image_uint16", sixteen), (ROI, roi)];
    let inputs = inputs.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
    let latents = (0..model.manifest().scales.len()).map(Output::Latents).map(|output| {
        let (name, shape) = (output.name().into_owned(), output.dims(model));
        let sizes: Vec<_> = std::iter::once(-1).chain(shape).map(|size| size.to_string()).collect();
        (name, format!("FP32 [{}]: an output, the latents of a scale", sizes.join(", ")))
    });
    inputs.chain(latents).map(|(name, string_value)| (name, ModelParameter { string_value })).collect()
}

fn instance(device: Device) -> ModelInstanceGroup {
    let (kind, gpus) = match device {
        Device::Cpu | Device::OpenVino => (Kind::Cpu, Vec::new()),
        Device::Cuda(gpu) | Device::TensorRt(gpu) => (Kind::Gpu, vec![gpu as i32]),
    };
    ModelInstanceGroup { name: device.to_string(), kind: kind.into(), count: 1, gpus }
}
