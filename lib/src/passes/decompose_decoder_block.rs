//! Decomposes `transformer.decoder_block` into norms, linear layers, RoPE, cache updates, attention and `transformer.mlp`.
//!
//! The ops are those of a layer in a model's module ([`kforge_models::layer`]): their text is parsed, and the ops replace
//! the block. Heads are split and merged by `tensor.expand_shape` and `tensor.collapse_shape`, which are views and cost
//! nothing.

use kforge_dialect::{
    Op,
    ir::{body, dims, element, erase, integer_attribute, move_before, ops, replace_uses},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_models::{
    Arch,
    layer::{Layer, Value},
};
use melior::{
    Context,
    ir::{
        BlockLike, Module, ValueLike,
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
    for op in ops(block).into_iter().filter(|op| Op::DecoderBlock.is(op)) {
        let text = function(op).map_err(|cause| PassError::at(&op, cause))?;
        inline(pass.context, op, &text).ok_or_else(|| PassError::at(&op, "could not be spelled out"))?;
        pass.count("decomposed", 1);
    }
    Ok(())
}

/// The operands that are weights, by the names that models give them.
const WEIGHTS: [&str; 9] = [
    "attn_norm.weight",
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_output.weight",
    "ffn_norm.weight",
    "ffn_gate.weight",
    "ffn_up.weight",
    "ffn_down.weight",
];

/// The text of a function from the op's operands to its results.
fn function(op: OperationRef<'_, '_>) -> Result<String, String> {
    let operands: Vec<Value> =
        op.operands().enumerate().map(|(i, value)| Value::new(format!("arg{i}"), value.r#type().to_string())).collect();
    let [x, weights @ .., k_cache, v_cache, positions] = &operands[..operands.len().min(13)] else {
        return Err("has too few operands".into());
    };
    if weights.len() != WEIGHTS.len() {
        return Err("has too few operands".into());
    }
    let attribute = |name: &str| op.attribute(name).ok().map(|attribute| attribute.to_string());
    let integer = |name| integer_attribute(&op, name).and_then(|value| usize::try_from(value).ok());
    let (Some(heads), Some(kv_heads), Some(eps), Some(mode), Some(base)) =
        (integer("heads"), integer("kv_heads"), attribute("eps"), attribute("rope_mode"), attribute("rope_base"))
    else {
        return Err("lacks heads, kv_heads, eps, rope_mode or rope_base".into());
    };
    let operand = |i| op.operand(i).map(|value| value.r#type()).map_err(|_| "has too few operands");
    let (input, cache) = (operand(0)?, operand(10)?);
    let (&[batch, rows, Some(hidden)], &[_, _, _, Some(head_dim)]) = (&dims(input)[..], &dims(cache)[..]) else {
        return Err("needs a static width and a static head dimension".into());
    };
    let divisors = attribute("rope_freq_divisors").map(|divisors| format!(", freq_divisors = {divisors}"));
    let (window, activation) = (attribute("window"), attribute("activation"));
    let layer = Layer {
        arch: Arch::LLAMA,
        suffix: "",
        batch,
        rows,
        hidden,
        // Of no use to an MLP that is one op.
        ffn: 0,
        heads,
        kv_heads,
        head_dim,
        element: &element(input).to_string(),
        eps: &eps,
        rope: Some(&format!("mode = {mode}, base = {base}{}", divisors.unwrap_or_default())),
        attention: &window.map(|window| format!(", window = {window}")).unwrap_or_default(),
        residual_scale: None,
        activation: activation.as_deref(),
        quantize_kv: op.has_attribute("quantize_kv"),
        x: x.clone(),
        k_cache: k_cache.clone(),
        v_cache: v_cache.clone(),
        positions: positions.clone(),
        lengths: operands.get(13).cloned(),
        block_table: None,
    };
    let weight = |part: &str| weights.get(WEIGHTS.iter().position(|weight| *weight == part)?).cloned();
    let mut lines = String::new();
    let output = layer.write(&mut lines, weight).map_err(|part| format!("has no operand for {part}"))?;
    let results = [output.x, output.k_cache, output.v_cache];
    let list = |values: &[Value], item: fn(&Value) -> String| values.iter().map(item).collect::<Vec<_>>().join(", ");
    let types = list(&results, |value| value.ty.clone());
    let arguments = list(&operands, |value| format!("%{}: {}", value.name, value.ty));
    let returned = list(&results, |value| format!("%{}", value.name));
    // Each op is one line; all have the location of the block.
    let lines: String = lines.lines().map(|line| format!("{line} loc(#at)\n")).collect();
    let location = op.location();
    Ok(format!(
        "#at = {location}\nfunc.func @layer({arguments}) -> ({types}) {{\n{lines}  return {returned} : {types}\n}}"
    ))
}

/// Replaces an op by the ops of a function text with the same operands and results; `None` if the text does not parse.
fn inline(context: &Context, op: OperationRef<'_, '_>, text: &str) -> Option<()> {
    let module = Module::parse(context, text)?;
    let function = module.body().first_operation()?;
    let block = body(&function)?;
    for (i, operand) in op.operands().enumerate() {
        replace_uses(block.argument(i).ok()?.into(), operand);
    }
    let mut inlined = ops(block);
    let terminator = inlined.pop()?;
    for (old, new) in op.results().zip(terminator.operands()) {
        replace_uses(old.into(), new);
    }
    inlined.into_iter().for_each(|inner| move_before(inner, op));
    erase(op);
    Some(())
}
