//! A config from Hugging Face's `config.json`.

mod layers;
mod rope;

use super::scaling::Scaled;
use super::unread::{self, Left, Unread};
use super::{derived_head_dim, size, unsupported_architecture, validated};
use crate::Error;
use crate::json::{Fields, shorten};
use kforge_models::{Arch, Biases, Config, ConfigBiases, Norm, RopeMode, Softcaps};
use serde_json::{Map, Value};

/// Reads and validates the config of a model; `has_output` says whether the weights include an output projection of
/// the family. Also returns the keys that were not read.
///
/// # Errors
/// If a key is missing, has the wrong type, or asks for something that we do not compute; or if one that is not read
/// may change what the model computes, and `ignore` does not name it.
pub(crate) fn read(
    object: &Map<String, Value>,
    has_output: impl Fn(&Arch) -> bool,
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

fn read_config(fields: &Fields, has_output: impl Fn(&Arch) -> bool) -> Result<Config, Error> {
    let model_type = fields.require("model_type", fields.string("model_type")?)?;
    let arch = Arch::of_hugging_face(model_type)
        .ok_or_else(|| unsupported_architecture("`model_type`", model_type, &Arch::hugging_face_names()))?;
    if fields.get("quantization_config").is_some() {
        let cause = "quantised safetensors are not supported; use the original checkpoint, or a GGUF file";
        return Err(Error::invalid("`quantization_config`", cause));
    }
    check_names(fields, arch)?;
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
    let (window, global) = layers::windows(fields, arch, layers)?;
    let (eps, default_eps) = arch.hugging_face.eps;
    let multiplier = |key: &str| if arch.multipliers { fields.number(key) } else { Ok(None) };
    let embedding_scale = match arch.scaled_embedding {
        true => (hidden as f32).sqrt(),
        false => multiplier("embedding_multiplier")?.unwrap_or(1.0),
    };
    let attention_scale = match arch.hugging_face.query_scalar {
        Some(default) => Some(fields.number("query_pre_attn_scalar")?.unwrap_or(default).powf(-0.5)),
        None => multiplier("attention_multiplier")?,
    };
    let softcap = |key: &str, default: fn(&Softcaps) -> Option<f32>| match &arch.softcaps {
        // A null is none, and not the default.
        Some(caps) => Ok::<_, Error>(fields.number(key)?.or_else(|| default(caps).filter(|_| !fields.names(key)))),
        None => Ok(None),
    };
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
        norm_eps: fields.number(eps)?.unwrap_or(default_eps),
        rope_base: rope::base(fields, arch)?,
        rope_mode: RopeMode::Half,
        rotary_dims: rope::rotated(fields, arch, head_dim)?,
        rope_divisors: None,
        long_rope: None,
        rope_scale: 1.0,
        window,
        global,
        window_rope_base: rope::window_base(fields, arch)?,
        unrotated: layers::unrotated(fields, arch, layers)?,
        embedding_scale,
        residual_scale: multiplier("residual_multiplier")?.unwrap_or(1.0),
        logit_scale: multiplier("logits_scaling")?.map_or(1.0, f32::recip),
        attention_scale,
        attention_softcap: softcap("attn_logit_softcapping", |caps| caps.scores)?,
        logit_softcap: softcap("final_logit_softcapping", |caps| caps.logits)?,
        biases: biases(fields, arch)?,
        tied_embedding: !has_output(arch) || fields.flag("tie_word_embeddings")?.unwrap_or(false),
    })?;
    // After the check of the head dimension, which sizes them.
    let Scaled { divisors, long, scale } = rope::scaling(fields, &config)?;
    validated(Config { rope_divisors: divisors, long_rope: long, rope_scale: scale, ..config })
}

fn biases(fields: &Fields, arch: &Arch) -> Result<Biases, Error> {
    Ok(match arch.hugging_face.biases {
        ConfigBiases::Qkv => Biases::Qkv,
        ConfigBiases::UseBias => match fields.flag("use_bias")? {
            Some(true) | None => Biases::All,
            Some(false) => Biases::None,
        },
        ConfigBiases::Key | ConfigBiases::ForeignKey => match fields.flag("attention_bias")? {
            Some(true) => Biases::All,
            Some(false) | None => Biases::None,
        },
    })
}

/// # Errors
/// If the activation or the kind of norms is not the family's.
fn check_names(fields: &Fields, arch: &Arch) -> Result<(), Error> {
    let known = arch.mlp.activations();
    for key in arch.hugging_face.activation {
        if let Some(activation) = fields.string(key)?.filter(|name| !known.contains(name)) {
            let cause = format!("activation `{activation}` is not supported; {} is", known.join(", "));
            return Err(Error::invalid(fields.place(key), cause));
        }
    }
    let norm = if arch.norm == Norm::Layer { fields.string("norm_type")? } else { None };
    match norm.filter(|norm| *norm != "layer_norm") {
        Some(norm) => {
            Err(Error::invalid(fields.place("norm_type"), format!("norm `{norm}` is not supported; layer_norm is")))
        }
        None => Ok(()),
    }
}
