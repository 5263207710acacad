//! The sizes of a model, validated.

use crate::{Arch, Norm, QkNorm, RopeMode, TENSORS, Tensor, TensorOf, When};

/// Which projections of the attention have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Biases {
    /// Those for which the file has a bias.
    Found,
    None,
    /// Queries, keys and values.
    Qkv,
    /// Queries, keys, values, and the output where the file has it: `attention_bias`, whose absent output bias is zero.
    All,
}

/// A model: its family and its sizes.
///
/// After [`Config::validate`] every number is non-zero and below a sane maximum, `heads` is a multiple of `kv_heads`,
/// `head_dim` is even, and every float is finite and positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub arch: &'static Arch,
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
    /// Maximum number of tokens that the model was trained for.
    pub context: usize,
    pub norm_eps: f32,
    pub rope_base: f32,
    pub rope_mode: RopeMode,
    /// Elements of a head that RoPE rotates, the first; all if `None`.
    pub rotary_dims: Option<usize>,
    /// Divisors of the rotary frequencies, one for each pair, where they are scaled (`rope_scaling` in a Hugging Face config,
    /// in GGUF keys and tensors).
    pub rope_divisors: Option<Vec<f32>>,
    /// Other divisors for long contexts.
    pub long_rope: Option<LongRope>,
    /// What multiplies rotated queries and keys.
    pub rope_scale: f32,
    /// Sliding-window attention: how many keys a query sees, its own included.
    pub window: Option<usize>,
    /// The layers without the window, ascending.
    pub global: Vec<usize>,
    /// RoPE's base in the layers with the window, which then have neither divisors nor `rope_scale`; `None` where it is as in the others.
    pub window_rope_base: Option<f32>,
    /// The layers without RoPE, ascending.
    pub unrotated: Vec<usize>,
    /// What multiplies token embeddings.
    pub embedding_scale: f32,
    /// What multiplies the output of attention and MLP before it is added to the stream.
    pub residual_scale: f32,
    /// What multiplies logits.
    pub logit_scale: f32,
    /// What multiplies scores; `None` for `1 / sqrt(head_dim)`.
    pub attention_scale: Option<f32>,
    /// A score x becomes `c tanh(x / c)`.
    pub attention_softcap: Option<f32>,
    /// The same for logits.
    pub logit_softcap: Option<f32>,
    pub biases: Biases,
    /// The output projection is the token embedding.
    pub tied_embedding: bool,
}

impl Config {
    /// Maximum elements of a head.
    pub const MOST_HEAD_DIM: usize = 1 << 13;

    /// A model of the simplest family, [`Arch::LLAMA`], as in GGUF: one layer, as many key as query heads, each of
    /// `hidden / heads` elements, a tied output and no biases. Not validated; for struct update.
    pub fn plain(hidden: usize, heads: usize, ffn: usize, vocab: usize) -> Config {
        let arch = Arch::LLAMA;
        Config {
            arch,
            name: None,
            layers: 1,
            hidden,
            heads,
            kv_heads: heads,
            head_dim: hidden.checked_div(heads).unwrap_or(0),
            ffn,
            vocab,
            context: 2048,
            norm_eps: 1e-5,
            rope_base: 1e4,
            rope_mode: arch.gguf.rope_mode,
            rotary_dims: None,
            rope_divisors: None,
            long_rope: None,
            rope_scale: 1.0,
            window: None,
            global: Vec::new(),
            window_rope_base: None,
            unrotated: Vec::new(),
            embedding_scale: 1.0,
            residual_scale: 1.0,
            logit_scale: 1.0,
            attention_scale: None,
            attention_softcap: None,
            logit_softcap: None,
            biases: Biases::None,
            tied_embedding: true,
        }
    }

    /// The attention of a layer, in a context of at most `context` tokens.
    pub fn layer(&self, number: usize, context: usize) -> LayerKind<'_> {
        let window = self.window.filter(|_| self.global.binary_search(&number).is_err());
        let rope = self.unrotated.binary_search(&number).is_err().then(|| match self.window_rope_base {
            Some(base) if window.is_some() => Rope { base, divisors: None, scale: 1.0 },
            _ => {
                let long = self.long_rope.as_ref().filter(|long| context > long.above);
                let divisors = long.map(|long| &long.divisors).or(self.rope_divisors.as_ref());
                Rope { base: self.rope_base, divisors: divisors.map(Vec::as_slice), scale: self.rope_scale }
            }
        });
        LayerKind { window, rope }
    }

    /// Elements of a head that RoPE rotates.
    pub fn rotated(&self) -> usize {
        self.rotary_dims.unwrap_or(self.head_dim)
    }

    /// What multiplies scores.
    pub fn score_scale(&self) -> f32 {
        self.attention_scale.unwrap_or_else(|| inverse_root(self.head_dim as f32))
    }

    /// What multiplies the scores of a GGUF file's model that does not say it; `None` for `1 / sqrt(head_dim)`.
    pub fn unsaid_scale(&self) -> Option<f32> {
        let is_wide = self.arch.gguf.wide_scale_at == Some(self.layers);
        is_wide.then(|| inverse_root(self.hidden as f32 / self.heads as f32))
    }

    /// Rows of the query projection.
    pub fn q_rows(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of the key projection, and of the value projection.
    pub fn kv_rows(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Every tensor that this model has or may have, in the order of use.
    pub fn tensors(&self) -> Vec<TensorOf> {
        let first = TENSORS.iter().position(|row| row.is_of_layer()).unwrap_or(TENSORS.len());
        let last = TENSORS.iter().rposition(|row| row.is_of_layer()).map_or(first, |last| last + 1);
        let mut all = Vec::new();
        let mut add = |rows: &'static [Tensor], layer| {
            for row in rows {
                if let Some(required) = self.has(row.when) {
                    let dims = row.shape.iter().map(|size| size.of(self)).collect();
                    all.push(TensorOf { row, name: row.gguf_name(layer), dims, required });
                }
            }
        };
        add(&TENSORS[..first], 0);
        (0..self.layers).for_each(|layer| add(&TENSORS[first..last], layer));
        add(&TENSORS[last..], 0);
        all
    }

    /// Whether a tensor that no row of [`Config::tensors`] names may stay unread, because its values follow from the config.
    pub fn ignores(&self, name: &str) -> bool {
        let untied = TENSORS.iter().any(|row| row.when == When::Untied && row.gguf == name);
        ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"].contains(&name)
            || (self.tied_embedding && untied)
    }

    /// Whether the model has a tensor: `Some(true)` if it is required, `Some(false)` if it is optional, `None` if the model
    /// cannot have it, even if the file does.
    fn has(&self, when: When) -> Option<bool> {
        match when {
            When::Always => Some(true),
            When::Untied => (!self.tied_embedding).then_some(true),
            When::QkNormed
            | When::PreNorm
            | When::PreNormBias
            | When::PostNorm
            | When::PostNormBias
            | When::NormBias
            | When::Gated => self.arch.may_have(when).then_some(true),
            When::MlpBias => (self.arch.may_have(when) && self.biases == Biases::All).then_some(true),
            When::QkvBias => match self.biases {
                Biases::Found => Some(false),
                Biases::None => None,
                Biases::Qkv | Biases::All => Some(true),
            },
            When::OutputBias => match self.biases {
                Biases::All if self.arch.may_have(When::MlpBias) => Some(true),
                Biases::Found | Biases::All => Some(false),
                Biases::None | Biases::Qkv => None,
            },
        }
    }

    /// # Errors
    /// Names the field and the rule that it breaks.
    pub fn validate(self) -> Result<Self, String> {
        // Far above any model, and low enough for every product of two, and bytes of it, to fit 63 bits.
        let limits = [
            ("layers", self.layers, 1 << 12),
            ("hidden size", self.hidden, 1 << 20),
            ("heads", self.heads, 1 << 12),
            ("kv heads", self.kv_heads, 1 << 12),
            ("head dimension", self.head_dim, Self::MOST_HEAD_DIM),
            ("ffn size", self.ffn, 1 << 24),
            ("vocabulary", self.vocab, 1 << 24),
            ("context length", self.context, 1 << 30),
            ("sliding window", self.window.unwrap_or(1), 1 << 30),
        ];
        for (field, value, most) in limits {
            if value == 0 || value > most {
                return Err(format!("{field} of {value} cannot be right; 1 to {most} are allowed"));
            }
        }
        let Config { heads, kv_heads, head_dim, .. } = self;
        if !heads.is_multiple_of(kv_heads) {
            return Err(format!("{heads} heads are not a multiple of {kv_heads} kv heads"));
        }
        let rotated = self.rotated();
        if !head_dim.is_multiple_of(2) {
            return Err(format!("a head dimension of {head_dim} is odd; rotary embeddings need pairs"));
        }
        if rotated == 0 || rotated > head_dim || !rotated.is_multiple_of(2) {
            return Err(format!("{rotated} rotated elements of a head of {head_dim} cannot be right"));
        }
        for (field, value) in [
            ("norm epsilon", Some(self.norm_eps)),
            ("rope base", Some(self.rope_base)),
            ("rope scale", Some(self.rope_scale)),
            ("rope base of layers with a window", self.window_rope_base),
            ("embedding scale", Some(self.embedding_scale)),
            ("residual scale", Some(self.residual_scale)),
            ("logit scale", Some(self.logit_scale)),
            ("attention scale", self.attention_scale),
            ("soft cap of scores", self.attention_softcap),
            ("soft cap of logits", self.logit_softcap),
        ] {
            value.map_or(Ok(()), |value| positive(field, value))?;
        }
        for (field, layers) in [("without a window", &self.global), ("without RoPE", &self.unrotated)] {
            if !layers.is_sorted_by(|a, b| a < b) || layers.last().is_some_and(|last| *last >= self.layers) {
                return Err(format!("the layers {field} cannot be {layers:?} of {}", self.layers));
            }
        }
        for divisors in self.rope_divisors.iter().chain(self.long_rope.as_ref().map(|long| &long.divisors)) {
            if divisors.len() != rotated / 2 {
                let count = divisors.len();
                return Err(format!("{count} rope divisors for {} frequencies", rotated / 2));
            }
            divisors.iter().try_for_each(|divisor| positive("rope divisor", *divisor))?;
        }
        // Said, but the default.
        let attention_scale = self.attention_scale.filter(|scale| *scale != inverse_root(head_dim as f32));
        Ok(Config { attention_scale, ..self })
    }
}

/// RoPE's divisors for long contexts (LongRoPE, arXiv:2402.13753).
#[derive(Clone, Debug, PartialEq)]
pub struct LongRope {
    /// The longest context of the other divisors.
    pub above: usize,
    pub divisors: Vec<f32>,
}

/// The attention of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerKind<'a> {
    pub window: Option<usize>,
    /// `None` for a layer without RoPE.
    pub rope: Option<Rope<'a>>,
}

/// Rotary embeddings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope<'a> {
    pub base: f32,
    /// Of the frequencies; all 1 if `None`.
    pub divisors: Option<&'a [f32]>,
    /// What multiplies rotated elements.
    pub scale: f32,
}

impl Arch {
    /// Whether some model of the family has a tensor.
    pub fn may_have(&self, when: When) -> bool {
        let has_norm_bias = self.norm == Norm::Layer;
        match when {
            When::QkNormed => self.qk_norm != QkNorm::None,
            When::PreNorm => self.norms.has_pre(),
            When::PreNormBias => self.norms.has_pre() && has_norm_bias,
            When::PostNorm => self.norms.has_post(),
            When::PostNormBias => self.norms.has_post() && has_norm_bias,
            When::NormBias => has_norm_bias,
            When::Gated => self.mlp.is_gated(),
            When::MlpBias => !self.mlp.is_gated(),
            When::Always | When::QkvBias | When::OutputBias | When::Untied => true,
        }
    }
}

fn inverse_root(value: f32) -> f32 {
    value.powf(-0.5)
}

fn positive(field: &str, value: f32) -> Result<(), String> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(format!("{field} of {value} cannot be right; it is a finite number above zero"))
}
