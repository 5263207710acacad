//! Leaves a module of kernels alone, each with an entry that a runtime can call: `void(ptr arguments, i64 task)`.
//!
//! ```mlir
//! func.func private @gemv_0(%task: index, %rows: index, %x: memref<?x64xf32>)
//! ```
//! gains
//! ```mlir
//! func.func @kforge_gemv_0(%arguments: !llvm.ptr, %task: i64)
//! ```
//! The arguments are 64-bit words: a pointer for each memref, then each scalar. Functions of launches, globals and
//! everything else that is no kernel are dropped; the launch program has them.

use crate::emit::{Emitter, V};
use kforge_dialect::{
    ir::{body, dims, erase, op_name, ops, parse_attribute, string_attribute},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_passes::isa::Isa;
use melior::ir::{
    BlockLike, Type, TypeLike, Value, ValueLike,
    attribute::{DenseI64ArrayAttribute, FlatSymbolRefAttribute, TypeAttribute},
    operation::{OperationLike, OperationRef},
    r#type::MemRefType,
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
    for op in ops(module).into_iter().rev() {
        if is_kernel(op) {
            entry(pass, module, op);
            pass.count("entries", 1);
        } else {
            erase(op);
        }
    }
    kforge_dialect::ir::remove_attribute(pass.op, "transformer.isa");
    Ok(())
}

/// Kernels are the private functions whose first parameter is the task and which return nothing.
pub fn is_kernel(op: OperationRef<'_, '_>) -> bool {
    op_name(&op) == "func.func"
        && string_attribute(&op, "sym_visibility").as_deref() == Some("private")
        && body(&op).and_then(|b| b.argument(0).ok()).is_some_and(|a| a.r#type().is_index())
}

fn entry<'c, 'a>(pass: &PassRun<'c, 'a>, module: melior::ir::BlockRef<'c, 'a>, kernel: OperationRef<'c, 'a>) {
    let name = string_attribute(&kernel, "sym_name").unwrap_or_default();
    let block = body(&kernel).expect("a kernel has a body");
    let parameters: Vec<Type> =
        (0..block.argument_count()).filter_map(|i| block.argument(i).ok()).map(|a| Value::from(a).r#type()).collect();
    let at = Emitter::new(pass.context, module, kernel.location(), Isa::host());
    let pointer = Type::parse(pass.context, "!llvm.ptr").expect("the LLVM dialect is loaded");
    let i64 = at.int(64);
    let (e, arguments) = at.func(&entry_name(&name), &[pointer, i64]);
    let function = e.block.parent_operation().expect("a function's block has a parent");
    kforge_dialect::ir::remove_attribute(function, "sym_visibility");
    let word = |e: &Emitter<'c, 'a>, index: usize, ty: Type<'c>| {
        let attributes = [
            ("rawConstantIndices", parse_attribute(e.context, &format!("array<i32: {index}>"))),
            ("elem_type", TypeAttribute::new(i64).into()),
        ];
        let address = e.value("llvm.getelementptr", &[arguments[0]], pointer, &attributes);
        e.value("llvm.load", &[address], ty, &[])
    };
    let scalars = parameters.iter().skip(1).filter(|t| !t.is_mem_ref()).count();
    let memrefs = parameters.len() - 1 - scalars;
    let to_index = |e: &Emitter<'c, 'a>, v| e.cast("arith.index_cast", v, e.index());
    let mut operands: Vec<V> = vec![to_index(&e, arguments[1])];
    for i in 0..scalars {
        operands.push(to_index(&e, word(&e, memrefs + i, i64)));
    }
    for i in 0..memrefs {
        operands.push(descriptor(&e, word(&e, i, pointer), parameters[1 + scalars + i]));
    }
    e.op("func.call", &operands, &[], &[("callee", FlatSymbolRefAttribute::new(e.context, &name).into())]);
    e.ret();
}

/// A memref over a pointer: contiguous, its leading dimension as large as it needs to be.
fn descriptor<'c, 'a>(e: &Emitter<'c, 'a>, pointer: V<'c, 'a>, memref: Type<'c>) -> V<'c, 'a> {
    debug_assert!(MemRefType::try_from(memref).is_ok());
    let dims = dims(memref);
    let rank = dims.len();
    let ty =
        Type::parse(e.context, &format!("!llvm.struct<(ptr, ptr, i64, array<{rank} x i64>, array<{rank} x i64>)>"));
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
