//! Models split over several files, as `llama-gguf-split` writes them: `NAME-00001-of-00003.gguf` has all metadata, and each
//! file a part of the tensors.

use super::{Cause, Error, Gguf, metadata};
use crate::storage::Storage;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";
/// Maximum number of files; five digits number them.
const MOST: u64 = 99_999;

impl Gguf {
    /// How many files the model has.
    ///
    /// # Errors
    /// If the number has the wrong type or is out of range.
    pub fn parts(&self) -> Result<u64, Error> {
        match self.optional(COUNT, Gguf::u64)? {
            Some(count) if count > MOST => Err(Cause::OutOfRange(count.to_string()).at(metadata(COUNT))),
            Some(count) => Ok(count.max(1)),
            None => Ok(1),
        }
    }

    /// The same model with the tensors of its other files, which are beside `path`, the first.
    ///
    /// # Errors
    /// If `path` is not the first, or another file cannot be read, is of another model, or repeats a tensor.
    pub(crate) fn join(mut self, path: &Path) -> Result<Gguf, crate::Error> {
        let count = self.parts()?;
        if count == 1 {
            return Ok(self);
        }
        let number = self.optional(NUMBER, Gguf::u64)?.unwrap_or(0);
        if number != 0 {
            return Err(Cause::Part { number: number.saturating_add(1), count }.at(metadata(NUMBER)).into());
        }
        let mut names: HashSet<String> = self.tensors.iter().map(|tensor| tensor.name.clone()).collect();
        for part in 2..=count {
            let path = sibling(path, part, count).ok_or_else(|| Cause::Split(count).at(metadata(COUNT)))?;
            self.append(&path, part, count, &mut names).map_err(|error| error.in_file(&path))?;
        }
        match self.optional(TENSORS, Gguf::u64)? {
            Some(all) if all != self.tensors.len() as u64 => {
                let cause = format!("it is {all}, but the {count} files have {} tensors", self.tensors.len());
                Err(crate::Error::invalid(metadata(TENSORS), cause))
            }
            _ => Ok(self),
        }
    }

    fn append(&mut self, path: &Path, part: u64, count: u64, names: &mut HashSet<String>) -> Result<(), crate::Error> {
        let other = Gguf::parse(Arc::new(Storage::open(path)?))?;
        if other.parts()? != count || other.optional(NUMBER, Gguf::u64)? != Some(part - 1) {
            let cause = format!("the file is not part {part} of {count}");
            return Err(crate::Error::invalid(metadata(NUMBER), cause));
        }
        let file = self.files.len();
        self.files.extend(other.files);
        for tensor in other.tensors {
            if !names.insert(tensor.name.clone()) {
                let cause = "another file of the model has it too";
                return Err(crate::Error::invalid(format!("tensor `{}`", tensor.name), cause));
            }
            self.tensors.push(super::TensorInfo { file, ..tensor });
        }
        Ok(())
    }
}

/// The path of another part; `None` if that of the first is not numbered.
fn sibling(first: &Path, part: u64, count: u64) -> Option<PathBuf> {
    let name = first.file_name()?.to_str()?;
    let base = name.strip_suffix(&format!("-00001-of-{count:05}.gguf"))?;
    Some(first.with_file_name(format!("{base}-{part:05}-of-{count:05}.gguf")))
}
