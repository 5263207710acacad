//! Embedding lookup: a workgroup copies one row of the table, whatever its type and layout.
//!
//! An id outside the table reads the nearest row; the executor has rejected such ids before.

use super::{
    buffer::buffer_type,
    target::Target,
    weights::{Kind, Weight},
    workgroup::Declaration,
};
use crate::{
    emit::V,
    group::{Result, Signature, Size, dims, element},
};
use kforge_dialect::Op;
use kforge_program::layout::LANES;
use melior::ir::ValueLike;

/// Threads of a workgroup.
const THREADS: usize = 128;

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let [op] = group.body[..] else {
        return Err(group.unsupported(None, "the embedding kernel takes one embedding"));
    };
    if !Op::Embedding.is(&op) {
        return Err(group.unsupported(Some(op), "the embedding kernel takes one embedding"));
    }
    group.check_result(op)?;
    let (ids, table) = (group.operand(op, 0)?, group.operand(op, 1)?);
    let table_type = group.arguments[table].r#type();
    let width = dims(group.yields[0].r#type()).pop().flatten();
    let width = width.ok_or_else(|| group.unsupported(Some(op), "the row length must be static"))?;
    // The table may also be computed activations, whose number of rows is dynamic.
    let weight = if dims(table_type).first() == Some(&None) { None } else { group.weight(table)? };
    let kind = weight.map(|(storage, _, columns)| Kind::new(of.module, storage, columns, element(table_type)));
    let packed = kind.filter(|kind| !matches!(kind, Kind::RowMajor { .. }));
    let rows = weight.map_or_else(|| group.size(table, 0..1), |(_, rows, _)| Size::Const(rows));
    let mut buffers = of.scalars();
    if let Some(kind) = packed {
        buffers[table].0 = kind.memref(of.module, of.adapter, element(table_type));
    }
    buffers[ids].0 = buffer_type(of.module, of.adapter, of.module.int(32), false);
    let threads = THREADS.min(of.adapter.threads);
    Declaration { name: of.name, buffers, scalars: 1, shared: vec![], threads }.build(&of, |e, workgroup| {
        let all = of.buffers(e, &workgroup.buffers);
        let (task, output) = (workgroup.task, all[2]);
        let id = e.cast("arith.index_cast", e.load(all[ids].memref, &[task]), e.index());
        let row = id.min(workgroup.scalars[0] - 1).max(0);
        let first = task * width;
        let Some(kind) = packed else {
            e.loop_(workgroup.thread, e.ci(width), threads, |e, column| {
                let value = all[table].load(e, row * width + column);
                output.store(e, value, first + column);
            });
            return Ok(());
        };
        let weight = Weight::new(kind, (0, width), table, workgroup, &all);
        let (group, lane) = row.div_rem(LANES);
        let (four, lane) = lane.div_rem(4);
        let along = kind.width() / kind.count();
        e.loop_(workgroup.thread, e.ci(width / kind.count()), threads, |e, i| {
            let (step, place) = i.div_rem(along);
            let (thread, half) = match kind.quads() {
                2 => {
                    let (thread, half) = four.div_rem(2);
                    (thread, Some(half))
                }
                _ => (place * 4 + four, None),
            };
            let slice = weight.slice(e, group, step, thread);
            for (c, quads) in slice.weights(e).into_iter().enumerate() {
                let four: V = match half {
                    None => quads[0],
                    Some(half) => {
                        let first = half.eq(0);
                        e.select(first, quads[0], quads[1])
                    }
                };
                let column = i * kind.count() + c;
                output.store(e, e.extract_at(four, lane), first + column);
            }
        });
        Ok(())
    })?;
    let rank = dims(group.arguments[ids].r#type()).len();
    Ok(of.signature(group.size(ids, 0..rank), vec![rows], "embedding".into()))
}
