//! `math`: functions that WGSL has as built-ins.

use super::{
    error::Result,
    function::Function,
    types::{Scalar, Type},
};
use melior::ir::operation::OperationRef;

impl Function {
    pub(super) fn math(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        let function = match name {
            "absf" | "absi" => "abs",
            "acos" | "acosh" | "asin" | "asinh" | "atan" | "atan2" | "atanh" | "ceil" | "cos" | "cosh" | "exp"
            | "exp2" | "floor" | "fma" | "log" | "log2" | "sin" | "sinh" | "sqrt" | "tan" | "trunc" => name,
            "roundeven" => "round",
            "rsqrt" => "inverseSqrt",
            "ctlz" => "countLeadingZeros",
            "ctpop" => "countOneBits",
            "cttz" => "countTrailingZeros",
            "tanh" => return self.tanh(op),
            "round" => return self.unsupported(op, "WGSL rounds halves to even: use math.roundeven"),
            "powf" => return self.unsupported(op, "WGSL's pow has no negative bases: use math.exp2 and math.log2"),
            "erf" | "erfc" => return self.unsupported(op, "write it as arithmetic"),
            _ => return self.unsupported(op, "docs/gpu.md lists what has"),
        };
        let ty = self.result_type(op, 0)?;
        if ty == Type::Bytes || ty.scalar() == Scalar::Bool {
            return self.unsupported(op, "on this type; extend it to i32");
        }
        let operands: Vec<String> = self.operands(op)?.into_iter().map(|o| o.text).collect();
        self.define(op, format!("{function}({})", operands.join(", ")))
    }

    /// Metal's tanh is computed from exponentials and overflows to NaN. Beyond 10 the result is 1, in f32 and in f16.
    fn tanh(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let [x] = self.operands_of(op)?;
        let ty = self.result_type(op, 0)?;
        self.define(op, format!("tanh(clamp({}, {ty}(-10.0), {ty}(10.0)))", x.text))
    }
}
