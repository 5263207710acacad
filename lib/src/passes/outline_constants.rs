//! Turns constant tensors that a kernel reads from memory into constant globals.
//!
//! ```mlir
//! %b = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
//! %y = transformer.linear %x, %w bias %b : ...
//! ```
//! becomes
//! ```mlir
//! ml_program.global private @constant_0(dense<[1.0, 2.0]> : tensor<2xf32>) : tensor<2xf32>
//! %b = ml_program.global_load_const @constant_0 : tensor<2xf32>
//! %y = transformer.linear %x, %w bias %b : ...
//! ```
//! Kernel generators then see an operand like any weight, with its own layout, and the launch program contains the value.
//! Equal constants share a global; a constant inside a `transformer.fused` becomes an operand of it. A splat stays if only
//! `arith` and `math` ops use it, each with a non-constant operand: it is an immediate of the kernel.

use crate::fusion::functions;
use kforge_dialect::{
    Op,
    ir::{add_argument, body, defining_op, erase, insert_before, op_name, ops, replace_uses, string_attribute, users},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{
    Attribute, AttributeLike, BlockLike, Identifier, Type, Value, ValueLike,
    attribute::{DenseElementsAttribute, FlatSymbolRefAttribute, StringAttribute, TypeAttribute},
    operation::{OperationBuilder, OperationLike, OperationRef},
    r#type::RankedTensorType,
};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

pub static INFO: PassInfo = PassInfo {
    name: "outline-constants",
    summary: "Make constant tensors that kernels read from memory into constant globals",
    anchor: "builtin.module",
    options: &[],
    statistics: &[
        StatisticInfo { name: "outlined", summary: "constants that became loads of a global" },
        StatisticInfo { name: "globals", summary: "globals made for them" },
    ],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let mut globals = Globals::new(pass);
    for function in functions(pass.op) {
        for op in body(&function).map(ops).unwrap_or_default() {
            if Op::Fused.is(&op) {
                for constant in body(&op).map(ops).unwrap_or_default().into_iter().filter(|c| is_outlined(*c)) {
                    let load = globals.load(op, constant)?;
                    globals.replace(constant, add_argument(op, load));
                }
            } else if is_outlined(op) {
                let load = globals.load(op, op)?;
                globals.replace(op, load);
            }
        }
    }
    pass.count("globals", globals.names.len());
    Ok(())
}

/// Whether an op is a constant tensor that a kernel has to read from memory.
fn is_outlined(op: OperationRef<'_, '_>) -> bool {
    if op_name(&op) != "arith.constant" || RankedTensorType::try_from(result(op).r#type()).is_err() {
        return false;
    }
    let is_splat = op.attribute("value").is_ok_and(|v| DenseElementsAttribute::try_from(v).is_ok_and(|d| d.is_splat()));
    let is_constant = |value: Value| defining_op(value).is_some_and(|def| op_name(&def) == "arith.constant");
    let is_immediate = |user: &OperationRef| {
        let name = op_name(user);
        (name.starts_with("arith.") || name.starts_with("math.")) && !user.operands().all(is_constant)
    };
    let users = users(result(op));
    let stays = is_splat && users.iter().all(is_immediate);
    !users.is_empty() && !stays
}

fn result<'c, 'a>(op: OperationRef<'c, 'a>) -> Value<'c, 'a> {
    op.result(0).expect("a constant has a result").into()
}

/// The globals created by this run, by value.
struct Globals<'r, 'c, 'a> {
    pass: &'r PassRun<'c, 'a>,
    taken: HashSet<String>,
    /// The op before which they are inserted, so that they are in numeric order.
    front: Option<OperationRef<'c, 'a>>,
    /// Names by attribute: equal attributes of a context are one.
    names: HashMap<usize, String>,
    /// The numbers in use.
    numbers: usize,
}

impl<'r, 'c, 'a> Globals<'r, 'c, 'a> {
    fn new(pass: &'r PassRun<'c, 'a>) -> Self {
        let symbols = body(&pass.op).map(ops).unwrap_or_default();
        let taken = symbols.iter().filter_map(|op| string_attribute(op, "sym_name")).collect();
        Globals { pass, taken, front: symbols.first().copied(), names: HashMap::default(), numbers: 0 }
    }

    /// Loads the global of a constant's value before `anchor`.
    fn load(
        &mut self,
        anchor: OperationRef<'c, 'a>,
        constant: OperationRef<'c, 'a>,
    ) -> Result<Value<'c, 'a>, PassError<'c>> {
        let value = constant.attribute("value").map_err(|_| PassError::at(&constant, "has no value"))?;
        let ty = result(constant).r#type();
        let name = match self.names.get(&(value.to_raw().ptr as usize)) {
            Some(name) => name.clone(),
            None => self.declare(constant, ty, value),
        };
        let symbol = FlatSymbolRefAttribute::new(self.pass.context, &name).into();
        let attributes = [("global", symbol)];
        let name = "ml_program.global_load_const";
        Ok(result(insert_before(self.pass.context, anchor, name, &[], &[ty], &attributes)))
    }

    /// Replaces a constant by a value.
    fn replace(&self, constant: OperationRef<'c, 'a>, value: Value<'c, 'a>) {
        replace_uses(result(constant), value);
        erase(constant);
        self.pass.count("outlined", 1);
    }

    fn declare(&mut self, constant: OperationRef<'c, 'a>, ty: Type<'c>, value: Attribute<'c>) -> String {
        let context = self.pass.context;
        let name = loop {
            let name = format!("constant_{}", self.numbers);
            self.numbers += 1;
            if !self.taken.contains(&name) {
                break name;
            }
        };
        let attributes = [
            ("sym_name", StringAttribute::new(context, &name).into()),
            ("type", TypeAttribute::new(ty).into()),
            ("value", value),
            ("sym_visibility", StringAttribute::new(context, "private").into()),
        ];
        let global = OperationBuilder::new("ml_program.global", constant.location())
            .add_attributes(&attributes.map(|(name, value)| (Identifier::new(context, name), value)))
            .build()
            .expect("a global always builds");
        let module = body(&self.pass.op).expect("a module with functions has a body");
        let front = self.front.expect("a module with functions has a first op");
        module.insert_operation_before(front, global);
        self.names.insert(value.to_raw().ptr as usize, name.clone());
        name
    }
}
