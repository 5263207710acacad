//! A config as GGUF metadata, and as `config.json`.

use super::weights::{Planned, has_biases};
use crate::config::scaling::{Llama3, Scaling, of_divisors};
use crate::gguf::write::Writer;
use crate::{Checkpoint, Element, Error};
use kforge_models::{Arch, Biases, Config, ConfigBiases, ConfigWindow};
use serde_json::{Value, json};

/// # Errors
/// If the model has biases that its family does not have in GGUF.
pub(super) fn check_biases(checkpoint: &Checkpoint) -> Result<(), Error> {
    let facts = &checkpoint.config().arch.gguf;
    if facts.biases == Biases::None && has_biases(checkpoint) {
        let cause = format!("GGUF's {} has no biases on its attention", facts.name);
        return Err(Error::invalid("the model's config", cause));
    }
    Ok(())
}

/// Writes the metadata of a model.
///
/// # Errors
/// If GGUF cannot represent the scaling of its rotary embedding.
pub(crate) fn to_gguf(config: &Config, writer: &mut Writer) -> Result<(), Error> {
    let facts = &config.arch.gguf;
    let architecture = facts.name;
    writer.string("general.architecture", architecture);
    if let Some(name) = &config.name {
        writer.string("general.name", name);
    }
    for (key, value) in [
        ("block_count", config.layers),
        ("context_length", config.context),
        ("embedding_length", config.hidden),
        ("feed_forward_length", config.ffn),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
        ("rope.dimension_count", config.head_dim),
        ("vocab_size", config.vocab),
        // Zero is none.
        ("attention.sliding_window", config.window.unwrap_or(0)),
    ] {
        if value > 0 {
            // An open checkpoint's sizes are below 2^31.
            writer.u32(&format!("{architecture}.{key}"), value as u32);
        }
    }
    writer.f32(&format!("{architecture}.rope.freq_base"), config.rope_base);
    writer.f32(&format!("{architecture}.attention.layer_norm_rms_epsilon"), config.norm_eps);
    match linear_factor(config) {
        Some(factor) => {
            writer.string(&format!("{architecture}.rope.scaling.type"), "linear");
            writer.f32(&format!("{architecture}.rope.scaling.factor"), factor);
        }
        None if config.rope_divisors.is_some() && !facts.rope_factors => {
            let cause = format!("GGUF's {architecture} has linear scaling only; export a model without llama3 scaling");
            return Err(Error::invalid("the model's rope scaling", cause));
        }
        None => {}
    }
    Ok(())
}

/// The factor of a scaling that is the same for all frequencies.
fn linear_factor(config: &Config) -> Option<f32> {
    let divisors = config.rope_divisors.as_ref()?;
    let first = *divisors.first()?;
    divisors.iter().all(|divisor| *divisor == first).then_some(first)
}

/// The data of the tensor `rope_freqs.weight`, for a scaling that differs by frequency.
pub(super) fn frequency_factors(config: &Config) -> Option<Vec<u8>> {
    let divisors = config.rope_divisors.as_ref().filter(|_| linear_factor(config).is_none())?;
    Some(divisors.iter().flat_map(|divisor| divisor.to_le_bytes()).collect())
}

/// The `config.json` of a model read from GGUF.
///
/// # Errors
/// If transformers has no equivalent model.
pub(super) fn to_hugging_face(checkpoint: &Checkpoint, plan: &[Planned]) -> Result<Value, Error> {
    let config = checkpoint.config();
    let family = Arch::in_hugging_face(config)
        .ok_or_else(|| Error::invalid("the model's config", "no model of transformers has such a sliding window"))?;
    let facts = &family.hugging_face;
    let biases = has_biases(checkpoint);
    if biases && facts.biases == ConfigBiases::ForeignKey {
        let cause = "transformers has no model with both a sliding window and biases on its attention";
        return Err(Error::invalid("the model's config", cause));
    }
    let mut json = json!({
        "architectures": [facts.class],
        "model_type": family.name,
        "hidden_size": config.hidden,
        "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab,
        "max_position_embeddings": config.context,
        "hidden_act": "silu",
        "rms_norm_eps": decimal(config.norm_eps),
        "rope_theta": decimal(config.rope_base),
        "rope_scaling": rope_scaling(config)?,
        "tie_word_embeddings": config.tied_embedding,
        "torch_dtype": torch_dtype(plan),
    });
    if let Some(name) = &config.name {
        json["_name_or_path"] = name.as_str().into();
    }
    if facts.biases == ConfigBiases::Key {
        json["attention_bias"] = biases.into();
    }
    if facts.window != ConfigWindow::Never {
        json["sliding_window"] = config.window.into();
    }
    if facts.window == ConfigWindow::Switched {
        json["use_sliding_window"] = config.window.is_some().into();
        // The first layer that has the window.
        json["max_window_layers"] = if config.window.is_some() { 0 } else { config.layers }.into();
    }
    Ok(json)
}

fn rope_scaling(config: &Config) -> Result<Value, Error> {
    let Some(divisors) = &config.rope_divisors else { return Ok(Value::Null) };
    match of_divisors(config.head_dim, config.rope_base, divisors) {
        Some(Scaling::Linear(factor)) => Ok(json!({"rope_type": "linear", "factor": decimal(factor)})),
        Some(Scaling::Llama3(Llama3 { factor, low_freq_factor, high_freq_factor, original_context })) => Ok(json!({
            "rope_type": "llama3",
            "factor": decimal(factor),
            "low_freq_factor": decimal(low_freq_factor),
            "high_freq_factor": decimal(high_freq_factor),
            "original_max_position_embeddings": original_context as u64,
        })),
        None => {
            let cause = "its factors are of neither linear nor llama3 scaling, so config.json has no words for them";
            Err(Error::invalid("tensor `rope_freqs.weight`", cause))
        }
    }
}

/// The type of the embedding, with which transformers loads the model.
fn torch_dtype(plan: &[Planned]) -> &'static str {
    let embedding = plan.iter().find(|weight| weight.name == "token_embd.weight");
    match embedding.map(|weight| weight.element) {
        Some(Element::F16) => "float16",
        Some(Element::BF16) => "bfloat16",
        _ => "float32",
    }
}

/// The shortest decimal that parses to this f32, for readability: 1e-5, not 9.99999974737875e-6.
fn decimal(value: f32) -> Value {
    value.to_string().parse::<f64>().unwrap_or(f64::from(value)).into()
}
