//! A config from Hugging Face's `config.json`.

use super::scaling::{self, Llama3};
use super::unread::{self, Left, Unread};
use super::{derived_head_dim, size, unsupported_architecture, validated};
use crate::Error;
use crate::json::{Fields, shorten};
use kforge_models::{Arch, Biases, Config, ConfigBiases, ConfigWindow, RopeMode};
use serde_json::{Map, Value};

/// transformers' default of `rope_theta`.
const DEFAULT_ROPE_BASE: f32 = 10_000.0;
/// transformers' default of `rms_norm_eps`.
const DEFAULT_NORM_EPS: f32 = 1e-6;
/// transformers' default of `sliding_window` where a family has one: what a config without the key means.
const DEFAULT_WINDOW: usize = 4096;
/// transformers' default of `max_window_layers`.
const DEFAULT_WINDOW_LAYERS: usize = 28;

/// Reads and validates the config of a model; `has_output` says whether the weights include an output projection. Also
/// returns the keys that were not read.
///
/// # Errors
/// If a key is missing, has the wrong type, or asks for something that we do not compute; or if one that is not read
/// may change what the model computes, and `ignore` does not name it.
pub(crate) fn read(
    object: &Map<String, Value>,
    has_output: bool,
    ignore: &[String],
) -> Result<(Config, Vec<Unread>), Error> {
    let fields = Fields::new(object);
    let config = read_config(&fields, has_output)?;
    let left = fields.left().into_iter().map(|(key, value)| {
        let shown = shorten(&value.to_string());
        Left { key, value: value.clone(), shown }
    });
    let unread = unread::check(left.collect(), &unread::HF, "", &config, ignore)?;
    Ok((config, unread))
}

fn read_config(fields: &Fields, has_output: bool) -> Result<Config, Error> {
    let model_type = fields.require("model_type", fields.string("model_type")?)?;
    let arch = Arch::of_hugging_face(model_type)
        .ok_or_else(|| unsupported_architecture("`model_type`", model_type, &Arch::hugging_face_names()))?;
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
    let head_dim = match count("head_dim")?.or(arch.hugging_face.head_dim) {
        Some(head_dim) => head_dim,
        None => derived_head_dim(hidden, heads)?,
    };
    let layers = require("num_hidden_layers")?;
    let config = validated(Config {
        arch,
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
        rope_base: rope_base(fields)?,
        rope_mode: RopeMode::Half,
        rope_divisors: None,
        window: window(fields, arch, layers)?,
        biases: biases(fields, arch)?,
        tied_embedding: !has_output || fields.flag("tie_word_embeddings")?.unwrap_or(false),
    })?;
    // After the check of the head dimension, which sizes them.
    let rope_divisors = rope_divisors(fields, &config)?;
    validated(Config { rope_divisors, ..config })
}

fn biases(fields: &Fields, arch: &Arch) -> Result<Biases, Error> {
    Ok(match arch.hugging_face.biases {
        ConfigBiases::Qkv => Biases::Qkv,
        ConfigBiases::Key | ConfigBiases::ForeignKey => match fields.flag("attention_bias")? {
            Some(true) => Biases::All,
            Some(false) | None => Biases::None,
        },
    })
}

/// transformers 5 moved the rope's keys into `rope_parameters`.
fn rope_base(fields: &Fields) -> Result<f32, Error> {
    if let Some(parameters) = fields.nested("rope_parameters")?
        && let Some(base) = parameters.number("rope_theta")?
    {
        if let Some(value) = parameters.peek("rope_theta") {
            fields.repeats("rope_theta", value);
        }
        return Ok(base);
    }
    Ok(fields.number("rope_theta")?.unwrap_or(DEFAULT_ROPE_BASE))
}

fn rope_divisors(fields: &Fields, config: &Config) -> Result<Option<Vec<f32>>, Error> {
    let scaling = match (fields.nested("rope_parameters")?, fields.nested("rope_scaling")?) {
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

fn window(fields: &Fields, arch: &Arch, layers: usize) -> Result<Option<usize>, Error> {
    let count = |key: &str, default: usize| match fields.count(key)? {
        Some(value) => size(&fields.place(key), value).map(Some),
        // A null is none, and not the default.
        None => Ok((!fields.names(key)).then_some(default)),
    };
    match arch.hugging_face.window {
        ConfigWindow::Never => Ok(None),
        ConfigWindow::Always => count("sliding_window", DEFAULT_WINDOW),
        ConfigWindow::Switched => {
            let (window, slides) = (count("sliding_window", DEFAULT_WINDOW)?, fields.flag("use_sliding_window")?);
            // Only the layers from here on slide.
            let first = count("max_window_layers", DEFAULT_WINDOW_LAYERS)?.unwrap_or(DEFAULT_WINDOW_LAYERS);
            match first {
                _ if !slides.unwrap_or(false) || window.is_none() => Ok(None),
                0 => Ok(window),
                first if first >= layers => Ok(None),
                first => {
                    let cause =
                        format!("a sliding window from layer {first} of {layers} on is not supported; 0 or all are");
                    Err(Error::invalid(fields.place("max_window_layers"), cause))
                }
            }
        }
    }
}
