//! Leaves a module of kernels alone, each with an entry that a runtime can call: `void(ptr arguments, i64 task)`.
//!
//! ```mlir
//! func.func private @gemv_0(%task: index, %rows: index, %x: memref<?x64xf32>)
//! ```
//! gains
//! ```mlir
//! func.func @kforge_gemv_0(%arguments: !llvm.ptr, %task: i64)
//! ```
//! The arguments are 64-bit words: a pointer for each memref, then each scalar. A kernel is a private function that returns
//! nothing and takes its task, scalars of type index, then contiguous memrefs. Functions of launches, globals and everything
//! else that is no kernel are dropped; the launch program has them.

use crate::emit::{Builder, Emitter, V};
use kforge_dialect::{
    Op,
    ir::{body, dims, erase_all, op_name, ops, parse_attribute, remove_attribute, string_attribute},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_target::Target;
use melior::ir::{
    BlockLike, BlockRef, Type, TypeLike, Value, ValueLike,
    attribute::{DenseI64ArrayAttribute, FlatSymbolRefAttribute, TypeAttribute},
    operation::{OperationLike, OperationRef},
    r#type::{FunctionType, MemRefType, ShapedTypeLike},
};

pub static INFO: PassInfo = PassInfo {
    name: "kernel-entries",
    summary: "Keep the kernels alone and give each an entry of C",
    anchor: "builtin.module",
    options: &[],
    statistics: &[StatisticInfo { name: "entries", summary: "entries made" }],
    run,
};

/// The entry of a kernel.
pub fn entry_name(kernel: &str) -> String {
    format!("kforge_{kernel}")
}

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(module) = body(&pass.op) else { return Ok(()) };
    let (kernels, others): (Vec<OperationRef>, Vec<OperationRef>) =
        ops(module).into_iter().partition(|op| is_kernel(*op));
    // A module's ops may use each other in any order.
    erase_all(others);
    for kernel in kernels.iter().rev() {
        entry(pass, module, *kernel)?;
        pass.count("entries", 1);
    }
    remove_attribute(pass.op, "transformer.target");
    Ok(())
}

/// Whether an op is a kernel: a private function that takes its task, scalars and memrefs, returns nothing, and launches
/// nothing.
pub fn is_kernel(op: OperationRef<'_, '_>) -> bool {
    if op_name(&op) != "func.func" || string_attribute(&op, "sym_visibility").as_deref() != Some("private") {
        return false;
    }
    let Some(block) = body(&op) else { return false };
    let parameters = parameters(block);
    let memrefs = parameters.iter().skip_while(|ty| ty.is_index());
    let is_called_so = parameters.first().is_some_and(|ty| ty.is_index()) && memrefs.clone().all(|ty| ty.is_mem_ref());
    is_called_so && returns_nothing(op) && !ops(block).iter().any(|op| Op::Launch.is(op))
}

fn returns_nothing(function: OperationRef<'_, '_>) -> bool {
    let ty = function.attribute("function_type").ok().and_then(|a| TypeAttribute::try_from(a).ok());
    ty.and_then(|ty| FunctionType::try_from(ty.value()).ok()).is_some_and(|ty| ty.result_count() == 0)
}

fn parameters<'c>(block: BlockRef<'c, '_>) -> Vec<Type<'c>> {
    (0..block.argument_count()).filter_map(|i| block.argument(i).ok()).map(|a| Value::from(a).r#type()).collect()
}

fn entry<'c, 'a>(
    pass: &PassRun<'c, 'a>,
    module: BlockRef<'c, 'a>,
    kernel: OperationRef<'c, 'a>,
) -> Result<(), PassError<'c>> {
    let missing = |what: &str| PassError::at(&kernel, format!("has no {what}"));
    let name = string_attribute(&kernel, "sym_name").ok_or_else(|| missing("name"))?;
    let parameters = body(&kernel).map(parameters).ok_or_else(|| missing("body"))?;
    if let Some(ty) = parameters.iter().find(|ty| ty.is_mem_ref() && !is_contiguous(**ty)) {
        let message = format!(
            "takes a {ty}; memrefs of a kernel are contiguous, in the default memory space, and only their first \
             dimension may be dynamic"
        );
        return Err(PassError::at(&kernel, message));
    }
    let builder = Builder::new(pass.context, module, kernel.location());
    let at = Emitter::new(&builder, Target::host());
    let pointer = Type::parse(pass.context, "!llvm.ptr").expect("the LLVM dialect is loaded");
    let i64 = at.int(64);
    at.func(&entry_name(&name), &[pointer, i64], |e, arguments| {
        let function = e.block().parent_operation().expect("a function's block has a parent");
        remove_attribute(function, "sym_visibility");
        let word = |index: usize, ty: Type<'c>| {
            let attributes = [
                ("rawConstantIndices", parse_attribute(e.context, &format!("array<i32: {index}>"))),
                ("elem_type", TypeAttribute::new(i64).into()),
            ];
            let address = e.value("llvm.getelementptr", &[arguments[0]], pointer, &attributes);
            e.value("llvm.load", &[address], ty, &[])
        };
        let scalars = parameters.iter().skip(1).filter(|t| !t.is_mem_ref()).count();
        let memrefs = parameters.len() - 1 - scalars;
        let to_index = |v| e.cast("arith.index_cast", v, e.index());
        let mut operands: Vec<V> = vec![to_index(arguments[1])];
        for i in 0..scalars {
            operands.push(to_index(word(memrefs + i, i64)));
        }
        for i in 0..memrefs {
            operands.push(descriptor(e, word(i, pointer), parameters[1 + scalars + i]));
        }
        e.op("func.call", &operands, &[], &[("callee", FlatSymbolRefAttribute::new(e.context, &name).into())]);
    });
    Ok(())
}

/// Whether a memref's strides follow from its shape, of which the leading dimension may be unknown.
fn is_contiguous(ty: Type<'_>) -> bool {
    let Ok(memref) = MemRefType::try_from(ty) else { return false };
    let plain: Type = MemRefType::new(memref.element(), &shape(ty), None, None).into();
    ty == plain && dims(ty).iter().skip(1).all(Option::is_some)
}

fn shape(ty: Type<'_>) -> Vec<i64> {
    dims(ty).iter().map(|d| d.map_or(i64::MIN, |d| d as i64)).collect()
}

/// A memref over a pointer: contiguous, its leading dimension as large as it needs to be.
fn descriptor<'c, 'a>(e: &Emitter<'c, 'a>, pointer: V<'c, 'a>, memref: Type<'c>) -> V<'c, 'a> {
    let dims = dims(memref);
    let sizes = match dims.len() {
        0 => String::new(),
        rank => format!(", array<{rank} x i64>, array<{rank} x i64>"),
    };
    let ty = Type::parse(e.context, &format!("!llvm.struct<(ptr, ptr, i64{sizes})>"));
    let ty = ty.expect("a descriptor type parses");
    let insert = |value: V<'c, 'a>, field: V<'c, 'a>, position: &[i64]| {
        let position = DenseI64ArrayAttribute::new(e.context, position).into();
        e.value("llvm.insertvalue", &[value, field], ty, &[("position", position)])
    };
    let mut value = e.value("llvm.mlir.poison", &[], ty, &[]);
    value = insert(value, pointer, &[0]);
    value = insert(value, pointer, &[1]);
    value = insert(value, llvm_constant(e, 0), &[2]);
    let mut stride = 1;
    for (axis, size) in dims.iter().enumerate().rev() {
        value = insert(value, llvm_constant(e, size.map_or(i64::MAX >> 8, |s| s as i64)), &[3, axis as i64]);
        value = insert(value, llvm_constant(e, stride), &[4, axis as i64]);
        stride *= size.unwrap_or(1) as i64;
    }
    e.value("builtin.unrealized_conversion_cast", &[value], memref, &[])
}

fn llvm_constant<'c, 'a>(e: &Emitter<'c, 'a>, value: i64) -> V<'c, 'a> {
    let attribute = melior::ir::attribute::IntegerAttribute::new(e.int(64), value).into();
    e.value("llvm.mlir.constant", &[], e.int(64), &[("value", attribute)])
}
