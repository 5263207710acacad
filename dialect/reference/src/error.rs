//! Errors in an op's operands.

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A tensor of a wrong shape or element type.
    #[error("{op}: {operand} must be {expected}, but is {actual}")]
    Operand { op: String, operand: &'static str, expected: String, actual: String },
    /// An element of an operand, `place` such as `ids[0, 3]`, with a value that the op cannot take.
    #[error("{op}: {place} is {value}, but must be {expected}")]
    Value { op: String, place: String, value: i64, expected: String },
    #[error("{op}: {attribute} must be {expected}, but is {actual}")]
    Attribute { op: String, attribute: &'static str, expected: String, actual: String },
    #[error("unknown element-wise op `{0}`")]
    UnknownOp(String),
    #[error("{op} takes {expected} operands, but got {actual}")]
    Operands { op: String, expected: usize, actual: usize },
    #[error("a tensor of {ty} has {expected} {unit}, but {actual} were given")]
    Length { ty: String, unit: &'static str, expected: usize, actual: usize },
    #[error("a tensor cannot be {ty}: {reason}")]
    Type { ty: String, reason: &'static str },
    #[error(transparent)]
    Quant(#[from] kforge_quant::Error),
}
