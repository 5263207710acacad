//! JSON files beside the weights.

use crate::Error;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No JSON file of a checkpoint is larger: the largest, tokenizer.json, has some 30 MB.
const MOST_BYTES: u64 = 512 << 20;

/// The bytes of a file that is no larger than a JSON file can be.
///
/// # Errors
/// If it cannot be read or is larger.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::invalid("the file", format!("it is larger than {MOST_BYTES} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|error| error.in_file(path))
}

/// The object that a JSON file holds.
///
/// # Errors
/// If it cannot be read or does not hold an object.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, Error> {
    serde_json::from_slice(&read_bytes(path)?).map_err(|error| Error::from(error).in_file(path))
}

/// As [`read_object`]; none if there is no such file.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Map<String, Value>>, Error> {
    if path.is_file() { read_object(path).map(Some) } else { Ok(None) }
}

/// Typed access to the keys of an object. An absent key and a null are the same.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// What errors put before a key: `rope_scaling.`.
    prefix: &'static str,
}

impl<'a> Fields<'a> {
    pub fn new(object: &'a Map<String, Value>, prefix: &'static str) -> Self {
        Fields { object, prefix }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub fn count(&self, key: &str) -> Result<Option<u64>, Error> {
        self.read(key, "a non-negative integer", Value::as_u64)
    }

    pub fn number(&self, key: &str) -> Result<Option<f32>, Error> {
        self.read(key, "a number", |value| value.as_f64().map(|value| value as f32))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.read(key, "a string", Value::as_str)
    }

    pub fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, Error> {
        self.read(key, "an object", Value::as_object)
    }

    /// The value of a key that must be there.
    pub fn require<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| Error::invalid(self.place(key), "the key is missing"))
    }

    pub fn place(&self, key: &str) -> String {
        format!("`{}{key}`", self.prefix)
    }

    fn read<T>(&self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::invalid(self.place(key), format!("expected {expected}, found {}", kind(value)))),
        }
    }
}

/// What a value is, for an error; its text could be long.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
