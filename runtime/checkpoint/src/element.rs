//! The elements of weights.

use crate::gguf::GgmlType;
use kforge_quant::BlockFormat;
use safetensors::Dtype;
use std::fmt;

/// Element type of a weight that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    F32,
    F16,
    BF16,
    /// Blocks along the columns.
    Quant(BlockFormat),
}

impl Element {
    /// The GGML types that we compute with, as an error about another type lists them.
    pub(crate) fn supported() -> String {
        format!("F32, F16, BF16, {}", BlockFormat::names().to_uppercase().replace(" AND ", " and "))
    }

    /// The element of a GGML type, if we compute with it.
    pub fn of_ggml(ty: GgmlType) -> Option<Self> {
        let blocks = BlockFormat::ALL.into_iter().map(Element::Quant);
        [Element::F32, Element::F16, Element::BF16].into_iter().chain(blocks).find(|element| element.ggml() == ty)
    }

    /// Its GGML type.
    pub fn ggml(self) -> GgmlType {
        match self {
            Element::F32 => GgmlType::F32,
            Element::F16 => GgmlType::F16,
            Element::BF16 => GgmlType::BF16,
            Element::Quant(format) => GgmlType::of_format(format),
        }
    }

    /// The element of a safetensors type, if we compute with it.
    pub fn of_safetensors(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Element::F32),
            Dtype::F16 => Some(Element::F16),
            Dtype::BF16 => Some(Element::BF16),
            _ => None,
        }
    }

    /// Its safetensors type; none for blocks, which the format does not have.
    pub fn safetensors(self) -> Option<Dtype> {
        match self {
            Element::F32 => Some(Dtype::F32),
            Element::F16 => Some(Dtype::F16),
            Element::BF16 => Some(Dtype::BF16),
            Element::Quant(_) => None,
        }
    }

    /// Bytes of a row of `columns`; none for a part of a block, or if the size overflows.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        match self {
            Element::F32 => columns.checked_mul(4),
            Element::F16 | Element::BF16 => columns.checked_mul(2),
            Element::Quant(format) => format.bytes(1, columns),
        }
    }
}

/// Lower-case name, as in the dialect: `bf16`, `q4_1`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::BF16 => "bf16",
            Element::Quant(format) => format.name(),
        })
    }
}
