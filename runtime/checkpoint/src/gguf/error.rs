//! Errors of GGUF files.

use super::ValueType;

/// A malformed or unsupported GGUF file: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Error {
    /// The part of the file: `the header`, ``metadata `llama.block_count` ``, ``tensor `output.weight` ``.
    pub place: String,
    pub cause: Cause,
}

/// What is wrong at a place of a GGUF file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Cause {
    #[error(
        "{need} bytes are needed at byte {offset}, but the file has only {have} left: it is truncated or damaged; \
         fetch it again"
    )]
    Truncated { offset: usize, need: u64, have: usize },
    #[error(
        "a count of {count} at byte {offset} cannot be right: {have} bytes are left, and each takes {least} or more"
    )]
    Count { offset: usize, count: u64, least: usize, have: usize },
    #[error("not a GGUF file: it starts with {0:02x?}, not with `GGUF`")]
    Magic([u8; 4]),
    #[error("GGUF version {0} is not supported; 2 and 3 are: convert the model again with a current converter")]
    Version(u32),
    #[error("big-endian GGUF files are not supported; convert the model again for a little-endian machine")]
    BigEndian,
    #[error("the string at byte {offset} is not valid UTF-8")]
    Utf8 { offset: usize },
    #[error("the name is empty")]
    EmptyName,
    #[error("the name appears twice")]
    Duplicate,
    #[error("unknown value type {0}; GGUF defines 0 to 12")]
    UnknownValueType(u32),
    #[error("a bool is stored as {0}; 0 and 1 are allowed")]
    Bool(u8),
    #[error("arrays are nested more than {0} deep")]
    Nesting(usize),
    #[error("the key is missing")]
    Missing,
    #[error("expected {expected}, found {actual}")]
    WrongType { expected: &'static str, actual: ValueType },
    #[error("the value {0} is out of range")]
    OutOfRange(String),
    #[error("an alignment of {0} is not a power of two")]
    Alignment(u32),
    #[error("the model is split into {0} files; open the first by its path, which ends with -00001-of-{0:05}.gguf")]
    Split(u64),
    #[error("this is file {number} of {count}; open the first")]
    Part { number: u64, count: u64 },
    #[error("{0} dimensions; 1 to 4 are allowed")]
    Rank(u32),
    #[error("dimension {axis} is zero")]
    ZeroDimension { axis: usize },
    #[error("dimensions {0:?} overflow a size in bytes")]
    SizeOverflow(Vec<u64>),
    #[error("unknown tensor type {0}")]
    UnknownTensorType(u32),
    #[error("rows of {columns} elements are not a whole number of {name} blocks of {block}")]
    PartialBlock { columns: u64, name: &'static str, block: usize },
    #[error("offset {offset} is not a multiple of the alignment, {alignment}")]
    Misaligned { offset: u64, alignment: u64 },
    #[error("its {bytes} bytes at offset {offset} end after the tensor data, which has {have} bytes")]
    PastEnd { offset: u64, bytes: u64, have: u64 },
    #[error("its data overlaps the data of tensor `{0}`")]
    Overlap(String),
}

impl Cause {
    /// This cause at a place.
    pub fn at(self, place: impl Into<String>) -> Error {
        Error { place: place.into(), cause: self }
    }
}
