//! Makes a kernel of every `transformer.fused` and a list of launches of every function.
//!
//! ```mlir
//! func.func @f(%x: tensor<4x64xf32>, %w: tensor<128x64xf32>) -> tensor<4x128xf32> {
//!   %y = transformer.fused(%a = %x, %b = %w) ... kernel #transformer.kernel<"gemv", tile = [32]> {...}
//!   return %y
//! }
//! ```
//! becomes
//! ```mlir
//! func.func private @gemv_0(%task: index, %rows: index, %x: memref<?x64xf32>, ...) { loop nest }
//! func.func @f(%x: memref<4x64xf32>, %w: memref<128x64xf32>) -> memref<4x128xf32> {
//!   %y = memref.alloc() : memref<4x128xf32>
//!   transformer.launch @gemv_0 tasks(%c4) scalars(%c4) buffers(%x, %w, %y : ...) access [0, 0, 1]
//!   return %y
//! }
//! ```
//! Equal groups share one kernel. Views disappear: a buffer is bytes, and a kernel views it as it likes. `kv_update`
//! writes into its cache; where the old cache is still needed afterwards that would take a copy, which is an error at
//! the op that needs it.

mod checks;
mod in_place;
mod kernels;
mod sizes;

use self::{
    in_place::InPlace,
    kernels::Kernels,
    sizes::{Computed, Extent, value_dims},
};
use crate::{
    emit::{Builder, Emitter, V},
    group::{Group, Partner, dims, element, op_name},
    kernels::int8,
    operations::operations,
};
use kforge_dialect::{
    KernelAttribute, Op,
    ir::{self, body, erase, key, ops, users},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_passes::{fusion::functions, passes::tile::target};
use kforge_program::{Access, Arithmetic, Family, Role};
use melior::ir::{
    Attribute, Block, BlockLike, Region, RegionLike, Type, Value, ValueLike,
    attribute::{DenseI32ArrayAttribute, FlatSymbolRefAttribute, StringAttribute, TypeAttribute},
    operation::{OperationBuilder, OperationLike, OperationRef},
    r#type::{FunctionType, RankedTensorType},
};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use std::cell::RefCell;

pub static INFO: PassInfo = PassInfo {
    name: "lower-to-launches",
    summary: "Generate kernels and turn functions into lists of launches",
    anchor: "builtin.module",
    options: &[],
    statistics: &[
        StatisticInfo { name: "kernels", summary: "kernels generated" },
        StatisticInfo { name: "launches", summary: "launches made" },
    ],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let target = target(pass.op)?;
    let Some(module) = body(&pass.op) else { return Ok(()) };
    let mut made = Kernels::new(pass.context, target, module, pass.op);
    for function in functions(pass.op) {
        if body(&function).is_none() {
            continue;
        }
        let launches = Lowering::lower(&mut made, function)?;
        pass.count("launches", launches);
    }
    pass.count("kernels", made.count());
    Ok(())
}

/// What a tensor value became: a buffer, and its extents.
#[derive(Clone)]
struct Tensor<'c, 'a> {
    buffer: V<'c, 'a>,
    dims: Vec<Extent<'c, 'a>>,
}

/// A kernel of a group as it is launched.
struct Launched<'n, 'c, 'a> {
    name: &'n str,
    /// For people.
    summary: &'n str,
    tasks: V<'c, 'a>,
    /// Arithmetic operations, where they are known.
    work: Option<V<'c, 'a>>,
    role: Role,
}

/// What tells one check from another: kind, buffers, sizes.
type Checked = (&'static str, Vec<usize>, Vec<Result<usize, usize>>);

struct Lowering<'c, 'a> {
    e: Emitter<'c, 'a>,
    tensors: HashMap<usize, Tensor<'c, 'a>>,
    /// Index values of the old function in the new one.
    indices: HashMap<usize, V<'c, 'a>>,
    /// Sizes computed so far, each once: an operation of two extents. All are of one block, so each is before its uses.
    sizes: RefCell<HashMap<Computed, V<'c, 'a>>>,
    /// Checks emitted so far.
    checked: HashSet<Checked>,
    in_place: InPlace<'c, 'a>,
    launches: usize,
}

impl<'c, 'a> Lowering<'c, 'a> {
    fn lower(made: &mut Kernels<'c, '_>, function: OperationRef<'c, '_>) -> Result<usize, PassError<'c>> {
        let context = made.context;
        let old = body(&function).expect("the caller checked that the function has a body");
        let inputs: Vec<Value> =
            (0..old.argument_count()).filter_map(|i| old.argument(i).ok()).map(Into::into).collect();
        let types: Vec<Type> = inputs.iter().map(|v| buffer_type(v.r#type())).collect();
        let located: Vec<_> = types.iter().map(|t| (*t, function.location())).collect();
        let region = Region::new();
        region.append_block(Block::new(&located));
        // The type is set when the results are known.
        let mut attributes = vec![];
        for (name, value) in function.attributes() {
            if ir::text(name.as_string_ref()) != "res_attrs" {
                attributes.push((name, value));
            }
        }
        let new = OperationBuilder::new("func.func", function.location())
            .add_attributes(&attributes)
            .add_regions([region])
            .build()
            .expect("a function always builds");
        let new = made.module.insert_operation_before(function, new);
        let block = body(&new).expect("the function was given a block");
        let builder = Builder::new(context, block, function.location());
        let e = Emitter::new(&builder, made.target);
        let mut lowering = Lowering {
            e,
            tensors: HashMap::default(),
            indices: HashMap::default(),
            sizes: RefCell::default(),
            checked: HashSet::default(),
            in_place: InPlace::of(old),
            launches: 0,
        };
        for (i, input) in inputs.iter().enumerate() {
            lowering.bind(*input, e.wrap(block.argument(i).expect("an argument for each input")));
        }
        let mut results = vec![];
        for op in ops(old) {
            e.set_location(op.location());
            if let Some(returned) = lowering.op(made, op)? {
                results = returned;
            }
        }
        let ty = FunctionType::new(context, &types, &results);
        kforge_dialect::ir::set_attribute(new, "function_type", TypeAttribute::new(ty.into()).into());
        erase(function);
        Ok(lowering.launches)
    }

    /// Records a buffer for a tensor, its dynamic extents read from the buffer.
    fn bind(&mut self, tensor: Value<'c, 'a>, buffer: V<'c, 'a>) {
        let e = self.e;
        if tensor.r#type() == e.index() {
            self.indices.insert(key(tensor), buffer);
            return;
        }
        let is_tensor = RankedTensorType::try_from(buffer.r#type()).is_ok();
        let extents = dims(tensor.r#type())
            .into_iter()
            .enumerate()
            .map(|(axis, d)| match d {
                Some(d) => Extent::Const(d),
                None => {
                    let name = if is_tensor { "tensor.dim" } else { "memref.dim" };
                    Extent::Index(e.value(name, &[buffer, e.ci(axis)], e.index(), &[]))
                }
            })
            .collect();
        self.tensors.insert(key(tensor), Tensor { buffer, dims: extents });
    }

    fn tensor(&self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<Tensor<'c, 'a>, PassError<'c>> {
        self.tensors.get(&key(value)).cloned().ok_or_else(|| PassError::at(&op, "uses a value that no launch computes"))
    }

    /// Lowers one op; a return gives the types of the results.
    fn op(
        &mut self,
        made: &mut Kernels<'c, '_>,
        op: OperationRef<'c, 'a>,
    ) -> Result<Option<Vec<Type<'c>>>, PassError<'c>> {
        let e = self.e;
        let operands: Vec<Value> = op.operands().collect();
        let result = || op.result(0).map(Value::from).map_err(|_| PassError::at(&op, "has no result"));
        match op_name(&op).as_str() {
            _ if Op::Fused.is(&op) => self.fused(made, op)?,
            "ml_program.global_load" | "ml_program.global_load_const" => {
                let copy = e.block().append_operation((*op).clone());
                self.bind(result()?, e.wrap(copy.result(0).expect("a load has a result")));
            }
            "ml_program.global_store" => self.check_store(op)?,
            "tensor.expand_shape" => {
                let source = self.tensor(op, operands[0])?;
                let mut sizes = operands[1..].iter();
                let mut extents = vec![];
                for d in dims(result()?.r#type()) {
                    extents.push(match d {
                        Some(d) => Extent::Const(d),
                        None => {
                            let size = sizes.next().and_then(|v| self.indices.get(&key(*v)).copied());
                            Extent::Index(size.ok_or_else(|| PassError::at(&op, "has a size that is not known here"))?)
                        }
                    });
                }
                let back = self.collapsed(op, &extents, source.dims.len())?;
                source.dims.iter().zip(back).for_each(|(have, want)| self.check_same(*have, want));
                self.tensors.insert(key(result()?), Tensor { buffer: source.buffer, dims: extents });
            }
            "tensor.collapse_shape" => {
                let source = self.tensor(op, operands[0])?;
                let extents = self.collapsed(op, &source.dims, dims(result()?.r#type()).len())?;
                self.tensors.insert(key(result()?), Tensor { buffer: source.buffer, dims: extents });
            }
            "tensor.cast" => {
                let source = self.tensor(op, operands[0])?;
                for (have, want) in source.dims.iter().zip(dims(result()?.r#type())) {
                    if let Some(want) = want {
                        self.check_same(*have, Extent::Const(want));
                    }
                }
                self.tensors.insert(key(result()?), source);
            }
            "tensor.dim" => {
                let source = self.tensor(op, operands[0])?;
                let axis = kforge_dialect::ir::defining_op(operands[1])
                    .and_then(|c| kforge_dialect::ir::integer_attribute(&c, "value"));
                let extent = axis.and_then(|a| source.dims.get(usize::try_from(a).ok()?).copied());
                let extent = extent.ok_or_else(|| PassError::at(&op, "needs a constant axis"))?;
                self.indices.insert(key(result()?), self.index(extent));
            }
            "func.return" => {
                let values = operands.iter().map(|v| Ok(self.tensor(op, *v)?.buffer)).collect::<Result<Vec<_>, _>>()?;
                e.op("func.return", &values, &[], &[]);
                return Ok(Some(values.iter().map(|v| v.r#type()).collect()));
            }
            name if op.results().all(|r| r.r#type() == e.index()) && name.starts_with("arith.") => {
                let copy = e.block().append_operation((*op).clone());
                for (i, operand) in operands.iter().enumerate() {
                    let mapped = self.indices.get(&key(*operand)).copied();
                    let mapped = mapped
                        .ok_or_else(|| PassError::at(&op, "computes a size from a value that is not known here"))?;
                    kforge_dialect::ir::set_operand(copy, i, mapped.into());
                }
                self.indices.insert(key(result()?), e.wrap(copy.result(0).expect("one result")));
            }
            // Constants of other types are copied into the groups that use them.
            "arith.constant" if users(result()?).is_empty() => {}
            other => return Err(PassError::at(&op, foreign(op, other))),
        }
        Ok(None)
    }

    /// A store is nothing to do where the value is the global's own buffer, updated in place.
    fn check_store(&self, op: OperationRef<'c, 'a>) -> Result<(), PassError<'c>> {
        let stored = self.tensor(op, op.operand(0).expect("a store has a value"))?;
        let loaded = kforge_dialect::ir::defining_op(stored.buffer.into()).filter(|def| {
            op_name(def) == "ml_program.global_load" && def.attribute("global").ok() == op.attribute("global").ok()
        });
        match loaded {
            Some(_) => Ok(()),
            None => Err(PassError::at(
                &op,
                "would copy a tensor into the global; store what 'transformer.kv_update' made of the global itself",
            )),
        }
    }

    fn fused(&mut self, made: &mut Kernels<'c, '_>, op: OperationRef<'c, 'a>) -> Result<(), PassError<'c>> {
        let e = self.e;
        let kernel = op.attribute("kernel").ok();
        let kernel = kernel.ok_or_else(|| PassError::at(&op, "has no kernel; run --select-kernels first"))?;
        let kernel = KernelAttribute::from_attribute(kernel).ok_or_else(|| {
            PassError::at(&op, format!("has {kernel}, which is no kernel; a tile has positive numbers"))
        })?;
        let family = kernel.name.parse::<Family>();
        let family = family.map_err(|message| PassError::at(&op, format!("cannot be compiled: {message}")))?;
        let group = Group::new(op, family, kernel.tile).map_err(|e| PassError::at(&e.op, e.message))?;
        let (name, signature) = made.kernel(&group)?;
        let operands = op.operands().map(|v| self.tensor(op, v)).collect::<Result<Vec<_>, _>>()?;
        self.checks(&group, &operands)?;
        let mut buffers: Vec<V> = operands.iter().map(|t| t.buffer).collect();
        for (i, result) in op.results().enumerate() {
            let value: Value = result.into();
            let tensor = match signature.in_place[i] {
                Some(cache) => {
                    self.in_place.check(op, cache)?;
                    operands[cache].clone()
                }
                None => {
                    let sizes = value_dims(&group, group.yields[i])
                        .ok_or_else(|| PassError::at(&op, "has a result of unknown size"))?;
                    let extents: Vec<Extent> = sizes.iter().map(|s| self.size(s, &operands)).collect();
                    let dynamic: Vec<V> = dims(value.r#type())
                        .iter()
                        .zip(&extents)
                        .filter(|(d, _)| d.is_none())
                        .map(|(_, extent)| self.index(*extent))
                        .collect();
                    let segments = self.segments(&[dynamic.len(), 0]);
                    let ty = match group.result_layouts[i].as_str() {
                        "blocks8" => blocks8_type(e, value.r#type()),
                        _ => buffer_type(value.r#type()),
                    };
                    let buffer = e.value("memref.alloc", &dynamic, ty, &[("operandSegmentSizes", segments)]);
                    Tensor { buffer, dims: extents }
                }
            };
            // A shader that had a buffer twice could not write to it.
            if !made.is_gpu() || signature.in_place[i].is_none() {
                buffers.push(tensor.buffer);
            }
            self.tensors.insert(key(value), tensor);
        }
        let scalars: Vec<V> = signature.scalars.iter().map(|s| self.index(self.size(s, &operands))).collect();
        let tasks = self.index(self.size(&signature.tasks, &operands));
        let work = operations(&group, &|value| value_dims(&group, value));
        let work = work.map(|work| self.index(self.size(&work, &operands)));
        let main = Launched { name: &name, summary: &signature.summary, tasks, work, role: Role::Main };
        let Some(partner) = &signature.partner else {
            self.launch(&group, &main, &scalars, &buffers, &signature.access);
            return Ok(());
        };
        buffers.push(self.between(partner, &operands));
        let partner_tasks = self.index(self.size(&partner.tasks, &operands));
        let companion = Launched {
            name: &partner.name,
            summary: &partner.summary,
            tasks: partner_tasks,
            work: None,
            role: Role::Companion,
        };
        let launches = if partner.before { [companion, main] } else { [main, companion] };
        for (launched, last) in launches.iter().zip([Access::Write, Access::Read]) {
            let access: Vec<Access> = signature.access.iter().copied().chain([last]).collect();
            self.launch(&group, launched, &scalars, &buffers, &access);
        }
        Ok(())
    }

    /// The intermediate between two kernels of a group.
    fn between(&self, partner: &Partner, operands: &[Tensor<'c, 'a>]) -> V<'c, 'a> {
        let e = self.e;
        let (leading, dynamic) = match self.size(&partner.elements, operands) {
            Extent::Const(elements) => (elements as i64, vec![]),
            Extent::Index(elements) => (i64::MIN, vec![elements]),
        };
        let shape = [leading, partner.width as i64];
        let ty = melior::ir::r#type::MemRefType::new(e.f32(), &shape, None, None).into();
        let segments = self.segments(&[dynamic.len(), 0]);
        e.value("memref.alloc", &dynamic, ty, &[("operandSegmentSizes", segments)])
    }

    /// How an op's operands divide into its arguments.
    fn segments(&self, sizes: &[usize]) -> Attribute<'c> {
        let sizes: Vec<i32> = sizes.iter().map(|size| i32::try_from(*size).unwrap_or(i32::MAX)).collect();
        DenseI32ArrayAttribute::new(self.e.context, &sizes).into()
    }

    fn launch(
        &mut self,
        group: &Group<'c, 'a>,
        launched: &Launched<'_, 'c, 'a>,
        scalars: &[V<'c, 'a>],
        buffers: &[V<'c, 'a>],
        access: &[Access],
    ) {
        let e = self.e;
        let access: Vec<i32> =
            access.iter().map(|a| i32::from(a.writes()) + i32::from(a.reads() && a.writes())).collect();
        let Launched { name, summary, tasks, work, role } = *launched;
        let mut operands = vec![tasks];
        operands.extend_from_slice(scalars);
        operands.extend_from_slice(buffers);
        operands.extend(work);
        let segments = self.segments(&[1, scalars.len(), buffers.len(), usize::from(work.is_some())]);
        let text = |text: &str| StringAttribute::new(e.context, text).into();
        let mut attributes: Vec<(&str, Attribute)> = vec![
            ("kernel", FlatSymbolRefAttribute::new(e.context, name).into()),
            ("access", DenseI32ArrayAttribute::new(e.context, &access).into()),
            ("operandSegmentSizes", segments),
            ("family", text(group.family.name())),
            ("summary", text(summary)),
        ];
        if role == Role::Companion {
            attributes.push(("companion", Attribute::unit(e.context)));
        }
        let arithmetic = group.arithmetic();
        if arithmetic != Arithmetic::F32 {
            attributes.push(("arithmetic", text(arithmetic.name())));
        }
        e.op(Op::Launch.name(), &operands, &[], &attributes);
        self.launches += 1;
    }
}

/// Why an op that no launch computes is there, and what may be instead.
fn foreign<'c>(op: OperationRef<'c, '_>, name: &str) -> String {
    let is_tensor = op.results().all(|r| RankedTensorType::try_from(r.r#type()).is_ok());
    let fix = match name.split_once('.').unwrap_or(("", name)) {
        ("transformer", _) => return "is in no 'transformer.fused'; run --outline-groups first".into(),
        ("arith" | "math", rest) if is_tensor && rest != "constant" => {
            return "is in no 'transformer.fused'; run --outline-groups first".into();
        }
        ("func", "call") => "inline the call, as the pipelines do where the callee has a body and does not call itself",
        ("scf" | "cf" | "affine", _) => "a compiled function is one block, without control flow",
        ("arith" | "math", _) => "make it an op on tensors",
        _ => "write it with those",
    };
    format!(
        "is not among the ops that compile: those of 'transformer', element-wise ops of 'arith' and 'math' on float \
         tensors, views by 'tensor.expand_shape', 'collapse_shape' and 'cast', sizes by 'tensor.dim' and 'arith' on \
         indices, and loads and stores of 'ml_program' globals; {fix}"
    )
}

/// The buffer of a tensor in the layout `blocks8`, as words of 32 bits.
fn blocks8_type<'c>(e: Emitter<'c, '_>, ty: Type<'c>) -> Type<'c> {
    let mut shape: Vec<i64> = dims(ty).iter().map(|d| d.map_or(i64::MIN, |d| d as i64)).collect();
    if let Some(last) = shape.last_mut() {
        *last = int8::row_bytes(usize::try_from(*last).unwrap_or(0)) as i64 / 4;
    }
    melior::ir::r#type::MemRefType::new(e.f32(), &shape, None, None).into()
}

/// The memref of a tensor; a quantised weight stays what it is.
fn buffer_type(ty: Type<'_>) -> Type<'_> {
    if RankedTensorType::try_from(ty).is_err() {
        return ty;
    }
    let shape: Vec<i64> = dims(ty).iter().map(|d| d.map_or(i64::MIN, |d| d as i64)).collect();
    melior::ir::r#type::MemRefType::new(element(ty), &shape, None, None).into()
}
