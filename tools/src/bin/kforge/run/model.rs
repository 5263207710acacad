//! Opens a model by its name, and creates a decoder with its weights packed.

use crate::run::{Common, Target};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use kforge_engine::{Model, Options, Timings};
use kforge_models::{KvType, Returns};
use kforge_runtime::Decoder;
use std::ffi::OsStr;

/// Model of `generate` without `--model`.
pub use kforge_engine::model::DEFAULT;
/// Model of `llm-inference` without `--model`.
pub use kforge_engine::model::RANDOM;

/// Options of whatever decodes.
#[derive(Args, Clone, Copy, Debug)]
pub struct Cache {
    /// Element type of the KV cache
    #[arg(long, value_enum, default_value_t = KvTypeName::F32, value_name = "TYPE")]
    kv_type: KvTypeName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KvTypeName {
    F32,
    /// Half the memory and half the reading; a row is rounded once, when it enters
    F16,
    /// 36 bytes where f32 takes 128: 8 bits, and an f32 scale for each 32 elements of a head, whose size must be a multiple
    /// of that
    Q8,
}

impl Cache {
    pub fn kv_type(self) -> KvType {
        match self.kv_type {
            KvTypeName::F32 => KvType::F32,
            KvTypeName::F16 => KvType::F16,
            KvTypeName::Q8 => KvType::Q8,
        }
    }
}

/// Opens the model `name`. Warns about configuration keys ignored by `--ignore-config`.
pub fn open(common: &Common, name: &OsStr) -> Result<Model> {
    // A model that is only opened needs no device.
    let options = Options { ignore_config: common.ignore_config.clone(), ..Options::default() };
    let model = Model::open(name, options)?;
    let unread = model.checkpoint().unread();
    let ignored: Vec<String> = unread
        .iter()
        .filter(|unread| unread.ignored)
        .map(|unread| format!("{} = {}", unread.key, unread.value))
        .collect();
    if !ignored.is_empty() {
        errln!("kforge-run: warning: ignored, so the answers may be wrong: {}", ignored.join(", "));
    }
    let needless = |key: &&String| !unread.iter().any(|unread| unread.ignored && unread.key == **key);
    if let Some(key) = common.ignore_config.iter().find(needless) {
        errln!("kforge-run: warning: --ignore-config {key} does nothing: the model opens without it");
    }
    Ok(model)
}

/// Creates a decoder of a model, for `context` tokens.
pub fn decoder(
    common: &Common,
    model: &mut Model,
    cache: Cache,
    returns: Returns,
    context: usize,
) -> Result<(Decoder, Timings)> {
    if common.target == Target::Reference {
        bail!("decoding runs on compiled kernels; --target reference is for single functions");
    }
    *model.options_mut() = Options { kv_type: cache.kv_type(), ..common.engine()? };
    Ok(model.decoder(returns, context)?)
}

/// A bar on a terminal, nothing elsewhere.
pub fn bar(length: u64, message: &str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(message.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}
