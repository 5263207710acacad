//! The ops of `arith` and `math` that models use, on tensors of one shape.
//!
//! Floats are computed in f64 and rounded to the element type, which for one addition, multiplication, division or
//! square root is the correctly rounded result. Integers wrap to their width. Names are MLIR's, with or without the
//! dialect: `addf`, `arith.addf`.

use crate::check::{Op, coordinates};
use crate::{Data, Element, Error, Result, Tensor};

/// Applies an op of one, two or three operands of one type.
pub fn apply(name: &str, operands: &[&Tensor]) -> Result<Tensor> {
    let op = Op(bare(name));
    if let Some(f) = unary_float(op.0) {
        let [x] = take(op, operands)?;
        return floats(x, wide(op, x)?.into_iter().map(f));
    }
    if let Some(f) = binary_float(op.0) {
        let [a, b] = take(op, operands)?;
        return floats(a, wide(op, a)?.into_iter().zip(wide(op, b)?).map(|(x, y)| f(x, y)));
    }
    if let Some(f) = binary_integer(op.0) {
        let [a, b] = take(op, operands)?;
        return integers(op, a, b, f);
    }
    match op.0 {
        "fma" => {
            let [a, b, c] = take(op, operands)?;
            let (x, y, z) = (op.floats("operand", a)?, op.floats("operand", b)?, op.floats("operand", c)?);
            // In f32, where it rounds once; f64 would round its own sum first.
            let values = x.iter().zip(&y).zip(&z).map(|((x, &y), &z)| x.mul_add(y, z));
            Tensor::from_f32(a.shape(), a.element(), values.collect())
        }
        "select" => match *operands {
            [condition, a, b] => select(op, condition, a, b),
            _ => Err(count(op, 3, operands)),
        },
        name => Err(Error::UnknownOp(name.to_owned())),
    }
}

/// Converts to another element type: `extf`, `truncf`, `sitofp`, `fptosi`, `extsi`, `extui`, `trunci`, `index_cast`.
/// Integers wrap to a narrower type; a float beyond its integer type gives, as in MLIR, no particular value.
pub fn cast(name: &str, input: &Tensor, to: Element) -> Result<Tensor> {
    let op = Op(bare(name));
    let shape = input.shape();
    match op.0 {
        "extf" | "truncf" => Tensor::from_f32(shape, to, op.floats("operand", input)?),
        "fptosi" => {
            let values = op.floats("operand", input)?;
            Tensor::from_i64(shape, to, values.into_iter().map(|x| x as i64).collect())
        }
        "sitofp" => Tensor::from_f32(shape, to, signed(op, input)?.into_iter().map(|x| x as f32).collect()),
        "extsi" | "trunci" | "index_cast" => Tensor::from_i64(shape, to, signed(op, input)?),
        "extui" => {
            let values = signed(op, input)?.into_iter().map(|x| unsigned(x, input.element()) as i64);
            Tensor::from_i64(shape, to, values.collect())
        }
        name => Err(Error::UnknownOp(name.to_owned())),
    }
}

/// `arith.cmpf` with a predicate by name: `oeq`, `ult`, ...; the first letter says what an unordered pair gives.
pub fn cmpf(predicate: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let op = Op("cmpf");
    let unordered = predicate.starts_with('u');
    let wanted: &[_] = match predicate {
        "oeq" | "ueq" => &[Equal],
        "one" | "une" => &[Less, Greater],
        "olt" | "ult" => &[Less],
        "ole" | "ule" => &[Less, Equal],
        "ogt" | "ugt" => &[Greater],
        "oge" | "uge" => &[Greater, Equal],
        "ord" => &[Less, Equal, Greater],
        "uno" => &[],
        _ => return Err(op.attribute("predicate", "one of cmpf's", predicate)),
    };
    same_type(op, a, b)?;
    let (x, y) = (wide(op, a)?, wide(op, b)?);
    let holds = |(x, y): (&f64, &f64)| x.partial_cmp(y).map_or(unordered, |order| wanted.contains(&order));
    Tensor::new(a.shape(), Data::Bool(x.iter().zip(&y).map(holds).collect()))
}

/// `arith.cmpi` with a predicate by name: `eq`, `ne`, `slt`, `sle`, `sgt`, `sge`, `ult`, `ule`, `ugt`, `uge`.
pub fn cmpi(predicate: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let op = Op("cmpi");
    same_type(op, a, b)?;
    let (x, y) = (signed(op, a)?, signed(op, b)?);
    let u = |v: i64| unsigned(v, a.element());
    let compare: &dyn Fn(i64, i64) -> bool = match predicate {
        "eq" => &|x, y| x == y,
        "ne" => &|x, y| x != y,
        "slt" => &|x, y| x < y,
        "sle" => &|x, y| x <= y,
        "sgt" => &|x, y| x > y,
        "sge" => &|x, y| x >= y,
        "ult" => &|x, y| u(x) < u(y),
        "ule" => &|x, y| u(x) <= u(y),
        "ugt" => &|x, y| u(x) > u(y),
        "uge" => &|x, y| u(x) >= u(y),
        _ => return Err(op.attribute("predicate", "one of cmpi's", predicate)),
    };
    let values = x.iter().zip(&y).map(|(&x, &y)| compare(x, y)).collect();
    Tensor::new(a.shape(), Data::Bool(values))
}

/// Elements of `a` where the condition holds, of `b` elsewhere.
fn select(op: Op<'_>, condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    fn pick<T: Copy>(condition: &[bool], a: &[T], b: &[T]) -> Vec<T> {
        condition.iter().zip(a).zip(b).map(|((&c, &a), &b)| if c { a } else { b }).collect()
    }
    same_type(op, a, b)?;
    op.shape("condition", condition, a.shape())?;
    let Data::Bool(c) = condition.data() else { return Err(op.wrong("condition", "a tensor of i1", condition)) };
    let data = match (a.data(), b.data()) {
        (Data::F32(a), Data::F32(b)) => Data::F32(pick(c, a, b)),
        (Data::F16(a), Data::F16(b)) => Data::F16(pick(c, a, b)),
        (Data::BF16(a), Data::BF16(b)) => Data::BF16(pick(c, a, b)),
        (Data::I32(a), Data::I32(b)) => Data::I32(pick(c, a, b)),
        (Data::I64(a), Data::I64(b)) => Data::I64(pick(c, a, b)),
        (Data::Bool(a), Data::Bool(b)) => Data::Bool(pick(c, a, b)),
        _ => return Err(op.wrong("operand", "a tensor of floats or integers", a)),
    };
    Tensor::new(a.shape(), data)
}

fn unary_float(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "negf" => |x| -x,
        "absf" => f64::abs,
        "exp" => f64::exp,
        "exp2" => f64::exp2,
        "log" => f64::ln,
        "log2" => f64::log2,
        "sqrt" => f64::sqrt,
        "rsqrt" => |x| 1.0 / x.sqrt(),
        "tanh" => f64::tanh,
        "erf" => libm::erf,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        _ => return None,
    })
}

fn binary_float(name: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match name {
        "addf" => |x, y| x + y,
        "subf" => |x, y| x - y,
        "mulf" => |x, y| x * y,
        "divf" => |x, y| x / y,
        "remf" => |x, y| x % y,
        "powf" => f64::powf,
        "maximumf" => maximum,
        "minimumf" => |x, y| -maximum(-x, -y),
        // Of a number and a NaN, the number.
        "maxnumf" => f64::max,
        "minnumf" => f64::min,
        _ => return None,
    })
}

/// IEEE 754-2019 maximum: NaN where either is, and +0 above -0.
fn maximum(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        f64::NAN
    } else if x > y || (x == y && x.is_sign_positive()) {
        x
    } else {
        y
    }
}

/// Integer ops on sign-extended values; `None` if the result is undefined (division by zero).
fn binary_integer(name: &str) -> Option<fn(i64, i64) -> Option<i64>> {
    Some(match name {
        "addi" => |x, y| Some(x.wrapping_add(y)),
        "subi" => |x, y| Some(x.wrapping_sub(y)),
        "muli" => |x, y| Some(x.wrapping_mul(y)),
        "divsi" => |x, y| (y != 0).then(|| x.wrapping_div(y)),
        "remsi" => |x, y| (y != 0).then(|| x.wrapping_rem(y)),
        "andi" => |x, y| Some(x & y),
        "ori" => |x, y| Some(x | y),
        "xori" => |x, y| Some(x ^ y),
        "maxsi" => |x, y| Some(x.max(y)),
        "minsi" => |x, y| Some(x.min(y)),
        _ => return None,
    })
}

fn integers(op: Op<'_>, a: &Tensor, b: &Tensor, f: fn(i64, i64) -> Option<i64>) -> Result<Tensor> {
    let (x, y) = (signed(op, a)?, signed(op, b)?);
    let value = |(i, (&x, &y)): (usize, (&i64, &i64))| {
        f(x, y).ok_or_else(|| op.value("right", &coordinates(b.shape(), i), y, "other than 0, to divide by"))
    };
    let values = x.iter().zip(&y).enumerate().map(value).collect::<Result<_>>()?;
    Tensor::from_i64(a.shape(), a.element(), values)
}

fn floats(like: &Tensor, values: impl Iterator<Item = f64>) -> Result<Tensor> {
    Tensor::from_f32(like.shape(), like.element(), values.map(|x| x as f32).collect())
}

fn wide(op: Op<'_>, tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(op.floats("operand", tensor)?.into_iter().map(f64::from).collect())
}

/// Integers as MLIR extends them by sign: the i1 true is -1.
fn signed(op: Op<'_>, tensor: &Tensor) -> Result<Vec<i64>> {
    let mut values = tensor.to_i64().ok_or_else(|| op.wrong("operand", "a tensor of integers", tensor))?;
    if tensor.element() == Element::Bool {
        values.iter_mut().for_each(|x| *x = -*x);
    }
    Ok(values)
}

/// The bits of a sign-extended value of `element` read as unsigned.
fn unsigned(value: i64, element: Element) -> u64 {
    match element {
        Element::Bool => value as u64 & 1,
        Element::I32 => u64::from(value as u32),
        _ => value as u64,
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix("arith.").or_else(|| name.strip_prefix("math.")).unwrap_or(name)
}

/// Exactly `N` operands of one type.
fn take<'a, const N: usize>(op: Op<'_>, operands: &[&'a Tensor]) -> Result<[&'a Tensor; N]> {
    let taken: [&Tensor; N] = operands.try_into().map_err(|_| count(op, N, operands))?;
    taken.iter().try_for_each(|other| same_type(op, taken[0], other))?;
    Ok(taken)
}

fn count(op: Op<'_>, expected: usize, operands: &[&Tensor]) -> Error {
    Error::Operands { op: op.0.to_owned(), expected, actual: operands.len() }
}

fn same_type(op: Op<'_>, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.shape() != b.shape() || a.element() != b.element() {
        return Err(op.wrong("right", a.type_name(), b));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::f32([values.len()], values).unwrap()
    }

    fn i32s(values: &[i32]) -> Tensor {
        Tensor::i32([values.len()], values).unwrap()
    }

    fn bools(values: &[bool]) -> Tensor {
        Tensor::new([values.len()], Data::Bool(values.to_vec())).unwrap()
    }

    #[test]
    fn float_ops() {
        let (a, b) = (f32s(&[1.5, -6.0]), f32s(&[0.5, 4.0]));
        for (name, expected) in [
            ("arith.addf", [2.0, -2.0]),
            ("subf", [1.0, -10.0]),
            ("mulf", [0.75, -24.0]),
            ("divf", [3.0, -1.5]),
            ("remf", [0.0, -2.0]),
            ("math.powf", [1.5f32.sqrt(), 1296.0]),
            ("maximumf", [1.5, 4.0]),
            ("minimumf", [0.5, -6.0]),
        ] {
            assert_eq!(apply(name, &[&a, &b]).unwrap().to_f32(), expected, "{name}");
        }
        for (name, input, expected) in [
            ("negf", 2.0, -2.0),
            ("absf", -2.0, 2.0),
            ("exp", 1.0, std::f32::consts::E),
            ("sqrt", 2.0, std::f32::consts::SQRT_2),
            ("rsqrt", 4.0, 0.5),
            ("tanh", 0.0, 0.0),
            ("erf", 1.0, 0.842_700_8),
            ("sin", 0.0, 0.0),
            ("cos", 0.0, 1.0),
            ("log2", 8.0, 3.0),
        ] {
            assert_eq!(apply(name, &[&f32s(&[input])]).unwrap().to_f32(), [expected], "{name}");
        }
        assert_eq!(apply("fma", &[&a, &b, &b]).unwrap().to_f32(), [1.25, -20.0]);
    }

    #[test]
    fn extremes_of_nan_and_zero() {
        let (a, b) = (f32s(&[f32::NAN, -0.0, 0.0]), f32s(&[1.0, 0.0, -0.0]));
        let signs = |name| {
            let y = apply(name, &[&a, &b]).unwrap().to_f32();
            (y[0].is_nan(), y[1].is_sign_positive(), y[2].is_sign_positive())
        };
        assert_eq!(signs("maximumf"), (true, true, true));
        assert_eq!(signs("minimumf"), (true, false, false));
        assert_eq!(apply("maxnumf", &[&a, &b]).unwrap().to_f32()[0], 1.0);
    }

    #[test]
    fn narrow_floats_round_once() {
        let half = |x| Tensor::from_f32([1], Element::F16, vec![x]).unwrap();
        assert_eq!(apply("addf", &[&half(2048.0), &half(1.0)]).unwrap(), half(2048.0));
        assert_eq!(apply("addf", &[&half(2048.0), &half(3.0)]).unwrap(), half(2052.0));
    }

    #[test]
    fn integer_ops() {
        let (a, b) = (i32s(&[i32::MAX, -7]), i32s(&[1, 2]));
        for (name, expected) in [
            ("addi", [i32::MIN, -5]),
            ("subi", [i32::MAX - 1, -9]),
            ("muli", [i32::MAX, -14]),
            ("divsi", [i32::MAX, -3]),
            ("remsi", [0, -1]),
            ("maxsi", [i32::MAX, 2]),
            ("andi", [1, 0]),
        ] {
            assert_eq!(apply(name, &[&a, &b]).unwrap(), i32s(&expected), "{name}");
        }
        let error = apply("divsi", &[&a, &i32s(&[1, 0])]).unwrap_err().to_string();
        assert_eq!(error, "divsi: right[1] is 0, but must be other than 0, to divide by");
        let truth = apply("andi", &[&bools(&[true, true]), &bools(&[true, false])]).unwrap();
        assert_eq!(truth, bools(&[true, false]));
    }

    #[test]
    fn comparisons_and_select() {
        let (a, b) = (f32s(&[1.0, 2.0, f32::NAN]), f32s(&[1.0, 3.0, 0.0]));
        assert_eq!(cmpf("olt", &a, &b).unwrap(), bools(&[false, true, false]));
        assert_eq!(cmpf("uge", &a, &b).unwrap(), bools(&[true, false, true]));
        assert_eq!(cmpf("uno", &a, &b).unwrap(), bools(&[false, false, true]));
        assert_eq!(cmpf("ord", &a, &b).unwrap(), bools(&[true, true, false]));
        let (x, y) = (i32s(&[-1, 4]), i32s(&[1, 4]));
        assert_eq!(cmpi("slt", &x, &y).unwrap(), bools(&[true, false]));
        assert_eq!(cmpi("ult", &x, &y).unwrap(), bools(&[false, false]));
        assert!(cmpi("lt", &x, &y).is_err() && cmpf("lt", &a, &b).is_err());
        let picked = apply("select", &[&bools(&[true, false]), &x, &y]).unwrap();
        assert_eq!(picked, i32s(&[-1, 4]));
    }

    #[test]
    fn casts() {
        let narrow = cast("truncf", &f32s(&[1.0 + 1.0 / 4096.0]), Element::F16).unwrap();
        assert_eq!((narrow.element(), narrow.to_f32()[0]), (Element::F16, 1.0));
        assert_eq!(cast("arith.extf", &narrow, Element::F32).unwrap(), f32s(&[1.0]));
        assert_eq!(cast("fptosi", &f32s(&[-2.7]), Element::I32).unwrap(), i32s(&[-2]));
        assert_eq!(cast("sitofp", &i32s(&[-2]), Element::F32).unwrap(), f32s(&[-2.0]));
        assert_eq!(cast("extui", &bools(&[true]), Element::I32).unwrap(), i32s(&[1]));
        assert_eq!(cast("extsi", &bools(&[true]), Element::I32).unwrap(), i32s(&[-1]));
        let wide = Tensor::from_i64([1], Element::I64, vec![(1 << 32) + 5]).unwrap();
        assert_eq!(cast("index_cast", &wide, Element::I32).unwrap(), i32s(&[5]));
        assert!(cast("extf", &i32s(&[1]), Element::F32).is_err());
        assert!(cast("truncf", &f32s(&[1.0]), Element::I32).is_err());
    }

    #[test]
    fn wrong_calls() {
        let (a, b) = (f32s(&[1.0]), f32s(&[1.0, 2.0]));
        assert_eq!(apply("frob", &[&a]), Err(Error::UnknownOp("frob".into())));
        assert_eq!(apply("addf", &[&a]).unwrap_err().to_string(), "addf takes 2 operands, but got 1");
        assert!(apply("addf", &[&a, &b]).is_err());
        assert!(apply("addf", &[&i32s(&[1]), &i32s(&[1])]).is_err());
        assert!(apply("addi", &[&a, &a]).is_err());
        assert!(apply("fma", &[&i32s(&[1]), &i32s(&[1]), &i32s(&[1])]).is_err());
        assert_eq!(apply("exp", &[&f32s(&[])]).unwrap(), f32s(&[]));
    }
}
