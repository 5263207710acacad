//! Configs of valid models: scaling, windows, tying, biases, and the mapping of names.

use crate::support::{GgufModel, elements, hf_config, hf_tensors, open_directory, safetensors};
use kforge_checkpoint::gguf::GgmlType;
use kforge_checkpoint::{Arch, Checkpoint, Element, RopeMode};
use serde_json::{Value, json};

/// The safetensors model with these keys of its config replaced, and tensors added.
fn open_hf(changes: Value, more: &[(&str, &[usize])]) -> Result<Checkpoint, String> {
    let mut config = hf_config();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let mut tensors = hf_tensors();
    tensors.extend(more.iter().map(|(name, dims)| ((*name).to_owned(), "F32", dims.to_vec())));
    let config = config.to_string();
    open_directory(&[("config.json", config.as_bytes()), ("model.safetensors", &safetensors(&tensors))])
}

#[test]
fn safetensors_weights_get_canonical_names() {
    let model = open_hf(json!({}), &[]).unwrap();
    assert_eq!(model.config().rope_mode, RopeMode::Half);
    assert!(model.config().tied_embedding && !model.has("output.weight"));
    let names: Vec<&str> = crate::support::WEIGHTS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(model.names(), names);
    let mut start = 0;
    for (name, _, dims) in crate::support::WEIGHTS {
        let weight = model.weight(name).unwrap();
        assert_eq!((weight.dims, weight.element), (dims, Element::BF16));
        let data: Vec<u8> = (start..start + 2 * elements(dims)).map(|i| (i % 251) as u8).collect();
        assert_eq!(weight.bytes, data, "{name}");
        start += 2 * elements(dims);
    }
    assert_eq!(model.describe().tensors.len(), 11);
}

#[test]
fn an_output_is_used_unless_tied() {
    let output: &[(&str, &[usize])] = &[("lm_head.weight", &[4, 64])];
    let untied = open_hf(json!({"tie_word_embeddings": false}), output).unwrap();
    assert!(!untied.config().tied_embedding && untied.has("output.weight"));
    let tied = open_hf(json!({}), output).unwrap();
    assert!(tied.config().tied_embedding && !tied.has("output.weight"));
    assert!(open_hf(json!({"tie_word_embeddings": null}), &[]).unwrap().config().tied_embedding);
}

#[test]
fn buffers_of_old_checkpoints_are_ignored() {
    let model = open_hf(json!({}), &[("model.layers.0.self_attn.rotary_emb.inv_freq", &[16])]).unwrap();
    assert_eq!(model.names().len(), 11);
}

#[test]
fn windows_follow_the_architecture() {
    let window = |changes| open_hf(changes, &[]).map(|model| model.config().window);
    assert_eq!(window(json!({"model_type": "mistral", "sliding_window": 64})), Ok(Some(64)));
    assert_eq!(window(json!({"model_type": "mistral", "sliding_window": null})), Ok(None));
    // MistralConfig's default;
    assert_eq!(window(json!({"model_type": "mistral"})), Ok(Some(4096)));
    assert_eq!(window(json!({"model_type": "llama", "sliding_window": null})), Ok(None));
}

#[test]
fn qwen2_has_biases_and_a_window_of_its_own() {
    let biases: &[(&str, &[usize])] = &[
        ("model.layers.0.self_attn.q_proj.bias", &[64]),
        ("model.layers.0.self_attn.k_proj.bias", &[32]),
        ("model.layers.0.self_attn.v_proj.bias", &[32]),
    ];
    let open = |changes: Value| {
        let mut all = json!({"model_type": "qwen2"});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        open_hf(all, biases)
    };
    let model = open(json!({"sliding_window": 64})).unwrap();
    assert_eq!(model.config().window, None);
    assert_eq!(model.weight("blk.0.attn_k.bias").unwrap().dims, [32]);
    let window = |first| {
        open(json!({"sliding_window": 64, "use_sliding_window": true, "max_window_layers": first, "num_hidden_layers": 1}))
            .map(|model| model.config().window)
    };
    assert_eq!(window(0), Ok(Some(64)));
    assert_eq!(window(1), Ok(None));
    let error = open_hf(json!({"model_type": "qwen2"}), &[]).unwrap_err();
    assert!(error.contains("tensor `blk.0.attn_q.bias`: the tensor is missing"), "{error}");
}

#[test]
fn qwen3_has_norms_of_heads_and_their_size() {
    let norms: &[(&str, &[usize])] =
        &[("model.layers.0.self_attn.q_norm.weight", &[32]), ("model.layers.0.self_attn.k_norm.weight", &[32])];
    let model = open_hf(json!({"model_type": "qwen3", "head_dim": 32}), norms).unwrap();
    assert_eq!(model.weight("blk.0.attn_q_norm.weight").unwrap().dims, [32]);
    let error = open_hf(json!({"model_type": "qwen3", "head_dim": 32}), &norms[..1]).unwrap_err();
    assert!(error.contains("tensor `blk.0.attn_k_norm.weight`: the tensor is missing"), "{error}");
    // Qwen3Config's default.
    let error = open_hf(json!({"model_type": "qwen3", "head_dim": null}), norms).unwrap_err();
    assert!(error.contains("the model's config says [256, 64]"), "{error}");
    // Of no other family.
    let error = open_hf(json!({}), norms).unwrap_err();
    assert!(error.contains("tensor `model.layers.0.self_attn.q_norm.weight`: no model"), "{error}");
    let error = open_hf(json!({"model_type": "qwen3_moe"}), norms).unwrap_err();
    let expected = format!("architecture `qwen3_moe` is not supported; {} are", Arch::hugging_face_names());
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn rope_scaling_becomes_divisors() {
    let divisors = |changes| open_hf(changes, &[]).unwrap().config().rope_divisors.clone();
    assert_eq!(divisors(json!({"rope_scaling": {"type": "linear", "factor": 4.0}})), Some(vec![4.0; 16]));
    assert_eq!(divisors(json!({"rope_scaling": {"rope_type": "default"}})), None);
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let scaled = divisors(json!({"rope_theta": 500000.0, "rope_scaling": llama3})).unwrap();
    assert_eq!((scaled[0], scaled[15], scaled.len()), (1.0, 8.0, 16));
    let newer = open_hf(json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}), &[]).unwrap();
    assert_eq!(newer.config().rope_base, 500_000.0);
}

#[test]
fn gguf_scaling_is_the_product_of_factor_and_tensor() {
    let factors: Vec<u8> = (1..=16).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let model = GgufModel::new()
        .with(move |writer| {
            writer.string("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 2.0);
            writer.tensor("rope_freqs.weight", &[16], GgmlType::F32, &factors);
        })
        .open()
        .unwrap();
    let expected: Vec<f32> = (1..=16).map(|i| 2.0 * i as f32).collect();
    assert_eq!(model.config().rope_divisors, Some(expected));
    assert!(!model.has("rope_freqs.weight"));

    let linear = GgufModel::new()
        .with(|writer| {
            writer.f32("llama.rope.scale_linear", 4.0);
        })
        .open()
        .unwrap();
    assert_eq!(linear.config().rope_divisors, Some(vec![4.0; 16]));
    let plain = GgufModel::new()
        .with(|writer| {
            writer.string("llama.rope.scaling.type", "none");
        })
        .open()
        .unwrap();
    assert_eq!(plain.config().rope_divisors, None);
}

#[test]
fn one_safetensors_file_opens_beside_its_config() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), hf_config().to_string()).unwrap();
    let path = directory.path().join("weights.safetensors");
    std::fs::write(&path, safetensors(&hf_tensors())).unwrap();
    assert_eq!(Checkpoint::open(&path).unwrap().names().len(), 11);
}

#[test]
fn shards_are_one_model() {
    let tensors = hf_tensors();
    let (first, second) = tensors.split_at(5);
    let map: serde_json::Map<String, Value> = tensors
        .iter()
        .enumerate()
        .map(|(i, (name, ..))| (name.clone(), json!(if i < 5 { "b.safetensors" } else { "a.safetensors" })))
        .collect();
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    let (first, second) = (safetensors(first), safetensors(second));
    let model = open_directory(&[
        ("config.json", hf_config().to_string().as_bytes()),
        ("model.safetensors.index.json", index.as_bytes()),
        ("b.safetensors", &first),
        ("a.safetensors", &second),
    ])
    .unwrap();
    assert_eq!(model.names().len(), 11);
    assert_eq!(model.file_bytes(), (first.len() + second.len()) as u64);
    assert_eq!(model.weight("token_embd.weight").unwrap().bytes[..3], [0, 1, 2]);
}

/// The keys of layers, where `layer_types` and the other formats' keys do not fit the number of layers, or say what no kernel
/// computes.
#[test]
fn keys_of_layers_fit_the_layers() {
    let error = |changes: Value| open_hf(changes, &[]).unwrap_err();
    for (changes, expected) in [
        (json!({"model_type": "mistral", "layer_types": []}), "`layer_types`: expected an array of 1 types"),
        (json!({"model_type": "mistral", "layer_types": ["chunked_attention"]}), "`layer_types`: layer 0 is neither"),
        (
            json!({"model_type": "smollm3", "no_rope_layers": [1, 0]}),
            "`no_rope_layers`: expected an array of 1 times 0 or 1",
        ),
        (
            json!({"model_type": "smollm3", "no_rope_layers": [2]}),
            "`no_rope_layers`: expected an array of 1 times 0 or 1",
        ),
        (
            json!({"model_type": "gemma2", "hidden_act": null, "hidden_activation": "gelu"}),
            "`hidden_activation`: activation `gelu` is not",
        ),
        (
            json!({"model_type": "gemma2", "hidden_act": null, "attn_logit_softcapping": -1.0}),
            "soft cap of scores of -1 cannot be right",
        ),
        (
            json!({"model_type": "starcoder2", "hidden_act": "gelu_pytorch_tanh", "norm_type": "rms_norm"}),
            "`norm_type`: norm `rms_norm` is not supported",
        ),
        (json!({"partial_rotary_factor": 0.01}), "0 rotated elements of a head of 32"),
        (json!({"partial_rotary_factor": 2.0}), "64 rotated elements of a head of 32"),
        (json!({"rope_scaling": {"rope_type": "longrope"}}), "`rope_scaling.short_factor`: the key is missing"),
        (
            json!({"rope_scaling": {"rope_type": "longrope", "short_factor": [1], "long_factor": ["x"]}}),
            "`rope_scaling.long_factor`: expected an array of numbers",
        ),
        (
            json!({
                "original_max_position_embeddings": 64,
                "rope_scaling": {"rope_type": "longrope", "short_factor": [1], "long_factor": [1]},
            }),
            "1 rope divisors for 16 frequencies",
        ),
    ] {
        let error = error(changes);
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn windows_of_some_layers() {
    let config = |changes: Value| {
        let mut all = json!({"model_type": "mistral", "sliding_window": 64, "num_hidden_layers": 1});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        open_hf(all, &[]).unwrap().config().clone()
    };
    let sliding = config(json!({"layer_types": ["sliding_attention"]}));
    assert_eq!((sliding.window, sliding.global.len()), (Some(64), 0));
    // No layer is left that has it.
    assert_eq!(config(json!({"layer_types": ["full_attention"]})).window, None);
}

#[test]
fn the_tensors_of_longrope_come_in_pairs() {
    let model = |names: &'static [&'static str]| {
        let model = GgufModel::new().with(move |writer| {
            for name in names {
                writer.tensor(name, &[16], GgmlType::F32, &2f32.to_le_bytes().repeat(16));
            }
            writer.u32("llama.rope.scaling.original_context_length", 64);
            writer.f32("llama.rope.scaling.attn_factor", 1.25);
        });
        model.open().map(|model| model.config().clone()).map_err(|error| error.to_string())
    };
    let both = model(&["rope_factors_long.weight", "rope_factors_short.weight"]).unwrap();
    assert_eq!((both.rope_divisors, both.rope_scale), (Some(vec![2.0; 16]), 1.25));
    assert_eq!(both.long_rope.unwrap().above, 64);
    assert_eq!(
        model(&["rope_factors_long.weight"]).unwrap_err(),
        "tensor `rope_factors_short.weight`: the tensor is missing, and there is `rope_factors_long.weight`"
    );
}
