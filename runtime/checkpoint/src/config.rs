//! The configuration of a model, read from either format.

pub(crate) mod gguf;
pub(crate) mod hf;
pub(crate) mod scaling;
pub(crate) mod unread;

use crate::Error;
use kforge_models::Config;

/// A number of layers that is safe to allocate for, before the config is validated.
const MOST_LAYERS: usize = 1 << 12;

/// # Errors
/// Names the field and the rule that it breaks.
fn validated(model: Config) -> Result<Config, Error> {
    model.validate().map_err(config)
}

/// The head dimension derived from other sizes, if the file has none.
fn derived_head_dim(hidden: usize, heads: usize) -> Result<usize, Error> {
    match hidden.checked_rem(heads) {
        Some(0) => Ok(hidden / heads),
        _ => Err(config(format!("hidden size {hidden} is not a multiple of {heads} heads"))),
    }
}

fn config(cause: String) -> Error {
    Error::invalid("the model's config", cause)
}

/// `supported` lists the format's names.
fn unsupported_architecture(place: &str, found: &str, supported: &str) -> Error {
    let cause = format!("architecture `{found}` is not supported; {supported} are");
    Error::invalid(place, cause)
}

/// The layers whose numbers, counted from 1, are multiples of a period; none without one, or for 0.
pub(crate) fn every(period: Option<usize>, layers: usize) -> Vec<usize> {
    let Some(period) = period.filter(|period| *period > 0) else { return Vec::new() };
    (0..layers.min(MOST_LAYERS)).filter(|layer| (layer + 1).is_multiple_of(period)).collect()
}

/// # Errors
/// If it does not fit this machine's `usize`.
fn size(place: &str, value: u64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| Error::invalid(place, format!("the value {value} is out of range")))
}
