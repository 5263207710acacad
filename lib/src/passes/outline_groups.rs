//! Moves each fusion group, and each remaining op, into a `transformer.fused` region.
//!
//! ```mlir
//! %n = transformer.rms_norm %x, %g {transformer.group = 0 : i64}
//! %y = transformer.linear %n, %w {transformer.group = 0 : i64}
//! ```
//! becomes
//! ```mlir
//! %y = transformer.fused(%a = %x, %b = %g, %c = %w) -> (...) {
//!   %0 = transformer.rms_norm %a, %b
//!   %1 = transformer.linear %0, %c
//!   transformer.yield %1
//! }
//! ```
//! The region replaces the group's first op and has the fused location of all its ops; ops in between that it depends on are
//! moved up. A group whose ops depend on each other through an op outside cannot be one kernel: that is an error at its
//! first op. Constants are copied inside.
//! Views, constants, sizes and global accesses are not kernels and stay. A `transformer.quantize` whose only user is a cache
//! update is outlined with it, fused or not: only the kernel that computes the integers can store them.

use crate::fusion::{GROUP, Groups, group};
use kforge_dialect::{
    Op,
    ir::{
        body, defining_op, erase_all, fused_location, identity, key, move_before, op_name, operand, ops,
        remove_attribute, replace_uses, set_operand, users,
    },
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{
    Block, BlockLike, BlockRef, Region, RegionLike, Type, Value, ValueLike,
    operation::{OperationBuilder, OperationLike, OperationRef},
    r#type::RankedTensorType,
};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

pub static INFO: PassInfo = PassInfo {
    name: "outline-groups",
    summary: "Make every fusion group, and every op left alone, a transformer.fused region",
    anchor: "func.func",
    options: &[],
    statistics: &[
        StatisticInfo { name: "outlined", summary: "fused regions made" },
        StatisticInfo { name: "ops", summary: "ops moved into them" },
    ],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut groups = Groups::of(pass.context, block);
    for op in ops(block) {
        if group(&op).is_none() && is_computation(op) {
            let update = rounded_update(op).filter(|update| groups.holds(*update));
            let joined: Vec<OperationRef> = std::iter::once(op).chain(update).collect();
            groups.join(&joined);
        } else if group(&op).is_some() && !is_computation(op) {
            return Err(PassError::at(&op, format!("cannot be part of a kernel; remove its '{GROUP}'")));
        }
    }
    let mut outline = Outline::new(pass, block, groups.into_members().into_values().collect());
    outline.run()
}

/// The cache update that is the only user of a `quantize`.
fn rounded_update<'c, 'a>(op: OperationRef<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
    let rows = op.results().next().filter(|_| Op::Quantize.is(&op))?.into();
    let [update] = users(rows)[..] else { return None };
    let is_update = Op::KvUpdate.is(&update) && operand(&update, 1) == Some(rows);
    is_update.then_some(update)
}

/// Whether an op becomes part of a kernel.
fn is_computation(op: OperationRef<'_, '_>) -> bool {
    let name = op_name(&op);
    let tensor = op.results().next().is_some_and(|r| RankedTensorType::try_from(r.r#type()).is_ok());
    match name.split_once('.') {
        Some(("transformer", rest)) => !matches!(rest, "fused" | "launch" | "yield"),
        Some(("arith", "constant")) => false,
        Some(("arith" | "math", _)) => tensor,
        _ => false,
    }
}

/// A unit of placement: an op that stays as it is, or a group.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    /// By its position in the block.
    Op(usize),
    /// By its number in [`Outline::groups`].
    Group(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its dependencies are being placed.
    Open,
    Placed,
}

/// One walk over a block that places each unit after its dependencies. Outlined ops stay in the block until the end, so
/// that no new op can have the identity (address) of an old one.
struct Outline<'p, 'c, 'a> {
    pass: &'p PassRun<'c, 'a>,
    block: BlockRef<'c, 'a>,
    /// The block as it was.
    ops: Vec<OperationRef<'c, 'a>>,
    units: HashMap<usize, Unit>,
    groups: Vec<Vec<OperationRef<'c, 'a>>>,
    states: HashMap<Unit, State>,
    /// Positions of stores to globals, ascending.
    stores: Vec<usize>,
}

/// Inputs of a fused op: its operands, and constants that are copied into it.
struct Inputs<'c, 'a> {
    values: Vec<Value<'c, 'a>>,
    constants: Vec<OperationRef<'c, 'a>>,
}

impl<'p, 'c, 'a> Outline<'p, 'c, 'a> {
    fn new(pass: &'p PassRun<'c, 'a>, block: BlockRef<'c, 'a>, groups: Vec<Vec<OperationRef<'c, 'a>>>) -> Self {
        let ops = ops(block);
        let mut units: HashMap<usize, Unit> =
            ops.iter().enumerate().map(|(position, op)| (identity(*op), Unit::Op(position))).collect();
        for (number, members) in groups.iter().enumerate() {
            units.extend(members.iter().map(|op| (identity(*op), Unit::Group(number))));
        }
        let is_store = |position: &usize| op_name(&ops[*position]) == "ml_program.global_store";
        let stores = (0..ops.len()).filter(is_store).collect();
        Outline { pass, block, ops, units, groups, states: HashMap::default(), stores }
    }

    fn run(&mut self) -> Result<(), PassError<'c>> {
        for position in 0..self.ops.len() {
            let unit = self.units[&identity(self.ops[position])];
            match unit {
                _ if self.states.contains_key(&unit) => {}
                Unit::Op(_) => {
                    self.states.insert(unit, State::Placed);
                }
                Unit::Group(_) => self.place(unit, position)?,
            }
        }
        erase_all(self.groups.drain(..).flatten());
        Ok(())
    }

    /// Places a unit before the op at `position`, after its dependencies that have not been placed yet.
    fn place(&mut self, unit: Unit, position: usize) -> Result<(), PassError<'c>> {
        self.states.insert(unit, State::Open);
        // No recursion: a chain of dependencies may be as long as the function.
        let mut open = vec![(unit, self.needs(unit).into_iter())];
        while let Some((unit, needs)) = open.last_mut() {
            let unit = *unit;
            let Some(needed) = needs.next() else {
                open.pop();
                self.emit(unit, position);
                self.states.insert(unit, State::Placed);
                continue;
            };
            match self.states.get(&needed) {
                Some(State::Placed) => {}
                Some(State::Open) => {
                    let cycle = open.iter().map(|(unit, _)| *unit).skip_while(|unit| *unit != needed);
                    return Err(self.cycle(cycle.collect()));
                }
                None => {
                    self.check_load(needed, position)?;
                    self.states.insert(needed, State::Open);
                    open.push((needed, self.needs(needed).into_iter()));
                }
            }
        }
        Ok(())
    }

    fn cycle(&self, units: Vec<Unit>) -> PassError<'c> {
        let first = units.iter().find_map(|unit| match unit {
            Unit::Group(number) => self.groups[*number].first(),
            Unit::Op(_) => None,
        });
        let message = "is in a group whose ops need each other through an op outside it; take one out of the group";
        PassError::at(first.unwrap_or(&self.pass.op), message)
    }

    /// Fails if moving a load of a global up to `position` would cross a store.
    fn check_load(&self, unit: Unit, position: usize) -> Result<(), PassError<'c>> {
        let Unit::Op(load) = unit else { return Ok(()) };
        let next = self.stores.get(self.stores.partition_point(|store| *store <= position));
        if op_name(&self.ops[load]) == "ml_program.global_load" && next.is_some_and(|store| *store < load) {
            let message = "cannot move above a store to a global, as its group needs";
            return Err(PassError::at(&self.ops[load], message));
        }
        Ok(())
    }

    /// The units that define what a unit uses, in the order of use.
    fn needs(&self, unit: Unit) -> Vec<Unit> {
        let values = match unit {
            Unit::Op(position) => used(self.ops[position]),
            Unit::Group(number) => self.inputs(number).values,
        };
        let unit_of = |value: Value<'c, 'a>| self.units.get(&identity(defining_op(value)?)).copied();
        values.into_iter().filter_map(unit_of).filter(|needed| *needed != unit).collect()
    }

    fn is_in(&self, op: OperationRef<'c, 'a>, group: usize) -> bool {
        self.units.get(&identity(op)) == Some(&Unit::Group(group))
    }

    /// The values that the ops of a group use from outside, without duplicates.
    fn inputs(&self, group: usize) -> Inputs<'c, 'a> {
        let mut inputs = Inputs { values: vec![], constants: vec![] };
        let mut seen = HashSet::default();
        for value in self.groups[group].iter().flat_map(|op| op.operands()) {
            match defining_op(value) {
                Some(def) if self.is_in(def, group) => {}
                Some(def) if op_name(&def) == "arith.constant" => {
                    if seen.insert(key(value)) {
                        inputs.constants.push(def);
                    }
                }
                _ => {
                    if seen.insert(key(value)) {
                        inputs.values.push(value);
                    }
                }
            }
        }
        inputs
    }

    fn emit(&mut self, unit: Unit, position: usize) {
        match unit {
            Unit::Op(moved) => move_before(self.ops[moved], self.ops[position]),
            Unit::Group(number) => self.fuse(number, self.ops[position]),
        }
    }

    /// Moves a group into one op before `place`.
    fn fuse(&self, number: usize, place: OperationRef<'c, 'a>) {
        let members = &self.groups[number];
        let anchor = members[0];
        let Inputs { values, constants } = self.inputs(number);
        let outputs: Vec<Value> = members
            .iter()
            .flat_map(|op| op.results())
            .map(Value::from)
            .filter(|v| users(*v).into_iter().any(|user| !self.is_in(user, number)))
            .collect();

        let located: Vec<_> = values.iter().map(|v| (v.r#type(), anchor.location())).collect();
        let region = Region::new();
        let inner = region.append_block(Block::new(&located));
        let mut mapping: HashMap<usize, Value> = HashMap::default();
        for (i, value) in values.iter().enumerate() {
            mapping.insert(key(*value), inner.argument(i).expect("an argument for each input").into());
        }
        for op in constants.iter().chain(members) {
            let operands: Vec<Value> = op.operands().map(|v| mapping[&key(v)]).collect();
            let copy = inner.append_operation((**op).clone());
            remove_attribute(copy, GROUP);
            for (i, operand) in operands.into_iter().enumerate() {
                set_operand(copy, i, operand);
            }
            for (old, new) in op.results().zip(copy.results()) {
                mapping.insert(key(old), new.into());
            }
        }
        let yields: Vec<Value> = outputs.iter().map(|v| mapping[&key(*v)]).collect();
        let terminator = OperationBuilder::new(Op::Yield.name(), anchor.location()).add_operands(&yields).build();
        inner.append_operation(terminator.expect("a yield always builds"));
        let results: Vec<Type> = outputs.iter().map(|v| v.r#type()).collect();
        let locations: Vec<_> = members.iter().map(|op| op.location()).collect();
        let fused = OperationBuilder::new(Op::Fused.name(), fused_location(self.pass.context, &locations))
            .add_operands(&values)
            .add_results(&results)
            .add_regions([region])
            .build()
            .expect("a fused op with given result types always builds");
        let fused = self.block.insert_operation_before(place, fused);
        for (old, new) in outputs.iter().zip(fused.results()) {
            replace_uses(*old, new.into());
        }
        self.pass.count("outlined", 1);
        self.pass.count("ops", members.len());
    }
}

/// The values that an op uses, also in its regions.
fn used<'c, 'a>(op: OperationRef<'c, 'a>) -> Vec<Value<'c, 'a>> {
    let mut values: Vec<Value> = op.operands().collect();
    for region in op.regions() {
        let mut block = region.first_block();
        while let Some(inside) = block {
            values.extend(ops(inside).into_iter().flat_map(used));
            block = inside.next_in_region();
        }
    }
    values
}
