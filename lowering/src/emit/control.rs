//! Control flow: loops, branches and functions, each with a body that is emitted by a closure.

use super::{Emitter, V};
use melior::ir::{
    Attribute, Block, BlockLike, BlockRef, Location, Region, RegionLike, Type, ValueLike,
    attribute::{DenseI64ArrayAttribute, StringAttribute, TypeAttribute},
    operation::{OperationLike, OperationRef},
    r#type::FunctionType,
};

/// A region of one block with these arguments.
fn region<'c>(arguments: &[(Type<'c>, Location<'c>)]) -> Region<'c> {
    let region = Region::new();
    region.append_block(Block::new(arguments));
    region
}

impl<'c, 'a> Emitter<'c, 'a> {
    /// Appends an op with regions.
    pub fn structured(
        &self,
        name: &str,
        operands: &[V<'c, 'a>],
        results: &[Type<'c>],
        attributes: &[(&str, Attribute<'c>)],
        regions: Vec<Region<'c>>,
    ) -> OperationRef<'c, 'a> {
        self.builder.append(name, operands, results, attributes, regions)
    }

    /// Appends what `body` emits, given the arguments of the block, to a region of one block.
    pub fn fill<T>(&self, op: OperationRef<'c, 'a>, number: usize, body: impl FnOnce(&Self, &[V<'c, 'a>]) -> T) -> T {
        let block: BlockRef<'c, 'a> =
            op.region(number).ok().and_then(|r| r.first_block()).expect("a region with a block");
        let arguments: Vec<V> =
            (0..block.argument_count()).map(|i| self.wrap(block.argument(i).expect("an argument"))).collect();
        self.inside(block, |e| body(e, &arguments))
    }

    /// Like [`fill`](Self::fill), and yields the values that `body` returns.
    fn yielding(
        &self,
        op: OperationRef<'c, 'a>,
        number: usize,
        body: impl FnOnce(&Self, &[V<'c, 'a>]) -> Vec<V<'c, 'a>>,
    ) {
        self.fill(op, number, |e, arguments| {
            let yields = body(e, arguments);
            e.op("scf.yield", &yields, &[], &[]);
        });
    }

    fn results(&self, op: OperationRef<'c, 'a>) -> Vec<V<'c, 'a>> {
        op.results().map(|result| self.wrap(result)).collect()
    }

    /// `scf.for iv = lower to upper step step iter_args(inits)`; the body returns the values it yields.
    pub fn for_(
        &self,
        lower: V<'c, 'a>,
        upper: V<'c, 'a>,
        step: usize,
        inits: &[V<'c, 'a>],
        body: impl FnOnce(&Emitter<'c, 'a>, V<'c, 'a>, &[V<'c, 'a>]) -> Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        let types: Vec<Type<'c>> = inits.iter().map(|v| v.r#type()).collect();
        let mut arguments = vec![(self.index(), self.location())];
        arguments.extend(types.iter().map(|t| (*t, self.location())));
        let mut operands = vec![lower, upper, self.ci(step)];
        operands.extend_from_slice(inits);
        let op = self.structured("scf.for", &operands, &types, &[], vec![region(&arguments)]);
        self.yielding(op, 0, |e, arguments| body(e, arguments[0], &arguments[1..]));
        self.results(op)
    }

    /// A loop without carried values.
    pub fn loop_(
        &self,
        lower: V<'c, 'a>,
        upper: V<'c, 'a>,
        step: usize,
        body: impl FnOnce(&Emitter<'c, 'a>, V<'c, 'a>),
    ) {
        self.for_(lower, upper, step, &[], |e, iv, _| {
            body(e, iv);
            vec![]
        });
    }

    /// `scf.if` without results and without an else.
    pub fn if_(&self, condition: V<'c, 'a>, then: impl FnOnce(&Emitter<'c, 'a>)) {
        let op = self.structured("scf.if", &[condition], &[], &[], vec![region(&[]), Region::new()]);
        self.yielding(op, 0, |e, _| {
            then(e);
            vec![]
        });
    }

    /// `scf.if` without results around a body that may fail.
    pub fn try_if<E>(
        &self,
        condition: V<'c, 'a>,
        then: impl FnOnce(&Emitter<'c, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut outcome = Ok(());
        self.if_(condition, |e| outcome = then(e));
        outcome
    }

    /// `scf.if` with results.
    pub fn if_else(
        &self,
        condition: V<'c, 'a>,
        results: &[Type<'c>],
        then: impl FnOnce(&Emitter<'c, 'a>) -> Vec<V<'c, 'a>>,
        otherwise: impl FnOnce(&Emitter<'c, 'a>) -> Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        let op = self.structured("scf.if", &[condition], results, &[], vec![region(&[]), region(&[])]);
        self.yielding(op, 0, |e, _| then(e));
        self.yielding(op, 1, |e, _| otherwise(e));
        self.results(op)
    }

    /// `scf.index_switch` over `number`, one of 0 to `count - 1`; `body` emits each case and returns its values.
    pub fn switch(
        &self,
        number: V<'c, 'a>,
        count: usize,
        results: &[Type<'c>],
        body: impl Fn(&Emitter<'c, 'a>, usize) -> Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        // The default region comes first; it is the last case.
        let cases: Vec<i64> = (0..count as i64 - 1).collect();
        let cases = DenseI64ArrayAttribute::new(self.context, &cases).into();
        let regions = (0..count).map(|_| region(&[])).collect();
        let op = self.structured("scf.index_switch", &[number], results, &[("cases", cases)], regions);
        for case in 0..count {
            self.yielding(op, (case + 1) % count, |e, _| body(e, case));
        }
        self.results(op)
    }

    /// Appends `func.func private @name(arguments)` to this block, a module's body; `body` is given its arguments.
    pub fn func<T>(&self, name: &str, arguments: &[Type<'c>], body: impl FnOnce(&Self, &[V<'c, 'a>]) -> T) -> T {
        let located: Vec<_> = arguments.iter().map(|t| (*t, self.location())).collect();
        let ty = FunctionType::new(self.context, arguments, &[]);
        let attributes = [
            ("sym_name", StringAttribute::new(self.context, name).into()),
            ("sym_visibility", StringAttribute::new(self.context, "private").into()),
            ("function_type", TypeAttribute::new(ty.into()).into()),
        ];
        let op = self.structured("func.func", &[], &[], &attributes, vec![region(&located)]);
        self.fill(op, 0, |e, arguments| {
            let result = body(e, arguments);
            e.op("func.return", &[], &[], &[]);
            result
        })
    }
}
