//! Option values with names: parsed by their type, and offered by help and shell completions.

use std::{ffi::OsStr, marker::PhantomData, str::FromStr};

use clap::{
    Arg, Command,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser, ValueParserFactory},
};
use strum::VariantNames as _;

use crate::{
    Error,
    flow::NormalisationKind,
    frame::RawFormat,
    limits::DefectKind,
    runtime::{Device, Precision},
    segment::{Bound, TestCount, Verdict},
    train::fit::Augmentation,
};
#[cfg(feature = "serve")]
use crate::{
    choice::choice,
    serve::config::{LogFormat, ModelControl, Overload},
};

pub(crate) const AUGMENTATIONS: Choices<Augmentation> = Choices::new(Augmentation::VARIANTS);
pub(crate) const BOUNDS: Choices<Bound> = Choices::new(Bound::VARIANTS);
pub(crate) const DEFECTS: Choices<DefectKind> = Choices::new(DefectKind::VARIANTS);
pub(crate) const DEVICES: Choices<Device> = Choices::new(&["cpu", "openvino", "cuda", "tensorrt"]);
pub(crate) const FORMATS: Choices<RawFormat> = Choices::new(RawFormat::VARIANTS);
pub(crate) const NORMALISATIONS: Choices<NormalisationKind> = Choices::new(NormalisationKind::VARIANTS);
pub(crate) const PRECISIONS: Choices<Precision> = Choices::new(Precision::VARIANTS);
pub(crate) const TESTS: Choices<TestCount> = Choices::new(TestCount::VARIANTS);
pub(crate) const VERDICTS: Choices<Verdict> = Choices::new(Verdict::VARIANTS);

/// Parses a value with [`FromStr`]. Help and completions list `names`. Other values that the type accepts, such as `cuda:1`, are
/// valid too.
pub(crate) struct Choices<T> {
    pub(super) names: &'static [&'static str],
    parsed: PhantomData<fn() -> T>,
}

impl<T> Choices<T> {
    pub(crate) const fn new(names: &'static [&'static str]) -> Self {
        Self { names, parsed: PhantomData }
    }
}

impl<T> Clone for Choices<T> {
    fn clone(&self) -> Self {
        Self::new(self.names)
    }
}

impl<T: FromStr<Err = Error> + Clone + Send + Sync + 'static> TypedValueParser for Choices<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let parse = |text: &str| T::from_str(text);
        TypedValueParser::parse_ref(&parse, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(PossibleValue::new)))
    }
}

/// Parses the name of one of an enum's values. The values' documentation is their help.
#[cfg(feature = "serve")]
fn documented<T: strum::VariantArray + strum::VariantNames + strum::EnumMessage + Copy + Send + Sync>() -> ValueParser {
    let values =
        <T as strum::VariantNames>::VARIANTS.iter().zip(<T as strum::VariantArray>::VARIANTS).map(|(name, value)| {
            PossibleValue::new(*name).help(value.get_documentation().map(|text| text.trim_end_matches('.')))
        });
    ValueParser::new(PossibleValuesParser::new(values).try_map(|name| choice::<T>("value", &name)))
}

/// Gives types the parser that options of the type have where they name none.
macro_rules! parsers {
    ($($type:ty => $parser:expr;)*) => {
        $(
            impl ValueParserFactory for $type {
                type Parser = ValueParser;

                fn value_parser() -> ValueParser {
                    $parser
                }
            }
        )*
    };
}

parsers! {
    Device => ValueParser::new(DEVICES);
    Precision => ValueParser::new(PRECISIONS);
}

#[cfg(feature = "serve")]
parsers! {
    LogFormat => documented::<Self>();
    ModelControl => documented::<Self>();
    Overload => documented::<Self>();
}
