//! The dimensions of a model, validated.

pub(crate) mod gguf;
pub(crate) mod hf;
pub(crate) mod scaling;
pub(crate) mod unread;

use crate::Error;

/// How rotary embeddings pair the elements of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopeMode {
    /// Pairs (2i, 2i + 1): llama in GGUF, whose conversion permutes the rows of q and k for it.
    Interleaved,
    /// Pairs (i, i + D/2): Hugging Face's models, and GGUF's "neox" architectures.
    Half,
}

/// Which projections of the attention have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Biases {
    /// Those of which the file has one: llama in GGUF.
    Found,
    None,
    /// Queries, keys and values: qwen2.
    Qkv,
    /// Queries, keys, values, and the output where the file has it: `attention_bias`, whose absent output bias is zero.
    All,
}

/// A model of the llama family: RMS norm, rotary embeddings, grouped-query attention, SwiGLU.
///
/// Every number is non-zero and below a sane maximum, `heads` is a multiple of `kv_heads`, `head_dim` is even, and every
/// float is finite and positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `llama`, `mistral` or `qwen2`.
    pub architecture: String,
    /// What the file calls the model.
    pub name: Option<String>,
    pub layers: usize,
    /// Elements of a token's state between the blocks.
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    /// Elements of a head; `heads * head_dim` need not be `hidden`.
    pub head_dim: usize,
    /// Elements between the projections of the MLP.
    pub ffn: usize,
    pub vocab: usize,
    /// Most tokens that the model was made for.
    pub context: usize,
    pub norm_eps: f32,
    pub rope_base: f32,
    pub rope_mode: RopeMode,
    /// Divisors of the `head_dim / 2` rotary frequencies, where they are scaled: linear scaling, llama3 scaling
    /// (`rope_scaling` in a Hugging Face config), or GGUF's tensor `rope_freqs.weight`.
    pub rope_divisors: Option<Vec<f32>>,
    /// Sliding-window attention: how many keys a query sees, its own included.
    pub window: Option<usize>,
    pub biases: Biases,
    /// The output projection is the token embedding.
    pub tied_embedding: bool,
}

impl Config {
    pub(crate) const ARCHITECTURES: &str = "llama, mistral and qwen2";

    /// Rows of the query projection.
    pub fn q_rows(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of the key projection, and of the value projection.
    pub fn kv_rows(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// # Errors
    /// Names the field and the rule that it breaks.
    pub(crate) fn validate(self) -> Result<Self, Error> {
        // Far above any model, and low enough for every product of two, and bytes of it, to fit 63 bits.
        let limits = [
            ("layers", self.layers, 1 << 12),
            ("hidden size", self.hidden, 1 << 20),
            ("heads", self.heads, 1 << 12),
            ("kv heads", self.kv_heads, 1 << 12),
            ("head dimension", self.head_dim, 1 << 13),
            ("ffn size", self.ffn, 1 << 24),
            ("vocabulary", self.vocab, 1 << 24),
            ("context length", self.context, 1 << 30),
            ("sliding window", self.window.unwrap_or(1), 1 << 30),
        ];
        for (field, value, most) in limits {
            if value == 0 || value > most {
                return Err(config(format!("{field} of {value} cannot be right; 1 to {most} are allowed")));
            }
        }
        let Config { heads, kv_heads, head_dim, .. } = self;
        if !heads.is_multiple_of(kv_heads) {
            return Err(config(format!("{heads} heads are not a multiple of {kv_heads} kv heads")));
        }
        if !head_dim.is_multiple_of(2) {
            return Err(config(format!("a head dimension of {head_dim} is odd; rotary embeddings need pairs")));
        }
        positive("norm epsilon", self.norm_eps)?;
        positive("rope base", self.rope_base)?;
        if let Some(divisors) = &self.rope_divisors {
            if divisors.len() != head_dim / 2 {
                let count = divisors.len();
                return Err(config(format!("{count} rope divisors for {} frequencies", head_dim / 2)));
            }
            divisors.iter().try_for_each(|divisor| positive("rope divisor", *divisor))?;
        }
        Ok(self)
    }
}

/// The head dimension that follows from the others where the file gives none.
fn derived_head_dim(hidden: usize, heads: usize) -> Result<usize, Error> {
    match hidden.checked_rem(heads) {
        Some(0) => Ok(hidden / heads),
        _ => Err(config(format!("hidden size {hidden} is not a multiple of {heads} heads"))),
    }
}

fn positive(field: &str, value: f32) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(config(format!("{field} of {value} cannot be right; it is a finite number above zero")))
}

fn config(cause: String) -> Error {
    Error::invalid("the model's config", cause)
}

fn unsupported_architecture(place: &str, found: &str) -> Error {
    let cause = format!("architecture `{found}` is not supported; {} are", Config::ARCHITECTURES);
    Error::invalid(place, cause)
}

/// # Errors
/// If it does not fit this machine's `usize`.
fn size(place: &str, value: u64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| Error::invalid(place, format!("the value {value} is out of range")))
}
