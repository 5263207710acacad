//! Batched product of two activations with any dimension dynamic: a task is a tile of MR rows and sixteen columns.
//!
//! `#transformer.kernel<"matmul", tile = [MR, 16]>`. Each output is one FMA chain with k ascending. Rows of a
//! non-transposed `b` load as vectors; a transposed `b` is gathered lane by lane, supported but slow. Rows past the
//! last are computed from the last row's data and not stored; lanes past N are masked.

use crate::{
    emit::{Emitter, LANES, V},
    group::{Group, Result, Signature, dims, element},
    kernels::{
        elementwise::{evaluate, reads},
        shared::{load_lanes, store_lanes},
    },
};
use kforge_dialect::Op;
use kforge_passes::tiles::cpu::matmul_rows;
use kforge_program::Access;
use melior::ir::{Value, ValueLike, operation::OperationLike};

pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let mut matmuls = group.body.iter().filter(|op| Op::Matmul.is(*op));
    let (Some(op), None) = (matmuls.next().copied(), matmuls.next()) else {
        return Err(group.unsupported(None, "the matmul kernel takes one matmul and its epilogue"));
    };
    let [output] = &group.yields[..] else {
        return Err(group.unsupported(Some(op), "the matmul kernel has one result"));
    };
    let height = matmul_rows(&group.tile).map_err(|message| group.unsupported(None, message))?;
    let (a, b) = (group.operand(op, 0)?, group.operand(op, 1)?);
    let (swap_a, swap_b) = (op.has_attribute("transpose_a"), op.has_attribute("transpose_b"));
    let rank = dims(group.arguments[a].r#type()).len();
    let axis = |operand, last: bool| group.size(operand, if last { rank - 1..rank } else { rank - 2..rank - 1 });
    let batch = group.size(a, 0..rank - 2);
    let (m, k, n) = (axis(a, swap_a), axis(a, !swap_a), axis(b, !swap_b));

    let flat = |v: &Value<'c, 'a>| module.memref(&[None], element(v.r#type()));
    let mut parameters = vec![module.index(); 4];
    parameters.extend(group.arguments.iter().map(flat));
    parameters.push(flat(output));
    module.func(name, &parameters, |e, values| -> Result<'c, 'a, ()> {
        let [task, rows, depth, columns] = values[..4] else { unreachable!("four index parameters") };
        let buffers = &values[4..];

        let one = e.ci(1);
        let tiles = columns.ceil_div(LANES).max(one);
        let row_tiles = rows.ceil_div(height).max(one);
        let (rest, tile) = task.div_rem(tiles);
        let (batch_index, row_tile) = rest.div_rem(row_tiles);
        let (row, column) = (row_tile * height, tile * LANES);
        let last_row = rows - one;
        let at: Vec<V> = (0..height).map(|r| (row + r).min(last_row)).collect();
        let mask = e.mask((columns - column).min(LANES));
        let a_base = batch_index * (rows * depth);
        let b_base = batch_index * (depth * columns);
        let sums = e.for_(e.ci(0), depth, 1, &vec![e.vf(0.0); height], |e, k, sums| {
            let b = if swap_b {
                let last = columns - 1;
                let lanes: Vec<V> = (0..LANES)
                    .map(|lane| {
                        let column = (column + lane).min(last);
                        e.load(buffers[b], &[b_base + (column * depth + k)])
                    })
                    .collect();
                e.widen(e.from_elements(&lanes))
            } else {
                load_lanes(e, buffers[b], &[b_base + (k * columns + column)], Some(mask))
            };
            let load_a = |row: V<'c, 'a>| {
                let inner = if swap_a { k * rows + row } else { row * depth + k };
                e.splat(e.widen(e.load(buffers[a], &[a_base + inner])))
            };
            at.iter().zip(sums).map(|(row, sum)| e.fma(b, load_a(*row), *sum)).collect()
        });
        let c_base = batch_index * (rows * columns);
        let product: Value = op.result(0).map_err(|_| group.unsupported(Some(op), "matmul has no result"))?.into();
        if !reads(group, *output, &|value| value == product) {
            return Err(group.unsupported(Some(op), "is no part of its group's result; take it out of the group"));
        }
        for (r, sum) in sums.iter().enumerate() {
            let row = row + r;
            e.try_if(row.lt(rows), |e| {
                let at = c_base + (row * columns + column);
                let leaf = |v: Value<'c, 'a>| match group.argument(v) {
                    Some(operand) => Some(load_lanes(e, buffers[operand], &[at], Some(mask))),
                    None => (v == product).then_some(*sum),
                };
                evaluate(group, e, *output, &leaf)
                    .map(|lanes| store_lanes(e, lanes, buffers[group.arguments.len()], &[at], Some(mask)))
            })?;
        }
        Ok(())
    })?;
    let mut access = vec![Access::Read; group.arguments.len()];
    access.push(Access::Write);
    let tasks = batch.times(m.clone().ceil_div(height)).times(n.clone().ceil_div(LANES));
    Ok(Signature {
        access,
        in_place: vec![None],
        scalars: vec![m, k, n],
        tasks,
        summary: "matmul".into(),
        partner: None,
    })
}
