//! `mlp` and `decoder_block`, composed of the other ops; their decomposition must give the same results.

use crate::check::Op;
use crate::elementwise::apply;
use crate::{Approximate, AttentionAttributes, Error, Result, RopeAttributes, Sequences, Tensor};
use crate::{attention, gelu, kv_update, linear, quantize, rms_norm, rope, swiglu};
use std::str::FromStr;

/// The non-linearity of an `mlp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Silu,
    Gelu,
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "silu" => Ok(Activation::Silu),
            "gelu" => Ok(Activation::Gelu),
            _ => Err(Op("mlp").attribute("activation", "silu or gelu", name)),
        }
    }
}

/// `down(activation(gate(x)) * up(x))`, each of the three a `linear`.
pub fn mlp(input: &Tensor, gate: &Tensor, up: &Tensor, down: &Tensor, activation: Activation) -> Result<Tensor> {
    let gate = linear(input, gate, None)?;
    let up = linear(input, up, None)?;
    let inner = match activation {
        Activation::Silu => swiglu(&gate, &up)?,
        Activation::Gelu => apply("mulf", &[&gelu(&gate, Approximate::None)?, &up])?,
    };
    linear(&inner, down, None)
}

/// The operands of `decoder_block`. The input is [B, S, width], the caches [B, C, kv_heads, D].
#[derive(Clone, Copy, Debug)]
pub struct DecoderBlock<'a> {
    pub input: &'a Tensor,
    pub attn_norm: &'a Tensor,
    pub wq: &'a Tensor,
    pub wk: &'a Tensor,
    pub wv: &'a Tensor,
    pub wo: &'a Tensor,
    pub mlp_norm: &'a Tensor,
    pub gate: &'a Tensor,
    pub up: &'a Tensor,
    pub down: &'a Tensor,
    pub k_cache: &'a Tensor,
    pub v_cache: &'a Tensor,
    pub positions: &'a Tensor,
    pub lengths: Option<&'a Tensor>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DecoderBlockAttributes {
    pub heads: usize,
    pub kv_heads: usize,
    pub eps: f32,
    pub rope: RopeAttributes,
    pub window: Option<i64>,
    pub activation: Activation,
    /// Rows of keys and values are rounded by `quantize` before they enter the caches.
    pub quantize_kv: bool,
}

/// One layer of a pre-norm decoder: its output, the new key cache and the new value cache.
///
/// ```text
/// n = rms_norm(input, attn_norm)
/// q, k, v = rope(n wq^T), rope(n wk^T), n wv^T
/// h = input + attention(q, k_cache with k, v_cache with v) wo^T
/// result = h + mlp(rms_norm(h, mlp_norm))
/// ```
/// With `quantize_kv`, k and v enter their caches as `quantize(k)` and `quantize(v)`.
pub fn decoder_block(operands: &DecoderBlock, attributes: &DecoderBlockAttributes) -> Result<(Tensor, Tensor, Tensor)> {
    let op = Op("decoder_block");
    let DecoderBlock { input, positions, lengths, .. } = *operands;
    let [batch, rows, _] = op.dims("input", input)?;
    let [_, _, _, depth] = op.dims("k_cache", operands.k_cache)?;
    let project = |x: &Tensor, operand, weight: &Tensor, heads: usize| {
        if Some(op.weight(operand, weight)?.0) != heads.checked_mul(depth) {
            return Err(op.wrong(operand, format!("of {heads} heads of {depth} rows each"), weight));
        }
        linear(x, weight, None)?.reshape([batch, rows, heads, depth])
    };
    let sequences = Sequences { positions: Some(positions), lengths, block_table: None };

    let n = rms_norm(input, operands.attn_norm, attributes.eps)?;
    let q = rope(&project(&n, "wq", operands.wq, attributes.heads)?, positions, lengths, &attributes.rope)?;
    let k = rope(&project(&n, "wk", operands.wk, attributes.kv_heads)?, positions, lengths, &attributes.rope)?;
    let v = project(&n, "wv", operands.wv, attributes.kv_heads)?;
    let (k, v) = if attributes.quantize_kv { (quantize(&k)?, quantize(&v)?) } else { (k, v) };
    let k_cache = kv_update(operands.k_cache, &k, &sequences)?;
    let v_cache = kv_update(operands.v_cache, &v, &sequences)?;
    let mask = AttentionAttributes { causal: true, window: attributes.window, ..Default::default() };
    let mixed = attention(&q, &k_cache, &v_cache, &sequences, &mask)?;
    let mixed = mixed.reshape([batch, rows, attributes.heads * depth])?;
    let h = apply("addf", &[input, &linear(&mixed, operands.wo, None)?])?;
    let n = rms_norm(&h, operands.mlp_norm, attributes.eps)?;
    let inner = mlp(&n, operands.gate, operands.up, operands.down, attributes.activation)?;
    Ok((apply("addf", &[&h, &inner])?, k_cache, v_cache))
}
