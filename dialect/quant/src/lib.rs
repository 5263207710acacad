//! Block-quantised weight formats, as GGUF files store them.
//!
//! A row of weights is cut into blocks of 32. A block holds a scale `d`, in some formats a minimum `m`, and 32 small
//! integers `q`; a weight is `d * q + m`. The byte layouts are those of ggml (`ggml-common.h`, `ggml-quants.c`):
//!
//! | format | bytes in order | weight |
//! |---|---|---|
//! | q4_0 | d f16, nibbles 16 | d * (code - 8) |
//! | q4_1 | d f16, m f16, nibbles 16 | d * code + m |
//! | q5_0 | d f16, fifth bits u32, nibbles 16 | d * (code - 16) |
//! | q5_1 | d f16, m f16, fifth bits u32, nibbles 16 | d * code + m |
//! | q8_0 | d f16, bytes 32 | d * (code as i8) |
//!
//! Everything is little-endian. Byte `j` of the nibbles holds weight `j` in its low half and weight `j + 16` in its high
//! half; bit `j` of the fifth bits belongs to weight `j`.

mod block;
mod row;

pub use block::Block;

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A block format of 32 weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockFormat {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
}

impl BlockFormat {
    /// Weights in a block, in every format.
    pub const BLOCK: usize = 32;

    pub const ALL: [BlockFormat; 5] =
        [BlockFormat::Q4_0, BlockFormat::Q4_1, BlockFormat::Q5_0, BlockFormat::Q5_1, BlockFormat::Q8_0];

    /// Lower-case name, as the dialect spells it: `q4_1`.
    pub const fn name(self) -> &'static str {
        match self {
            BlockFormat::Q4_0 => "q4_0",
            BlockFormat::Q4_1 => "q4_1",
            BlockFormat::Q5_0 => "q5_0",
            BlockFormat::Q5_1 => "q5_1",
            BlockFormat::Q8_0 => "q8_0",
        }
    }

    /// Bits of one code.
    pub const fn bits(self) -> u32 {
        match self {
            BlockFormat::Q4_0 | BlockFormat::Q4_1 => 4,
            BlockFormat::Q5_0 | BlockFormat::Q5_1 => 5,
            BlockFormat::Q8_0 => 8,
        }
    }

    /// Whether a block stores a minimum.
    pub const fn has_min(self) -> bool {
        matches!(self, BlockFormat::Q4_1 | BlockFormat::Q5_1)
    }

    /// What is subtracted from an unsigned code: half its range where there is no minimum. Zero for q8_0, whose codes
    /// are signed already.
    pub const fn offset(self) -> u8 {
        match self {
            BlockFormat::Q4_0 => 8,
            BlockFormat::Q5_0 => 16,
            BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q8_0 => 0,
        }
    }

    /// The integer `q` that a stored code stands for.
    pub const fn integer(self, code: u8) -> i32 {
        match self {
            BlockFormat::Q8_0 => code as i8 as i32,
            _ => code as i32 - self.offset() as i32,
        }
    }

    /// Bytes of a block in a file.
    pub const fn block_bytes(self) -> usize {
        let minimum = if self.has_min() { 2 } else { 0 };
        2 + minimum + Self::BLOCK * self.bits() as usize / 8
    }

    /// Bytes of a weight of `rows` x `columns`; none if `columns` is not a multiple of the block or the size overflows.
    pub const fn bytes(self, rows: usize, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(Self::BLOCK) {
            return None;
        }
        match (columns / Self::BLOCK).checked_mul(self.block_bytes()) {
            Some(row) => row.checked_mul(rows),
            None => None,
        }
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for BlockFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| Error::UnknownFormat(name.to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unknown block format `{0}`; the formats are q4_0, q4_1, q5_0, q5_1 and q8_0")]
    UnknownFormat(String),
    #[error("{format}: {weights} weights are not a whole number of blocks of 32")]
    PartialBlock { format: BlockFormat, weights: usize },
    #[error("{format}: {weights} weights take {expected} bytes, but there are {actual}")]
    Length { format: BlockFormat, weights: usize, expected: usize, actual: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_ggmls() {
        let sizes = BlockFormat::ALL.map(BlockFormat::block_bytes);
        assert_eq!(sizes, [18, 20, 22, 24, 34]);
        assert_eq!(BlockFormat::Q4_1.bytes(576, 1536), Some(576 * 48 * 20));
        assert_eq!(BlockFormat::Q8_0.bytes(0, 64), Some(0));
        assert_eq!(BlockFormat::Q8_0.bytes(3, 0), Some(0));
    }

    #[test]
    fn sizes_that_cannot_be_are_none() {
        assert_eq!(BlockFormat::Q4_0.bytes(1, 33), None);
        assert_eq!(BlockFormat::Q4_0.bytes(usize::MAX, 32), None);
        assert_eq!(BlockFormat::Q8_0.bytes(1, usize::MAX - 31), None);
    }

    #[test]
    fn names_round_trip() {
        for format in BlockFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
        }
        assert_eq!("Q4_K".parse::<BlockFormat>(), Err(Error::UnknownFormat("Q4_K".into())));
    }
}
