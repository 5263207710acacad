use kforge_checkpoint::{Checkpoint, Element, RopeMode};
use kforge_quant::BlockFormat;

#[test]
fn the_config_is_the_documented_one() {
    let tiny = Checkpoint::random("tiny", 1).unwrap();
    let config = tiny.config();
    assert_eq!((config.layers, config.hidden, config.heads, config.kv_heads, config.head_dim), (2, 64, 4, 2, 16));
    assert_eq!((config.ffn, config.vocab, config.context, config.window), (128, 260, 512, None));
    assert_eq!((config.rope_mode, config.tied_embedding), (RopeMode::Interleaved, false));
    assert_eq!((config.arch.name, config.name.as_deref()), ("llama", Some("tiny")));
}

#[test]
fn every_weight_is_whole() {
    let tiny = Checkpoint::random("tiny", 1).unwrap();
    let names = tiny.names();
    assert_eq!(names.len(), 1 + 2 * 9 + 2);
    assert_eq!((names[0].as_str(), names[1].as_str()), ("token_embd.weight", "blk.0.attn_norm.weight"));
    for name in &names {
        let weight = tiny.weight(name).unwrap();
        let part = name.rsplit_once('.').unwrap().0;
        let dims: &[usize] = match part.rsplit('.').next().unwrap() {
            "token_embd" | "output" => &[260, 64],
            "attn_q" | "attn_output" => &[64, 64],
            "attn_k" | "attn_v" => &[32, 64],
            "ffn_gate" | "ffn_up" => &[128, 64],
            "ffn_down" => &[64, 128],
            _ => &[64],
        };
        assert_eq!((weight.name, weight.dims), (name.as_str(), dims));
        let row = weight.element.row_bytes(*dims.last().unwrap()).unwrap();
        let rows = if dims.len() == 2 { dims[0] } else { 1 };
        assert_eq!(weight.bytes.len(), rows * row, "{name}");
        tiny.release(name);
    }
    assert_eq!(tiny.weight("blk.0.attn_q.weight").unwrap().element, Element::Quant(BlockFormat::Q8_0));
    assert_eq!(tiny.weight("blk.1.ffn_down.weight").unwrap().element, Element::Quant(BlockFormat::Q4_0));
    assert!(tiny.has("output.weight") && !tiny.has("blk.0.attn_q.bias") && !tiny.has("blk.2.attn_q.weight"));
    tiny.release("no such weight");
}

#[test]
fn an_unknown_weight_is_an_error() {
    let tiny = Checkpoint::random("tiny", 1).unwrap();
    let error = tiny.weight("blk.2.attn_q.weight").unwrap_err().to_string();
    assert_eq!(error, "tensor `blk.2.attn_q.weight`: the model uses no weight of this name");
}

#[test]
fn the_description_lists_all() {
    let tiny = Checkpoint::random("tiny", 1).unwrap();
    let description = tiny.describe();
    let value = |key: &str| description.metadata.iter().find(|row| row.key == key).map(|row| row.value.as_str());
    assert_eq!(value("llama.block_count"), Some("2"));
    assert_eq!(value("tokenizer.ggml.tokens"), Some(r#"260 string ["Ā", "ā", "Ă", "ă", ...]"#));
    assert!(value("tokenizer.chat_template").unwrap().contains(r"\n"));
    assert_eq!(description.tensors.len(), tiny.names().len());
    let json = serde_json::to_value(&description).unwrap();
    let row = serde_json::json!({"name": "token_embd.weight", "dims": [260, 64], "type": "Q8_0", "bytes": 260 * 68});
    assert_eq!(json["tensors"][0], row);
    assert!(tiny.file_bytes() > description.tensors.iter().map(|row| row.bytes).sum());
}
