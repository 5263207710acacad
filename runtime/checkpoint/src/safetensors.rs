//! Safetensors files: one file, or shards listed by an index.
//!
//! The `safetensors` crate parses and validates a header: offsets without gaps or overlaps, sizes that match shapes.
//! This adds the checks left to the caller: the length of the file, names across shards, and paths that stay in the
//! directory.

use crate::json::read_object;
use crate::{Error, Storage};
use kforge_quant::Element;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The file that lists the shards of a directory.
pub const INDEX: &str = "model.safetensors.index.json";
/// The file of a directory without shards.
pub const SINGLE: &str = "model.safetensors";
/// The types of weights' elements, as the format names them.
const ELEMENTS: [(Dtype, Element); 3] =
    [(Dtype::F32, Element::F32), (Dtype::F16, Element::F16), (Dtype::BF16, Element::BF16)];
/// The `safetensors` crate's own limit.
const MOST_HEADER: u64 = 100_000_000;

/// The elements of a weight of this type, if kernels compute with them.
pub(crate) fn element(dtype: Dtype) -> Option<Element> {
    ELEMENTS.into_iter().find(|(ty, _)| *ty == dtype).map(|(_, element)| element)
}

/// The type of a weight's elements; `None` for blocks, which the format does not have.
pub(crate) fn dtype(element: Element) -> Option<Dtype> {
    ELEMENTS.into_iter().find(|(_, of)| *of == element).map(|(ty, _)| ty)
}

/// A tensor's entry, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    pub name: String,
    pub dims: Vec<usize>,
    pub dtype: Dtype,
    /// Which of the files holds it.
    pub shard: usize,
    /// Where its data lies in that file.
    pub range: Range<usize>,
}

/// The tensors of one or several files.
#[derive(Debug)]
pub struct Shards {
    pub files: Vec<Arc<Storage>>,
    /// In the files' order, then by offset.
    pub tensors: Vec<TensorInfo>,
    /// The free-form metadata of the files.
    pub metadata: BTreeMap<String, String>,
}

impl Shards {
    /// Opens one file.
    ///
    /// # Errors
    /// If it cannot be read, or is malformed.
    pub fn open_file(path: &Path) -> Result<Self, Error> {
        Self::open_all(&[path.to_owned()])
    }

    /// Opens the file or the shards of a directory.
    ///
    /// # Errors
    /// As for one file, or if a shard lies outside the directory, is missing, or lacks a tensor that the index puts
    /// there.
    pub fn open_directory(directory: &Path) -> Result<Self, Error> {
        let single = directory.join(SINGLE);
        if single.exists() {
            return Self::open_file(&single);
        }
        let index = directory.join(INDEX);
        if !index.exists() {
            let cause = format!("neither `{SINGLE}` nor `{INDEX}` is in the directory");
            return Err(Error::invalid("the weights", cause).in_file(directory));
        }
        let placed = read_index(&index).map_err(|error| error.in_file(&index))?;
        let names: Vec<&String> = placed.keys().collect();
        let paths: Vec<PathBuf> = names.iter().map(|name| directory.join(name)).collect();
        let shards = Self::open_all(&paths)?;
        let found: HashSet<(usize, &str)> =
            shards.tensors.iter().map(|tensor| (tensor.shard, tensor.name.as_str())).collect();
        for (shard, (file, tensors)) in placed.iter().enumerate() {
            if let Some(name) = tensors.iter().find(|name| !found.contains(&(shard, name.as_str()))) {
                let cause = format!("it is not in `{file}`, where the index puts it; fetch the model again");
                return Err(Error::invalid(format!("tensor `{name}`"), cause).in_file(&index));
            }
        }
        Ok(shards)
    }

    fn open_all(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut shards = Shards { files: Vec::new(), tensors: Vec::new(), metadata: BTreeMap::new() };
        let mut names = HashSet::new();
        for path in paths {
            let file = Storage::open(path).map_err(|error| Error::from(error).in_file(path))?;
            shards.push(file, &mut names).map_err(|error| error.in_file(path))?;
        }
        Ok(shards)
    }

    fn push(&mut self, file: Storage, names: &mut HashSet<String>) -> Result<(), Error> {
        let (start, header) = read_header(&file)?;
        for name in header.offset_keys() {
            let Some(info) = header.info(&name) else { continue };
            if !names.insert(name.clone()) {
                return Err(Error::invalid(format!("tensor `{name}`"), "another shard has a tensor of this name"));
            }
            let (from, to) = info.data_offsets;
            self.tensors.push(TensorInfo {
                name,
                dims: info.shape.clone(),
                dtype: info.dtype,
                shard: self.files.len(),
                // Inside the file: `read_header` has checked the last of them.
                range: start + from..start + to,
            });
        }
        self.metadata.extend(header.metadata().clone().unwrap_or_default());
        self.files.push(Arc::new(file));
        Ok(())
    }
}

/// Whether a file begins like one: eight bytes of a length, then a JSON object, or less of it than a whole file has.
pub(crate) fn looks_like(file: &[u8]) -> bool {
    match file.split_first_chunk::<8>() {
        Some((length, rest)) => {
            u64::from_le_bytes(*length) <= MOST_HEADER && rest.first().is_none_or(|byte| *byte == b'{')
        }
        None => false,
    }
}

/// The header, and where the data starts.
///
/// This does what `SafeTensors::read_metadata` does, whose sum of the lengths can overflow.
fn read_header(file: &[u8]) -> Result<(usize, Metadata), Error> {
    let header = |cause: String| Error::Safetensors(cause);
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(header(format!("the file has {} bytes, and its length alone takes 8", file.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > MOST_HEADER {
        return Err(header(format!("a length of {length} bytes cannot be right; at most {MOST_HEADER} are allowed")));
    }
    let Some((json, data)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
        return Err(header(format!("it has {length} bytes, but {} follow: the file is truncated", rest.len())));
    };
    let metadata: Metadata = serde_json::from_slice(json).map_err(|error| header(error.to_string()))?;
    if metadata.data_len() != data.len() {
        let cause = format!("its tensors take {} bytes, but {} follow", metadata.data_len(), data.len());
        return Err(header(format!("{cause}: the file is truncated or damaged; fetch it again")));
    }
    Ok((file.len() - data.len(), metadata))
}

/// The tensors that an index puts into each file.
fn read_index(path: &Path) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let object = read_object(path)?;
    let Some(map) = object.get("weight_map").and_then(|map| map.as_object()) else {
        return Err(Error::invalid("`weight_map`", "the key is missing, or no object"));
    };
    let mut files = BTreeMap::<String, Vec<String>>::new();
    for (tensor, file) in map {
        let place = || format!("`weight_map.{tensor}`");
        let file = file.as_str().ok_or_else(|| Error::invalid(place(), "expected the name of a file"))?;
        if !is_plain_name(file) {
            let cause = format!("`{file}` is not the name of a .safetensors file in the model's directory");
            return Err(Error::invalid(place(), cause));
        }
        files.entry(file.to_owned()).or_default().push(tensor.clone());
    }
    Ok(files)
}

/// Whether a shard is a plain file name, so that a downloaded index cannot make us read elsewhere. Links are allowed:
/// the hub's cache consists of them.
fn is_plain_name(file: &str) -> bool {
    let mut components = Path::new(file).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    plain && file.ends_with(".safetensors") && !file.contains(['/', '\\', '\0'])
}
