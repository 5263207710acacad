//! `gpu`: shuffles and reductions across the lanes of a subgroup.

use super::{
    error::{Result, TranslateError},
    function::{Builtin, Expr, Function},
    types::{Scalar, Type},
};
use kforge_dialect::ir::{op_name, users};
use melior::ir::operation::{OperationLike, OperationRef};

impl Function {
    pub(super) fn subgroup(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        match op_name(&op).as_str() {
            "gpu.shuffle" => self.shuffle(op),
            "gpu.subgroup_reduce" => self.reduce(op),
            "gpu.subgroup_broadcast" => self.broadcast_lane(op),
            _ => self.unsupported(op, "reduce each subgroup, and their results through workgroup memory"),
        }
    }

    /// An operand of a type that lanes can exchange.
    fn exchanged(&mut self, op: OperationRef<'_, '_>) -> Result<Expr> {
        self.features.subgroups = true;
        let value = self.operand(op, 0)?;
        if value.ty == Type::Bytes || value.ty.scalar() == Scalar::Bool {
            return self.unsupported(op, "on this type; use i32, f32 or f16");
        }
        Ok(self.at_run_time(&value))
    }

    /// The second result is computed only if it is used: whether this lane and the one it reads are below the width.
    fn shuffle(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let value = self.exchanged(op)?;
        let (offset, width) = (self.operand(op, 1)?, self.operand(op, 2)?);
        let mode = self.keyword(op, "mode")?;
        let function = match mode.as_str() {
            "xor" => "subgroupShuffleXor",
            "up" => "subgroupShuffleUp",
            "down" => "subgroupShuffleDown",
            "idx" => "subgroupShuffle",
            _ => return Err(TranslateError::op(op, "has an unknown mode")),
        };
        self.define(op, format!("{function}({}, {})", value.text, offset.unsigned()))?;
        let valid = self.result(op, 1)?;
        if users(valid).is_empty() {
            return Ok(());
        }
        self.builtins.insert(Builtin::LaneId);
        let (offset, width) = (offset.unsigned(), width.unsigned());
        let source = match mode.as_str() {
            "xor" => format!("(lane_id ^ {offset}) < {width}"),
            "up" => format!("lane_id >= {offset}"),
            "down" => format!("(lane_id + {offset}) < {width}"),
            _ => format!("{offset} < {width}"),
        };
        self.define_result(op, 1, format!("(lane_id < {width}) & ({source})"))
    }

    fn reduce(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        if op.has_attribute("cluster_size") {
            return self.unsupported(op, "reduce clusters of lanes by gpu.shuffle xor");
        }
        let value = self.exchanged(op)?;
        let kind = self.keyword(op, "op")?;
        let function = match kind.as_str() {
            "add" => "subgroupAdd",
            "mul" => "subgroupMul",
            "minsi" | "minnumf" | "minimumf" | "minui" => "subgroupMin",
            "maxsi" | "maxnumf" | "maximumf" | "maxui" => "subgroupMax",
            "and" => "subgroupAnd",
            "or" => "subgroupOr",
            "xor" => "subgroupXor",
            _ => return Err(TranslateError::op(op, "has an unknown operation")),
        };
        if matches!(kind.as_str(), "minui" | "maxui") {
            return self.define(op, format!("{}({function}({}))", value.ty, value.unsigned()));
        }
        self.define(op, format!("{function}({})", value.text))
    }

    fn broadcast_lane(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let value = self.exchanged(op)?;
        if op.operand_count() < 2 {
            return self.define(op, format!("subgroupBroadcastFirst({})", value.text));
        }
        // `subgroupBroadcast` takes only a literal lane; a shuffle takes any lane.
        let lane = self.operand(op, 1)?;
        self.define(op, format!("subgroupShuffle({}, {})", value.text, lane.unsigned()))
    }
}
