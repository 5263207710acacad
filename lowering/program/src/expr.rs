//! Expressions for sizes that are known only when a call binds its dimensions.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An integer expression over dimension symbols. Evaluation is checked: overflow is an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expr {
    Const(i64),
    /// Index into `Function::symbols`.
    Sym(usize),
    Add(Box<Expr>, Box<Expr>),
    Mul(Box<Expr>, Box<Expr>),
    /// Division rounding up; the divisor is positive.
    CeilDiv(Box<Expr>, Box<Expr>),
    Max(Box<Expr>, Box<Expr>),
}

/// Values of the symbols of one call.
pub type Symbols = [i64];

impl Expr {
    pub fn plus(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Const(a), Expr::Const(b)) => Expr::Const(a.saturating_add(b)),
            (Expr::Const(0), e) | (e, Expr::Const(0)) => e,
            (a, b) => Expr::Add(Box::new(a), Box::new(b)),
        }
    }

    /// A product in canonical form, constants first, so that equal sizes compare equal.
    pub fn times(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Const(a), Expr::Const(b)) => Expr::Const(a.saturating_mul(b)),
            (Expr::Const(0), _) | (_, Expr::Const(0)) => Expr::Const(0),
            (Expr::Const(1), e) | (e, Expr::Const(1)) => e,
            (Expr::Const(a), Expr::Mul(b, c)) | (Expr::Mul(b, c), Expr::Const(a)) if matches!(*b, Expr::Const(_)) => {
                b.times(Expr::Const(a)).times(*c)
            }
            (e, Expr::Const(a)) => Expr::Mul(Box::new(Expr::Const(a)), Box::new(e)),
            (Expr::Mul(b, c), e) if matches!(*b, Expr::Const(_)) => b.times(c.times(e)),
            (e, Expr::Mul(b, c)) if matches!(*b, Expr::Const(_)) => b.times(e.times(*c)),
            (a, b) => Expr::Mul(Box::new(a), Box::new(b)),
        }
    }

    pub fn ceil_div(self, divisor: Expr) -> Expr {
        match (self, divisor) {
            (e, Expr::Const(1)) => e,
            (Expr::Const(a), Expr::Const(b)) if b > 0 => Expr::Const(ceil_div(a, b)),
            (a, b) => Expr::CeilDiv(Box::new(a), Box::new(b)),
        }
    }

    /// The larger of two sizes; neither is negative.
    pub fn max(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Const(a), Expr::Const(b)) => Expr::Const(a.max(b)),
            (Expr::Const(0), e) | (e, Expr::Const(0)) => e,
            (a, b) if a == b => a,
            (a, b) => Expr::Max(Box::new(a), Box::new(b)),
        }
    }

    pub fn as_const(&self) -> Option<i64> {
        if let Expr::Const(c) = self { Some(*c) } else { None }
    }

    /// The constant factor and the remaining factor: `4 * S` is (4, S).
    pub fn factored(&self) -> (i64, Expr) {
        match self {
            Expr::Const(c) => (*c, Expr::Const(1)),
            Expr::Mul(a, b) if a.as_const().is_some() => (a.as_const().unwrap_or(1), (**b).clone()),
            e => (1, e.clone()),
        }
    }

    /// Evaluates the expression for given symbols.
    ///
    /// # Errors
    /// If it overflows, divides by zero or uses an unbound symbol; the error names the expression.
    pub fn eval(&self, symbols: &Symbols) -> Result<i64, String> {
        let value = match self {
            Expr::Const(c) => Some(*c),
            Expr::Sym(i) => symbols.get(*i).copied(),
            Expr::Add(a, b) => a.eval(symbols)?.checked_add(b.eval(symbols)?),
            Expr::Mul(a, b) => a.eval(symbols)?.checked_mul(b.eval(symbols)?),
            Expr::CeilDiv(a, b) => {
                let (a, b) = (a.eval(symbols)?, b.eval(symbols)?);
                (b > 0).then(|| ceil_div(a, b))
            }
            Expr::Max(a, b) => Some(a.eval(symbols)?.max(b.eval(symbols)?)),
        };
        value.ok_or_else(|| format!("the size {self} has no value for dimensions {symbols:?}"))
    }

    /// The largest symbol index used, if any.
    pub fn max_symbol(&self) -> Option<usize> {
        match self {
            Expr::Const(_) => None,
            Expr::Sym(i) => Some(*i),
            Expr::Add(a, b) | Expr::Mul(a, b) | Expr::CeilDiv(a, b) | Expr::Max(a, b) => {
                a.max_symbol().max(b.max_symbol())
            }
        }
    }
}

fn ceil_div(a: i64, b: i64) -> i64 {
    a.div_euclid(b) + i64::from(a.rem_euclid(b) != 0)
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Expr::Const(c) => write!(f, "{c}"),
            Expr::Sym(i) => write!(f, "s{i}"),
            Expr::Add(a, b) => write!(f, "({a} + {b})"),
            Expr::Mul(a, b) => write!(f, "{a}*{b}"),
            Expr::CeilDiv(a, b) => write!(f, "ceil({a} / {b})"),
            Expr::Max(a, b) => write!(f, "max({a}, {b})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Expr::{self, Const, Sym};

    #[test]
    fn products_are_canonical() {
        let a = Const(4).times(Sym(0)).times(Const(576));
        let b = Sym(0).times(Const(576)).times(Const(4));
        assert_eq!(a, b);
        assert_eq!(a.factored(), (2304, Sym(0)));
        assert_eq!(a.to_string(), "2304*s0");
    }

    #[test]
    fn evaluation_is_checked() {
        assert_eq!(Sym(0).ceil_div(Const(16)).eval(&[17]), Ok(2));
        assert!(Sym(0).times(Sym(0)).eval(&[i64::MAX]).is_err());
        assert!(Sym(1).eval(&[1]).is_err());
        assert!(Expr::CeilDiv(Box::new(Const(1)), Box::new(Sym(0))).eval(&[0]).is_err());
    }
}
