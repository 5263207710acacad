//! What a function does to its numbers, counted in its ops: how far right answers may be apart follows from it.
//!
//! ```text
//! %y = transformer.linear %x, %w : tensor<?x64xbf16>, !transformer.quant<q4_0, 128x64> -> ...
//!      --> ops 1, terms 128, stored bf16; with `eight_bits` to_8_bits 1, with `f16` to_f16 1
//! ```

use super::{Interpreter, symbol, values::ValueType};
use crate::{Op, QuantType, ir};
use kforge_reference::{Element, Roundings};
use melior::ir::{
    BlockRef, Type, ValueLike,
    operation::{OperationLike, OperationRef},
};

impl Interpreter<'_, '_> {
    /// The roundings of a function and of what it calls. `eight_bits` and `f16` say whether some way to compute it rounds
    /// the activations of quantised weights, or both factors of products. Dynamic sizes count as 1. None if there is no
    /// such function.
    pub fn roundings(&self, function: &str, eight_bits: bool, f16: bool) -> Option<Roundings> {
        let mut count = Count {
            interpreter: self,
            eight_bits,
            f16,
            found: Roundings { ops: 0, terms: 1, stored: Element::F32, to_8_bits: 0, to_f16: 0 },
        };
        count.block(ir::body(&self.function(function)?)?, 0);
        Some(count.found)
    }
}

struct Count<'i, 'c, 'm> {
    interpreter: &'i Interpreter<'c, 'm>,
    eight_bits: bool,
    f16: bool,
    found: Roundings,
}

impl<'c, 'm> Count<'_, 'c, 'm> {
    fn block(&mut self, block: BlockRef<'c, 'm>, depth: usize) {
        if depth > super::MAX_DEPTH {
            return;
        }
        for op in ir::ops(block) {
            let name = ir::op_name(&op);
            let callee = match (Op::named(&name), name.as_str()) {
                (_, "func.call") => symbol(op, "callee").ok().and_then(|name| self.interpreter.function(&name)),
                (Some(Op::Fused), _) => Some(op),
                (kind, name) => {
                    self.op(op, kind, name);
                    None
                }
            };
            if let Some(body) = callee.and_then(|callee| ir::body(&callee)) {
                self.block(body, depth + 1);
            }
        }
    }

    fn op(&mut self, op: OperationRef<'c, 'm>, kind: Option<Op>, name: &str) {
        let (steps, products) = match kind {
            // Of an ml_program's global, a view or a constant, nothing is rounded.
            None if name == "arith.constant" || !(name.starts_with("arith.") || name.starts_with("math.")) => return,
            Some(Op::Yield) => return,
            Some(Op::DecoderBlock) => (15, 7),
            Some(Op::Mlp) => (4, 3),
            Some(Op::Linear | Op::Matmul) => (1, 1),
            // Softmax and two products.
            Some(Op::Attention) => (3, 2),
            _ => (1, 0),
        };
        let results: Vec<Element> = op.results().filter_map(|value| float(value.r#type())).collect();
        if results.is_empty() {
            return;
        }
        self.found.ops += steps;
        for result in results {
            self.found.stored = coarser(self.found.stored, result);
        }
        let operands = || op.operands().map(|value| value.r#type());
        if self.f16 {
            self.found.to_f16 += products;
        }
        // Rows of a table are taken as they are.
        if self.eight_bits && kind != Some(Op::Embedding) {
            self.found.to_8_bits += operands().filter(|ty| QuantType::from_type(*ty).is_some()).count();
        }
        // These round in the module itself: on both sides, but a number between two steps may go either way.
        self.found.to_8_bits += usize::from(kind == Some(Op::Quantize) || op.has_attribute("quantize_kv"));
        let sizes = operands().filter_map(|ty| ValueType::of(ty).ok()).flat_map(|ty| ty.dims).flatten();
        self.found.terms = sizes.fold(self.found.terms, usize::max);
    }
}

/// The element of a tensor or scalar of floats.
fn float(ty: Type<'_>) -> Option<Element> {
    Some(ValueType::of(ty).ok()?.element).filter(|element| element.is_float())
}

fn coarser(a: Element, b: Element) -> Element {
    let rank = |element| match element {
        Element::BF16 => 2,
        Element::F16 => 1,
        _ => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}
