//! The random model's tokenizer, tokenizers from other metadata, and tokenizer.json.

use crate::support::{GgufModel, hf_config, hf_tensors, safetensors};
use jiff::civil::DateTime;
use kforge_checkpoint::gguf::write::Writer;
use kforge_checkpoint::{Checkpoint, Conversation, Tokenizer};
use proptest::prelude::*;
use serde_json::json;
use std::sync::LazyLock;

static TINY: LazyLock<Tokenizer> = LazyLock::new(|| Checkpoint::random("tiny", 0).unwrap().tokenizer().unwrap());

#[test]
fn tiny_has_bytes_and_special_tokens() {
    assert_eq!((TINY.vocab(), TINY.bos()), (260, None));
    assert_eq!(TINY.encode("aé<|im_start|>").unwrap(), [97, 0xc3, 0xa9, 257]);
    assert!(TINY.is_end(258) && TINY.is_end(256) && !TINY.is_end(257) && !TINY.is_end(1000));
    assert_eq!(TINY.decode(&[257, 0xf0, 0x9f]).unwrap(), "<|im_start|>\u{fffd}");
    // A padded embedding has more rows than the tokenizer tokens.
    assert_eq!(TINY.decode(&[97, 260, 98]).unwrap(), "ab");
    let text = TINY.chat(&Conversation::of_user("hi"), DateTime::default()).unwrap();
    assert_eq!(text, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    assert_eq!(TINY.encode(&text).unwrap().iter().filter(|id| **id >= 256).count(), 3);
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>()) {
        let ids = TINY.encode(&text).unwrap();
        prop_assert_eq!(TINY.decode(&ids).unwrap(), text.as_str());
    }
}

/// Letters, a few of them merged, and special tokens.
fn write_vocabulary(writer: &mut Writer, pre: &str) {
    let tokens = ["a", "b", "c", "Ġ", "1", "2", "Ċ", "ab", "Ġab", "12", "abc", "<s>", "<|eot_id|>"];
    writer
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", pre)
        .strings("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3])
        .strings("tokenizer.ggml.merges", &["a b", "Ġ ab", "1 2"])
        .u32("tokenizer.ggml.bos_token_id", 11)
        .u32("tokenizer.ggml.eos_token_id", 12);
}

#[test]
fn the_pre_tokenizer_decides_the_cuts() {
    let ids = |pre: &'static str, text: &str| {
        let model = GgufModel::new().with(move |writer| write_vocabulary(writer, pre)).open().unwrap();
        model.tokenizer().unwrap().encode(text).unwrap()
    };
    for pre in ["gpt-2", "default", "llama-bpe", "llama3"] {
        assert_eq!(ids(pre, "ab ab12"), [7, 8, 9], "{pre}");
    }
    for pre in ["smollm", "qwen2"] {
        assert_eq!(ids(pre, "ab ab12"), [7, 8, 4, 5], "{pre}");
    }
    // No merge leads to `abc`, but llama3 takes a piece that is a token.
    assert_eq!(ids("llama3", "abc"), [10]);
    assert_eq!(ids("gpt-2", "abc"), [7, 2]);
    // Newlines stay with the spaces before them.
    assert_eq!(ids("qwen2", "a \n"), [0, 3, 6]);
}

#[test]
fn special_tokens_are_known_by_their_text() {
    let open = |ty: i32| {
        let model = GgufModel::new().with(move |writer| {
            writer
                .string("tokenizer.ggml.model", "gpt2")
                .string("tokenizer.ggml.pre", "gpt-2")
                .strings(
                    "tokenizer.ggml.tokens",
                    &["<|im_start|>", "<|im_end|>", "<", "|", "i", "m", "h", "[EOT]", "</s>"],
                )
                .i32s("tokenizer.ggml.token_type", &[ty, ty, 1, 1, 1, 1, 1, 3, 4])
                .strings::<&str>("tokenizer.ggml.merges", &[]);
        });
        model.open().unwrap().tokenizer().unwrap()
    };
    for (ty, warnings) in [
        (
            1,
            &[
                "metadata `tokenizer.ggml.token_type` does not say that `<|im_start|>`, `<|im_end|>` are special tokens; they \
               are taken as such",
            ][..],
        ),
        (3, &[]),
    ] {
        let tokenizer = open(ty);
        assert_eq!(tokenizer.encode("<|im_start|>him<|im_end|>").unwrap(), [0, 6, 4, 5, 1]);
        assert_eq!((0..9).filter(|id| tokenizer.is_end(*id)).collect::<Vec<_>>(), [1, 7, 8]);
        assert_eq!(tokenizer.warnings(), warnings);
    }
}

#[test]
fn a_missing_pre_tokenizer_is_said() {
    let model = GgufModel::new().with(|writer| {
        writer
            .string("tokenizer.ggml.model", "gpt2")
            .strings("tokenizer.ggml.tokens", &["a"])
            .strings::<&str>("tokenizer.ggml.merges", &[]);
    });
    let tokenizer = model.open().unwrap().tokenizer().unwrap();
    assert_eq!(tokenizer.warnings().len(), 1);
    assert!(
        tokenizer.warnings()[0].starts_with("metadata `tokenizer.ggml.pre` is missing: "),
        "{:?}",
        tokenizer.warnings()
    );
}

#[test]
fn llama3_begins_with_bos_unless_told() {
    let bos = |extra: Option<bool>| {
        let model = GgufModel::new().with(move |writer| {
            write_vocabulary(writer, "llama-bpe");
            if let Some(value) = extra {
                writer.bool("tokenizer.ggml.add_bos_token", value);
            }
        });
        model.open().unwrap().tokenizer().unwrap().bos()
    };
    assert_eq!((bos(None), bos(Some(false)), bos(Some(true))), (Some(11), None, Some(11)));
}

#[test]
fn tokenizer_json_is_loaded_with_its_companions() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    std::fs::write(directory.path().join("model.safetensors"), safetensors(&hf_tensors())).unwrap();
    let mut config = hf_config();
    config["eos_token_id"] = json!([1]);
    write("config.json", &config.to_string());
    let tokenizer = json!({
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
        "padding": null, "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "added_tokens": [{"id": 3, "content": "<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    });
    write("tokenizer.json", &tokenizer.to_string());
    let companion = json!({"bos_token": {"content": "a"}, "eos_token": "ab", "add_bos_token": true,
        "chat_template": [{"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}]});
    write("tokenizer_config.json", &companion.to_string());
    write("generation_config.json", r#"{"eos_token_id": 0}"#);

    let tokenizer = Checkpoint::open(directory.path()).unwrap().tokenizer().unwrap();
    assert_eq!(tokenizer.encode("abbab<|im_end|>").unwrap(), [2, 1, 2, 3]);
    assert_eq!((tokenizer.vocab(), tokenizer.bos()), (4, Some(0)));
    assert!((0..4).all(|id| tokenizer.is_end(id)));
    let chat = |tokenizer: &Tokenizer| tokenizer.chat(&Conversation::of_user("b"), DateTime::default()).unwrap();
    assert_eq!(chat(&tokenizer), "ab");

    write("generation_config.json", r#"{"eos_token_id": "ab"}"#);
    let error = Checkpoint::open(directory.path()).unwrap().tokenizer().unwrap_err().to_string();
    assert!(
        error.ends_with("generation_config.json: `eos_token_id`: expected a token id, or an array of them"),
        "{error}"
    );
    write("generation_config.json", r#"{"eos_token_id": [0, -1]}"#);
    write("chat_template.jinja", "own file");
    let tokenizer = Checkpoint::open(directory.path()).unwrap().tokenizer().unwrap();
    assert_eq!(chat(&tokenizer), "own file");
    write("tokenizer.json", "{}");
    assert!(Checkpoint::open(directory.path()).unwrap().tokenizer().is_err());
}

#[test]
fn contradictory_tokenizers_are_refused() {
    let base = |writer: &mut Writer| {
        writer.string("tokenizer.ggml.model", "gpt2");
    };
    let tokens = |writer: &mut Writer| {
        writer.strings("tokenizer.ggml.tokens", &["a", "b"]);
    };
    type Write = Box<dyn Fn(&mut Writer)>;
    let cases: [(&str, Write); 9] = [
        ("metadata `tokenizer.ggml.model`: the key is missing", Box::new(|_| ())),
        (
            "metadata `tokenizer.ggml.model`: tokenizer `rwkv` is not supported; supported are gpt2 (byte-level BPE), \
             llama (SentencePiece BPE), t5 (SentencePiece unigram), bert (WordPiece)",
            Box::new(|writer| {
                writer.string("tokenizer.ggml.model", "rwkv");
            }),
        ),
        ("metadata `tokenizer.ggml.tokens`: the key is missing", Box::new(base)),
        (
            "metadata `tokenizer.ggml.pre`: pre-tokenizer `invented` is unknown; another one would cut texts into wrong tokens.",
            Box::new(move |writer| {
                base(writer);
                tokens(writer);
                writer.string("tokenizer.ggml.pre", "invented");
            }),
        ),
        (
            "metadata `tokenizer.ggml.token_type`: 1 types for 2 tokens",
            Box::new(move |writer| {
                base(writer);
                tokens(writer);
                writer.i32s("tokenizer.ggml.token_type", &[1]);
            }),
        ),
        (
            "metadata `tokenizer.ggml.merges`: merge 0 is not a pair of tokens",
            Box::new(move |writer| {
                base(writer);
                tokens(writer);
                writer.strings("tokenizer.ggml.merges", &["a "]);
            }),
        ),
        (
            "metadata `tokenizer.ggml.merges`: Token `ab` out of vocabulary",
            Box::new(move |writer| {
                base(writer);
                tokens(writer);
                writer.strings("tokenizer.ggml.merges", &["a b"]);
            }),
        ),
        (
            "metadata `tokenizer.ggml.tokens`: token 1, \"a\", appears twice",
            Box::new(move |writer| {
                base(writer);
                writer.strings("tokenizer.ggml.tokens", &["a", "a"]).strings::<&str>("tokenizer.ggml.merges", &[]);
            }),
        ),
        (
            "metadata `tokenizer.ggml.eos_token_id`: token 2 is not in the vocabulary of 2 tokens",
            Box::new(move |writer| {
                base(writer);
                tokens(writer);
                writer.strings::<&str>("tokenizer.ggml.merges", &[]).u32("tokenizer.ggml.eos_token_id", 2);
            }),
        ),
    ];
    for (expected, write) in cases {
        let error = GgufModel::new().with(write).open().unwrap().tokenizer().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}
