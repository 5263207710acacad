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

/// The canonical name of a Hugging Face tensor; none for one that no supported model has.
pub(crate) fn from_hf(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        "lm_head.weight" => return Some("output.weight".to_owned()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    // Only the canonical spelling of a number, so that no two names map to one.
    let layer = layer.parse::<usize>().ok().filter(|number| number.to_string() == layer)?;
    let part = match part {
        "input_layernorm.weight" => "attn_norm.weight",
        "self_attn.q_proj.weight" => "attn_q.weight",
        "self_attn.q_proj.bias" => "attn_q.bias",
        "self_attn.k_proj.weight" => "attn_k.weight",
        "self_attn.k_proj.bias" => "attn_k.bias",
        "self_attn.v_proj.weight" => "attn_v.weight",
        "self_attn.v_proj.bias" => "attn_v.bias",
        "self_attn.o_proj.weight" => "attn_output.weight",
        "self_attn.o_proj.bias" => "attn_output.bias",
        "post_attention_layernorm.weight" => "ffn_norm.weight",
        "mlp.gate_proj.weight" => "ffn_gate.weight",
        "mlp.up_proj.weight" => "ffn_up.weight",
        "mlp.down_proj.weight" => "ffn_down.weight",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}"))
}

/// Whether a Hugging Face tensor is a buffer that old checkpoints saved along: it follows from the config.
pub(crate) fn hf_buffer(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
}
