//! A config from the metadata of a GGUF file.

use super::scaling::{Scaled, Yarn};
use super::unread::{self, Asked, Left, Unread};
use super::{derived_head_dim, every, scaling, size, unsupported_architecture, validated};
use crate::Error;
use crate::gguf::{self, GgmlType, Gguf, TensorInfo};
use crate::json::shorten;
use kforge_models::{Arch, Config, LongRope, Softcaps};
use serde_json::Value;

const ROPE_FREQS: &str = "rope_freqs.weight";
const SHORT: &str = "rope_factors_short.weight";
const LONG: &str = "rope_factors_long.weight";
/// llama.cpp's, where a file gives none.
const DEFAULT_ROPE_BASE: f32 = 10_000.0;

/// Reads and validates the config of a model. Also returns the keys that were not read, except those that describe the
/// file or belong to the tokenizer.
///
/// # Errors
/// If a key is missing, has the wrong type, or asks for something that we do not compute; or if one of the
/// architecture's that is not read may change what the model computes, and `ignore` does not name it.
pub(crate) fn read(gguf: &Gguf, ignore: &[String]) -> Result<(Config, Vec<Unread>), Error> {
    const DESCRIPTIVE: [&str; 4] = ["general.", "tokenizer.", "quantize.", "split."];
    let architecture = gguf.string("general.architecture")?;
    let arch = Arch::of_gguf(architecture).ok_or_else(|| {
        unsupported_architecture("metadata `general.architecture`", architecture, &Arch::gguf_names())
    })?;
    let keys = Keys { gguf, arch, asked: Asked::default() };
    let config = read_config(&keys)?;
    let left = gguf.metadata().filter(|(key, _)| !keys.asked.contains(key));
    let left = left.filter(|(key, _)| !DESCRIPTIVE.iter().any(|prefix| key.starts_with(prefix)));
    let left = left.map(|(key, value)| Left {
        key: key.to_owned(),
        value: json(gguf, value),
        shown: shorten(&gguf.display(value)),
    });
    let prefix = format!("{architecture}.");
    let unread = unread::check(left.collect(), &unread::GGUF, &prefix, &config, ignore)?;
    Ok((config, unread))
}

/// A value in the form for the neutral-value rules: an array too long to have one number per layer is treated as text.
fn json(gguf: &Gguf, value: &gguf::Value) -> Value {
    const MOST: usize = 1 << 12;
    match value {
        gguf::Value::Unsigned(_, value) => (*value).into(),
        gguf::Value::Signed(_, value) => (*value).into(),
        gguf::Value::F32(value) if value.is_finite() => f64::from(*value).into(),
        gguf::Value::F64(value) if value.is_finite() => (*value).into(),
        gguf::Value::Bool(value) => (*value).into(),
        gguf::Value::String(value) => value.as_str().into(),
        gguf::Value::Array(array) if array.len <= MOST && array.element != gguf::ValueType::Array => {
            let values = gguf.view(array).values();
            values.map(|value| json(gguf, &value)).collect()
        }
        gguf::Value::F32(_) | gguf::Value::F64(_) | gguf::Value::Array(_) => gguf.display(value).into(),
    }
}

fn read_config(keys: &Keys) -> Result<Config, Error> {
    let &Keys { gguf, arch, .. } = keys;
    keys.refuse_above_zero("expert_count", "mixtures of experts are not supported")?;

    let hidden = keys.require("embedding_length")?;
    let heads = keys.require("attention.head_count")?;
    let head_dim = match keys.optional("attention.key_length")? {
        Some(length) => length,
        None => derived_head_dim(hidden, heads)?,
    };
    keys.same("attention.value_length", head_dim, "values of another size than keys are not supported")?;
    let rotary_dims = keys.optional("rope.dimension_count")?.filter(|dims| *dims != head_dim);
    let context = keys.require("context_length")?;
    let Scaled { divisors, long, scale } = rope_scaling(keys, rotary_dims.unwrap_or(head_dim), context)?;

    let embedding_rows = tensor(gguf, "token_embd.weight").and_then(|tensor| tensor.dims.first());
    let vocab = match (keys.optional("vocab_size")?, embedding_rows) {
        (Some(size), _) => size,
        (None, Some(rows)) => *rows,
        (None, None) => return Err(Error::invalid("tensor `token_embd.weight`", "the tensor is missing")),
    };
    let layers = keys.require("block_count")?;
    // A family without windows has the key unread, which is an error unless it is neutral.
    let window = match arch.gguf.windows {
        true => keys.optional("attention.sliding_window")?.filter(|window| *window > 0),
        false => None,
    };
    let multiplier = |key: &str| match arch.multipliers {
        // 0 is "not set" to llama.cpp.
        true => Ok::<_, Error>(keys.number(key)?.filter(|scale| *scale != 0.0)),
        false => Ok(None),
    };
    let embedding_scale = match arch.scaled_embedding {
        true => (hidden as f32).sqrt(),
        false => multiplier("embedding_scale")?.unwrap_or(1.0),
    };
    let softcap = |key: &str, default: fn(&Softcaps) -> Option<f32>| match &arch.softcaps {
        Some(caps) => Ok::<_, Error>(keys.number(key)?.or(default(caps)).filter(|cap| *cap != 0.0)),
        None => Ok(None),
    };
    let config = Config {
        arch,
        name: gguf.optional("general.name", Gguf::string)?.map(str::to_owned),
        layers,
        hidden,
        heads,
        kv_heads: keys.optional("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        ffn: keys.require("feed_forward_length")?,
        vocab,
        context,
        norm_eps: gguf.f32(&keys.asked(arch.norm.gguf_eps()))?,
        rope_base: keys.number("rope.freq_base")?.unwrap_or(DEFAULT_ROPE_BASE),
        rope_mode: arch.gguf.rope_mode,
        rotary_dims,
        rope_divisors: divisors,
        long_rope: long,
        rope_scale: scale,
        window,
        global: if window.is_some() { global(keys, layers)? } else { Vec::new() },
        window_rope_base: match arch.window_rope_base {
            Some(default) => Some(keys.number("rope.freq_base_swa")?.unwrap_or(default)),
            None => None,
        },
        unrotated: every(arch.unrotated_every, layers),
        embedding_scale,
        residual_scale: multiplier("residual_scale")?.unwrap_or(1.0),
        logit_scale: multiplier("logit_scale")?.map_or(1.0, f32::recip),
        attention_scale: multiplier("attention.scale")?,
        attention_softcap: softcap("attn_logit_softcapping", |caps| caps.scores)?,
        logit_softcap: softcap("final_logit_softcapping", |caps| caps.logits)?,
        biases: arch.gguf.biases,
        tied_embedding: tensor(gguf, "output.weight").is_none(),
    };
    let attention_scale = config.attention_scale.or(config.unsaid_scale());
    validated(Config { attention_scale, ..config })
}

/// The layers without the window: from a period, a flag for each layer that has the window, or the family's period.
fn global(keys: &Keys, layers: usize) -> Result<Vec<usize>, Error> {
    const KEY: &str = "attention.sliding_window_pattern";
    let name = keys.asked(KEY);
    let Some(value) = keys.gguf.metadata().find(|(key, _)| *key == name).map(|(_, value)| value) else {
        return Ok(every(keys.arch.global_every, layers));
    };
    let gguf::Value::Array(array) = value else {
        return Ok(every(Some(keys.require(KEY)?), layers));
    };
    if array.element != gguf::ValueType::Bool || array.len != layers {
        let cause = format!("expected a number, or an array of {layers} flags");
        return Err(Error::invalid(keys.place(KEY), cause));
    }
    let windows = keys.gguf.view(array).values();
    Ok(windows.enumerate().filter(|(_, value)| *value == gguf::Value::Bool(false)).map(|(layer, _)| layer).collect())
}

/// Keys under the architecture's name. Each that is asked for is recorded.
struct Keys<'a> {
    gguf: &'a Gguf,
    arch: &'static Arch,
    asked: Asked,
}

impl Keys<'_> {
    /// The full name, recorded as asked for.
    fn asked(&self, key: &str) -> String {
        let key = format!("{}.{key}", self.arch.gguf.name);
        self.asked.add(key.clone());
        key
    }

    fn place(&self, key: &str) -> String {
        format!("metadata `{}.{key}`", self.arch.gguf.name)
    }

    fn require(&self, key: &str) -> Result<usize, Error> {
        size(&self.place(key), self.gguf.u64(&self.asked(key))?)
    }

    fn optional(&self, key: &str) -> Result<Option<usize>, Error> {
        let value = self.gguf.optional(&self.asked(key), Gguf::u64)?;
        value.map(|value| size(&self.place(key), value)).transpose()
    }

    fn number(&self, key: &str) -> Result<Option<f32>, Error> {
        Ok(self.gguf.optional(&self.asked(key), Gguf::f32)?)
    }

    fn string(&self, key: &str) -> Result<Option<&str>, Error> {
        Ok(self.gguf.optional(&self.asked(key), Gguf::string)?)
    }

    fn same(&self, key: &str, expected: usize, otherwise: &str) -> Result<(), Error> {
        match self.optional(key)? {
            Some(value) if value != expected => {
                Err(Error::invalid(self.place(key), format!("it is {value} for heads of {expected}; {otherwise}")))
            }
            _ => Ok(()),
        }
    }

    fn refuse_above_zero(&self, key: &str, cause: &str) -> Result<(), Error> {
        match self.optional(key)? {
            Some(1..) => Err(Error::invalid(self.place(key), cause)),
            _ => Ok(()),
        }
    }
}

/// The scaling that the metadata names, times the tensor of frequency factors; or the two tensors of LongRoPE.
fn rope_scaling(keys: &Keys, dims: usize, context: usize) -> Result<Scaled, Error> {
    let factors = |name: &str| tensor(keys.gguf, name).map(|info| frequency_factors(keys.gguf, info, dims)).transpose();
    let kind = keys.string("rope.scaling.type")?;
    // 0 is "not set" to llama.cpp.
    let set = |value: Option<f32>| value.filter(|value| *value != 0.0);
    let factor = || match keys.number("rope.scaling.factor")? {
        Some(factor) => Ok::<_, Error>(set(Some(factor)).unwrap_or(1.0)),
        // The key of files from before 2023-11.
        None => Ok(set(keys.number("rope.scale_linear")?).unwrap_or(1.0)),
    };
    let (long, short) = (factors(LONG)?, factors(SHORT)?);
    if long.is_some() != short.is_some() {
        let (missing, found) = if long.is_some() { (SHORT, LONG) } else { (LONG, SHORT) };
        return Err(Error::invalid(
            format!("tensor `{missing}`"),
            format!("the tensor is missing, and there is `{found}`"),
        ));
    }
    if let (Some(long), Some(short)) = (long, short) {
        let original = keys.optional("rope.scaling.original_context_length")?.filter(|above| *above > 0);
        let scale = set(keys.number("rope.scaling.attn_factor")?).unwrap_or(1.0);
        let long = LongRope { above: original.unwrap_or(context), divisors: long };
        return Ok(Scaled { divisors: Some(short), long: Some(long), scale });
    }
    let scaled = match kind {
        None | Some("linear") => match factor()? {
            1.0 => Scaled::default(),
            factor => Scaled::by(scaling::linear(sane(dims)?, factor)),
        },
        Some("none") => Scaled::default(),
        Some("yarn") => {
            let factor = factor()?;
            let original = keys.optional("rope.scaling.original_context_length")?.filter(|original| *original > 0);
            let yarn = Yarn {
                factor,
                original_context: original.unwrap_or(context) as f32,
                beta_fast: set(keys.number("rope.scaling.yarn_beta_fast")?).unwrap_or(32.0),
                beta_slow: set(keys.number("rope.scaling.yarn_beta_slow")?).unwrap_or(1.0),
            };
            let base = keys.number("rope.freq_base")?.unwrap_or(DEFAULT_ROPE_BASE);
            let scale = scaling::yarn_scale(factor) * set(keys.number("rope.scaling.attn_factor")?).unwrap_or(1.0);
            Scaled { scale, ..Scaled::by(scaling::yarn(sane(dims)?, base, &yarn)) }
        }
        Some(other) => {
            let cause =
                format!("rope scaling `{other}` is not supported; none, linear, yarn and the tensors of longrope are");
            return Err(Error::invalid(keys.place("rope.scaling.type"), cause));
        }
    };
    Ok(match (factors(ROPE_FREQS)?, &scaled.divisors) {
        (Some(factors), Some(divisors)) => {
            Scaled { divisors: Some(factors.iter().zip(divisors).map(|(a, b)| a * b).collect()), ..scaled }
        }
        (Some(factors), None) => Scaled { divisors: Some(factors), ..scaled },
        (None, _) => scaled,
    })
}

/// A head dimension that is safe to allocate for, before the whole config is validated.
fn sane(head_dim: usize) -> Result<usize, Error> {
    const MOST: usize = Config::MOST_HEAD_DIM;
    if head_dim <= MOST {
        return Ok(head_dim);
    }
    Err(super::config(format!("head dimension of {head_dim} cannot be right; 1 to {MOST} are allowed")))
}

fn frequency_factors(gguf: &Gguf, info: &TensorInfo, head_dim: usize) -> Result<Vec<f32>, Error> {
    if info.ty != GgmlType::F32 || info.dims != [head_dim / 2] {
        let cause = format!("{} {:?}, but [{}] of F32 are needed", info.ty, info.dims, head_dim / 2);
        return Err(Error::invalid(format!("tensor `{}`", info.name), cause));
    }
    let bytes = gguf.data(info);
    let (words, _) = bytes.as_chunks::<4>();
    Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
}

fn tensor<'a>(gguf: &'a Gguf, name: &str) -> Option<&'a TensorInfo> {
    gguf.tensors().iter().find(|tensor| tensor.name == name)
}
