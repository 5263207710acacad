//! Metadata values: scalars and strings by value, arrays as checked ranges of the file.

use super::cursor::Cursor;
use super::error::Cause;
use super::types::ValueType;
use std::fmt;
use std::ops::Range;

/// Maximum nesting of arrays: arrays of arrays are legal, but only a hostile file nests them deeper.
const MOST_NESTED: usize = 4;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any unsigned integer type.
    Unsigned(ValueType, u64),
    /// Any signed integer type.
    Signed(ValueType, i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(Array),
}

/// An array: its elements stay in the file, already checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub element: ValueType,
    pub len: usize,
    /// Where the elements lie in the file.
    pub(super) range: Range<usize>,
}

impl Value {
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::Unsigned(ty, _) | Value::Signed(ty, _) => *ty,
            Value::F32(_) => ValueType::F32,
            Value::F64(_) => ValueType::F64,
            Value::Bool(_) => ValueType::Bool,
            Value::String(_) => ValueType::String,
            Value::Array(_) => ValueType::Array,
        }
    }

    /// Reads a value of type `ty`.
    pub(super) fn read(cursor: &mut Cursor, ty: ValueType) -> Result<Self, Cause> {
        Ok(match ty {
            ValueType::U8 => Value::Unsigned(ty, u8::from_le_bytes(cursor.array()?).into()),
            ValueType::U16 => Value::Unsigned(ty, u16::from_le_bytes(cursor.array()?).into()),
            ValueType::U32 => Value::Unsigned(ty, cursor.u32()?.into()),
            ValueType::U64 => Value::Unsigned(ty, cursor.u64()?),
            ValueType::I8 => Value::Signed(ty, i8::from_le_bytes(cursor.array()?).into()),
            ValueType::I16 => Value::Signed(ty, i16::from_le_bytes(cursor.array()?).into()),
            ValueType::I32 => Value::Signed(ty, i32::from_le_bytes(cursor.array()?).into()),
            ValueType::I64 => Value::Signed(ty, i64::from_le_bytes(cursor.array()?)),
            ValueType::F32 => Value::F32(f32::from_le_bytes(cursor.array()?)),
            ValueType::F64 => Value::F64(f64::from_le_bytes(cursor.array()?)),
            ValueType::Bool => match cursor.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(Cause::Bool(other)),
            },
            ValueType::String => Value::String(cursor.string()?.to_owned()),
            ValueType::Array => Value::Array(read_array(cursor, MOST_NESTED)?),
        })
    }
}

/// Reads an array's header and walks over its elements, checking them; `depth` more levels may follow.
fn read_array(cursor: &mut Cursor, depth: usize) -> Result<Array, Cause> {
    if depth == 0 {
        return Err(Cause::Nesting(MOST_NESTED));
    }
    let id = cursor.u32()?;
    let element = ValueType::from_id(id).ok_or(Cause::UnknownValueType(id))?;
    let len = cursor.count(element.least_bytes())?;
    let start = cursor.offset();
    match element {
        ValueType::String => (0..len).try_for_each(|_| cursor.string().map(drop))?,
        ValueType::Array => (0..len).try_for_each(|_| read_array(cursor, depth - 1).map(drop))?,
        ValueType::Bool => (0..len).try_for_each(|_| Value::read(cursor, element).map(drop))?,
        // `count` has checked that this many fit.
        scalar => drop(cursor.take((len * scalar.least_bytes()) as u64)?),
    }
    Ok(Array { element, len, range: start..cursor.offset() })
}

/// An array with the file that holds it.
#[derive(Clone, Copy)]
pub struct ArrayView<'a> {
    pub(super) file: &'a [u8],
    pub(super) array: &'a Array,
}

impl<'a> ArrayView<'a> {
    pub fn len(&self) -> usize {
        self.array.len
    }

    pub fn is_empty(&self) -> bool {
        self.array.len == 0
    }

    pub fn element(&self) -> ValueType {
        self.array.element
    }

    /// The strings of an array of strings.
    ///
    /// # Errors
    /// If the elements have another type.
    pub fn strings(self) -> Result<impl Iterator<Item = &'a str>, Cause> {
        if self.array.element != ValueType::String {
            return Err(Cause::WrongType { expected: "an array of strings", actual: self.array.element });
        }
        let mut cursor = Cursor::at(self.file, self.array.range.start);
        // The walk at parse time has found every string whole.
        Ok((0..self.array.len).map_while(move |_| cursor.string().ok()))
    }

    /// The elements of an array of scalars, or of strings, one by one.
    pub fn values(self) -> impl Iterator<Item = Value> + use<'a> {
        let mut cursor = Cursor::at(self.file, self.array.range.start);
        let element = self.array.element;
        (0..self.array.len).map_while(move |_| Value::read(&mut cursor, element).ok())
    }

    /// The elements of an array of any integer type.
    ///
    /// # Errors
    /// If the elements are not integers, or one does not fit 64 signed bits.
    pub fn integers(self) -> Result<Vec<i64>, Cause> {
        self.values()
            .map(|value| match value {
                Value::Signed(_, v) => Ok(v),
                Value::Unsigned(_, v) => i64::try_from(v).map_err(|_| Cause::OutOfRange(v.to_string())),
                other => Err(Cause::WrongType { expected: "an array of integers", actual: other.value_type() }),
            })
            .collect()
    }

    /// The elements of an array of floating-point numbers.
    ///
    /// # Errors
    /// If the elements have another type.
    pub fn floats(self) -> Result<Vec<f32>, Cause> {
        self.values()
            .map(|value| match value {
                Value::F32(v) => Ok(v),
                Value::F64(v) => Ok(v as f32),
                other => Err(Cause::WrongType { expected: "an array of f32", actual: other.value_type() }),
            })
            .collect()
    }
}

/// Shows a scalar, a string (shortened), or the first elements of an array.
impl fmt::Display for ArrayView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        write!(f, "{} {}", self.len(), self.element())?;
        if self.element() == ValueType::Array {
            return Ok(());
        }
        f.write_str(" [")?;
        for (i, value) in self.values().take(SHOWN).enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match value {
                Value::String(s) => write!(f, "{comma}{:?}", shorten(&s))?,
                other => write!(f, "{comma}{other}")?,
            }
        }
        f.write_str(if self.len() > SHOWN { ", ...]" } else { "]" })
    }
}

/// Shows a scalar or a string; of an array only its length and type, as its elements lie in the file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unsigned(_, v) => write!(f, "{v}"),
            Value::Signed(_, v) => write!(f, "{v}"),
            Value::F32(v) => write!(f, "{v}"),
            Value::F64(v) => write!(f, "{v}"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::String(v) => f.write_str(v),
            Value::Array(v) => write!(f, "{} {}", v.len, v.element),
        }
    }
}

/// The first 40 characters.
fn shorten(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}
