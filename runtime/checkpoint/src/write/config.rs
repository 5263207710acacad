//! A config as GGUF metadata, and as `config.json`.

use super::weights::{Planned, has_biases};
use crate::config::every;
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
        ("rope.dimension_count", config.rotated()),
        ("vocab_size", config.vocab),
        // Zero is none.
        ("attention.sliding_window", config.window.unwrap_or(0)),
    ] {
        if value > 0 {
            // An open checkpoint's sizes are below 2^31.
            writer.u32(&format!("{architecture}.{key}"), value as u32);
        }
    }
    let defaults = config.arch.softcaps.as_ref();
    // Zero is none, which need not be the family's default.
    let cap = |cap: Option<f32>, default: Option<f32>| if cap == default { None } else { Some(cap.unwrap_or(0.0)) };
    for (key, value) in [
        ("rope.freq_base", Some(config.rope_base)),
        ("rope.freq_base_swa", config.window_rope_base),
        (config.arch.norm.gguf_eps(), Some(config.norm_eps)),
        ("attn_logit_softcapping", cap(config.attention_softcap, defaults.and_then(|caps| caps.scores))),
        ("final_logit_softcapping", cap(config.logit_softcap, defaults.and_then(|caps| caps.logits))),
    ] {
        if let Some(value) = value {
            writer.f32(&format!("{architecture}.{key}"), value);
        }
    }
    if config.arch.multipliers {
        for (key, value) in [
            ("embedding_scale", config.embedding_scale),
            ("residual_scale", config.residual_scale),
            ("attention.scale", config.score_scale()),
            ("logit_scale", config.logit_scale.recip()),
        ] {
            writer.f32(&format!("{architecture}.{key}"), value);
        }
    }
    check_scale(config)?;
    if config.window.is_some() && config.global != every(config.arch.global_every, config.layers) {
        let windows = (0..config.layers).map(|layer| config.layer(layer, 0).window.is_some());
        writer.bools(&format!("{architecture}.attention.sliding_window_pattern"), &windows.collect::<Vec<_>>());
    }
    if config.unrotated != every(config.arch.unrotated_every, config.layers) {
        let cause = format!("GGUF's {architecture} cannot say that the layers {:?} have none", config.unrotated);
        return Err(Error::invalid("the model's rotary embedding", cause));
    }
    if let Some(long) = &config.long_rope {
        writer.u32(&format!("{architecture}.rope.scaling.original_context_length"), long.above as u32);
        writer.f32(&format!("{architecture}.rope.scaling.attn_factor"), config.rope_scale);
        return Ok(());
    }
    if config.rope_scale != 1.0 {
        let cause = format!("yarn scaling is not written as GGUF's {architecture}; export a model without it");
        return Err(Error::invalid("the model's rope scaling", cause));
    }
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

/// # Errors
/// If the model scales its scores otherwise than its family does in GGUF, which has no key for it.
fn check_scale(config: &Config) -> Result<(), Error> {
    let near = |a: f32, b: f32| (a / b - 1.0).abs() < 1e-5;
    match (config.attention_scale, config.unsaid_scale()) {
        _ if config.arch.multipliers => Ok(()),
        (None, None) => Ok(()),
        (Some(scale), Some(expected)) if near(scale, expected) => Ok(()),
        _ => {
            let scale = config.score_scale();
            let cause = format!("GGUF's {} cannot say that scores are scaled by {scale}", config.arch.gguf.name);
            Err(Error::invalid("the model's attention", cause))
        }
    }
}

/// The factor of a scaling that is the same for all frequencies.
fn linear_factor(config: &Config) -> Option<f32> {
    let divisors = config.rope_divisors.as_ref()?;
    let first = *divisors.first()?;
    divisors.iter().all(|divisor| *divisor == first).then_some(first)
}

/// The tensors of a scaling that differs by frequency, and their data.
pub(super) fn frequency_factors(config: &Config) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |divisors: &Vec<f32>| divisors.iter().flat_map(|divisor| divisor.to_le_bytes()).collect();
    let own = |name, divisors: &Vec<f32>| (name, bytes(divisors));
    match (&config.rope_divisors, &config.long_rope) {
        (Some(short), Some(long)) => {
            vec![own("rope_factors_short.weight", short), own("rope_factors_long.weight", &long.divisors)]
        }
        (Some(divisors), None) if linear_factor(config).is_none() => vec![own("rope_freqs.weight", divisors)],
        _ => vec![],
    }
}

/// The `config.json` of a model read from GGUF.
///
/// # Errors
/// If transformers has no equivalent model.
pub(super) fn to_hugging_face(checkpoint: &Checkpoint, plan: &[Planned]) -> Result<Value, Error> {
    let config = checkpoint.config();
    let family = Arch::in_hugging_face(config)
        .ok_or_else(|| Error::invalid("the model's config", "no model of transformers has such a sliding window"))?;
    if !family.is_plain() {
        let plain: Vec<&str> = Arch::ALL.iter().filter(|arch| arch.is_plain()).map(|arch| arch.name).collect();
        let cause =
            format!("models of {} are not written in this format; those of {} are", family.name, plain.join(", "));
        return Err(Error::invalid("the model's architecture", cause));
    }
    let facts = &family.hugging_face;
    if !config.global.is_empty() && facts.window != ConfigWindow::Switched {
        let cause = format!("transformers' {} has a sliding window in all layers or in none", family.name);
        return Err(Error::invalid("the model's config", cause));
    }
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
        let kind = |layer| if config.layer(layer, 0).window.is_some() { "sliding_attention" } else { "full_attention" };
        if !config.global.is_empty() {
            json["layer_types"] = (0..config.layers).map(kind).collect();
        }
        // The first layer that has the window.
        let first = (0..config.layers).find(|layer| config.layer(*layer, 0).window.is_some());
        json["max_window_layers"] = first.unwrap_or(config.layers).into();
    }
    Ok(json)
}

fn rope_scaling(config: &Config) -> Result<Value, Error> {
    if config.rope_scale != 1.0 || config.long_rope.is_some() || config.rotary_dims.is_some() {
        let cause = "it is of yarn or longrope, or of a part of a head, which this export does not write";
        return Err(Error::invalid("the model's rotary embedding", cause));
    }
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
