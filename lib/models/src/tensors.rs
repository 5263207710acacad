//! The tensors of a model: names in GGUF, which are the canonical ones, and in Hugging Face's format, with shapes.

use crate::{Arch, Config, Fused, QkNorm};

/// A tensor that a model may have. In names of layer tensors `N` stands for the layer number.
#[derive(Debug, PartialEq)]
pub struct Tensor {
    pub gguf: &'static str,
    pub hugging_face: &'static str,
    /// [rows, columns], or [n].
    pub shape: &'static [Size],
    pub when: When,
    /// RoPE pairs its rows, so that they are in the order of the file's [`RopeMode`](crate::RopeMode).
    pub rotated: bool,
}

/// A dimension of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Hidden,
    /// Rows of the query projection.
    Q,
    /// Rows of the key projection, and of the value projection.
    Kv,
    /// Weights of the norm of queries.
    NormedQ,
    /// Weights of the norm of keys.
    NormedK,
    Ffn,
    Vocab,
}

/// Which models have a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// Those whose queries, keys and values have biases.
    QkvBias,
    /// Those whose output projection of the attention has a bias.
    OutputBias,
    /// Those that normalise queries and keys.
    QkNormed,
    /// Those with norms on the inputs of attention and MLP.
    PreNorm,
    PreNormBias,
    /// Those with norms on their outputs.
    PostNorm,
    PostNormBias,
    /// Those whose norms have a bias.
    NormBias,
    /// Those whose MLP has a gate.
    Gated,
    /// Those whose MLP has biases.
    MlpBias,
    /// Those whose output projection is not the embedding.
    Untied,
}

/// A tensor of a model with given sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorOf {
    pub row: &'static Tensor,
    /// Its canonical name.
    pub name: String,
    /// [rows, columns], or [n].
    pub dims: Vec<usize>,
    /// Whether a checkpoint without it is an error.
    pub required: bool,
}

const fn row(gguf: &'static str, hugging_face: &'static str, shape: &'static [Size], when: When) -> Tensor {
    Tensor { gguf, hugging_face, shape, when, rotated: false }
}

const fn rotated(gguf: &'static str, hugging_face: &'static str, shape: &'static [Size], when: When) -> Tensor {
    Tensor { gguf, hugging_face, shape, when, rotated: true }
}

use Size::{Ffn, Hidden, Kv, NormedK, NormedQ, Q, Vocab};
use When::{
    Always, Gated, MlpBias, NormBias, OutputBias, PostNorm, PostNormBias, PreNorm, PreNormBias, QkNormed, QkvBias,
    Untied,
};

/// Every tensor, in the order of use; the rows of layer tensors are contiguous.
#[rustfmt::skip]
pub static TENSORS: &[Tensor] = &[
    row("token_embd.weight", "model.embed_tokens.weight", &[Vocab, Hidden], Always),
    row("blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", &[Hidden], PreNorm),
    row("blk.N.attn_norm.bias", "model.layers.N.input_layernorm.bias", &[Hidden], PreNormBias),
    rotated("blk.N.attn_q.weight", "model.layers.N.self_attn.q_proj.weight", &[Q, Hidden], Always),
    rotated("blk.N.attn_q.bias", "model.layers.N.self_attn.q_proj.bias", &[Q], QkvBias),
    rotated("blk.N.attn_q_norm.weight", "model.layers.N.self_attn.q_norm.weight", &[NormedQ], QkNormed),
    rotated("blk.N.attn_k.weight", "model.layers.N.self_attn.k_proj.weight", &[Kv, Hidden], Always),
    rotated("blk.N.attn_k.bias", "model.layers.N.self_attn.k_proj.bias", &[Kv], QkvBias),
    rotated("blk.N.attn_k_norm.weight", "model.layers.N.self_attn.k_norm.weight", &[NormedK], QkNormed),
    row("blk.N.attn_v.weight", "model.layers.N.self_attn.v_proj.weight", &[Kv, Hidden], Always),
    row("blk.N.attn_v.bias", "model.layers.N.self_attn.v_proj.bias", &[Kv], QkvBias),
    row("blk.N.attn_output.weight", "model.layers.N.self_attn.o_proj.weight", &[Hidden, Q], Always),
    row("blk.N.attn_output.bias", "model.layers.N.self_attn.o_proj.bias", &[Hidden], OutputBias),
    row("blk.N.post_attention_norm.weight", "model.layers.N.post_attention_layernorm.weight", &[Hidden], PostNorm),
    row("blk.N.post_attention_norm.bias", "model.layers.N.post_attention_layernorm.bias", &[Hidden], PostNormBias),
    row("blk.N.ffn_norm.weight", "model.layers.N.post_attention_layernorm.weight", &[Hidden], PreNorm),
    row("blk.N.ffn_norm.bias", "model.layers.N.post_attention_layernorm.bias", &[Hidden], PreNormBias),
    row("blk.N.ffn_gate.weight", "model.layers.N.mlp.gate_proj.weight", &[Ffn, Hidden], Gated),
    row("blk.N.ffn_up.weight", "model.layers.N.mlp.up_proj.weight", &[Ffn, Hidden], Always),
    row("blk.N.ffn_up.bias", "model.layers.N.mlp.up_proj.bias", &[Ffn], MlpBias),
    row("blk.N.ffn_down.weight", "model.layers.N.mlp.down_proj.weight", &[Hidden, Ffn], Always),
    row("blk.N.ffn_down.bias", "model.layers.N.mlp.down_proj.bias", &[Hidden], MlpBias),
    row("blk.N.post_ffw_norm.weight", "model.layers.N.post_feedforward_layernorm.weight", &[Hidden], PostNorm),
    row("blk.N.post_ffw_norm.bias", "model.layers.N.post_feedforward_layernorm.bias", &[Hidden], PostNormBias),
    row("output_norm.weight", "model.norm.weight", &[Hidden], Always),
    row("output_norm.bias", "model.norm.bias", &[Hidden], NormBias),
    row("output.weight", "lm_head.weight", &[Vocab, Hidden], Untied),
];

const LAYER: &str = "N";

impl Size {
    pub fn of(self, config: &Config) -> usize {
        match self {
            Size::Hidden => config.hidden,
            Size::Q => config.q_rows(),
            Size::Kv => config.kv_rows(),
            Size::NormedQ | Size::NormedK if config.arch.qk_norm == QkNorm::Head => config.head_dim,
            Size::NormedQ => config.q_rows(),
            Size::NormedK => config.kv_rows(),
            Size::Ffn => config.ffn,
            Size::Vocab => config.vocab,
        }
    }
}

impl Tensor {
    /// Whether each layer has one.
    pub fn is_of_layer(&self) -> bool {
        split(self.gguf).is_some()
    }

    /// The name after the layer number, such as `attn_q.weight`; the whole name for a tensor outside the layers.
    pub fn part(&self) -> &'static str {
        split(self.gguf).map_or(self.gguf, |(_, part)| part)
    }

    /// The canonical name; of a layer tensor, that in layer `layer`.
    pub fn gguf_name(&self, layer: usize) -> String {
        fill(self.gguf, layer)
    }

    /// The name in a family's Hugging Face format, with `N` for the layer number.
    fn hugging_face_in(&self, arch: &Arch) -> &'static str {
        let other = arch.hugging_face.names.iter().find(|(name, _)| *name == self.gguf);
        other.map_or(self.hugging_face, |(_, theirs)| theirs)
    }

    /// Whether it is a bias of a projection.
    pub fn is_bias(&self) -> bool {
        matches!(self.when, When::QkvBias | When::OutputBias)
    }
}

/// The parts before the layer number, with a dot, and after it, without one.
fn split(template: &'static str) -> Option<(&'static str, &'static str)> {
    let at = template.find(".N.")?;
    Some((&template[..=at], &template[at + 2 + LAYER.len()..]))
}

fn fill(template: &'static str, layer: usize) -> String {
    split(template).map_or(template.to_owned(), |(prefix, part)| format!("{prefix}{layer}.{part}"))
}

/// The layer number in a name of a template; 0 outside the layers.
fn layer_of(template: &'static str, name: &str) -> Option<usize> {
    let Some((prefix, part)) = split(template) else { return (template == name).then_some(0) };
    let layer = name.strip_prefix(prefix)?.strip_suffix(part)?.strip_suffix('.')?;
    // Only the canonical spelling of a number, so that no two names map to one.
    layer.parse::<usize>().ok().filter(|number| number.to_string() == layer)
}

/// The canonical name of a Hugging Face tensor; `None` for one that no model of the family has.
pub fn from_hugging_face(arch: &Arch, name: &str) -> Option<String> {
    let rows = TENSORS.iter().filter(|row| arch.may_have(row.when));
    rows.filter_map(|row| Some(row.gguf_name(layer_of(row.hugging_face_in(arch), name)?))).next()
}

/// The Hugging Face name of a tensor: the inverse of [`from_hugging_face`].
pub fn to_hugging_face(arch: &Arch, name: &str) -> Option<String> {
    TENSORS.iter().find_map(|row| Some(fill(row.hugging_face_in(arch), layer_of(row.gguf, name)?)))
}

impl Fused {
    /// The canonical names of the tensors that a tensor of this name holds; `None` for another name.
    pub fn parts_of(&self, name: &str) -> Option<Vec<String>> {
        let layer = layer_of(self.name, name)?;
        Some(self.parts.iter().map(|part| fill(part, layer)).collect())
    }
}

/// Whether a Hugging Face tensor is a buffer that old checkpoints also stored; its values follow from the config.
pub fn is_buffer(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Biases};

    #[test]
    fn names_round_trip() {
        for arch in Arch::ALL {
            for row in TENSORS.iter().filter(|row| arch.may_have(row.when)) {
                let name = row.gguf_name(7);
                let theirs = to_hugging_face(arch, &name).unwrap();
                assert_eq!(from_hugging_face(arch, &theirs), Some(name), "{}", arch.name);
            }
        }
        let to_hugging_face = |name| to_hugging_face(Arch::LLAMA, name);
        assert_eq!(to_hugging_face("blk.7.attn_q.weight").as_deref(), Some("model.layers.7.self_attn.q_proj.weight"));
        for unknown in ["rope_freqs.weight", "blk.attn_q.weight", "blk..attn_q.weight", "blk.-1.attn_q.weight"] {
            assert_eq!(to_hugging_face(unknown), None, "{unknown}");
        }
        assert_eq!(from_hugging_face(Arch::LLAMA, "model.layers.07.mlp.up_proj.weight"), None);
    }

    #[test]
    fn tensors_follow_the_family_and_its_options() {
        let plain = Config { kv_heads: 1, layers: 2, ..Config::plain(64, 4, 128, 260) };
        let names = |config: &Config| config.tensors().into_iter().map(|tensor| tensor.name).collect::<Vec<_>>();
        assert_eq!(names(&plain).len(), 2 + 2 * 9);
        let untied = Config { tied_embedding: false, ..plain.clone() };
        assert_eq!(names(&untied).last().map(String::as_str), Some("output.weight"));
        assert!(plain.ignores("output.weight") && !untied.ignores("output.weight"));
        let biased = Config { biases: Biases::All, ..plain.clone() };
        let optional: Vec<String> = biased.tensors().into_iter().filter(|t| !t.required).map(|t| t.name).collect();
        assert_eq!(optional, ["blk.0.attn_output.bias", "blk.1.attn_output.bias"]);
        let normed = Config { arch: Arch::of_gguf("qwen3").unwrap(), ..plain };
        let norm = normed.tensors().into_iter().find(|tensor| tensor.name == "blk.1.attn_k_norm.weight").unwrap();
        assert_eq!((norm.dims, norm.required), (vec![16], true));
    }
}
