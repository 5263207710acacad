//! Sizes of tensors as constants or SSA values of the new function.

use super::{Lowering, Tensor};
use crate::{
    emit::V,
    group::{Group, Size, dims, op_name},
    kernels,
};
use kforge_dialect::{
    Op,
    ir::{key, reassociation},
    pass::PassError,
};
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

/// A size in the new function: known, or an SSA value.
#[derive(Clone, Copy)]
pub(super) enum Extent<'c, 'a> {
    Const(usize),
    Index(V<'c, 'a>),
}

impl Extent<'_, '_> {
    /// Equal for equal extents: a size, or the value's identity.
    pub fn identity(&self) -> Result<usize, usize> {
        match self {
            Extent::Const(c) => Ok(*c),
            Extent::Index(v) => Err(key(*v)),
        }
    }
}

/// What tells one size from another: a constant, or an operation and the identities of what it is applied to.
pub(super) type Computed = (&'static str, [Result<usize, usize>; 2]);

impl<'c, 'a> Lowering<'c, 'a> {
    pub(super) fn index(&self, extent: Extent<'c, 'a>) -> V<'c, 'a> {
        match extent {
            Extent::Const(c) => self.once(("", [Ok(c); 2]), || self.e.ci(c)),
            Extent::Index(v) => v,
        }
    }

    /// A size, which `compute` emits where it is not there yet.
    fn once(&self, size: Computed, compute: impl FnOnce() -> V<'c, 'a>) -> V<'c, 'a> {
        if let Some(known) = self.sizes.borrow().get(&size) {
            return *known;
        }
        let value = compute();
        self.sizes.borrow_mut().insert(size, value);
        value
    }

    fn arithmetic(&self, op: &'static str, a: Extent<'c, 'a>, b: Extent<'c, 'a>) -> Extent<'c, 'a> {
        let compute = || self.e.same(op, &[self.index(a), self.index(b)]);
        Extent::Index(self.once((op, [a.identity(), b.identity()]), compute))
    }

    /// Extents collapsed to `rank` dimensions by an op's reassociation.
    pub(super) fn collapsed(
        &self,
        op: OperationRef<'c, 'a>,
        source: &[Extent<'c, 'a>],
        rank: usize,
    ) -> Result<Vec<Extent<'c, 'a>>, PassError<'c>> {
        let groups = reassociation(&op).filter(|groups| groups.len() == rank);
        let groups = groups.ok_or_else(|| PassError::at(&op, "has an unreadable reassociation"))?;
        let mut axes = source.iter();
        Ok(groups
            .iter()
            .map(|group| {
                axes.by_ref().take(group.len()).copied().fold(Extent::Const(1), |product, d| match (product, d) {
                    (Extent::Const(a), Extent::Const(b)) => Extent::Const(a * b),
                    (Extent::Const(1), d) => d,
                    (a, Extent::Const(1)) => a,
                    (a, b) => Extent::Index(self.index(a) * self.index(b)),
                })
            })
            .collect())
    }

    pub(super) fn size(&self, size: &Size, operands: &[Tensor<'c, 'a>]) -> Extent<'c, 'a> {
        let both = |a: &Size, b: &Size| (self.size(a, operands), self.size(b, operands));
        match size {
            Size::Const(c) => Extent::Const(*c),
            Size::Dim(operand, axis) => operands[*operand].dims[*axis],
            Size::Mul(a, b) => match both(a, b) {
                (Extent::Const(a), Extent::Const(b)) => Extent::Const(a * b),
                (a, b) => self.arithmetic("arith.muli", a, b),
            },
            Size::Add(a, b) => match both(a, b) {
                (Extent::Const(a), Extent::Const(b)) => Extent::Const(a + b),
                (a, b) => self.arithmetic("arith.addi", a, b),
            },
            Size::CeilDiv(a, by) => match self.size(a, operands) {
                Extent::Const(a) => Extent::Const(a.div_ceil(*by)),
                a => self.arithmetic("arith.ceildivui", a, Extent::Const(*by)),
            },
        }
    }
}

/// The dimensions of a value inside a group, by the group's operands.
pub(super) fn value_dims<'c, 'a>(group: &Group<'c, 'a>, value: Value<'c, 'a>) -> Option<Vec<Size>> {
    let stated = dims(value.r#type());
    if stated.iter().all(Option::is_some) {
        return Some(stated.into_iter().flatten().map(Size::Const).collect());
    }
    if let Some(operand) = group.argument(value) {
        return Some((0..stated.len()).map(|axis| group.size(operand, axis..axis + 1)).collect());
    }
    let op = group.defining_op(value)?;
    let operand = |i| op.operand(i).ok().and_then(|v| value_dims(group, v));
    let last = stated.last().copied().flatten().map(Size::Const);
    match Op::of(&op) {
        Some(Op::Linear | Op::TopK) => {
            let mut sizes = operand(0)?;
            sizes.pop();
            sizes.push(last?);
            Some(sizes)
        }
        Some(Op::Embedding) => {
            let mut sizes = operand(0)?;
            sizes.push(last?);
            Some(sizes)
        }
        Some(Op::Matmul) => {
            let (a, b) = (operand(0)?, operand(1)?);
            let rank = a.len();
            let mut sizes = a[..rank - 2].to_vec();
            sizes.push(a[if op.has_attribute("transpose_a") { rank - 1 } else { rank - 2 }].clone());
            sizes.push(b[if op.has_attribute("transpose_b") { rank - 2 } else { rank - 1 }].clone());
            Some(sizes)
        }
        Some(Op::RmsNorm | Op::LayerNorm | Op::Softmax | Op::Quantize | Op::Rope | Op::KvUpdate | Op::Attention) => {
            operand(0)
        }
        _ if kernels::elementwise::is_elementwise(&op_name(&op)) => operand(0),
        _ => None,
    }
}
