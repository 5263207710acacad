//! Models for decoding tests.

use kforge_checkpoint::Checkpoint;
use kforge_engine::module::{emit, set_weights};
use kforge_lowering::compile::{self, Compiled, Machine, Options};
use kforge_models::{Emission, KvType, Phase, Returns};
use kforge_runtime::{Decoder, Execute, Executor};
use kforge_target::Isa;

/// Largest difference of a logit; in fact both have the same bits, which [`same_logits`] checks.
pub const TOLERANCE: f32 = 1e-3;

/// A model's module, and its weights.
pub struct Model {
    pub checkpoint: Checkpoint,
    pub source: String,
}

impl Model {
    pub fn new(checkpoint: Checkpoint, kv_type: KvType) -> Model {
        Model::returning(checkpoint, kv_type, Returns::Logits)
    }

    pub fn returning(checkpoint: Checkpoint, kv_type: KvType, returns: Returns) -> Model {
        Model::emitted(checkpoint, Emission { kv_type, returns, ..Emission::default() })
    }

    pub fn emitted(checkpoint: Checkpoint, emission: Emission) -> Model {
        let source = emit(&checkpoint, emission, &[Phase::Prefill, Phase::Decode]).expect("all weights are there");
        Model { checkpoint, source }
    }

    pub fn compile(&self, isa: Isa) -> Compiled {
        compile::compile(&self.source, &Machine::host(Some(isa)).expect("of this machine"), Options::default())
            .expect("the model compiles")
    }

    pub fn decoder(&self, compiled: &Compiled, threads: usize, context: usize) -> Decoder {
        let executor = Executor::new(compiled.program.clone(), &compiled.code, threads).expect("the object loads");
        self.decoder_on(Box::new(executor), context)
    }

    pub fn decoder_on(&self, mut executor: Box<dyn Execute>, context: usize) -> Decoder {
        set_weights(&mut *executor, &self.checkpoint, |_| ()).expect("the weights fit");
        Decoder::new(executor, context).expect("memory for the caches")
    }
}

/// Some tokens of a vocabulary.
pub fn tokens(count: usize, vocabulary: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * 7919 + 13) % vocabulary) as u32).collect()
}

pub fn same_logits(actual: &[f32], expected: &[f32], what: &str) {
    let error = actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
    assert!(actual.len() == expected.len() && error <= TOLERANCE, "{what}: a logit is off by {error}");
    assert!(
        actual.iter().zip(expected).all(|(a, e)| a.to_bits() == e.to_bits()),
        "{what}: a logit is off by {error}, not the same bits"
    );
}
