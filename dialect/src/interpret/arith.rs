//! `arith` and `math`, on tensors and on scalars, which are tensors of rank 0.

use super::error::Failure;
use super::values::{Operands, result_type};
use crate::{constant, ir};
use kforge_reference::{Element, Tensor, elementwise};
use melior::ir::operation::{OperationLike, OperationRef};
use std::rc::Rc;

/// `arith.cmpf`'s predicates in the order of their numbers.
const CMPF: [&str; 16] =
    ["false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"];

/// `arith.cmpi`'s predicates in the order of their numbers.
const CMPI: [&str; 10] = ["eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"];

/// The result of an op. Fast-math and overflow flags allow other results but never ask for them.
pub(super) fn evaluate(op: OperationRef<'_, '_>, name: &str, x: &Operands) -> Result<Rc<Tensor>, Failure> {
    if !ir::rounds_to_nearest_even(&op) {
        return Err("rounds otherwise than to nearest even, which the reference does not".into());
    }
    let result = match name {
        "arith.constant" => constant::tensor(op.attribute("value").map_err(|_| "has no value")?)?,
        "arith.cmpf" => match predicate(op, &CMPF)? {
            always @ ("true" | "false") => {
                let shape = x.get(0)?.shape();
                Tensor::from_i64(shape, Element::Bool, vec![i64::from(always == "true"); x.get(0)?.elements()])?
            }
            predicate => elementwise::cmpf(predicate, x.get(0)?, x.get(1)?)?,
        },
        "arith.cmpi" => elementwise::cmpi(predicate(op, &CMPI)?, x.get(0)?, x.get(1)?)?,
        // One condition may choose between whole tensors.
        "arith.select" if x.get(0)?.rank() < x.get(1)?.rank() => {
            let condition = x.get(0)?.to_i64().is_some_and(|values| values.first().is_some_and(|value| *value != 0));
            return Ok(Rc::clone(x.get(if condition { 1 } else { 2 })?));
        }
        "arith.extf" | "arith.truncf" | "arith.sitofp" | "arith.fptosi" | "arith.extsi" | "arith.extui"
        | "arith.trunci" | "arith.index_cast" => elementwise::cast(name, x.get(0)?, result_type(op, 0)?.element)?,
        _ => elementwise::apply(name, &x.all())?,
    };
    Ok(Rc::new(result))
}

fn predicate(op: OperationRef<'_, '_>, names: &'static [&'static str]) -> Result<&'static str, Failure> {
    let number = ir::integer_attribute(&op, "predicate").and_then(|number| usize::try_from(number).ok());
    number.and_then(|number| names.get(number).copied()).ok_or_else(|| "has no known predicate".into())
}
