//! Vocabularies that are damaged or malicious: one clear error each, and no panic, hang or allocation of a claimed size.

use crate::vocabularies::{file, model, read};
use kforge_checkpoint::gguf::Gguf;
use kforge_checkpoint::{Checkpoint, Storage};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

fn error_of(name: &str, changes: &[(&str, Option<Value>)]) -> String {
    match model(name, changes).tokenizer() {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// An array of the vocabulary's metadata, changed.
fn changed(name: &str, key: &str, change: impl FnOnce(&mut Vec<Value>)) -> Option<Value> {
    let mut values = read(name)["metadata"][key].as_array().unwrap().clone();
    change(&mut values);
    Some(values.into())
}

#[test]
fn damaged_vocabularies() {
    let tokens = |change: fn(&mut Vec<Value>)| ("tokens", changed("llama", "tokens", change));
    let scores = |change: fn(&mut Vec<Value>)| ("scores", changed("llama", "scores", change));
    let short = |values: &mut Vec<Value>| values.truncate(7);
    let cases = [
        (vec![("tokens", None)], "metadata `tokenizer.ggml.tokens`: the key is missing"),
        (vec![("tokens", Some(json!([])))], "metadata `tokenizer.ggml.tokens`: the vocabulary is empty"),
        (vec![("tokens", Some(json!("a")))], "metadata `tokenizer.ggml.tokens`: expected an array, found string"),
        (vec![tokens(short)], "metadata `tokenizer.ggml.token_type`: 800 types for 7 tokens"),
        (vec![("scores", None)], "metadata `tokenizer.ggml.scores`: the key is missing"),
        (vec![scores(short)], "metadata `tokenizer.ggml.scores`: 7 scores for 800 tokens"),
        // 1e39 as an f32.
        (
            vec![scores(|values| values[5] = json!(1e39))],
            "metadata `tokenizer.ggml.scores`: the score of token 5 is inf; a finite number is needed",
        ),
        (vec![("scores", Some(json!(1)))], "metadata `tokenizer.ggml.scores`: expected an array, found u32"),
        (
            vec![tokens(|values| values[400] = "<0x0A>".into())],
            "metadata `tokenizer.ggml.tokens`: token 400, \"<0x0A>\", appears twice",
        ),
        (
            vec![tokens(|values| values[13] = "<0x0G>".into())],
            "metadata `tokenizer.ggml.tokens`: token 13, \"<0x0G>\", has the type of bytes, which are <0x00> to <0xFF>",
        ),
        (
            vec![tokens(|values| values[400] = "a".repeat(1025).into())],
            "metadata `tokenizer.ggml.tokens`: token 400 has 1025 bytes; 1024 are allowed",
        ),
        // Without the byte 0x41, and without the unknown token.
        (
            vec![
                tokens(|values| values[3 + 0x41] = "a byte less".into()),
                ("token_type", Some(json!(vec![1; 800]))),
                ("unknown_token_id", None),
            ],
            "metadata `tokenizer.ggml.tokens`: neither the bytes <0x00> to <0xFF> nor an unknown token",
        ),
        (
            vec![("unknown_token_id", Some(json!(800)))],
            "metadata `tokenizer.ggml.unknown_token_id`: token 800 is not in the vocabulary of 800 tokens",
        ),
        (
            vec![("bos_token_id", Some(json!(u32::MAX)))],
            "metadata `tokenizer.ggml.bos_token_id`: token 4294967295 is not in the vocabulary of 800 tokens",
        ),
        (
            vec![("add_space_prefix", Some(json!(1)))],
            "metadata `tokenizer.ggml.add_space_prefix`: expected a bool, found u32",
        ),
    ];
    for (changes, expected) in cases {
        let error = error_of("llama", &changes);
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn damaged_unigrams_and_word_pieces() {
    let charsmap =
        |change: fn(&mut Vec<Value>)| ("precompiled_charsmap", changed("t5", "precompiled_charsmap", change));
    let no_unknown = || vec![("unknown_token_id", None), ("token_type", None)];
    let cases = [
        ("t5", no_unknown(), "metadata `tokenizer.ggml.tokens`: neither the bytes"),
        ("unigram", no_unknown(), "metadata `tokenizer.ggml.tokens`: no unknown token, which a unigram"),
        ("t5", vec![("scores", None)], "metadata `tokenizer.ggml.scores`: the key is missing"),
        // The trie's length in bytes is the first number.
        (
            "t5",
            vec![charsmap(|bytes| bytes.splice(0..4, vec![json!(255); 4]).for_each(drop))],
            "metadata `tokenizer.ggml.precompiled_charsmap`: it ends before the trie that it begins with",
        ),
        ("t5", vec![charsmap(|bytes| bytes.truncate(3))], "metadata `tokenizer.ggml.precompiled_charsmap`: it ends"),
        (
            "t5",
            vec![charsmap(|bytes| *bytes.last_mut().unwrap() = json!(255))],
            "metadata `tokenizer.ggml.precompiled_charsmap`: its replacements are not UTF-8",
        ),
        (
            "bert",
            vec![
                ("unknown_token_id", None),
                ("tokens", changed("bert", "tokens", |tokens| tokens[1] = "[NONE]".into())),
            ],
            "metadata `tokenizer.ggml.tokens`: no unknown token, which a WordPiece",
        ),
        (
            "bert",
            vec![("tokens", changed("bert", "tokens", |tokens| tokens[9] = tokens[8].clone()))],
            "metadata `tokenizer.ggml.tokens`: token 9, ",
        ),
        (
            "bert",
            vec![("seperator_token_id", Some(json!(5000)))],
            "metadata `tokenizer.ggml.seperator_token_id`: token 5000 is not in the vocabulary of",
        ),
    ];
    for (name, changes, expected) in cases {
        let error = error_of(name, &changes);
        assert!(error.starts_with(expected), "{name}: {error}\nexpected {expected}");
    }
}

/// Unknown types are undefined tokens, and an empty token an unused id: neither is found in a text.
#[test]
fn odd_types_and_empty_tokens() {
    let mut types = read("llama")["metadata"]["token_type"].clone();
    types[799] = json!(77);
    types[798] = json!(-1);
    let empty = changed("llama", "tokens", |tokens| tokens[797] = "".into());
    let tokenizer = model("llama", &[("token_type", Some(types)), ("tokens", empty)]).tokenizer().unwrap();
    assert_eq!(tokenizer.decode(&[797]).unwrap(), "[EMPTY_797]");
    assert!(!tokenizer.encode("[EMPTY_797]").unwrap().contains(&797));
}

/// Quadratic work would take minutes.
#[test]
fn long_texts() {
    for name in ["llama", "t5", "unigram", "bert"] {
        let tokenizer = model(name, &[]).tokenizer().unwrap();
        for text in ["a", " ", "日", "\u{301}", "=", "<s>"] {
            let ids = tokenizer.encode(&text.repeat(5000)).unwrap();
            tokenizer.decode(&ids).unwrap();
        }
    }
}

/// A token of n letters, of all whose parts are tokens, has n - 1 splits: they would not fit memory.
#[test]
fn tokens_with_many_splits() {
    let letters = |most: usize| {
        let tokens: Vec<Value> = (1..=most).map(|n| "a".repeat(n).into()).collect();
        let scores: Vec<Value> = (0..most).map(|n| json!(-(n as f64))).collect();
        let unknown = Some(json!(0));
        [
            ("tokens", Some(tokens.into())),
            ("scores", Some(scores.into())),
            ("token_type", None),
            ("unknown_token_id", unknown),
        ]
    };
    let tokenizer = model("llama", &letters(60)).tokenizer().unwrap();
    assert!(tokenizer.encode(&"a".repeat(5000)).unwrap().len() < 5000);
    let expected =
        "metadata `tokenizer.ggml.tokens`: its tokens are pairs of other tokens in more than 32768 ways; 32 a token";
    let error = error_of("llama", &letters(1024));
    assert!(error.starts_with(expected), "{error}");
}

/// Files of every kind, and where the tensors' data starts.
static FILES: LazyLock<HashMap<&str, (Vec<u8>, usize)>> = LazyLock::new(|| {
    let names = ["llama", "mistral", "gemma", "t5", "unigram", "bert"];
    names
        .map(|name| {
            let file = file(name, &[]);
            let gguf = Gguf::parse(Arc::new(Storage::from(file.clone()))).unwrap();
            let start = gguf.tensors().iter().map(|tensor| tensor.range.start).min().unwrap();
            (name, (file, start))
        })
        .into()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A damaged file is an error, or another vocabulary.
    #[test]
    fn flipped_bits(
        name in prop::sample::select(vec!["llama", "mistral", "gemma", "t5", "unigram", "bert"]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 1..4),
    ) {
        let (mut file, start) = FILES[name].clone();
        for (at, bit) in flips {
            file[at.index(start)] ^= 1 << bit;
        }
        if let Ok(tokenizer) = Checkpoint::from_gguf(Storage::from(file)).and_then(|model| model.tokenizer()) {
            let _ = tokenizer.encode("a <s>é  日\t[CLS]\n").and_then(|ids| tokenizer.decode(&ids));
        }
    }

    /// A damaged table of replacements is an error, or gives other texts.
    #[test]
    fn damaged_replacements(at in any::<prop::sample::Index>(), value in 0..256u32) {
        let damaged = changed("t5", "precompiled_charsmap", |bytes| {
            let at = at.index(bytes.len());
            bytes[at] = json!(value);
        });
        if let Ok(tokenizer) = model("t5", &[("precompiled_charsmap", damaged)]).tokenizer() {
            let _ = tokenizer.encode("a \u{fb01} ＦＵ① e\u{301}\t日").and_then(|ids| tokenizer.decode(&ids));
        }
    }
}
