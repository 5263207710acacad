//! RoPE's keys in `config.json`.

use crate::Error;
use crate::config::scaling::{self, Llama3, Scaled, Yarn};
use crate::config::size;
use crate::json::Fields;
use kforge_models::{Arch, Config, LongRope};

/// transformers' default of `rope_theta`.
const DEFAULT_BASE: f32 = 10_000.0;
const ORIGINAL: &str = "original_max_position_embeddings";
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

/// What scales RoPE.
///
/// # Errors
/// If a key is missing or of the wrong type, or the scaling is of another kind.
pub fn scaling(fields: &Fields, config: &Config) -> Result<Scaled, Error> {
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
        (None, None) => return Ok(Scaled::default()),
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
    let dims = config.rotated();
    match kind {
        None | Some("default") => Ok(Scaled::default()),
        Some("linear") => Ok(Scaled::by(scaling::linear(dims, number("factor")?))),
        Some("llama3") => {
            let parameters = Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_context: number("original_max_position_embeddings")?,
            };
            Ok(Scaled::by(scaling::llama3(dims, config.rope_base, &parameters)))
        }
        Some("yarn") => {
            let factor = number("factor")?;
            let yarn = Yarn {
                factor,
                original_context: scaling.number(ORIGINAL)?.unwrap_or(config.context as f32),
                beta_fast: scaling.number("beta_fast")?.unwrap_or(32.0),
                beta_slow: scaling.number("beta_slow")?.unwrap_or(1.0),
            };
            let scale = scaling.number("attention_factor")?.unwrap_or_else(|| scaling::yarn_scale(factor));
            Ok(Scaled { scale, ..Scaled::by(scaling::yarn(dims, config.rope_base, &yarn)) })
        }
        Some("longrope") => {
            let factors = |key: &str| scaling.require(key, scaling.numbers(key)?);
            let (short, long) = (factors("short_factor")?, factors("long_factor")?);
            // Some configs have the key outside.
            let original = match scaling.count(ORIGINAL)? {
                Some(original) => {
                    scaling.peek(ORIGINAL).into_iter().for_each(|value| fields.repeats(ORIGINAL, value));
                    Some(original)
                }
                None => fields.count(ORIGINAL)?,
            };
            let above = size(&fields.place(ORIGINAL), fields.require(ORIGINAL, original)?)?;
            let factor = scaling.number("factor")?.unwrap_or(config.context as f32 / above as f32);
            let scale =
                scaling.number("attention_factor")?.unwrap_or_else(|| scaling::longrope_scale(factor, above as f32));
            Ok(Scaled { divisors: Some(short), long: Some(LongRope { above, divisors: long }), scale })
        }
        Some(other) => {
            let cause = format!("rope scaling `{other}` is not supported; linear, llama3, yarn and longrope are");
            Err(Error::invalid(scaling.place("rope_type"), cause))
        }
    }
}

/// How many elements of a head are rotated, where it is a part of them.
///
/// # Errors
/// If it is not a number.
pub fn rotated(fields: &Fields, arch: &Arch, head_dim: usize) -> Result<Option<usize>, Error> {
    const KEY: &str = "partial_rotary_factor";
    let inner = parameters(fields, arch)?;
    let factor = match &inner {
        Some(parameters) if parameters.peek(KEY).is_some() => {
            parameters.peek(KEY).into_iter().for_each(|value| fields.repeats(KEY, value));
            parameters.number(KEY)?
        }
        _ => fields.number(KEY)?,
    };
    Ok(factor.filter(|factor| *factor != 1.0).map(|factor| (head_dim as f32 * factor) as usize))
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
