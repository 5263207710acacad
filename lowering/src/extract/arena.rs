//! Places of intermediates in the arena.

use super::Result;
use crate::passes::plan_memory::unit_bytes;
use kforge_dialect::{ir::integer_attribute, pass::PassError};
use kforge_program::{Expr, Local};
use melior::ir::{
    Type,
    attribute::{ArrayAttribute, DenseI64ArrayAttribute},
    operation::{OperationLike, OperationRef},
};

/// The rows of `transformer.arena`, which `plan-memory` documents; empty if there are no intermediates.
pub fn arena_classes<'c>(function: OperationRef<'c, '_>) -> Result<'c, Vec<Vec<i64>>> {
    let Ok(attribute) = function.attribute("transformer.arena") else { return Ok(vec![]) };
    let malformed = || PassError::at(&function, "'transformer.arena' must be what --plan-memory makes");
    let rows = ArrayAttribute::try_from(attribute).map_err(|_| malformed())?;
    (0..rows.len())
        .map(|class| {
            let row = rows.element(class).ok().and_then(|row| DenseI64ArrayAttribute::try_from(row).ok());
            let row = row.filter(|row| row.len() == class + 1).ok_or_else(malformed)?;
            let bytes = (0..=class).map(|i| row.element(i).ok().filter(|bytes| *bytes >= 0));
            bytes.collect::<Option<Vec<i64>>>().ok_or_else(malformed)
        })
        .collect()
}

/// Base offset of each class of intermediates, and the arena's size in bytes.
pub fn arena(classes: &[Vec<i64>], units: &[Option<Expr>]) -> (Vec<Expr>, Expr) {
    let size = |bytes: i64, class: usize| Expr::Const(bytes).times(units[class].clone().unwrap_or(Expr::Const(0)));
    let (mut bases, mut arena): (Vec<Expr>, Expr) = (vec![], Expr::Const(0));
    for (class, row) in classes.iter().enumerate() {
        let in_use = row[1..].iter().enumerate().filter(|(_, bytes)| **bytes > 0);
        let base =
            in_use.map(|(below, bytes)| bases[below].clone().plus(size(*bytes, below))).fold(Expr::Const(0), Expr::max);
        arena = arena.max(base.clone().plus(size(row[0], class)));
        bases.push(base);
    }
    (bases, arena)
}

/// A planned buffer with its class. `unit` is the product of its dynamic dimensions, with which the offset has yet to
/// be multiplied.
pub fn local(op: OperationRef<'_, '_>, ty: Type<'_>, unit: &Expr) -> Option<(usize, Local)> {
    let planned = |name: &str| integer_attribute(&op, &format!("transformer.{name}"));
    let index = |name: &str| usize::try_from(planned(name)?).ok();
    let bytes = Expr::Const(unit_bytes(ty)?).times(unit.clone());
    let local = Local { bytes, offset: Expr::Const(planned("offset")?), first: index("first")?, last: index("last")? };
    Some((index("class")?, local))
}
