//! Fuses a norm into the group of its users: linear layers with few rows, or a `quantize`.
//!
//! ```mlir
//! %n = transformer.rms_norm %x, %g {transformer.group = 0 : i64}
//! %y = transformer.linear %n, %w {transformer.group = 0 : i64}
//! ```
//! Every task of the linear's kernel then normalises the rows itself, which costs less than a launch and a barrier if
//! there are few rows: at 1 x 576 it is 2 % of a task, at 128 rows it would exceed the product. Fires where the number of
//! rows is static and at most `max-rows`, and every use of the norm is the input of a linear of one group; and, for any
//! number of rows, where the only use is a `quantize`, which reads whole rows as the norm does.

use crate::fusion::{Groups, group};
use kforge_dialect::{
    Op,
    ir::{body, dims, ops, users},
    pass::{OptionInfo, OptionValue, OptionValues as _, PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{Value, ValueLike, operation::OperationLike};

pub static INFO: PassInfo = PassInfo {
    name: "fuse-norm",
    summary: "Group a norm with the linear layers that read it",
    anchor: "func.func",
    options: &[OptionInfo {
        name: "max-rows",
        summary: "Most rows to normalise again in every task",
        default: OptionValue::Integer(8),
    }],
    statistics: &[StatisticInfo { name: "fused", summary: "norms grouped" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut groups = Groups::of(pass.context, block);
    let most = usize::try_from(pass.integer("max-rows"));
    let most = most.map_err(|_| PassError::at(&pass.op, "max-rows must not be negative"))?;
    for op in ops(block) {
        if !matches!(Op::of(&op), Some(Op::RmsNorm | Op::LayerNorm)) || group(&op).is_some() {
            continue;
        }
        let norm: Value = op.result(0).expect("a norm has a result").into();
        let readers = users(norm);
        if let [reader] = readers[..]
            && Op::Quantize.is(&reader)
            && groups.holds(reader)
        {
            groups.join(&[op, reader]);
            pass.count("fused", 1);
            continue;
        }
        let shape = dims(norm.r#type());
        let rows = shape[..shape.len() - 1].iter().try_fold(1usize, |product, d| Some(product * (*d)?));
        if rows.is_none_or(|rows| rows > most) {
            continue;
        }
        let reads = |user: &melior::ir::operation::OperationRef| {
            Op::Linear.is(user)
                && groups.holds(*user)
                && user.operand(0).is_ok_and(|v| v == norm)
                && user.operand(1).is_ok_and(|v| v != norm)
        };
        let Some(first) = readers.first().copied() else { continue };
        let together = readers.len() == 1 || readers.iter().all(|r| group(r).is_some() && group(r) == group(&first));
        if !readers.iter().all(reads) || !together {
            continue;
        }
        groups.join(&[first, op]);
        pass.count("fused", 1);
    }
    Ok(())
}
