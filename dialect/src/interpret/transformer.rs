//! The ops of the dialect, by their reference semantics.

use super::error::Failure;
use super::values::{Operands, result_type};
use crate::{Op, ir};
use kforge_reference::{
    Approximate, AttentionAttributes, DecoderBlock, DecoderBlockAttributes, RopeAttributes, RopeMode, Sequences,
    Tensor, attention, decoder_block, embedding, gelu, kv_update, layer_norm, linear, matmul, mlp, quantize, rms_norm,
    rope, scale, silu, softcap, softmax, swiglu, top_k,
};
use melior::ir::operation::{OperationLike, OperationRef};

/// The results of an op other than `fused` and `yield`.
pub(super) fn evaluate(op: OperationRef<'_, '_>, kind: Op, x: &Operands) -> Result<Vec<Tensor>, Failure> {
    let result = match kind {
        Op::Embedding => embedding(x.get(0)?, x.get(1)?, result_type(op, 0)?.element)?,
        Op::Linear => linear(x.get(0)?, x.get(1)?, x.last(2))?,
        Op::Matmul => matmul(x.get(0)?, x.get(1)?, op.has_attribute("transpose_a"), op.has_attribute("transpose_b"))?,
        Op::RmsNorm => rms_norm(x.get(0)?, x.get(1)?, float(op, "eps")?)?,
        Op::LayerNorm => layer_norm(x.get(0)?, x.get(1)?, x.last(2), float(op, "eps")?)?,
        Op::Softmax => softmax(x.get(0)?)?,
        Op::Quantize => quantize(x.get(0)?)?,
        Op::TopK => {
            let k = result_type(op, 0)?.dims.last().copied().flatten();
            let (values, indices) = top_k(x.get(0)?, k.ok_or("has values of no static last dimension")?)?;
            return Ok(vec![values, indices]);
        }
        Op::Gelu => {
            let approximate = ir::string_attribute(&op, "approximate");
            gelu(x.get(0)?, approximate.map_or(Ok(Approximate::None), |name| name.parse())?)?
        }
        Op::Silu => silu(x.get(0)?)?,
        Op::Scale => scale(x.get(0)?, float(op, "factor")?)?,
        Op::Softcap => softcap(x.get(0)?, float(op, "cap")?)?,
        Op::Swiglu => swiglu(x.get(0)?, x.get(1)?)?,
        Op::Rope => rope(x.get(0)?, x.get(1)?, x.last(2), &rope_attributes(op, "")?)?,
        Op::Attention => {
            let sequences =
                Sequences { positions: x.optional(op, 3), lengths: x.optional(op, 4), block_table: x.optional(op, 5) };
            let attributes = AttentionAttributes {
                causal: op.has_attribute("causal"),
                scale: ir::float_attribute(&op, "scale"),
                window: ir::integer_attribute(&op, "window"),
                softcap: ir::float_attribute(&op, "softcap"),
            };
            attention(x.get(0)?, x.get(1)?, x.get(2)?, &sequences, &attributes)?
        }
        Op::KvUpdate => {
            let sequences =
                Sequences { positions: x.optional(op, 2), lengths: x.optional(op, 3), block_table: x.optional(op, 4) };
            kv_update(x.get(0)?, x.get(1)?, &sequences)?
        }
        Op::Mlp => mlp(x.get(0)?, x.get(1)?, x.get(2)?, x.get(3)?, activation(op)?)?,
        Op::DecoderBlock => return block(op, x),
        Op::Fused | Op::Yield | Op::Launch | Op::Check => return Err(Failure::unknown()),
    };
    Ok(vec![result])
}

fn block(op: OperationRef<'_, '_>, x: &Operands) -> Result<Vec<Tensor>, Failure> {
    let operands = DecoderBlock {
        input: x.get(0)?,
        attn_norm: x.get(1)?,
        wq: x.get(2)?,
        wk: x.get(3)?,
        wv: x.get(4)?,
        wo: x.get(5)?,
        mlp_norm: x.get(6)?,
        gate: x.get(7)?,
        up: x.get(8)?,
        down: x.get(9)?,
        k_cache: x.get(10)?,
        v_cache: x.get(11)?,
        positions: x.get(12)?,
        lengths: x.last(13),
    };
    let attributes = DecoderBlockAttributes {
        heads: count(op, "heads")?,
        kv_heads: count(op, "kv_heads")?,
        eps: float(op, "eps")?,
        rope: rope_attributes(op, "rope_")?,
        window: ir::integer_attribute(&op, "window"),
        activation: activation(op)?,
        quantize_kv: op.has_attribute("quantize_kv"),
    };
    let (result, k_cache, v_cache) = decoder_block(&operands, &attributes)?;
    Ok(vec![result, k_cache, v_cache])
}

/// The attributes of `rope`, whose names a `decoder_block` prefixes.
fn rope_attributes(op: OperationRef<'_, '_>, prefix: &str) -> Result<RopeAttributes, Failure> {
    let mode = format!("{prefix}mode");
    Ok(RopeAttributes {
        mode: ir::string_attribute(&op, &mode)
            .ok_or_else(|| missing(&mode))?
            .parse::<RopeMode>()
            .map_err(kforge_reference::Error::from)?,
        base: float(op, &format!("{prefix}base"))?,
        freq_divisors: ir::f32_array_attribute(&op, &format!("{prefix}freq_divisors")),
        dims: optional_count(op, &format!("{prefix}dims"))?,
        scale: ir::float_attribute(&op, &format!("{prefix}scale")),
    })
}

fn activation(op: OperationRef<'_, '_>) -> Result<kforge_reference::Activation, Failure> {
    Ok(ir::string_attribute(&op, "activation").as_deref().unwrap_or("silu").parse()?)
}

fn float(op: OperationRef<'_, '_>, name: &str) -> Result<f32, Failure> {
    ir::float_attribute(&op, name).ok_or_else(|| missing(name))
}

/// # Errors
/// If it is negative.
fn optional_count(op: OperationRef<'_, '_>, name: &str) -> Result<Option<usize>, Failure> {
    match ir::integer_attribute(&op, name) {
        Some(_) => count(op, name).map(Some),
        None => Ok(None),
    }
}

fn count(op: OperationRef<'_, '_>, name: &str) -> Result<usize, Failure> {
    ir::integer_attribute(&op, name).and_then(|count| usize::try_from(count).ok()).ok_or_else(|| missing(name))
}

fn missing(attribute: &str) -> Failure {
    format!("has no usable attribute '{attribute}'").into()
}
