//! `transformer.decoder_block` into norms, linear layers, RoPE, cache updates, attention and `transformer.mlp`.
//!
//! Heads are split and merged by `tensor.expand_shape` and `tensor.collapse_shape`, which are views and cost nothing.

use super::decompose_mlp::{linear, result, tensor};
use kforge_dialect::{
    ir::{body, dims, element, erase, insert_before, integer_attribute, op_name, ops, parse_attribute, replace_uses},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::{
    Context,
    ir::{
        Attribute, Value, ValueLike,
        attribute::{IntegerAttribute, StringAttribute},
        operation::{OperationLike, OperationRef},
    },
};

pub static INFO: PassInfo = PassInfo {
    name: "decompose-decoder-block",
    summary: "Spell out transformer.decoder_block",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "decomposed", summary: "decoder_block ops decomposed" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    for op in ops(block).into_iter().filter(|op| op_name(op) == "transformer.decoder_block") {
        let results = decompose(pass.context, op)?;
        for (old, new) in op.results().zip(results) {
            replace_uses(old.into(), new);
        }
        erase(op);
        pass.count("decomposed", 1);
    }
    Ok(())
}

fn decompose<'c, 'a>(context: &'c Context, op: OperationRef<'c, 'a>) -> Result<[Value<'c, 'a>; 3], PassError<'c>> {
    let operands: Vec<Value> = op.operands().collect();
    let [x, attn_norm, wq, wk, wv, wo, mlp_norm, gate, up, down, k_cache, v_cache, positions, ref rest @ ..] =
        operands[..]
    else {
        return Err(PassError::at(&op, "has too few operands"));
    };
    let lengths = rest.first().copied();
    let attribute = |name: &str| op.attribute(name).ok();
    let integer = |name| integer_attribute(&op, name).and_then(|v| usize::try_from(v).ok());
    let (Some(heads), Some(kv_heads), Some(eps), Some(mode), Some(base)) =
        (integer("heads"), integer("kv_heads"), attribute("eps"), attribute("rope_mode"), attribute("rope_base"))
    else {
        return Err(PassError::at(&op, "lacks heads, kv_heads, eps, rope_mode or rope_base"));
    };
    let depth = dims(k_cache.r#type())[3].ok_or_else(|| PassError::at(&op, "needs a static head dimension"))?;
    let insert = |name: &str, operands: &[Value<'c, 'a>], ty, attributes: &[(&str, Attribute<'c>)]| {
        result(insert_before(context, op, name, operands, &[ty], attributes))
    };
    let norm = |x: Value<'c, 'a>, weight| insert("transformer.rms_norm", &[x, weight], x.r#type(), &[("eps", eps)]);
    let with_lengths = |mut operands: Vec<Value<'c, 'a>>| {
        operands.extend(lengths);
        operands
    };

    let n = norm(x, attn_norm);
    let rope = |x: Value<'c, 'a>| {
        let mut attributes = vec![("mode", mode), ("base", base)];
        attributes.extend(attribute("rope_freq_divisors").map(|d| ("freq_divisors", d)));
        insert("transformer.rope", &with_lengths(vec![x, positions]), x.r#type(), &attributes)
    };
    let q = rope(split_heads(context, op, linear(context, op, n, wq), heads, depth));
    let k = rope(split_heads(context, op, linear(context, op, n, wk), kv_heads, depth));
    let v = split_heads(context, op, linear(context, op, n, wv), kv_heads, depth);
    let segments = |sizes: &[usize]| {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        ("operandSegmentSizes", parse_attribute(context, &format!("array<i32: {}>", sizes.join(", "))))
    };
    let has_lengths = lengths.iter().len();
    let update = |cache: Value<'c, 'a>, rows: Value<'c, 'a>| {
        let rows = match op.has_attribute("quantize_kv") {
            true => insert("transformer.quantize", &[rows], rows.r#type(), &[]),
            false => rows,
        };
        let operands = with_lengths(vec![cache, rows, positions]);
        insert("transformer.kv_update", &operands, cache.r#type(), &[segments(&[1, 1, 1, has_lengths, 0])])
    };
    let (k_cache, v_cache) = (update(k_cache, k), update(v_cache, v));
    let mut attributes = vec![segments(&[1, 1, 1, 1, has_lengths, 0]), ("causal", Attribute::unit(context))];
    attributes.extend(attribute("window").map(|w| ("window", w)));
    let attended =
        insert("transformer.attention", &with_lengths(vec![q, k_cache, v_cache, positions]), q.r#type(), &attributes);
    let mut merged = dims(x.r#type());
    merged[2] = Some(heads * depth);
    let merged = insert(
        "tensor.collapse_shape",
        &[attended],
        tensor(&merged, element(x.r#type())),
        &[("reassociation", parse_attribute(context, "[[0 : i64], [1 : i64], [2 : i64, 3 : i64]]"))],
    );
    let h = insert("arith.addf", &[linear(context, op, merged, wo), x], x.r#type(), &[]);
    let activation = attribute("activation").unwrap_or_else(|| StringAttribute::new(context, "silu").into());
    let operands = [norm(h, mlp_norm), gate, up, down];
    let y = insert("transformer.mlp", &operands, x.r#type(), &[("activation", activation)]);
    Ok([insert("arith.addf", &[y, h], x.r#type(), &[]), k_cache, v_cache])
}

/// [B, S, H * D] as [B, S, H, D].
pub fn split_heads<'c, 'a>(
    context: &'c Context,
    anchor: OperationRef<'c, 'a>,
    x: Value<'c, 'a>,
    heads: usize,
    depth: usize,
) -> Value<'c, 'a> {
    let shape = dims(x.r#type());
    let ty = tensor(&[shape[0], shape[1], Some(heads), Some(depth)], element(x.r#type()));
    let index = melior::ir::Type::index(context);
    let mut operands = vec![x];
    for (axis, _) in shape.iter().take(2).enumerate().filter(|(_, d)| d.is_none()) {
        let value = IntegerAttribute::new(index, axis as i64).into();
        let axis = result(insert_before(context, anchor, "arith.constant", &[], &[index], &[("value", value)]));
        operands.push(result(insert_before(context, anchor, "tensor.dim", &[x, axis], &[index], &[])));
    }
    let sizes: Vec<String> = [shape[0], shape[1], Some(heads), Some(depth)]
        .iter()
        .map(|d| d.map_or(i64::MIN.to_string(), |d| d.to_string()))
        .collect();
    let attributes = [
        ("reassociation", parse_attribute(context, "[[0 : i64], [1 : i64], [2 : i64, 3 : i64]]")),
        ("static_output_shape", parse_attribute(context, &format!("array<i64: {}>", sizes.join(", ")))),
    ];
    result(insert_before(context, anchor, "tensor.expand_shape", &operands, &[ty], &attributes))
}
