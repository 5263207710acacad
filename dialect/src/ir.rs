//! What passes ask of ops, types and values again and again.

use melior::{
    Context, StringRef,
    ir::{
        Attribute, AttributeLike, BlockLike, BlockRef, Identifier, Location, RegionLike, Type, TypeLike, Value,
        ValueLike,
        attribute::{ArrayAttribute, FloatAttribute, IntegerAttribute},
        operation::{OperationBuilder, OperationLike, OperationRef},
        r#type::{RankedTensorType, ShapedTypeLike},
    },
};
use mlir_sys as sys;

/// A text of MLIR's. What may come from a file must be read through this: melior's own `as_str` panics on an empty string,
/// and drops a zero byte at the end. Bytes that are no UTF-8 become `\FF`, as MLIR prints them.
pub fn text(string: StringRef<'_>) -> String {
    let raw = string.to_raw();
    if raw.length == 0 {
        // The pointer may be null then.
        return String::new();
    }
    // SAFETY: MLIR's string has as many bytes, and lives as long as the reference.
    let bytes = unsafe { std::slice::from_raw_parts(raw.data.cast::<u8>(), raw.length) };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\{byte:02X}")));
    }
    text
}

/// The value of a string attribute; `None` for any other.
pub fn string_value(attribute: Attribute<'_>) -> Option<String> {
    // SAFETY: the value is read of a string attribute only; it lives as long as the context.
    attribute.is_string().then(|| text(unsafe { StringRef::from_raw(sys::mlirStringAttrGetValue(attribute.to_raw())) }))
}

/// The symbol that a flat reference names; `None` for any other attribute.
pub fn symbol_value(attribute: Attribute<'_>) -> Option<String> {
    // SAFETY: the value is read of a flat symbol reference only; it lives as long as the context.
    attribute
        .is_flat_symbol_ref()
        .then(|| text(unsafe { StringRef::from_raw(sys::mlirFlatSymbolRefAttrGetValue(attribute.to_raw())) }))
}

/// The name of an op, such as `transformer.linear`.
pub fn op_name<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> String {
    text(op.name().as_string_ref())
}

/// Static and dynamic (`None`) dimensions of a shaped type; empty for any other.
pub fn dims(ty: Type<'_>) -> Vec<Option<usize>> {
    // SAFETY: dimensions are read of a ranked shaped type only, below its rank.
    unsafe {
        if !sys::mlirTypeIsAShaped(ty.to_raw()) || !sys::mlirShapedTypeHasRank(ty.to_raw()) {
            return vec![];
        }
        let rank = sys::mlirShapedTypeGetRank(ty.to_raw());
        (0..rank).map(|axis| usize::try_from(sys::mlirShapedTypeGetDimSize(ty.to_raw(), axis as isize)).ok()).collect()
    }
}

/// Element type of a ranked tensor, or the type itself.
pub fn element(ty: Type<'_>) -> Type<'_> {
    RankedTensorType::try_from(ty).map_or(ty, |t| t.element())
}

/// The ops of a block, terminator included.
pub fn ops<'c, 'a>(block: BlockRef<'c, 'a>) -> Vec<OperationRef<'c, 'a>> {
    let mut ops = vec![];
    let mut next = block.first_operation();
    while let Some(op) = next {
        next = op.next_in_block();
        ops.push(op);
    }
    ops
}

/// The first block of an op's first region.
pub fn body<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> Option<BlockRef<'c, 'a>> {
    op.region(0).ok().and_then(|r| r.first_block())
}

/// What tells a value from every other, to key maps by.
pub fn key<'c>(value: impl ValueLike<'c>) -> usize {
    value.to_raw().ptr as usize
}

/// What tells an op from every other, to key maps by.
pub fn identity(op: OperationRef<'_, '_>) -> usize {
    op.to_raw().ptr as usize
}

/// The axes of each group of a reshape, from its `reassociation`.
pub fn reassociation<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> Option<Vec<Vec<usize>>> {
    let groups = ArrayAttribute::try_from(op.attribute("reassociation").ok()?).ok()?;
    let group = |i| {
        let group = ArrayAttribute::try_from(groups.element(i).ok()?).ok()?;
        let axis = |j| usize::try_from(IntegerAttribute::try_from(group.element(j).ok()?).ok()?.value()).ok();
        (0..group.len()).map(axis).collect::<Option<Vec<_>>>()
    };
    (0..groups.len()).map(group).collect()
}

/// The op that defines a value, if it is no block argument.
pub fn defining_op<'c, 'a>(value: Value<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
    // SAFETY: the owner of an op's result is an op that lives as long as the value.
    value.is_operation_result().then(|| unsafe { OperationRef::from_raw(sys::mlirOpResultGetOwner(value.to_raw())) })
}

/// The ops that use a value, one entry a use.
pub fn users<'c, 'a>(value: Value<'c, 'a>) -> Vec<OperationRef<'c, 'a>> {
    let mut users = vec![];
    // SAFETY: the use list is not changed while it is walked.
    unsafe {
        let mut next = sys::mlirValueGetFirstUse(value.to_raw());
        while !sys::mlirOpOperandIsNull(next) {
            users.push(OperationRef::from_raw(sys::mlirOpOperandGetOwner(next)));
            next = sys::mlirOpOperandGetNextUse(next);
        }
    }
    users
}

/// Whether a value has one use.
pub fn has_one_use(value: Value<'_, '_>) -> bool {
    // SAFETY: uses are read of a value that is alive.
    unsafe {
        let first = sys::mlirValueGetFirstUse(value.to_raw());
        !sys::mlirOpOperandIsNull(first) && sys::mlirOpOperandIsNull(sys::mlirOpOperandGetNextUse(first))
    }
}

/// Whether `op` is the only op that uses a value, perhaps more than once. Looks at no more uses than an op has operands:
/// a value may have as many users as the function has ops.
pub fn is_used_by_only<'c, 'a>(value: Value<'c, 'a>, op: OperationRef<'c, 'a>) -> bool {
    // SAFETY: the use list is not changed while it is walked.
    unsafe {
        let mut next = sys::mlirValueGetFirstUse(value.to_raw());
        while !sys::mlirOpOperandIsNull(next) {
            if OperationRef::from_raw(sys::mlirOpOperandGetOwner(next)) != op {
                return false;
            }
            next = sys::mlirOpOperandGetNextUse(next);
        }
    }
    true
}

/// Makes every use of `from` a use of `to`.
pub fn replace_uses<'c, 'a>(from: Value<'c, 'a>, to: Value<'c, 'a>) {
    // SAFETY: both values are alive and, as the caller sees to, of one type.
    unsafe { sys::mlirValueReplaceAllUsesOfWith(from.to_raw(), to.to_raw()) }
}

/// Deletes ops that may use each other, as those of a graph region do in any order. What stays must use none of them.
pub fn erase_all<'c: 'a, 'a>(ops: impl IntoIterator<Item = OperationRef<'c, 'a>>) {
    let block = melior::ir::Block::new(&[]);
    for op in ops {
        // SAFETY: the op leaves its block, if it is in one, for a block that then owns it.
        unsafe {
            sys::mlirOperationRemoveFromParent(op.to_raw());
            sys::mlirBlockAppendOwnedOperation(block.to_raw(), op.to_raw());
        }
    }
    // A block drops the operands of all its ops before it deletes the first.
    drop(block);
}

/// Deletes an op that has no uses left.
pub fn erase(op: OperationRef<'_, '_>) {
    // SAFETY: the callers hold no other reference to the op after this.
    unsafe { sys::mlirOperationDestroy(op.to_raw()) }
}

/// Moves an op to just before another.
pub fn move_before(op: OperationRef<'_, '_>, other: OperationRef<'_, '_>) {
    // SAFETY: both ops are alive and in blocks.
    unsafe { sys::mlirOperationMoveBefore(op.to_raw(), other.to_raw()) }
}

/// Sets operand `index` of an op.
pub fn set_operand<'c, 'a>(op: OperationRef<'c, 'a>, index: usize, value: Value<'c, 'a>) {
    // SAFETY: the op has such an operand, which the callers found by position.
    unsafe { sys::mlirOperationSetOperand(op.to_raw(), index as isize, value.to_raw()) }
}

/// Adds an operand to an op with one region, and an argument for it to the region's block, which comes back.
pub fn add_argument<'c, 'a>(op: OperationRef<'c, 'a>, operand: Value<'c, 'a>) -> Value<'c, 'a> {
    let operands: Vec<_> = op.operands().chain([operand]).map(|value| value.to_raw()).collect();
    let block = body(&op).expect("the op has a block for its operands");
    // SAFETY: all values are alive; the block is the op's own.
    unsafe { sys::mlirOperationSetOperands(op.to_raw(), operands.len() as isize, operands.as_ptr()) };
    block.add_argument(operand.r#type(), op.location())
}

/// Sets an attribute.
pub fn set_attribute<'c>(op: OperationRef<'c, '_>, name: &str, attribute: Attribute<'c>) {
    // SAFETY: op and attribute live in one context; the name is copied.
    unsafe {
        sys::mlirOperationSetAttributeByName(op.to_raw(), StringRef::new(name).to_raw(), attribute.to_raw());
    }
}

/// Drops an attribute, if it is there.
pub fn remove_attribute(op: OperationRef<'_, '_>, name: &str) {
    // SAFETY: the op is alive; the name is read during the call.
    unsafe {
        sys::mlirOperationRemoveAttributeByName(op.to_raw(), StringRef::new(name).to_raw());
    }
}

/// The innermost ancestor of an op called `name`, or the op itself.
pub fn ancestor<'c, 'a>(op: OperationRef<'c, 'a>, name: &str) -> Option<OperationRef<'c, 'a>> {
    let mut current = Some(op);
    while let Some(op) = current {
        if op_name(&op) == name {
            return Some(op);
        }
        current = op.parent_operation();
    }
    None
}

pub fn float_attribute<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, name: &str) -> Option<f32> {
    op.attribute(name).ok().and_then(|a| FloatAttribute::try_from(a).ok()).map(|f| f.value() as f32)
}

pub fn integer_attribute<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, name: &str) -> Option<i64> {
    op.attribute(name).ok().and_then(|a| IntegerAttribute::try_from(a).ok()).map(|i| i.value())
}

/// Whether an op of `arith` rounds to nearest even, as it does without a rounding mode.
pub fn rounds_to_nearest_even<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> bool {
    integer_attribute(op, "roundingmode").is_none_or(|mode| mode == 0)
}

pub fn string_attribute<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, name: &str) -> Option<String> {
    op.attribute(name).ok().and_then(string_value)
}

/// The symbol that an op's attribute refers to.
pub fn symbol_attribute<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, name: &str) -> Option<String> {
    op.attribute(name).ok().and_then(symbol_value)
}

/// The elements of an `array<f32: ...>` attribute.
pub fn f32_array_attribute<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, name: &str) -> Option<Vec<f32>> {
    let attribute = op.attribute(name).ok()?.to_raw();
    // SAFETY: elements are read of an f32 array only, below its length.
    unsafe {
        if !sys::mlirAttributeIsADenseF32Array(attribute) {
            return None;
        }
        let count = sys::mlirDenseArrayGetNumElements(attribute);
        Some((0..count).map(|i| sys::mlirDenseF32ArrayGetElement(attribute, i)).collect())
    }
}

/// Operand `index`, of an op that may have fewer. melior's `operand` would verify and print the module around the op for
/// its error message.
pub fn operand<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, index: usize) -> Option<Value<'c, 'a>> {
    (index < op.operand_count()).then(|| op.operand(index).ok()).flatten()
}

/// The first result, of an op that may have none; see [`operand`].
pub fn first_result<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> Option<Value<'c, 'a>> {
    (op.result_count() > 0).then(|| op.result(0).ok().map(Value::from)).flatten()
}

/// Sizes of an op's operand segments, for ops with optional operands: `segments[i]` operands belong to argument i.
pub fn segments<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> Vec<usize> {
    let Ok(attribute) = op.attribute("operandSegmentSizes") else { return vec![] };
    let attribute = attribute.to_raw();
    // SAFETY: elements are read of an i32 array only, below its length.
    unsafe {
        if !sys::mlirAttributeIsADenseI32Array(attribute) {
            return vec![];
        }
        let count = sys::mlirDenseArrayGetNumElements(attribute);
        (0..count).map(|i| sys::mlirDenseI32ArrayGetElement(attribute, i).max(0) as usize).collect()
    }
}

/// The operand of an op's optional argument `argument`, by its segments.
pub fn optional_operand<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, argument: usize) -> Option<Value<'c, 'a>> {
    let segments = segments(op);
    if *segments.get(argument)? == 0 {
        return None;
    }
    op.operand(segments[..argument].iter().sum()).ok()
}

/// Builds an op and inserts it before another.
pub fn insert_before<'c, 'a>(
    context: &'c Context,
    anchor: OperationRef<'c, 'a>,
    name: &str,
    operands: &[Value<'c, 'a>],
    results: &[Type<'c>],
    attributes: &[(&str, Attribute<'c>)],
) -> OperationRef<'c, 'a> {
    let attributes: Vec<_> = attributes.iter().map(|(n, v)| (Identifier::new(context, n), *v)).collect();
    let op = OperationBuilder::new(name, anchor.location())
        .add_operands(operands)
        .add_results(results)
        .add_attributes(&attributes)
        .build()
        .expect("an op with given result types always builds");
    let block = anchor.block().expect("the anchor is in a block");
    block.insert_operation_before(anchor, op)
}

/// Parses an attribute that the program itself wrote.
///
/// # Panics
/// If it does not parse.
pub fn parse_attribute<'c>(context: &'c Context, source: &str) -> Attribute<'c> {
    Attribute::parse(context, source).unwrap_or_else(|| panic!("attribute '{source}' does not parse"))
}

/// An unknown location.
pub fn unknown(context: &Context) -> Location<'_> {
    Location::unknown(context)
}

/// The location of an op that does what ops at several places did; diagnostics show the first.
pub fn fused_location<'c>(context: &'c Context, locations: &[Location<'c>]) -> Location<'c> {
    let raw: Vec<_> = locations.iter().map(|location| location.to_raw()).collect();
    let no_metadata = sys::MlirAttribute { ptr: std::ptr::null() };
    // SAFETY: the locations are of the context, and the call copies them; metadata may be null.
    unsafe {
        Location::from_raw(sys::mlirLocationFusedGet(context.to_raw(), raw.len() as isize, raw.as_ptr(), no_metadata))
    }
}

/// The op whose block a block argument belongs to, and the argument's number.
pub fn argument_owner<'c, 'a>(value: Value<'c, 'a>) -> Option<(OperationRef<'c, 'a>, usize)> {
    if !value.is_block_argument() {
        return None;
    }
    // SAFETY: the value is a block argument; its block and the op around it live as long.
    unsafe {
        let number = sys::mlirBlockArgumentGetArgNumber(value.to_raw());
        let owner = sys::mlirBlockGetParentOperation(sys::mlirBlockArgumentGetOwner(value.to_raw()));
        (!owner.ptr.is_null()).then(|| (OperationRef::from_raw(owner), number as usize))
    }
}
