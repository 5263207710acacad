//! Batched product of two activations with any dimension dynamic: one thread per element of the result.
//!
//! `#transformer.kernel<"matmul", tile = [MR, NC]>`: a workgroup computes MR rows and NC columns. General rather than
//! fast: operands are read again for each element.

use super::{target::Target, workgroup::Declaration};
use crate::{
    group::{Result, Signature, dims},
    kernels::elementwise::{evaluate, reads},
};
use kforge_dialect::Op;
use melior::ir::{Value, ValueLike, operation::OperationLike};

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let mut matmuls = group.body.iter().filter(|op| Op::Matmul.is(*op));
    let (Some(op), None) = (matmuls.next().copied(), matmuls.next()) else {
        return Err(group.unsupported(None, "the matmul kernel takes one matmul and its epilogue"));
    };
    let ([output], &[height, width]) = (&group.yields[..], &group.tile[..]) else {
        return Err(group.unsupported(Some(op), "a GPU's matmul has a tile [MR, NC], and one result"));
    };
    let threads = height.saturating_mul(width);
    if !(1..=of.adapter.threads).contains(&threads) {
        let most = of.adapter.threads;
        let message = format!("matmul's tile takes {threads} threads; the adapter has 1 to {most}");
        return Err(group.unsupported(Some(op), message));
    }
    let (a, b) = (group.operand(op, 0)?, group.operand(op, 1)?);
    let (swap_a, swap_b) = (op.has_attribute("transpose_a"), op.has_attribute("transpose_b"));
    let rank = dims(group.arguments[a].r#type()).len();
    let axis = |operand, last: bool| group.size(operand, if last { rank - 1..rank } else { rank - 2..rank - 1 });
    let batch = group.size(a, 0..rank - 2);
    let (m, k, n) = (axis(a, swap_a), axis(a, !swap_a), axis(b, !swap_b));
    let product: Value = op.result(0).map_err(|_| group.unsupported(Some(op), "matmul has no result"))?.into();
    if !reads(group, *output, &|value| value == product) {
        return Err(group.unsupported(Some(op), "is no part of its group's result; take it out of the group"));
    }
    Declaration { name: of.name, buffers: of.scalars(), scalars: 3, shared: vec![], threads }.build(
        &of,
        |e, workgroup| {
            let buffers = of.buffers(e, &workgroup.buffers);
            let [rows, depth, columns] = workgroup.scalars[..] else { unreachable!("three scalars were declared") };
            let one = e.ci(1);
            let tiles = columns.ceil_div(width).max(one);
            let row_tiles = rows.ceil_div(height).max(one);
            let (rest, tile) = workgroup.task.div_rem(tiles);
            let (batch, row_tile) = rest.div_rem(row_tiles);
            let (down, right) = workgroup.thread.div_rem(width);
            let row = row_tile * height + down;
            let column = tile * width + right;
            e.try_if(row.lt(rows) & column.lt(columns), |e| {
                let a_base = batch * (rows * depth);
                let b_base = batch * (depth * columns);
                let sum = e.for_(e.ci(0), depth, 1, &[e.cf(0.0)], |e, k, sum| {
                    let at_a = if swap_a { k * rows + row } else { row * depth + k };
                    let at_b = if swap_b { column * depth + k } else { k * columns + column };
                    let (x, y) = (buffers[a].load(e, a_base + at_a), buffers[b].load(e, b_base + at_b));
                    vec![e.fma(x, y, sum[0])]
                })[0];
                let at = batch * (rows * columns) + (row * columns + column);
                let leaf = |v: Value<'c, 'a>| match group.argument(v) {
                    Some(operand) => Some(buffers[operand].load(e, at)),
                    None => (v == product).then_some(sum),
                };
                evaluate(group, e, *output, &leaf).map(|value| buffers[group.arguments.len()].store(e, value, at))
            })
        },
    )?;
    let tasks = batch.times(m.clone().ceil_div(height)).times(n.clone().ceil_div(width));
    Ok(of.signature(tasks, vec![m, k, n], "matmul".into()))
}
