//! A group of linear layers by itself: a module that can be measured, whose text is also the key of what was measured.

use super::product::Product;
use crate::fusion::functions;
use kforge_dialect::{
    KernelAttribute, Op,
    ir::{body, erase, op_name, ops, remove_attribute, replace_uses, set_attribute, set_operand},
};
use kforge_target::Target;
use melior::{
    Context,
    ir::{
        BlockLike, Module, Value, ValueLike,
        operation::{OperationLike, OperationRef},
    },
};
use std::fmt::Write as _;

/// The name of the function in a problem's module.
pub const ENTRY: &str = "main";

/// A fused op taken out of its module.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub product: Product,
    /// A module with the op and what it reads: weights are the globals `w0`, `w1` and so on, all else are arguments of
    /// `main`. The kernel has no tile.
    pub text: String,
}

impl Problem {
    /// The problem of a `transformer.fused` with a selected kernel and layouts; `None` if there is nothing to choose.
    pub fn of<'c>(context: &'c Context, fused: OperationRef<'c, '_>, target: Target) -> Option<Problem> {
        // A weight that the program computes is no problem by itself, and sizes of 0 are none at all.
        let product = Product::of(fused, target).filter(|p| p.packed && p.operations() > 0.0)?;
        let text = alone(context, fused, &product)?;
        Some(Problem { product, text })
    }

    /// The hash of the text: equal groups of any module share it.
    pub fn key(&self) -> String {
        key(&self.text)
    }

    /// The module with a tile.
    pub fn with_tile(&self, tile: &[usize]) -> String {
        let family = self.product.family.name();
        let tile: Vec<String> = tile.iter().map(usize::to_string).collect();
        let bare = format!("#transformer.kernel<\"{family}\">");
        self.text.replacen(&bare, &format!("#transformer.kernel<\"{family}\", tile = [{}]>", tile.join(", ")), 1)
    }
}

/// The problems of a module whose kernels have been selected, one for each group of linear layers.
pub fn of_module<'c>(context: &'c Context, module: &Module<'c>, target: Target) -> Vec<Problem> {
    let functions = functions(module.as_operation());
    let fused = functions.iter().filter_map(body).flat_map(ops).filter(|op| Op::Fused.is(op));
    fused.filter_map(|op| Problem::of(context, op, target)).collect()
}

/// The key of a problem's text.
pub fn key(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// The text of a module with a copy of `fused`.
fn alone<'c>(context: &'c Context, fused: OperationRef<'c, '_>, product: &Product) -> Option<String> {
    let block = body(&fused)?;
    let weights: Vec<Value> =
        ops(block).iter().filter(|op| Op::Linear.is(*op)).filter_map(|op| op.operand(1).ok()).collect();
    let (mut globals, mut arguments, mut code, mut names) = (String::new(), vec![], String::new(), vec![]);
    for (i, operand) in fused.operands().enumerate() {
        let ty = operand.r#type().to_string();
        let argument: Value = block.argument(i).ok()?.into();
        if weights.contains(&argument) {
            writeln!(globals, "ml_program.global private @w{i}(#ml_program.extern<{ty}>) : {ty}").ok()?;
            writeln!(code, "  %v{i} = ml_program.global_load_const @w{i} : {ty}").ok()?;
            names.push((format!("%v{i}"), ty));
            continue;
        }
        arguments.push(format!("%x{i}: {ty}"));
        // What multiplies integers reads what a `quantize` wrote.
        let is_input = product.int8 && ops(block).iter().any(|op| op.operand(0).is_ok_and(|x| x == argument));
        if is_input {
            writeln!(
                code,
                "  %v{i} = transformer.fused(%a = %x{i} : {ty}) -> {ty} {{\n    %q = transformer.quantize %a : {ty}\n    \
                 transformer.yield %q : {ty}\n  }}"
            )
            .ok()?;
            names.push((format!("%v{i}"), ty));
        } else {
            names.push((format!("%x{i}"), ty));
        }
    }
    let results: Vec<String> = fused.results().map(|r| r.r#type().to_string()).collect();
    let (values, types): (Vec<String>, Vec<String>) = names.into_iter().unzip();
    let returned: Vec<String> = (0..results.len()).map(|i| format!("%r#{i}")).collect();
    let source = format!(
        "{globals}func.func @{ENTRY}({}) -> ({results}) {{\n{code}  %r:{} = \"builtin.unrealized_conversion_cast\"({}) : \
         ({}) -> ({results})\n  return {} : {results}\n}}\n",
        arguments.join(", "),
        returned.len(),
        values.join(", "),
        types.join(", "),
        returned.join(", "),
        results = results.join(", "),
    );
    let module = Module::parse(context, &source)?;
    let function = ops(module.body()).into_iter().find(|op| op_name(op) == "func.func")?;
    let place = ops(body(&function)?).into_iter().find(|op| op_name(op) == "builtin.unrealized_conversion_cast")?;
    // SAFETY: the copy is owned by the block that it is inserted into, before it is used.
    let copy = unsafe {
        let copy = mlir_sys::mlirOperationClone(fused.to_raw());
        let block = mlir_sys::mlirOperationGetBlock(place.to_raw());
        mlir_sys::mlirBlockInsertOwnedOperationBefore(block, place.to_raw(), copy);
        OperationRef::from_raw(copy)
    };
    for (i, value) in place.operands().enumerate() {
        set_operand(copy, i, value);
    }
    for (from, to) in place.results().zip(copy.results()) {
        replace_uses(from.into(), to.into());
    }
    erase(place);
    for name in ["transformer.layouts", "transformer.result_layouts", "transformer.tuned"] {
        remove_attribute(copy, name);
    }
    let name = KernelAttribute::from_attribute(copy.attribute("kernel").ok()?)?.name;
    set_attribute(copy, "kernel", KernelAttribute { name, tile: vec![] }.to_attribute(context));
    Some(format!("{}\n", module.as_operation()))
}
