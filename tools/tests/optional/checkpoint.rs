//! The default model's file is read right.

use jiff::civil::DateTime;
use kforge_checkpoint::{Checkpoint, Conversation, Element, RopeMode};
use kforge_quant::BlockFormat;
use kforge_test::need;
use serde::Deserialize;

/// Token ids by transformers, of the original model.
const IDS: &str = include_str!("../../../test/data/smollm2_ids.json");

#[derive(Deserialize)]
struct Row {
    prompt: String,
    ids: Vec<u32>,
}

fn open() -> Checkpoint {
    let file = need::model().unwrap_or_else(|e| panic!("{e}"));
    Checkpoint::open(&file).unwrap()
}

pub fn the_config_is_right() {
    let model = open();
    let config = model.config();
    assert_eq!((config.layers, config.hidden, config.heads, config.kv_heads, config.head_dim), (30, 576, 9, 3, 64));
    assert_eq!((config.ffn, config.vocab, config.context, config.rope_base), (1536, 49152, 8192, 100_000.0));
    assert_eq!((config.rope_mode, &config.rope_divisors, config.tied_embedding), (RopeMode::Interleaved, &None, true));
    assert_eq!(model.names().len(), 1 + 30 * 9 + 1);
    for name in model.names() {
        let weight = model.weight(&name).unwrap();
        let expected = match (weight.dims.len(), name.as_str()) {
            (1, _) => Element::F32,
            (_, "token_embd.weight") => Element::Quant(BlockFormat::Q8_0),
            _ => Element::Quant(BlockFormat::Q4_1),
        };
        assert_eq!(weight.element, expected, "{name}");
        let first = weight.bytes[0];
        model.release(&name);
        assert_eq!(model.weight(&name).unwrap().bytes[0], first);
    }
}

pub fn tokens_are_those_of_transformers() {
    let model = open();
    let tokenizer = model.tokenizer().unwrap();
    assert_eq!((tokenizer.vocab(), tokenizer.bos()), (49152, None));
    assert!(tokenizer.is_end(2) && tokenizer.is_end(0) && !tokenizer.is_end(1));
    let rows: Vec<Row> = serde_json::from_str(IDS).unwrap();
    assert_eq!(rows.len(), 8);
    for Row { prompt, ids } in rows {
        assert_eq!(tokenizer.encode(&prompt).unwrap(), ids, "{prompt:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), prompt);
        let mut stream = tokenizer.stream();
        let mut text: String = ids.iter().filter_map(|id| stream.push(*id).unwrap()).collect();
        assert!(!text.contains('\u{fffd}'), "{text:?}");
        text.push_str(&stream.finish().unwrap());
        assert_eq!(text, prompt);
    }
}

pub fn its_chat_template_renders() {
    let model = open();
    let conversation = Conversation::of_user("What is the largest planet in the solar system?");
    let text = model.tokenizer().unwrap().chat(&conversation, DateTime::default()).unwrap();
    let rows: Vec<Row> = serde_json::from_str(IDS).unwrap();
    assert_eq!(text, rows[4].prompt);
}
