//! Rejects inputs whose sizes or values would let a kernel access memory outside its buffers.

use crate::View;
use kforge_program::{Buffer, Check, DimSource, Expr, Function, Program};

/// An i32 tensor that a check reads: dimensions, and bytes.
pub type Integers<'v> = (&'v [usize], &'v [u8]);

/// Checks the conditions of a function; `global` gives the value of a global.
///
/// # Errors
/// If a condition does not hold; the message says which element of which operand, and what is allowed.
pub fn check_values<'v>(
    program: &Program,
    function: &Function,
    inputs: &[View<'v>],
    symbols: &[i64],
    global: impl Fn(usize) -> Option<Integers<'v>>,
) -> Result<(), String> {
    let read = |buffer: Buffer| -> Result<Operand<'v>, String> {
        let (name, (dims, bytes)) = match buffer {
            Buffer::Input(i) => (format!("input {i}"), (inputs[i].dims, inputs[i].bytes)),
            Buffer::Global(i) => {
                let name = &program.globals[i].name;
                let value = global(i).ok_or_else(|| format!("the global '{name}' has no value"))?;
                (format!("the global '{name}'"), value)
            }
            Buffer::Output(_) | Buffer::Local(_) => return Err("a check reads what a launch computes".into()),
        };
        let values = bytes.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect();
        Ok(Operand { name, dims, values })
    };
    let optional = |buffer: &Option<Buffer>| buffer.map(read).transpose();
    for check in &function.checks {
        match check {
            Check::Same { left, right } => {
                let (a, b) = (left.eval(symbols)?, right.eval(symbols)?);
                if a != b {
                    let [left, right] = [left, right].map(|size| describe(program, function, size));
                    return Err(format!("{left} must be {right}, but they are {a} and {b}"));
                }
            }
            Check::Index { ids, limit } => {
                let (ids, limit) = (read(*ids)?, limit.eval(symbols)?);
                if let Some(at) = ids.values.iter().position(|id| !(0..limit).contains(id)) {
                    return Err(ids.wrong(at, &format!("must be in 0..{limit}")));
                }
            }
            Check::Position { positions, lengths, rows, capacity } => {
                let capacity = capacity.as_ref().map(|capacity| capacity.eval(symbols)).transpose()?;
                let capacity = capacity.map(|capacity| (capacity, "the cache holds"));
                spans(&read(*positions)?, optional(lengths)?.as_ref(), rows.eval(symbols)?, capacity)?;
            }
            Check::Blocks { table, positions, lengths, rows, size, blocks, window } => {
                let (table, positions) = (read(*table)?, read(*positions)?);
                let (size, blocks) = (size.eval(symbols)?, blocks.eval(symbols)?);
                let window = window.as_ref().map(|window| window.eval(symbols)).transpose()?;
                let pages = table.dims[1];
                let capacity = Some((size.saturating_mul(pages as i64), "its pages hold"));
                let ends = spans(&positions, optional(lengths)?.as_ref(), rows.eval(symbols)?, capacity)?;
                for (sequence, (position, end)) in positions.values.iter().zip(ends).enumerate() {
                    let first = window.map_or(0, |window| position.saturating_add(1).saturating_sub(window).max(0));
                    if first >= end {
                        continue;
                    }
                    for page in first / size..=(end - 1) / size {
                        let at = sequence * pages + page as usize;
                        if !table.values.get(at).is_some_and(|block| (0..blocks).contains(block)) {
                            let must = format!("for page {page} of sequence {sequence} must be in 0..{blocks}");
                            return Err(table.wrong(at, &must));
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// An operand that a check reads, with the name that the caller knows.
struct Operand<'v> {
    name: String,
    dims: &'v [usize],
    values: Vec<i64>,
}

impl Operand<'_> {
    /// The message that element `at` violates the condition `must`.
    fn wrong(&self, at: usize, must: &str) -> String {
        match self.values.get(at) {
            Some(value) => format!("{} has {value} at element {at}, but {must}", self.name),
            None => format!("{} has no element {at}", self.name),
        }
    }
}

/// The position after the last row of each sequence; `capacity` is the number of positions, and what has that capacity.
///
/// # Errors
/// For a length that is not in 0..=rows, and for a position that is negative or leaves no room for the rows.
fn spans(
    positions: &Operand,
    lengths: Option<&Operand>,
    rows: i64,
    capacity: Option<(i64, &str)>,
) -> Result<Vec<i64>, String> {
    let end = |(sequence, position): (usize, &i64)| {
        let length = match lengths {
            Some(lengths) => match lengths.values.get(sequence) {
                Some(length) if (0..=rows).contains(length) => *length,
                _ => return Err(lengths.wrong(sequence, &format!("must be in 0..={rows}"))),
            },
            None => rows,
        };
        match capacity {
            Some((capacity, holder)) if !(0..=capacity.saturating_sub(length)).contains(position) => {
                let must = match capacity.checked_sub(length).filter(|last| *last >= 0) {
                    Some(last) => format!("must be in 0..={last}: {holder} {capacity}, and {length} rows follow"),
                    None => format!("{length} rows follow, and {holder} {capacity}"),
                };
                Err(positions.wrong(sequence, &must))
            }
            None if *position < 0 => Err(positions.wrong(sequence, "must be at least 0")),
            _ => Ok(position.saturating_add(length)),
        }
    };
    positions.values.iter().enumerate().map(end).collect()
}

/// A size in terms that the caller knows.
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
