//! A config from Hugging Face's `config.json`.

use super::scaling::{self, Llama3};
use super::{Config, RopeMode, derived_head_dim, size, unsupported_architecture};
use crate::Error;
use crate::json::Fields;
use serde_json::{Map, Value};

/// transformers' default of `rope_theta`.
const DEFAULT_ROPE_BASE: f32 = 10_000.0;
/// transformers' default of `rms_norm_eps`.
const DEFAULT_NORM_EPS: f32 = 1e-6;
/// Qwen2Config's default of `max_window_layers`.
const DEFAULT_WINDOW_LAYERS: usize = 28;

/// Reads and validates the config of a llama, mistral or qwen2 model; `has_output` says whether the weights hold an
/// output projection.
///
/// # Errors
/// If a key is missing, has the wrong type, or asks for something that we do not compute.
pub(crate) fn read(object: &Map<String, Value>, has_output: bool) -> Result<Config, Error> {
    let fields = Fields::new(object, "");
    let architecture = fields.require("model_type", fields.string("model_type")?)?;
    if !["llama", "mistral", "qwen2"].contains(&architecture) {
        return Err(unsupported_architecture("`model_type`", architecture));
    }
    if fields.get("quantization_config").is_some() {
        let cause = "quantised safetensors are not supported; use the original checkpoint, or a GGUF file";
        return Err(Error::invalid("`quantization_config`", cause));
    }
    if let Some(activation) = fields.string("hidden_act")?.filter(|name| *name != "silu") {
        return Err(Error::invalid("`hidden_act`", format!("activation `{activation}` is not supported; silu is")));
    }
    let count = |key: &str| -> Result<Option<usize>, Error> {
        fields.count(key)?.map(|value| size(&fields.place(key), value)).transpose()
    };
    let require = |key: &str| fields.require(key, count(key)?);

    let hidden = require("hidden_size")?;
    let heads = require("num_attention_heads")?;
    let head_dim = match count("head_dim")? {
        Some(head_dim) => head_dim,
        None => derived_head_dim(hidden, heads)?,
    };
    let layers = require("num_hidden_layers")?;
    let config = Config {
        architecture: architecture.to_owned(),
        name: fields.string("_name_or_path")?.filter(|name| !name.is_empty()).map(str::to_owned),
        layers,
        hidden,
        heads,
        kv_heads: count("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        ffn: require("intermediate_size")?,
        vocab: require("vocab_size")?,
        context: require("max_position_embeddings")?,
        norm_eps: fields.number("rms_norm_eps")?.unwrap_or(DEFAULT_NORM_EPS),
        rope_base: rope_base(&fields)?,
        rope_mode: RopeMode::Half,
        rope_divisors: None,
        window: window(&fields, architecture, layers)?,
        tied_embedding: !has_output || fields.flag("tie_word_embeddings")?.unwrap_or(false),
    }
    .validate()?;
    // After the check of the head dimension, which sizes them.
    let rope_divisors = rope_divisors(&fields, &config)?;
    Config { rope_divisors, ..config }.validate()
}

/// transformers 5 moved the rope's keys into `rope_parameters`.
fn rope_base(fields: &Fields) -> Result<f32, Error> {
    let base = match fields.object("rope_parameters")? {
        Some(parameters) => Fields::new(parameters, "rope_parameters.").number("rope_theta")?,
        None => None,
    };
    Ok(match base {
        Some(base) => base,
        None => fields.number("rope_theta")?.unwrap_or(DEFAULT_ROPE_BASE),
    })
}

fn rope_divisors(fields: &Fields, config: &Config) -> Result<Option<Vec<f32>>, Error> {
    let scaling = match (fields.object("rope_parameters")?, fields.object("rope_scaling")?) {
        (Some(parameters), _) => Fields::new(parameters, "rope_parameters."),
        (None, Some(parameters)) => Fields::new(parameters, "rope_scaling."),
        (None, None) => return Ok(None),
    };
    let number = |key: &str| scaling.require(key, scaling.number(key)?);
    // `type` is the older name of the key.
    let kind = scaling.string("rope_type")?.map_or_else(|| scaling.string("type"), |kind| Ok(Some(kind)))?;
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

fn window(fields: &Fields, architecture: &str, layers: usize) -> Result<Option<usize>, Error> {
    let Some(window) = fields.count("sliding_window")? else { return Ok(None) };
    let window = size(&fields.place("sliding_window"), window)?;
    match architecture {
        "mistral" => Ok(Some(window)),
        "qwen2" if fields.flag("use_sliding_window")?.unwrap_or(false) => {
            // Only the layers from here on slide.
            let first = match fields.count("max_window_layers")? {
                Some(first) => size(&fields.place("max_window_layers"), first)?,
                None => DEFAULT_WINDOW_LAYERS,
            };
            match first {
                0 => Ok(Some(window)),
                first if first >= layers => Ok(None),
                first => {
                    let cause =
                        format!("a sliding window from layer {first} of {layers} on is not supported; 0 or all are");
                    Err(Error::invalid(fields.place("max_window_layers"), cause))
                }
            }
        }
        _ => Ok(None),
    }
}
