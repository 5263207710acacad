//! The ops of the dialect by name.

use melior::ir::operation::OperationLike;
use std::fmt;

/// An op of the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Embedding,
    Linear,
    Matmul,
    RmsNorm,
    LayerNorm,
    Softmax,
    Quantize,
    TopK,
    Gelu,
    Silu,
    Scale,
    Softcap,
    Swiglu,
    Rope,
    Attention,
    KvUpdate,
    Mlp,
    DecoderBlock,
    Fused,
    Yield,
    Launch,
    Check,
}

impl Op {
    pub const ALL: [Op; 22] = [
        Op::Embedding,
        Op::Linear,
        Op::Matmul,
        Op::RmsNorm,
        Op::LayerNorm,
        Op::Softmax,
        Op::Quantize,
        Op::TopK,
        Op::Gelu,
        Op::Silu,
        Op::Scale,
        Op::Softcap,
        Op::Swiglu,
        Op::Rope,
        Op::Attention,
        Op::KvUpdate,
        Op::Mlp,
        Op::DecoderBlock,
        Op::Fused,
        Op::Yield,
        Op::Launch,
        Op::Check,
    ];

    /// The name with the dialect's, as in the text of a module.
    pub const fn name(self) -> &'static str {
        match self {
            Op::Embedding => "transformer.embedding",
            Op::Linear => "transformer.linear",
            Op::Matmul => "transformer.matmul",
            Op::RmsNorm => "transformer.rms_norm",
            Op::LayerNorm => "transformer.layer_norm",
            Op::Softmax => "transformer.softmax",
            Op::Quantize => "transformer.quantize",
            Op::TopK => "transformer.top_k",
            Op::Gelu => "transformer.gelu",
            Op::Silu => "transformer.silu",
            Op::Scale => "transformer.scale",
            Op::Softcap => "transformer.softcap",
            Op::Swiglu => "transformer.swiglu",
            Op::Rope => "transformer.rope",
            Op::Attention => "transformer.attention",
            Op::KvUpdate => "transformer.kv_update",
            Op::Mlp => "transformer.mlp",
            Op::DecoderBlock => "transformer.decoder_block",
            Op::Fused => "transformer.fused",
            Op::Yield => "transformer.yield",
            Op::Launch => "transformer.launch",
            Op::Check => "transformer.check",
        }
    }

    /// The op of a full name; `None` for those of other dialects.
    pub fn named(name: &str) -> Option<Op> {
        // Most names are of other dialects.
        name.strip_prefix("transformer.").and_then(|_| Op::ALL.into_iter().find(|op| op.name() == name))
    }

    /// Which op of the dialect an operation is; `None` for those of other dialects.
    pub fn of<'c: 'a, 'a>(operation: &impl OperationLike<'c, 'a>) -> Option<Op> {
        operation.name().as_string_ref().as_str().ok().and_then(Op::named)
    }

    /// Whether an operation is this op.
    pub fn is<'c: 'a, 'a>(self, operation: &impl OperationLike<'c, 'a>) -> bool {
        operation.name().as_string_ref().as_str() == Ok(self.name())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_of_the_definition_has_a_name_here() {
        let definition = include_str!("../include/Transformer.td");
        let defined: Vec<_> = ["Transformer_Op<\"", "Transformer_TensorOp<\""]
            .iter()
            .flat_map(|class| definition.split(class).skip(1).filter_map(|rest| rest.split('"').next()))
            .collect();
        assert_eq!(defined.len(), Op::ALL.len());
        assert!(defined.iter().all(|name| Op::named(&format!("transformer.{name}")).is_some()), "{defined:?}");
    }
}
