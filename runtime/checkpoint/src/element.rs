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
    /// The supported types, for errors about other types.
    pub(crate) const SUPPORTED: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K";

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
            Element::Quant(BlockFormat::Q4_0) => GgmlType::Q4_0,
            Element::Quant(BlockFormat::Q4_1) => GgmlType::Q4_1,
            Element::Quant(BlockFormat::Q5_0) => GgmlType::Q5_0,
            Element::Quant(BlockFormat::Q5_1) => GgmlType::Q5_1,
            Element::Quant(BlockFormat::Q8_0) => GgmlType::Q8_0,
            Element::Quant(BlockFormat::Q4_K) => GgmlType::Q4_K,
            Element::Quant(BlockFormat::Q5_K) => GgmlType::Q5_K,
            Element::Quant(BlockFormat::Q6_K) => GgmlType::Q6_K,
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
