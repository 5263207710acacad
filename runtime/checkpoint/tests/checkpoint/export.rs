//! Checkpoints written in the other format and back: the same weights, configuration and tokens; what a format cannot
//! represent is rejected.

use crate::support::{elements, safetensors};
use jiff::civil::DateTime;
use kforge_checkpoint::gguf::GgmlType;
use kforge_checkpoint::gguf::write::Writer;
use kforge_checkpoint::write::{self, Dequantized};
use kforge_checkpoint::{Arch, Biases, Checkpoint, Config, Conversation, Element, RopeMode, Storage, Tokenizer};
use kforge_quant::BlockFormat;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const ELEMENTS: [Element; 6] = [
    Element::F32,
    Element::F16,
    Element::BF16,
    Element::Quant(BlockFormat::Q4_1),
    Element::Quant(BlockFormat::Q8_0),
    Element::Quant(BlockFormat::Q4_K),
];
const LAYERS: usize = 2;
/// As wide as a block of a K format.
const HIDDEN: usize = 256;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = HIDDEN / HEADS;
const VOCAB: usize = 272;

/// What tells one model from another.
#[derive(Clone, Copy, Debug)]
struct Model {
    architecture: &'static str,
    window: Option<u32>,
    /// Parts of a layer with a bias.
    biases: &'static [&'static str],
    element: Element,
    tied: bool,
}

const LLAMA: Model = Model { architecture: "llama", window: None, biases: &[], element: Element::F32, tied: true };
const MISTRAL: Model = Model { window: Some(48), ..LLAMA };
const QWEN2: Model = Model { architecture: "qwen2", biases: &["attn_q", "attn_k", "attn_v"], ..LLAMA };
const QWEN3: Model = Model { architecture: "qwen3", ..LLAMA };
const BIASED: Model = Model { biases: &["attn_q", "attn_k", "attn_v", "attn_output"], ..LLAMA };

/// Its tensors, with dimensions.
fn tensors(model: Model) -> Vec<(String, Vec<usize>)> {
    let config = Config {
        arch: Arch::of_gguf(model.architecture).unwrap(),
        layers: LAYERS,
        kv_heads: KV_HEADS,
        biases: Biases::Found,
        tied_embedding: model.tied,
        ..Config::plain(HIDDEN, HEADS, HIDDEN, VOCAB)
    };
    let mut all = config.tensors();
    all.retain(|tensor| {
        let part = tensor.row.part().strip_suffix(".bias");
        part.is_none_or(|part| model.biases.contains(&part))
    });
    all.into_iter().map(|tensor| (tensor.name, tensor.dims)).collect()
}

/// Numbers that no two rows have in common, exact in f16 and bf16.
fn weights(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    (0..count).map(|i| ((i * 37 + i / HIDDEN * 11 + seed % 1009) % 255) as f32 / 128.0 - 1.0).collect()
}

fn encode(values: &[f32], element: Element) -> Vec<u8> {
    match element {
        Element::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Element::F16 => values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect(),
        Element::BF16 => values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect(),
        Element::Quant(format) => {
            let mut bytes = vec![0; format.bytes(1, values.len()).unwrap()];
            format.quantize_row(values, &mut bytes).unwrap();
            bytes
        }
        other => unreachable!("no weight is of {other}"),
    }
}

fn decode(bytes: &[u8], element: Element, count: usize) -> Vec<f32> {
    let (halves, words) = (bytes.as_chunks::<2>().0.iter(), bytes.as_chunks::<4>().0.iter());
    match element {
        Element::F32 => words.map(|word| f32::from_le_bytes(*word)).collect(),
        Element::F16 => halves.map(|half| half::f16::from_le_bytes(*half).to_f32()).collect(),
        Element::BF16 => halves.map(|half| half::bf16::from_le_bytes(*half).to_f32()).collect(),
        Element::Quant(format) => {
            let mut values = vec![0.0; count];
            format.dequantize_row(bytes, &mut values).unwrap();
            values
        }
        other => unreachable!("no weight is of {other}"),
    }
}

/// The metadata of a model but for its tokenizer.
fn write_config(model: Model, writer: &mut Writer) {
    let architecture = model.architecture;
    writer.string("general.architecture", architecture).string("general.name", "exported");
    for (key, value) in [
        ("block_count", LAYERS),
        ("context_length", 128),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", HIDDEN),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
    ] {
        writer.u32(&format!("{architecture}.{key}"), value as u32);
    }
    if let Some(window) = model.window {
        writer.u32(&format!("{architecture}.attention.sliding_window"), window);
    }
    writer
        .f32(&format!("{architecture}.attention.layer_norm_rms_epsilon"), 1e-5)
        .f32(&format!("{architecture}.rope.freq_base"), 50_000.0);
}

fn write_weights(model: Model, writer: &mut Writer) {
    for (name, dims) in tensors(model) {
        let element = if dims.len() == 1 { Element::F32 } else { model.element };
        let bytes = encode(&weights(&name, elements(&dims)), element);
        writer.tensor(&name, &dims, GgmlType::of(element).unwrap(), &bytes);
    }
}

/// The character of a byte in a byte-level vocabulary.
fn byte_char(byte: u8) -> String {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let before = (0..byte).filter(|byte| !printable(byte)).count() as u32;
    let code = if printable(&byte) { u32::from(byte) } else { 256 + before };
    char::from_u32(code).unwrap().to_string()
}

/// The bytes, tokens that merges lead to, special ones, and one that is found first but is text.
fn vocabulary() -> Vec<String> {
    let named = ["th", "the", "Ġthe", "in", "12", "<|begin|>", "<|im_start|>", "<|im_end|>", "<stop>", "<tool>"];
    (0..=u8::MAX).map(byte_char).chain(named.map(str::to_owned)).collect()
}

const MERGES: [&str; 5] = ["t h", "th e", "Ġ the", "i n", "1 2"];
const TEMPLATE: &str =
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}{% endfor %}";

fn write_tokenizer(pre: &str, writer: &mut Writer) {
    let mut tokens = vocabulary();
    let mut types: Vec<i32> = (0..tokens.len()).map(|id| if id < 261 { 1 } else { 3 }).collect();
    types[265] = 4;
    tokens.extend((tokens.len()..VOCAB).map(|id| format!("[PAD{id}]")));
    types.resize(VOCAB, 5);
    writer
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", pre)
        .strings("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .strings("tokenizer.ggml.merges", &MERGES)
        .u32("tokenizer.ggml.bos_token_id", 261)
        .u32("tokenizer.ggml.eos_token_id", 263)
        .u32("tokenizer.ggml.eot_token_id", 264)
        .bool("tokenizer.ggml.add_bos_token", pre == "llama-bpe")
        .string("tokenizer.chat_template", TEMPLATE);
}

fn gguf_of(model: Model, pre: &str, extra: impl Fn(&mut Writer)) -> Checkpoint {
    let mut writer = Writer::new();
    write_config(model, &mut writer);
    write_tokenizer(pre, &mut writer);
    extra(&mut writer);
    write_weights(model, &mut writer);
    Checkpoint::from_gguf(Storage::from(writer.finish())).unwrap()
}

fn to_gguf(checkpoint: &Checkpoint) -> Checkpoint {
    let mut bytes = Vec::new();
    write::gguf(checkpoint, &mut bytes).unwrap();
    Checkpoint::from_gguf(Storage::from(bytes)).unwrap()
}

fn to_folder(checkpoint: &Checkpoint) -> (TempDir, Checkpoint) {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("model");
    write::hugging_face(checkpoint, &folder, Dequantized::F32, |_| ()).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    (directory, checkpoint)
}

/// The bits of a weight's numbers, its rows in half order.
fn numbers(checkpoint: &Checkpoint, name: &str) -> Vec<Vec<u32>> {
    let weight = checkpoint.weight(name).unwrap();
    let columns = if let [_, columns] = weight.dims { *columns } else { 1 };
    let values = decode(&weight.bytes, weight.element, elements(weight.dims));
    let rows: Vec<Vec<u32>> =
        values.chunks(columns).map(|row| row.iter().map(|value| value.to_bits()).collect()).collect();
    let rotated = ["attn_q.", "attn_k."].iter().any(|part| name.contains(part));
    if !rotated || checkpoint.config().rope_mode == RopeMode::Half {
        return rows;
    }
    // Of each head the first of all pairs, then the second.
    rows.chunks(checkpoint.config().head_dim)
        .flat_map(|head| head.iter().step_by(2).chain(head.iter().skip(1).step_by(2)).cloned())
        .collect()
}

fn same_weights(a: &Checkpoint, b: &Checkpoint) {
    assert_eq!(a.names(), b.names());
    for name in a.names() {
        assert_eq!(a.weight(&name).unwrap().dims, b.weight(&name).unwrap().dims, "{name}");
        assert!(numbers(a, &name) == numbers(b, &name), "{name}");
    }
}

/// A config without what the two formats say in their own ways.
fn common(config: &Config) -> Config {
    let mut config = Config { rope_mode: RopeMode::Half, ..config.clone() };
    if config.arch.name == "mistral" {
        config.arch = Arch::LLAMA;
    }
    config.biases = Biases::Found;
    config
}

const TEXTS: [&str; 12] = [
    "",
    "the thing in the inn",
    " the  the",
    "It's 12 to 1212, they'll say.",
    "\tthe\n\n  in\r\n",
    "Grüße, naïve café",
    "日本語 και русский",
    "🙂🏽 the",
    "<|im_start|>user\nthe<|im_end|>",
    "<tool>the</tool><stop>",
    "<|begin|><|begin|>in",
    "[PAD270] \u{0} \u{ad}",
];

fn same_tokens(a: &Tokenizer, b: &Tokenizer) {
    for text in TEXTS {
        let ids = a.encode(text).unwrap();
        assert_eq!(ids, b.encode(text).unwrap(), "{text:?}");
        assert_eq!(a.decode(&ids).unwrap(), b.decode(&ids).unwrap(), "{text:?}");
    }
    assert_eq!(a.bos(), b.bos());
    let ends = |tokenizer: &Tokenizer| (0..VOCAB as u32).filter(|id| tokenizer.is_end(*id)).collect::<Vec<_>>();
    assert_eq!(ends(a), ends(b));
    let chat = |tokenizer: &Tokenizer| tokenizer.chat(&Conversation::of_user("the"), DateTime::default()).unwrap();
    assert_eq!(chat(a), chat(b));
}

fn same(a: &Checkpoint, b: &Checkpoint) {
    assert_eq!(common(a.config()), common(b.config()));
    same_weights(a, b);
    same_tokens(&a.tokenizer().unwrap(), &b.tokenizer().unwrap());
}

#[test]
fn every_family_and_element_goes_to_a_folder_and_back() {
    for family in [LLAMA, MISTRAL, QWEN2, QWEN3, BIASED] {
        for (element, tied) in ELEMENTS.into_iter().flat_map(|element| [(element, true), (element, false)]) {
            let gguf = gguf_of(Model { element, tied, ..family }, "gpt-2", |_| ());
            let (_directory, folder) = to_folder(&gguf);
            same(&gguf, &folder);
            let back = to_gguf(&folder);
            same(&gguf, &back);
            assert_eq!(gguf.config(), back.config());
            let (_directory, again) = to_folder(&back);
            same(&folder, &again);
            assert_eq!(folder.config(), again.config());
        }
    }
}

#[test]
fn the_folder_is_of_the_right_family() {
    for (model, architecture, float) in [
        (LLAMA, "llama", Element::F32),
        (MISTRAL, "mistral", Element::BF16),
        (QWEN2, "qwen2", Element::F16),
        (QWEN3, "qwen3", Element::F16),
        (Model { element: Element::Quant(BlockFormat::Q8_0), ..LLAMA }, "llama", Element::F32),
    ] {
        let element = if matches!(model.element, Element::Quant(_)) { model.element } else { float };
        let (_directory, folder) = to_folder(&gguf_of(Model { element, ..model }, "gpt-2", |_| ()));
        assert_eq!(
            (folder.config().arch.name, folder.config().window),
            (architecture, model.window.map(|w| w as usize))
        );
        assert_eq!(folder.weight("blk.1.attn_k.weight").unwrap().element, float);
        assert_eq!(folder.config().rope_mode, RopeMode::Half);
    }
}

#[test]
fn blocks_can_become_f16() {
    let gguf = gguf_of(Model { element: Element::Quant(BlockFormat::Q4_1), ..LLAMA }, "gpt-2", |_| ());
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("f16");
    write::hugging_face(&gguf, &folder, Dequantized::F16, |_| ()).unwrap();
    let folder = Checkpoint::open(&folder).unwrap();
    assert_eq!(folder.weight("blk.0.attn_norm.weight").unwrap().element, Element::F32);
    for name in gguf.names().iter().filter(|name| !name.contains("norm")) {
        assert_eq!(folder.weight(name).unwrap().element, Element::F16);
        let half = |row: &Vec<u32>| {
            row.iter().map(|bits| half::f16::from_f32(f32::from_bits(*bits)).to_f32().to_bits()).collect()
        };
        let expected: Vec<Vec<u32>> = numbers(&gguf, name).iter().map(half).collect();
        assert!(expected == numbers(&folder, name), "{name}");
    }
}

#[test]
fn a_gguf_file_is_copied() {
    let bytes = kforge_checkpoint::random::gguf("tiny", 3).unwrap();
    let mut copy = Vec::new();
    write::gguf(&Checkpoint::from_gguf(Storage::from(bytes.clone())).unwrap(), &mut copy).unwrap();
    assert_eq!(bytes, copy);
}

#[test]
fn random_models_go_to_a_folder_and_back() {
    let tiny = Checkpoint::random("tiny", 3).unwrap();
    let (_directory, folder) = to_folder(&tiny);
    same_weights(&tiny, &folder);
    let back = to_gguf(&folder);
    same_weights(&tiny, &back);
    assert_eq!(tiny.config(), back.config());
    same_tokens(&tiny.tokenizer().unwrap(), &back.tokenizer().unwrap());
}

#[test]
fn a_bias_that_only_some_projections_have_is_zero_in_the_others() {
    let gguf = gguf_of(Model { biases: &["attn_q"], ..LLAMA }, "gpt-2", |_| ());
    let (_directory, folder) = to_folder(&gguf);
    assert!(numbers(&folder, "blk.0.attn_q.bias") == numbers(&gguf, "blk.0.attn_q.bias"));
    for part in ["attn_k", "attn_v", "attn_output"] {
        assert!(numbers(&folder, &format!("blk.1.{part}.bias")).concat().iter().all(|bits| *bits == 0), "{part}");
    }
}

#[test]
fn rope_scalings_go_both_ways() {
    let factors: Vec<u8> = (0..HEAD_DIM / 2).flat_map(|_| 4f32.to_le_bytes()).collect();
    let linear = gguf_of(LLAMA, "gpt-2", |writer| {
        writer.tensor("rope_freqs.weight", &[HEAD_DIM / 2], GgmlType::F32, &factors);
    });
    let (_directory, folder) = to_folder(&linear);
    same(&linear, &folder);
    same(&linear, &to_gguf(&folder));
    assert_eq!(folder.config().rope_divisors, Some(vec![4.0; HEAD_DIM / 2]));

    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let (_source, folder) = Folder::new("llama", "BF16").with("rope_scaling", llama3.clone()).open();
    let gguf = to_gguf(&folder);
    same(&folder, &gguf);
    let (directory, again) = to_folder(&gguf);
    same(&folder, &again);
    let config: Value = read_json(&directory.path().join("model/config.json"));
    assert_eq!(config["rope_scaling"], llama3);
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A Hugging Face folder in the form in which they are published.
struct Folder {
    config: Value,
    tokenizer: Value,
    dtype: &'static str,
    model: Model,
}

impl Folder {
    fn new(family: &str, dtype: &'static str) -> Self {
        let model = if family == "qwen2" { QWEN2 } else { LLAMA };
        let mut config = json!({
            "model_type": family, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS, "intermediate_size": HIDDEN, "vocab_size": VOCAB,
            "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
        });
        if family == "mistral" {
            config["sliding_window"] = 48.into();
        }
        let tokens = vocabulary();
        let added = |id: usize, special: bool| {
            json!({"id": id, "content": tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special})
        };
        let vocab: serde_json::Map<String, Value> =
            tokens[..261].iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [added(261, true), added(262, true), added(263, true), added(264, true), added(265, false)],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": MERGES},
        });
        Folder { config, tokenizer, dtype, model }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// With another value at a path of tokenizer.json.
    fn tokenizer(mut self, path: &str, value: Value) -> Self {
        *self.tokenizer.pointer_mut(path).unwrap() = value;
        self
    }

    fn open(self) -> (TempDir, Checkpoint) {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        let tensors = tensors(self.model).into_iter().map(|(name, dims)| (hugging_face_name(&name), self.dtype, dims));
        let tensors: Vec<_> = tensors.collect();
        std::fs::write(directory.path().join("model.safetensors"), safetensors(&tensors)).unwrap();
        write("config.json", self.config.to_string());
        write("tokenizer.json", self.tokenizer.to_string());
        let companion = json!({"bos_token": "<|begin|>", "eos_token": {"content": "<|im_end|>"}, "add_bos_token": true,
            "chat_template": TEMPLATE});
        write("tokenizer_config.json", companion.to_string());
        write("generation_config.json", r#"{"eos_token_id": [263, 264]}"#.to_owned());
        let checkpoint = Checkpoint::open(directory.path()).unwrap();
        (directory, checkpoint)
    }
}

fn hugging_face_name(name: &str) -> String {
    let parts = [
        ("blk.", "model.layers."),
        ("token_embd", "model.embed_tokens"),
        ("attn_norm", "input_layernorm"),
        ("output_norm", "model.norm"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    parts.iter().fold(name.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
}

#[test]
fn folders_go_to_gguf_and_back() {
    for (family, dtype) in
        [("llama", "F32"), ("llama", "F16"), ("mistral", "BF16"), ("qwen2", "F32"), ("qwen2", "BF16")]
    {
        let (_source, folder) = Folder::new(family, dtype).open();
        let gguf = to_gguf(&folder);
        same(&folder, &gguf);
        let expected = if family == "qwen2" { RopeMode::Half } else { RopeMode::Interleaved };
        assert_eq!(gguf.config().rope_mode, expected);
        let (_directory, again) = to_folder(&gguf);
        same(&folder, &again);
        assert_eq!(folder.config(), again.config());
    }
}

#[test]
fn a_folder_is_copied_but_for_its_shards() {
    let (source, folder) = Folder::new("llama", "BF16").with("torch_dtype", "bfloat16".into()).open();
    let (directory, copy) = to_folder(&folder);
    same(&folder, &copy);
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        let read = |directory: &Path| std::fs::read(directory.join(name)).unwrap();
        assert_eq!(read(source.path()), read(&directory.path().join("model")), "{name}");
    }
}

/// The pre-tokenizers of published models: of GPT-2, SmolLM, Llama 3 and Qwen 2.
#[test]
fn published_pre_tokenizers_have_names() {
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let spelled = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let split = |digits: &str| {
        let regex = format!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        );
        json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
    };
    let sequence = |first: Value, last: &Value| json!({"type": "Sequence", "pretokenizers": [first, last]});
    let digits = json!({"type": "Digits", "individual_digits": true});
    for (pre_tokenizer, nfc, ignore_merges, name) in [
        (bytes.clone(), false, false, "gpt-2"),
        (sequence(digits, &bytes), false, false, "smollm"),
        (sequence(split(r"\p{N}{1,3}"), &spelled), false, true, "llama-bpe"),
        (sequence(split(r"\p{N}"), &spelled), true, false, "qwen2"),
    ] {
        let folder = Folder::new("llama", "BF16")
            .tokenizer("/pre_tokenizer", pre_tokenizer)
            .tokenizer("/normalizer", if nfc { json!({"type": "NFC"}) } else { Value::Null });
        let mut folder = folder;
        folder.tokenizer["model"]["ignore_merges"] = ignore_merges.into();
        let (_source, folder) = folder.open();
        let gguf = to_gguf(&folder);
        let metadata = gguf.describe().metadata;
        assert_eq!(metadata.iter().find(|row| row.key == "tokenizer.ggml.pre").unwrap().value, name);
        same_tokens(&folder.tokenizer().unwrap(), &gguf.tokenizer().unwrap());
        let (_directory, again) = to_folder(&gguf);
        same_tokens(&folder.tokenizer().unwrap(), &again.tokenizer().unwrap());
    }
}

/// The error of writing a GGUF file, of which nothing is written.
fn gguf_error(checkpoint: &Checkpoint) -> String {
    let mut bytes = Vec::new();
    let error = write::gguf(checkpoint, &mut bytes).unwrap_err().to_string();
    assert!(bytes.is_empty(), "{error}");
    error
}

/// The error of writing a folder, of which nothing is left.
fn folder_error(checkpoint: &Checkpoint, dequantized: Dequantized) -> String {
    let directory = tempfile::tempdir().unwrap();
    let error =
        write::hugging_face(checkpoint, &directory.path().join("model"), dequantized, |_| ()).unwrap_err().to_string();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{error}");
    error
}

#[test]
fn tokenizers_that_gguf_has_not_are_refused() {
    let added = json!([{"id": 261, "content": "<|begin|>", "single_word": false, "lstrip": true, "rstrip": false,
        "normalized": false, "special": true}]);
    for (path, value, expected) in [
        (
            "/model/byte_fallback",
            json!(true),
            "tokenizer.json: `model.byte_fallback`: it is true, and GGUF's byte-level BPE has false only",
        ),
        (
            "/model/end_of_word_suffix",
            json!("</w>"),
            "tokenizer.json: `model.end_of_word_suffix`: it is \"</w>\", and GGUF's byte-level BPE has null only",
        ),
        (
            "/decoder",
            json!({"type": "Fuse"}),
            "tokenizer.json: `decoder.type`: it is \"Fuse\", and GGUF's byte-level BPE has \"ByteLevel\" only",
        ),
        (
            "/model",
            json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}),
            "tokenizer.json: `model.type`: \"WordLevel\" is not written to GGUF files; \"BPE\", of bytes or SentencePiece's, is; keep the folder",
        ),
        (
            "/normalizer",
            json!({"type": "Lowercase"}),
            "tokenizer.json: `normalizer`: {\"type\":\"Lowercase\"} is not NFC, the only one of GGUF's tokenizers",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Whitespace"}),
            "tokenizer.json: `pre_tokenizer`: {\"type\":\"Whitespace\"} cuts texts as none of those does that `tokenizer.ggml.pre` has a name for; keep the folder",
        ),
        (
            "/added_tokens",
            added,
            "tokenizer.json: token 261, \"<|begin|>\": it takes more than its text (lstrip, rstrip, single_word or normalized), which GGUF cannot say",
        ),
        ("/model/vocab/in", json!(258), "another token has this id; GGUF has one text for each"),
        (
            "/model/vocab/in",
            json!(5000),
            "tokenizer.json: token 5000, \"in\": the model's embedding has 272 rows; GGUF needs one for each token",
        ),
    ] {
        let (_source, folder) = Folder::new("llama", "BF16").tokenizer(path, value).open();
        let error = gguf_error(&folder);
        assert!(error.ends_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn vocabularies_that_gguf_has_not_are_refused() {
    type Change = fn(&mut Value);
    /// Gives ids 259 and 260 other texts.
    fn rename(model: &mut Value, texts: [&str; 2], merges: Value) {
        let vocab = model["vocab"].as_object_mut().unwrap();
        vocab.retain(|_, id| *id != 259 && *id != 260);
        vocab.extend([(texts[0].to_owned(), 259.into()), (texts[1].to_owned(), 260.into())]);
        model["merges"] = merges;
    }
    let cases: [(Change, &str); 4] = [
        (
            |model| rename(model, ["a b", "a bc"], json!([["a b", "c"]])),
            "merge 0: a token with a space in it, which ends one in GGUF",
        ),
        (
            |model| rename(model, ["[INST]", "12"], json!([])),
            "token 259, \"[INST]\": it is ordinary text here, but readers of GGUF take it as a special token",
        ),
        (
            |model| rename(model, ["[PAD268]", "12"], json!([])),
            "token \"[PAD268]\": it is named as the filler of an id without a token is",
        ),
        (
            |model| {
                rename(model, ["in", "12"], json!([]));
                let id = model["vocab"].as_object_mut().unwrap().remove("z").unwrap();
                model["vocab"]["zz"] = id;
                model["unk_token"] = "a".into();
            },
            "`model.unk_token`: the vocabulary lacks bytes, and in GGUF they have no token",
        ),
    ];
    for (change, expected) in cases {
        let mut folder = Folder::new("llama", "BF16");
        change(&mut folder.tokenizer["model"]);
        let error = gguf_error(&folder.open().1);
        assert!(error.ends_with(&format!(": tokenizer.json: {expected}")), "{error}\nexpected {expected}");
    }
}

#[test]
fn more_ends_than_gguf_has_names_for_are_refused() {
    let (_source, folder) = Folder::new("llama", "BF16").with("eos_token_id", json!([97, 98])).open();
    let error = gguf_error(&folder);
    assert!(error.ends_with(": `eos_token_id`: 4 tokens end a turn, and GGUF has names for 3"), "{error}");
}

/// Ids without a token are fillers, and what is text but found first is no special token, in both formats.
#[test]
fn tokens_keep_their_types() {
    let (_source, folder) = Folder::new("llama", "BF16").open();
    let gguf = to_gguf(&folder);
    let metadata = gguf.describe().metadata;
    let tokens = &metadata.iter().find(|row| row.key == "tokenizer.ggml.tokens").unwrap().value;
    assert!(tokens.starts_with(&format!("{VOCAB} string")), "{tokens}");
    let (directory, _) = to_folder(&gguf);
    let tokenizer = read_json(&directory.path().join("model/tokenizer.json"));
    let added = tokenizer["added_tokens"].as_array().unwrap();
    let special: Vec<(u64, bool)> =
        added.iter().map(|token| (token["id"].as_u64().unwrap(), token["special"] == true)).collect();
    assert_eq!(special, [(261, true), (262, true), (263, true), (264, true), (265, false)]);
    assert_eq!(tokenizer["model"]["vocab"]["[PAD271]"], 271);
}

#[test]
fn a_folder_without_a_tokenizer_is_no_gguf_file() {
    let (source, folder) = Folder::new("llama", "BF16").open();
    std::fs::remove_file(source.path().join("tokenizer.json")).unwrap();
    assert!(gguf_error(&folder).contains("tokenizer.json: No such file"), "{}", gguf_error(&folder));
}

#[test]
fn configurations_that_a_format_has_not_are_refused() {
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let (_source, folder) = Folder::new("qwen2", "BF16").with("rope_scaling", llama3).open();
    assert_eq!(
        gguf_error(&folder),
        "the model's rope scaling: GGUF's qwen2 has linear scaling only; export a model without llama3 scaling"
    );
    let gguf = gguf_of(Model { window: Some(32), ..BIASED }, "gpt-2", |_| ());
    assert_eq!(
        folder_error(&gguf, Dequantized::F32),
        "the model's config: transformers has no model with both a sliding window and biases on its attention"
    );
    let factors: Vec<u8> = (0..HEAD_DIM / 2).flat_map(|i| (1.0 + i as f32).to_le_bytes()).collect();
    let gguf = gguf_of(LLAMA, "gpt-2", |writer| {
        writer.tensor("rope_freqs.weight", &[HEAD_DIM / 2], GgmlType::F32, &factors);
    });
    assert_eq!(
        folder_error(&gguf, Dequantized::F32),
        "tensor `rope_freqs.weight`: its factors are of neither linear nor llama3 scaling, so config.json has no words for \
         them"
    );
}

#[test]
fn weights_and_tokenizers_that_cannot_be_written_leave_nothing() {
    let of = |write: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new();
        write_config(LLAMA, &mut writer);
        write(&mut writer);
        Checkpoint::from_gguf(Storage::from(writer.finish())).unwrap()
    };
    let unknown_kind = of(&|writer| {
        writer.string("tokenizer.ggml.model", "rwkv");
        write_weights(LLAMA, writer);
    });
    let error = folder_error(&unknown_kind, Dequantized::F32);
    assert!(error.starts_with("metadata `tokenizer.ggml.model`: tokenizer `rwkv` is not supported"), "{error}");

    let with_embedding = |ty: GgmlType, data: Vec<u8>| {
        of(&move |writer: &mut Writer| {
            writer.tensor("token_embd.weight", &[VOCAB, HIDDEN], ty, &data);
            for (name, dims) in tensors(LLAMA).into_iter().skip(1) {
                writer.tensor(&name, &dims, GgmlType::F32, &encode(&weights(&name, elements(&dims)), Element::F32));
            }
        })
    };
    let iq3_s = GgmlType::from_id(21).unwrap();
    let error = folder_error(&with_embedding(iq3_s, vec![0; VOCAB * iq3_s.bytes]), Dequantized::F32);
    assert!(error.starts_with("tensor `token_embd.weight`: type IQ3_S is not supported"), "{error}");

    // d = 600 times a code of 127.
    let block = [half::f16::from_f32(600.0).to_le_bytes().to_vec(), vec![127; 32]].concat();
    let large = with_embedding(GgmlType::of_format(BlockFormat::Q8_0), block.repeat(VOCAB * HIDDEN / 32));
    let error = folder_error(&large, Dequantized::F16);
    let expected = "tensor `token_embd.weight`: its weight 76200 is beyond the range of f16; dequantise to f32";
    assert!(error.ends_with(expected), "{error}");
    // Without a tokenizer there are no files of one.
    let (directory, _) = to_folder(&large);
    assert_eq!(std::fs::read_dir(directory.path().join("model")).unwrap().count(), 2);
}

#[test]
fn a_folder_that_is_not_empty_stays_as_it_is() {
    let tiny = Checkpoint::random("tiny", 0).unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("chat_template.jinja"), "another's").unwrap();
    let error = write::hugging_face(&tiny, directory.path(), Dequantized::F32, |_| ()).unwrap_err().to_string();
    assert_eq!(error, format!("{}: the folder: it is not empty; give a new one", directory.path().display()));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    std::fs::remove_file(directory.path().join("chat_template.jinja")).unwrap();
    write::hugging_face(&tiny, directory.path(), Dequantized::F32, |_| ()).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 5);
}
