//! Writes an open checkpoint as a GGUF file or a Hugging Face folder.
//!
//! | from | to GGUF | to Hugging Face |
//! |---|---|---|
//! | GGUF | the file, byte by byte | blocks are dequantised, `f32`, `f16` and `bf16` stay |
//! | Hugging Face | elements stay, but norms and biases are `f32`, as llama.cpp wants them | JSON files byte by byte, weights in one file |
//!
//! The names of the weights come from the table that the readers use. llama's queries and keys have different row
//! orders in the two formats, one for each [`RopeMode`]; each writer permutes the rows to the order of its format.
//!
//! A llama or mistral model is a `llama` in GGUF; a `llama` with a sliding window, which transformers' llama does not
//! have, is a `mistral` in Hugging Face's format. llama.cpp does not read a llama's window, so that there it attends to
//! everything.
//!
//! A folder is given a tokenizer of any kind that GGUF has; a GGUF file, byte-level or SentencePiece BPE (`tokenizer`).
//! [Random models](crate::random) have one already: the 256 bytes and fillers up to the vocabulary's size, which llama.cpp
//! and transformers open.
//!
//! A model that the other format cannot represent is an error, and nothing is written.

mod config;
mod tokenizer;
mod weights;

use crate::checkpoint::Source;
use crate::gguf::{
    GgmlType,
    write::{Writer, padding},
};
use crate::{Checkpoint, Element, Error};
pub(crate) use config::to_gguf as write_config;
use kforge_models::{RopeMode, to_hugging_face};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use weights::Planned;
pub(crate) use weights::to_f32;

/// The type of dequantised blocks, for a format without blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dequantized {
    /// Half the size. A weight beyond f16's range is an error.
    F16,
    /// Exact.
    F32,
}

/// Writes a checkpoint as a GGUF file of version 3.
///
/// # Errors
/// If GGUF cannot represent the model, its tokenizer or its sizes, before anything is written; or if `to` fails.
pub fn gguf(checkpoint: &Checkpoint, mut to: impl Write) -> Result<(), Error> {
    let directory = match checkpoint.source() {
        Source::Gguf(gguf) => match gguf.files() {
            [file] => return Ok(to.write_all(file)?),
            files => {
                let cause =
                    format!("it is split over {} files; join them with `llama-gguf-split --merge`", files.len());
                return Err(Error::invalid("the model", cause));
            }
        },
        Source::HuggingFace { directory, .. } => directory,
    };
    let mut writer = Writer::new();
    config::check_biases(checkpoint)?;
    config::to_gguf(checkpoint.config(), &mut writer)?;
    tokenizer::to_gguf(checkpoint, directory, &mut writer).map_err(|error| error.in_file(directory))?;
    let frequencies = config::frequency_factors(checkpoint.config());
    for (name, factors) in &frequencies {
        writer.declare(name, &[factors.len() / 4], GgmlType::F32, factors.len() as u64);
    }
    let order = checkpoint.config().arch.gguf.rope_mode;
    let plan = weights::plan(checkpoint, order, |weight| match weight.dims {
        [_] => Element::F32,
        _ => weight.element,
    })?;
    for weight in &plan {
        let place = || Error::invalid(format!("tensor `{}`", weight.name), "GGUF files hold no weights of its type");
        let ty = GgmlType::of(weight.element).ok_or_else(place)?;
        writer.declare(&weight.name, &weight.dims, ty, weight.bytes as u64);
    }
    let mut to = BufWriter::new(to);
    to.write_all(&writer.header())?;
    for (_, factors) in &frequencies {
        to.write_all(factors)?;
        to.write_all(padding(factors.len() as u64))?;
    }
    for weight in &plan {
        weight.write(checkpoint, &mut to)?;
        to.write_all(padding(weight.bytes as u64))?;
    }
    Ok(to.flush()?)
}

/// Writes a checkpoint as a folder with `config.json`, `model.safetensors` and the tokenizer's files, as far as the
/// checkpoint has a tokenizer. The folder appears under its name when it is whole; until then its files are in a hidden
/// folder beside it. `begins` hears of each file before it is there: who catches signals can remove it.
///
/// # Errors
/// If this format cannot represent the model, its tokenizer or its weights, if `folder` exists and is not empty, or if
/// a file cannot be written. Then there is no folder.
pub fn hugging_face(
    checkpoint: &Checkpoint,
    folder: &Path,
    dequantized: Dequantized,
    mut begins: impl FnMut(&Path),
) -> Result<(), Error> {
    check_empty(folder).map_err(|error| error.in_file(folder))?;
    let plan = hugging_face_plan(checkpoint, dequantized)?;
    let files = json_files(checkpoint, &plan)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(Error::invalid("the folder", format!("{} is no folder", parent.display())).in_file(folder));
    }
    let mut write = || -> Result<(), Error> {
        let temporary = tempfile::Builder::new().prefix(".export").tempdir_in(parent)?;
        // Inside, so that its mode is the umask's and not a temporary folder's.
        let whole = temporary.path().join("model");
        fs::create_dir(&whole)?;
        let mut create = |name: &str| {
            let path = whole.join(name);
            begins(&path);
            File::create(path)
        };
        write_safetensors(checkpoint, &plan, create(crate::safetensors::SINGLE)?)?;
        files.iter().try_for_each(|(name, bytes)| create(name)?.write_all(bytes))?;
        Ok(fs::rename(&whole, folder)?)
    };
    write().map_err(|error| error.in_file(folder))
}

/// # Errors
/// If the folder is not empty: a file of another model could be taken for one of this.
fn check_empty(folder: &Path) -> Result<(), Error> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::invalid("the folder", "it is not empty; give a new one")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn hugging_face_plan(checkpoint: &Checkpoint, dequantized: Dequantized) -> Result<Vec<Planned>, Error> {
    let blocks = match dequantized {
        Dequantized::F16 => Element::F16,
        Dequantized::F32 => Element::F32,
    };
    let mut plan = weights::plan(checkpoint, RopeMode::Half, |weight| match weight.element {
        Element::Quant(_) => blocks,
        float => float,
    })?;
    // The order that the format wants: larger elements first.
    plan.sort_by_key(|weight| if weight.element == Element::F32 { 0 } else { 1 });
    Ok(plan)
}

/// The files beside the weights, by name.
fn json_files(checkpoint: &Checkpoint, plan: &[Planned]) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let gguf = match checkpoint.source() {
        Source::Gguf(gguf) => gguf,
        Source::HuggingFace { directory, .. } => return copied(directory),
    };
    let mut config = config::to_hugging_face(checkpoint, plan)?;
    let mut files = Vec::new();
    if let Some(tokenizer) = tokenizer::to_hugging_face(checkpoint, gguf)? {
        if let Value::Object(config) = &mut config {
            config.extend(tokenizer.ids.clone());
        }
        files.push(("tokenizer.json", pretty(&tokenizer.json)?));
        files.push(("tokenizer_config.json", pretty(&tokenizer.config)?));
        files.push(("generation_config.json", pretty(&Value::Object(tokenizer.ids))?));
    }
    files.push(("config.json", pretty(&config)?));
    Ok(files)
}

/// The files of a Hugging Face folder that this project reads, those that are there.
fn copied(directory: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    const FILES: [&str; 5] =
        ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];
    let present = FILES.into_iter().filter(|name| directory.join(name).is_file());
    present.map(|name| Ok((name, crate::json::read_bytes(&directory.join(name))?))).collect()
}

fn pretty(value: &Value) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Header and data. The `safetensors` crate makes and checks the header; its own writing to a file sums the sizes
/// unchecked and gives the file the mode of a temporary one.
fn write_safetensors(checkpoint: &Checkpoint, plan: &[Planned], to: impl Write) -> Result<(), Error> {
    let error = |cause: String| Error::Safetensors(cause);
    let mut end = 0usize;
    let mut infos = Vec::new();
    for weight in plan {
        let place = || Error::invalid(format!("tensor `{}`", weight.name), "safetensors cannot hold it");
        let start = end;
        end = end.checked_add(weight.bytes).ok_or_else(place)?;
        infos.push((
            to_hugging_face(checkpoint.config().arch, &weight.name).ok_or_else(place)?,
            safetensors::tensor::TensorInfo {
                dtype: crate::safetensors::dtype(weight.element).ok_or_else(place)?,
                shape: weight.dims.clone(),
                data_offsets: (start, end),
            },
        ));
    }
    let format = [("format".to_owned(), "pt".to_owned())].into();
    let metadata = safetensors::tensor::Metadata::new(Some(format), infos).map_err(|e| error(e.to_string()))?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut to = BufWriter::new(to);
    to.write_all(&(header.len() as u64).to_le_bytes())?;
    to.write_all(&header)?;
    plan.iter().try_for_each(|weight| weight.write(checkpoint, &mut to))?;
    Ok(to.flush()?)
}
