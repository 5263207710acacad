//! The supported model families, one row each.
//!
//! All are decoders with grouped-query attention. A row holds what differs from Llama: pre-norm with RMS norm, rotary
//! embeddings, SwiGLU. Sources: `configuration_*.py` and `modeling_*.py` of transformers, `src/llama-arch.cpp` and
//! `src/models` of llama.cpp.

use crate::{Biases, Config, RopeMode};

/// A model family.
#[derive(Debug, PartialEq)]
pub struct Arch {
    /// Its name here, and in Hugging Face's `model_type`.
    pub name: &'static str,
    pub norm: Norm,
    pub norms: Norms,
    pub qk_norm: QkNorm,
    pub mlp: Mlp,
    /// The factor of token embeddings is `sqrt(hidden)`.
    pub scaled_embedding: bool,
    /// The configuration has factors of embeddings, sub-layers, scores and logits.
    pub multipliers: bool,
    /// The limits of scores and logits where the configuration does not say; `None` if the family has none.
    pub softcaps: Option<Softcaps>,
    /// Where the model has a window, and the file does not say in which layers: each layer whose number, counted from 1, is a
    /// multiple of this is without.
    pub global_every: Option<usize>,
    /// RoPE's base in the layers with a window, where it is another than in those without, and the file does not say it.
    pub window_rope_base: Option<f32>,
    /// The same as `global_every` for layers without RoPE.
    pub unrotated_every: Option<usize>,
    pub gguf: Gguf,
    pub hugging_face: HuggingFace,
}

/// The kind of the norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    Rms,
    /// With the mean subtracted, and a bias.
    Layer,
}

/// Where attention and MLP have norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// On their input.
    Pre,
    /// On their output, before it is added to the stream.
    Post,
    Both,
}

/// Norms of queries and keys, before RoPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    None,
    /// Over each head, with weights of `head_dim`.
    Head,
    /// Over all heads at once.
    Projection,
}

/// The layers of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlp {
    /// `down(silu(gate(x)) * up(x))`
    Swiglu,
    /// The same with the tanh form of gelu.
    Geglu,
    /// `down(gelu(up(x)))`, in the tanh form, with biases.
    Gelu,
}

/// A value x becomes `c tanh(x / c)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softcaps {
    pub scores: Option<f32>,
    pub logits: Option<f32>,
}

/// A family in GGUF files. Families may share a row's name: the first of [`Arch::ALL`] reads such a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gguf {
    /// `general.architecture`, and the prefix of its keys.
    pub name: &'static str,
    /// The order of the rows of queries and keys.
    pub rope_mode: RopeMode,
    pub biases: Biases,
    /// Whether files may have a sliding window.
    pub windows: bool,
    /// Whether RoPE's frequencies may have a divisor each, in the tensor `rope_freqs.weight`.
    pub rope_factors: bool,
    /// The number of layers of the one size whose scores are scaled by `sqrt(heads / hidden)`; files do not say it.
    pub wide_scale_at: Option<usize>,
    pub fused: &'static [Fused],
}

/// A family in Hugging Face's format, where RoPE's mode always is [`RopeMode::Half`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HuggingFace {
    /// The class of `architectures`.
    pub class: &'static str,
    pub biases: ConfigBiases,
    pub window: ConfigWindow,
    /// Head size if `head_dim` is absent; `None` if it is then `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// The key of the norms' epsilon, and its value if absent.
    pub eps: (&'static str, f32),
    /// The keys of the activation, of which one must be there.
    pub activation: &'static [&'static str],
    /// `query_pre_attn_scalar` if absent, whose inverse root multiplies scores; `None` if the family has no such key.
    pub query_scalar: Option<f32>,
    /// Norms are stored as their difference from 1.
    pub norm_less_one: bool,
    /// Names of tensors that are not those of [`TENSORS`](crate::TENSORS), by the canonical name.
    pub names: &'static [(&'static str, &'static str)],
    pub fused: &'static [Fused],
}

/// A tensor of a file whose rows are those of several tensors, one after another. In names `N` is the layer number.
#[derive(Debug, PartialEq)]
pub struct Fused {
    pub name: &'static str,
    /// By their canonical names.
    pub parts: &'static [&'static str],
}

/// How `config.json` says which projections have biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigBiases {
    /// `attention_bias`: all four projections, or none.
    Key,
    /// The same key, which transformers does not know for this family; other engines apply it.
    ForeignKey,
    /// Queries, keys and values always have them.
    Qkv,
    /// `use_bias`, by default true: all projections, also those of the MLP.
    UseBias,
}

/// How `config.json` gives a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigWindow {
    /// Not at all.
    Never,
    /// `sliding_window`: by default 4096, none if null; in the layers that `layer_types` or the family says.
    Always,
    /// `sliding_window`, none if absent.
    Optional,
    /// `sliding_window`, where `use_sliding_window` is set, in the layers from `max_window_layers` (by default 28) on.
    Switched,
}

const LLAMA: Arch = Arch {
    name: "llama",
    norm: Norm::Rms,
    norms: Norms::Pre,
    qk_norm: QkNorm::None,
    mlp: Mlp::Swiglu,
    scaled_embedding: false,
    multipliers: false,
    softcaps: None,
    global_every: None,
    window_rope_base: None,
    unrotated_every: None,
    gguf: Gguf {
        name: "llama",
        rope_mode: RopeMode::Interleaved,
        biases: Biases::Found,
        windows: true,
        rope_factors: true,
        wide_scale_at: None,
        fused: &[],
    },
    hugging_face: HuggingFace {
        class: "LlamaForCausalLM",
        biases: ConfigBiases::Key,
        window: ConfigWindow::Never,
        head_dim: None,
        eps: ("rms_norm_eps", 1e-6),
        activation: &["hidden_act"],
        query_scalar: None,
        norm_less_one: false,
        names: &[],
        fused: &[],
    },
};

/// A `llama` in GGUF.
const MISTRAL: Arch = Arch {
    name: "mistral",
    hugging_face: HuggingFace {
        class: "MistralForCausalLM",
        biases: ConfigBiases::ForeignKey,
        window: ConfigWindow::Always,
        ..LLAMA.hugging_face
    },
    ..LLAMA
};

const QWEN2: Arch = Arch {
    name: "qwen2",
    gguf: Gguf { name: "qwen2", rope_mode: RopeMode::Half, biases: Biases::Qkv, rope_factors: false, ..LLAMA.gguf },
    hugging_face: HuggingFace {
        class: "Qwen2ForCausalLM",
        biases: ConfigBiases::Qkv,
        window: ConfigWindow::Switched,
        ..LLAMA.hugging_face
    },
    ..LLAMA
};

const QWEN3: Arch = Arch {
    name: "qwen3",
    qk_norm: QkNorm::Head,
    gguf: Gguf { name: "qwen3", biases: Biases::None, ..QWEN2.gguf },
    hugging_face: HuggingFace {
        class: "Qwen3ForCausalLM",
        biases: ConfigBiases::Key,
        head_dim: Some(128),
        ..QWEN2.hugging_face
    },
    ..LLAMA
};

const GEMMA2: Arch = Arch {
    name: "gemma2",
    norms: Norms::Both,
    mlp: Mlp::Geglu,
    scaled_embedding: true,
    softcaps: Some(Softcaps { scores: Some(50.0), logits: Some(30.0) }),
    global_every: Some(2),
    gguf: Gguf {
        name: "gemma2",
        rope_mode: RopeMode::Half,
        biases: Biases::None,
        wide_scale_at: Some(46),
        ..QWEN2.gguf
    },
    hugging_face: HuggingFace {
        class: "Gemma2ForCausalLM",
        window: ConfigWindow::Always,
        head_dim: Some(256),
        activation: &["hidden_activation", "hidden_act"],
        query_scalar: Some(256.0),
        norm_less_one: true,
        names: &[("blk.N.ffn_norm.weight", "model.layers.N.pre_feedforward_layernorm.weight")],
        ..LLAMA.hugging_face
    },
    ..LLAMA
};

const GEMMA3: Arch = Arch {
    name: "gemma3_text",
    qk_norm: QkNorm::Head,
    softcaps: Some(Softcaps { scores: None, logits: None }),
    global_every: Some(6),
    window_rope_base: Some(1e4),
    gguf: Gguf { name: "gemma3", wide_scale_at: Some(62), ..GEMMA2.gguf },
    hugging_face: HuggingFace { class: "Gemma3ForCausalLM", ..GEMMA2.hugging_face },
    ..GEMMA2
};

const GRANITE: Arch = Arch {
    name: "granite",
    multipliers: true,
    gguf: Gguf { name: "granite", windows: false, ..LLAMA.gguf },
    hugging_face: HuggingFace { class: "GraniteForCausalLM", ..LLAMA.hugging_face },
    ..LLAMA
};

const OLMO2: Arch = Arch {
    name: "olmo2",
    norms: Norms::Post,
    qk_norm: QkNorm::Projection,
    gguf: Gguf { name: "olmo2", biases: Biases::None, windows: false, ..QWEN2.gguf },
    hugging_face: HuggingFace { class: "Olmo2ForCausalLM", eps: ("rms_norm_eps", 1e-5), ..LLAMA.hugging_face },
    ..LLAMA
};

const PHI3: Arch = Arch {
    name: "phi3",
    gguf: Gguf {
        name: "phi3",
        biases: Biases::None,
        fused: &[
            Fused { name: "blk.N.attn_qkv.weight", parts: QKV },
            Fused { name: "blk.N.ffn_up.weight", parts: GATE_UP },
        ],
        ..QWEN2.gguf
    },
    hugging_face: HuggingFace {
        class: "Phi3ForCausalLM",
        window: ConfigWindow::Optional,
        eps: ("rms_norm_eps", 1e-5),
        fused: &[
            Fused { name: "model.layers.N.self_attn.qkv_proj.weight", parts: QKV },
            Fused { name: "model.layers.N.mlp.gate_up_proj.weight", parts: GATE_UP },
        ],
        ..LLAMA.hugging_face
    },
    ..LLAMA
};

const QKV: &[&str] = &["blk.N.attn_q.weight", "blk.N.attn_k.weight", "blk.N.attn_v.weight"];
const GATE_UP: &[&str] = &["blk.N.ffn_gate.weight", "blk.N.ffn_up.weight"];

const SMOLLM3: Arch = Arch {
    name: "smollm3",
    unrotated_every: Some(4),
    gguf: Gguf { name: "smollm3", windows: false, ..LLAMA.gguf },
    hugging_face: HuggingFace { class: "SmolLM3ForCausalLM", window: ConfigWindow::Switched, ..LLAMA.hugging_face },
    ..LLAMA
};

const STARCODER2: Arch = Arch {
    name: "starcoder2",
    norm: Norm::Layer,
    mlp: Mlp::Gelu,
    gguf: Gguf { name: "starcoder2", biases: Biases::All, ..QWEN2.gguf },
    hugging_face: HuggingFace {
        class: "Starcoder2ForCausalLM",
        biases: ConfigBiases::UseBias,
        window: ConfigWindow::Optional,
        eps: ("norm_epsilon", 1e-5),
        names: &[
            ("blk.N.ffn_up.weight", "model.layers.N.mlp.c_fc.weight"),
            ("blk.N.ffn_up.bias", "model.layers.N.mlp.c_fc.bias"),
            ("blk.N.ffn_down.weight", "model.layers.N.mlp.c_proj.weight"),
            ("blk.N.ffn_down.bias", "model.layers.N.mlp.c_proj.bias"),
        ],
        ..LLAMA.hugging_face
    },
    ..LLAMA
};

impl Norm {
    /// The key of its epsilon in GGUF.
    pub fn gguf_eps(self) -> &'static str {
        match self {
            Norm::Rms => "attention.layer_norm_rms_epsilon",
            Norm::Layer => "attention.layer_norm_epsilon",
        }
    }
}

impl Norms {
    pub fn has_pre(self) -> bool {
        self != Norms::Post
    }

    pub fn has_post(self) -> bool {
        self != Norms::Pre
    }
}

impl Mlp {
    pub fn is_gated(self) -> bool {
        self != Mlp::Gelu
    }

    /// The activation's names in `config.json`.
    pub fn activations(self) -> &'static [&'static str] {
        match self {
            Mlp::Swiglu => &["silu"],
            Mlp::Geglu | Mlp::Gelu => &["gelu_pytorch_tanh"],
        }
    }
}

impl Arch {
    /// Every family.
    pub const ALL: &[Arch] = &[LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA2, GEMMA3, GRANITE, OLMO2, PHI3, SMOLLM3, STARCODER2];

    /// The simplest family, used for models given by sizes instead of a checkpoint.
    pub const LLAMA: &Arch = &LLAMA;

    /// Whether it differs from Llama in biases, windows and norms of heads only.
    pub fn is_plain(&self) -> bool {
        let shape = (self.norm, self.norms, self.mlp) == (Norm::Rms, Norms::Pre, Mlp::Swiglu);
        let factors = self.scaled_embedding || self.multipliers || self.softcaps.is_some();
        shape && !factors && self.unrotated_every.is_none() && self.hugging_face.fused.is_empty()
    }

    /// The rows that read GGUF files: one for each name there.
    pub fn gguf_rows() -> impl Iterator<Item = &'static Arch> {
        Self::ALL.iter().filter(|arch| Self::of_gguf(arch.gguf.name) == Some(arch))
    }

    /// By `general.architecture` of a GGUF file.
    pub fn of_gguf(name: &str) -> Option<&'static Arch> {
        Self::ALL.iter().find(|arch| arch.gguf.name == name)
    }

    /// By `model_type` of a `config.json`.
    pub fn of_hugging_face(name: &str) -> Option<&'static Arch> {
        Self::ALL.iter().find(|arch| arch.name == name)
    }

    /// The family in Hugging Face's format of a model from a GGUF file: one with the same GGUF name, and with a window if the
    /// model has one.
    pub fn in_hugging_face(config: &Config) -> Option<&'static Arch> {
        let fits = |arch: &&Arch| {
            arch.gguf.name == config.arch.gguf.name
                && (config.window.is_none() || arch.hugging_face.window != ConfigWindow::Never)
        };
        Self::ALL.iter().find(fits)
    }

    /// The names that GGUF files may have, as an error lists them.
    pub fn gguf_names() -> String {
        list(Self::ALL.iter().map(|arch| arch.gguf.name))
    }

    /// The names that a `model_type` may have, as an error lists them.
    pub fn hugging_face_names() -> String {
        list(Self::ALL.iter().map(|arch| arch.name))
    }
}

/// `a, b and c`, each name once.
fn list(names: impl Iterator<Item = &'static str>) -> String {
    let mut all: Vec<&str> = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    match all.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_once() {
        assert_eq!(
            Arch::gguf_names(),
            "llama, qwen2, qwen3, gemma2, gemma3, granite, olmo2, phi3, smollm3 and starcoder2"
        );
        assert_eq!(
            Arch::hugging_face_names(),
            "llama, mistral, qwen2, qwen3, gemma2, gemma3_text, granite, olmo2, phi3, smollm3 and starcoder2"
        );
    }

    #[test]
    fn names_lead_to_their_rows() {
        assert_eq!(Arch::of_gguf("llama").map(|arch| arch.name), Some("llama"));
        assert_eq!(Arch::of_gguf("mistral"), None);
        for arch in Arch::ALL {
            assert_eq!(Arch::of_hugging_face(arch.name), Some(arch));
            assert_eq!(Arch::of_gguf(arch.gguf.name).map(|found| found.gguf), Some(arch.gguf));
        }
        assert_eq!((Arch::of_gguf("qwen3moe"), Arch::of_hugging_face("qwen3_moe")), (None, None));
    }
}
