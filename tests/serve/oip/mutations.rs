//! Requests that are wrong in ways nobody thought of.

use std::sync::LazyLock;

use proptest::prelude::*;
use uflow::serve::proto::inference::grpc_inference_service_server::GrpcInferenceService;

use super::*;

struct Fixture {
    runtime: tokio::runtime::Runtime,
    app: Arc<App>,
    oip: Oip,
    _repo: Repo,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let repo = Repo::new(&["bolt"]);
    let app = runtime.block_on(repo.app(Control::Static, EngineOptions::default()));
    let oip = Oip::new(Arc::clone(&app), 8, WhenFull::Wait);
    Fixture { runtime, app, oip, _repo: repo }
});

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..5_i64, 1 => any::<i64>(), 1 => Just(1 << 31), 1 => Just(1 << 32), 1 => Just(i64::MAX)]
}

fn parameters() -> impl Strategy<Value = HashMap<String, InferParameter>> {
    let name = prop::sample::select(vec![
        "epsilon",
        "verdict",
        "score_threshold",
        "min_area",
        "bound",
        "tests",
        "priority",
        "timeout",
        "uflow_x",
        "other",
    ]);
    let choice = prop_oneof![
        any::<bool>().prop_map(Choice::BoolParam),
        number().prop_map(Choice::Int64Param),
        "[0-9a-z.-]{0,6}".prop_map(Choice::StringParam),
        any::<f64>().prop_map(Choice::DoubleParam),
        any::<u64>().prop_map(Choice::Uint64Param),
    ];
    let parameter = prop::option::of(choice).prop_map(|parameter_choice| InferParameter { parameter_choice });
    prop::collection::hash_map(name.prop_map(str::to_owned), parameter, 0..3)
}

fn contents() -> impl Strategy<Value = InferTensorContents> {
    let bytes = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20).prop_map(Into::into), 0..3);
    (prop::collection::vec(0..300_u32, 0..40), bytes, prop::collection::vec(any::<f32>(), 0..2)).prop_map(
        |(uint_contents, bytes_contents, fp32_contents)| InferTensorContents {
            uint_contents,
            bytes_contents,
            fp32_contents,
            ..Default::default()
        },
    )
}

fn input() -> impl Strategy<Value = InferInputTensor> {
    let name = prop::sample::select(vec!["image", "image", "encoded_image", "roi", "other"]);
    let datatype = prop::sample::select(vec!["UINT8", "UINT16", "BYTES", "FP32", ""]);
    let shape = prop::collection::vec(number(), 0..6);
    (name, datatype, shape, prop::option::of(contents()))
        .prop_map(|(name, datatype, shape, contents)| InferInputTensor { contents, ..tensor(name, datatype, &shape) })
}

#[derive(Clone, Debug)]
enum Mutation {
    Model(String, String),
    Inputs(Vec<InferInputTensor>),
    Shape(Vec<i64>),
    Datatype(&'static str),
    Contents(Option<InferTensorContents>),
    Raw(Vec<Vec<u8>>),
    Cut(usize),
    Byte(usize, u8),
    Outputs(Vec<&'static str>),
    Parameters(HashMap<String, InferParameter>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let outputs = prop::sample::subsequence(ALL.to_vec(), 0..7);
    let raw = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..3);
    prop_oneof![
        ("(bolt)?[a-z]{0,2}", "[0-9-]{0,3}").prop_map(|(name, version)| Mutation::Model(name, version)),
        prop::collection::vec(input(), 0..3).prop_map(Mutation::Inputs),
        prop::collection::vec(number(), 0..6).prop_map(Mutation::Shape),
        prop::sample::select(vec!["UINT8", "UINT16", "BYTES", "FP32"]).prop_map(Mutation::Datatype),
        prop::option::of(contents()).prop_map(Mutation::Contents),
        raw.prop_map(Mutation::Raw),
        (0..2000_usize).prop_map(Mutation::Cut),
        (0..2000_usize, any::<u8>()).prop_map(|(index, byte)| Mutation::Byte(index, byte)),
        outputs.prop_map(Mutation::Outputs),
        parameters().prop_map(Mutation::Parameters),
    ]
}

fn apply(mut request: ModelInferRequest, mutation: Mutation) -> ModelInferRequest {
    let raw = request.raw_input_contents.first().map(|raw| raw.to_vec()).unwrap_or_default();
    match mutation {
        Mutation::Model(name, version) => (request.model_name, request.model_version) = (name, version),
        Mutation::Inputs(inputs) => request.inputs = inputs,
        Mutation::Raw(raw) => request.raw_input_contents = raw.into_iter().map(Into::into).collect(),
        Mutation::Cut(length) if length < raw.len() => {
            request.raw_input_contents = vec![raw[..length].to_vec().into()];
        }
        Mutation::Byte(index, byte) if index < raw.len() => {
            let mut raw = raw;
            raw[index] = byte;
            request.raw_input_contents = vec![raw.into()];
        }
        Mutation::Cut(_) | Mutation::Byte(..) => {}
        Mutation::Outputs(outputs) => request = with(request, &outputs, &[]),
        Mutation::Parameters(parameters) => request.parameters = parameters,
        mutation => {
            if let Some(input) = request.inputs.first_mut() {
                match mutation {
                    Mutation::Shape(shape) => input.shape = shape,
                    Mutation::Datatype(datatype) => datatype.clone_into(&mut input.datatype),
                    Mutation::Contents(contents) => input.contents = contents,
                    _ => {}
                }
            }
        }
    }
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_sent_is_answered(
        encoded in any::<bool>(),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let valid = match encoded {
            true => request(tensor("image", "BYTES", &[2]), Some(prefixed(&[png(1, 8, 6), png(2, 8, 6)]))),
            false => small(),
        };
        let request = mutations.into_iter().fold(valid, apply);
        let answer = FIXTURE.runtime.block_on(async {
            let call = FIXTURE.oip.model_infer(tonic::Request::new(request));
            tokio::time::timeout(Duration::from_secs(60), call).await
        });
        if let Err(status) = answer.unwrap() {
            let known = [Code::InvalidArgument, Code::NotFound, Code::DeadlineExceeded];
            prop_assert!(known.contains(&status.code()), "{status}");
            prop_assert!(!status.message().is_empty());
        }
        prop_assert!(FIXTURE.app.engine().metrics().text().contains("\nuflow_panics_total 0\n"));
    }
}
