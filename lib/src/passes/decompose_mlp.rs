//! Decomposes `transformer.mlp` into its three linear layers and the activation between them.
//!
//! ```mlir
//! %y = transformer.mlp %x, %gate, %up, %down
//! ```
//! becomes
//! ```mlir
//! %g = transformer.linear %x, %gate
//! %u = transformer.linear %x, %up
//! %h = transformer.swiglu %g, %u
//! %y = transformer.linear %h, %down
//! ```
//! With `activation = "gelu"` the activation is `gelu` and `arith.mulf`.

use kforge_dialect::{
    Op,
    ir::{body, dims, element, erase, insert_before, ops, replace_uses, string_attribute},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::{
    Context,
    ir::{
        Type, Value, ValueLike,
        operation::{OperationLike, OperationRef},
        r#type::RankedTensorType,
    },
};

pub static INFO: PassInfo = PassInfo {
    name: "decompose-mlp",
    summary: "Spell out transformer.mlp as linear layers and an activation",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "decomposed", summary: "mlp ops decomposed" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    for op in ops(block).into_iter().filter(|op| Op::Mlp.is(op)) {
        let operands: Vec<Value> = op.operands().collect();
        let activation = string_attribute(&op, "activation").unwrap_or_else(|| "silu".into());
        let result = mlp(pass.context, op, operands[0], &operands[1..4], &activation);
        replace_uses(op.result(0).expect("mlp has a result").into(), result);
        erase(op);
        pass.count("decomposed", 1);
    }
    Ok(())
}

/// Inserts the layers before `anchor`; `weights` are gate, up and down.
pub fn mlp<'c, 'a>(
    context: &'c Context,
    anchor: OperationRef<'c, 'a>,
    x: Value<'c, 'a>,
    weights: &[Value<'c, 'a>],
    activation: &str,
) -> Value<'c, 'a> {
    let gate = linear(context, anchor, x, weights[0]);
    let up = linear(context, anchor, x, weights[1]);
    let ty = gate.r#type();
    let one = |name, operands: &[Value<'c, 'a>]| result(insert_before(context, anchor, name, operands, &[ty], &[]));
    let inner = match activation {
        "gelu" => one("arith.mulf", &[one(Op::Gelu.name(), &[gate]), up]),
        _ => one(Op::Swiglu.name(), &[gate, up]),
    };
    linear(context, anchor, inner, weights[2])
}

/// Inserts `transformer.linear %x, %weight`.
pub fn linear<'c, 'a>(
    context: &'c Context,
    anchor: OperationRef<'c, 'a>,
    x: Value<'c, 'a>,
    weight: Value<'c, 'a>,
) -> Value<'c, 'a> {
    let rows = match kforge_dialect::QuantType::from_type(weight.r#type()) {
        Some(quant) => Some(quant.rows),
        None => dims(weight.r#type())[0],
    };
    let mut shape = dims(x.r#type());
    shape.pop();
    shape.push(rows);
    let ty = tensor(&shape, element(x.r#type()));
    result(insert_before(context, anchor, Op::Linear.name(), &[x, weight], &[ty], &[]))
}

/// A ranked tensor type.
pub fn tensor<'c>(shape: &[Option<usize>], element: Type<'c>) -> Type<'c> {
    let shape: Vec<u64> = shape.iter().map(|d| d.map_or(i64::MIN as u64, |d| d as u64)).collect();
    RankedTensorType::new(&shape, element, None).into()
}

/// The single result of an op.
pub fn result<'c, 'a>(op: OperationRef<'c, 'a>) -> Value<'c, 'a> {
    op.result(0).expect("the op was built with a result").into()
}
