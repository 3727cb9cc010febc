//! Parameters of a request, and of its tensors. A name that is not known is refused: a client that misspells `epsilon` must not
//! get an answer for another ε.

use std::{collections::HashMap, str::FromStr, time::Duration};

use crate::{
    Error, Result,
    engine::Priority,
    frame::check_significant_bits,
    segment::{DecisionOptions, parse_rate},
    serve::{
        proto::inference::{InferParameter, infer_parameter::ParameterChoice},
        shown::shown,
    },
};

/// What the parameters of a request say.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) options: DecisionOptions,
    pub(super) priority: Priority,
    pub(super) timeout: Option<Duration>,
    /// Whether the client wants to be told which answer is a request's last.
    pub(super) tell_final: bool,
    /// Significant bits of 16-bit samples, where they differ from the package.
    pub(super) significant_bits: Option<u8>,
}

/// Parameters that mean something here.
const KNOWN: [&str; 11] = [
    "epsilon",
    "reject_rate",
    "verdict",
    "score_threshold",
    "min_area",
    "bound",
    "tests",
    "significant_bits",
    "priority",
    "timeout",
    TELL_FINAL,
];
const TELL_FINAL: &str = "triton_enable_empty_final_response";
/// Parameters that stock clients send and that change nothing here: models keep no state between requests, and over gRPC
/// all data is binary.
const WITHOUT_EFFECT: [&str; 4] = ["sequence_id", "sequence_start", "sequence_end", "binary_data_output"];

/// Refuses parameters with a name that is in neither list. `of` says what the parameters belong to.
///
/// # Errors
/// [`Error::Parameter`] that names the parameter.
pub(super) fn only(
    field: &'static str,
    of: &str,
    parameters: &HashMap<String, InferParameter>,
    known: &[&str],
    without_effect: &[&str],
) -> Result<()> {
    let is_known = |name: &str| known.contains(&name) || without_effect.contains(&name);
    let Some(name) = parameters.keys().filter(|name| !is_known(name)).min() else { return Ok(()) };
    let has = if known.is_empty() { "has no parameters".to_owned() } else { format!("has {}", known.join(", ")) };
    Err(Error::parameter(field, format!("there is no parameter `{}`; {of} {has}", shown(name))))
}

/// Reads them.
///
/// # Errors
/// [`Error::Parameter`] for a value of the wrong type or outside its range.
pub(super) fn parse(parameters: &HashMap<String, InferParameter>) -> Result<Parameters> {
    only("parameters", "a request", parameters, &KNOWN, &WITHOUT_EFFECT)?;
    let get = |name: &'static str| {
        let choice = parameters.get(name)?.parameter_choice.as_ref();
        Some(Parameter { name, choice })
    };
    let min_area = get("min_area").map(|parameter| {
        let area = parameter.integer()?;
        u32::try_from(area).map_err(|_| Error::parameter("min_area", format!("{area} is not 0 to {}", u32::MAX)))
    });
    let options = DecisionOptions {
        epsilon: get("epsilon").map(|parameter| parameter.number()).transpose()?,
        verdict: get("verdict").map(|parameter| parameter.word()).transpose()?,
        reject_rate: get("reject_rate").map(|parameter| parameter.share()).transpose()?,
        score_threshold: get("score_threshold").map(|parameter| parameter.number()).transpose()?.map(|x| x as f32),
        min_area: min_area.transpose()?,
        bound: get("bound").map(|parameter| parameter.word()).transpose()?,
        tests: get("tests").map(|parameter| parameter.word()).transpose()?,
        roi: None,
    };
    options.check()?;
    let significant_bits = get("significant_bits").map(|parameter| {
        let bits = parameter.integer()?;
        check_significant_bits(u8::try_from(bits).unwrap_or(u8::MAX))
    });
    let significant_bits = significant_bits.transpose()?;
    let priority = match get("priority").map(|parameter| parameter.integer()).transpose()? {
        Some(1) => Priority::High,
        _ => Priority::Normal,
    };
    // Clients send 0 for no time limit.
    let timeout = get("timeout").map(|parameter| parameter.integer()).transpose()?.filter(|&timeout| timeout > 0);
    let tell_final = get(TELL_FINAL).map(|parameter| parameter.boolean()).transpose()?;
    let timeout = timeout.map(Duration::from_micros);
    Ok(Parameters { options, priority, timeout, tell_final: tell_final.unwrap_or(false), significant_bits })
}

/// Whether a request that may be wrong asks for `triton_final_response`.
pub(super) fn tells_final(parameters: &HashMap<String, InferParameter>) -> bool {
    let asked = parameters.get(TELL_FINAL).and_then(|parameter| parameter.parameter_choice.as_ref());
    asked == Some(&ParameterChoice::BoolParam(true))
}

/// No word that a parameter takes is longer.
const LONGEST_WORD: usize = 32;

struct Parameter<'a> {
    name: &'static str,
    choice: Option<&'a ParameterChoice>,
}

impl Parameter<'_> {
    fn wrong(&self, allowed: &str) -> Error {
        let found = match self.choice {
            None => "not set".to_owned(),
            Some(ParameterChoice::BoolParam(value)) => format!("the boolean {value}"),
            Some(ParameterChoice::Int64Param(value)) => format!("the integer {value}"),
            Some(ParameterChoice::Uint64Param(value)) => format!("the integer {value}"),
            Some(ParameterChoice::DoubleParam(value)) => format!("the number {value}"),
            Some(ParameterChoice::StringParam(value)) => format!("the text `{}`", shown(value)),
        };
        Error::parameter(self.name, format!("it is {found}; {allowed}"))
    }

    fn boolean(&self) -> Result<bool> {
        match self.choice {
            Some(ParameterChoice::BoolParam(value)) => Ok(*value),
            _ => Err(self.wrong("give true or false, as bool_param")),
        }
    }

    fn number(&self) -> Result<f64> {
        let value = match self.choice {
            Some(ParameterChoice::DoubleParam(value)) => Some(*value),
            Some(ParameterChoice::Int64Param(value)) => Some(*value as f64),
            Some(ParameterChoice::Uint64Param(value)) => Some(*value as f64),
            Some(ParameterChoice::StringParam(value)) => value.parse().ok(),
            _ => None,
        };
        value.ok_or_else(|| self.wrong("give a number, as double_param, int64_param or a text of one"))
    }

    /// A number, or a text of a share such as `1%`.
    fn share(&self) -> Result<f64> {
        match self.choice {
            Some(ParameterChoice::StringParam(value)) if value.len() <= LONGEST_WORD => parse_rate(value),
            _ => self.number(),
        }
    }

    fn integer(&self) -> Result<u64> {
        let value = match self.choice {
            Some(ParameterChoice::Int64Param(value)) => u64::try_from(*value).ok(),
            Some(ParameterChoice::Uint64Param(value)) => Some(*value),
            Some(ParameterChoice::StringParam(value)) => value.parse().ok(),
            _ => None,
        };
        value.ok_or_else(|| self.wrong("give an integer from 0, as int64_param, uint64_param or a text of one"))
    }

    fn word<T: FromStr<Err = Error>>(&self) -> Result<T> {
        match self.choice {
            Some(ParameterChoice::StringParam(value)) if value.len() <= LONGEST_WORD => value.parse(),
            _ => Err(self.wrong("give one of its names, as string_param")),
        }
    }
}
