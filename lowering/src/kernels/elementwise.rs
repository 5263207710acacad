//! Element-wise ops: as an epilogue in another kernel's registers, and as a standalone kernel.
//!
//! The standalone kernel views every tensor as one flat row; a task is a run of [`CHUNK`] elements, sixteen lanes at a
//! time, the last vector masked.

use crate::{
    emit::{Emitter, LANES, V},
    group::{Group, Result, Signature, Size, dims, element, op_name},
    kernels::shared::{load_lanes, store_lanes},
};
use kforge_dialect::{
    Op,
    ir::{float_attribute, rounds_to_nearest_even, string_value},
};
use kforge_program::Access;
use melior::ir::{
    Value, ValueLike,
    attribute::{DenseElementsAttribute, FloatAttribute},
    operation::{OperationLike, OperationRef},
};

/// Elements per task: large enough to amortise claiming it, small enough to split a decode row of 1536 in two.
pub const CHUNK: usize = 1024;

/// Ops that [`apply`] supports.
const ELEMENTWISE: &[&str] = &[
    "arith.addf",
    "arith.subf",
    "arith.mulf",
    "arith.divf",
    "arith.negf",
    "arith.maximumf",
    "arith.minimumf",
    "arith.maxnumf",
    "arith.minnumf",
    "arith.extf",
    "arith.truncf",
    "math.exp",
    "math.tanh",
    "math.sqrt",
    "math.rsqrt",
    "math.absf",
    "math.erf",
    Op::Silu.name(),
    Op::Scale.name(),
    Op::Softcap.name(),
    Op::Gelu.name(),
    Op::Swiglu.name(),
];

pub fn is_elementwise(name: &str) -> bool {
    ELEMENTWISE.contains(&name)
}

/// The value of an element-wise op on f32 lanes.
pub fn apply<'c, 'a>(
    group: &Group<'c, 'a>,
    e: &Emitter<'c, 'a>,
    op: OperationRef<'c, 'a>,
    x: &[V<'c, 'a>],
) -> Result<'c, 'a, V<'c, 'a>> {
    let name = op_name(&op);
    let ty = x[0].r#type();
    Ok(match name.as_str() {
        "arith.addf" | "arith.subf" | "arith.mulf" | "arith.divf" | "arith.negf" | "arith.maximumf"
        | "arith.minimumf" | "arith.maxnumf" | "arith.minnumf" | "math.sqrt" | "math.absf" => {
            e.value(&name, x, ty, &[])
        }
        "arith.extf" => x[0],
        // Rounds as the unfused tensor would.
        "arith.truncf" => {
            if !rounds_to_nearest_even(&op) {
                let message =
                    "rounds otherwise than to nearest even, which no kernel does; leave the rounding mode out";
                return Err(group.unsupported(Some(op), message));
            }
            let result =
                op.result(0).map(|r| element(r.r#type())).map_err(|_| group.unsupported(Some(op), "no result"))?;
            e.rounded(x[0], result)
        }
        "math.exp" => e.exp(x[0]),
        "math.tanh" => e.tanh(x[0]),
        "math.erf" => e.erf(x[0]),
        "math.rsqrt" => 1.0 / e.sqrt(x[0]),
        _ if Op::Silu.is(&op) => x[0] * e.sigmoid(x[0]),
        _ if Op::Scale.is(&op) => x[0] * float(group, op, "factor")?,
        _ if Op::Softcap.is(&op) => {
            let cap = float(group, op, "cap")?;
            e.tanh(x[0] / cap) * cap
        }
        _ if Op::Swiglu.is(&op) => x[0] * e.sigmoid(x[0]) * x[1],
        _ if Op::Gelu.is(&op) => gelu(e, x[0], is_tanh(op)),
        _ => {
            let message = format!("'{name}' has no element-wise kernel; there are some of {}", ELEMENTWISE.join(", "));
            return Err(group.unsupported(Some(op), message));
        }
    })
}

fn float<'c, 'a>(group: &Group<'c, 'a>, op: OperationRef<'c, 'a>, name: &str) -> Result<'c, 'a, f32> {
    float_attribute(&op, name).ok_or_else(|| group.unsupported(Some(op), format!("has no number '{name}'")))
}

fn is_tanh<'c, 'a>(op: OperationRef<'c, 'a>) -> bool {
    op.attribute("approximate").is_ok_and(|a| string_value(a).unwrap_or_else(|| a.to_string()).contains("tanh"))
}

fn gelu<'c, 'a>(e: &Emitter<'c, 'a>, x: V<'c, 'a>, tanh: bool) -> V<'c, 'a> {
    let inner = if tanh {
        let cube = x * x * (x * 0.044_715);
        e.tanh((x + cube) * 0.797_884_6)
    } else {
        e.erf(x * std::f32::consts::FRAC_1_SQRT_2)
    };
    x * 0.5 * (inner + 1.0)
}

/// Evaluates the element-wise expression rooted at `value`; `leaf` gives the lanes of its leaves (operands, fused
/// results).
pub fn evaluate<'c, 'a>(
    group: &Group<'c, 'a>,
    e: &Emitter<'c, 'a>,
    value: Value<'c, 'a>,
    leaf: &dyn Fn(Value<'c, 'a>) -> Option<V<'c, 'a>>,
) -> Result<'c, 'a, V<'c, 'a>> {
    if let Some(lanes) = leaf(value) {
        return Ok(lanes);
    }
    let op =
        group.defining_op(value).ok_or_else(|| group.unsupported(None, "an operand is used in an unexpected place"))?;
    if op_name(&op) == "arith.constant" {
        return splat_constant(op)
            .map(|c| e.vf(c))
            .ok_or_else(|| group.unsupported(Some(op), "only a splat constant can be part of a kernel"));
    }
    let operands = op.operands().map(|o| evaluate(group, e, o, leaf)).collect::<Result<Vec<_>>>()?;
    if operands.is_empty() {
        return Err(group.unsupported(Some(op), format!("'{}' has no kernel", op_name(&op))));
    }
    apply(group, e, op, &operands)
}

/// Numbers of the group's arguments that the expression of `value` reads, not searching beyond values that are a
/// `root`.
pub fn arguments<'c, 'a>(
    group: &Group<'c, 'a>,
    value: Value<'c, 'a>,
    root: &dyn Fn(Value<'c, 'a>) -> bool,
) -> Vec<usize> {
    if let Some(argument) = group.argument(value) {
        return vec![argument];
    }
    let op = if root(value) { None } else { group.defining_op(value) };
    let operands = op.into_iter().flat_map(|op| op.operands().collect::<Vec<_>>());
    let mut all: Vec<usize> = operands.flat_map(|operand| arguments(group, operand, root)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether the element-wise expression of `value` reads a `root`.
pub fn reads<'c, 'a>(group: &Group<'c, 'a>, value: Value<'c, 'a>, root: &dyn Fn(Value<'c, 'a>) -> bool) -> bool {
    root(value) || group.defining_op(value).is_some_and(|op| op.operands().any(|operand| reads(group, operand, root)))
}

/// Number of elements of each operand and result of a group of element-wise ops, which its kernel iterates over.
///
/// # Errors
/// If a result's shape differs from the first operand's, or there are no operands.
pub fn elements<'c, 'a>(group: &Group<'c, 'a>) -> Result<'c, 'a, Size> {
    let Some(first) = group.arguments.first() else {
        return Err(group.unsupported(None, "has no operands; fold its constants (--canonicalize)"));
    };
    let shape = dims(first.r#type());
    for value in &group.yields {
        let other = dims(value.r#type());
        let differs = |(a, b): (&Option<usize>, &Option<usize>)| a.is_some() && b.is_some() && a != b;
        if other.len() != shape.len() || shape.iter().zip(&other).any(differs) {
            let message = "has another shape than its group's first operand; take it out of the group";
            return Err(group.unsupported(group.defining_op(*value), message));
        }
    }
    Ok(group.size(0, 0..shape.len()))
}

/// The value of a splat float constant.
pub fn splat_constant<'c, 'a>(op: OperationRef<'c, 'a>) -> Option<f32> {
    let dense = DenseElementsAttribute::try_from(op.attribute("value").ok()?).ok()?;
    if !dense.is_splat() {
        return None;
    }
    FloatAttribute::try_from(dense.splat_value()).ok().map(|f| f.value() as f32)
}

/// Generates the flat kernel of a group of element-wise ops.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let size = elements(group)?;
    let flat = |v: &Value<'c, 'a>| module.memref(&[None], element(v.r#type()));
    let mut parameters = vec![module.index(), module.index()];
    parameters.extend(group.arguments.iter().map(flat));
    parameters.extend(group.yields.iter().map(flat));
    module.func(name, &parameters, |e, values| -> Result<'c, 'a, ()> {
        let (task, total, buffers) = (values[0], values[1], &values[2..]);
        let (inputs, outputs) = buffers.split_at(group.arguments.len());

        let start = task * CHUNK;
        let end = (start + CHUNK).min(total);
        let whole = start + (end - start) / LANES * LANES;
        let mut failure = None;
        let mut body = |e: &Emitter<'c, 'a>, at: V<'c, 'a>, mask: Option<V<'c, 'a>>| {
            for (output, value) in outputs.iter().zip(&group.yields) {
                let leaf = |v: Value<'c, 'a>| group.argument(v).map(|i| load_lanes(e, inputs[i], &[at], mask));
                match evaluate(group, e, *value, &leaf) {
                    Ok(lanes) => store_lanes(e, lanes, *output, &[at], mask),
                    Err(error) => failure = Some(error),
                }
            }
        };
        e.loop_(start, whole, LANES, |e, at| body(e, at, None));
        e.loop_(whole, end, LANES, |e, at| {
            let mask = e.mask(end - at);
            body(e, at, Some(mask));
        });
        failure.map_or(Ok(()), Err)
    })?;
    let mut access = vec![Access::Read; group.arguments.len()];
    access.extend(vec![Access::Write; group.yields.len()]);
    let ops: Vec<String> =
        group.body.iter().map(|op| op_name(op).rsplit('.').next().unwrap_or_default().to_owned()).collect();
    Ok(Signature {
        access,
        in_place: vec![None; group.yields.len()],
        tasks: size.clone().ceil_div(CHUNK),
        scalars: vec![size],
        summary: ops.join("+"),
        partner: None,
    })
}
