//! The weights of a model: their canonical names, which are GGUF's, and their shapes.

use crate::Config;
use crate::config::Biases;

/// A weight that a model may have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    pub name: String,
    /// [rows, columns], or [n].
    pub dims: Vec<usize>,
    pub required: bool,
}

/// Every weight that a model of this config has or may have, in the order of use.
pub(crate) fn expected(config: &Config) -> Vec<Expected> {
    let Config { hidden, ffn, vocab, .. } = *config;
    let (q, kv) = (config.q_rows(), config.kv_rows());
    let mut all = Vec::new();
    let mut push = |name: String, dims: &[usize], required: bool| {
        all.push(Expected { name, dims: dims.to_vec(), required });
    };
    // None where the model has no such bias, whatever the file holds.
    let (qkv_bias, output_bias) = match config.biases {
        Biases::Found => (Some(false), Some(false)),
        Biases::None => (None, None),
        Biases::Qkv => (Some(true), None),
        Biases::All => (Some(true), Some(false)),
    };
    push("token_embd.weight".to_owned(), &[vocab, hidden], true);
    for layer in 0..config.layers {
        let mut block = |part: &str, dims: &[usize], required| push(format!("blk.{layer}.{part}"), dims, required);
        block("attn_norm.weight", &[hidden], true);
        for (part, rows) in [("attn_q", q), ("attn_k", kv), ("attn_v", kv)] {
            block(&format!("{part}.weight"), &[rows, hidden], true);
            if let Some(required) = qkv_bias {
                block(&format!("{part}.bias"), &[rows], required);
            }
        }
        block("attn_output.weight", &[hidden, q], true);
        if let Some(required) = output_bias {
            block("attn_output.bias", &[hidden], required);
        }
        block("ffn_norm.weight", &[hidden], true);
        block("ffn_gate.weight", &[ffn, hidden], true);
        block("ffn_up.weight", &[ffn, hidden], true);
        block("ffn_down.weight", &[hidden, ffn], true);
    }
    push("output_norm.weight".to_owned(), &[hidden], true);
    if !config.tied_embedding {
        push("output.weight".to_owned(), &[vocab, hidden], true);
    }
    all
}

/// Whether a tensor of a file, under its canonical name, may stay unread: the config holds its numbers.
pub(crate) fn ignored(name: &str, config: &Config) -> bool {
    name == "rope_freqs.weight" || (config.tied_embedding && name == "output.weight")
}

/// Weights outside the layers: their canonical names, and Hugging Face's.
const MODEL: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];
/// The same of a layer, after `blk.N.` and `model.layers.N.`.
const LAYER: [(&str, &str); 13] = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_q.bias", "self_attn.q_proj.bias"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_k.bias", "self_attn.k_proj.bias"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_v.bias", "self_attn.v_proj.bias"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("attn_output.bias", "self_attn.o_proj.bias"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
];
/// Parts of a layer whose rows the rotary embedding pairs, so that they are ordered by the [`RopeMode`](crate::RopeMode).
const ROTATED: [&str; 4] = ["attn_q.weight", "attn_q.bias", "attn_k.weight", "attn_k.bias"];

/// The canonical name of a Hugging Face tensor; none for one that no supported model has.
pub(crate) fn from_hf(name: &str) -> Option<String> {
    if let Some((canonical, _)) = MODEL.iter().find(|(_, theirs)| *theirs == name) {
        return Some((*canonical).to_owned());
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    // Only the canonical spelling of a number, so that no two names map to one.
    let layer = layer.parse::<usize>().ok().filter(|number| number.to_string() == layer)?;
    let (canonical, _) = LAYER.iter().find(|(_, theirs)| *theirs == part)?;
    Some(format!("blk.{layer}.{canonical}"))
}

/// The Hugging Face name of a tensor: the inverse of [`from_hf`].
pub(crate) fn to_hf(name: &str) -> Option<String> {
    if let Some((_, theirs)) = MODEL.iter().find(|(canonical, _)| *canonical == name) {
        return Some((*theirs).to_owned());
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let (_, theirs) = LAYER.iter().find(|(canonical, _)| *canonical == part)?;
    Some(format!("model.layers.{layer}.{theirs}"))
}

/// Whether the rotary embedding turns pairs of this weight's rows.
pub(crate) fn is_rotated(name: &str) -> bool {
    name.strip_prefix("blk.").and_then(|name| name.split_once('.')).is_some_and(|(_, part)| ROTATED.contains(&part))
}

/// Whether a Hugging Face tensor is a buffer that old checkpoints saved along: it follows from the config.
pub(crate) fn hf_buffer(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let layer = LAYER.map(|(canonical, _)| format!("blk.7.{canonical}"));
        for name in MODEL.iter().map(|(canonical, _)| (*canonical).to_owned()).chain(layer) {
            assert_eq!(to_hf(&name).and_then(|theirs| from_hf(&theirs)), Some(name));
        }
        assert_eq!(to_hf("blk.7.attn_q.weight").as_deref(), Some("model.layers.7.self_attn.q_proj.weight"));
        assert_eq!((to_hf("rope_freqs.weight"), from_hf("model.layers.07.mlp.up_proj.weight")), (None, None));
        assert!(is_rotated("blk.0.attn_k.bias") && !is_rotated("blk.0.attn_v.weight") && !is_rotated("output.weight"));
    }
}
