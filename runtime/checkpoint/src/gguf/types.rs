//! The types of values and tensors that GGUF numbers.

use kforge_quant::{BlockFormat, Element};
use std::fmt;

/// Type of a metadata value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    /// In the order of their numbers in a file.
    const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::String,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    /// The type with number `id` in a file.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Its number in a file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// Minimum bytes of a value: for a string its length, for an array also its element type.
    pub(super) fn least_bytes(self) -> usize {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 | ValueType::String => 8,
            ValueType::Array => 12,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueType::U8 => "u8",
            ValueType::I8 => "i8",
            ValueType::U16 => "u16",
            ValueType::I16 => "i16",
            ValueType::U32 => "u32",
            ValueType::I32 => "i32",
            ValueType::F32 => "f32",
            ValueType::Bool => "bool",
            ValueType::String => "string",
            ValueType::Array => "array",
            ValueType::U64 => "u64",
            ValueType::I64 => "i64",
            ValueType::F64 => "f64",
        })
    }
}

/// Type of a tensor's elements: one of the types that GGML has numbered, whether or not we compute with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GgmlType {
    /// Its number in a file.
    pub id: u32,
    /// Its name, as llama.cpp prints it: `Q4_1`.
    pub name: &'static str,
    /// Elements in a block; 1 unless quantised.
    pub block: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

impl GgmlType {
    pub const F32: GgmlType = ggml(0, "F32", 1, 4);
    pub const F16: GgmlType = ggml(1, "F16", 1, 2);
    pub const BF16: GgmlType = ggml(30, "BF16", 1, 2);

    /// Sizes from ggml's type traits; gaps are numbers that GGML has retired.
    const ALL: [GgmlType; 33] = [
        Self::F32,
        Self::F16,
        ggml(2, "Q4_0", 32, 18),
        ggml(3, "Q4_1", 32, 20),
        ggml(6, "Q5_0", 32, 22),
        ggml(7, "Q5_1", 32, 24),
        ggml(8, "Q8_0", 32, 34),
        ggml(9, "Q8_1", 32, 36),
        ggml(10, "Q2_K", 256, 84),
        ggml(11, "Q3_K", 256, 110),
        ggml(12, "Q4_K", 256, 144),
        ggml(13, "Q5_K", 256, 176),
        ggml(14, "Q6_K", 256, 210),
        ggml(15, "Q8_K", 256, 292),
        ggml(16, "IQ2_XXS", 256, 66),
        ggml(17, "IQ2_XS", 256, 74),
        ggml(18, "IQ3_XXS", 256, 98),
        ggml(19, "IQ1_S", 256, 50),
        ggml(20, "IQ4_NL", 32, 18),
        ggml(21, "IQ3_S", 256, 110),
        ggml(22, "IQ2_S", 256, 82),
        ggml(23, "IQ4_XS", 256, 136),
        ggml(24, "I8", 1, 1),
        ggml(25, "I16", 1, 2),
        ggml(26, "I32", 1, 4),
        ggml(27, "I64", 1, 8),
        ggml(28, "F64", 1, 8),
        ggml(29, "IQ1_M", 256, 56),
        Self::BF16,
        ggml(34, "TQ1_0", 256, 54),
        ggml(35, "TQ2_0", 256, 66),
        ggml(39, "MXFP4", 32, 17),
        ggml(40, "NVFP4", 64, 36),
    ];

    /// The type with number `id` in a file.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.id == id)
    }

    /// The type of a block format.
    pub fn of_format(format: BlockFormat) -> Self {
        Self::from_id(format.ggml_id()).expect("GGML has numbered every block format")
    }

    /// The type of a weight's elements; `None` for integers, which no weight has.
    pub fn of(element: Element) -> Option<Self> {
        match element {
            Element::F32 => Some(Self::F32),
            Element::F16 => Some(Self::F16),
            Element::BF16 => Some(Self::BF16),
            Element::Quant(format) => Some(Self::of_format(format)),
            Element::I32 | Element::I64 | Element::Bool => None,
        }
    }

    /// The elements of a weight of this type, if kernels compute with them.
    pub fn element(self) -> Option<Element> {
        let blocks = BlockFormat::ALL.into_iter().map(Element::Quant);
        let floats = [Element::F32, Element::F16, Element::BF16];
        floats.into_iter().chain(blocks).find(|element| Self::of(*element) == Some(self))
    }

    /// The types that have an [`element`](Self::element), as an error about another type lists them.
    pub(crate) fn supported() -> String {
        format!("F32, F16, BF16, {}", BlockFormat::names().to_uppercase().replace(" AND ", " and "))
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

const fn ggml(id: u32, name: &'static str, block: usize, bytes: usize) -> GgmlType {
    GgmlType { id, name, block, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for id in 0..13 {
            assert_eq!(ValueType::from_id(id).map(ValueType::id), Some(id));
        }
        assert_eq!(ValueType::from_id(13), None);
        assert_eq!(GgmlType::from_id(12).map(|ty| ty.name), Some("Q4_K"));
        assert_eq!(GgmlType::from_id(4), None);
        assert!(GgmlType::ALL.is_sorted_by(|a, b| a.id < b.id));
    }

    /// The list here is ggml's; the table of `kforge_quant` must agree with it.
    #[test]
    fn block_formats_have_the_sizes_of_their_types() {
        for format in BlockFormat::ALL {
            let ty = GgmlType::of_format(format);
            assert_eq!(ty.name.to_lowercase(), format.name());
            assert_eq!((ty.block, ty.bytes), (format.block(), format.block_bytes()), "{format}");
        }
    }
}
