//! `arith.negf` of `arith.negf`: what is negated twice is left as it is.
//!
//! ```mlir
//! %a = arith.negf %x : tensor<4xf32>
//! %b = arith.negf %a : tensor<4xf32>
//! ```
//! Uses of `%b` become uses of `%x`.

use kforge_dialect::{
    ir::{body, defining_op, erase, op_name, operand, ops, replace_uses},
    pass::{OptionInfo, OptionValue, OptionValues as _, PassError, PassInfo, PassRun, StatisticInfo},
};

pub static INFO: PassInfo = PassInfo {
    name: "double-negation",
    summary: "Leave out what is negated twice",
    anchor: "func.func",
    options: &[OptionInfo {
        name: "max",
        summary: "pairs to leave out at most; 0 is all",
        default: OptionValue::Integer(0),
    }],
    statistics: &[StatisticInfo { name: "pairs", summary: "pairs left out" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let most = match pass.integer("max") {
        0 => usize::MAX,
        most => usize::try_from(most).map_err(|_| PassError::at(&pass.op, "has a 'max' below 0"))?,
    };
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut left = most;
    for outer in ops(block).into_iter().filter(|op| op_name(op) == "arith.negf") {
        let inner = operand(&outer, 0).and_then(defining_op).filter(|op| op_name(op) == "arith.negf");
        if let Some(value) = inner.and_then(|inner| operand(&inner, 0))
            && let Ok(result) = outer.result(0)
            && left > 0
        {
            replace_uses(result.into(), value);
            erase(outer);
            pass.count("pairs", 1);
            left -= 1;
        }
    }
    Ok(())
}
