//! Chooses a kernel family for every `transformer.fused`, and one physical layout for every weight and cache.
//!
//! ```mlir
//! ml_program.global private @w(#ml_program.extern<T>) : T
//! %y = transformer.fused(%a = %x, %b = %w) ...
//! ```
//! becomes
//! ```mlir
//! module attributes {transformer.target = "avx512"} {
//! ml_program.global private @w(#ml_program.extern<T>) {transformer.layout = "rows16"} : T
//! %y = transformer.fused(%a = %x, %b = %w) ... kernel #transformer.kernel<"gemv">
//!     attributes {transformer.layouts = ["row_major", "rows16"]}
//! ```
//! Caches that an attention with positions reads get the layouts of keys and values. If every row that is written to such a
//! global was rounded by a `transformer.quantize` in the same region, they get 8-bit layouts, which represent it exactly.
//! The choice is by rule: a linear of at most 8 static rows is a `gemv`, any other a `gemm`. A weight that comes from a
//! global or an argument is packed once, at load; the whole module uses one layout, including a tied embedding and output
//! head. A kernel attribute that is already on the op is kept. With `mode`, the tuner's tile for this machine is added, and
//! `transformer.tuned` has the key of its rows in the database. A weight computed by the program stays row-major.

use crate::{
    fusion::functions,
    options::{self, Tuning},
    tiles::{Problem, product::GEMV_ROWS},
    tuner,
};
use kforge_dialect::{
    KernelAttribute, Op, QuantType, constant,
    ir::{
        argument_owner, body, defining_op, dims, element, identity, key, op_name, operand, ops, segments,
        set_attribute, string_attribute, symbol_attribute, users,
    },
    pass::{OptionValues as _, PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_program::{Family, Layout};
use kforge_target::Target;
use melior::{
    StringRef,
    ir::{
        Attribute, AttributeLike, BlockLike, Type, Value, ValueLike,
        attribute::{ArrayAttribute, StringAttribute},
        operation::{OperationLike, OperationRef},
    },
};
use rustc_hash::FxHashMap as HashMap;
use std::cell::RefCell;

pub static INFO: PassInfo = PassInfo {
    name: "select-kernels",
    summary: "Choose a kernel for every fused op and a layout for every weight",
    anchor: "builtin.module",
    options: &[options::TARGET, options::FACTORS, options::MODE, options::THREADS, options::BUDGET],
    statistics: &[
        StatisticInfo { name: "selected", summary: "kernels chosen" },
        StatisticInfo { name: "tuned", summary: "tiles that the tuner chose" },
        StatisticInfo { name: "packed", summary: "weights and caches given a packed layout" },
    ],
    run,
};

/// The layout of a value that is stored as the integers of `transformer.quantize`; no global has it.
const BLOCKS8: &str = "blocks8";

/// Storage that outlives a call: a global, or a function's argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin<'c, 'a> {
    Global(OperationRef<'c, 'a>),
    Argument(OperationRef<'c, 'a>, usize),
}

impl Origin<'_, '_> {
    /// A map key; equal for equal origins.
    fn identity(self) -> (usize, Option<usize>) {
        match self {
            Origin::Global(global) => (identity(global), None),
            Origin::Argument(function, index) => (identity(function), Some(index)),
        }
    }
}

fn run<'c, 'a>(pass: &PassRun<'c, 'a>) -> Result<(), PassError<'c>> {
    let fail = |message: String| PassError::at(&pass.op, message);
    let target: Target = pass.text(options::TARGET.name).parse().map_err(fail)?;
    let tuning = Tuning::of(pass).map_err(fail)?;
    let value = StringAttribute::new(pass.context, &target.to_string());
    set_attribute(pass.op, "transformer.target", value.into());
    let rounds = match pass.text(options::FACTORS.name).as_str() {
        "f32" => false,
        "f16" => true,
        other => return Err(PassError::at(&pass.op, format!("factors are f32 or f16, not '{other}'"))),
    };
    let fused: Vec<OperationRef> =
        functions(pass.op).iter().filter_map(body).flat_map(ops).filter(|op| Op::Fused.is(op)).collect();
    let storage = Storage::of(pass.op);
    let layouts = choose_layouts(pass, &storage, &fused)?;
    for (origin, layout) in &layouts {
        let value = StringAttribute::new(pass.context, layout.name()).into();
        match *origin {
            Origin::Global(global) => set_attribute(global, "transformer.layout", value),
            // SAFETY: the function has such an argument; name and attribute are of its context.
            Origin::Argument(function, index) => unsafe {
                mlir_sys::mlirFuncSetArgAttr(
                    function.to_raw(),
                    index as isize,
                    StringRef::new("transformer.layout").to_raw(),
                    AttributeLike::to_raw(&value),
                );
            },
        }
        pass.count("packed", 1);
    }
    let mut session = tuner::session(target, tuning).map_err(fail)?;
    let chosen: HashMap<_, Layout> = layouts.iter().map(|(origin, layout)| (origin.identity(), *layout)).collect();
    let mut layouts_of_values: HashMap<usize, &'static str> = HashMap::default();
    let mut layout = |value: Value<'c, 'a>| {
        *layouts_of_values.entry(key(value)).or_insert_with(|| {
            if is_blocks8(value) {
                return BLOCKS8;
            }
            let layout = storage.origin(value).and_then(|origin| chosen.get(&origin.identity()).copied());
            layout.unwrap_or(Layout::RowMajor).name()
        })
    };
    let mut layouts = |values: &mut dyn Iterator<Item = Value<'c, 'a>>| -> Attribute<'c> {
        let names: Vec<_> = values.map(|v| StringAttribute::new(pass.context, layout(v)).into()).collect();
        ArrayAttribute::new(pass.context, &names).into()
    };
    for op in &fused {
        if op.results().any(|r| is_blocks8(r.into())) {
            set_attribute(*op, "transformer.result_layouts", layouts(&mut op.results().map(Value::from)));
        }
        set_attribute(*op, "transformer.layouts", layouts(&mut op.operands()));
        if !op.has_attribute("kernel") {
            let mut family = family(*op);
            let has_matrices = target.adapter().is_some_and(|adapter| adapter.matrices && adapter.f16);
            if family == Family::Gemm && has_matrices && (rounds || has_half_factors(pass, *op)) {
                family = Family::Mma;
            }
            let kernel = KernelAttribute { name: family.name().to_owned(), tile: vec![] };
            set_attribute(*op, "kernel", kernel.to_attribute(pass.context));
            pass.count("selected", 1);
            if let (Some(session), Some(problem)) = (&mut session, Problem::of(pass.context, *op, target)) {
                tune(pass, session.as_mut(), &problem, *op, kernel);
            }
        }
    }
    Ok(())
}

/// Writes the tuner's tile for a group, and its key for `kforge-run tune --explain`.
fn tune<'c>(
    pass: &PassRun<'c, '_>,
    session: &mut dyn tuner::Session,
    problem: &Problem,
    op: OperationRef<'c, '_>,
    kernel: KernelAttribute,
) {
    let Some(choice) = session.choose(problem) else { return };
    let kernel = KernelAttribute { tile: choice.tile, ..kernel };
    set_attribute(op, "kernel", kernel.to_attribute(pass.context));
    set_attribute(op, "transformer.tuned", StringAttribute::new(pass.context, &choice.key).into());
    pass.count("tuned", 1);
}

/// The kernel family that computes the ops of a region.
fn family(fused: OperationRef<'_, '_>) -> Family {
    let inner = body(&fused).map(ops).unwrap_or_default();
    let names: Vec<String> = inner.iter().map(op_name).collect();
    let find = |kind: &str| names.iter().position(|name| name.strip_prefix("transformer.") == Some(kind));
    let main = Family::ALL.iter().find_map(|family| Some((*family, family.ops().iter().find_map(|op| find(op))?)));
    let Some((family, main)) = main else { return Family::Elementwise };
    if family == Family::Gemm {
        let input = inner[main].operand(0).expect("linear has an input").r#type();
        let shape = dims(input);
        let rows = shape[..shape.len() - 1].iter().try_fold(1usize, |product, d| Some(product * (*d)?));
        return if rows.is_some_and(|rows| rows <= GEMV_ROWS) { Family::Gemv } else { Family::Gemm };
    }
    family
}

/// Whether both operands of every product of a group are already f16; the result is then rounded to f16 anyway.
fn has_half_factors<'c>(pass: &PassRun<'c, '_>, fused: OperationRef<'c, '_>) -> bool {
    let inner = body(&fused).map(ops).unwrap_or_default();
    let mut linears = inner.iter().filter(|op| Op::Linear.is(*op));
    linears.all(|op| (0..2).all(|i| op.operand(i).is_ok_and(|v| element(v.r#type()) == Type::float16(pass.context))))
}

/// Whether a value is defined by a `quantize` and only read by linear layers with quantised weights: it is then stored as
/// the integers that they multiply.
fn is_blocks8<'c>(value: Value<'c, '_>) -> bool {
    let Some(fused) = defining_op(value).filter(|def| Op::Fused.is(def)) else { return false };
    let made = fused.results().position(|r| Value::from(r) == value);
    let yielded = made.and_then(|i| body(&fused)?.terminator()?.operand(i).ok());
    if yielded.and_then(defining_op).is_none_or(|def| !Op::Quantize.is(&def)) {
        return false;
    }
    let multiplies = |argument: Value<'c, '_>| {
        users(argument).iter().all(|user| {
            Op::Linear.is(user)
                && user.operand(0).is_ok_and(|v| v == argument)
                && user.operand(1).is_ok_and(|w| QuantType::from_type(w.r#type()).is_some())
        })
    };
    users(value).iter().all(|user| {
        Op::Fused.is(user)
            && body(user).is_some_and(|block| {
                let arguments = user.operands().enumerate().filter(|(_, operand)| *operand == value);
                arguments.map(|(i, _)| block.argument(i)).all(|argument| argument.is_ok_and(|a| multiplies(a.into())))
            })
    })
}

/// One layout for each weight and cache of the module.
fn choose_layouts<'c, 'a>(
    pass: &PassRun<'c, 'a>,
    storage: &Storage<'c, 'a>,
    fused: &[OperationRef<'c, 'a>],
) -> Result<Vec<(Origin<'c, 'a>, Layout)>, PassError<'c>> {
    let mut wishes: HashMap<_, (Origin, Wish)> = HashMap::default();
    let mut wish = |origin: Origin<'c, 'a>, wish: Wish| {
        let (_, old) = wishes.entry(origin.identity()).or_insert((origin, wish));
        *old = old.and(wish);
    };
    for op in functions(pass.op).iter().filter_map(body).flat_map(ops) {
        // Views and returns read a tensor row-major; a store writes back a cache that was updated in place.
        if !Op::Fused.is(&op) && op_name(&op) != "ml_program.global_store" {
            op.operands().filter_map(|v| storage.origin(v)).for_each(|place| wish(place, Wish::RowMajor));
        }
    }
    let mut packable = HashMap::default();
    let mut quantised = HashMap::default();
    for op in fused {
        let Some(block) = body(op) else { continue };
        for (i, operand) in op.operands().enumerate() {
            let argument: Value = block.argument(i).expect("an argument for each operand").into();
            let place = storage.origin(operand);
            let quant = QuantType::from_type(operand.r#type()).is_some();
            for user in users(argument) {
                let wanted = wanted(user, argument);
                if let Some(place) = place {
                    let mut keeps_order = |layout: Layout| match place {
                        // A cache passed in and out keeps the caller's order, and so does a weight that ops other than kernels read.
                        Origin::Argument(function, index) => {
                            layout != Layout::Rows16
                                || !*packable.entry(key(operand)).or_insert_with(|| only_fused_uses(function, index))
                        }
                        Origin::Global(global) => layout != Layout::Rows16 && begins_with_a_value(global),
                    };
                    wish(
                        place,
                        match wanted {
                            Wish::Layout(layout) if keeps_order(layout) => Wish::RowMajor,
                            wanted => wanted,
                        },
                    );
                }
                if quant && wanted != Wish::Layout(Layout::Rows16) {
                    return Err(PassError::at(&user, "cannot take a quantised weight in this place"));
                }
            }
            if quant {
                let Some(place) = place else {
                    return Err(PassError::at(op, "needs a quantised weight to be a global or an argument"));
                };
                quantised.entry(place.identity()).or_insert(*op);
            }
        }
    }
    for (place, op) in quantised {
        if wishes.get(&place).is_none_or(|(_, wish)| *wish != Wish::Layout(Layout::Rows16)) {
            return Err(PassError::at(&op, "has a quantised weight that is also used as something else"));
        }
    }
    let mut rounded = HashMap::default();
    for (origin, is_rounded) in fused.iter().flat_map(|op| updates(pass, storage, *op)) {
        *rounded.entry(origin.identity()).or_insert(true) &= is_rounded;
    }
    let is_rounded = |origin: Origin| rounded.get(&origin.identity()).copied().unwrap_or(false);
    let narrowed = |(origin, wish): (Origin<'c, 'a>, Wish)| {
        let layout = match wish {
            Wish::Any | Wish::RowMajor => return None,
            Wish::Layout(Layout::Keys16) if is_rounded(origin) => Layout::Keys16Int8,
            Wish::Layout(Layout::HeadMajor) if is_rounded(origin) => Layout::HeadMajorInt8,
            Wish::Layout(layout) => layout,
        };
        Some((origin, layout))
    };
    Ok(wishes.into_values().filter_map(narrowed).collect())
}

/// The caches that a region updates, and whether with f32 rows from a `quantize` in it, which integers represent exactly.
fn updates<'c, 'a>(
    pass: &PassRun<'c, 'a>,
    storage: &Storage<'c, 'a>,
    fused: OperationRef<'c, 'a>,
) -> Vec<(Origin<'c, 'a>, bool)> {
    let f32 = Type::float32(pass.context);
    let inner = body(&fused).map(ops).unwrap_or_default();
    let update = |op: OperationRef<'c, 'a>| {
        let (cache, rows) = (op.operand(0).ok()?, op.operand(1).ok()?);
        let origin = storage.origin(fused.operand(argument_owner(cache)?.1).ok()?)?;
        let is_quantized = defining_op(rows).is_some_and(|def| Op::Quantize.is(&def));
        Some((origin, is_quantized && [cache, rows].iter().all(|v| element(v.r#type()) == f32)))
    };
    inner.into_iter().filter(|op| Op::KvUpdate.is(op)).filter_map(update).collect()
}

/// The layout that a use of a weight or cache requires.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Any layout: a cache update can write all of them.
    Any,
    RowMajor,
    Layout(Layout),
}

impl Wish {
    /// The layout that both uses can read: row-major if they differ.
    fn and(self, other: Wish) -> Wish {
        match (self, other) {
            (Wish::Any, wish) | (wish, Wish::Any) => wish,
            (a, b) if a == b => a,
            _ => Wish::RowMajor,
        }
    }
}

/// The layout that one use of a region argument requires.
fn wanted<'c, 'a>(user: OperationRef<'c, 'a>, argument: Value<'c, 'a>) -> Wish {
    let uses: Vec<usize> = user.operands().enumerate().filter(|(_, v)| *v == argument).map(|(i, _)| i).collect();
    // One op uses it as two operands, which may need different layouts.
    let [index] = uses[..] else { return Wish::RowMajor };
    match (Op::of(&user), index) {
        (Some(Op::Linear | Op::Embedding), 1) => Wish::Layout(Layout::Rows16),
        // A cache that an attention of the same region reads after its update.
        (Some(Op::KvUpdate), 0) => {
            let Some(updated) = user.results().next().map(Value::from) else { return Wish::Any };
            let readers = users(updated).into_iter().filter(|reader| !Op::Yield.is(reader));
            readers.fold(Wish::Any, |wish, reader| wish.and(wanted(reader, updated)))
        }
        (Some(Op::Attention), 1) if segments(&user).get(3) == Some(&1) => Wish::Layout(Layout::Keys16),
        (Some(Op::Attention), 2) if segments(&user).get(3) == Some(&1) => Wish::Layout(Layout::HeadMajor),
        _ => Wish::RowMajor,
    }
}

/// Whether state has an initial value in the module, which is row-major.
fn begins_with_a_value(global: OperationRef<'_, '_>) -> bool {
    global.attribute("value").is_ok_and(|value| !constant::is_extern(value))
}

fn only_fused_uses<'c>(function: OperationRef<'c, '_>, index: usize) -> bool {
    body(&function)
        .and_then(|block| block.argument(index).ok())
        .is_some_and(|argument| users(argument.into()).iter().all(|u| Op::Fused.is(u)))
}

/// The storage of the values of a module.
struct Storage<'c, 'a> {
    globals: HashMap<String, OperationRef<'c, 'a>>,
    /// Memoized origins: a cache may be updated once per op of the function.
    known: RefCell<HashMap<usize, Option<Origin<'c, 'a>>>>,
}

impl<'c, 'a> Storage<'c, 'a> {
    fn of(module: OperationRef<'c, 'a>) -> Self {
        let globals = body(&module).map(ops).unwrap_or_default().into_iter();
        let globals = globals.filter(|op| op_name(op) == "ml_program.global");
        let globals = globals.filter_map(|op| Some((string_attribute(&op, "sym_name")?, op))).collect();
        Storage { globals, known: RefCell::default() }
    }

    /// The storage of a value, or of the cache that it is an in-place update of.
    fn origin(&self, value: Value<'c, 'a>) -> Option<Origin<'c, 'a>> {
        // The updates between the value and its storage.
        let mut updates = vec![];
        let mut at = Some(value);
        let mut origin = None;
        while let Some(value) = at.take() {
            if let Some(known) = self.known.borrow().get(&key(value)) {
                origin = *known;
                break;
            }
            updates.push(key(value));
            match updated(value) {
                Some(cache) => at = Some(cache),
                None => origin = self.direct(value),
            }
        }
        self.known.borrow_mut().extend(updates.into_iter().map(|value| (value, origin)));
        origin
    }

    /// The global that a value is loaded from, or the argument that it is.
    fn direct(&self, value: Value<'c, 'a>) -> Option<Origin<'c, 'a>> {
        let Some(def) = defining_op(value) else {
            let (function, number) = argument_owner(value)?;
            return (op_name(&function) == "func.func").then_some(Origin::Argument(function, number));
        };
        if !matches!(op_name(&def).as_str(), "ml_program.global_load" | "ml_program.global_load_const") {
            return None;
        }
        self.globals.get(&symbol_attribute(&def, "global")?).copied().map(Origin::Global)
    }
}

/// The cache that a result of a `transformer.fused` is an update of.
fn updated<'c: 'a, 'a>(value: Value<'c, 'a>) -> Option<Value<'c, 'a>> {
    let fused = defining_op(value).filter(|def| Op::Fused.is(def))?;
    let position = fused.results().position(|r| Value::from(r) == value)?;
    let update = defining_op(operand(&body(&fused)?.terminator()?, position)?)?;
    if !Op::KvUpdate.is(&update) {
        return None;
    }
    let (_, cache) = argument_owner(operand(&update, 0)?)?;
    operand(&fused, cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_name_ops_of_the_dialect() {
        for name in Family::ALL.iter().flat_map(|family| family.ops()) {
            assert!(Op::named(&format!("transformer.{name}")).is_some(), "{name}");
        }
    }
}
