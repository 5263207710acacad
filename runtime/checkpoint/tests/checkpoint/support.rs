//! Files that tests take apart: a small GGUF model, and a small safetensors model.

use kforge_checkpoint::gguf::GgmlType;
use kforge_checkpoint::gguf::write::Writer;
use kforge_checkpoint::{Checkpoint, Error, Storage};
use serde_json::{Value, json};
use std::path::Path;

/// Dimensions of both models: one layer, hidden 64, 2 heads and 1 kv head of 32, MLP 32, 4 tokens.
pub const WEIGHTS: [(&str, &str, &[usize]); 11] = [
    ("token_embd.weight", "model.embed_tokens.weight", &[4, 64]),
    ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight", &[64]),
    ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", &[64, 64]),
    ("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", &[32, 64]),
    ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", &[32, 64]),
    ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight", &[64, 64]),
    ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight", &[64]),
    ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", &[32, 64]),
    ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight", &[32, 64]),
    ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", &[64, 32]),
    ("output_norm.weight", "model.norm.weight", &[64]),
];

pub fn elements(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// Metadata of a GGUF model: each key with a closure that writes it, so that a test can leave out or replace one.
pub struct GgufModel {
    skip: Vec<String>,
    extra: Box<dyn Fn(&mut Writer)>,
}

impl GgufModel {
    pub fn new() -> Self {
        GgufModel { skip: Vec::new(), extra: Box::new(|_| ()) }
    }

    /// Leaves out a metadata key or a tensor.
    pub fn without(mut self, name: &str) -> Self {
        self.skip.push(name.to_owned());
        self
    }

    /// Writes more.
    pub fn with(mut self, extra: impl Fn(&mut Writer) + 'static) -> Self {
        self.extra = Box::new(extra);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let keep = |name: &str| !self.skip.iter().any(|skip| skip == name);
        if keep("general.architecture") {
            writer.string("general.architecture", "llama");
        }
        for (key, value) in [
            ("llama.block_count", 1),
            ("llama.context_length", 128),
            ("llama.embedding_length", 64),
            ("llama.feed_forward_length", 32),
            ("llama.attention.head_count", 2),
            ("llama.attention.head_count_kv", 1),
        ] {
            if keep(key) {
                writer.u32(key, value);
            }
        }
        if keep("llama.attention.layer_norm_rms_epsilon") {
            writer.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
        }
        (self.extra)(&mut writer);
        for (name, _, dims) in WEIGHTS {
            if keep(name) {
                writer.tensor(name, dims, GgmlType::F32, &vec![0; 4 * elements(dims)]);
            }
        }
        writer.finish()
    }

    pub fn open(&self) -> Result<Checkpoint, Error> {
        Checkpoint::from_gguf(Storage::from(self.bytes()))
    }
}

/// The config.json of the safetensors model.
pub fn hf_config() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "intermediate_size": 32, "vocab_size": 4, "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true,
    })
}

/// A tensor to write: name, dtype, dims.
pub type Tensor = (String, &'static str, Vec<usize>);

/// All weights of the safetensors model, in BF16.
pub fn hf_tensors() -> Vec<Tensor> {
    WEIGHTS.iter().map(|(_, name, dims)| ((*name).to_owned(), "BF16", dims.to_vec())).collect()
}

/// The bytes of a safetensors file. Byte i of the data is i modulo 251.
pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, dtype, dims) in tensors {
        let bytes = elements(dims)
            * match *dtype {
                "F32" | "I32" => 4,
                "F64" => 8,
                _ => 2,
            };
        header.insert(name.clone(), json!({"dtype": dtype, "shape": dims, "data_offsets": [end, end + bytes]}));
        end += bytes;
    }
    let data: Vec<u8> = (0..end).map(|i| (i % 251) as u8).collect();
    with_header(&Value::Object(header).to_string(), &data)
}

/// A safetensors file of any header.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Writes the files of a directory, opens it, and gives the error with the directory's own path taken out.
pub fn open_directory(files: &[(&str, &[u8])]) -> Result<Checkpoint, String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    open_without_path(directory.path(), directory.path())
}

pub fn open_without_path(path: &Path, directory: &Path) -> Result<Checkpoint, String> {
    let name = directory.display().to_string();
    Checkpoint::open(path).map_err(|error| error.to_string().replace(&format!("{name}/"), "").replace(&name, "DIR"))
}
