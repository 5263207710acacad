//! `gpu`: thread and workgroup ids, and barriers.

use super::{
    error::{Result, TranslateError},
    function::{Builtin, Expr, Function},
    types::Literal,
};
use melior::ir::operation::{OperationLike, OperationRef};

impl Function {
    pub(super) fn gpu(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        match name {
            "thread_id" => self.of_dimension(op, Builtin::ThreadId),
            "block_id" => self.of_dimension(op, Builtin::BlockId),
            "grid_dim" => self.of_dimension(op, Builtin::GridDim),
            "global_id" => self.of_dimension(op, Builtin::GlobalId),
            "block_dim" => self.block_dim(op),
            "lane_id" => self.of_subgroup(op, Builtin::LaneId),
            "subgroup_id" => self.of_subgroup(op, Builtin::SubgroupId),
            "subgroup_size" => self.of_subgroup(op, Builtin::SubgroupSize),
            "num_subgroups" => self.of_subgroup(op, Builtin::NumSubgroups),
            "barrier" => {
                let lines = match op.attribute("address_spaces") {
                    Ok(spaces) if spaces.to_string() == "[#gpu.address_space<workgroup>]" => &["workgroupBarrier();"],
                    Ok(_) => return self.unsupported(op, "it orders [#gpu.address_space<workgroup>], or all memory"),
                    Err(_) => self.barrier,
                };
                lines.iter().for_each(|line| self.line(line));
                Ok(())
            }
            _ => self.unsupported(op, "docs/gpu.md lists what has"),
        }
    }

    fn of_dimension(&mut self, op: OperationRef<'_, '_>, builtin: Builtin) -> Result<()> {
        let dimension = self.keyword(op, "dimension")?;
        self.builtins.insert(builtin);
        self.define(op, format!("i32({}.{dimension})", builtin.name()))
    }

    fn of_subgroup(&mut self, op: OperationRef<'_, '_>, builtin: Builtin) -> Result<()> {
        self.builtins.insert(builtin);
        self.features.subgroups = true;
        self.define(op, format!("i32({})", builtin.name()))
    }

    fn block_dim(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let dimension = self.keyword(op, "dimension")?;
        let axis = ["x", "y", "z"].iter().position(|axis| *axis == dimension);
        let size = axis.and_then(|axis| self.workgroup_size.get(axis)).copied();
        let size = size.ok_or_else(|| TranslateError::op(op, "has an unreadable 'dimension'"))?;
        let literal = Literal::int(i64::from(size)).map_err(|message| TranslateError::op(op, message))?;
        let (ty, result) = (self.result_type(op, 0)?, self.result(op, 0)?);
        self.bind(result, Expr::constant(vec![literal], ty));
        Ok(())
    }
}
