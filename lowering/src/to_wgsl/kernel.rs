//! A `gpu.func` with its declarations: buffers, scalars, workgroup memory, the entry point.
//!
//! Memrefs are storage buffers, `@group(0) @binding(i)` for the i-th of them, `read` unless the kernel stores to them.
//! Scalars are members of one uniform struct, bound after the last buffer, in order and without padding. Workgroup
//! attributions are `var<workgroup>`; private ones are arrays local to the function.

use super::{
    Access, Argument, Shader, Uniform,
    error::{Result, TranslateError},
    function::{Builtin, Expr, Function},
    memory::{Memory, is_memref, space},
    types::{Scalar, Type},
};
use kforge_dialect::ir::{body, integer_attribute, key, op_name, operand, ops, string_attribute};
use melior::ir::{
    BlockLike, BlockRef, RegionLike, Value, ValueLike,
    attribute::{DenseI32ArrayAttribute, TypeAttribute},
    operation::{OperationLike, OperationRef},
    r#type::FunctionType,
};
use rustc_hash::FxHashSet as HashSet;

/// Which memrefs a kernel reads and writes, by the keys of their values.
#[derive(Default)]
struct Accesses {
    read: HashSet<usize>,
    written: HashSet<usize>,
    /// Those whose rows are moved as vectors.
    rows: HashSet<usize>,
}

pub fn translate(op: OperationRef<'_, '_>) -> Result<Shader> {
    let kernel = string_attribute(&op, "sym_name").ok_or_else(|| TranslateError::op(op, "has no name"))?;
    let workgroup_size = workgroup_size(op)?;
    let block = body(&op).ok_or_else(|| TranslateError::op(op, "has no body"))?;
    let mut accesses = Accesses::default();
    accesses.collect(block);
    let inputs = inputs(op)?;
    let workgroup = workgroup_attributions(op)?;

    let argument = |i| block.argument(i).map_err(|_| TranslateError::op(op, format!("lacks block argument {i}")));
    let values = (0..block.argument_count()).map(|i| argument(i).map(Value::from)).collect::<Result<Vec<_>>>()?;
    let buffers: Vec<Value> = values.iter().take(inputs).copied().filter(|v| is_memref(v.r#type())).collect();
    // Workgroup memory and storage buffers have separate barriers.
    let mut barriers = (false, false);
    for value in &values {
        let is_shared = accesses.read.contains(&key(*value)) && accesses.written.contains(&key(*value));
        barriers.1 |= is_shared && buffers.contains(value);
    }
    barriers.0 = !barriers.1 || workgroup > 0;
    let barrier: &[&str] = match barriers {
        (true, true) => &["workgroupBarrier();", "storageBarrier();"],
        (_, true) => &["storageBarrier();"],
        _ => &["workgroupBarrier();"],
    };

    let mut function = Function::new(workgroup_size, barrier, accesses.rows);
    let entry = function.names.fresh(&kernel);
    let mut declarations = vec![];
    let mut arguments = vec![];
    let mut members = vec![];
    let mut binding = 0;
    let uniform_name = function.names.fresh("arguments");
    let struct_name = function.names.fresh("Arguments");
    for (i, value) in values.iter().take(inputs).enumerate() {
        if is_memref(value.r#type()) {
            let access = if accesses.written.contains(&key(*value)) { Access::ReadWrite } else { Access::Read };
            let memory = argument_memory(&mut function, op, *value, &format!("arg{i}"), &["", "global", "storage"])?;
            let mode = if access == Access::Read { "read" } else { "read_write" };
            let array = memory.shape.array();
            declarations.push(format!("@group(0) @binding({binding}) var<storage, {mode}> {}: {array};", memory.name));
            let (element_bytes, elements) = (memory.shape.element_bytes(), memory.shape.elements);
            arguments.push(Argument::Buffer { binding, access, element_bytes, elements });
            function.bind_memory(*value, memory);
            binding += 1;
        } else {
            let ty = function.type_of(op, *value)?;
            let Type::Vector { scalar: scalar @ (Scalar::I32 | Scalar::F32), lanes: 1 } = ty else {
                let ty = value.r#type();
                return Err(TranslateError::op(
                    op,
                    format!("has an argument of type {ty}; pass i32, index, f32 or a memref"),
                ));
            };
            let name = member_name(*value, i, &members);
            arguments.push(Argument::Scalar { offset: 4 * members.len() as u64, scalar });
            function.bind(*value, Expr::value(format!("{uniform_name}.{name}"), ty));
            members.push((name, scalar));
        }
    }
    let uniform = (!members.is_empty()).then_some(Uniform { binding, bytes: 4 * members.len() as u64 });
    if uniform.is_some() {
        let body: String = members.iter().map(|(name, scalar)| format!("  {name}: {scalar},\n")).collect();
        declarations.push(format!("@group(0) @binding({binding}) var<uniform> {uniform_name}: {struct_name};"));
        declarations.insert(0, format!("struct {struct_name} {{\n{body}}}\n"));
    }

    let mut workgroup_bytes = 0u64;
    for (i, value) in values.iter().skip(inputs).take(workgroup).enumerate() {
        let memory = argument_memory(&mut function, op, *value, &format!("tile{i}"), &["workgroup"])?;
        let bytes = memory.shape.bytes().ok_or_else(|| {
            TranslateError::op(op, format!("has workgroup memory of type {}; its size must be static", value.r#type()))
        })?;
        // The alignment of WGSL's vectors is their size.
        workgroup_bytes = workgroup_bytes.next_multiple_of(memory.shape.element_bytes()) + bytes;
        declarations.push(format!("var<workgroup> {}: {};", memory.name, memory.shape.array()));
        function.bind_memory(*value, memory);
    }
    for value in values.iter().skip(inputs + workgroup) {
        let memory = function.private(op, *value)?;
        function.line(format!("var {}: {};", memory.name, memory.shape.array()));
        function.bind_memory(*value, memory);
    }

    let terminator = function.region(op, 0)?;
    if op_name(&terminator) != "gpu.return" || terminator.operand_count() > 0 {
        return Err(TranslateError::op(terminator, "has no WGSL; end the kernel with gpu.return of nothing"));
    }
    let features = function.features;
    let parameters: Vec<String> = function.builtins.iter().map(|b: &Builtin| b.parameter()).collect();
    let [x, y, z] = workgroup_size;
    let mut text = format!("// Kernel {}", kernel.escape_default());
    let needs = features.names();
    text += &if needs.is_empty() { ".\n".to_owned() } else { format!("; needs {}.\n", needs.join(", ")) };
    if features.f16 {
        text += "enable f16;\n";
    }
    if features.cooperative_matrices {
        text += "enable wgpu_cooperative_matrix;\n";
    }
    text.push('\n');
    for declaration in declarations {
        text += &declaration;
        text.push('\n');
    }
    text += &format!("\n@compute @workgroup_size({x}, {y}, {z})\nfn {entry}({}) {{\n", parameters.join(", "));
    text += &function.into_text();
    text += "}\n";
    Ok(Shader { kernel, entry, text, features, workgroup_size, workgroup_bytes, arguments, uniform })
}

/// The name of a member of the uniform struct: the given name, or the argument's number.
fn member_name(value: Value<'_, '_>, index: usize, members: &[(String, Scalar)]) -> String {
    let mut names = super::names::Names::default();
    for (name, _) in members {
        names.fresh(name);
    }
    names.fresh(&super::names::given(value.location()).unwrap_or_else(|| format!("arg{index}")))
}

fn argument_memory<'c, 'a>(
    function: &mut Function,
    op: OperationRef<'c, 'a>,
    value: Value<'c, 'a>,
    name: &str,
    spaces: &[&str],
) -> Result<Memory> {
    let shape = function.shape(op, value)?;
    let ty = value.r#type();
    if !spaces.contains(&space(ty).as_str()) {
        return Err(TranslateError::op(op, format!("has an argument of type {ty}; leave its memory space out")));
    }
    let name = function.names.fresh(&super::names::given(value.location()).unwrap_or_else(|| name.to_owned()));
    Ok(Memory { name, shape })
}

/// `known_block_size`, which WGSL requires.
fn workgroup_size(op: OperationRef<'_, '_>) -> Result<[u32; 3]> {
    let sizes = op.attribute("known_block_size").ok().and_then(|a| DenseI32ArrayAttribute::try_from(a).ok());
    let missing = "needs its workgroup's size; add 'known_block_size = array<i32: x, y, z>'";
    let sizes = sizes.filter(|s| s.len() == 3).ok_or_else(|| TranslateError::op(op, missing))?;
    let mut result = [0; 3];
    for (axis, size) in result.iter_mut().enumerate() {
        let value = sizes.element(axis).ok().and_then(|size| u32::try_from(size).ok()).filter(|size| *size > 0);
        *size = value.ok_or_else(|| TranslateError::op(op, "has a 'known_block_size' that is not positive"))?;
    }
    Ok(result)
}

/// The number of workgroup attributions, 0 without the attribute.
fn workgroup_attributions(op: OperationRef<'_, '_>) -> Result<usize> {
    if !op.has_attribute("workgroup_attributions") {
        return Ok(0);
    }
    let count = integer_attribute(&op, "workgroup_attributions").and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| TranslateError::op(op, "has a 'workgroup_attributions' that is no number of arguments"))
}

/// The number of arguments that are not attributions.
fn inputs(op: OperationRef<'_, '_>) -> Result<usize> {
    let ty = op.attribute("function_type").ok().and_then(|a| TypeAttribute::try_from(a).ok());
    let ty = ty.and_then(|t| FunctionType::try_from(t.value()).ok());
    let ty = ty.ok_or_else(|| TranslateError::op(op, "has no function type"))?;
    if ty.result_count() > 0 {
        return Err(TranslateError::op(op, "returns a value, which a kernel cannot; store it in a buffer"));
    }
    Ok(ty.input_count())
}

impl Accesses {
    fn collect(&mut self, block: BlockRef<'_, '_>) {
        for op in ops(block) {
            let place = |index| operand(&op, index).map(key);
            match op_name(&op).as_str() {
                "vector.load" => self.rows.extend(place(0)),
                "vector.store" => self.rows.extend(place(1)),
                _ => {}
            }
            match op_name(&op).as_str() {
                "memref.load" | "vector.load" | "gpu.subgroup_mma_load_matrix" => self.read.extend(place(0)),
                "memref.store" | "vector.store" | "gpu.subgroup_mma_store_matrix" => self.written.extend(place(1)),
                _ => {}
            }
            for region in op.regions() {
                let mut next = region.first_block();
                while let Some(block) = next {
                    self.collect(block);
                    next = block.next_in_region();
                }
            }
        }
    }
}
