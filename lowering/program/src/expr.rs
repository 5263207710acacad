//! Sizes that are known only when a call binds its dimensions.

use serde::{Deserialize, Serialize};

/// An integer expression over dimension symbols. All arithmetic is checked: an overflow is an error, not a wrap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expr {
    Const(i64),
    /// Index into `Function::symbols`.
    Sym(usize),
    Add(Box<Expr>, Box<Expr>),
    Mul(Box<Expr>, Box<Expr>),
    /// Division rounding up; the divisor is positive.
    CeilDiv(Box<Expr>, Box<Expr>),
}

/// Values of the symbols of one call.
pub type Symbols = [i64];
