//! Writes GGUF files: for random models, for exports and for tests.

use super::types::{GgmlType, ValueType};
use super::{DEFAULT_ALIGNMENT, MAGIC};

/// Collects metadata and tensors, then lays out a version 3 file.
///
/// Nothing is checked: a test may write a file that the reader must reject. A large file need not be in memory: its
/// tensors are declared, and their data follows the [`header`](Writer::header), each padded by [`padding`].
#[derive(Default)]
pub struct Writer {
    metadata: Vec<u8>,
    entries: u64,
    infos: Vec<u8>,
    tensors: u64,
    /// Bytes of the tensors' data, padding included.
    data_end: u64,
    data: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// A value of any type number, its bytes already encoded.
    pub fn raw(&mut self, key: &str, type_id: u32, value: &[u8]) -> &mut Self {
        push_string(&mut self.metadata, key);
        self.metadata.extend(type_id.to_le_bytes());
        self.metadata.extend(value);
        self.entries += 1;
        self
    }

    pub fn u32(&mut self, key: &str, value: u32) -> &mut Self {
        self.raw(key, ValueType::U32.id(), &value.to_le_bytes())
    }

    pub fn f32(&mut self, key: &str, value: f32) -> &mut Self {
        self.raw(key, ValueType::F32.id(), &value.to_le_bytes())
    }

    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, ValueType::Bool.id(), &[u8::from(value)])
    }

    pub fn string(&mut self, key: &str, value: &str) -> &mut Self {
        let mut bytes = Vec::new();
        push_string(&mut bytes, value);
        self.raw(key, ValueType::String.id(), &bytes)
    }

    pub fn strings<S: AsRef<str>>(&mut self, key: &str, values: &[S]) -> &mut Self {
        let mut bytes = array_header(ValueType::String, values.len());
        values.iter().for_each(|value| push_string(&mut bytes, value.as_ref()));
        self.raw(key, ValueType::Array.id(), &bytes)
    }

    pub fn bools(&mut self, key: &str, values: &[bool]) -> &mut Self {
        let mut bytes = array_header(ValueType::Bool, values.len());
        bytes.extend(values.iter().map(|value| u8::from(*value)));
        self.raw(key, ValueType::Array.id(), &bytes)
    }

    pub fn i32s(&mut self, key: &str, values: &[i32]) -> &mut Self {
        let mut bytes = array_header(ValueType::I32, values.len());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.raw(key, ValueType::Array.id(), &bytes)
    }

    pub fn f32s(&mut self, key: &str, values: &[f32]) -> &mut Self {
        let mut bytes = array_header(ValueType::F32, values.len());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.raw(key, ValueType::Array.id(), &bytes)
    }

    /// A tensor of `dims` in row-major order, the slowest first.
    pub fn tensor(&mut self, name: &str, dims: &[usize], ty: GgmlType, data: &[u8]) -> &mut Self {
        self.declare(name, dims, ty, data.len() as u64);
        self.data.extend(data);
        self.data.extend(padding(data.len() as u64));
        self
    }

    /// A tensor whose `bytes` of data the caller writes.
    pub fn declare(&mut self, name: &str, dims: &[usize], ty: GgmlType, bytes: u64) -> &mut Self {
        push_string(&mut self.infos, name);
        self.infos.extend((dims.len() as u32).to_le_bytes());
        for extent in dims.iter().rev() {
            self.infos.extend((*extent as u64).to_le_bytes());
        }
        self.infos.extend(ty.id.to_le_bytes());
        self.infos.extend(self.data_end.to_le_bytes());
        self.data_end += bytes + padding(bytes).len() as u64;
        self.tensors += 1;
        self
    }

    /// The file up to the tensors' data.
    pub fn header(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend(self.tensors.to_le_bytes());
        file.extend(self.entries.to_le_bytes());
        file.extend(&self.metadata);
        file.extend(&self.infos);
        file.extend(padding(file.len() as u64));
        file
    }

    /// The file.
    pub fn finish(&self) -> Vec<u8> {
        let mut file = self.header();
        file.extend(&self.data);
        file
    }
}

/// What follows `bytes` of data, so that the next tensor's are aligned.
pub fn padding(bytes: u64) -> &'static [u8] {
    const ZEROS: [u8; DEFAULT_ALIGNMENT as usize] = [0; DEFAULT_ALIGNMENT as usize];
    let rest = (bytes % u64::from(DEFAULT_ALIGNMENT)) as usize;
    if rest == 0 { &[] } else { &ZEROS[rest..] }
}

fn push_string(bytes: &mut Vec<u8>, value: &str) {
    bytes.extend((value.len() as u64).to_le_bytes());
    bytes.extend(value.as_bytes());
}

fn array_header(element: ValueType, len: usize) -> Vec<u8> {
    let mut bytes = element.id().to_le_bytes().to_vec();
    bytes.extend((len as u64).to_le_bytes());
    bytes
}
