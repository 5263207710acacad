//! Block-quantised weight formats, as GGUF files store them, and the order of rows that RoPE expects ([`RopeMode`]).
//!
//! A row of weights is cut into blocks. A block of 32 holds a scale `d`, in some formats a minimum `m`, and small
//! integers `q`; a weight is `d * q + m`. A block of 256, of a K format, is cut into sub-blocks again, each with a small
//! integer that scales `d` and, in two of them, another that scales `m`. The byte layouts are those of ggml
//! (`ggml-common.h`, `ggml-quants.c`):
//!
//! | format | weights | bytes in order | weight |
//! |---|---|---|---|
//! | q4_0 | 32 | d f16, nibbles 16 | d * (code - 8) |
//! | q4_1 | 32 | d f16, m f16, nibbles 16 | d * code + m |
//! | q5_0 | 32 | d f16, fifth bits u32, nibbles 16 | d * (code - 16) |
//! | q5_1 | 32 | d f16, m f16, fifth bits u32, nibbles 16 | d * code + m |
//! | q8_0 | 32 | d f16, bytes 32 | d * (code as i8) |
//! | q4_k | 8 of 32 | d f16, m f16, scales and minima 12, nibbles 128 | d * scale * code - m * minimum |
//! | q5_k | 8 of 32 | d f16, m f16, scales and minima 12, fifth bits 32, nibbles 128 | d * scale * code - m * minimum |
//! | q6_k | 16 of 16 | nibbles 128, upper bits 64, scales i8 16, d f16 | d * scale * (code - 32) |
//!
//! Everything is little-endian. Nibbles come in groups of 16 bytes (q4_k and q5_k 32, q6_k 64): the low halves hold as
//! many weights, the high halves the same number after them. Bit `j` of a block's fifth bits belongs to weight `j`; of
//! q5_k's, bit `j` of byte `i` to weight `32 j + i`; of q6_k's upper bits, bits `2 j` and `2 j + 1` of byte `i` to weight
//! `32 j + i` of 128. Scales and minima of q4_k and q5_k have six bits each (`block.rs`).

mod block;
mod rope;
mod row;

pub use block::Block;
pub use rope::{RopeMode, UnknownRopeMode};

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Activations that share a scale where they are rounded to 8 bits. The block of every format is a multiple.
pub const ACTIVATIONS: usize = 32;

/// A block format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(non_camel_case_types, reason = "the names are ggml's")]
pub enum BlockFormat {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

impl BlockFormat {
    /// Most weights in a block of any format.
    pub const MOST: usize = 256;

    pub const ALL: [BlockFormat; 8] = [
        BlockFormat::Q4_0,
        BlockFormat::Q4_1,
        BlockFormat::Q5_0,
        BlockFormat::Q5_1,
        BlockFormat::Q8_0,
        BlockFormat::Q4_K,
        BlockFormat::Q5_K,
        BlockFormat::Q6_K,
    ];

    /// Lower-case name, as the dialect spells it: `q4_1`.
    pub const fn name(self) -> &'static str {
        match self {
            BlockFormat::Q4_0 => "q4_0",
            BlockFormat::Q4_1 => "q4_1",
            BlockFormat::Q5_0 => "q5_0",
            BlockFormat::Q5_1 => "q5_1",
            BlockFormat::Q8_0 => "q8_0",
            BlockFormat::Q4_K => "q4_k",
            BlockFormat::Q5_K => "q5_k",
            BlockFormat::Q6_K => "q6_k",
        }
    }

    /// Weights in a block.
    pub const fn block(self) -> usize {
        match self {
            BlockFormat::Q4_K | BlockFormat::Q5_K | BlockFormat::Q6_K => 256,
            _ => 32,
        }
    }

    /// Weights that share a scale: the whole block, but for the K formats.
    pub const fn sub_block(self) -> usize {
        match self {
            BlockFormat::Q6_K => 16,
            _ => 32,
        }
    }

    /// Bits of one code.
    pub const fn bits(self) -> u32 {
        match self {
            BlockFormat::Q4_0 | BlockFormat::Q4_1 | BlockFormat::Q4_K => 4,
            BlockFormat::Q5_0 | BlockFormat::Q5_1 | BlockFormat::Q5_K => 5,
            BlockFormat::Q6_K => 6,
            BlockFormat::Q8_0 => 8,
        }
    }

    /// Whether a block stores a minimum, in q4_k and q5_k what scales those of its sub-blocks.
    pub const fn has_min(self) -> bool {
        matches!(self, BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q4_K | BlockFormat::Q5_K)
    }

    /// Whether sub-blocks have scales of their own.
    pub const fn has_scales(self) -> bool {
        self.sub_block() < self.block()
    }

    /// What is subtracted from an unsigned code: half its range where there is no minimum. Zero for q8_0, whose codes
    /// are signed already.
    pub const fn offset(self) -> u8 {
        match self {
            BlockFormat::Q4_0 => 8,
            BlockFormat::Q5_0 => 16,
            BlockFormat::Q6_K => 32,
            _ => 0,
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
        let scales = match self {
            BlockFormat::Q4_K | BlockFormat::Q5_K => 12,
            BlockFormat::Q6_K => 16,
            _ => 0,
        };
        2 + minimum + scales + self.block() * self.bits() as usize / 8
    }

    /// Bytes of a weight of `rows` x `columns`; none if `columns` is not a multiple of the block or the size overflows.
    pub const fn bytes(self, rows: usize, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(self.block()) {
            return None;
        }
        match (columns / self.block()).checked_mul(self.block_bytes()) {
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
    #[error("unknown block format `{0}`; the formats are q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k and q6_k")]
    UnknownFormat(String),
    #[error("{format}: {weights} weights are not a whole number of blocks of {}", .format.block())]
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
        assert_eq!(sizes, [18, 20, 22, 24, 34, 144, 176, 210]);
        assert_eq!(BlockFormat::Q4_1.bytes(576, 1536), Some(576 * 48 * 20));
        assert_eq!(BlockFormat::Q6_K.bytes(576, 1536), Some(576 * 6 * 210));
        assert_eq!(BlockFormat::Q8_0.bytes(0, 64), Some(0));
        assert_eq!(BlockFormat::Q8_0.bytes(3, 0), Some(0));
    }

    #[test]
    fn sizes_that_cannot_be_are_none() {
        assert_eq!(BlockFormat::Q4_0.bytes(1, 33), None);
        assert_eq!(BlockFormat::Q4_K.bytes(1, 32), None);
        assert_eq!(BlockFormat::Q6_K.bytes(usize::MAX / 200, 256), None);
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
        assert!(BlockFormat::ALL.iter().all(|format| format.block().is_multiple_of(ACTIVATIONS)));
    }
}
