//! Enums whose values have names that users write.

use strum::{VariantArray, VariantNames};

use crate::{Error, Result};

/// Reads the name of one of an enum's values.
///
/// # Errors
/// [`Error::Parameter`] that lists all names.
pub(crate) fn choice<T: VariantArray + VariantNames + Copy>(parameter: &'static str, text: &str) -> Result<T> {
    let names = <T as VariantNames>::VARIANTS;
    let index = names.iter().position(|name| *name == text);
    let value = index.and_then(|index| <T as VariantArray>::VARIANTS.get(index));
    value.copied().ok_or_else(|| Error::parameter(parameter, format!("`{text}` is not one of {}", names.join(", "))))
}
