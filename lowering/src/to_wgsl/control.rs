//! `scf`: loops and branches.
//!
//! ```text
//! %r = scf.for %i = %c0 to %n step %c1         var v0 = 0.0f;
//!     iter_args(%a = %zero) -> (f32) {         for (var v1 = 0i; v1 < arguments.n; v1 += 1i) {
//!   %b = arith.addf %a, %x : f32                 let v2 = v0 + v3;
//!   scf.yield %b : f32                           v0 = v2;
//! }                                            }
//! ```
//! Results and iteration arguments are `var`s. A yield assigns them simultaneously: values that depend on another of
//! them are read first.

use super::{
    error::{Result, TranslateError},
    function::{Expr, Function},
    types::Type,
};
use kforge_dialect::ir::op_name;
use melior::ir::{
    BlockLike, RegionLike, Value,
    operation::{OperationLike, OperationRef},
};

impl Function {
    pub(super) fn scf(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        match name {
            "for" => self.for_loop(op),
            "while" => self.while_loop(op),
            "if" => self.branch(op),
            "index_switch" => self.switch(op),
            _ => self.unsupported(op, "scf.for, if, while and index_switch have"),
        }
    }

    /// Declares `var v = init;` and binds each of the values to it.
    fn variable<'c, 'a>(
        &mut self,
        op: OperationRef<'c, 'a>,
        init: Option<Expr>,
        values: &[Value<'c, 'a>],
    ) -> Result<Expr> {
        let value = *values.first().ok_or_else(|| TranslateError::op(op, "lacks a value"))?;
        let ty = self.type_of(op, value)?;
        let name = self.name_for(value);
        match init {
            Some(init) => self.line(format!("var {name} = {};", init.text)),
            None => self.line(format!("var {name}: {ty};")),
        }
        let expr = Expr::value(name, ty);
        for value in values {
            self.bind(*value, expr.clone());
        }
        Ok(expr)
    }

    /// Declares uninitialised variables for all results of an op.
    fn result_variables(&mut self, op: OperationRef<'_, '_>) -> Result<Vec<Expr>> {
        (0..op.result_count())
            .map(|i| {
                let result = self.result(op, i)?;
                self.variable(op, None, &[result])
            })
            .collect()
    }

    /// Assigns the operands of a terminator, from operand `first` on, to variables.
    fn assign(&mut self, terminator: OperationRef<'_, '_>, first: usize, variables: &[Expr]) -> Result<()> {
        let mut values = vec![];
        for i in 0..variables.len() {
            values.push(self.operand(terminator, first + i)?);
        }
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        for (i, value) in values.iter_mut().enumerate() {
            // Earlier assignments have changed the preceding variables, which this expression may use.
            let is_changed = variables.iter().take(i).any(|variable| variable.text == value.text);
            if is_changed || (i > 0 && !value.is_constant() && !is_name(&value.text)) {
                let name = self.names.value();
                self.line(format!("let {name} = {};", value.text));
                value.text = name;
            }
        }
        for (variable, value) in variables.iter().zip(values) {
            if variable.text != value.text {
                self.line(format!("{} = {};", variable.text, value.text));
            }
        }
        Ok(())
    }

    fn terminated<'c, 'a>(
        &mut self,
        op: OperationRef<'c, 'a>,
        region: usize,
        by: &str,
    ) -> Result<OperationRef<'c, 'a>> {
        let terminator = self.region(op, region)?;
        if op_name(&terminator) != by {
            return Err(TranslateError::op(terminator, format!("has no WGSL here; end the region with {by}")));
        }
        Ok(terminator)
    }

    fn argument<'c, 'a>(&self, op: OperationRef<'c, 'a>, region: usize, index: usize) -> Result<Value<'c, 'a>> {
        let block = self.block_of(op, region)?;
        let argument = if index < block.argument_count() { block.argument(index).ok() } else { None };
        argument.map(Value::from).ok_or_else(|| TranslateError::op(op, format!("lacks block argument {index}")))
    }

    fn for_loop(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let (from, to, step) = (self.operand(op, 0)?, self.operand(op, 1)?, self.operand(op, 2)?);
        let mut variables = vec![];
        for i in 0..op.result_count() {
            let init = self.operand(op, 3 + i)?;
            let (argument, result) = (self.argument(op, 0, 1 + i)?, self.result(op, i)?);
            variables.push(self.variable(op, Some(init), &[argument, result])?);
        }
        let induction = self.argument(op, 0, 0)?;
        let ty = self.type_of(op, induction)?;
        let index = Expr::value(self.name_for(induction), ty);
        self.bind(induction, index.clone());
        let condition = if op.has_attribute("unsignedCmp") {
            format!("{} < {}", index.unsigned(), to.unsigned())
        } else {
            format!("{} < {}", index.text, to.text)
        };
        let index = index.text;
        self.line(format!("for (var {index} = {}; {condition}; {index} += {}) {{", from.text, step.text));
        self.nested(|function| {
            let terminator = function.terminated(op, 0, "scf.yield")?;
            function.assign(terminator, 0, &variables)
        })?;
        self.line("}");
        Ok(())
    }

    fn while_loop(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let mut variables = vec![];
        for i in 0..op.operand_count() {
            let (init, argument) = (self.operand(op, i)?, self.argument(op, 0, i)?);
            variables.push(self.variable(op, Some(init), &[argument])?);
        }
        let mut results = vec![];
        for i in 0..op.result_count() {
            let (result, argument) = (self.result(op, i)?, self.argument(op, 1, i)?);
            results.push(self.variable(op, None, &[result, argument])?);
        }
        self.line("loop {");
        self.nested(|function| {
            let condition = function.terminated(op, 0, "scf.condition")?;
            let goes_on = function.operand(condition, 0)?;
            function.assign(condition, 1, &results)?;
            function.line(format!("if !({}) {{", goes_on.text));
            function.nested(|function| {
                function.line("break;");
                Ok(())
            })?;
            function.line("}");
            let terminator = function.terminated(op, 1, "scf.yield")?;
            function.assign(terminator, 0, &variables)
        })?;
        self.line("}");
        Ok(())
    }

    fn branch(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let condition = self.operand(op, 0)?;
        let results = self.result_variables(op)?;
        self.line(format!("if {} {{", condition.text));
        self.arm(op, 0, &results)?;
        let otherwise = op.region(1).map_err(|_| TranslateError::op(op, "lacks its second region"))?;
        // Without a block there is no `else`.
        if otherwise.first_block().is_some() {
            self.line("} else {");
            self.arm(op, 1, &results)?;
        }
        self.line("}");
        Ok(())
    }

    fn switch(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let value = self.operand(op, 0)?;
        let value = self.at_run_time(&value);
        let results = self.result_variables(op)?;
        let cases = self.integers(op, "cases")?;
        self.line(format!("switch {} {{", value.text));
        self.nested(|function| {
            for (i, case) in cases.iter().enumerate() {
                let ty = Type::Vector { scalar: super::types::Scalar::I32, lanes: 1 };
                let literal = super::types::Literal::int(*case).map_err(|m| TranslateError::op(op, m))?;
                function.line(format!("case {}: {{", Expr::constant(vec![literal], ty).text));
                function.arm(op, 1 + i, &results)?;
                function.line("}");
            }
            function.line("default: {");
            function.arm(op, 0, &results)?;
            function.line("}");
            Ok(())
        })?;
        self.line("}");
        Ok(())
    }

    fn arm(&mut self, op: OperationRef<'_, '_>, region: usize, results: &[Expr]) -> Result<()> {
        self.nested(|function| {
            let terminator = function.terminated(op, region, "scf.yield")?;
            function.assign(terminator, 0, results)
        })
    }
}
