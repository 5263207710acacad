//! Refuses inputs whose sizes or values would lead a kernel outside its buffers.

use crate::View;
use kforge_program::{Check, DimSource, Expr, Function, Program};

/// Checks the conditions of a function.
///
/// # Errors
/// Says which input does not fit, and what would.
pub fn check_values(program: &Program, function: &Function, inputs: &[View], symbols: &[i64]) -> Result<(), String> {
    let integers = |input: usize| -> Vec<i64> {
        inputs[input].bytes.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect()
    };
    let optional = |input: Option<usize>| input.map(integers);
    for check in &function.checks {
        match check {
            Check::Same { left, right } => {
                let (a, b) = (left.eval(symbols)?, right.eval(symbols)?);
                if a != b {
                    let [left, right] = [left, right].map(|size| describe(program, function, size));
                    return Err(format!("{left} must be {right}, but they are {a} and {b}"));
                }
            }
            Check::Index { input, limit } => {
                let limit = limit.eval(symbols)?;
                if let Some((at, id)) =
                    integers(*input).into_iter().enumerate().find(|(_, id)| !(0..limit).contains(id))
                {
                    return Err(format!("input {input} has {id} at element {at}, but must be in 0..{limit}"));
                }
            }
            Check::Position { input, lengths, rows, capacity } => {
                let capacity = capacity.eval(symbols)?;
                each_fits(&integers(*input), optional(*lengths), rows.eval(symbols)?, capacity, "the cache holds")?;
            }
            Check::Blocks { input, positions, lengths, rows, size, blocks, window } => {
                let (table, positions) = (integers(*input), integers(*positions));
                let (size, blocks) = (size.eval(symbols)?, blocks.eval(symbols)?);
                let window = window.as_ref().map(|window| window.eval(symbols)).transpose()?;
                let pages = inputs[*input].dims[1];
                let capacity = size.saturating_mul(pages as i64);
                let ends = each_fits(&positions, optional(*lengths), rows.eval(symbols)?, capacity, "its pages hold")?;
                for (sequence, (position, end)) in positions.into_iter().zip(ends).enumerate() {
                    let first = window.map_or(0, |window| position.saturating_add(1).saturating_sub(window).max(0));
                    if first >= end {
                        continue;
                    }
                    for page in first / size..=(end - 1) / size {
                        let at = sequence * pages + page as usize;
                        if !table.get(at).is_some_and(|block| (0..blocks).contains(block)) {
                            let block = table.get(at).copied().unwrap_or(-1);
                            return Err(format!(
                                "input {input} has block {block} for page {page} of sequence {sequence}, but must be in \
                                 0..{blocks}"
                            ));
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// The position after the last row of each sequence, all within `capacity`.
fn each_fits(
    positions: &[i64],
    lengths: Option<Vec<i64>>,
    rows: i64,
    capacity: i64,
    holder: &str,
) -> Result<Vec<i64>, String> {
    let end = |(sequence, position): (usize, &i64)| {
        let length = lengths.as_ref().and_then(|l| l.get(sequence)).map_or(rows, |l| (*l).clamp(0, rows));
        let end = position.checked_add(length).filter(|end| *position >= 0 && *end <= capacity);
        let refused =
            || format!("sequence {sequence} has {length} rows at position {position}, but {holder} {capacity}");
        end.ok_or_else(refused)
    };
    positions.iter().enumerate().map(end).collect()
}

/// A size as the caller knows it.
fn describe(program: &Program, function: &Function, size: &Expr) -> String {
    let symbol = |i: &usize| Some(&function.symbols.get(*i)?.source);
    match size {
        Expr::Sym(i) => match symbol(i) {
            Some(DimSource::Input { input, axis }) => format!("axis {axis} of input {input}"),
            Some(DimSource::Global { global, axis }) => {
                let name = program.globals.get(*global).map_or("?", |g| &g.name);
                format!("axis {axis} of the global '{name}'")
            }
            None => size.to_string(),
        },
        size => size.to_string(),
    }
}
