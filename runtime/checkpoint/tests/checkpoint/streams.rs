//! A stream of tokens gives what decoding them at once gives, by every decoder of tokenizer.json.

use crate::support::{hf_config, hf_tensors, safetensors};
use kforge_checkpoint::{Checkpoint, Tokenizer};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Pieces that decoders treat differently: spaces and their stand-ins, bytes, suffixes, parts of the texts that Replace
/// looks for, characters outside the byte-level alphabet.
fn vocabulary() -> Vec<String> {
    let mut tokens: Vec<String> = [
        "a", "b", "é", "日", "▁", "▁a", "▁▁", "a▁", " ", " a", "  ", "Ġ", "Ġa", "Ċ", "##a", "##", "a</w>", "</w>",
        "b</w>c", "<", "<pad>", "|", "a|", "<0x+A>", "<0xG1>", "ab", "ba", "abab", " .", "do", " not", ".", "'", "n't",
        "x y", "[UNK]",
    ]
    .map(str::to_owned)
    .to_vec();
    for byte in "日😀é".bytes().chain([0x20, 0x61, 0xff, 0xc0, 0xed, 0xa0]) {
        tokens.push(format!("<0x{byte:02X}>"));
        // The same bytes in the byte-level alphabet.
        let char = match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            0x20 => 'Ġ',
            0x80..=0xa0 => char::from_u32(0x122 + u32::from(byte) - 0x80).unwrap(),
            _ => continue,
        };
        tokens.push(char.to_string());
    }
    tokens.sort();
    tokens.dedup();
    tokens
}

/// A tokenizer of these tokens, which only decodes.
fn tokenizer(tokens: &[String], decoder: &Value) -> Tokenizer {
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": decoder, "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    });
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write("model.safetensors", &safetensors(&hf_tensors()));
    write("config.json", hf_config().to_string().as_bytes());
    write("tokenizer.json", tokenizer.to_string().as_bytes());
    Checkpoint::open(directory.path()).unwrap().tokenizer().unwrap()
}

fn byte_level() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})
}

fn replace(pattern: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": pattern}, "content": content})
}

fn replace_regex(pattern: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": content})
}

fn strip(start: usize, stop: usize) -> Value {
    json!({"type": "Strip", "content": " ", "start": start, "stop": stop})
}

fn metaspace(scheme: &str) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true})
}

fn sequence(decoders: &[Value]) -> Value {
    json!({"type": "Sequence", "decoders": decoders})
}

/// What Llama 2, Mistral and Gemma have.
fn llama() -> Value {
    sequence(&[replace("▁", " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"}), strip(1, 0)])
}

/// Every decoder, and the sequences of public models and some more.
fn decoders() -> Vec<Value> {
    let (fallback, fuse) = (json!({"type": "ByteFallback"}), json!({"type": "Fuse"}));
    let word_piece = |cleanup: bool| json!({"type": "WordPiece", "prefix": "##", "cleanup": cleanup});
    let ctc =
        |cleanup: bool| json!({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": cleanup});
    let bpe = json!({"type": "BPEDecoder", "suffix": "</w>"});
    vec![
        Value::Null,
        byte_level(),
        fallback.clone(),
        fuse.clone(),
        metaspace("always"),
        metaspace("first"),
        metaspace("never"),
        strip(1, 0),
        strip(2, 1),
        replace("▁", " "),
        replace("ab", "x"),
        replace_regex("[ab]+", "x"),
        word_piece(true),
        word_piece(false),
        bpe.clone(),
        ctc(true),
        ctc(false),
        llama(),
        sequence(&[replace("▁", " "), fallback.clone(), fuse.clone()]),
        sequence(&[fallback.clone(), metaspace("always")]),
        sequence(&[fuse.clone(), replace("aba", "x"), strip(2, 0)]),
        sequence(&[fuse.clone(), replace("", "x")]),
        sequence(&[fuse.clone(), replace_regex(" +", " ")]),
        sequence(&[fuse.clone(), byte_level()]),
        sequence(&[byte_level(), strip(1, 0), replace("a ", "-")]),
        sequence(&[byte_level(), replace_regex("a+", "-"), metaspace("always")]),
        sequence(&[fallback.clone(), bpe.clone(), fuse.clone()]),
        sequence(&[bpe, byte_level()]),
        sequence(&[word_piece(true), fallback.clone(), strip(1, 0)]),
        sequence(&[ctc(true), fallback, replace("b", "")]),
        sequence(&[sequence(&[replace("▁", " "), fuse]), strip(1, 0)]),
    ]
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> Result<String, kforge_checkpoint::Error> {
    let mut stream = tokenizer.stream();
    let mut text = String::new();
    for id in ids {
        text.push_str(&stream.push(*id)?.unwrap_or_default());
    }
    Ok(text + &stream.finish()?)
}

#[test]
fn a_stream_gives_what_decoding_at_once_gives() {
    let tokens = vocabulary();
    // A few ids past the tokenizer among them.
    let ids = prop::collection::vec(0..tokens.len() as u32 + 4, 0..24);
    for decoder in decoders() {
        let tokenizer = tokenizer(&tokens, &decoder);
        let outcome = TestRunner::default().run(&ids, |ids| {
            match tokenizer.decode(&ids) {
                Ok(text) => prop_assert_eq!(streamed(&tokenizer, &ids).unwrap(), text, "{:?}", ids),
                // Strip fails on a token that is shorter than what it may cut at the end.
                Err(_) => prop_assert!(streamed(&tokenizer, &ids).is_err(), "{:?}", ids),
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{decoder}: {error}"));
    }
}

/// What each push gives, and the finish.
fn pushes(tokenizer: &Tokenizer, tokens: &[String], names: &[&str]) -> Vec<String> {
    let id = |name: &str| tokens.iter().position(|token| token == name).map_or(u32::MAX, |id| id as u32);
    let mut stream = tokenizer.stream();
    let mut texts: Vec<String> = names
        .iter()
        .map(|name| stream.push(id(name)).unwrap().inspect(|text| assert_ne!(text, "")).unwrap_or_default())
        .collect();
    texts.push(stream.finish().unwrap());
    texts
}

#[test]
fn text_comes_with_the_token_that_decides_it() {
    let tokens = vocabulary();
    let check = |decoder: Value, names: &[&str], expected: &[&str]| {
        assert_eq!(pushes(&tokenizer(&tokens, &decoder), &tokens, names), expected, "{decoder}");
    };
    // The first space is cut once, and a run of bytes is a character when it ends.
    let bytes = ["▁a", "<0xE6>", "<0x97>", "<0xA5>", "▁a", "<0xF0>", "b", "<0xE6>", "<0x97>", "<0xA5>"];
    check(llama(), &bytes, &["a", "", "", "", "日 a", "", "\u{fffd}b", "", "", "", "日"]);
    // One byte that is not UTF-8 spoils its run; it is not waited for.
    check(llama(), &["<0x61>", "<0xFF>", "<0x61>", "b"], &["", "\u{fffd}\u{fffd}", "\u{fffd}", "b", ""]);
    check(
        byte_level(),
        &["æ", "Ĺ", "¥", "Ġa", "æ", "a", "past", "æ"],
        &["", "", "日", " a", "", "\u{fffd}a", "", "", "\u{fffd}"],
    );
    check(json!({"type": "BPEDecoder", "suffix": "</w>"}), &["a</w>", "a</w>"], &["a", " a", ""]);
    check(metaspace("always"), &["▁a", "▁a"], &["a", " a", ""]);
    check(
        json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        &["a", "##a", "b", "."],
        &["a", "a", " b", ".", ""],
    );
    check(Value::Null, &["a", "b"], &["a", " b", ""]);
    let fused = sequence(&[json!({"type": "Fuse"}), replace("aba", "x")]);
    check(fused, &["b", "a", "b", "b", "ab", "a"], &["b", "", "", "abb", "", "x", ""]);
}

#[test]
fn a_stream_is_as_new_when_it_has_finished() {
    let tokens = vocabulary();
    let tokenizer = tokenizer(&tokens, &llama());
    let id = tokens.iter().position(|token| token == "▁a").unwrap() as u32;
    let mut stream = tokenizer.stream();
    for _ in 0..2 {
        assert_eq!(stream.push(id).unwrap().as_deref(), Some("a"));
        assert_eq!(stream.push(id).unwrap().as_deref(), Some(" a"));
        assert_eq!(stream.finish().unwrap(), "");
    }
}

/// Quadratic work would take minutes.
#[test]
fn the_work_grows_with_the_tokens() {
    let tokens = vocabulary();
    let id = |name: &str| tokens.iter().position(|token| token == name).unwrap() as u32;
    for name in ["a", "<0x61>", "<0xFF>", "ab", "¥"] {
        for decoder in [llama(), byte_level(), sequence(&[json!({"type": "Fuse"}), replace("aba", "x")])] {
            let tokenizer = tokenizer(&tokens, &decoder);
            let ids = vec![id(name); 100_000];
            assert_eq!(streamed(&tokenizer, &ids).unwrap(), tokenizer.decode(&ids).unwrap());
        }
    }
}
