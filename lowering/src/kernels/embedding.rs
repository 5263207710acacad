//! Embedding lookup: a task copies one row of the table, selected by its id.
//!
//! Reads single elements, so the table may have any layout; in a tied model the output head and the embedding share
//! one. An id outside the table reads the nearest row; the executor has rejected such ids before.

use crate::{
    emit::Emitter,
    group::{Group, Result, Signature, dims, element},
    weights::Weight,
};
use kforge_dialect::Op;
use kforge_program::Access;
use melior::ir::ValueLike;

pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let [op] = group.body[..] else {
        return Err(group.unsupported(None, "the embedding kernel takes one embedding"));
    };
    if !Op::Embedding.is(&op) {
        return Err(group.unsupported(Some(op), "the embedding kernel takes one embedding"));
    }
    group.check_result(op)?;
    let (ids, table) = (group.operand(op, 0)?, group.operand(op, 1)?);
    let shape = dims(group.arguments[ids].r#type());
    let output = group.yields[0].r#type();
    let Some(width) = dims(output).pop().flatten() else {
        return Err(group.unsupported(Some(op), "the row length must be static"));
    };
    let table_type = group.arguments[table].r#type();
    // The table may also be computed activations, whose number of rows is dynamic.
    let weight = if dims(table_type).first() == Some(&None) { None } else { group.weight(table)? };
    let rows = weight.map_or_else(|| group.size(table, 0..1), |(_, rows, _)| crate::group::Size::Const(rows));

    let mut parameters = vec![module.index(), module.index()];
    for i in 0..group.arguments.len() {
        parameters.push(match weight {
            _ if i == ids => module.memref(&[None], module.int(32)),
            Some((storage, rows, columns)) => storage.memref(module, rows, columns, element(table_type)),
            None => module.memref(&[None, Some(width)], element(table_type)),
        });
    }
    parameters.push(module.memref(&[None, Some(width)], element(output)));
    module.func(name, &parameters, |e, values| {
        let (task, count, buffers) = (values[0], values[1], &values[2..]);
        let id = e.cast("arith.index_cast", e.load(buffers[ids], &[task]), e.index());
        let last = (count - 1).max(0);
        let row = id.min(last).max(0);
        e.loop_(e.ci(0), e.ci(width), 1, |e, column| {
            let value = match weight {
                Some((storage, rows, columns)) => {
                    Weight { storage, rows, columns, memref: buffers[table] }.element(e, row, column)
                }
                None => e.widen(e.load(buffers[table], &[row, column])),
            };
            e.store(e.narrow(value, element(output)), buffers[2], &[task, column]);
        });
    });
    Ok(Signature {
        access: vec![Access::Read, Access::Read, Access::Write],
        in_place: vec![None],
        tasks: group.size(ids, 0..shape.len()),
        scalars: vec![rows],
        summary: "embedding".into(),
        partner: None,
    })
}
