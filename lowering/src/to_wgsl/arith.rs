//! `arith`: in MLIR the op has the signedness of integers, in WGSL the type does; see [`super::types`].

use super::{
    error::{Result, TranslateError},
    function::{Expr, Form, Function},
    types::{Scalar, Type},
};
use kforge_dialect::ir::{defining_op, integer_attribute, op_name, rounds_to_nearest_even, users};
use melior::ir::operation::OperationRef;

impl Function {
    pub(super) fn arith(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        match name {
            "constant" => self.constant(op),
            "addf" | "addi" => self.binary(op, "+"),
            "subf" | "subi" => self.binary(op, "-"),
            "mulf" => self.binary(op, "*"),
            "muli" if self.is_dot_product(op) => Ok(()),
            "muli" => self.binary(op, "*"),
            "divf" => self.binary(op, "/"),
            "negf" => {
                let [x] = self.operands_of(op)?;
                self.define(op, format!("-{}", x.text))
            }
            "andi" => self.binary(op, "&"),
            "ori" => self.binary(op, "|"),
            "xori" => {
                let is_bool = self.result_type(op, 0)?.scalar() == Scalar::Bool;
                self.binary(op, if is_bool { "!=" } else { "^" })
            }
            "divsi" => self.divide(op, "/", true),
            "remsi" => self.divide(op, "%", true),
            "divui" => self.divide(op, "/", false),
            "remui" => self.divide(op, "%", false),
            "shli" => self.shift(op, "<<", true),
            "shrsi" => self.shift(op, ">>", true),
            "shrui" => self.shift(op, ">>", false),
            "maxsi" | "maximumf" | "maxnumf" => self.call(op, "max"),
            "minsi" | "minimumf" | "minnumf" => self.call(op, "min"),
            "maxui" => self.unsigned_call(op, "max"),
            "minui" => self.unsigned_call(op, "min"),
            "cmpi" => self.compare_integers(op),
            "cmpf" => self.compare_floats(op),
            "select" => self.select(op),
            "index_cast" | "index_castui" => self.index_cast(op, name),
            "bitcast" => self.bitcast(op),
            "extsi" | "extui" | "trunci" | "sitofp" | "uitofp" | "fptosi" | "fptoui" | "extf" | "truncf" => {
                self.convert(op, name)
            }
            "ceildivsi" | "ceildivui" | "floordivsi" => self.unsupported(op, "expand it (--arith-expand)"),
            "remf" => self.unsupported(op, "subtract the quotient's integer part times the divisor"),
            _ => self.unsupported(op, "docs/gpu.md lists what has"),
        }
    }

    fn binary(&mut self, op: OperationRef<'_, '_>, operator: &str) -> Result<()> {
        let ty = self.result_type(op, 0)?;
        let is_logic = matches!(operator, "&" | "|" | "!=");
        if ty == Type::Bytes || (ty.scalar() == Scalar::Bool && !is_logic) {
            return Err(TranslateError::op(op, "has no WGSL on this type; extend it to i32"));
        }
        let [a, b] = self.operands_of(op)?;
        self.define(op, format!("{} {operator} {}", a.text, b.text))
    }

    fn call(&mut self, op: OperationRef<'_, '_>, function: &str) -> Result<()> {
        self.numbers_only(op)?;
        let [a, b] = self.operands_of(op)?;
        self.define(op, format!("{function}({}, {})", a.text, b.text))
    }

    fn unsigned_call(&mut self, op: OperationRef<'_, '_>, function: &str) -> Result<()> {
        let ty = self.numbers_only(op)?;
        let [a, b] = self.operands_of(op)?;
        self.define(op, format!("{ty}({function}({}, {}))", a.unsigned(), b.unsigned()))
    }

    fn divide(&mut self, op: OperationRef<'_, '_>, operator: &str, is_signed: bool) -> Result<()> {
        let ty = self.numbers_only(op)?;
        let [dividend, mut divisor] = self.operands_of(op)?;
        // WGSL rejects a constant divisor of zero, even in code that never runs.
        if divisor.is_constant() && divisor.as_int().is_none_or(|value| value == 0) {
            divisor = self.at_run_time(&divisor);
        }
        if is_signed {
            return self.define(op, format!("{} {operator} {}", dividend.text, divisor.text));
        }
        self.define(op, format!("{ty}({} {operator} {})", dividend.unsigned(), divisor.unsigned()))
    }

    fn shift(&mut self, op: OperationRef<'_, '_>, operator: &str, is_signed: bool) -> Result<()> {
        let ty = self.numbers_only(op)?;
        let [value, mut amount] = self.operands_of(op)?;
        // WGSL takes the shift amount modulo 32 and rejects a constant amount out of range; in MLIR the result is
        // poison.
        if amount.is_constant() && amount.as_int().is_none_or(|value| !(0..32).contains(&value)) {
            amount = self.at_run_time(&amount);
        }
        let amount = amount.unsigned();
        if is_signed {
            return self.define(op, format!("{} {operator} {amount}", value.text));
        }
        self.define(op, format!("{ty}({} {operator} {amount})", value.unsigned()))
    }

    fn compare_integers(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let [a, b] = self.operands_of(op)?;
        let predicate = integer_attribute(&op, "predicate");
        let predicate = predicate.ok_or_else(|| TranslateError::op(op, "has no predicate"))?;
        let operator = match predicate {
            0 => "==",
            1 => "!=",
            2 | 6 => "<",
            3 | 7 => "<=",
            4 | 8 => ">",
            5 | 9 => ">=",
            _ => return Err(TranslateError::op(op, "has an unknown predicate")),
        };
        if a.ty.scalar() == Scalar::Bool && predicate > 1 {
            return self.unsupported(op, "compare i1 by eq or ne");
        }
        if a.ty == Type::Bytes {
            return self.unsupported(op, "extend the bytes to i32");
        }
        let read = |value: &Expr| if predicate >= 6 { value.unsigned() } else { value.text.clone() };
        self.define(op, format!("{} {operator} {}", read(&a), read(&b)))
    }

    /// An unordered predicate is the negation of the opposite ordered one.
    fn compare_floats(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let [a, b] = self.operands_of(op)?;
        let (a, b) = (a.text, b.text);
        let comparison = match integer_attribute(&op, "predicate") {
            Some(1) => format!("{a} == {b}"),
            Some(2) => format!("{a} > {b}"),
            Some(3) => format!("{a} >= {b}"),
            Some(4) => format!("{a} < {b}"),
            Some(5) => format!("{a} <= {b}"),
            Some(6) => format!("({a} < {b}) | ({a} > {b})"),
            Some(7) => format!("({a} == {a}) & ({b} == {b})"),
            Some(8) => format!("!(({a} < {b}) | ({a} > {b}))"),
            Some(9) => format!("!({a} <= {b})"),
            Some(10) => format!("!({a} < {b})"),
            Some(11) => format!("!({a} >= {b})"),
            Some(12) => format!("!({a} > {b})"),
            Some(13) => format!("{a} != {b}"),
            Some(14) => format!("({a} != {a}) | ({b} != {b})"),
            _ => return self.unsupported(op, "write the constant that the predicate stands for"),
        };
        self.define(op, comparison)
    }

    fn select(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        if let Type::Matrix { .. } = self.result_type(op, 0)? {
            return self.unsupported(op, "use scf.if");
        }
        let [condition, a, b] = self.operands_of(op)?;
        if a.ty == Type::Bytes && condition.lanes() > 1 {
            return self.unsupported(op, "extend the bytes to i32");
        }
        self.define(op, format!("select({}, {}, {})", b.text, a.text, condition.text))
    }

    /// Between i32 and index, which are the same WGSL type.
    fn index_cast(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        let operand = self.operand(op, 0)?;
        if operand.ty.scalar() == Scalar::Bool {
            return self.convert(op, if name == "index_cast" { "extsi" } else { "extui" });
        }
        let ty = self.result_type(op, 0)?;
        let result = self.result(op, 0)?;
        if ty != operand.ty {
            return self.convert(op, "trunci");
        }
        self.bind(result, operand);
        Ok(())
    }

    fn bitcast(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let ty = self.result_type(op, 0)?;
        let [value] = self.operands_of(op)?;
        let is_word = |scalar| matches!(scalar, Scalar::I32 | Scalar::F32);
        if ty == Type::Bytes || !is_word(value.ty.scalar()) || !is_word(ty.scalar()) {
            return self.unsupported(op, "cast between i32 and f32; use vector.bitcast for halves and bytes");
        }
        self.define(op, format!("bitcast<{ty}>({})", value.text))
    }

    fn convert(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        if !rounds_to_nearest_even(&op) {
            return self.unsupported(op, "round to nearest even, without a rounding mode");
        }
        if name == "extf" {
            let value = self.operand_value(op, 0)?;
            let word = self.read_any(op, value)?;
            let ty = self.result_type(op, 0)?;
            if word.form == Form::Word && ty == (Type::Vector { scalar: Scalar::F32, lanes: 2 }) {
                return self.define(op, format!("unpack2x16float({})", word.unsigned()));
            }
        }
        if matches!(name, "extsi" | "extui") && self.is_dot_operand(op) {
            return Ok(());
        }
        if name == "truncf" && self.is_packed(op) {
            return self.pack_halves(op);
        }
        let to = self.result_type(op, 0)?;
        let [operand] = self.operands_of(op)?;
        let (from, value) = (operand.ty, &operand.text);
        let text = match (name, from, to) {
            ("extsi", Type::Bytes, _) => format!("unpack4xI8({})", operand.unsigned()),
            ("extui", Type::Bytes, _) => format!("vec4<i32>(unpack4xU8({}))", operand.unsigned()),
            // The low bytes are kept, whatever the sign.
            ("trunci", _, Type::Bytes) => format!("i32(pack4xI8({value}))"),
            (_, Type::Bytes, _) | (_, _, Type::Bytes) => return self.unsupported(op, "convert bytes by way of i32"),
            ("trunci", _, _) if to.scalar() == Scalar::Bool => {
                let lanes = operand.lanes();
                let of = |n: u32| if lanes == 1 { format!("{n}i") } else { format!("vec{lanes}<i32>({n}i)") };
                format!("({value} & {}) != {}", of(1), of(0))
            }
            ("extsi" | "extui" | "sitofp" | "uitofp", _, _) if from.scalar() == Scalar::Bool => {
                let one = if matches!(name, "extui" | "uitofp") { "1" } else { "-1" };
                format!("select({to}(0), {to}({one}), {value})")
            }
            ("uitofp", _, _) => format!("{to}({})", operand.unsigned()),
            ("fptoui", _, _) if to.scalar() == Scalar::I32 => match operand.lanes() {
                1 => format!("{to}(u32({value}))"),
                lanes => format!("{to}(vec{lanes}<u32>({value}))"),
            },
            ("sitofp" | "fptosi" | "extf" | "truncf", _, _) if to.scalar() != Scalar::Bool => format!("{to}({value})"),
            _ => return self.unsupported(op, "on these types; use i32, index, i1, f32 and f16"),
        };
        self.define(op, text)
    }

    /// Checks that operands are integers, not booleans or packed bytes; returns their type.
    fn numbers_only(&mut self, op: OperationRef<'_, '_>) -> Result<Type> {
        let ty = self.result_type(op, 0)?;
        if ty == Type::Bytes || ty.scalar() == Scalar::Bool {
            return Err(TranslateError::op(op, "has no WGSL on this type; extend it to i32"));
        }
        Ok(ty)
    }

    /// Whether a product of bytes is only used by `vector.reduction <add>`, which then becomes a dot product of words.
    fn is_dot_product(&self, multiply: OperationRef<'_, '_>) -> bool {
        let Some(result) = kforge_dialect::ir::first_result(&multiply) else { return false };
        let users = users(result);
        let [user] = users[..] else { return false };
        op_name(&user) == "vector.reduction"
            && self.keyword(user, "kind").is_ok_and(|kind| kind == "add")
            && self.dot_operands(multiply).is_some()
    }

    /// The packed bytes that a product multiplies, and whether they are signed.
    pub(super) fn dot_operands<'c, 'a>(
        &self,
        multiply: OperationRef<'c, 'a>,
    ) -> Option<(OperationRef<'c, 'a>, OperationRef<'c, 'a>, bool)> {
        let extension = |index| {
            let op = defining_op(kforge_dialect::ir::operand(&multiply, index)?)?;
            let from = Type::of(melior::ir::ValueLike::r#type(&kforge_dialect::ir::operand(&op, 0)?)).ok()?;
            (from == Type::Bytes).then_some(op)
        };
        let (a, b) = (extension(0)?, extension(1)?);
        match (op_name(&a).as_str(), op_name(&b).as_str()) {
            ("arith.extsi", "arith.extsi") => Some((a, b, true)),
            ("arith.extui", "arith.extui") => Some((a, b, false)),
            _ => None,
        }
    }

    /// Whether extended bytes are only used in dot products.
    fn is_dot_operand(&self, extension: OperationRef<'_, '_>) -> bool {
        let Some(result) = kforge_dialect::ir::first_result(&extension) else { return false };
        let users = users(result);
        !users.is_empty() && users.iter().all(|user| op_name(user) == "arith.muli" && self.is_dot_product(*user))
    }

    /// Whether two f16 are only used as a 32-bit word.
    fn is_packed(&mut self, op: OperationRef<'_, '_>) -> bool {
        let Some(result) = kforge_dialect::ir::first_result(&op) else { return false };
        let users = users(result);
        matches!(self.result_type(op, 0), Ok(Type::Vector { scalar: Scalar::F16, lanes: 2 }))
            && !users.is_empty()
            && users.iter().all(|user| op_name(user) == "vector.bitcast")
    }

    fn pack_halves(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let [value] = self.operands_of(op)?;
        let result = self.result(op, 0)?;
        let name = self.name_for(result);
        self.line(format!("let {name} = i32(pack2x16float({}));", value.text));
        let ty = Type::Vector { scalar: Scalar::F16, lanes: 2 };
        self.bind(result, Expr { text: name, ty, form: Form::Word });
        Ok(())
    }
}
