//! `gpu.subgroup_mma_*`: cooperative matrices of a subgroup.
//!
//! A `!gpu.mma_matrix<16x16xf16, "AOp">` is a `coop_mat16x16<f16, A>`. Matrices are row-major in memory: `coopLoadT`
//! and `coopStoreT` access that, the plain functions its transpose. Which shapes and types are supported depends on the
//! device.

use super::{
    error::{Result, TranslateError},
    function::{Expr, Form, Function},
    types::{Literal, Type},
};
use kforge_dialect::ir::integer_attribute;
use melior::ir::operation::{OperationLike, OperationRef};

impl Function {
    pub(super) fn matrix(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        match name {
            "subgroup_mma_load_matrix" => {
                let ty = self.result_type(op, 0)?;
                let (pointer, stride) = (self.pointer(op, 0, ty)?, lead_dimension(op)?);
                let suffix = if op.has_attribute("transpose") { "" } else { "T" };
                self.define(op, format!("coopLoad{suffix}<{ty}>({pointer}, {stride})"))
            }
            "subgroup_mma_store_matrix" => {
                let value = self.operand(op, 0)?;
                let (pointer, stride) = (self.pointer(op, 1, value.ty)?, lead_dimension(op)?);
                let suffix = if op.has_attribute("transpose") { "" } else { "T" };
                self.line(format!("coopStore{suffix}({}, {pointer}, {stride});", value.text));
                Ok(())
            }
            "subgroup_mma_constant_matrix" => {
                let ty = self.result_type(op, 0)?;
                let value = self.operand(op, 0)?;
                if !is_zero(&value) {
                    return Err(TranslateError::op(
                        op,
                        "has no WGSL for a value but the constant 0.0; load the matrix",
                    ));
                }
                let result = self.result(op, 0)?;
                self.bind(result, Expr::value(format!("{ty}()"), ty));
                Ok(())
            }
            "subgroup_mma_compute" => {
                if op.has_attribute("a_transpose") || op.has_attribute("b_transpose") {
                    return self.unsupported(op, "transpose a factor where it is loaded, by 'transpose'");
                }
                let operands: Vec<String> =
                    (0..3).map(|i| self.operand(op, i).map(|operand| operand.text)).collect::<Result<_>>()?;
                self.define(op, format!("coopMultiplyAdd({})", operands.join(", ")))
            }
            _ => self.unsupported(op, "load, constant, compute and store have"),
        }
    }

    /// `&a[index]`, if the memref has the matrix's element type.
    fn pointer(&mut self, op: OperationRef<'_, '_>, memref: usize, matrix: Type) -> Result<String> {
        let value = self.operand_value(op, memref)?;
        let memory = self.memory(op, value)?;
        if memory.shape.in_rows {
            return Err(TranslateError::op(
                op,
                "has no WGSL on a memref of which vector.load or vector.store moves rows; use one of vectors",
            ));
        }
        // Vectors of that type are allowed too: a leading dimension counts the memref's elements.
        let is_right = matches!(memory.shape.element, Type::Vector { scalar, .. } if scalar == matrix.scalar());
        if !is_right {
            let scalar = matrix.scalar();
            return Err(TranslateError::op(
                op,
                format!("of {scalar} has no WGSL on this memref; use elements of {scalar}"),
            ));
        }
        Ok(format!("&{}", self.place(op, memref, memref + 1)?))
    }
}

fn lead_dimension(op: OperationRef<'_, '_>) -> Result<String> {
    let stride = integer_attribute(&op, "leadDimension").and_then(|stride| u32::try_from(stride).ok());
    stride.map(|stride| format!("{stride}u")).ok_or_else(|| TranslateError::op(op, "has a leadDimension out of range"))
}

fn is_zero(expr: &Expr) -> bool {
    let zero = |literal: &Literal| match literal {
        Literal::F32(value) => value.to_bits() == 0,
        Literal::F16(value) => value.to_bits() == 0,
        Literal::Int(value) => *value == 0,
        Literal::Bool(value) => !value,
    };
    match &expr.form {
        Form::Constant(literals) => literals.iter().all(zero),
        Form::Value | Form::Word => false,
    }
}
