//! What a group asks of the sizes and integers that a caller hands in, or its kernel would leave its buffers.
//!
//! ```mlir
//! transformer.check "same" sizes(%rows, %other)
//! transformer.check "position" buffers(%positions) sizes(%rows, %capacity)
//! ```
//! Each condition stands once in a function. Integers that the program computes are not checked: an embedding takes the
//! nearest row for an id outside its table, a cache update skips rows that its cache does not have, and an attention
//! whose block table is neither an argument nor a global is an error.

use super::{Extent, Lowering, Tensor, key, value_dims};
use crate::{
    emit::V,
    group::{self, Group, Unsupported, dims, op_name},
};
use kforge_dialect::{
    Op,
    ir::{defining_op, integer_attribute, operand, optional_operand},
    pass::PassError,
};
use kforge_program::Family;
use melior::ir::{
    Value, ValueLike,
    attribute::StringAttribute,
    operation::{OperationLike, OperationRef},
};

impl<'c, 'a> Lowering<'c, 'a> {
    /// Emits the conditions of a group's ops.
    pub(super) fn checks(&mut self, group: &Group<'c, 'a>, operands: &[Tensor<'c, 'a>]) -> Result<(), PassError<'c>> {
        for op in &group.body {
            for (left, right) in equal_axes(*op) {
                let size = |(value, axis): (Value<'c, 'a>, usize)| {
                    let size = value_dims(group, value).and_then(|sizes| sizes.into_iter().nth(axis));
                    size.ok_or_else(|| {
                        PassError::at(op, format!("has an operand whose axis {axis} is of unknown size"))
                    })
                };
                self.check_same(self.size(&size(left)?, operands), self.size(&size(right)?, operands));
            }
            self.check_integers(group, *op, operands)?;
        }
        match group.family {
            Family::Elementwise => self.check_elements(group, operands),
            _ => Ok(()),
        }
    }

    /// Emits that each result has the extents of operand 0, whose elements an element-wise kernel goes over.
    fn check_elements(&mut self, group: &Group<'c, 'a>, operands: &[Tensor<'c, 'a>]) -> Result<(), PassError<'c>> {
        for value in &group.yields {
            let sizes =
                value_dims(group, *value).ok_or_else(|| PassError::at(&group.op, "has a result of unknown size"))?;
            for (axis, size) in sizes.iter().enumerate() {
                self.check_same(self.size(size, operands), self.size(&group.size(0, axis..axis + 1), operands));
            }
        }
        Ok(())
    }

    /// Emits that two extents are equal, unless they are known to be; the verifiers have compared static ones.
    pub(super) fn check_same(&mut self, left: Extent<'c, 'a>, right: Extent<'c, 'a>) {
        let is_static = matches!((left, right), (Extent::Const(_), Extent::Const(_)));
        if !is_static && left.identity() != right.identity() {
            self.check("same", &[], &[left, right]);
        }
    }

    fn check_integers(
        &mut self,
        group: &Group<'c, 'a>,
        op: OperationRef<'c, 'a>,
        operands: &[Tensor<'c, 'a>],
    ) -> Result<(), PassError<'c>> {
        let buffer = |i: usize| operands[i].buffer;
        // Sequences, rows and the operand that holds them, if any: where positions, lengths and a block table follow.
        let (first, new, cache) = match Op::of(&op) {
            Some(Op::Embedding) => {
                let (ids, table) = (group.operand(op, 0).map_err(at)?, group.operand(op, 1).map_err(at)?);
                let rows = match group::quant(group.arguments[table].r#type()) {
                    Some((_, rows, _)) => Extent::Const(rows),
                    None => operands[table].dims[0],
                };
                self.check("index", &[buffer(ids)], &[rows]);
                return Ok(());
            }
            Some(Op::Rope) => {
                let positions = group.operand(op, 1).map_err(at)?;
                let lengths = group.trailing(op, 2).map_err(at)?;
                let sequences: Vec<V> = [Some(positions), lengths].into_iter().flatten().map(buffer).collect();
                let rows = self.axis(group, op, 0, 1, operands)?;
                self.check("position", &sequences, &[rows]);
                return Ok(());
            }
            Some(Op::KvUpdate) => (2, 1, 0),
            Some(Op::Attention) => (3, 0, 1),
            _ => return Ok(()),
        };
        // Without positions all keys exist, and the verifier has seen to it that there are no lengths nor table.
        let Some(positions) = group.optional(op, first).map_err(at)? else { return Ok(()) };
        let is_update = cache == 0;
        let rows = self.axis(group, op, new, 1, operands)?;
        let (positions_of, blocks) =
            (self.axis(group, op, cache, 1, operands)?, self.axis(group, op, cache, 0, operands)?);
        let lengths = group.optional(op, first + 1).map_err(at)?;
        let sequences = [Some(positions), lengths].into_iter().flatten().map(buffer);
        let Some(table) = group.optional(op, first + 2).map_err(at)? else {
            let sequences: Vec<V> = sequences.collect();
            self.check("position", &sequences, &[rows, positions_of]);
            return Ok(());
        };
        let buffers: Vec<V> = std::iter::once(buffer(table)).chain(sequences).collect();
        if !is_update && !buffers.iter().all(|b| is_readable((*b).into())) {
            let message = "needs block table, positions and lengths to be arguments of the function or globals, where \
                           they are checked before a call";
            return Err(PassError::at(&op, message));
        }
        // An update touches new rows only, as a window of one position would.
        let window = if is_update { Some(1) } else { integer_attribute(&op, "window") };
        let window = window.and_then(|w| usize::try_from(w).ok()).map(Extent::Const);
        let sizes = [rows, positions_of, blocks];
        self.check("blocks", &buffers, &sizes.into_iter().chain(window).collect::<Vec<_>>());
        Ok(())
    }

    /// The extent of an axis of an op's operand.
    fn axis(
        &self,
        group: &Group<'c, 'a>,
        op: OperationRef<'c, 'a>,
        index: usize,
        axis: usize,
        operands: &[Tensor<'c, 'a>],
    ) -> Result<Extent<'c, 'a>, PassError<'c>> {
        let value = operand(&op, index).ok_or_else(|| PassError::at(&op, format!("has no operand {index}")))?;
        let size = value_dims(group, value).and_then(|sizes| sizes.into_iter().nth(axis));
        let size = size.ok_or_else(|| PassError::at(&op, format!("has an operand {index} of unknown size")))?;
        Ok(self.size(&size, operands))
    }

    /// Emits a condition on arguments of the function and globals, once.
    fn check(&mut self, kind: &'static str, buffers: &[V<'c, 'a>], sizes: &[Extent<'c, 'a>]) {
        if !buffers.iter().all(|b| is_readable((*b).into())) {
            return;
        }
        let known = (
            kind,
            buffers.iter().map(|b| key(*b)).collect::<Vec<_>>(),
            sizes.iter().map(Extent::identity).collect::<Vec<_>>(),
        );
        if !self.checked.insert(known) {
            return;
        }
        let attributes = [
            ("kind", StringAttribute::new(self.e.context, kind).into()),
            ("operandSegmentSizes", self.segments(&[buffers.len(), sizes.len()])),
        ];
        let sizes = sizes.iter().map(|s| self.index(*s));
        let operands: Vec<V> = buffers.iter().copied().chain(sizes).collect();
        self.e.op("transformer.check", &operands, &[], &attributes);
    }
}

/// Whether a call can read a buffer before its launches: an argument of the function, or a global.
fn is_readable(buffer: Value<'_, '_>) -> bool {
    buffer.is_block_argument()
        || defining_op(buffer).is_some_and(|def| {
            matches!(op_name(&def).as_str(), "ml_program.global_load" | "ml_program.global_load_const")
        })
}

/// The error of a generator as that of a pass.
fn at<'c>(error: Unsupported<'c, '_>) -> PassError<'c> {
    PassError::at(&error.op, error.message)
}

/// A value of the group and an axis of it.
type Axis<'c, 'a> = (Value<'c, 'a>, usize);

/// Axes of an op's operands that must be equally long.
fn equal_axes<'c, 'a>(op: OperationRef<'c, 'a>) -> Vec<(Axis<'c, 'a>, Axis<'c, 'a>)> {
    let operands: Vec<Value> = op.operands().collect();
    let rank = |value: Value| dims(value.r#type()).len();
    let optional = |i: usize| optional_operand(&op, i);
    let mut equal = vec![];
    match (Op::of(&op), &operands[..]) {
        (Some(Op::Matmul), [a, b, ..]) if rank(*a) >= 2 && rank(*a) == rank(*b) => {
            let last = rank(*a) - 1;
            equal.extend((0..last - 1).map(|axis| ((*a, axis), (*b, axis))));
            let inner = |flag, plain, swapped| if op.has_attribute(flag) { swapped } else { plain };
            equal.push(((*a, inner("transpose_a", last, last - 1)), (*b, inner("transpose_b", last - 1, last))));
        }
        (Some(Op::Rope), [x, sequences @ ..]) => equal.extend(sequences.iter().map(|s| ((*x, 0), (*s, 0)))),
        (Some(Op::KvUpdate), [cache, new, ..]) => {
            equal.extend((2..5).filter_map(optional).map(|s| ((*new, 0), (s, 0))));
            if optional(4).is_none() {
                equal.push(((*new, 0), (*cache, 0)));
            }
        }
        (Some(Op::Attention), [query, key, value, ..]) => {
            equal.extend((0..2).map(|axis| ((*key, axis), (*value, axis))));
            equal.extend((3..6).filter_map(optional).map(|s| ((*query, 0), (s, 0))));
            if optional(5).is_none() {
                equal.push(((*query, 0), (*key, 0)));
            }
        }
        (kind, [x, rest @ ..]) if kind == Some(Op::Swiglu) || op_name(&op).starts_with("arith.") => {
            equal.extend(rest.iter().flat_map(|y| (0..rank(*x)).map(|axis| ((*x, axis), (*y, axis)))));
        }
        _ => {}
    }
    equal
}
