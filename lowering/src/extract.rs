//! Reads the launch program out of a lowered module.

mod arena;
mod barriers;

use self::{
    arena::{arena, arena_classes, local},
    barriers::barriers,
};
use crate::passes::kernel_entries::{entry_name, is_kernel};
use kforge_dialect::{
    Op, QuantType, constant,
    ir::{
        body, defining_op, dims, first_result, integer_attribute, key, op_name, operand, ops, string_attribute,
        string_value, symbol_attribute,
    },
    pass::PassError,
};
use kforge_passes::passes::tile::target;
use kforge_program::{
    Access, Arithmetic, Buffer, Check, Constant, DimSource, Element, Expr, Family, Function, Global, Kernel, Launch,
    Layout, Local, Output, Port, Program, Role, Symbol, TensorType,
};
use melior::ir::{
    Attribute, BlockLike, Type, Value, ValueLike,
    attribute::{DenseI32ArrayAttribute, TypeAttribute},
    operation::{OperationLike, OperationRef},
    r#type::{MemRefType, RankedTensorType, ShapedTypeLike},
};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

type Result<'c, T> = std::result::Result<T, PassError<'c>>;

/// The launch program of a module that `kforge-cpu` has lowered.
///
/// # Errors
/// Points at the op that is not part of a lowered module.
pub fn program<'c>(module: OperationRef<'c, '_>) -> Result<'c, Program> {
    let mut program =
        Program { version: Program::VERSION, globals: vec![], kernels: vec![], functions: vec![], binding_bytes: None };
    let all = body(&module).map(ops).unwrap_or_default();
    for op in all.iter().filter(|op| op_name(*op) == "ml_program.global") {
        program.globals.push(global(*op)?);
    }
    let is_gpu = all.iter().any(|op| op_name(op) == "gpu.module");
    if is_gpu {
        // Without a target, kernels use only what every adapter has.
        let adapter = match module.has_attribute("transformer.target") {
            true => target(module)?.adapter(),
            false => None,
        };
        program.binding_bytes = Some(adapter.unwrap_or_default().binding_bytes);
    }
    let globals = program.globals.iter().enumerate().map(|(i, global)| (global.name.clone(), i)).collect();
    let mut numbers = Numbers { globals, kernels: HashMap::default() };
    for op in &all {
        if op_name(op) == "func.func" && !is_kernel(*op) {
            let function = Extract::new(&mut program, &mut numbers, is_gpu).function(*op)?;
            program.functions.push(function);
        }
    }
    program
        .verify()
        .map_err(|e| PassError::at(&module, format!("was lowered to a program that does not hold: {e}")))?;
    Ok(program)
}

fn global<'c>(op: OperationRef<'c, '_>) -> Result<'c, Global> {
    let ty = op.attribute("type").ok().and_then(|a| TypeAttribute::try_from(a).ok()).map(|t| t.value());
    let ty = ty.ok_or_else(|| PassError::at(&op, "has no type"))?;
    let layout = layout(&op, op.attribute("transformer.layout").ok())?;
    let name = string_attribute(&op, "sym_name").ok_or_else(|| PassError::at(&op, "has no name"))?;
    // Dynamic extents are bound when the executor creates the state.
    let dims = kforge_dialect::ir::dims(ty).iter().map(|d| Expr::Const(d.map_or(-1, |d| d as i64))).collect();
    let ty = match QuantType::from_type(ty) {
        Some(_) => tensor_type(ty, vec![]),
        None => tensor_type(ty, dims),
    };
    let ty = ty.ok_or_else(|| PassError::at(&op, "has an element type that the program cannot hold"))?;
    let initial = op.attribute("value").ok().filter(|value| !constant::is_extern(*value));
    let value = initial.map(constant::tensor).transpose().map_err(|message| PassError::at(&op, message))?;
    let value = value.map(|value| Constant::new(value.to_bytes(), ty.element.bytes().unwrap_or(0)));
    Ok(Global { name, ty, layout, mutable: op.has_attribute("is_mutable"), value })
}

/// The layout that an attribute names; row-major without the attribute.
fn layout<'c, 'a>(op: &OperationRef<'c, 'a>, attribute: Option<Attribute<'c>>) -> Result<'c, Layout> {
    let Some(attribute) = attribute else { return Ok(Layout::RowMajor) };
    let name = string_value(attribute).unwrap_or_else(|| attribute.to_string());
    Layout::from_name(&name).ok_or_else(|| {
        let known = "row_major, rows16, keys16, head_major, keys16_i8 or head_major_i8";
        PassError::at(op, format!("has the unknown layout '{name}'; use {known}"))
    })
}

/// A tensor, memref or quantised type with given dimensions.
pub(crate) fn tensor_type(ty: Type<'_>, dims: Vec<Expr>) -> Option<TensorType> {
    if let Some(quant) = QuantType::from_type(ty) {
        let dims = vec![Expr::Const(quant.rows as i64), Expr::Const(quant.columns as i64)];
        return Some(TensorType { dims, element: Element::Quant(quant.format) });
    }
    let element = match MemRefType::try_from(ty) {
        Ok(memref) => memref.element(),
        Err(_) => RankedTensorType::try_from(ty).ok()?.element(),
    };
    let element = match element.to_string().as_str() {
        "f32" => Element::F32,
        "f16" => Element::F16,
        "bf16" => Element::BF16,
        "i32" => Element::I32,
        _ => return None,
    };
    Some(TensorType { dims, element })
}

/// Indices of globals and kernels in the program, by name.
struct Numbers {
    globals: HashMap<String, usize>,
    kernels: HashMap<String, usize>,
}

struct Extract<'p, 'c, 'a> {
    program: &'p mut Program,
    numbers: &'p mut Numbers,
    symbols: Vec<Symbol>,
    buffers: HashMap<usize, Buffer>,
    sizes: HashMap<usize, Expr>,
    is_gpu: bool,
    marker: std::marker::PhantomData<Value<'c, 'a>>,
}

impl<'p, 'c, 'a> Extract<'p, 'c, 'a> {
    fn new(program: &'p mut Program, numbers: &'p mut Numbers, is_gpu: bool) -> Self {
        Self {
            program,
            numbers,
            is_gpu,
            symbols: vec![],
            buffers: HashMap::default(),
            sizes: HashMap::default(),
            marker: std::marker::PhantomData,
        }
    }

    fn symbol(&mut self, source: DimSource) -> Expr {
        let found = self.symbols.iter().position(|s| s.source == source);
        Expr::Sym(found.unwrap_or_else(|| {
            let name = match source {
                DimSource::Input { input, axis } => format!("in{input}.{axis}"),
                DimSource::Global { global, axis } => format!("{}.{axis}", self.program.globals[global].name),
            };
            self.symbols.push(Symbol { name, source });
            self.symbols.len() - 1
        }))
    }

    fn size(&self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<'c, Expr> {
        self.sizes.get(&key(value)).cloned().ok_or_else(|| PassError::at(&op, "uses a size that no argument binds"))
    }

    fn function(mut self, function: OperationRef<'c, 'a>) -> Result<'c, Function> {
        let block = body(&function).ok_or_else(|| PassError::at(&function, "has no body"))?;
        let name = string_attribute(&function, "sym_name").ok_or_else(|| PassError::at(&function, "has no name"))?;
        let mut inputs = vec![];
        for i in 0..block.argument_count() {
            let argument: Value = block.argument(i).expect("counted").into();
            let extents = dims(argument.r#type())
                .iter()
                .enumerate()
                .map(|(axis, d)| match d {
                    Some(d) => Expr::Const(*d as i64),
                    None => self.symbol(DimSource::Input { input: i, axis }),
                })
                .collect();
            let ty = tensor_type(argument.r#type(), extents).ok_or_else(|| {
                PassError::at(
                    &function,
                    format!("has an argument of type {}, which the program cannot hold", argument.r#type()),
                )
            })?;
            let layout = layout(&function, argument_layout(function, i))?;
            inputs.push(Port { name: format!("arg{i}"), ty, layout });
            self.buffers.insert(key(argument), Buffer::Input(i));
        }
        let all = ops(block);
        let returned: Vec<Value> =
            all.iter().filter(|op| op_name(*op) == "func.return").flat_map(|op| op.operands()).collect();
        let mut outputs_of: HashMap<usize, usize> = HashMap::default();
        for (i, value) in returned.iter().enumerate() {
            outputs_of.entry(key(*value)).or_insert(i);
        }
        let (mut locals, mut launches, mut checks): (Vec<Local>, Vec<Launch>, Vec<Check>) = (vec![], vec![], vec![]);
        let mut known = HashSet::default();
        let mut types: HashMap<usize, TensorType> = HashMap::default();
        // The dynamic dimensions of each class of intermediates, and the class of each intermediate.
        let classes = arena_classes(function)?;
        let mut units: Vec<Option<Expr>> = vec![None; classes.len()];
        let mut class_of: Vec<usize> = vec![];
        for op in &all {
            let result = first_result(op);
            match (op_name(op).as_str(), result) {
                ("arith.constant", Some(result)) => {
                    if let Some(value) = integer_attribute(op, "value") {
                        self.sizes.insert(key(result), Expr::Const(value));
                    }
                }
                ("memref.dim" | "tensor.dim", Some(result)) => {
                    let expr = self.dim(*op)?;
                    self.sizes.insert(key(result), expr);
                }
                ("arith.muli" | "arith.addi" | "arith.ceildivui", Some(result)) => {
                    let (a, b) = (
                        self.size(*op, op.operand(0).expect("binary"))?,
                        self.size(*op, op.operand(1).expect("binary"))?,
                    );
                    let expr = match op_name(op).as_str() {
                        "arith.muli" => a.times(b),
                        "arith.addi" => a.plus(b),
                        _ => a.ceil_div(b),
                    };
                    self.sizes.insert(key(result), expr);
                }
                ("ml_program.global_load" | "ml_program.global_load_const", Some(result)) => {
                    let name = symbol_attribute(op, "global");
                    let index = name.and_then(|n| self.numbers.globals.get(&n).copied());
                    let index = index.ok_or_else(|| PassError::at(op, "loads a global that is not there"))?;
                    self.buffers.insert(key(result), Buffer::Global(index));
                }
                ("memref.alloc", Some(result)) => {
                    let mut sizes = op.operands();
                    let (mut extents, mut unit) = (vec![], Expr::Const(1));
                    for d in dims(result.r#type()) {
                        extents.push(match d {
                            Some(d) => Expr::Const(d as i64),
                            None => {
                                let size = sizes.next().ok_or_else(|| PassError::at(op, "lacks a size"))?;
                                let size = self.size(*op, size)?;
                                unit = unit.times(size.clone());
                                size
                            }
                        });
                    }
                    let ty = tensor_type(result.r#type(), extents)
                        .ok_or_else(|| PassError::at(op, "has an unknown element type"))?;
                    if let Some(i) = outputs_of.get(&key(result)) {
                        self.buffers.insert(key(result), Buffer::Output(*i));
                    } else if let Some((class, local)) = local(*op, result.r#type(), &unit) {
                        let known =
                            units.get_mut(class).ok_or_else(|| PassError::at(op, "is of no class in the arena"))?;
                        if known.get_or_insert_with(|| unit.clone()) != &unit {
                            return Err(PassError::at(op, "has other dynamic dimensions than its class in the arena"));
                        }
                        self.buffers.insert(key(result), Buffer::Local(locals.len()));
                        class_of.push(class);
                        locals.push(local);
                    }
                    types.insert(key(result), ty);
                }
                (name, _) if name == Op::Launch.name() => {
                    let launch = self.launch(*op)?;
                    launches.push(launch);
                }
                (name, _) if name == Op::Check.name() => {
                    let check = self.check(*op)?;
                    // Sizes with equal expressions need no comparison at each call.
                    let holds = matches!(&check, Check::Same { left, right } if left == right);
                    if !holds && known.insert(check.clone()) {
                        checks.push(check);
                    }
                }
                ("ml_program.global_store", _) => self.store(*op)?,
                ("func.return", _) => {}
                (other, _) => return Err(PassError::at(op, format!("is no part of a lowered function ('{other}')"))),
            }
        }
        // Positions checked with a capacity need no check without one.
        let mut bounded = HashSet::default();
        for check in &known {
            if let Check::Position { positions, lengths, rows, capacity: Some(_) } = check {
                bounded.insert((positions, lengths, rows));
            }
        }
        checks.retain(|check| match check {
            Check::Position { positions, lengths, rows, capacity: None } => {
                !bounded.contains(&(positions, lengths, rows))
            }
            _ => true,
        });
        // Offsets within a class become offsets in the arena.
        let (bases, arena) = arena(&classes, &units);
        for (local, class) in locals.iter_mut().zip(class_of) {
            let unit = units[class].clone().unwrap_or(Expr::Const(1));
            local.offset = bases[class].clone().plus(local.offset.clone().times(unit));
        }
        let mut outputs = vec![];
        for value in &returned {
            let buffer = *self
                .buffers
                .get(&key(*value))
                .ok_or_else(|| PassError::at(&function, "returns a value that no launch computes"))?;
            let ty = match buffer {
                Buffer::Input(i) => inputs[i].ty.clone(),
                Buffer::Global(g) => self.program.globals[g].ty.clone(),
                _ => types
                    .get(&key(*value))
                    .cloned()
                    .ok_or_else(|| PassError::at(&function, "returns a value of unknown type"))?,
            };
            outputs.push(Output { ty, buffer });
        }
        let mut function = Function { name, symbols: self.symbols, inputs, outputs, checks, locals, arena, launches };
        barriers(&mut function, &self.program.kernels);
        Ok(function)
    }

    fn dim(&mut self, op: OperationRef<'c, 'a>) -> Result<'c, Expr> {
        let source = op.operand(0).map_err(|_| PassError::at(&op, "has no source"))?;
        let axis = op.operand(1).ok().and_then(defining_op).and_then(|c| integer_attribute(&c, "value"));
        let axis =
            axis.and_then(|a| usize::try_from(a).ok()).ok_or_else(|| PassError::at(&op, "needs a constant axis"))?;
        match self.buffers.get(&key(source)) {
            Some(Buffer::Input(input)) => Ok(self.symbol(DimSource::Input { input: *input, axis })),
            Some(Buffer::Global(global)) => Ok(self.symbol(DimSource::Global { global: *global, axis })),
            _ => Err(PassError::at(&op, "asks for a size of an intermediate")),
        }
    }

    /// Storing a global's own buffer to it is a no-op; storing another buffer would need a copy, which no launch does.
    fn store(&self, op: OperationRef<'c, 'a>) -> Result<'c, ()> {
        let global = symbol_attribute(&op, "global").and_then(|name| self.numbers.globals.get(&name).copied());
        let stored = operand(&op, 0).and_then(|value| self.buffers.get(&key(value)).copied());
        match (global, stored) {
            (Some(global), Some(Buffer::Global(own))) if own == global => Ok(()),
            _ => Err(PassError::at(&op, "stores what is not the global's own buffer; run --lower-to-launches")),
        }
    }

    fn check(&self, op: OperationRef<'c, 'a>) -> Result<'c, Check> {
        let operands: Vec<Value> = op.operands().collect();
        let split = match kforge_dialect::ir::segments(&op)[..] {
            [buffers, _] => operands.split_at_checked(buffers),
            _ => None,
        };
        let (buffers, sizes) = split.ok_or_else(|| PassError::at(&op, "has unreadable segments"))?;
        let readable = |v: &Value<'c, 'a>| match self.buffers.get(&key(*v)) {
            Some(buffer @ (Buffer::Input(_) | Buffer::Global(_))) => Ok(*buffer),
            _ => Err(PassError::at(&op, "must check an argument of the function, or a global")),
        };
        let size = |i: usize| match sizes.get(i) {
            Some(value) => self.size(op, *value),
            None => Err(PassError::at(&op, "lacks a size")),
        };
        let buffer = |i: usize| buffers.get(i).ok_or_else(|| PassError::at(&op, "lacks a buffer")).and_then(readable);
        let lengths = |i: usize| buffers.get(i).map(readable).transpose();
        Ok(match string_attribute(&op, "kind").as_deref() {
            Some("same") => Check::Same { left: size(0)?, right: size(1)? },
            Some("position") => {
                let capacity = sizes.get(1).map(|capacity| self.size(op, *capacity)).transpose()?;
                Check::Position { positions: buffer(0)?, lengths: lengths(1)?, rows: size(0)?, capacity }
            }
            Some("blocks") => Check::Blocks {
                table: buffer(0)?,
                positions: buffer(1)?,
                lengths: lengths(2)?,
                rows: size(0)?,
                size: size(1)?,
                blocks: size(2)?,
                window: sizes.get(3).map(|window| self.size(op, *window)).transpose()?,
            },
            Some("index") => Check::Index { ids: buffer(0)?, limit: size(0)? },
            kind => return Err(PassError::at(&op, format!("has an unknown kind {kind:?}"))),
        })
    }

    fn launch(&mut self, op: OperationRef<'c, 'a>) -> Result<'c, Launch> {
        let name = symbol_attribute(&op, "kernel").ok_or_else(|| PassError::at(&op, "names no kernel"))?;
        let segments = kforge_dialect::ir::segments(&op);
        let operands: Vec<Value> = op.operands().collect();
        let [1, scalars, buffers, work @ (0 | 1)] = segments[..] else {
            return Err(PassError::at(&op, "has unreadable segments"));
        };
        // An object has an entry function per kernel; in a shader the kernel is the entry.
        let symbol = if self.is_gpu { name } else { entry_name(&name) };
        let params = access(op)?;
        let kernel = match self.numbers.kernels.get(&symbol).copied() {
            Some(kernel) => {
                let known = &self.program.kernels[kernel];
                if (&known.params, known.scalars) != (&params, scalars) {
                    return Err(PassError::at(
                        &op,
                        "has other accesses or scalars than a launch of its kernel before it",
                    ));
                }
                kernel
            }
            None => {
                let summary = string_attribute(&op, "summary").unwrap_or_default();
                self.numbers.kernels.insert(symbol.clone(), self.program.kernels.len());
                let family = string_attribute(&op, "family").map(|family| family.parse()).transpose();
                let family: Option<Family> = family.map_err(|message: String| PassError::at(&op, message))?;
                let role = if op.has_attribute("companion") { Role::Companion } else { Role::Main };
                let arithmetic = arithmetic(op)?;
                self.program.kernels.push(Kernel { name: symbol, summary, family, role, arithmetic, params, scalars });
                self.program.kernels.len() - 1
            }
        };
        let bound = |v: &Value<'c, 'a>| {
            self.buffers
                .get(&key(*v))
                .copied()
                .ok_or_else(|| PassError::at(&op, "binds a buffer that was not planned; run --plan-memory"))
        };
        Ok(Launch {
            kernel,
            tasks: self.size(op, operands[0])?,
            scalars: operands[1..1 + scalars].iter().map(|v| self.size(op, *v)).collect::<Result<_>>()?,
            buffers: operands[1 + scalars..1 + scalars + buffers].iter().map(bound).collect::<Result<_>>()?,
            operations: match work {
                0 => None,
                _ => Some(self.size(op, operands[1 + scalars + buffers])?),
            },
            barrier: false,
        })
    }
}

fn arithmetic<'c>(op: OperationRef<'c, '_>) -> Result<'c, Arithmetic> {
    let Ok(attribute) = op.attribute("arithmetic") else { return Ok(Arithmetic::F32) };
    let name = string_value(attribute).unwrap_or_else(|| attribute.to_string());
    let known = Arithmetic::ALL.into_iter().find(|arithmetic| arithmetic.name() == name);
    known.ok_or_else(|| PassError::at(&op, format!("has the unknown arithmetic '{name}'; use f32, f16 or int8")))
}

fn access<'c>(op: OperationRef<'c, '_>) -> Result<'c, Vec<Access>> {
    let unreadable = || PassError::at(&op, "has an 'access' that is not 0, 1 or 2 for each buffer");
    let all = op.attribute("access").ok().and_then(|all| DenseI32ArrayAttribute::try_from(all).ok());
    let all = all.ok_or_else(unreadable)?;
    let of = |i| match all.element(i) {
        Ok(0) => Ok(Access::Read),
        Ok(1) => Ok(Access::Write),
        Ok(2) => Ok(Access::ReadWrite),
        _ => Err(unreadable()),
    };
    (0..all.len()).map(of).collect()
}

fn argument_layout<'c>(function: OperationRef<'c, '_>, index: usize) -> Option<Attribute<'c>> {
    // SAFETY: the function has such an argument; a missing attribute is null and checked.
    unsafe {
        let name = melior::StringRef::new("transformer.layout");
        let all =
            mlir_sys::mlirOperationGetAttributeByName(function.to_raw(), melior::StringRef::new("arg_attrs").to_raw());
        if all.ptr.is_null() || index as isize >= mlir_sys::mlirArrayAttrGetNumElements(all) {
            return None;
        }
        let dictionary = mlir_sys::mlirArrayAttrGetElement(all, index as isize);
        let value = mlir_sys::mlirDictionaryAttrGetElementByName(dictionary, name.to_raw());
        Attribute::from_option_raw(value)
    }
}
