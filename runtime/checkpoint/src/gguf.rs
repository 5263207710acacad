//! GGUF files, versions 2 and 3: a reader for untrusted files, and a writer.
//!
//! A file is a header (magic, version, counts), the metadata (typed key-value pairs), the tensor table, and, aligned,
//! the tensors' data. [`Gguf::parse`] walks over the first three once and checks all of it: after that, every string is
//! UTF-8, every array complete, and every tensor's bytes lie inside the file, aligned and without overlap. Its
//! allocations are linear in the bytes read, never in a number that the file claims. Tensor data and arrays are
//! borrowed from the memory-mapped file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod error;
mod split;
mod tensors;
mod types;
mod value;
pub mod write;

pub use error::{Cause, Error};
pub use tensors::TensorInfo;
pub use types::{GgmlType, ValueType};
pub use value::{Array, ArrayView, Value};

use crate::storage::Storage;
use cursor::Cursor;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
const DEFAULT_ALIGNMENT: u32 = 32;
/// Minimum bytes of a metadata entry: an empty name's length, a type, one byte.
const LEAST_ENTRY: usize = 8 + 4 + 1;

/// A parsed GGUF file.
#[derive(Debug)]
pub struct Gguf {
    /// This file, and the others of a split model.
    files: Vec<Arc<Storage>>,
    version: u32,
    metadata: Vec<(String, Value)>,
    keys: HashMap<String, usize>,
    tensors: Vec<TensorInfo>,
}

impl Gguf {
    /// Parses and checks everything but the numbers inside the tensors.
    ///
    /// # Errors
    /// Names the location and the first error there.
    pub fn parse(file: Arc<Storage>) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&file);
        let (version, tensor_count, entry_count) = read_header(&mut cursor).map_err(|cause| cause.at("the header"))?;
        let mut gguf = Gguf {
            files: vec![file.clone()],
            version,
            metadata: Vec::new(),
            keys: HashMap::new(),
            tensors: Vec::new(),
        };
        for i in 0..entry_count {
            gguf.read_entry(&mut cursor, i)?;
        }
        let alignment = gguf.alignment()?;
        gguf.tensors = tensors::read(&mut cursor, tensor_count, alignment, file.len())?;
        Ok(gguf)
    }

    fn read_entry(&mut self, cursor: &mut Cursor, index: usize) -> Result<(), Error> {
        let key = cursor.string().map_err(|cause| cause.at(format!("the name of metadata entry {index}")))?;
        if key.is_empty() {
            return Err(Cause::EmptyName.at(format!("metadata entry {index}")));
        }
        let place = |cause: Cause| cause.at(format!("metadata `{key}`"));
        if self.keys.insert(key.to_owned(), index).is_some() {
            return Err(place(Cause::Duplicate));
        }
        let id = cursor.u32().map_err(place)?;
        let ty = ValueType::from_id(id).ok_or_else(|| place(Cause::UnknownValueType(id)))?;
        let value = Value::read(cursor, ty).map_err(place)?;
        self.metadata.push((key.to_owned(), value));
        Ok(())
    }

    fn alignment(&self) -> Result<u32, Error> {
        let key = "general.alignment";
        match self.get(key) {
            None => Ok(DEFAULT_ALIGNMENT),
            Some(Value::Unsigned(ValueType::U32, value)) => {
                let value = *value as u32;
                if value.is_power_of_two() { Ok(value) } else { Err(Cause::Alignment(value).at(metadata(key))) }
            }
            Some(other) => Err(wrong_type(key, "a u32", other)),
        }
    }

    /// The file's format version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The whole files: one, unless the model is split.
    pub fn files(&self) -> &[Arc<Storage>] {
        &self.files
    }

    /// The data of a tensor.
    pub fn data(&self, tensor: &TensorInfo) -> &[u8] {
        self.files.get(tensor.file).and_then(|file| file.get(tensor.range.clone())).unwrap_or_default()
    }

    /// The tensors, in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The metadata, in the file's order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A value, shown in one line.
    pub fn display(&self, value: &Value) -> String {
        match value {
            Value::Array(array) => self.view(array).to_string(),
            other => other.to_string(),
        }
    }

    /// The elements of an array of this file.
    pub(crate) fn view<'a>(&'a self, array: &'a Array) -> ArrayView<'a> {
        ArrayView { file: &self.files[0], array }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).and_then(|i| self.metadata.get(*i)).map(|(_, value)| value)
    }

    /// Reads `key` with one of the typed readers below, if it is there.
    ///
    /// # Errors
    /// If it is there with another type.
    pub fn optional<'a, T>(
        &'a self,
        key: &str,
        read: impl FnOnce(&'a Self, &str) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.get(key).map(|_| read(self, key)).transpose()
    }

    /// A non-negative integer of any integer type.
    ///
    /// # Errors
    /// If the key is missing, not an integer, or negative.
    pub fn u64(&self, key: &str) -> Result<u64, Error> {
        match self.require(key)? {
            Value::Unsigned(_, v) => Ok(*v),
            Value::Signed(_, v) => u64::try_from(*v).map_err(|_| Cause::OutOfRange(v.to_string()).at(metadata(key))),
            other => Err(wrong_type(key, "an integer", other)),
        }
    }

    /// A non-negative integer of any integer type, below 2^32.
    ///
    /// # Errors
    /// As [`Gguf::u64`], or if it is larger.
    pub fn u32(&self, key: &str) -> Result<u32, Error> {
        let value = self.u64(key)?;
        u32::try_from(value).map_err(|_| Cause::OutOfRange(value.to_string()).at(metadata(key)))
    }

    /// A floating-point number.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn f32(&self, key: &str) -> Result<f32, Error> {
        match self.require(key)? {
            Value::F32(v) => Ok(*v),
            Value::F64(v) => Ok(*v as f32),
            other => Err(wrong_type(key, "an f32", other)),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn bool(&self, key: &str) -> Result<bool, Error> {
        match self.require(key)? {
            Value::Bool(v) => Ok(*v),
            other => Err(wrong_type(key, "a bool", other)),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn string(&self, key: &str) -> Result<&str, Error> {
        match self.require(key)? {
            Value::String(v) => Ok(v),
            other => Err(wrong_type(key, "a string", other)),
        }
    }

    /// An array.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn array(&self, key: &str) -> Result<ArrayView<'_>, Error> {
        match self.require(key)? {
            Value::Array(array) => Ok(self.view(array)),
            other => Err(wrong_type(key, "an array", other)),
        }
    }

    /// An array of strings.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn strings(&self, key: &str) -> Result<impl Iterator<Item = &str>, Error> {
        self.array(key)?.strings().map_err(|cause| cause.at(metadata(key)))
    }

    /// An array of integers.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn integers(&self, key: &str) -> Result<Vec<i64>, Error> {
        self.array(key)?.integers().map_err(|cause| cause.at(metadata(key)))
    }

    /// An array of floating-point numbers.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn floats(&self, key: &str) -> Result<Vec<f32>, Error> {
        self.array(key)?.floats().map_err(|cause| cause.at(metadata(key)))
    }

    fn require(&self, key: &str) -> Result<&Value, Error> {
        self.get(key).ok_or_else(|| Cause::Missing.at(metadata(key)))
    }
}

/// Version, number of tensors, number of metadata entries.
fn read_header(cursor: &mut Cursor) -> Result<(u32, usize, usize), Cause> {
    let magic = cursor.array()?;
    if magic != MAGIC {
        return Err(Cause::Magic(magic));
    }
    match cursor.u32()? {
        version @ 2..=3 => {
            let offset = cursor.offset();
            let tensors = cursor.u64()?;
            let entries = cursor.count(LEAST_ENTRY)?;
            Ok((version, cursor.fits(offset, tensors, tensors::LEAST_INFO)?, entries))
        }
        version if (1..=3).contains(&version.swap_bytes()) => Err(Cause::BigEndian),
        version => Err(Cause::Version(version)),
    }
}

fn metadata(key: &str) -> String {
    format!("metadata `{key}`")
}

fn wrong_type(key: &str, expected: &'static str, actual: &Value) -> Error {
    Cause::WrongType { expected, actual: actual.value_type() }.at(metadata(key))
}
