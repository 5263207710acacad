//! Rewrites masked stores of one constant lane as scalar stores.
//!
//! LLVM 22 does the same on x86-64, but loses a truncation that is folded into the masked store: with AVX-512, a bf16
//! at the end of a row was stored as the four bytes of the f32 it was truncated from, two of them into the next row
//! (llvm/llvm-project#179489, fixed in LLVM 23).

use inkwell::{
    builder::{Builder, BuilderError},
    module::Module,
    values::{AsValueRef, BasicValueEnum, InstructionOpcode, InstructionValue, PointerValue, VectorValue},
};
use llvm_sys::core::{LLVMConstIntGetZExtValue, LLVMGetAggregateElement, LLVMIsAConstantInt};

/// Rewrites every such store in an optimised module.
///
/// # Errors
/// If LLVM rejects an instruction, which would be a bug here.
pub fn rewrite(module: &Module) -> Result<(), BuilderError> {
    let builder = module.get_context().create_builder();
    let calls: Vec<_> = module
        .get_functions()
        .flat_map(|f| f.get_basic_blocks())
        .flat_map(|block| block.get_instructions())
        .filter(|i| i.get_opcode() == InstructionOpcode::Call)
        .collect();
    for call in calls {
        if let Some((value, pointer, lane)) = one_lane_store(call) {
            builder.position_before(&call);
            store(&builder, value, pointer, lane)?;
            call.erase_from_basic_block();
        }
    }
    Ok(())
}

/// Value, address and lane of a masked store whose mask is constant with one lane set.
fn one_lane_store(call: InstructionValue<'_>) -> Option<(VectorValue<'_>, PointerValue<'_>, u64)> {
    let operand = |i| call.get_operand(i)?.value();
    let callee = operand(call.get_num_operands() - 1)?.into_pointer_value();
    if !callee.get_name().to_bytes().starts_with(b"llvm.masked.store.") {
        return None;
    }
    let (value, pointer, mask) = (operand(0)?, operand(1)?, operand(2)?);
    let (BasicValueEnum::VectorValue(value), BasicValueEnum::VectorValue(mask)) = (value, mask) else { return None };
    let mut set = (0..u64::from(mask.get_type().get_size())).filter_map(|lane| match constant_lane(mask, lane) {
        Some(false) => None,
        Some(true) => Some(Some(lane)),
        None => Some(None),
    });
    match (set.next(), set.next()) {
        (Some(Some(lane)), None) => Some((value, pointer.into_pointer_value(), lane)),
        _ => None,
    }
}

/// A lane of a mask, if it is known.
fn constant_lane(mask: VectorValue, lane: u64) -> Option<bool> {
    // SAFETY: the mask lives as long as its module; a non-constant gives null, and only integers are read.
    unsafe {
        if !mask.is_const() {
            return None;
        }
        let element = LLVMGetAggregateElement(mask.as_value_ref(), u32::try_from(lane).ok()?);
        (!element.is_null() && !LLVMIsAConstantInt(element).is_null()).then(|| LLVMConstIntGetZExtValue(element) != 0)
    }
}

fn store(builder: &Builder, value: VectorValue, pointer: PointerValue, lane: u64) -> Result<(), BuilderError> {
    let context = value.get_type().get_context();
    let lane = context.i64_type().const_int(lane, false);
    let element = builder.build_extract_element(value, lane, "")?;
    // SAFETY: the masked store writes this element.
    let address = unsafe { builder.build_in_bounds_gep(element.get_type(), pointer, &[lane], "")? };
    let _ = builder.build_store(address, element)?.set_alignment(1);
    Ok(())
}
