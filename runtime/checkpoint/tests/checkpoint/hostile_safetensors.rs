//! Safetensors models that are truncated, damaged or malicious: one clear error each.

use crate::support::{hf_config, hf_tensors, open_directory, open_without_path, safetensors, with_header};
use serde_json::{Value, json};

fn error_of(files: &[(&str, &[u8])]) -> String {
    open_directory(files).err().unwrap_or_else(|| "no error".to_owned())
}

fn check(error: &str, expected: &str) {
    assert!(error.starts_with(expected), "{error}\nexpected {expected}");
}

#[test]
fn damaged_headers() {
    let entry = |text: &str| with_header(&format!("{{\"x\":{text}}}"), &[0; 8]);
    let huge = u64::MAX / 8;
    let cases = [
        (Vec::new(), "the file has 0 bytes, and its length alone takes 8"),
        (vec![1, 2, 3], "the file has 3 bytes, and its length alone takes 8"),
        (u64::MAX.to_le_bytes().to_vec(), "a length of 18446744073709551615 bytes cannot be right"),
        (100u64.to_le_bytes().to_vec(), "it has 100 bytes, but 0 follow: the file is truncated"),
        (with_header("", &[]), "EOF while parsing"),
        (with_header("[1, 2]", &[]), "invalid type: "),
        (with_header("{\"\u{0}", &[]), "control character"),
        (with_header(&"[".repeat(5000), &[]), "invalid type: "),
        (
            entry(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#)[..66].to_vec(),
            "its tensors take 8 bytes, but 4 follow",
        ),
        (entry(r#"{"dtype":"Q4_0","shape":[2],"data_offsets":[0,8]}"#), "unknown variant `Q4_0`"),
        (entry(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#), "invalid shape, data type, or offset"),
        (entry(r#"{"dtype":"F16","shape":[2],"data_offsets":[0,8]}"#), "invalid shape, data type, or offset"),
        (entry(r#"{"dtype":"F32","shape":[2],"data_offsets":[4,12]}"#), "invalid offset for tensor `x`"),
        (entry(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#), "invalid offset for tensor `x`"),
        (entry(r#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#), "invalid value: integer `-2`"),
        (entry(r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#), "its tensors take 16 bytes, but 8 follow"),
        (
            entry(&format!(r#"{{"dtype":"F32","shape":[{huge},{huge}],"data_offsets":[0,8]}}"#)),
            "overflow computing buffer size",
        ),
        (
            with_header(
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                &[0; 12],
            ),
            "invalid offset for tensor `b`",
        ),
    ];
    let config = hf_config().to_string();
    for (file, expected) in cases {
        let error = error_of(&[("config.json", config.as_bytes()), ("model.safetensors", &file)]);
        let cause = error.strip_prefix("model.safetensors: the safetensors header: ").unwrap_or(&error);
        assert!(cause.contains(expected), "{error}\nexpected {expected}");
    }
}

/// Sizes of eight tensors that add up beyond 64 bits: the sum must not wrap to the file's length.
#[test]
fn sizes_that_wrap() {
    let mut header = serde_json::Map::new();
    let size = (1u64 << 61) - 1;
    for i in 0..8 {
        let entry = json!({"dtype": "U8", "shape": [size], "data_offsets": [i * size, (i + 1) * size]});
        header.insert(format!("t{i}"), entry);
    }
    let file = with_header(&Value::Object(header).to_string(), &[0; 8]);
    let config = hf_config().to_string();
    let error = error_of(&[("config.json", config.as_bytes()), ("model.safetensors", &file)]);
    check(
        &error,
        "model.safetensors: the safetensors header: its tensors take 18446744073709551608 bytes, but 8 follow",
    );
}

#[test]
fn every_truncation_is_an_error() {
    let config = hf_config().to_string();
    let file = safetensors(&hf_tensors());
    for length in (0..file.len()).step_by(61).chain([7, 8, 9, file.len() - 1]) {
        let error = error_of(&[("config.json", config.as_bytes()), ("model.safetensors", &file[..length])]);
        check(&error, "model.safetensors: the safetensors header: ");
    }
}

#[test]
fn configs_that_are_missing_or_make_no_sense() {
    let weights = safetensors(&hf_tensors());
    let open = |config: &[u8]| error_of(&[("config.json", config), ("model.safetensors", &weights)]);
    check(&error_of(&[("model.safetensors", &weights)]), "config.json: ");
    check(&open(b""), "config.json: not the JSON expected here: EOF while parsing");
    check(&open(b"[]"), "config.json: not the JSON expected here: invalid type: sequence");
    check(&open(b"{\"a\": \"\xff\"}"), "config.json: not the JSON expected here: ");
    check(&open("[".repeat(100_000).as_bytes()), "config.json: not the JSON expected here: ");
    for key in [
        "model_type",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ] {
        let mut config = hf_config();
        config.as_object_mut().unwrap().remove(key);
        assert_eq!(open(config.to_string().as_bytes()), format!("config.json: `{key}`: the key is missing"));
    }
    let cases = [
        (
            "model_type",
            json!("gpt2"),
            "`model_type`: architecture `gpt2` is not supported; llama, mistral, qwen2, qwen3, ",
        ),
        ("model_type", json!(3), "`model_type`: expected a string, found 3"),
        ("hidden_size", json!("64"), "`hidden_size`: expected a non-negative integer, found a string"),
        ("hidden_size", json!(-64), "`hidden_size`: expected a non-negative integer, found -64"),
        ("hidden_size", json!(64.5), "`hidden_size`: expected a non-negative integer, found 64.5"),
        (
            "hidden_size",
            json!(68),
            "tensor `token_embd.weight`: its shape is [4, 64], but the model's config says [4, 68]",
        ),
        ("num_attention_heads", json!(0), "the model's config: hidden size 64 is not a multiple of 0 heads"),
        ("num_key_value_heads", json!(3), "the model's config: 2 heads are not a multiple of 3 kv heads"),
        ("num_hidden_layers", json!(u64::MAX), "the model's config: layers of 18446744073709551615 cannot be right"),
        (
            "vocab_size",
            json!(5),
            "tensor `token_embd.weight`: its shape is [4, 64], but the model's config says [5, 64]",
        ),
        ("head_dim", json!(u64::MAX), "the model's config: head dimension of 18446744073709551615 cannot be right"),
        ("rms_norm_eps", json!(0), "the model's config: norm epsilon of 0 cannot be right"),
        ("rms_norm_eps", json!(1e300), "the model's config: norm epsilon of inf cannot be right"),
        ("hidden_act", json!("gelu"), "`hidden_act`: activation `gelu` is not supported; silu is"),
        ("quantization_config", json!({}), "`quantization_config`: quantised safetensors are not supported"),
        (
            "rope_scaling",
            json!({"type": "dynamic"}),
            "`rope_scaling.rope_type`: rope scaling `dynamic` is not supported",
        ),
        ("rope_scaling", json!({"type": "linear"}), "`rope_scaling.factor`: the key is missing"),
        (
            "rope_scaling",
            json!({"type": "linear", "factor": 0}),
            "the model's config: rope divisor of 0 cannot be right",
        ),
        ("rope_scaling", json!("linear"), "`rope_scaling`: expected an object, found a string"),
        ("num_hidden_layers", json!(2), "tensor `blk.1.attn_norm.weight`: the tensor is missing"),
    ];
    for (key, value, expected) in cases {
        let mut config = hf_config();
        config[key] = value;
        let error = open(config.to_string().as_bytes());
        let found = error.strip_prefix("config.json: ").or(error.strip_prefix("DIR: ")).unwrap_or(&error);
        check(found, expected);
    }
}

#[test]
fn tensors_that_do_not_fit_the_model() {
    let config = hf_config().to_string();
    let open = |change: fn(&mut Vec<crate::support::Tensor>)| {
        let mut tensors = hf_tensors();
        change(&mut tensors);
        open_directory(&[("config.json", config.as_bytes()), ("model.safetensors", &safetensors(&tensors))])
    };
    let error = open(|tensors| tensors[2].2 = vec![32, 64]).unwrap_err();
    check(&error, "DIR: tensor `blk.0.attn_q.weight`: its shape is [32, 64], but the model's config says [64, 64]");
    let error = open(|tensors| tensors[1].2 = vec![0]).unwrap_err();
    check(&error, "DIR: tensor `blk.0.attn_norm.weight`: its shape is [0], but the model's config says [64]");
    let error = open(|tensors| tensors[0].0 = "transformer.wte.weight".to_owned()).unwrap_err();
    check(&error, "DIR: tensor `transformer.wte.weight`: no model of a supported architecture has it");
    let error = open(|tensors| tensors[2].0 = "model.layers.00.self_attn.q_proj.weight".to_owned()).unwrap_err();
    check(&error, "DIR: tensor `model.layers.00.self_attn.q_proj.weight`: no model of a supported architecture has it");
    let model = open(|tensors| tensors[0].1 = "F64").unwrap();
    let error = model.weight("token_embd.weight").unwrap_err().to_string();
    check(&error, "tensor `token_embd.weight`: type F64 is not supported; F32, F16, BF16, ");
}

#[test]
fn hostile_shard_indices() {
    let config = hf_config().to_string();
    let tensors = hf_tensors();
    let all = safetensors(&tensors);
    let name = &tensors[0].0;
    let index = |file: Value| json!({"weight_map": {name: file}}).to_string();
    let open = |index: &str, more: &[(&str, &[u8])]| {
        let mut files: Vec<(&str, &[u8])> =
            vec![("config.json", config.as_bytes()), ("model.safetensors.index.json", index.as_bytes())];
        files.extend(more);
        error_of(&files)
    };
    let place = "model.safetensors.index.json: ";
    for file in [
        "../model.safetensors",
        "/etc/passwd.safetensors",
        "..",
        ".",
        "",
        "a/b.safetensors",
        r"..\x.safetensors",
        "config.json",
        // An index that lists itself.
        "model.safetensors.index.json",
        "a\0.safetensors",
    ] {
        let expected = format!(
            "{place}`weight_map.{name}`: `{file}` is not the name of a .safetensors file in the model's directory"
        );
        assert_eq!(open(&index(json!(file)), &[]), expected);
    }
    check(&open(&index(json!(7)), &[]), &format!("{place}`weight_map.{name}`: expected the name of a file"));
    check(&open("{}", &[]), &format!("{place}`weight_map`: the key is missing, or no object"));
    check(&open(r#"{"weight_map": []}"#, &[]), &format!("{place}`weight_map`: the key is missing, or no object"));
    check(&open("{", &[]), "model.safetensors.index.json: not the JSON expected here: ");
    check(&open(&index(json!("gone.safetensors")), &[]), "gone.safetensors: ");

    let lying = json!({"weight_map": {name: "a.safetensors", "other": "a.safetensors"}}).to_string();
    let expected = format!("{place}tensor `other`: it is not in `a.safetensors`, where the index puts it");
    check(&open(&lying, &[("a.safetensors", &all)]), &expected);
    let twice = json!({"weight_map": {name: "a.safetensors", "other": "b.safetensors"}}).to_string();
    let expected = format!("b.safetensors: tensor `{name}`: another shard has a tensor of this name");
    check(&open(&twice, &[("a.safetensors", &all), ("b.safetensors", &all)]), &expected);
    let partial = safetensors(&tensors[..1]);
    let missing = open(&index(json!("a.safetensors")), &[("a.safetensors", &partial)]);
    check(&missing, "DIR: tensor `blk.0.attn_norm.weight`: the tensor is missing");
}

#[test]
fn paths_that_are_no_model() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| open_without_path(&directory.path().join(name), directory.path()).unwrap_err();
    check(&open("none.gguf"), "none.gguf: ");
    let files: [(&[u8], &str); 8] = [
        (b"", "it is empty"),
        (b"a text, no model", r#"it begins with "a text, ""#),
        (b"GGML\x03\0\0\0", r#"it begins with "GGML\x03\x00\x00\x00""#),
        (b"PK\x03\x04and more", "it is a zip archive, as PyTorch saves weights; convert them to safetensors"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF", "it is a Python pickle, as PyTorch saves weights; convert them to safetensors"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a pointer of Git LFS, not the file itself; fetch it"),
        (b"lmgg\x01\0\0\0\x01\0\0\0", "it is a GGML file of before GGUF; convert the model again"),
        (b"\x10\0\0\0\0\0\0\0[1, 2, 3, 4, 5 ]", r#"it begins with "\x10\x00"#),
    ];
    for (bytes, expected) in files {
        std::fs::write(directory.path().join("model.gguf"), bytes).unwrap();
        check(&open("model.gguf"), &format!("model.gguf: the file: neither GGUF nor safetensors: {expected}"));
    }
    std::fs::write(directory.path().join("model.bin"), b"GGUF").unwrap();
    check(&open("model.bin"), "model.bin: the header: 4 bytes are needed at byte 4");
    let error = open_without_path(directory.path(), directory.path()).unwrap_err();
    check(&error, "DIR: the weights: neither `model.safetensors` nor `model.safetensors.index.json`");
}

#[test]
fn a_file_is_known_by_its_first_bytes() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), hf_config().to_string()).unwrap();
    let gguf = crate::support::GgufModel::new().bytes();
    for name in ["sha256-0123abcd", "X.GGUF", "weights.safetensors", "a.b.c", " "] {
        for bytes in [&gguf, &safetensors(&hf_tensors())] {
            std::fs::write(directory.path().join(name), bytes).unwrap();
            let model = open_without_path(&directory.path().join(name), directory.path()).unwrap();
            assert_eq!(model.names().len(), 11, "{name}");
        }
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let path = directory.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
        std::fs::write(&path, &gguf).unwrap();
        assert_eq!(open_without_path(&path, directory.path()).unwrap().names().len(), 11);
    }
}

/// Whoever prints an error with its sources must not print a cause twice.
#[test]
fn a_cause_is_said_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    let config = directory.path().join("config.json");
    let weights = safetensors(&hf_tensors());
    let files: [(&[u8], &[u8], &str); 6] = [
        (b"garbage", b"{}", "neither GGUF nor safetensors"),
        (b"GGUF\x09\0\0\0", b"{}", "GGUF version 9"),
        (&weights, b"[1]", "invalid type"),
        (&weights, b"{}", "`model_type`"),
        (&weights[..40], b"{}", "the file is truncated"),
        (b"\x02\0\0\0\0\0\0\0{]", b"{}", "the safetensors header"),
    ];
    let once = |error: &dyn std::error::Error, cause: &str| {
        let chain: Vec<String> =
            std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
        assert_eq!(chain.join(": ").matches(cause).count(), 1, "{chain:?}");
    };
    for (bytes, json, cause) in files {
        std::fs::write(&path, bytes).unwrap();
        std::fs::write(&config, json).unwrap();
        once(&kforge_checkpoint::Checkpoint::open(&path).unwrap_err(), cause);
    }
    once(&kforge_checkpoint::Checkpoint::open(&directory.path().join("none")).unwrap_err(), "No such file");
    once(&kforge_checkpoint::hub::fetch("none").unwrap_err(), "expected `org/name`");
}
