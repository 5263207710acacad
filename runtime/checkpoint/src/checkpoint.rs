//! An open checkpoint: config, weights under canonical names, tokenizer.

mod select;

use crate::gguf::Gguf;
use crate::json::{read_object, read_optional};
use crate::safetensors::Shards;
use crate::write::to_f32;
use crate::{Element, Error, Storage, Tokenizer, Unread, config, gguf, random, safetensors, tokenizer};
use kforge_models::{Config, from_hugging_face, is_buffer, to_hugging_face};
use select::{select, split, unknown};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open model: every weight that it uses exists, has the right shape and lies inside its file.
#[derive(Debug)]
pub struct Checkpoint {
    config: Config,
    /// Keys of the configuration.
    unread: Vec<Unread>,
    source: Source,
    files: Vec<Arc<Storage>>,
    /// The weights that the model uses, in the order of use.
    weights: Vec<Entry>,
    index: HashMap<String, usize>,
}

/// Where a checkpoint came from.
#[derive(Debug)]
pub(crate) enum Source {
    Gguf(Gguf),
    HuggingFace { directory: PathBuf, config: Map<String, Value>, shards: Shards },
}

/// A weight of an open checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight<'a> {
    /// Its canonical name.
    pub name: &'a str,
    /// Row-major: `[rows, columns]`, or `[n]`.
    pub dims: &'a [usize],
    pub element: Element,
    /// Little-endian, without alignment guarantees; the file's own where it stores the weight as the model uses it.
    pub bytes: Cow<'a, [u8]>,
}

/// A tensor of a file, before the model is known.
#[derive(Debug)]
struct Entry {
    /// Its canonical name.
    name: String,
    dims: Vec<usize>,
    /// The file's name of its type.
    ty: String,
    /// `None` for an unsupported type.
    element: Option<Element>,
    file: usize,
    range: Range<usize>,
    /// The file stores the weight less 1.
    less_one: bool,
}

impl Checkpoint {
    /// Opens a GGUF file, or the first of several, a safetensors file beside its `config.json`, or a directory with
    /// `config.json` and either `model.safetensors` or shards with `model.safetensors.index.json`. The format of a file is
    /// detected from its first bytes, not its name.
    ///
    /// # Errors
    /// If a file cannot be read, is of another kind or malformed, if the model is not one that we compute, or if a
    /// weight is missing or of another shape than the config says. Types that we do not compute with are errors of
    /// [`Checkpoint::weight`], so that such a file can still be inspected.
    pub fn open(path: &Path) -> Result<Checkpoint, Error> {
        Self::open_ignoring(path, &[])
    }

    /// The same, but ignores these keys of the configuration although they may change what the model computes: see
    /// [`Checkpoint::unread`].
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_ignoring(path: &Path, ignore: &[String]) -> Result<Checkpoint, Error> {
        if path.is_dir() {
            return Self::open_hf(path, Shards::open_directory(path)?, ignore);
        }
        let file = Storage::open(path).map_err(|error| Error::from(error).in_file(path))?;
        match Kind::of(&file).map_err(|error| error.in_file(path))? {
            Kind::Gguf => Gguf::parse(Arc::new(file))
                .map_err(Error::from)
                .and_then(|gguf| Self::read_gguf(gguf.join(path)?, ignore))
                .map_err(|error| error.in_file(path)),
            Kind::Safetensors => {
                let parent = path.parent().unwrap_or(Path::new(""));
                Self::open_hf(parent, Shards::open_file(path)?, ignore)
            }
        }
    }

    /// A model of random weights: `tiny`, or of the sizes of `smollm2-135m` or `llama-8b`. Equal seeds give equal
    /// models. See [`random`].
    ///
    /// # Errors
    /// If there is no random model of this name.
    pub fn random(name: &str, seed: u64) -> Result<Checkpoint, Error> {
        Self::from_gguf(Storage::from(random::gguf(name, seed)?))
    }

    /// Parses a GGUF file that is already mapped or in memory.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_gguf(file: Storage) -> Result<Checkpoint, Error> {
        let gguf = Gguf::parse(Arc::new(file))?;
        match gguf.parts()? {
            1 => Self::read_gguf(gguf, &[]),
            count => Err(gguf::Cause::Split(count).at("metadata `split.count`").into()),
        }
    }

    fn read_gguf(gguf: Gguf, ignore: &[String]) -> Result<Checkpoint, Error> {
        let (config, unread) = config::gguf::read(&gguf, ignore)?;
        let entries = gguf.tensors().iter().map(|tensor| Entry {
            name: tensor.name.clone(),
            dims: tensor.dims.clone(),
            ty: tensor.ty.name.to_owned(),
            element: tensor.ty.element(),
            file: tensor.file,
            range: tensor.range.clone(),
            less_one: false,
        });
        let entries = split(&config, config.arch.gguf.fused, entries.collect())?;
        let weights = select(&config, entries)?;
        let files = gguf.files().to_vec();
        Ok(Self::new(config, unread, Source::Gguf(gguf), files, weights))
    }

    fn open_hf(directory: &Path, shards: Shards, ignore: &[String]) -> Result<Checkpoint, Error> {
        let path = directory.join("config.json");
        let object = read_object(&path)?;
        let has_output = |arch: &_| {
            let name = to_hugging_face(arch, "output.weight");
            shards.tensors.iter().any(|tensor| Some(&tensor.name) == name.as_ref())
        };
        let (config, unread) = config::hf::read(&object, has_output, ignore).map_err(|error| error.in_file(&path))?;
        let facts = &config.arch.hugging_face;
        let mut entries = Vec::new();
        for tensor in shards.tensors.iter().filter(|tensor| !is_buffer(&tensor.name)) {
            let is_fused = facts.fused.iter().any(|fused| fused.parts_of(&tensor.name).is_some());
            let name = match is_fused {
                true => tensor.name.clone(),
                false => from_hugging_face(config.arch, &tensor.name)
                    .ok_or_else(|| unknown(&tensor.name).in_file(directory))?,
            };
            entries.push(Entry {
                less_one: facts.norm_less_one && name.ends_with("norm.weight"),
                name,
                dims: tensor.dims.clone(),
                ty: format!("{:?}", tensor.dtype),
                element: safetensors::element(tensor.dtype),
                file: tensor.shard,
                range: tensor.range.clone(),
            });
        }
        let entries = split(&config, facts.fused, entries);
        let weights = entries.and_then(|entries| select(&config, entries)).map_err(|error| error.in_file(directory))?;
        let files = shards.files.clone();
        let source = Source::HuggingFace { directory: directory.to_owned(), config: object, shards };
        Ok(Self::new(config, unread, source, files, weights))
    }

    fn new(config: Config, unread: Vec<Unread>, source: Source, files: Vec<Arc<Storage>>, weights: Vec<Entry>) -> Self {
        let index = weights.iter().enumerate().map(|(i, entry)| (entry.name.clone(), i)).collect();
        Checkpoint { config, unread, source, files, weights, index }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The keys of the configuration that nothing read: those that do not change what the model computes, and those
    /// that the caller has told to ignore. In the file's order.
    pub fn unread(&self) -> &[Unread] {
        &self.unread
    }

    /// The weight of a canonical name, GGUF's: `blk.0.attn_q.weight`.
    ///
    /// # Errors
    /// If the model uses no such weight, or its elements are of a type that we do not compute with.
    pub fn weight(&self, name: &str) -> Result<Weight<'_>, Error> {
        let place = || format!("tensor `{name}`");
        let entry = self.entry(name).ok_or_else(|| Error::invalid(place(), "the model uses no weight of this name"))?;
        let Some(element) = entry.element else {
            let cause = format!("type {} is not supported; {} are", entry.ty, gguf::GgmlType::supported());
            return Err(Error::invalid(place(), cause));
        };
        if let (Element::Quant(_), [_]) = (element, &entry.dims[..]) {
            let cause = format!("type {} is not supported for norms and biases; F32, F16 and BF16 are", entry.ty);
            return Err(Error::invalid(place(), cause));
        }
        let bytes = self.files.get(entry.file).and_then(|file| file.get(entry.range.clone()));
        let bytes = bytes.ok_or_else(|| Error::invalid(place(), "its data lies outside the file"))?;
        let weight = Weight { name: &entry.name, dims: &entry.dims, element, bytes: Cow::Borrowed(bytes) };
        if !entry.less_one {
            return Ok(weight);
        }
        let values =
            to_f32(bytes, entry.dims.iter().product(), element).map_err(|cause| Error::invalid(place(), cause))?;
        let bytes = values.iter().flat_map(|value| (1.0 + value).to_le_bytes()).collect();
        Ok(Weight { element: Element::F32, bytes: Cow::Owned(bytes), ..weight })
    }

    /// Whether the model has this weight: `output.weight` is absent if tied, biases are optional.
    pub fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The canonical names of all weights that the model uses, in the order of use.
    pub fn names(&self) -> Vec<String> {
        self.weights.iter().map(|entry| entry.name.clone()).collect()
    }

    /// Releases the mapped pages of a weight that has been packed; a later read loads them from disk again. Does
    /// nothing for an unknown name.
    pub fn release(&self, name: &str) {
        if let Some(entry) = self.entry(name)
            && let Some(file) = self.files.get(entry.file)
        {
            file.release(entry.range.clone());
        }
    }

    /// Bytes of the files that hold the weights.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len() as u64).sum()
    }

    /// The tokenizer: from the metadata of a GGUF file, or `tokenizer.json` and its companions.
    ///
    /// # Errors
    /// If there is none, it is malformed, or of a kind that we do not know.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        match &self.source {
            Source::Gguf(gguf) => tokenizer::gguf::load(gguf),
            Source::HuggingFace { directory, config, .. } => {
                let companion = |name: &str| read_optional(&directory.join(name));
                tokenizer::hf::load(directory, config, &companion)
            }
        }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).and_then(|i| self.weights.get(*i))
    }
}

/// The format of a file of weights.
enum Kind {
    Gguf,
    Safetensors,
}

impl Kind {
    /// Files that are often given as models by mistake: their first bytes, and what they are.
    const OTHERS: [(&[u8], &str); 7] = [
        (b"PK\x03\x04", "a zip archive, as PyTorch saves weights; convert them to safetensors"),
        (b"\x80", "a Python pickle, as PyTorch saves weights; convert them to safetensors"),
        (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"),
        (b"lmgg", "a GGML file of before GGUF; convert the model again with a current converter"),
        (b"fmgg", "a GGML file of before GGUF; convert the model again with a current converter"),
        (b"tjgg", "a GGML file of before GGUF; convert the model again with a current converter"),
        (b"ML\xefR", "a module in MLIR's bytecode, not a model"),
    ];

    /// # Errors
    /// If it is neither; says what else it may be.
    fn of(file: &[u8]) -> Result<Kind, Error> {
        if file.starts_with(&gguf::MAGIC) {
            return Ok(Kind::Gguf);
        }
        // The others first: a length of any eight bytes is no magic.
        let other = Self::OTHERS.iter().find(|(magic, _)| file.starts_with(magic));
        if other.is_none() && safetensors::looks_like(file) {
            return Ok(Kind::Safetensors);
        }
        let begins = match other {
            Some((_, what)) => format!("it is {what}"),
            None if file.is_empty() => "it is empty".to_owned(),
            None => format!("it begins with \"{}\"", file[..file.len().min(8)].escape_ascii()),
        };
        Err(Error::invalid("the file", format!("neither GGUF nor safetensors: {begins}")))
    }
}
