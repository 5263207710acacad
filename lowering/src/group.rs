//! A fused op as the kernel generators see it.

pub use kforge_dialect::ir::{dims, element, op_name};
use kforge_dialect::{
    Op,
    ir::{body, first_result, key, ops, string_value},
};
use kforge_program::{Access, Arithmetic, Family};
use melior::ir::{
    BlockLike, Type, Value, ValueLike,
    attribute::ArrayAttribute,
    operation::{OperationLike, OperationRef},
};
use rustc_hash::FxHashMap as HashMap;

/// An op that no kernel can be generated for: the op to report, the cause and the fix.
#[derive(Debug)]
pub struct Unsupported<'c, 'a> {
    pub op: OperationRef<'c, 'a>,
    pub message: String,
}

pub type Result<'c, 'a, T> = std::result::Result<T, Unsupported<'c, 'a>>;

/// A size that is known when a launch binds its buffers: sums and products of constants and dimensions of operands.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    Const(usize),
    /// (operand, axis).
    Dim(usize, usize),
    Mul(Box<Size>, Box<Size>),
    Add(Box<Size>, Box<Size>),
    CeilDiv(Box<Size>, usize),
}

impl Size {
    pub fn times(self, other: Size) -> Size {
        match (self, other) {
            (Size::Const(a), Size::Const(b)) => Size::Const(a * b),
            (Size::Const(1), s) | (s, Size::Const(1)) => s,
            (a, b) => Size::Mul(Box::new(a), Box::new(b)),
        }
    }
    pub fn plus(self, other: Size) -> Size {
        match (self, other) {
            (Size::Const(a), Size::Const(b)) => Size::Const(a + b),
            (Size::Const(0), s) | (s, Size::Const(0)) => s,
            (a, b) => Size::Add(Box::new(a), Box::new(b)),
        }
    }
    pub fn ceil_div(self, divisor: usize) -> Size {
        match self {
            Size::Const(a) => Size::Const(a.div_ceil(divisor)),
            s if divisor == 1 => s,
            s => Size::CeilDiv(Box::new(s), divisor),
        }
    }
    pub fn as_const(&self) -> Option<usize> {
        if let Size::Const(c) = self { Some(*c) } else { None }
    }
}

/// How a generated kernel is called. Its parameters are `task`, the scalars, then a memref for each operand and each
/// result of the group. A memref views its buffer as contiguous, with any shape.
#[derive(Clone, Debug)]
pub struct Signature {
    pub access: Vec<Access>,
    /// For each result, the operand whose buffer it overwrites.
    pub in_place: Vec<Option<usize>>,
    pub scalars: Vec<Size>,
    pub tasks: Size,
    /// Human-readable: `linear x3 q4_1`.
    pub summary: String,
    pub partner: Option<Partner>,
}

/// A companion kernel, launched before or after the main one. The last parameter of both is an intermediate between
/// them. Both have the same operands, results and scalars.
#[derive(Clone, Debug)]
pub struct Partner {
    pub name: String,
    /// Launched first: it writes the intermediate.
    pub before: bool,
    /// Size of the intermediate: this many times `width` floats.
    pub elements: Size,
    pub width: usize,
    pub tasks: Size,
    pub summary: String,
}

/// A fused op, analysed.
pub struct Group<'c, 'a> {
    pub op: OperationRef<'c, 'a>,
    pub family: Family,
    pub tile: Vec<usize>,
    /// One name a operand, from `transformer.layouts`.
    pub layouts: Vec<String>,
    /// One name per result, from `transformer.result_layouts`.
    pub result_layouts: Vec<String>,
    pub arguments: Vec<Value<'c, 'a>>,
    pub body: Vec<OperationRef<'c, 'a>>,
    pub yields: Vec<Value<'c, 'a>>,
    index: HashMap<usize, Definition>,
}

/// Where a value inside the region comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// Block argument, that is, operand of the group, by number.
    Argument(usize),
    /// Op of `body`, by position.
    Op(usize),
}

/// A quantised weight's format, rows and columns.
pub fn quant(ty: Type<'_>) -> Option<(kforge_quant::BlockFormat, usize, usize)> {
    kforge_dialect::QuantType::from_type(ty).map(|q| (q.format, q.rows, q.columns))
}

/// The `count` layouts that an attribute names; all row-major without the attribute.
fn layout_names(op: OperationRef<'_, '_>, attribute: &str, count: usize) -> Option<Vec<String>> {
    let Ok(names) = op.attribute(attribute) else { return Some(vec!["row_major".to_owned(); count]) };
    let names = ArrayAttribute::try_from(names).ok().filter(|names| names.len() == count)?;
    (0..count).map(|i| string_value(names.element(i).ok()?)).collect()
}

/// Maximum ops per group: generators trace values by recursion.
const MOST_OPS: usize = 4096;

impl<'c, 'a> Group<'c, 'a> {
    /// Analyses a `transformer.fused`; `family` and `tile` are its selected kernel.
    pub fn new(op: OperationRef<'c, 'a>, family: Family, tile: Vec<usize>) -> Result<'c, 'a, Self> {
        let fail = |message: &str| Unsupported { op, message: message.into() };
        let block = body(&op).ok_or_else(|| fail("the fused region is empty"))?;
        let argument = |i| block.argument(i).map_err(|_| fail("the fused region lacks an argument"));
        let arguments =
            (0..block.argument_count()).map(|i| argument(i).map(Value::from)).collect::<Result<Vec<_>>>()?;
        let mut body = ops(block);
        let terminator = body.pop().ok_or_else(|| fail("the fused region has no yield"))?;
        if body.len() > MOST_OPS {
            return Err(fail(&format!("the fused region has {} ops, over {MOST_OPS}; split it", body.len())));
        }
        let yields = terminator.operands();
        let mut index = HashMap::default();
        for (i, argument) in arguments.iter().enumerate() {
            index.insert(key(*argument), Definition::Argument(i));
        }
        for (i, op) in body.iter().enumerate() {
            for result in op.results() {
                index.insert(key(result), Definition::Op(i));
            }
        }
        let yields: Vec<Value> = yields.collect();
        let layouts = layout_names(op, "transformer.layouts", arguments.len())
            .ok_or_else(|| fail("'transformer.layouts' must name one layout for each operand"))?;
        let result_layouts = layout_names(op, "transformer.result_layouts", yields.len())
            .ok_or_else(|| fail("'transformer.result_layouts' must name one layout for each result"))?;
        let group = Self { op, family, tile, layouts, result_layouts, arguments, body, yields, index };
        group.check_elements()?;
        group.check_layouts()?;
        group.check_result_layouts()?;
        Ok(group)
    }

    /// Rejects an element type that no kernel reads, stores or rounds to.
    fn check_elements(&self) -> Result<'c, 'a, ()> {
        let check = |op: Option<OperationRef<'c, 'a>>, value: Value<'c, 'a>| {
            let ty = value.r#type();
            let is_known = matches!(element(ty).to_string().as_str(), "f32" | "f16" | "bf16" | "i32");
            if is_known || quant(ty).is_some() {
                return Ok(());
            }
            Err(self
                .unsupported(op, format!("has a value of type {ty}; a kernel has tensors of f32, f16, bf16 and i32")))
        };
        self.arguments.iter().try_for_each(|argument| check(None, *argument))?;
        self.body.iter().try_for_each(|op| op.results().try_for_each(|result| check(Some(*op), result.into())))
    }

    /// Rejects an operand in a layout that one of its users does not support and would misread.
    fn check_layouts(&self) -> Result<'c, 'a, ()> {
        for (argument, layout) in self.arguments.iter().zip(&self.layouts).filter(|(_, layout)| *layout != "row_major")
        {
            for op in &self.body {
                for (index, _) in op.operands().enumerate().filter(|(_, operand)| operand == argument) {
                    let reads = matches!(
                        (layout.as_str(), Op::of(op), index),
                        ("rows16", Some(Op::Linear | Op::Embedding), 1)
                            | ("blocks8", Some(Op::Linear), 0)
                            | ("keys16" | "head_major" | "keys16_i8" | "head_major_i8", Some(Op::KvUpdate), 0)
                            | ("keys16" | "keys16_i8", Some(Op::Attention), 1)
                            | ("head_major" | "head_major_i8", Some(Op::Attention), 2)
                    );
                    if !reads {
                        let message = format!("does not read its operand {index} in the layout '{layout}'");
                        return Err(self.unsupported(Some(*op), message));
                    }
                }
            }
            if self.yields.contains(argument) {
                return Err(self.unsupported(None, format!("returns an operand in the layout '{layout}'")));
            }
        }
        Ok(())
    }

    /// Rejects a result in a layout that its op does not store.
    fn check_result_layouts(&self) -> Result<'c, 'a, ()> {
        for (value, layout) in self.yields.iter().zip(&self.result_layouts) {
            let op = self.defining_op(*value);
            let stores = matches!(
                (layout.as_str(), op.and_then(|op| Op::of(&op))),
                ("row_major", _)
                    | ("blocks8", Some(Op::Quantize))
                    | ("keys16" | "head_major" | "keys16_i8" | "head_major_i8", Some(Op::KvUpdate))
            );
            if !stores {
                return Err(self.unsupported(op, format!("does not store its result in the layout '{layout}'")));
            }
        }
        Ok(())
    }

    /// Checks that the group's one result is the first of `op`, which is all that the group's kernel stores.
    ///
    /// # Errors
    /// If there is another.
    pub fn check_result(&self, op: OperationRef<'c, 'a>) -> Result<'c, 'a, ()> {
        match self.yields[..] {
            [value] if first_result(&op) == Some(value) => Ok(()),
            _ => {
                Err(self
                    .unsupported(Some(op), "is all that its kernel stores, so it must be the one result of its group"))
            }
        }
    }

    /// The arithmetic of its kernel's products.
    pub fn arithmetic(&self) -> Arithmetic {
        match self.family {
            Family::Mma => Arithmetic::F16,
            Family::Gemv | Family::Gemm if self.layouts.iter().any(|layout| layout == "blocks8") => Arithmetic::Int8,
            _ => Arithmetic::F32,
        }
    }

    /// Where `value` is defined in the region.
    pub fn definition(&self, value: Value<'c, 'a>) -> Option<Definition> {
        self.index.get(&key(value)).copied()
    }

    /// The op of the region that defines `value`, if it is no operand.
    pub fn defining_op(&self, value: Value<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
        match self.definition(value)? {
            Definition::Op(i) => Some(self.body[i]),
            Definition::Argument(_) => None,
        }
    }

    /// The operand number of `value`, if it is one.
    pub fn argument(&self, value: Value<'c, 'a>) -> Option<usize> {
        match self.definition(value)? {
            Definition::Argument(i) => Some(i),
            Definition::Op(_) => None,
        }
    }

    /// The group's operand number of an op's operand `index`.
    ///
    /// # Errors
    /// If the op has no such operand, or its group computes it.
    pub fn operand(&self, op: OperationRef<'c, 'a>, index: usize) -> Result<'c, 'a, usize> {
        let value = kforge_dialect::ir::operand(&op, index);
        let value = value.ok_or_else(|| self.unsupported(Some(op), format!("has no operand {index}")))?;
        self.outside(op, value)
    }

    /// The same for an operand that the op may lack, by its position among all operands.
    ///
    /// # Errors
    /// If the group computes it.
    pub fn trailing(&self, op: OperationRef<'c, 'a>, index: usize) -> Result<'c, 'a, Option<usize>> {
        kforge_dialect::ir::operand(&op, index).map(|value| self.outside(op, value)).transpose()
    }

    /// The same for the optional argument `argument` of an op with operand segments.
    ///
    /// # Errors
    /// If the group computes it.
    pub fn optional(&self, op: OperationRef<'c, 'a>, argument: usize) -> Result<'c, 'a, Option<usize>> {
        kforge_dialect::ir::optional_operand(&op, argument).map(|value| self.outside(op, value)).transpose()
    }

    /// The operand number of a value that `op` uses and that must come from outside the group.
    ///
    /// # Errors
    /// If the group computes it.
    pub fn outside(&self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<'c, 'a, usize> {
        match self.definition(value) {
            Some(Definition::Argument(i)) => Ok(i),
            Some(Definition::Op(i)) if op_name(&self.body[i]) == "arith.constant" => {
                Err(self.unsupported(Some(op), "reads a constant of its group from memory; run --outline-constants"))
            }
            _ => Err(self.unsupported(
                Some(op),
                "takes an operand that its group computes; take one of the two out of the group",
            )),
        }
    }

    /// Product of axes `axes` of operand `operand`.
    pub fn size(&self, operand: usize, axes: std::ops::Range<usize>) -> Size {
        let dims = dims(self.arguments[operand].r#type());
        axes.fold(Size::Const(1), |size, axis| size.times(dims[axis].map_or(Size::Dim(operand, axis), Size::Const)))
    }

    /// An error that points at the op of `value`, or at the group.
    pub fn unsupported(&self, op: Option<OperationRef<'c, 'a>>, message: impl Into<String>) -> Unsupported<'c, 'a> {
        Unsupported { op: op.unwrap_or(self.op), message: message.into() }
    }
}
