//! The supported model families, one row each.
//!
//! All are pre-norm decoders with RMS norm, rotary embeddings, grouped-query attention and SwiGLU. A row holds the
//! differences. Sources: `configuration_*.py` and `modeling_*.py` of transformers, `src/llama-arch.cpp` and
//! `src/llama-model.cpp` of llama.cpp.

use crate::{Biases, Config, RopeMode};

/// A model family.
#[derive(Debug, PartialEq)]
pub struct Arch {
    /// Its name here, and in Hugging Face's `model_type`.
    pub name: &'static str,
    /// Queries and keys of each head are normalised (RMS, weights of `head_dim`) before RoPE.
    pub qk_norm: bool,
    pub gguf: Gguf,
    pub hugging_face: HuggingFace,
}

/// A family in GGUF files. Families may share a row's name: the first of [`Arch::ALL`] reads such a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gguf {
    /// `general.architecture`, and the prefix of its keys.
    pub name: &'static str,
    /// The order of the rows of queries and keys.
    pub rope_mode: RopeMode,
    pub biases: Biases,
    /// Whether RoPE's frequencies may have a divisor each, in the tensor `rope_freqs.weight`.
    pub rope_factors: bool,
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
}

/// How `config.json` gives a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigWindow {
    /// Not at all.
    Never,
    /// `sliding_window`: by default 4096, none if null.
    Always,
    /// The same, where `use_sliding_window` is set, in the layers from `max_window_layers` (by default 28) on.
    Switched,
}

const LLAMA: Arch = Arch {
    name: "llama",
    qk_norm: false,
    gguf: Gguf { name: "llama", rope_mode: RopeMode::Interleaved, biases: Biases::Found, rope_factors: true },
    hugging_face: HuggingFace {
        class: "LlamaForCausalLM",
        biases: ConfigBiases::Key,
        window: ConfigWindow::Never,
        head_dim: None,
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
    qk_norm: false,
    gguf: Gguf { name: "qwen2", rope_mode: RopeMode::Half, biases: Biases::Qkv, rope_factors: false },
    hugging_face: HuggingFace {
        class: "Qwen2ForCausalLM",
        biases: ConfigBiases::Qkv,
        window: ConfigWindow::Switched,
        head_dim: None,
    },
};

const QWEN3: Arch = Arch {
    name: "qwen3",
    qk_norm: true,
    gguf: Gguf { name: "qwen3", biases: Biases::None, ..QWEN2.gguf },
    hugging_face: HuggingFace {
        class: "Qwen3ForCausalLM",
        biases: ConfigBiases::Key,
        head_dim: Some(128),
        ..QWEN2.hugging_face
    },
};

impl Arch {
    /// Every family.
    pub const ALL: &[Arch] = &[LLAMA, MISTRAL, QWEN2, QWEN3];

    /// The simplest family, used for models given by sizes instead of a checkpoint.
    pub const LLAMA: &Arch = &LLAMA;
    pub const QWEN3: &Arch = &QWEN3;

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
        assert_eq!(Arch::gguf_names(), "llama, qwen2 and qwen3");
        assert_eq!(Arch::hugging_face_names(), "llama, mistral, qwen2 and qwen3");
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
