//! Operators and comparisons of values, which append `arith` ops to the block under construction.
//!
//! ```text
//! tile * height + row       arith.muli, arith.addi
//! (row + 1).min(last)       arith.constant, arith.addi, arith.minsi
//! sum * scale               arith.mulf where the operands are floats, scalars or vectors
//! ```
//! The operands of an operator have one type; a Rust number becomes a constant of the other operand's type. Integers
//! are unsigned in `/`, `%` and `>>`, signed in comparisons, `min` and `max`: indices are never negative, differences
//! may be. Constants are folded by canonicalisation; only `+ 0` and `* 1` append no op.

use super::{Builder, V, VectorType};
use melior::ir::{
    Type, TypeLike, ValueLike,
    attribute::{DenseElementsAttribute, FloatAttribute, IntegerAttribute},
    r#type::IntegerType,
};
use std::ops::{Add, AddAssign, BitAnd, BitOr, BitXor, Div, Mul, MulAssign, Neg, Rem, Shl, Shr, Sub, SubAssign};

/// The other operand of an operator: a value, or a number.
pub trait Operand<'c, 'a>: Copy {
    /// The operand as a value of the type of `like`.
    fn value(self, like: V<'c, 'a>) -> V<'c, 'a>;

    /// Whether it is the constant `number`.
    fn is(self, _number: usize) -> bool {
        false
    }
}

impl<'c, 'a> Operand<'c, 'a> for V<'c, 'a> {
    fn value(self, _: V<'c, 'a>) -> V<'c, 'a> {
        self
    }
}

impl<'c, 'a> Operand<'c, 'a> for usize {
    fn value(self, like: V<'c, 'a>) -> V<'c, 'a> {
        like.builder.int_like(self as i64, like.r#type())
    }
    fn is(self, number: usize) -> bool {
        self == number
    }
}

impl<'c, 'a> Operand<'c, 'a> for f32 {
    fn value(self, like: V<'c, 'a>) -> V<'c, 'a> {
        like.builder.float_like(self, like.r#type())
    }
}

impl<'c, 'a> Builder<'c, 'a> {
    /// A constant of the integer or index type `like`, or in all lanes of such a vector.
    pub(super) fn int_like(&'a self, value: i64, like: Type<'c>) -> V<'c, 'a> {
        let attribute = match like.is_vector() {
            true => {
                let element = IntegerAttribute::new(VectorType(like).element(), value).into();
                DenseElementsAttribute::splat(like, element).into()
            }
            false => IntegerAttribute::new(like, value).into(),
        };
        self.value("arith.constant", &[], like, &[("value", attribute)])
    }

    /// A constant of the type `like`, an f32 or a vector of f32.
    pub(super) fn float_like(&'a self, value: f32, like: Type<'c>) -> V<'c, 'a> {
        let element = FloatAttribute::new(self.context, Type::float32(self.context), value as f64).into();
        let attribute = if like.is_vector() { DenseElementsAttribute::splat(like, element).into() } else { element };
        self.value("arith.constant", &[], like, &[("value", attribute)])
    }
}

impl<'c, 'a> V<'c, 'a> {
    fn is_float(self) -> bool {
        let ty = self.r#type();
        let element = if ty.is_vector() { VectorType(ty).element() } else { ty };
        !(element.is_integer() || element.is_index())
    }

    /// Appends the integer or the float op, depending on the type.
    fn binary(self, ints: &str, floats: &str, other: V<'c, 'a>) -> V<'c, 'a> {
        let name = if self.is_float() { floats } else { ints };
        self.builder.value(name, &[self, other], self.r#type(), &[])
    }

    /// Quotient and remainder of unsigned integers.
    pub fn div_rem(self, by: impl Operand<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>) {
        let by = by.value(self);
        (self / by, self % by)
    }

    /// `self / by`, rounded up.
    pub fn ceil_div(self, by: usize) -> V<'c, 'a> {
        if by == 1 { self } else { (self + (by - 1)) / by }
    }

    /// The smaller value; if one is NaN, the other.
    pub fn min(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.binary("arith.minsi", "arith.minnumf", other.value(self))
    }

    /// The larger value; if one is NaN, the other.
    pub fn max(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.binary("arith.maxsi", "arith.maxnumf", other.value(self))
    }

    /// Compares integers by a predicate of `arith.cmpi`, or floats by an ordered predicate of `arith.cmpf`, both given
    /// by the dialect's numbering.
    fn compare(self, (ints, floats): (i64, i64), other: V<'c, 'a>) -> V<'c, 'a> {
        let bit = |bits| IntegerType::new(self.builder.context, bits).into();
        let ty = self.r#type();
        let result = if ty.is_vector() { Type::vector(&[VectorType(ty).lanes() as u64], bit(1)) } else { bit(1) };
        let (name, predicate) = if self.is_float() { ("arith.cmpf", floats) } else { ("arith.cmpi", ints) };
        let predicate = IntegerAttribute::new(bit(64), predicate).into();
        self.builder.value(name, &[self, other], result, &[("predicate", predicate)])
    }

    pub fn eq(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.compare((0, 1), other.value(self))
    }
    pub fn ne(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.compare((1, 6), other.value(self))
    }
    pub fn lt(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.compare((2, 4), other.value(self))
    }
    pub fn le(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.compare((3, 5), other.value(self))
    }
    pub fn gt(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.compare((4, 2), other.value(self))
    }
    pub fn ge(self, other: impl Operand<'c, 'a>) -> V<'c, 'a> {
        self.compare((5, 3), other.value(self))
    }
}

/// Implements an operator: the neutral right operand, for which no op is appended, and the ops for integers and floats.
macro_rules! operators {
    ($($trait:ident, $method:ident, $ints:literal, $floats:literal, $neutral:expr;)*) => {$(
        impl<'c, 'a, T: Operand<'c, 'a>> $trait<T> for V<'c, 'a> {
            type Output = V<'c, 'a>;
            fn $method(self, other: T) -> V<'c, 'a> {
                let neutral: Option<usize> = $neutral;
                if neutral.is_some_and(|number| other.is(number)) {
                    return self;
                }
                self.binary($ints, $floats, other.value(self))
            }
        }
        impl<'c, 'a> $trait<V<'c, 'a>> for usize {
            type Output = V<'c, 'a>;
            fn $method(self, other: V<'c, 'a>) -> V<'c, 'a> {
                Operand::value(self, other).binary($ints, $floats, other)
            }
        }
        impl<'c, 'a> $trait<V<'c, 'a>> for f32 {
            type Output = V<'c, 'a>;
            fn $method(self, other: V<'c, 'a>) -> V<'c, 'a> {
                Operand::value(self, other).binary($ints, $floats, other)
            }
        }
    )*};
}

operators! {
    Add, add, "arith.addi", "arith.addf", Some(0);
    Sub, sub, "arith.subi", "arith.subf", None;
    Mul, mul, "arith.muli", "arith.mulf", Some(1);
    Div, div, "arith.divui", "arith.divf", None;
    Rem, rem, "arith.remui", "arith.remf", None;
}

macro_rules! assign_operators {
    ($($trait:ident, $method:ident, $operator:tt;)*) => {$(
        impl<'c, 'a, T: Operand<'c, 'a>> $trait<T> for V<'c, 'a> {
            fn $method(&mut self, other: T) {
                *self = *self $operator other;
            }
        }
    )*};
}

assign_operators! {
    AddAssign, add_assign, +;
    SubAssign, sub_assign, -;
    MulAssign, mul_assign, *;
}

/// Implements an integer-only operator.
macro_rules! bit_operators {
    ($($trait:ident, $method:ident, $name:literal;)*) => {$(
        impl<'c, 'a, T: Operand<'c, 'a>> $trait<T> for V<'c, 'a> {
            type Output = V<'c, 'a>;
            fn $method(self, other: T) -> V<'c, 'a> {
                self.builder.value($name, &[self, other.value(self)], self.r#type(), &[])
            }
        }
    )*};
}

bit_operators! {
    BitAnd, bitand, "arith.andi";
    BitOr, bitor, "arith.ori";
    BitXor, bitxor, "arith.xori";
    Shl, shl, "arith.shli";
    Shr, shr, "arith.shrui";
}

impl<'c, 'a> Neg for V<'c, 'a> {
    type Output = V<'c, 'a>;
    /// Negates a float.
    fn neg(self) -> V<'c, 'a> {
        self.builder.value("arith.negf", &[self], self.r#type(), &[])
    }
}
