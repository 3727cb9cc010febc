//! Parameters of a request.

use std::{collections::HashMap, str::FromStr, time::Duration};

use crate::{
    Error, Result,
    engine::Priority,
    segment::DecisionOptions,
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
}

/// Those with this prefix are meant for this server, so one that is not known is a mistake; others may be for a proxy.
const OWN: &str = "uflow_";

/// Reads them.
///
/// # Errors
/// [`Error::Parameter`] for a value of the wrong type or outside its range.
pub(super) fn parse(parameters: &HashMap<String, InferParameter>) -> Result<Parameters> {
    if let Some(name) = parameters.keys().filter(|name| name.starts_with(OWN)).min() {
        let reason = format!(
            "there is none of the name `{}`; there are epsilon, verdict, score_threshold, min_area, bound, tests, priority and \
             timeout",
            shown(name)
        );
        return Err(Error::parameter("parameters", reason));
    }
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
        score_threshold: get("score_threshold").map(|parameter| parameter.number()).transpose()?.map(|x| x as f32),
        min_area: min_area.transpose()?,
        bound: get("bound").map(|parameter| parameter.word()).transpose()?,
        tests: get("tests").map(|parameter| parameter.word()).transpose()?,
        roi: None,
    };
    options.check()?;
    let priority = match get("priority").map(|parameter| parameter.integer()).transpose()? {
        Some(1) => Priority::High,
        _ => Priority::Normal,
    };
    // Clients write 0 for none.
    let timeout = get("timeout").map(|parameter| parameter.integer()).transpose()?.filter(|&timeout| timeout > 0);
    Ok(Parameters { options, priority, timeout: timeout.map(Duration::from_micros) })
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
