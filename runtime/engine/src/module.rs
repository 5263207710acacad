//! A checkpoint as a module, and its weights in an executor.

use crate::{Error, Result};
use kforge_checkpoint::{Checkpoint, Config};
use kforge_passes::models::{
    KvType, Llama, RopeMode,
    llama::{self, Phase, Returns},
};
use kforge_program::Element;
use kforge_runtime::{Execute, View};

/// The program's element of a checkpoint's.
pub fn element(element: kforge_checkpoint::Element) -> Element {
    match element {
        kforge_checkpoint::Element::F32 => Element::F32,
        kforge_checkpoint::Element::F16 => Element::F16,
        kforge_checkpoint::Element::BF16 => Element::BF16,
        kforge_checkpoint::Element::Quant(format) => Element::Quant(format),
    }
}

/// The type of a weight as MLIR spells it.
pub fn weight_type(dims: &[usize], element: Element) -> String {
    let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
    match element {
        Element::Quant(format) => format!("!transformer.quant<{format}, {}>", dims.join("x")),
        element => format!("tensor<{}x{element}>", dims.join("x")),
    }
}

/// The sizes that the module is emitted from.
pub fn llama(config: &Config, kv_type: KvType, returns: Returns) -> Llama {
    Llama {
        layers: config.layers,
        hidden: config.hidden,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        vocab: config.vocab,
        norm_eps: config.norm_eps,
        rope_mode: match config.rope_mode {
            kforge_checkpoint::RopeMode::Interleaved => RopeMode::Interleaved,
            kforge_checkpoint::RopeMode::Half => RopeMode::Half,
        },
        rope_base: config.rope_base,
        rope_divisors: config.rope_divisors.clone(),
        window: config.window,
        kv_type,
        returns,
    }
}

/// The module of a checkpoint.
pub fn module(checkpoint: &Checkpoint, kv_type: KvType, returns: Returns, phases: &[Phase]) -> Result<String> {
    let types = checkpoint
        .names()
        .into_iter()
        .map(|name| {
            let weight = checkpoint.weight(&name)?;
            let ty = weight_type(weight.dims, element(weight.element));
            Ok((name, ty))
        })
        .collect::<Result<Vec<_>>>()?;
    llama::module(&llama(checkpoint.config(), kv_type, returns), &types, phases).map_err(Error::Request)
}

/// Packs every weight into the layout that the program asks for and lets go of the file's pages; `done` hears each name.
pub fn set_weights(executor: &mut dyn Execute, checkpoint: &Checkpoint, mut done: impl FnMut(&str)) -> Result<()> {
    for name in checkpoint.names() {
        let weight = checkpoint.weight(&name)?;
        executor
            .set_weight(&name, View { dims: weight.dims, element: element(weight.element), bytes: weight.bytes })?;
        checkpoint.release(&name);
        done(&name);
    }
    Ok(())
}
