//! Converts tokenizers between formats.
//!
//! Converting to `tokenizer.json` always works: the tokenizer that the GGUF reader builds is saved. The other direction
//! requires byte-level BPE ([`bpe`]) or SentencePiece BPE ([`sentencepiece`]) that GGUF can represent, with added tokens
//! that are matched by their text alone. Any other definition is rejected.

mod bpe;
mod sentencepiece;

use crate::gguf::{Gguf, write::Writer};
use crate::json::{Fields, read_optional, shorten};
use crate::tokenizer::gguf::sentencepiece::takes_space_after;
use crate::tokenizer::gguf::{
    ADD_BOS, ADD_EOS, CONTROL, MODEL, NORMAL, TEMPLATE, TOKENS, TYPES, UNUSED, USER_DEFINED, role_id, role_key,
};
use crate::tokenizer::hf::special_text;
use crate::tokenizer::special;
use crate::{Checkpoint, Error, Tokenizer};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::path::Path;
use tokenizers::AddedToken;

/// Special tokens: GGUF's name of the role, and Hugging Face's of the token.
const ROLES: [(&str, &str); 7] = [
    ("bos", "bos_token"),
    ("eos", "eos_token"),
    ("unknown", "unk_token"),
    ("padding", "pad_token"),
    ("cls", "cls_token"),
    ("seperator", "sep_token"),
    ("mask", "mask_token"),
];
/// Those whose ids a model's configuration has.
const CONFIGURED: [&str; 3] = ["bos_token", "eos_token", "pad_token"];

/// The parts of a Hugging Face folder that describe a tokenizer.
pub(super) struct Files {
    /// `tokenizer.json`.
    pub json: Value,
    /// `tokenizer_config.json`.
    pub config: Value,
    /// Ids of special tokens, for `config.json` and `generation_config.json`.
    pub ids: Map<String, Value>,
}

/// The files of a GGUF checkpoint's tokenizer; none if it has no tokenizer.
///
/// # Errors
/// If its tokenizer is of a kind that is not supported, or malformed.
pub(super) fn to_hugging_face(checkpoint: &Checkpoint, gguf: &Gguf) -> Result<Option<Files>, Error> {
    if gguf.get(MODEL).is_none() {
        return Ok(None);
    }
    let tokenizer = checkpoint.tokenizer()?;
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": tokenizer.bos().is_some(),
        "add_eos_token": tokenizer.eos().is_some(),
        "clean_up_tokenization_spaces": false,
        "model_max_length": checkpoint.config().context,
    });
    if let Some(template) = tokenizer.template() {
        config["chat_template"] = template.source().into();
    }
    let mut ids = Map::new();
    for (role, name) in ROLES {
        let id = role_id(gguf, role, tokenizer.vocab())?;
        if let Some((id, text)) = id.and_then(|id| Some((id, tokenizer.inner().id_to_token(id)?))) {
            config[name] = text.into();
            if CONFIGURED.contains(&name) {
                ids.insert(format!("{name}_id"), id.into());
            }
        }
    }
    // A model may end its turn by more tokens than its text.
    ids.insert("eos_token_id".to_owned(), tokenizer.ends().into());
    let mut json = serde_json::to_value(tokenizer.inner())?;
    json["post_processor"] = post_processor(&tokenizer);
    mark_user_defined(&mut json, &gguf.optional(TYPES, Gguf::integers)?.unwrap_or_default());
    Ok(Some(Files { json, config, ids }))
}

/// Marks user-defined tokens, which are matched in a text first, but are ordinary text: decoding does not skip them.
fn mark_user_defined(json: &mut Value, types: &[i64]) {
    for token in json["added_tokens"].as_array_mut().into_iter().flatten() {
        let ty = token["id"].as_u64().and_then(|id| types.get(usize::try_from(id).ok()?));
        if ty == Some(&i64::from(USER_DEFINED)) {
            token["special"] = false.into();
        }
    }
}

/// Puts the first and the last token around a text, where the model wants them.
fn post_processor(tokenizer: &Tokenizer) -> Value {
    let affix = |id: Option<u32>| id.and_then(|id| Some((id, tokenizer.inner().id_to_token(id)?)));
    let (first, last) = (affix(tokenizer.bos()), affix(tokenizer.eos()));
    if first.is_none() && last.is_none() {
        return Value::Null;
    }
    let sequence = |id: &str, ty: u32| {
        let token = |affix: &Option<(u32, String)>| {
            affix.as_ref().map(|(_, token)| json!({"SpecialToken": {"id": token, "type_id": ty}}))
        };
        // The first token is before the first text alone.
        let first = token(&first).filter(|_| ty == 0);
        first.into_iter().chain([json!({"Sequence": {"id": id, "type_id": ty}})]).chain(token(&last))
    };
    let described = |(id, token): &(u32, String)| (token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
    json!({
        "type": "TemplateProcessing",
        "single": sequence("A", 0).collect::<Value>(),
        "pair": sequence("A", 0).chain(sequence("B", 1)).collect::<Value>(),
        "special_tokens": first.iter().chain(&last).map(described).collect::<Map<_, _>>(),
    })
}

/// Writes the metadata of the tokenizer of a Hugging Face folder.
///
/// # Errors
/// If there is none, or GGUF cannot represent it.
pub(super) fn to_gguf(checkpoint: &Checkpoint, directory: &Path, writer: &mut Writer) -> Result<(), Error> {
    let tokenizer = checkpoint.tokenizer()?;
    let definition = serde_json::to_value(tokenizer.inner())?;
    let model = &definition["model"]["type"];
    if model != "BPE" {
        let cause =
            format!("{model} is not written to GGUF files; \"BPE\", of bytes or SentencePiece's, is; keep the folder");
        return Err(invalid("`model.type`", cause));
    }
    // A tokenizer of neither kind gets the errors of byte-level BPE.
    let falls_back = definition["model"]["byte_fallback"] == true && definition["decoder"]["type"] != "ByteLevel";
    let write = if falls_back { sentencepiece::write } else { bpe::write };
    let strips = |token: &str| falls_back && takes_space_after(checkpoint.config().arch.name, token);
    let mut vocabulary = vocabulary(&tokenizer, checkpoint.config().vocab, &definition, &strips)?;
    write(&tokenizer, &definition, &mut vocabulary, writer)?;
    writer
        .strings(TOKENS, &vocabulary.tokens)
        .i32s(TYPES, &vocabulary.types)
        .bool(ADD_BOS, tokenizer.bos().is_some())
        .bool(ADD_EOS, tokenizer.eos().is_some());
    write_roles(&tokenizer, directory, writer)?;
    if let Some(template) = tokenizer.template() {
        writer.string(TEMPLATE, template.source());
    }
    Ok(())
}

/// The text and the type of every id.
struct Vocabulary {
    tokens: Vec<String>,
    types: Vec<i32>,
}

/// The vocabulary, with fillers for ids without a token: llama.cpp expects as many tokens as the embedding has `rows`.
/// Readers know that a token for which `strips` holds takes the space after it.
fn vocabulary(
    tokenizer: &Tokenizer,
    rows: usize,
    definition: &Value,
    strips: &dyn Fn(&str) -> bool,
) -> Result<Vocabulary, Error> {
    let added = tokenizer.inner().get_added_tokens_decoder();
    let normalizes = !definition["normalizer"].is_null();
    let takes_more = |token: &AddedToken| {
        let unknown = token.lstrip || token.single_word || (normalizes && token.normalized);
        unknown || token.rstrip != strips(&token.content)
    };
    let mut tokens: Vec<String> = (0..rows).map(|id| format!("[PAD{id}]")).collect();
    let mut types = vec![UNUSED; rows];
    let mut vocabulary: Vec<(u32, String)> =
        tokenizer.inner().get_vocab(true).into_iter().map(|(text, id)| (id, text)).collect();
    // So that an error does not depend on the map's order.
    vocabulary.sort_unstable();
    for (id, text) in vocabulary {
        let place = || format!("token {id}, {text:?}");
        let Some(ty) = types.get_mut(id as usize) else {
            return Err(invalid(
                place(),
                format!("the model's embedding has {rows} rows; GGUF needs one for each token"),
            ));
        };
        if *ty != UNUSED {
            return Err(invalid(place(), "another token has this id; GGUF has one text for each"));
        }
        *ty = match added.get(&id) {
            Some(token) if takes_more(token) => {
                let cause =
                    "it takes more than its text (lstrip, rstrip, single_word or normalized), which GGUF cannot say";
                return Err(invalid(place(), cause));
            }
            Some(token) if token.special => CONTROL,
            Some(_) => USER_DEFINED,
            None if special::is_special(&text) => {
                let cause = "it is ordinary text here, but readers of GGUF take it as a special token";
                return Err(invalid(place(), cause));
            }
            None if text == tokens[id as usize] => UNUSED,
            None => NORMAL,
        };
        tokens[id as usize] = text;
    }
    let mut texts = HashSet::new();
    if let Some(token) = tokens.iter().find(|token| !texts.insert(token.as_str())) {
        return Err(invalid(format!("token {token:?}"), "it is named as the filler of an id without a token is"));
    }
    Ok(Vocabulary { tokens, types })
}

/// # Errors
/// If a part of the definition has a value that is not allowed for GGUF's tokenizers of this kind.
fn check_parts(definition: &Value, parts: &[(&str, &[&str])], kind: &str) -> Result<(), Error> {
    for (path, allowed) in parts {
        let found = definition.pointer(path).unwrap_or(&Value::Null).to_string();
        if !allowed.contains(&found.as_str()) {
            let cause = format!("it is {}, and GGUF's {kind} has {} only", shorten(&found), allowed[0]);
            return Err(invalid(format!("`{}`", path[1..].replace('/', ".")), cause));
        }
    }
    Ok(())
}

/// Writes the ids of special tokens.
///
/// # Errors
/// If more tokens end a turn than GGUF has names for.
fn write_roles(tokenizer: &Tokenizer, directory: &Path, writer: &mut Writer) -> Result<(), Error> {
    let config = read_optional(&directory.join("tokenizer_config.json"))?.unwrap_or_default();
    let fields = Fields::new(&config);
    let id = |name: &str| tokenizer.inner().token_to_id(special_text(fields.get(name))?);
    for (role, name) in ROLES.into_iter().filter(|(role, _)| *role != "eos") {
        if let Some(id) = id(name) {
            writer.u32(&role_key(role), id);
        }
    }
    let added = tokenizer.inner().get_added_vocabulary().get_vocab();
    let by_text: HashSet<&str> = special::ends(|text| added.contains_key(text)).into_iter().collect();
    // Readers of GGUF know the others by their text.
    let named = tokenizer.ends().into_iter().filter(|id| {
        let text = tokenizer.inner().id_to_token(*id);
        text.is_some_and(|text| !by_text.contains(text.as_str()))
    });
    let eos = id("eos_token");
    let mut ends: Vec<u32> = eos.into_iter().chain(named.filter(|id| Some(*id) != eos)).collect();
    if ends.is_empty() {
        ends.extend(tokenizer.ends().first());
    }
    if ends.len() > END_ROLES.len() {
        let cause = format!("{} tokens end a turn, and GGUF has names for {}", ends.len(), END_ROLES.len());
        return Err(Error::invalid("`eos_token_id`", cause));
    }
    for (role, id) in END_ROLES.iter().zip(ends) {
        writer.u32(&role_key(role), id);
    }
    Ok(())
}

/// GGUF's names of tokens that end a turn.
const END_ROLES: [&str; 3] = ["eos", "eot", "eom"];

fn invalid(place: impl std::fmt::Display, cause: impl Into<String>) -> Error {
    Error::invalid(format!("tokenizer.json: {place}"), cause)
}
