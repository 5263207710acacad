//! Keys of a configuration that are not read: what may change a model's answers is an error, and real files open.

use crate::support::{GgufModel, WEIGHTS, elements, hf_config, hf_tensors, open_directory, safetensors};
use kforge_checkpoint::gguf::write::Writer;
use kforge_checkpoint::gguf::{GgmlType, ValueType};
use kforge_checkpoint::{Checkpoint, Storage};
use serde::Deserialize;
use serde_json::{Value, json};

const GGUF: &str = include_str!("../data/gguf_metadata.txt");
const HF: &str = include_str!("../data/hf_configs.json");

/// The keys of the small models that say its sizes, in both formats.
const SIZES: [(&str, u32); 16] = [
    ("block_count", 1),
    ("embedding_length", 64),
    ("feed_forward_length", 32),
    ("attention.head_count", 2),
    ("attention.head_count_kv", 1),
    ("attention.key_length", 32),
    ("attention.value_length", 32),
    ("rope.dimension_count", 32),
    ("vocab_size", 4),
    ("num_hidden_layers", 1),
    ("hidden_size", 64),
    ("intermediate_size", 32),
    ("num_attention_heads", 2),
    ("num_key_value_heads", 1),
    ("head_dim", 32),
    ("max_window_layers", 1),
];

fn size(key: &str) -> Option<u32> {
    SIZES.iter().find(|(name, _)| *name == key).map(|(_, size)| *size)
}

/// Biases that qwen2 has beside the weights.
const BIASES: [(&str, &str, &[usize]); 3] = [
    ("blk.0.attn_q.bias", "model.layers.0.self_attn.q_proj.bias", &[64]),
    ("blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias", &[32]),
    ("blk.0.attn_v.bias", "model.layers.0.self_attn.v_proj.bias", &[32]),
];

/// Writes a line `KEY TYPE = VALUE`, or `KEY arr[TYPE,N]`, of which the elements do not matter.
fn write_line(writer: &mut Writer, line: &str) {
    let (key, rest) = line.split_once(' ').unwrap();
    if let Some(array) = rest.strip_prefix("arr[") {
        let element = match array.split_once(',').unwrap().0 {
            "str" => ValueType::String,
            "i32" => ValueType::I32,
            "f32" => ValueType::F32,
            other => panic!("{other}"),
        };
        let empty = [&element.id().to_le_bytes()[..], &0u64.to_le_bytes()].concat();
        writer.raw(key, ValueType::Array.id(), &empty);
        return;
    }
    let (ty, value) = rest.split_once(" = ").unwrap();
    let size = key.split_once('.').and_then(|(_, key)| size(key));
    match ty {
        "u32" => writer.u32(key, size.unwrap_or_else(|| value.parse().unwrap())),
        "i32" => writer.raw(key, ValueType::I32.id(), &value.parse::<i32>().unwrap().to_le_bytes()),
        "f32" => writer.f32(key, value.parse().unwrap()),
        "bool" => writer.bool(key, value.parse().unwrap()),
        "str" => writer.string(key, value),
        other => panic!("{other}"),
    };
}

#[test]
fn real_gguf_files_open() {
    let files: Vec<&str> = GGUF.split("\n== ").skip(1).collect();
    assert_eq!(files.len(), 8);
    for file in files {
        let (name, lines) = file.split_once('\n').unwrap();
        let mut writer = Writer::new();
        lines.lines().filter(|line| !line.is_empty()).for_each(|line| write_line(&mut writer, line));
        let biases = if lines.contains("qwen2.block_count") { &BIASES[..] } else { &[] };
        for (name, _, dims) in WEIGHTS.iter().chain(biases) {
            writer.tensor(name, dims, GgmlType::F32, &vec![0; 4 * elements(dims)]);
        }
        let model = Checkpoint::from_gguf(Storage::from(writer.finish())).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.unread(), [], "{name}");
    }
}

#[derive(Deserialize)]
struct Real {
    origin: String,
    config: serde_json::Map<String, Value>,
}

#[test]
fn real_config_files_open() {
    let files: Vec<Real> = serde_json::from_str(HF).unwrap();
    assert_eq!(files.len(), 9);
    for Real { origin, mut config } in files {
        for (key, value) in &mut config {
            if let (Some(size), Value::Number(_)) = (size(key), &*value) {
                *value = size.into();
            }
        }
        // One of the files is quoted without it.
        config.entry("vocab_size").or_insert(json!(4));
        let mut tensors = hf_tensors();
        if config["model_type"] == "qwen2" {
            tensors.extend(BIASES.map(|(_, name, dims)| (name.to_owned(), "BF16", dims.to_vec())));
        }
        if config["tie_word_embeddings"] == false {
            tensors.push(("lm_head.weight".to_owned(), "BF16", vec![4, 64]));
        }
        let config = Value::Object(config).to_string();
        let files = [("config.json", config.as_bytes()), ("model.safetensors", &safetensors(&tensors))];
        let model = open_directory(&files).unwrap_or_else(|error| panic!("{origin}: {error}"));
        assert!(model.unread().iter().any(|unread| unread.key == "use_cache" && unread.value == "true"), "{origin}");
        assert!(model.unread().iter().all(|unread| !unread.ignored));
    }
}

fn open_hf(key: &str, value: Value) -> Result<Checkpoint, String> {
    let mut config = hf_config();
    config[key] = value;
    let config = config.to_string();
    open_directory(&[("config.json", config.as_bytes()), ("model.safetensors", &safetensors(&hf_tensors()))])
}

#[test]
fn keys_of_config_json_that_may_change_the_answer_are_errors() {
    let error = open_hf("attention_multiplier", json!(0.5)).unwrap_err();
    assert_eq!(
        error,
        "config.json: `attention_multiplier`: it is 0.5, which may change what the model computes, and is not supported; \
         --ignore-config attention_multiplier goes on without it, at the risk of wrong answers"
    );
    for (key, value, expected) in [
        ("rope_twist", json!(3), "`rope_twist`: it is 3,"),
        ("rope_twist", json!(0), "`rope_twist`: it is 0,"),
        ("use_qk_norm", json!(true), "`use_qk_norm`: it is true,"),
        ("mlp_bias", json!(true), "`mlp_bias`: it is true,"),
        ("bias", json!(true), "`bias`: it is true,"),
        ("sliding_window", json!(64), "`sliding_window`: it is 64,"),
        ("use_sliding_window", json!(true), "`use_sliding_window`: it is true,"),
        ("layer_types", json!(["sliding_attention"]), "`layer_types`: it is [\"sliding_attention\"],"),
        ("final_logit_softcapping", json!(30.0), "`final_logit_softcapping`: it is 30.0,"),
        ("logit_scale", json!(0.0625), "`logit_scale`: it is 0.0625,"),
        ("embedding_multiplier", json!(12.0), "`embedding_multiplier`: it is 12.0,"),
        ("attention_multiplier", json!(1.0), "`attention_multiplier`: it is 1.0,"),
        ("num_local_experts", json!(8), "`num_local_experts`: it is 8,"),
        ("hidden_activation", json!("gelu"), "`hidden_activation`: it is \"gelu\","),
        ("is_causal", json!(false), "`is_causal`: it is false,"),
        ("attention_config", json!({"clip_qkv": 8}), "`attention_config.clip_qkv`: it is 8,"),
        (
            "rope_scaling",
            json!({"rope_type": "default", "mrope_section": [1, 1]}),
            "`rope_scaling.mrope_section`: it is [1,1],",
        ),
        ("rope_scaling", json!({"rope_type": "default", "type": "linear"}), "`rope_scaling.type`: it is \"linear\","),
        ("rope_parameters", json!({"mscale": 0.5}), "`rope_parameters.mscale`: it is 0.5,"),
        (
            "rope_parameters",
            json!({"full_attention": {"rope_theta": 1}}),
            "`rope_parameters.full_attention.rope_theta`: it is 1,",
        ),
    ] {
        let error = open_hf(key, value).unwrap_err();
        assert!(error.strip_prefix("config.json: ").unwrap().starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn neutral_values_of_config_json_are_passed_over() {
    for (key, value) in [
        ("partial_rotary_factor", json!(1.0)),
        ("rope_twist", Value::Null),
        ("use_qk_norm", json!(false)),
        ("attention_dropout", json!(0.3)),
        ("_attn_implementation_autoset", json!(true)),
        ("sliding_window", json!(128)),
        ("use_sliding_window", json!(false)),
        ("max_window_layers", json!(28)),
        ("layer_types", json!(["full_attention"])),
        ("num_experts", json!(0)),
        ("attention_multiplier", json!(32f64.powf(-0.5))),
        ("query_pre_attn_scalar", json!(32)),
        ("hidden_activation", json!("silu")),
        ("rope_scaling", json!({"rope_type": "default", "type": "default", "factor": 1.0})),
        ("rope_scaling", json!({"type": "linear", "factor": 2, "original_max_position_embeddings": 64})),
        ("anything", json!({"else": [1, {"deep": "x"}]})),
    ] {
        open_hf(key, value.clone()).unwrap_or_else(|error| panic!("{key} {value}: {error}"));
    }
}

#[test]
fn what_is_said_twice_must_be_the_same() {
    let both = |theta: f64, scaling: Value| {
        let mut config = hf_config();
        config["rope_theta"] = json!(theta);
        config["rope_scaling"] = scaling;
        config["rope_parameters"] = json!({"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0});
        let config = config.to_string();
        open_directory(&[("config.json", config.as_bytes()), ("model.safetensors", &safetensors(&hf_tensors()))])
    };
    let model = both(5e5, json!({"rope_type": "linear", "factor": 2})).unwrap();
    assert_eq!((model.config().rope_base, model.config().rope_divisors.as_deref()), (5e5, Some(&[2.0; 16][..])));
    let error = both(1e4, Value::Null).unwrap_err();
    assert!(error.starts_with("config.json: `rope_theta`: it is 10000.0,"), "{error}");
    let error = both(5e5, json!({"factor": 4.0, "rope_type": "dynamic"})).unwrap_err();
    let also = "(and so are `rope_scaling.rope_type` = \"dynamic\")";
    assert!(error.starts_with("config.json: `rope_scaling.factor`: it is 4.0,") && error.contains(also), "{error}");
}

#[test]
fn biases_follow_the_config() {
    let all: Vec<_> = [&BIASES[..], &[("", "model.layers.0.self_attn.o_proj.bias", &[64])]].concat();
    let open = |biased: Option<bool>, biases: &[(&str, &str, &[usize])]| {
        let mut config = hf_config();
        config["attention_bias"] = json!(biased);
        let mut tensors = hf_tensors();
        tensors.extend(biases.iter().map(|(_, name, dims)| ((*name).to_owned(), "BF16", dims.to_vec())));
        let config = config.to_string();
        open_directory(&[("config.json", config.as_bytes()), ("model.safetensors", &safetensors(&tensors))])
    };
    assert!(open(Some(true), &all).unwrap().has("blk.0.attn_output.bias"));
    // transformers gives zeros to a bias that a file lacks, as converters of qwen2 to llama rely on for the output's.
    assert!(open(Some(true), &BIASES).unwrap().has("blk.0.attn_q.bias"));
    assert!(open(None, &[]).is_ok() && open(Some(false), &[]).is_ok());
    let error = open(Some(true), &[]).unwrap_err();
    assert!(error.contains("tensor `blk.0.attn_q.bias`: the tensor is missing"), "{error}");
    for biased in [None, Some(false)] {
        let error = open(biased, &BIASES).unwrap_err();
        assert!(error.contains("tensor `blk.0.attn_k.bias`: "), "{error}");
    }
}

fn open_gguf(write: impl Fn(&mut Writer) + 'static) -> Result<Checkpoint, String> {
    GgufModel::new().with(write).open().map_err(|error| error.to_string())
}

#[test]
fn keys_of_gguf_that_may_change_the_answer_are_errors() {
    type Write = for<'w> fn(&'w mut Writer, &str) -> &'w mut Writer;
    let cases: [(&str, Write); 12] = [
        ("llama.partial_rotary_factor`: it is 0.5,", |writer, key| writer.f32(key, 0.5)),
        ("llama.rope.twist`: it is 3,", |writer, key| writer.u32(key, 3)),
        ("llama.rope.twist`: it is 0,", |writer, key| writer.u32(key, 0)),
        (r"llama.rope_twist`: it is x\n,", |writer, key| writer.string(key, "x\n")),
        ("llama.attention.scale`: it is 0.25,", |writer, key| writer.f32(key, 0.25)),
        ("llama.attention.scale`: it is NaN,", |writer, key| writer.f32(key, f32::NAN)),
        ("llama.logit_scale`: it is 16,", |writer, key| writer.f32(key, 16.0)),
        ("llama.final_logit_softcapping`: it is 30,", |writer, key| writer.f32(key, 30.0)),
        ("llama.rope.scaling.attn_factor`: it is 1.5,", |writer, key| writer.f32(key, 1.5)),
        ("llama.attention.causal`: it is false,", |writer, key| writer.bool(key, false)),
        ("llama.expert_used_count`: it is 2,", |writer, key| writer.u32(key, 2)),
        ("llama.rope.dimension_sections`: it is 2 i32 [1, 2],", |writer, key| writer.i32s(key, &[1, 2])),
    ];
    for (expected, write) in cases {
        let key = expected.split_once('`').unwrap().0.to_owned();
        let error = open_gguf(move |writer| {
            write(writer, &key);
        })
        .unwrap_err();
        assert!(error.starts_with(&format!("`{expected}")), "{error}\nexpected {expected}");
    }
    let error = open_gguf(|writer| {
        writer.string("llama.rope.scaling.type", "none").f32("llama.rope.scaling.factor", 4.0);
    });
    assert!(error.unwrap_err().starts_with("`llama.rope.scaling.factor`: it is 4,"));
}

#[test]
fn neutral_values_of_gguf_are_passed_over() {
    let model = open_gguf(|writer| {
        writer
            .string("llama.tensor_data_layout", "Meta AI original pth")
            .u32("llama.rope.scaling.original_context_length", 64)
            .bool("llama.rope.scaling.finetuned", true)
            .f32("llama.rope.scaling.attn_factor", 1.0)
            .f32("llama.rope.scaling.factor", 0.0)
            .f32("llama.attention.scale", 32f32.powf(-0.5))
            .f32("llama.logit_scale", 1.0)
            .f32("llama.attn_logit_softcapping", 0.0)
            .u32("llama.expert_used_count", 0)
            .u32("llama.expert_count", 0)
            .u32("llama.attention.head_dim", 32)
            .i32s("llama.swiglu_clamp_exp", &[0])
            .string("other.rope.twist", "of another namespace");
    });
    let model = model.unwrap();
    assert_eq!(model.config().rope_divisors, None);
    let keys: Vec<&str> = model.unread().iter().map(|unread| unread.key.as_str()).collect();
    assert_eq!((keys.len(), keys[0], keys[10]), (11, "llama.tensor_data_layout", "other.rope.twist"));
    let listed = model.describe().unread;
    assert_eq!((listed[10].key.as_str(), listed[10].value.as_str()), ("other.rope.twist", "of another namespace"));
}

#[test]
fn a_caller_may_ignore_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    let write = |writer: &mut Writer| {
        writer.u32("llama.rope.twist", 3).u32("llama.bend", 1);
    };
    std::fs::write(&path, GgufModel::new().with(write).bytes()).unwrap();
    let ignore = ["llama.rope.twist", "llama.bend", "llama.absent"].map(str::to_owned);
    let model = Checkpoint::open_ignoring(&path, &ignore).unwrap();
    let unread: Vec<_> = model.unread().iter().map(|u| (u.key.as_str(), u.value.as_str(), u.ignored)).collect();
    assert_eq!(unread, [("llama.rope.twist", "3", true), ("llama.bend", "1", true)]);
    let error = Checkpoint::open_ignoring(&path, &ignore[..1]).unwrap_err().to_string();
    assert!(error.contains("model: `llama.bend`: it is 1,"), "{error}");
}

#[test]
fn tensors_of_a_layer_that_the_model_does_not_use_are_errors() {
    for (name, dims) in
        [("blk.0.attn_q_norm.weight", &[32][..]), ("blk.0.ffn_up.bias", &[32]), ("rope_factors_long", &[16])]
    {
        let error = open_gguf(move |writer| {
            writer.tensor(name, dims, GgmlType::F32, &vec![0; 4 * elements(dims)]);
        });
        let error = error.unwrap_err();
        assert!(error.starts_with(&format!("tensor `{name}`: no model of a supported architecture has it")), "{error}");
    }
}
