//! Small backbones and flows as ONNX, with the values they must give computed here by plain loops.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use ndarray::{Array3, Array4, ArrayView4};
use prost::Message;
use uflow::{
    latents::ScaleShape,
    onnx::{AttributeProto, Dim, GraphBuilder, ModelProto, int, ints},
};

/// Numbers in [-0.5, 0.5) that are the same everywhere.
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

pub fn images(seed: u64, batch: usize, height: usize, width: usize) -> Array4<f32> {
    Array4::from_shape_vec((batch, 3, height, width), numbers(seed, batch * 3 * height * width)).unwrap()
}

/// A convolution's weights.
pub struct Conv {
    pub weight: Array4<f32>,
    pub bias: Vec<f32>,
    pub stride: usize,
}

impl Conv {
    pub fn new(seed: u64, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Self {
        let weight = numbers(seed, outputs * inputs * kernel * kernel);
        Self {
            weight: Array4::from_shape_vec((outputs, inputs, kernel, kernel), weight).unwrap(),
            bias: numbers(seed + 1, outputs),
            stride,
        }
    }

    pub fn node(&self, graph: &mut GraphBuilder, input: &str, output: &str) {
        let kernel = self.weight.dim().2 as i64;
        let weight = graph.floats(&format!("{output}.weight"), self.weight.shape(), self.weight.as_slice().unwrap());
        let bias = graph.floats(&format!("{output}.bias"), &[self.bias.len()], &self.bias);
        graph.node("Conv", &[input, &weight, &bias], output, conv_attributes(kernel, self.stride as i64));
    }

    /// The convolution by its definition, in f64.
    pub fn apply(&self, x: ArrayView4<'_, f32>) -> Array4<f32> {
        let (batch, channels, height, width) = x.dim();
        let (outputs, _, kernel, _) = self.weight.dim();
        let (pad, stride) = (kernel / 2, self.stride);
        let shape = (batch, outputs, height.div_ceil(stride), width.div_ceil(stride));
        Array4::from_shape_fn(shape, |(b, o, i, j)| {
            let mut sum = f64::from(self.bias[o]);
            for c in 0..channels {
                for u in 0..kernel {
                    for v in 0..kernel {
                        let (y, z) = (i * stride + u, j * stride + v);
                        if y >= pad && z >= pad && y - pad < height && z - pad < width {
                            sum += f64::from(self.weight[(o, c, u, v)]) * f64::from(x[(b, c, y - pad, z - pad)]);
                        }
                    }
                }
            }
            sum as f32
        })
    }
}

pub fn conv_attributes(kernel: i64, stride: i64) -> Vec<AttributeProto> {
    let pad = kernel / 2;
    vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[pad; 4])]
}

/// Two scales: `fine` (4 channels, stride 2) and `coarse` (6 channels, stride 4).
pub struct TinyBackbone {
    pub fine: Conv,
    pub coarse: Conv,
}

pub const META: &str = r#"{"name": "tiny", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "input_size": [12, 20],
    "outputs": ["fine", "coarse"], "strides": [2, 4], "trained_on": "nothing", "licence": "none"}"#;

impl TinyBackbone {
    pub fn new(seed: u64) -> Self {
        Self { fine: Conv::new(seed, 3, 4, 3, 2), coarse: Conv::new(seed + 10, 4, 6, 3, 2) }
    }

    pub fn model(&self, meta: &str, height: Dim<'_>, width: Dim<'_>) -> ModelProto {
        let mut graph = GraphBuilder::new("tiny");
        graph.input("image", &[Dim::Named("batch"), Dim::Fixed(3), height, width]);
        self.fine.node(&mut graph, "image", "fine");
        graph.node("Relu", &["fine"], "positive", vec![]);
        self.coarse.node(&mut graph, "positive", "coarse");
        graph.output("coarse", &[Dim::Named("batch"), Dim::Fixed(6), Dim::Named("h4"), Dim::Named("w4")]);
        graph.output("fine", &[Dim::Named("batch"), Dim::Fixed(4), Dim::Named("h2"), Dim::Named("w2")]);
        graph.finish(&[("uflow.backbone", meta)])
    }

    pub fn onnx(&self) -> Vec<u8> {
        self.model(META, Dim::Named("height"), Dim::Named("width")).encode_to_vec()
    }

    pub fn features(&self, images: ArrayView4<'_, f32>) -> Vec<Array4<f32>> {
        let fine = self.fine.apply(images);
        let coarse = self.coarse.apply(fine.mapv(|x| x.max(0.0)).view());
        vec![fine, coarse]
    }
}

/// Shapes of features and latents of [`TinyBackbone`] with [`TinyFlow`] for one size of image.
pub fn scales(height: usize, width: usize) -> Vec<(ScaleShape, ScaleShape)> {
    let shape = |channels, stride| ScaleShape {
        channels,
        height: usize::div_ceil(height, stride),
        width: usize::div_ceil(width, stride),
    };
    vec![(shape(4, 2), shape(5, 2)), (shape(6, 4), shape(3, 4))]
}

/// A 1×1 convolution a scale in the place of a flow: latents of 5 and 3 channels, and their energies.
pub struct TinyFlow {
    pub convs: [Conv; 2],
}

impl TinyFlow {
    pub fn new(seed: u64) -> Self {
        Self { convs: [Conv::new(seed, 4, 5, 1, 1), Conv::new(seed + 20, 6, 3, 1, 1)] }
    }

    pub fn model(&self, scales: &[(ScaleShape, ScaleShape)]) -> ModelProto {
        let mut graph = GraphBuilder::new("flow");
        let dims = |shape: &ScaleShape| {
            [Dim::Named("batch"), Dim::Fixed(shape.channels), Dim::Fixed(shape.height), Dim::Fixed(shape.width)]
        };
        let axes = graph.integers("axes", &[1], &[1]);
        for (scale, (features, latents)) in scales.iter().enumerate() {
            let (feature, latent, energy) =
                (format!("feature{scale}"), format!("latent{scale}"), format!("energy{scale}"));
            graph.input(&feature, &dims(features));
            self.convs[scale].node(&mut graph, &feature, &latent);
            let square = graph.node("Mul", &[&latent, &latent], &format!("square{scale}"), vec![]);
            graph.node("ReduceSum", &[&square, &axes], &energy, vec![int("keepdims", 0)]);
            let [batch, _, height, width] = dims(latents);
            graph.output(&energy, &[batch, height, width]);
            graph.output(&latent, &dims(latents));
        }
        graph.finish(&[])
    }

    pub fn onnx(&self, scales: &[(ScaleShape, ScaleShape)]) -> Vec<u8> {
        self.model(scales).encode_to_vec()
    }

    pub fn latents(&self, features: &[Array4<f32>]) -> Vec<Array4<f32>> {
        self.convs.iter().zip(features).map(|(conv, map)| conv.apply(map.view())).collect()
    }
}

pub fn energies(latents: &[Array4<f32>]) -> Vec<Array3<f32>> {
    latents.iter().map(|z| z.mapv(|z| z * z).sum_axis(ndarray::Axis(1))).collect()
}

/// Largest difference, relative to the largest magnitude of `expected`.
pub fn difference<'a, D: ndarray::Dimension>(
    got: ndarray::ArrayView<'a, f32, D>,
    expected: ndarray::ArrayView<'a, f32, D>,
) -> f32 {
    assert_eq!(got.shape(), expected.shape());
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    got.iter().zip(expected).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs())) / largest
}

pub mod models;
