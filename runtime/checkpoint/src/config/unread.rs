//! Keys of a model's configuration that no reader asks for.
//!
//! A key that can change what the model computes must be read, or have a neutral value; otherwise the results would be
//! silently wrong. Which keys these are differs by format: in GGUF every key under the architecture's name; in
//! `config.json`, which has many other keys, those whose name refers to the computation. [`NEUTRAL_GGUF`] and
//! [`NEUTRAL_HF`] list the neutral values.
//!
//! Sources: `gguf-py/gguf/constants.py` and `src/llama-arch.cpp` of llama.cpp; `configuration_llama.py`,
//! `configuration_mistral.py`, `configuration_qwen2.py`, `configuration_qwen3.py` and `modeling_rope_utils.py` of
//! transformers.

use crate::Error;
use crate::describe::escape;
use kforge_models::Config;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

/// The full names of the keys that a reader has asked for. The accessors add to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Rc<RefCell<HashSet<String>>>);

impl Asked {
    pub fn add(&self, key: impl Into<String>) {
        self.0.borrow_mut().insert(key.into());
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.borrow().contains(key)
    }
}

/// A key that is not read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// Its full name: `llama.attention.scale`, `rope_scaling.factor`.
    pub key: String,
    /// In one line.
    pub value: String,
    /// It may change what the model computes, but the caller chose to ignore it.
    pub ignored: bool,
}

/// A key and its value that no accessor has read.
pub(super) struct Left {
    pub key: String,
    pub value: Value,
    /// How an error shows the value.
    pub shown: String,
}

/// Whether a value has no effect on a model with this config.
type Neutral = fn(&Value, &Config) -> bool;

/// The keys of a format that can change what a model computes, and their neutral values.
pub(super) struct Rules {
    /// Whether the key can change it at all.
    matters: fn(&str) -> bool,
    /// By name, in which `*` matches any text. The first match counts.
    neutral: &'static [(&'static str, Neutral)],
    /// For the keys that no row names.
    otherwise: Neutral,
}

/// For keys without the architecture's name and dot.
pub(super) const GGUF: Rules = Rules { matters: |_| true, neutral: NEUTRAL_GGUF, otherwise: |_, _| false };
/// For paths from the top of `config.json`.
pub(super) const HF: Rules = Rules { matters: hf_matters, neutral: NEUTRAL_HF, otherwise: off };

const NEUTRAL_GGUF: &[(&str, Neutral)] = &[
    // What the first converters wrote: rows of q and k permuted for interleaved pairs, as today's do.
    ("tensor_data_layout", |value, _| value == "Meta AI original pth"),
    // Only YaRN and LongRoPE read these.
    ("rope.scaling.original_context_length", any),
    ("rope.scaling.finetuned", any),
    ("rope.scaling.yarn_beta_*", any),
    ("rope.scaling.yarn_ext_factor", zero),
    ("rope.scaling.yarn_log_multiplier", zero),
    ("rope.scaling.alpha", zero),
    ("rope.scaling.attn_factor", one),
    ("rope.scaling.yarn_attn_factor", one),
    // 0 is "not set" to llama.cpp.
    ("rope.scaling.factor", zero_or_one),
    ("rope.scale_linear", zero_or_one),
    ("rope.scale", zero_or_one),
    ("rope.dimension_count_swa", head_dim),
    ("rope.freq_base_swa", |value, config| config.window.is_none() || is(value, f64::from(config.rope_base))),
    ("attention.head_dim", head_dim),
    ("attention.*_length_swa", head_dim),
    ("attention.sliding_window", zero),
    ("attention.sliding_window_pattern", no_window),
    ("attention.scale", |value, config| zero(value, config) || inverse_root(value, config)),
    ("attention.causal", yes),
    ("attention.layer_norm_epsilon", |value, config| is(value, f64::from(config.norm_eps))),
    ("attention.output_scale", zero_or_one),
    ("attention.value_scale", zero_or_one),
    ("attention.max_alibi_bias", zero),
    ("attention.clamp_kqv", zero),
    ("attention.temperature_*", zero),
    ("attention.shared_kv_layers", zero),
    ("*_softcapping", zero),
    ("logit_scale", zero_or_one),
    ("residual_scale", zero_or_one),
    ("embedding_scale", zero_or_one),
    ("embedding_length_out", |value, config| is(value, config.hidden as f64)),
    ("hidden_activation", silu),
    ("use_parallel_residual", zero),
    ("*expert*", zero),
    ("*moe*", zero),
    ("leading_dense_block_count", zero),
    ("nextn_predict_layers", zero),
    ("n_deepstack_layers", zero),
    ("full_attention_interval", zero),
    ("rescale_every_n_layers", zero),
    ("swiglu_clamp_*", zero),
    // Of embeddings only.
    ("pooling_type", zero),
];

const NEUTRAL_HF: &[(&str, Neutral)] = &[
    // They act in training only.
    ("*dropout*", any),
    ("*pdrop*", any),
    ("initializer_factor", any),
    ("max_grad_norm", any),
    // The choice of implementation, and additional outputs.
    ("*attn_implementation*", any),
    ("*flash_att*", any),
    ("output_attentions", any),
    ("id2label.*", any),
    ("label2id.*", any),
    ("*partial_rotary_factor", one),
    ("rotary_pct", one),
    ("rotary_percent", one),
    ("rotary_dim", head_dim),
    // Of scalings that are refused by their type; `default` and `linear` do not use it.
    ("rope_*.original_max_position_embeddings", any),
    ("rope_*.factor", one),
    ("rope_*.attention_factor", one),
    ("*expert*", zero),
    ("*moe*", zero),
    ("attention_multiplier", inverse_root),
    ("query_pre_attn_scalar", head_dim),
    ("*attention_softmax_in_fp32", any),
    ("*_multiplier", one),
    ("logit_scale", one),
    ("logits_scaling", one),
    ("residual_scale", one),
    ("embedding_scale", one),
    // Read where it says whether there are biases.
    ("attention_bias", any),
    ("hidden_activation", silu),
    ("activation_function", silu),
    // Read of families with windows. llama has none in transformers, while engines that share code with mistral apply
    // it.
    ("sliding_window", |value, config| {
        off(value, config) || value.as_f64().is_some_and(|window| window >= config.context as f64)
    }),
    ("use_sliding_window", |value, config| value.as_bool() == Some(config.window.is_some())),
    ("max_window_layers", no_window),
    ("layer_types", |value, config| {
        let kind = if config.window.is_some() { "sliding_attention" } else { "full_attention" };
        off(value, config) || value.as_array().is_some_and(|layers| layers.iter().all(|layer| layer == kind))
    }),
    ("*causal*", yes),
    ("use_rms_norm", yes),
];

/// Parts of names of keys that refer to the computation.
const PARTS: [&str; 20] = [
    "rope",
    "rotary",
    "attention",
    "attn",
    "window",
    "norm",
    "scal",
    "softcap",
    "factor",
    "activation",
    "bias",
    "layer_type",
    "expert",
    "moe",
    "clip",
    "clamp",
    "multiplier",
    "alibi",
    "causal",
    "pruned_heads",
];
/// The same as whole words only.
const WORDS: [&str; 3] = ["cap", "caps", "act"];

fn hf_matters(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let mut words = key.split(|c: char| !c.is_ascii_alphanumeric());
    PARTS.iter().any(|part| key.contains(part)) || words.any(|word| WORDS.contains(&word))
}

/// The unread keys, if each is neutral or to be ignored.
///
/// # Errors
/// Names the keys that may change what the model computes, and their values.
pub(super) fn check(
    left: Vec<Left>,
    rules: &Rules,
    prefix: &str,
    config: &Config,
    ignore: &[String],
) -> Result<Vec<Unread>, Error> {
    let mut unread = Vec::new();
    let mut faults: Vec<Left> = Vec::new();
    for left in left {
        let name = left.key.strip_prefix(prefix);
        let changes = name.is_some_and(|name| (rules.matters)(name) && !rules.is_neutral(name, &left.value, config));
        let ignored = changes && ignore.contains(&left.key);
        if changes && !ignored {
            faults.push(left);
        } else {
            unread.push(Unread { key: left.key, value: left.shown, ignored });
        }
    }
    let Some((first, others)) = faults.split_first() else { return Ok(unread) };
    let others: Vec<String> = others.iter().map(|left| format!("`{}` = {}", escape(&left.key), left.shown)).collect();
    let also = if others.is_empty() { String::new() } else { format!(" (and so are {})", others.join(", ")) };
    let (key, shown) = (escape(&first.key), &first.shown);
    let cause = format!(
        "it is {shown}, which may change what the model computes, and is not supported{also}; --ignore-config {key} goes on \
         without it, at the risk of wrong answers"
    );
    Err(Error::invalid(format!("`{key}`"), cause))
}

impl Rules {
    fn is_neutral(&self, name: &str, value: &Value, config: &Config) -> bool {
        let row = self.neutral.iter().find(|(pattern, _)| fits(pattern, name));
        value.is_null() || row.map_or(self.otherwise, |(_, neutral)| *neutral)(value, config)
    }
}

/// Whether a name matches a pattern, in which `*` matches any text.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| &rest[at..]).chain([""]).any(|rest| fits(tail, rest))
        }),
    }
}

/// As a number, true being 1 and false 0.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(f64::from))
}

/// Whether a value equals `expected`, up to the rounding of a file's f32.
fn is(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() <= 1e-6 * expected.abs())
}

fn any(_: &Value, _: &Config) -> bool {
    true
}

/// false, or nothing.
fn off(value: &Value, _: &Config) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::Number(_) | Value::String(_) => false,
    }
}

/// 0 or false, of each layer too.
fn zero(value: &Value, _: &Config) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| number(value) == Some(0.0)),
        value => number(value) == Some(0.0),
    }
}

fn one(value: &Value, _: &Config) -> bool {
    is(value, 1.0)
}

fn zero_or_one(value: &Value, config: &Config) -> bool {
    zero(value, config) || one(value, config)
}

fn yes(value: &Value, _: &Config) -> bool {
    value.as_bool() == Some(true)
}

fn silu(value: &Value, _: &Config) -> bool {
    value == "silu"
}

fn head_dim(value: &Value, config: &Config) -> bool {
    is(value, config.head_dim as f64)
}

/// The default scale of scores.
fn inverse_root(value: &Value, config: &Config) -> bool {
    is(value, (config.head_dim as f64).powf(-0.5))
}

fn no_window(_: &Value, config: &Config) -> bool {
    config.window.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("a", "a"),
            ("a*", "a"),
            ("*b", "aab"),
            ("*b*", "abc"),
            ("rope_*.factor", "rope_scaling.factor"),
            ("*", ""),
            ("*é", "éé"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("*b", "ba"), ("rope_*.factor", "rope_factor"), ("a*a", "a")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn names_about_what_is_computed() {
        for key in ["rope_x", "partial_rotary_factor", "use_mrope", "hidden_act", "logit_cap", "attn_logit_softcapping"]
        {
            assert!(hf_matters(key), "{key}");
        }
        for key in
            ["architectures", "bos_token_id", "pretraining_tp", "initializer_range", "exact", "capacity", "use_cache"]
        {
            assert!(!hf_matters(key), "{key}");
        }
    }
}
