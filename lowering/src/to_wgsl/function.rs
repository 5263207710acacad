//! State shared by the translations of all ops: the values known so far, and the text so far.
//!
//! An SSA value is an [`Expr`]: a name or a literal. Most ops append `let v3 = ...;` and bind their result to the name,
//! so the shader computes in the order of the ops. Constants have no line of their own and are written where they are
//! used.
//!
//! WGSL evaluates constant expressions when a shader is created, and rejects one that overflows, divides by zero or is
//! NaN or infinite, where MLIR only leaves the value undefined. So if all operands of an op are literals, the first
//! goes through a `var`, which makes the expression a run-time one ([`Function::operands`]).

use super::{
    Features,
    error::{Result, TranslateError},
    memory::Memory,
    names::{self, Names},
    types::{Literal, Scalar, Type, literals},
};
use kforge_dialect::ir::{key, op_name, operand, ops};
use melior::ir::{
    BlockLike, BlockRef, RegionLike, Value, ValueLike,
    attribute::DenseI64ArrayAttribute,
    operation::{OperationLike, OperationRef},
};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use std::collections::BTreeSet;

/// A value in WGSL.
#[derive(Clone, Debug)]
pub struct Expr {
    /// A name, a literal, or a call of a type with literals.
    pub text: String,
    pub ty: Type,
    pub form: Form,
}

/// What kind of value an [`Expr`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// A constant: one literal for all lanes, or one per lane.
    Constant(Vec<Literal>),
    /// A run-time value.
    Value,
    /// `vector<2xf16>`, packed in an i32 that the text names.
    Word,
}

impl Expr {
    pub fn value(text: String, ty: Type) -> Self {
        Self { text, ty, form: Form::Value }
    }

    /// A constant: one literal for all lanes or one per lane, all finite.
    pub fn constant(literals: Vec<Literal>, ty: Type) -> Self {
        let text = match (ty, &literals[..]) {
            (Type::Vector { lanes: 1, .. }, [literal, ..]) => literal.to_string(),
            _ => {
                let elements: Vec<String> = literals.iter().map(Literal::to_string).collect();
                format!("{ty}({})", elements.join(", "))
            }
        };
        Self { text, ty, form: Form::Constant(literals) }
    }

    pub fn is_constant(&self) -> bool {
        matches!(self.form, Form::Constant(_))
    }

    /// The integer that this is in all lanes, if it is one.
    pub fn as_int(&self) -> Option<i32> {
        match &self.form {
            Form::Constant(literals) => match literals[..] {
                [Literal::Int(value)] => Some(value),
                _ => None,
            },
            Form::Value | Form::Word => None,
        }
    }

    /// Lanes of the text's WGSL type: packed f16 and bytes are one word.
    pub fn lanes(&self) -> usize {
        match self.ty {
            Type::Vector { lanes, .. } if self.form != Form::Word => lanes,
            _ => 1,
        }
    }

    /// One lane of a scalar or vector, if it exists.
    pub fn lane(&self, lane: usize) -> Option<String> {
        match (&self.form, self.lanes()) {
            (_, lanes) if lane >= lanes => None,
            // One literal may stand for all lanes.
            (Form::Constant(literals), _) => literals.get(lane).or(literals.first()).map(Literal::to_string),
            (_, 1) => Some(self.text.clone()),
            _ => "xyzw".get(lane..=lane).map(|name| format!("{}.{name}", self.text)),
        }
    }

    /// The same integers as `u32`.
    pub fn unsigned(&self) -> String {
        match (self.as_int(), self.lanes()) {
            (Some(value), 1) => format!("{}u", value.cast_unsigned()),
            (Some(value), lanes) => format!("vec{lanes}<u32>({}u)", value.cast_unsigned()),
            (None, 1) => format!("u32({})", self.text),
            (None, lanes) => format!("vec{lanes}<u32>({})", self.text),
        }
    }
}

/// Values that WGSL provides as built-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builtin {
    ThreadId,
    BlockId,
    GridDim,
    GlobalId,
    LaneId,
    SubgroupId,
    SubgroupSize,
    NumSubgroups,
}

impl Builtin {
    pub const ALL: [Builtin; 8] = [
        Builtin::ThreadId,
        Builtin::BlockId,
        Builtin::GridDim,
        Builtin::GlobalId,
        Builtin::LaneId,
        Builtin::SubgroupId,
        Builtin::SubgroupSize,
        Builtin::NumSubgroups,
    ];

    /// Its name in a shader, the same as the op's.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::ThreadId => "thread_id",
            Builtin::BlockId => "block_id",
            Builtin::GridDim => "grid_dim",
            Builtin::GlobalId => "global_id",
            Builtin::LaneId => "lane_id",
            Builtin::SubgroupId => "subgroup_id",
            Builtin::SubgroupSize => "subgroup_size",
            Builtin::NumSubgroups => "num_subgroups",
        }
    }

    /// Its declaration as a parameter of the entry point.
    pub fn parameter(self) -> String {
        let (builtin, ty) = match self {
            Builtin::ThreadId => ("local_invocation_id", "vec3<u32>"),
            Builtin::BlockId => ("workgroup_id", "vec3<u32>"),
            Builtin::GridDim => ("num_workgroups", "vec3<u32>"),
            Builtin::GlobalId => ("global_invocation_id", "vec3<u32>"),
            Builtin::LaneId => ("subgroup_invocation_id", "u32"),
            Builtin::SubgroupId => ("subgroup_id", "u32"),
            Builtin::SubgroupSize => ("subgroup_size", "u32"),
            Builtin::NumSubgroups => ("num_subgroups", "u32"),
        };
        format!("@builtin({builtin}) {}: {ty}", self.name())
    }
}

/// The body of a kernel under construction.
pub struct Function {
    pub names: Names,
    pub features: Features,
    pub builtins: BTreeSet<Builtin>,
    pub workgroup_size: [u32; 3],
    /// The statements for `gpu.barrier`.
    pub barrier: &'static [&'static str],
    /// Memrefs whose rows `vector.load` or `vector.store` moves, by the keys of their values.
    pub rows: HashSet<usize>,
    values: HashMap<usize, Expr>,
    memories: HashMap<usize, Memory>,
    text: String,
    depth: usize,
}

impl Function {
    pub fn new(workgroup_size: [u32; 3], barrier: &'static [&'static str], rows: HashSet<usize>) -> Self {
        let mut names = Names::default();
        for builtin in Builtin::ALL {
            names.fresh(builtin.name());
        }
        Self {
            names,
            features: Features::default(),
            builtins: BTreeSet::new(),
            workgroup_size,
            barrier,
            rows,
            values: HashMap::default(),
            memories: HashMap::default(),
            text: String::new(),
            depth: 1,
        }
    }

    /// The lines so far.
    pub fn into_text(self) -> String {
        self.text
    }

    // Text.

    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text += &"  ".repeat(self.depth);
        self.text += line.as_ref();
        self.text.push('\n');
    }

    /// Lines one level deeper.
    pub fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Translates the ops of a region's one block except its terminator, which is returned.
    pub fn region<'c, 'a>(&mut self, op: OperationRef<'c, 'a>, region: usize) -> Result<OperationRef<'c, 'a>> {
        let block = self.block_of(op, region)?;
        let mut all = ops(block);
        let terminator = all.pop().ok_or_else(|| TranslateError::op(op, "has an empty block"))?;
        for op in all {
            self.op(op)?;
        }
        Ok(terminator)
    }

    /// The one block of a region.
    pub fn block_of<'c, 'a>(&self, op: OperationRef<'c, 'a>, region: usize) -> Result<BlockRef<'c, 'a>> {
        let region = if region < op.region_count() { op.region(region).ok() } else { None };
        let block = region.and_then(|r| r.first_block()).ok_or_else(|| TranslateError::op(op, "has no body"))?;
        if block.next_in_region().is_some() {
            return Err(TranslateError::op(
                op,
                "has several blocks, which WGSL cannot jump between; use scf for branches",
            ));
        }
        Ok(block)
    }

    fn op(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let name = op_name(&op);
        match name.split_once('.').unwrap_or(("", &name)) {
            ("arith", name) => self.arith(op, name),
            ("math", name) => self.math(op, name),
            ("vector", name) => self.vector(op, name),
            ("memref", name) => self.memref(op, name),
            ("scf", name) => self.scf(op, name),
            ("gpu", name) if name.starts_with("subgroup_mma") => self.matrix(op, name),
            ("gpu", "shuffle" | "subgroup_reduce" | "subgroup_broadcast" | "all_reduce") => self.subgroup(op),
            ("gpu", name) => self.gpu(op, name),
            _ => Err(TranslateError::op(op, "has no WGSL; lower it to arith, math, vector, memref, scf and gpu")),
        }
    }

    // Values.

    /// The WGSL type of a value.
    pub fn type_of<'c, 'a>(&mut self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<Type> {
        Type::of(value.r#type()).map_err(|message| TranslateError::op(op, format!("on {message}")))
    }

    /// The WGSL type of a result.
    pub fn result_type<'c, 'a>(&mut self, op: OperationRef<'c, 'a>, result: usize) -> Result<Type> {
        let value = self.result(op, result)?;
        self.type_of(op, value)
    }

    pub fn result<'c, 'a>(&self, op: OperationRef<'c, 'a>, result: usize) -> Result<Value<'c, 'a>> {
        let value = if result < op.result_count() { op.result(result).ok() } else { None };
        value.map(Value::from).ok_or_else(|| TranslateError::op(op, format!("lacks result {result}")))
    }

    /// Binds a value to `expr`.
    pub fn bind<'c>(&mut self, value: impl ValueLike<'c>, expr: Expr) {
        self.uses(expr.ty, expr.form == Form::Word);
        self.values.insert(key(value), expr);
    }

    fn uses(&mut self, ty: Type, is_word: bool) {
        self.features.packed_halves |= is_word;
        self.features.f16 |= ty.uses_f16() && !is_word;
        self.features.cooperative_matrices |= matches!(ty, Type::Matrix { .. });
    }

    /// Appends `let v = text;` for the first result of an op.
    pub fn define(&mut self, op: OperationRef<'_, '_>, text: impl AsRef<str>) -> Result<()> {
        self.define_result(op, 0, text)
    }

    pub fn define_result(&mut self, op: OperationRef<'_, '_>, result: usize, text: impl AsRef<str>) -> Result<()> {
        let ty = self.result_type(op, result)?;
        let value = self.result(op, result)?;
        let name = self.name_for(value);
        self.line(format!("let {name} = {};", text.as_ref()));
        self.bind(value, Expr::value(name, ty));
        Ok(())
    }

    /// A new name for a value: the one in its location, or the next number.
    pub fn name_for<'c, 'a>(&mut self, value: Value<'c, 'a>) -> String {
        match names::given(value.location()) {
            Some(name) => self.names.fresh(&name),
            None => self.names.value(),
        }
    }

    /// The expression of a value, which may be a literal.
    pub fn read<'c, 'a>(&mut self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<Expr> {
        let expr = self.read_any(op, value)?;
        if expr.form != Form::Word {
            return Ok(expr);
        }
        // f32 represents every f16, so the conversion is exact.
        let ty = Type::Vector { scalar: Scalar::F16, lanes: 2 };
        self.uses(ty, false);
        Ok(Expr::value(format!("vec2<f16>(unpack2x16float({}))", expr.unsigned()), ty))
    }

    /// The same, but a packed word of two f16 is not unpacked.
    pub fn read_any<'c, 'a>(&mut self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<Expr> {
        match self.values.get(&key(value)) {
            Some(expr) => Ok(expr.clone()),
            None => {
                let ty = value.r#type();
                Err(TranslateError::op(op, format!("uses a value of type {ty} that this place does not allow")))
            }
        }
    }

    /// Operand `index`.
    pub fn operand(&mut self, op: OperationRef<'_, '_>, index: usize) -> Result<Expr> {
        let value = self.operand_value(op, index)?;
        self.read(op, value)
    }

    pub fn operand_value<'c, 'a>(&self, op: OperationRef<'c, 'a>, index: usize) -> Result<Value<'c, 'a>> {
        operand(&op, index).ok_or_else(|| TranslateError::op(op, format!("lacks operand {index}")))
    }

    /// All operands, at least one of them a run-time value: see the head of this file.
    pub fn operands(&mut self, op: OperationRef<'_, '_>) -> Result<Vec<Expr>> {
        let mut operands = (0..op.operand_count()).map(|i| self.operand(op, i)).collect::<Result<Vec<_>>>()?;
        if operands.iter().all(Expr::is_constant)
            && let Some(first) = operands.first_mut()
        {
            *first = self.at_run_time(first);
        }
        Ok(operands)
    }

    /// The same for an op that has `N` operands.
    pub fn operands_of<const N: usize>(&mut self, op: OperationRef<'_, '_>) -> Result<[Expr; N]> {
        self.operands(op)?.try_into().map_err(|_| TranslateError::op(op, format!("does not have {N} operands")))
    }

    /// A lane of one of an op's operands.
    pub fn lane(&self, op: OperationRef<'_, '_>, vector: &Expr, lane: usize) -> Result<String> {
        vector.lane(lane).ok_or_else(|| TranslateError::op(op, format!("takes lane {lane}, which its vector lacks")))
    }

    /// Makes a constant a run-time value, through a `var`.
    pub fn at_run_time(&mut self, expr: &Expr) -> Expr {
        if !expr.is_constant() {
            return expr.clone();
        }
        let name = self.names.value();
        // naga's validator looks through a `let`.
        self.line(format!("var {name} = {};", expr.text));
        Expr::value(name, expr.ty)
    }

    /// `arith.constant`. Infinities and NaN, which WGSL cannot write, are bitcast from their bits at run time.
    pub fn constant(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let ty = self.result_type(op, 0)?;
        let result = self.result(op, 0)?;
        let Type::Vector { scalar, lanes } = ty else {
            return Err(TranslateError::op(op, "of bytes has no WGSL; make an i32 and bitcast it"));
        };
        let attribute = op.attribute("value").map_err(|_| TranslateError::op(op, "has no value"))?;
        let literals = literals(attribute, scalar, lanes).map_err(|message| TranslateError::op(op, message))?;
        if literals.iter().all(|literal| literal.is_finite()) {
            self.bind(result, Expr::constant(literals, ty));
            return Ok(());
        }
        let mut elements = vec![];
        for literal in literals {
            elements.push(if literal.is_finite() {
                literal.to_string()
            } else {
                let bits = self.names.value();
                self.line(format!("let {bits} = 0x{:08x}u;", literal.bits()));
                let number = format!("bitcast<f32>({bits})");
                if scalar == Scalar::F16 { format!("f16({number})") } else { number }
            });
        }
        let elements = elements.join(", ");
        self.define(op, if lanes == 1 { elements } else { format!("{ty}({elements})") })
    }

    // Memory.

    pub fn bind_memory<'c>(&mut self, value: impl ValueLike<'c>, memory: Memory) {
        self.memories.insert(key(value), memory);
    }

    pub fn memory<'c, 'a>(&self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<Memory> {
        self.memories.get(&key(value)).cloned().ok_or_else(|| {
            TranslateError::op(
                op,
                "is on a memref that is no argument, attribution or memref.alloca of the kernel; WGSL has no others",
            )
        })
    }

    // Attributes.

    /// The last word of an enumeration's attribute: `xor` of `#gpu<shuffle_mode xor>`.
    pub fn keyword(&self, op: OperationRef<'_, '_>, name: &str) -> Result<String> {
        let attribute =
            op.attribute(name).map_err(|_| TranslateError::op(op, format!("lacks the attribute '{name}'")))?;
        let text = attribute.to_string();
        let word = text.split(['<', '>', ' ']).rfind(|word| !word.is_empty());
        word.map(str::to_owned).ok_or_else(|| TranslateError::op(op, format!("has an unreadable '{name}'")))
    }

    /// The elements of an `array<i64: ...>`.
    pub fn integers(&self, op: OperationRef<'_, '_>, name: &str) -> Result<Vec<i64>> {
        let array = op.attribute(name).ok().and_then(|a| DenseI64ArrayAttribute::try_from(a).ok());
        let array = array.ok_or_else(|| TranslateError::op(op, format!("lacks the attribute '{name}'")))?;
        (0..array.len())
            .map(|i| array.element(i).map_err(|_| TranslateError::op(op, format!("has an unreadable '{name}'"))))
            .collect()
    }

    /// An error: the op is outside of the supported subset.
    pub fn unsupported<T>(&self, op: OperationRef<'_, '_>, instead: &str) -> Result<T> {
        let separator = if instead.is_empty() { "" } else { "; " };
        Err(TranslateError::op(op, format!("has no WGSL{separator}{instead}")))
    }
}
