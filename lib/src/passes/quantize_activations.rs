//! Rounds the activations of linear layers with quantised weights to 8 bits, so that their kernels multiply integers.
//!
//! ```mlir
//! %y = transformer.linear %x, %w : tensor<4x64xf32>, !transformer.quant<q4_1, 128x64> -> tensor<4x128xf32>
//! ```
//! becomes
//! ```mlir
//! %q = transformer.quantize %x : tensor<4x64xf32>
//! %y = transformer.linear %q, %w : tensor<4x64xf32>, !transformer.quant<q4_1, 128x64> -> tensor<4x128xf32>
//! ```
//! This changes results, within the bound in the op's description; `--numerics fast` adds this pass. Layers with the same
//! input share the rounded one. Fires on f32 activations.

use kforge_dialect::{
    Op, QuantType,
    ir::{body, element, insert_before, key, ops, set_operand},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{Type, Value, ValueLike, operation::OperationLike};
use rustc_hash::FxHashMap as HashMap;

pub static INFO: PassInfo = PassInfo {
    name: "quantize-activations",
    summary: "Round the activations of layers with quantised weights to 8 bits",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "quantized", summary: "activations rounded" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut rounded: HashMap<usize, Value> = HashMap::default();
    for op in ops(block).into_iter().filter(|op| Op::Linear.is(op)) {
        let (Ok(input), Ok(weight)) = (op.operand(0), op.operand(1)) else {
            return Err(PassError::at(&op, "has too few operands"));
        };
        if QuantType::from_type(weight.r#type()).is_none() || element(input.r#type()) != Type::float32(pass.context) {
            continue;
        }
        let value = *rounded.entry(key(input)).or_insert_with(|| {
            let quantize = insert_before(pass.context, op, Op::Quantize.name(), &[input], &[input.r#type()], &[]);
            pass.count("quantized", 1);
            quantize.result(0).expect("quantize has a result").into()
        });
        set_operand(op, 0, value);
    }
    Ok(())
}
