//! Block-quantised weight formats, as GGUF files store them, and the order of rows that RoPE expects ([`RopeMode`]).
//!
//! A row of weights is cut into blocks. A block of 32 holds a scale `d`, in some formats a minimum `m`, and small
//! integers `q`; a weight is `d * q + m`. A block of 256 is cut into sub-blocks again, each with a small
//! integer that scales `d` and, in some formats, another that scales `m`. [`BlockFormat`] lists the formats and their
//! bytes; to add one is to add its row to the table in `format.rs`.

mod block;
mod element;
mod format;
mod rope;
mod row;
mod scales;

pub use block::Block;
pub use element::Element;
pub use format::{BlockFormat, Scale, Values};
pub use rope::{RopeMode, UnknownRopeMode};
pub use scales::Scales;

/// Activations that share a scale where they are rounded to 8 bits. The block of every format is a multiple.
pub const ACTIVATIONS: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unknown block format `{0}`; the formats are {formats}", formats = BlockFormat::names())]
    UnknownFormat(String),
    #[error("{format}: {weights} weights are not a whole number of blocks of {}", .format.block())]
    PartialBlock { format: BlockFormat, weights: usize },
    #[error("{format}: {weights} weights take {expected} bytes, but there are {actual}")]
    Length { format: BlockFormat, weights: usize, expected: usize, actual: usize },
}
