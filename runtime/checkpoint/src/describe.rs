//! Metadata and tensors of a checkpoint, as rows of a table.

use crate::Checkpoint;
use crate::checkpoint::Source;
use serde::Serialize;

/// Everything in the files except the tensors' data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// In the file's order; for a Hugging Face model the keys of `config.json`, then the safetensors metadata.
    pub metadata: Vec<MetadataRow>,
    /// The keys of the configuration that nothing reads, as they do not change what the model computes or are ignored.
    pub unread: Vec<MetadataRow>,
    /// In the file's order, under the file's names, those that the model does not use included.
    pub tensors: Vec<TensorRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetadataRow {
    pub key: String,
    /// In one line, with control characters escaped; long arrays are shortened.
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorRow {
    pub name: String,
    /// Row-major, the slowest first.
    pub dims: Vec<usize>,
    /// The file's name of the type: `Q4_1`.
    #[serde(rename = "type")]
    pub ty: String,
    pub bytes: u64,
}

impl Checkpoint {
    /// Metadata and tensors, for a listing.
    pub fn describe(&self) -> Description {
        let unread = self.unread().iter().map(|unread| metadata(&unread.key, &unread.value)).collect();
        match self.source() {
            Source::Gguf(gguf) => Description {
                unread,
                metadata: gguf.metadata().map(|(key, value)| metadata(key, &gguf.display(value))).collect(),
                tensors: gguf
                    .tensors()
                    .iter()
                    .map(|info| tensor(&info.name, &info.dims, info.ty.to_string(), info.range.len()))
                    .collect(),
            },
            Source::HuggingFace { config, shards, .. } => Description {
                unread,
                metadata: config
                    .iter()
                    .map(|(key, value)| metadata(key, &value.to_string()))
                    .chain(shards.metadata.iter().map(|(key, value)| metadata(key, value)))
                    .collect(),
                tensors: shards
                    .tensors
                    .iter()
                    .map(|info| tensor(&info.name, &info.dims, format!("{:?}", info.dtype), info.range.len()))
                    .collect(),
            },
        }
    }
}

fn metadata(key: &str, value: &str) -> MetadataRow {
    MetadataRow { key: escape(key), value: escape(value) }
}

fn tensor(name: &str, dims: &[usize], ty: String, bytes: usize) -> TensorRow {
    TensorRow { name: escape(name), dims: dims.to_vec(), ty, bytes: bytes as u64 }
}

/// Escapes control characters, which a file may contain and a terminal would interpret.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => escaped.extend(char.escape_default()),
            false => escaped.push(char),
        }
    }
    escaped
}
