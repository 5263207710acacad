//! Vocabularies of each kind, in `data/tokenizers`: texts have the tokens that transformers' tokenizers give them, and
//! come back from them, at once and one by one. `make.py` there writes the expectations.

use crate::support::GgufModel;
use kforge_checkpoint::gguf::write::Writer;
use kforge_checkpoint::gguf::{GgmlType, ValueType};
use kforge_checkpoint::write::{self, Dequantized};
use kforge_checkpoint::{Checkpoint, Storage, Tokenizer};
use serde_json::Value;
use std::path::Path;

/// A vocabulary, and the first and last token of a text in it.
const VOCABULARIES: [(&str, Option<u32>, Option<u32>); 8] = [
    ("llama", Some(1), None),
    ("mistral", Some(1), None),
    ("gemma", Some(2), None),
    ("t5", None, Some(1)),
    ("unigram", Some(1), Some(2)),
    ("bert", Some(2), Some(3)),
    ("bert-cased", Some(2), Some(3)),
    ("gpt2", None, None),
];

pub fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/tokenizers/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Writes a value of `tokenizer.ggml`.
fn write_value(writer: &mut Writer, key: &str, value: &Value) {
    let name = &format!("tokenizer.ggml.{key}");
    let floats = |values: &[Value]| values.iter().map(|value| value.as_f64().unwrap() as f32).collect::<Vec<_>>();
    match value {
        Value::Bool(value) => writer.bool(name, *value),
        Value::Number(value) => writer.u32(name, value.as_u64().unwrap() as u32),
        Value::String(value) => writer.string(name, value),
        Value::Array(values) if key == "scores" => writer.f32s(name, &floats(values)),
        Value::Array(values) if key == "token_type" => {
            writer.i32s(name, &values.iter().map(|value| value.as_i64().unwrap() as i32).collect::<Vec<_>>())
        }
        Value::Array(values) if key == "precompiled_charsmap" => {
            let bytes: Vec<u8> = values.iter().map(|value| value.as_u64().unwrap() as u8).collect();
            let header = [&ValueType::U8.id().to_le_bytes()[..], &(bytes.len() as u64).to_le_bytes()].concat();
            writer.raw(name, ValueType::Array.id(), &[header, bytes].concat())
        }
        Value::Array(values) => {
            writer.strings(name, &values.iter().map(|value| value.as_str().unwrap()).collect::<Vec<_>>())
        }
        _ => panic!("{key}: {value}"),
    };
}

/// The file of a model with this vocabulary, and with other values for some keys; none leaves a key out.
pub fn file(name: &str, changes: &[(&str, Option<Value>)]) -> Vec<u8> {
    let mut metadata = read(name)["metadata"].as_object().unwrap().clone();
    for (key, value) in changes {
        match value {
            Some(value) => drop(metadata.insert((*key).to_owned(), value.clone())),
            None => drop(metadata.remove(*key)),
        }
    }
    let model = GgufModel::new().without("token_embd.weight").with(move |writer| {
        for (key, value) in &metadata {
            write_value(writer, key, value);
        }
        let tokens = metadata.get("tokens").and_then(Value::as_array).map_or(1, |tokens| tokens.len().max(1));
        writer.tensor("token_embd.weight", &[tokens, 64], GgmlType::F32, &vec![0; 4 * 64 * tokens]);
    });
    model.bytes()
}

pub fn model(name: &str, changes: &[(&str, Option<Value>)]) -> Checkpoint {
    Checkpoint::from_gguf(Storage::from(file(name, changes))).unwrap()
}

fn texts() -> Vec<String> {
    serde_json::from_value(read("texts")).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text: String = ids.iter().filter_map(|id| stream.push(*id).unwrap()).collect();
    text.push_str(&stream.finish().unwrap());
    text
}

#[test]
fn texts_have_the_tokens_of_the_reference() {
    for (name, bos, eos) in VOCABULARIES {
        let pre = (name == "gpt2").then(|| ("pre", Some("gpt-2".into())));
        let tokenizer = model(name, pre.as_slice()).tokenizer().unwrap();
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (bos, eos), "{name}");
        assert!(tokenizer.warnings().is_empty(), "{name}: {:?}", tokenizer.warnings());
        let expected = read(name);
        for (i, text) in texts().iter().enumerate() {
            let ids = ids(&expected["ids"][i]);
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{name}, text {i}: {text:?}");
            let decoded = tokenizer.decode(&ids).unwrap();
            assert_eq!(decoded, expected["decoded"][i].as_str().unwrap(), "{name}, text {i}: {text:?}");
            assert_eq!(streamed(&tokenizer, &ids), decoded, "{name}, text {i}: {text:?}");
        }
    }
}

#[test]
fn pre_tokenizers_cut_as_their_models_do() {
    let expected = read("gpt2");
    let texts = texts();
    let pres = expected["pre"].as_object().unwrap();
    assert_eq!(pres.len(), 11);
    for (pre, rows) in pres {
        let tokenizer = model("gpt2", &[("pre", Some(pre.as_str().into()))]).tokenizer().unwrap();
        // Where the metadata does not say.
        let begins = ["llama-bpe", "falcon3", "tekken"].contains(&pre.as_str());
        assert_eq!(tokenizer.bos(), begins.then_some(0), "{pre}");
        for (i, text) in texts.iter().enumerate() {
            let row = rows.get(i.to_string()).unwrap_or(&expected["ids"][i]);
            assert_eq!(tokenizer.encode(text).unwrap(), ids(row), "{pre}, text {i}: {text:?}");
        }
    }
}

/// With bytes for every character, and nothing taken away, a text comes back whole.
#[test]
fn byte_fallback_loses_nothing() {
    for name in ["llama", "gemma", "unigram"] {
        let tokenizer = model(name, &[]).tokenizer().unwrap();
        // U+2581 stands for a space, and a space follows a special token.
        for text in texts().iter().filter(|text| !text.contains(['\u{2581}', '<'])) {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), *text, "{name}: {text:?}");
        }
    }
}

/// A folder written from a GGUF file has the same tokenizer, and so has a GGUF file written from that folder, of the
/// kinds that can be written.
#[test]
fn every_kind_goes_to_a_folder_and_back() {
    for (name, bos, eos) in VOCABULARIES {
        let pre = (name == "gpt2").then(|| ("pre", Some("llama-bpe".into())));
        let model = model(name, pre.as_slice());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model");
        write::hugging_face(&model, &path, Dequantized::F32, |_| ()).unwrap();
        let folder = Checkpoint::open(&path).unwrap();
        let mut tokenizers = vec![model.tokenizer().unwrap(), folder.tokenizer().unwrap()];
        let mut file = Vec::new();
        match (name, write::gguf(&folder, &mut file)) {
            ("llama" | "mistral" | "gemma" | "gpt2", written) => {
                written.unwrap();
                tokenizers.push(Checkpoint::from_gguf(Storage::from(file)).unwrap().tokenizer().unwrap());
            }
            (_, written) => {
                let error = written.unwrap_err().to_string();
                assert!(error.contains(" is not written to GGUF files; "), "{name}: {error}");
            }
        }
        let expected = read(name);
        let bos = if name == "gpt2" { Some(0) } else { bos };
        let ends = |tokenizer: &Tokenizer| (0..tokenizer.vocab() as u32).filter(|id| tokenizer.is_end(*id)).count();
        for tokenizer in &tokenizers {
            for (i, text) in texts().iter().enumerate() {
                let mut ids = ids(&expected["ids"][i]);
                if name == "gpt2" {
                    ids = tokenizers[0].encode(text).unwrap();
                }
                assert_eq!(tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
                assert_eq!(
                    tokenizer.decode(&ids).unwrap(),
                    expected["decoded"][i].as_str().unwrap(),
                    "{name}: {text:?}"
                );
            }
            assert_eq!((tokenizer.bos(), tokenizer.eos()), (bos, eos), "{name}");
            assert_eq!(ends(tokenizer), ends(&tokenizers[0]), "{name}");
        }
    }
}

/// Definitions whose ids scores cannot give.
#[test]
fn merges_that_scores_do_not_make_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    write::hugging_face(&model("llama", &[]), &path, Dequantized::F32, |_| ()).unwrap();
    let json: Value = serde_json::from_slice(&std::fs::read(path.join("tokenizer.json")).unwrap()).unwrap();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 7] = [
        (
            |json| drop(json["model"]["merges"].as_array_mut().unwrap().pop()),
            " merges make it, and by a score in GGUF its ",
        ),
        // The splits of a token, the first of them after all other merges.
        (
            |json| {
                let merges = json["model"]["merges"].as_array_mut().unwrap();
                let result = |merge: &Value| format!("{}{}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
                let twice = merges.windows(2).position(|pair| result(&pair[0]) == result(&pair[1])).unwrap();
                let merge = merges.remove(twice);
                merges.push(merge);
            },
            " later than another token; by a score all come at once",
        ),
        (
            |json| json["normalizer"] = Value::Null,
            "`normalizer`: null, with the pre-tokenizer null, puts spaces as no reader",
        ),
        (
            |json| drop(json["decoder"]["decoders"].as_array_mut().unwrap().pop()),
            "is not that of GGUF's SentencePiece BPE; keep the folder",
        ),
        (
            |json| json["model"]["ignore_merges"] = true.into(),
            "`model.ignore_merges`: it is true, and GGUF's SentencePiece BPE has false only",
        ),
        (
            |json| {
                let id = json["model"]["vocab"].as_object_mut().unwrap().remove("<0x41>").unwrap();
                json["model"]["vocab"]["another"] = id;
            },
            "`model.vocab`: 255 of the tokens <0x00> to <0xFF>, which GGUF's SentencePiece BPE falls back to",
        ),
        (|json| json["added_tokens"][1]["rstrip"] = true.into(), "it takes more than its text (lstrip, rstrip"),
    ];
    for (change, expected) in cases {
        let mut json = json.clone();
        change(&mut json);
        std::fs::write(path.join("tokenizer.json"), json.to_string()).unwrap();
        let error = write::gguf(&Checkpoint::open(&path).unwrap(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
}

/// What a model appends to a prompt keeps its first space.
#[test]
fn a_text_continues_another() {
    for name in ["llama", "mistral", "gemma", "unigram", "gpt2"] {
        let tokenizer = model(name, &[]).tokenizer().unwrap();
        let ids = tokenizer.encode("the first words and the others").unwrap();
        for split in 1..ids.len() {
            let (before, after) = ids.split_at(split);
            let mut stream = tokenizer.stream_after(before.last().copied()).unwrap();
            let mut text = tokenizer.decode(before).unwrap();
            text.extend(after.iter().filter_map(|id| stream.push(*id).unwrap()));
            text.push_str(&stream.finish().unwrap());
            assert_eq!(text, tokenizer.decode(&ids).unwrap(), "{name}, {split}");
        }
    }
}
