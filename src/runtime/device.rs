//! The device and the precision of a network. The command, gRPC and C use the same device string.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray, VariantNames};

use crate::{Error, Reason, Result, choice::choice};

/// A device: `cpu`, `openvino`, `cuda[:n]` or `tensorrt[:n]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// ONNX Runtime's own CPU kernels.
    #[default]
    Cpu,
    /// Intel OpenVINO on the CPU.
    OpenVino,
    /// NVIDIA CUDA on the GPU of this index.
    Cuda(u32),
    /// NVIDIA TensorRT on the GPU of this index, with CUDA for the nodes that TensorRT does not support.
    TensorRt(u32),
}

impl Device {
    /// Refuses a precision that the device does not support, with the reason.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn check(self, precision: Precision) -> Result<()> {
        use Device::{Cpu, Cuda, OpenVino, TensorRt};
        let reason = match (self, precision) {
            (_, Precision::Fp32) | (OpenVino, Precision::Bf16) | (TensorRt(_), Precision::Bf16 | Precision::Fp16) => {
                None
            }
            (_, Precision::Int8) => Some("int8 needs a quantised network, and packages do not contain one"),
            (Cpu, _) => Some("ONNX Runtime's CPU kernels compute in fp32; `openvino` has bf16"),
            (OpenVino, _) => Some("OpenVINO computes in fp32 or bf16 on a CPU"),
            (Cuda(_), _) => {
                Some("CUDA kernels compute in the network's own precision, fp32; `tensorrt` has fp16 and bf16")
            }
        };
        match reason {
            None => Ok(()),
            Some(reason) => Err(self.refuses(format!("has no precision {precision}: {reason}"))),
        }
    }

    pub(crate) fn refuses(self, reason: impl Into<Reason>) -> Error {
        Error::device(self.to_string(), reason)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::OpenVino => f.write_str("openvino"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::TensorRt(0) => f.write_str("tensorrt"),
            Self::TensorRt(index) => write!(f, "tensorrt:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, index) = match text.split_once(':') {
            None => (text, None),
            Some((kind, index)) => (kind, Some(index)),
        };
        let wrong = |reason: String| Error::parameter("device", reason);
        let index = index
            .map(|digits| {
                let plain = !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = if plain { digits.parse::<u32>().ok() } else { None };
                number.ok_or_else(|| wrong(format!("`{text}`: `{digits}` is not the index of a GPU")))
            })
            .transpose()?;
        match (kind, index) {
            ("cpu", None) => Ok(Self::Cpu),
            ("openvino", None) => Ok(Self::OpenVino),
            ("cpu" | "openvino", Some(_)) => Err(wrong(format!("`{text}`: `{kind}` has no index"))),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("tensorrt", index) => Ok(Self::TensorRt(index.unwrap_or(0))),
            _ => Err(wrong(format!("`{text}` is not one of cpu, openvino, cuda[:n], tensorrt[:n]"))),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// Precision of a network's arithmetic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Display, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point; the reference.
    #[default]
    Fp32,
    /// bfloat16, sums in fp32.
    Bf16,
    /// IEEE half precision.
    Fp16,
    /// 8-bit integers.
    Int8,
}

impl Precision {
    /// Every precision, most precise first.
    pub const ALL: [Self; 4] = [Self::Fp32, Self::Bf16, Self::Fp16, Self::Int8];
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        choice("precision", text)
    }
}

/// Options for running a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionOptions {
    /// The device.
    pub device: Device,
    /// The precision.
    pub precision: Precision,
    /// Threads within one operation on the CPU. `None` uses all processors that this process may use, in one pool that
    /// every network shares.
    pub threads: Option<usize>,
}

impl SessionOptions {
    /// Largest accepted number of threads.
    pub const MAX_THREADS: usize = 1024;

    pub(crate) fn check(&self) -> Result<()> {
        if let Some(threads) = self.threads.filter(|threads| !(1..=Self::MAX_THREADS).contains(threads)) {
            return Err(Error::parameter("threads", format!("{threads} is not 1 to {}", Self::MAX_THREADS)));
        }
        self.device.check(self.precision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_round_trip_through_text_and_json() {
        let devices = [
            Device::Cpu,
            Device::OpenVino,
            Device::Cuda(0),
            Device::Cuda(3),
            Device::TensorRt(0),
            Device::TensorRt(12),
        ];
        for device in devices {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
            let json = serde_json::to_string(&device).unwrap();
            assert_eq!(json, format!("\"{device}\""));
            assert_eq!(serde_json::from_str::<Device>(&json).unwrap(), device);
        }
        assert_eq!("cuda:0".parse::<Device>().unwrap(), Device::Cuda(0));
    }

    #[test]
    fn other_device_strings_are_refused() {
        for text in [
            "",
            "CPU",
            "gpu",
            "cpu:0",
            "openvino:1",
            "cuda:",
            "cuda:x",
            "cuda:-1",
            "cuda:+1",
            "cuda:1:2",
            "cuda:99999",
            "tensorrt: 1",
        ] {
            let error = text.parse::<Device>().unwrap_err().to_string();
            assert!(error.starts_with("device: `") && error.contains(text), "{error}");
            assert!(serde_json::from_str::<Device>(&format!("\"{text}\"")).is_err());
        }
    }

    #[test]
    fn precisions_round_trip() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
            assert_eq!(serde_json::to_string(&precision).unwrap(), format!("\"{precision}\""));
        }
        assert!("FP32".parse::<Precision>().is_err());
        assert!("tf32".parse::<Precision>().is_err());
    }

    #[test]
    fn only_precisions_that_a_device_has_are_accepted() {
        use Precision::{Bf16, Fp16, Fp32, Int8};
        let accepted: [(Device, &[Precision]); 4] = [
            (Device::Cpu, &[Fp32]),
            (Device::OpenVino, &[Fp32, Bf16]),
            (Device::Cuda(1), &[Fp32]),
            (Device::TensorRt(1), &[Fp32, Bf16, Fp16]),
        ];
        for (device, has) in accepted {
            for precision in Precision::ALL {
                match device.check(precision) {
                    Ok(()) => assert!(has.contains(&precision), "{device} {precision}"),
                    Err(error) => {
                        assert!(!has.contains(&precision), "{device} {precision}");
                        let text = error.to_string();
                        assert!(
                            text.starts_with(&format!("device `{device}`: has no precision {precision}: ")),
                            "{text}"
                        );
                    }
                }
            }
        }
        assert!(Device::Cpu.check(Int8).unwrap_err().to_string().contains("quantised"));
    }

    #[test]
    fn thread_counts_are_bounded() {
        let with = |threads| SessionOptions { threads, ..SessionOptions::default() }.check();
        assert!(with(None).is_ok() && with(Some(1)).is_ok() && with(Some(1024)).is_ok());
        assert!(with(Some(0)).is_err() && with(Some(1025)).is_err());
    }
}
