//! MLIR types as WGSL types, and constants as WGSL literals.
//!
//! MLIR's integers are signless; ops carry the signedness. So `i32` and `index` are both `i32` here: most ops on them
//! are signed or do not care, and the unsigned ones convert (`u32(v)` and `i32(v)` keep the bits). A vector of one lane
//! is a scalar.

use kforge_dialect::ir::dims;
use melior::ir::{
    Attribute, AttributeLike, Type as MlirType, TypeLike,
    attribute::{FloatAttribute, IntegerAttribute},
};
use mlir_sys as sys;
use std::fmt;

/// Element of a value or of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    Bool,
    I32,
    F32,
    F16,
}

impl Scalar {
    /// Bytes in memory; 0 for booleans, which cannot be stored.
    pub fn bytes(self) -> u64 {
        match self {
            Scalar::Bool => 0,
            Scalar::F16 => 2,
            Scalar::I32 | Scalar::F32 => 4,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Scalar::F32 | Scalar::F16)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Scalar::Bool => "bool",
            Scalar::I32 => "i32",
            Scalar::F32 => "f32",
            Scalar::F16 => "f16",
        })
    }
}

/// The role of an operand of `gpu.subgroup_mma_compute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    A,
    B,
    C,
}

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Lanes are 1 to 4; one lane is a scalar.
    Vector { scalar: Scalar, lanes: usize },
    /// `vector<4xi8>`, four bytes in an i32, the first in its lowest bits.
    Bytes,
    /// A cooperative matrix of a subgroup.
    Matrix { scalar: Scalar, size: usize, role: Role },
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Type::Vector { scalar, lanes: 1 } => write!(f, "{scalar}"),
            Type::Vector { scalar, lanes } => write!(f, "vec{lanes}<{scalar}>"),
            Type::Bytes => write!(f, "i32"),
            Type::Matrix { scalar, size, role } => write!(f, "coop_mat{size}x{size}<{scalar}, {role:?}>"),
        }
    }
}

impl Type {
    /// # Errors
    /// What to use instead.
    pub fn of(ty: MlirType<'_>) -> Result<Type, String> {
        let text = ty.to_string();
        if let Some(matrix) = text.strip_prefix("!gpu.mma_matrix<") {
            return matrix_type(matrix)
                .ok_or_else(|| format!("{text} has no WGSL; use a square matrix of 8x8 or 16x16, of f16 or f32"));
        }
        // SAFETY: the type is alive.
        if !unsafe { sys::mlirTypeIsAVector(ty.to_raw()) } {
            return scalar(&text).map(|scalar| Type::Vector { scalar, lanes: 1 });
        }
        let element = element(ty).to_string();
        let lanes = match dims(ty)[..] {
            [Some(lanes @ 1..=4)] if !text.contains('[') => lanes,
            _ => return Err(format!("{text} has no WGSL; use a vector of one to four lanes")),
        };
        match (element.as_str(), lanes) {
            ("i8", 4) => Ok(Type::Bytes),
            (element, lanes) => scalar(element)
                .map(|scalar| Type::Vector { scalar, lanes })
                .map_err(|_| format!("{text} has no WGSL; use elements of f32, f16, i32, index or i1")),
        }
    }

    pub fn scalar(self) -> Scalar {
        match self {
            Type::Vector { scalar, .. } | Type::Matrix { scalar, .. } => scalar,
            Type::Bytes => Scalar::I32,
        }
    }

    pub fn uses_f16(self) -> bool {
        self.scalar() == Scalar::F16
    }
}

/// The element type of a shaped type.
pub fn element(ty: MlirType<'_>) -> MlirType<'_> {
    // SAFETY: callers pass shaped types, and the element type lives in the same context.
    unsafe { MlirType::from_raw(sys::mlirShapedTypeGetElementType(ty.to_raw())) }
}

fn scalar(text: &str) -> Result<Scalar, String> {
    match text {
        "i1" => Ok(Scalar::Bool),
        "i32" | "index" => Ok(Scalar::I32),
        "f32" => Ok(Scalar::F32),
        "f16" => Ok(Scalar::F16),
        "i64" => Err("i64 has no WGSL; use i32 or index".into()),
        "f64" | "bf16" => Err(format!("{text} has no WGSL; use f32")),
        "i8" | "i16" => Err(format!("{text} has no WGSL; read bytes as vector<4xi8> out of an i32")),
        _ => Err(format!("{text} has no WGSL; use f32, f16, i32, index, i1, or vectors of them")),
    }
}

/// `16x16xf16, "AOp">`.
fn matrix_type(text: &str) -> Option<Type> {
    let (shape, role) = text.strip_suffix('>')?.split_once(", ")?;
    let mut parts = shape.split('x');
    let (rows, columns) = (parts.next()?.parse::<usize>().ok()?, parts.next()?.parse::<usize>().ok()?);
    let scalar = scalar(parts.next()?).ok().filter(|s| s.is_float())?;
    let role = match role {
        "\"AOp\"" => Role::A,
        "\"BOp\"" => Role::B,
        "\"COp\"" => Role::C,
        _ => return None,
    };
    (rows == columns && matches!(rows, 8 | 16)).then_some(Type::Matrix { scalar, size: rows, role })
}

/// An element of a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    Bool(bool),
    Int(i32),
    F32(f32),
    /// The value, representable in f16.
    F16(f64),
}

impl Literal {
    /// The literal of an integer or float attribute.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(attribute: Attribute<'_>, scalar: Scalar) -> Result<Literal, String> {
        if scalar.is_float() {
            let value = FloatAttribute::try_from(attribute).map_err(|_| format!("{attribute} is no number"))?.value();
            return Ok(if scalar == Scalar::F32 { Literal::F32(value as f32) } else { Literal::F16(value) });
        }
        let value = IntegerAttribute::try_from(attribute).map_err(|_| format!("{attribute} is no integer"))?.value();
        match scalar {
            Scalar::Bool => Ok(Literal::Bool(value != 0)),
            _ => Literal::int(value),
        }
    }

    /// The 32 bits of an index or i32, given as a signed or unsigned value.
    pub fn int(value: i64) -> Result<Literal, String> {
        let bits = i32::try_from(value).or_else(|_| u32::try_from(value).map(u32::cast_signed));
        bits.map(Literal::Int).map_err(|_| format!("{value} does not fit 32 bits, which an index has in WGSL"))
    }

    /// Whether WGSL can write it: infinities and NaN have no literals.
    pub fn is_finite(self) -> bool {
        match self {
            Literal::F32(value) => value.is_finite(),
            Literal::F16(value) => value.is_finite(),
            Literal::Bool(_) | Literal::Int(_) => true,
        }
    }

    /// The bits of an infinity or NaN as f32, also for an f16, which is converted from f32.
    pub fn bits(self) -> u32 {
        match self {
            Literal::F32(value) => value.to_bits(),
            Literal::F16(value) => (value as f32).to_bits(),
            Literal::Int(value) => value.cast_unsigned(),
            Literal::Bool(value) => u32::from(value),
        }
    }
}

impl fmt::Display for Literal {
    /// Formats a finite literal as WGSL.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Literal::Bool(value) => write!(f, "{value}"),
            // The digits alone are out of range: WGSL parses the sign as an operator.
            Literal::Int(i32::MIN) => write!(f, "i32(-2147483648)"),
            Literal::Int(value) => write!(f, "{value}i"),
            // The shortest decimal of the largest f32 is slightly larger, which a browser rejects.
            Literal::F32(value) if value.abs() == f32::MAX => write!(f, "{:?}f", f64::from(*value)),
            Literal::F32(value) => write!(f, "{value:?}f"),
            Literal::F16(value) => write!(f, "{value:?}h"),
        }
    }
}

/// The elements of an `arith.constant`; a single one if all are equal.
///
/// # Errors
/// What is wrong with it.
pub fn literals(attribute: Attribute<'_>, scalar: Scalar, lanes: usize) -> Result<Vec<Literal>, String> {
    let raw = attribute.to_raw();
    // SAFETY: the attribute is alive.
    if !unsafe { sys::mlirAttributeIsADenseElements(raw) } {
        return Ok(vec![Literal::of(attribute, scalar)?]);
    }
    // SAFETY: the attribute is of dense elements.
    if unsafe { sys::mlirDenseElementsAttrIsSplat(raw) } {
        // SAFETY: the attribute is of dense elements that are one.
        let splat = unsafe { Attribute::from_raw(sys::mlirDenseElementsAttrGetSplatValue(raw)) };
        return Ok(vec![Literal::of(splat, scalar)?]);
    }
    // SAFETY: the attribute is of dense elements.
    let count = unsafe { sys::mlirElementsAttrGetNumElements(raw) };
    if usize::try_from(count) != Ok(lanes) {
        return Err(format!("has {count} elements in its value, where its type has {lanes}"));
    }
    let is_index = element_is_index(attribute);
    let read = |lane: usize| {
        let at = lane as isize;
        // SAFETY: the elements have the type that is read, and there are as many as lanes; the C API has no getter for
        // f16, which is stored in the raw data as two bytes per element, in host byte order.
        unsafe {
            match scalar {
                Scalar::Bool => Ok(Literal::Bool(sys::mlirDenseElementsAttrGetBoolValue(raw, at))),
                Scalar::I32 if is_index => Literal::int(sys::mlirDenseElementsAttrGetIndexValue(raw, at).cast_signed()),
                Scalar::I32 => Ok(Literal::Int(sys::mlirDenseElementsAttrGetInt32Value(raw, at))),
                Scalar::F32 => Ok(Literal::F32(sys::mlirDenseElementsAttrGetFloatValue(raw, at))),
                Scalar::F16 => {
                    let data = sys::mlirDenseElementsAttrGetRawData(raw).cast::<u16>();
                    Ok(Literal::F16(f16_value(data.add(lane).read_unaligned())))
                }
            }
        }
    };
    (0..lanes).map(read).collect()
}

fn element_is_index(attribute: Attribute<'_>) -> bool {
    // SAFETY: the attribute is of dense elements, whose type is shaped.
    let ty = unsafe { MlirType::from_raw(sys::mlirAttributeGetType(attribute.to_raw())) };
    element(ty).to_string() == "index"
}

/// The value of an f16's bits.
fn f16_value(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}
