//! JSON files next to the weights.

use crate::Error;
use crate::config::unread::Asked;
use crate::describe::escape;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Maximum size of a JSON file: the largest real ones, tokenizer.json, have about 30 MB.
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

/// Typed access to the keys of an object. An absent key and a null are the same. Each key that is asked for is
/// recorded.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// Prefix of a key in its full name: `rope_scaling.`.
    prefix: String,
    asked: Asked,
}

impl<'a> Fields<'a> {
    /// Of an object that is no part of another.
    pub fn new(object: &'a Map<String, Value>) -> Self {
        Fields { object, prefix: String::new(), asked: Asked::default() }
    }

    /// The keys of the object that `key` holds.
    ///
    /// # Errors
    /// If it holds something else.
    pub fn nested(&self, key: &str) -> Result<Option<Fields<'a>>, Error> {
        let object = self.read(key, "an object", Value::as_object)?;
        let prefix = format!("{}{key}.", self.prefix);
        Ok(object.map(|object| Fields { object, prefix, asked: self.asked.clone() }))
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.asked.add(format!("{}{key}", self.prefix));
        self.peek(key)
    }

    /// As [`Fields::get`], but the key still counts as unread.
    pub fn peek(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key exists, even with the value null.
    pub fn names(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// Counts a key as read if it repeats a value that was read elsewhere.
    pub fn repeats(&self, key: &str, value: &Value) {
        let same = |a: &Value, b: &Value| a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a));
        if self.peek(key).is_some_and(|found| same(found, value)) {
            self.get(key);
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.object.keys().map(String::as_str)
    }

    /// The full names and values of all leaves that have not been read.
    pub fn left(&self) -> Vec<(String, &'a Value)> {
        let mut left = Vec::new();
        self.collect_left(self.object, &self.prefix, &mut left);
        left
    }

    fn collect_left(&self, object: &'a Map<String, Value>, prefix: &str, left: &mut Vec<(String, &'a Value)>) {
        for (key, value) in object {
            let path = format!("{prefix}{key}");
            match value {
                Value::Object(inner) => self.collect_left(inner, &format!("{path}."), left),
                value if !self.asked.contains(&path) => left.push((path, value)),
                _ => {}
            }
        }
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

    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        let number = |value: &Value| value.as_f64().map(|value| value as f32);
        self.read(key, "an array of numbers", |value| value.as_array()?.iter().map(number).collect())
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

/// The kind of a value, for an error; its text could be long.
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

/// A value for an error or a list: in one line, without control characters, and no longer than a line is.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", escape(&text[..end])),
        None => escape(text),
    }
}
