//! RoPE's keys in `config.json`.

use crate::Error;
use crate::config::scaling::{self, Llama3};
use crate::json::Fields;
use kforge_models::{Arch, Config};

/// transformers' default of `rope_theta`.
const DEFAULT_BASE: f32 = 10_000.0;
/// The kinds of layers in `rope_parameters`.
const GLOBAL: &str = "full_attention";
const WINDOW: &str = "sliding_attention";

/// The keys of RoPE that transformers 5 moved into `rope_parameters`: those of the layers without a window, where the family
/// has others for layers with one.
fn parameters<'a>(fields: &Fields<'a>, arch: &Arch) -> Result<Option<Fields<'a>>, Error> {
    match fields.nested("rope_parameters")? {
        Some(all) if arch.window_rope_base.is_some() && all.peek(GLOBAL).is_some() => all.nested(GLOBAL),
        all => Ok(all),
    }
}

/// The base of the layers without a window.
pub fn base(fields: &Fields, arch: &Arch) -> Result<f32, Error> {
    if let Some(parameters) = parameters(fields, arch)?
        && let Some(base) = parameters.number("rope_theta")?
    {
        if let Some(value) = parameters.peek("rope_theta") {
            fields.repeats("rope_theta", value);
        }
        return Ok(base);
    }
    Ok(fields.number("rope_theta")?.unwrap_or(DEFAULT_BASE))
}

pub fn divisors(fields: &Fields, config: &Config) -> Result<Option<Vec<f32>>, Error> {
    let scaling = match (parameters(fields, config.arch)?, fields.nested("rope_scaling")?) {
        (Some(parameters), older) => {
            // Files that older versions should read too have both.
            for (older, key) in older.iter().flat_map(|older| older.keys().map(move |key| (older, key))) {
                if let Some(value) = parameters.peek(key) {
                    older.repeats(key, value);
                }
            }
            parameters
        }
        (None, Some(parameters)) => parameters,
        (None, None) => return Ok(None),
    };
    let number = |key: &str| scaling.require(key, scaling.number(key)?);
    // `type` is the older name of the key.
    let kind = match scaling.get("rope_type") {
        Some(kind) => {
            scaling.repeats("type", kind);
            scaling.string("rope_type")?
        }
        None => scaling.string("type")?,
    };
    match kind {
        None | Some("default") => Ok(None),
        Some("linear") => Ok(Some(scaling::linear(config.head_dim, number("factor")?))),
        Some("llama3") => {
            let parameters = Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_context: number("original_max_position_embeddings")?,
            };
            Ok(Some(scaling::llama3(config.head_dim, config.rope_base, &parameters)))
        }
        Some(other) => {
            let cause = format!("rope scaling `{other}` is not supported; linear and llama3 are");
            Err(Error::invalid(scaling.place("rope_type"), cause))
        }
    }
}

/// The base of the layers with a window, where the family has another for them.
pub fn window_base(fields: &Fields, arch: &Arch) -> Result<Option<f32>, Error> {
    let Some(default) = arch.window_rope_base else { return Ok(None) };
    if let Some(all) = fields.nested("rope_parameters")?
        && let Some(parameters) = all.nested(WINDOW)?
    {
        if let Some(kind) = parameters.string("rope_type")?.filter(|kind| *kind != "default") {
            let cause = format!("rope scaling `{kind}` in layers with a window is not supported; default is");
            return Err(Error::invalid(parameters.place("rope_type"), cause));
        }
        if let Some(base) = parameters.number("rope_theta")? {
            return Ok(Some(base));
        }
    }
    Ok(Some(fields.number("rope_local_base_freq")?.unwrap_or(default)))
}
