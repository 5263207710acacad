//! Model names, and creating a decoder for a model.

use crate::{
    Error, Options, Place, Result, Session, Work, compile,
    module::{emit, set_weights},
};
use kforge_checkpoint::Checkpoint;
use kforge_models::{Emission, Phase, Returns};
use kforge_runtime::{Decoder, Execute, cache, sample::Sampling};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tracing::info_span;

/// The name of the file that `make model` fetches.
pub const DEFAULT: &str = "default";
/// The name of a model with random weights.
pub const RANDOM: &str = "random:tiny";

/// Seed of random weights.
const SEED: u64 = 0;

/// A checkpoint, and options for running it.
pub struct Model {
    name: OsString,
    checkpoint: Checkpoint,
    options: Options,
}

/// Durations of loading and compiling.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Mapping, validating and packing.
    pub load: Duration,
    /// Compiling, or reading the cache.
    pub compile: Duration,
}

impl Model {
    /// Opens `default`, `random:NAME`, a path, or a Hugging Face repository.
    ///
    /// # Errors
    /// If there is no such model, or it is not supported.
    pub fn open(name: impl AsRef<OsStr>, options: Options) -> Result<Model> {
        let name = name.as_ref().to_owned();
        Ok(Model { checkpoint: find(&name, &options.ignore_config)?, name, options })
    }

    pub fn name(&self) -> &OsStr {
        &self.name
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// A decoder for `context` tokens, with its weights packed. If [`Place::Auto`] chose a GPU that fails later, the
    /// CPU takes over.
    ///
    /// # Errors
    /// If the model does not compile, the device does not run it, or the context is longer than the model supports.
    pub fn decoder(&self, returns: Returns, context: usize) -> Result<(Decoder, Timings)> {
        let longest = self.checkpoint.config().context;
        if context > longest {
            return Err(Error::request(format!(
                "a context of {context} tokens is more than the {longest} that the model was made for"
            )));
        }
        let (decoder, timings) = compile::on_place(&self.options, |options| {
            let (executor, timings) = executor(options, &self.checkpoint, returns, context)?;
            Ok::<_, Error>((Decoder::new(executor, context)?, timings))
        })?;
        Ok((self.with_fallback(returns, context, decoder), timings))
    }

    /// A text session, with a context of `context` tokens.
    ///
    /// # Errors
    /// As [`decoder`](Self::decoder); or if a sampling option is out of range, or the model has no tokenizer.
    pub fn session(&self, sampling: Sampling, context: usize) -> Result<Session> {
        Session::new(self, sampling, context)
    }

    fn with_fallback(&self, returns: Returns, context: usize, decoder: Decoder) -> Decoder {
        if self.options.place != Place::Auto || !decoder.executor().is_gpu() {
            return decoder;
        }
        let (options, name) = (Options { place: Place::Cpu, ..self.options.clone() }, self.name.clone());
        decoder.with_fallback(Box::new(move |error| {
            options.watch.warn(&format!("warning: {error}; the CPU goes on"));
            let executor = find(&name, &options.ignore_config)
                .and_then(|checkpoint| executor(&options, &checkpoint, returns, context));
            executor
                .map(|(executor, _)| executor)
                .map_err(|error| kforge_runtime::Error::Context(format!("the CPU cannot go on: {error}")))
        }))
    }
}

/// Compiles a checkpoint's module and packs its weights.
fn executor(
    options: &Options,
    checkpoint: &Checkpoint,
    returns: Returns,
    context: usize,
) -> Result<(Box<dyn Execute>, Timings)> {
    let begin = Instant::now();
    let emission = Emission { kv_type: options.kv_type, returns, context, ..Emission::default() };
    let source = emit(checkpoint, emission, &[Phase::Prefill, Phase::Decode])?;
    let mut executor = info_span!("compile and load code").in_scope(|| compile::executor(options, (&source).into()))?;
    let compiled = begin.elapsed();
    options.watch.begin(Work::Pack(checkpoint.names().len()));
    let packed =
        info_span!("pack weights").in_scope(|| set_weights(&mut *executor, checkpoint, |_| options.watch.step()));
    options.watch.end();
    packed?;
    Ok((executor, Timings { load: begin.elapsed() - compiled, compile: compiled }))
}

fn find(name: &OsStr, ignore: &[String]) -> Result<Checkpoint> {
    // Our model names and repositories are UTF-8; file names need not be.
    let text = name.to_str();
    if let Some(kind) = text.and_then(|text| text.strip_prefix("random:")) {
        return Ok(Checkpoint::random(kind, SEED)?);
    }
    if name == DEFAULT {
        let place = "the cache directory is not known: set HOME or KFORGE_CACHE";
        let path = default_path().ok_or_else(|| Error::request(place))?;
        if !path.exists() {
            return Err(Error::request(format!(
                "the default model is not at {}; run 'make model' to fetch it, or choose another with --model \
                 (random:tiny needs no file)",
                path.display()
            )));
        }
        return Ok(Checkpoint::open_ignoring(&path, ignore)?);
    }
    let path = Path::new(name);
    match text.filter(|text| is_repository(text)) {
        // A path that exists but cannot be accessed gives the error of opening it.
        _ if !matches!(path.try_exists(), Ok(false)) => Ok(Checkpoint::open_ignoring(path, ignore)?),
        Some(repository) => Ok(Checkpoint::open_ignoring(&kforge_checkpoint::hub::fetch(repository)?, ignore)?),
        None => Err(Error::request(format!(
            "there is no file or directory '{}'; --model takes a GGUF file, a safetensors file or directory, ORG/NAME or \
             random:tiny",
            path.display()
        ))),
    }
}

/// Whether a name that is not a file may be a repository, `ORG/NAME` or `ORG/NAME:FILE`.
fn is_repository(name: &str) -> bool {
    let file = Path::new(name).extension().is_some_and(|extension| {
        ["gguf", "safetensors"].iter().any(|known| extension.eq_ignore_ascii_case(known)) && !name.contains(':')
    });
    let repository = name.split_once(':').map_or(name, |(repository, _)| repository);
    !file && !name.starts_with(['.', '/', '~']) && repository.split('/').count() == 2
}

fn default_path() -> Option<PathBuf> {
    Some(cache::directory()?.join("models/SmolLM2-135M-Instruct.Q4_1.gguf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_repository() {
        for name in ["org/model", "org/model:model.gguf", "org/model:q4/X.GGUF", "org/model:sha256-0123abcd"] {
            assert!(is_repository(name), "{name}");
        }
        for name in ["", "model", "a/b/c", "./model", "/model", "~/model", "models/X.GGUF", "models/x.safetensors"] {
            assert!(!is_repository(name), "{name}");
        }
    }
}
