//! Converts tokenizers between formats.
//!
//! Converting to `tokenizer.json` always works: the tokenizer that the GGUF reader builds is saved. The other direction
//! requires byte-level BPE that GGUF can represent: a vocabulary of bytes, merges, a pre-tokenizer with a name in
//! `tokenizer.ggml.pre`, and added tokens that are matched by their text alone. Any other definition is rejected.

use crate::gguf::{Gguf, write::Writer};
use crate::json::{Fields, read_optional, shorten};
use crate::tokenizer::gguf::{
    ADD_BOS, ADD_EOS, CONTROL, MERGES, MODEL, NORMAL, PRE, TEMPLATE, TOKENS, TYPES, UNUSED, USER_DEFINED, role_id,
    role_key,
};
use crate::tokenizer::hf::special_text;
use crate::tokenizer::{byte_level, pre, special};
use crate::{Checkpoint, Error, Tokenizer};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::path::Path;

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
    let (tokens, types) = vocabulary(&tokenizer, checkpoint.config().vocab, &definition)?;
    check_parts(&definition, &tokens)?;
    writer
        .string(MODEL, "gpt2")
        .string(PRE, pre_name(&definition)?)
        .strings(TOKENS, &tokens)
        .i32s(TYPES, &types)
        .strings(MERGES, &merges(&definition)?)
        .bool(ADD_BOS, tokenizer.bos().is_some())
        .bool(ADD_EOS, tokenizer.eos().is_some());
    write_roles(&tokenizer, directory, writer)?;
    if let Some(template) = tokenizer.template() {
        writer.string(TEMPLATE, template.source());
    }
    Ok(())
}

/// The text and the type of every id, with fillers for those without a token: llama.cpp expects as many tokens as the
/// embedding has `rows`.
fn vocabulary(tokenizer: &Tokenizer, rows: usize, definition: &Value) -> Result<(Vec<String>, Vec<i32>), Error> {
    let added = tokenizer.inner().get_added_tokens_decoder();
    let nfc = !definition["normalizer"].is_null();
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
            Some(token) if token.lstrip || token.rstrip || token.single_word || (nfc && token.normalized) => {
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
    Ok((tokens, types))
}

/// Parts of a definition, and the values that GGUF can represent for them.
const PARTS: [(&str, &[&str]); 6] = [
    ("/model/type", &["\"BPE\""]),
    ("/decoder/type", &["\"ByteLevel\""]),
    ("/model/dropout", &["null", "0.0"]),
    ("/model/continuing_subword_prefix", &["null", "\"\""]),
    ("/model/end_of_word_suffix", &["null", "\"\""]),
    ("/model/byte_fallback", &["false"]),
];

/// # Errors
/// If GGUF cannot represent a part of the definition.
fn check_parts(definition: &Value, tokens: &[String]) -> Result<(), Error> {
    for (path, allowed) in PARTS {
        let found = definition.pointer(path).unwrap_or(&Value::Null).to_string();
        if !allowed.contains(&found.as_str()) {
            let cause = format!("it is {}, and GGUF's byte-level BPE has {} only", shorten(&found), allowed[0]);
            return Err(invalid(format!("`{}`", path[1..].replace('/', ".")), cause));
        }
    }
    // Without bytes that lack a token, nothing is unknown.
    let tokens: HashSet<&str> = tokens.iter().map(String::as_str).collect();
    let whole = (0..=u8::MAX).all(|byte| tokens.contains(byte_level::char_of(byte).to_string().as_str()));
    if !whole && !definition["model"]["unk_token"].is_null() {
        return Err(invalid("`model.unk_token`", "the vocabulary lacks bytes, and in GGUF they have no token"));
    }
    Ok(())
}

/// GGUF's name of the pre-tokenizer.
///
/// # Errors
/// If it has none.
fn pre_name(definition: &Value) -> Result<&'static str, Error> {
    let normalizer = &definition["normalizer"];
    let nfc = match normalizer["type"].as_str() {
        None if normalizer.is_null() => false,
        Some("NFC") => true,
        _ => {
            let cause = format!("{} is not NFC, the only one of GGUF's tokenizers", shorten(&normalizer.to_string()));
            return Err(invalid("`normalizer`", cause));
        }
    };
    let ignore_merges = definition["model"]["ignore_merges"] == true;
    let patterns = patterns(&definition["pre_tokenizer"]);
    patterns.and_then(|patterns| pre::name_of(&patterns, nfc, ignore_merges)).ok_or_else(|| {
        let found = shorten(&definition["pre_tokenizer"].to_string());
        let cause = format!("{found} cuts texts as none of those does that `{PRE}` has a name for; keep the folder");
        invalid("`pre_tokenizer`", cause)
    })
}

/// The patterns by which a pre-tokenizer splits before it maps bytes to characters; none if it does something else.
fn patterns(pre_tokenizer: &Value) -> Option<Vec<&str>> {
    let steps = match pre_tokenizer["pretokenizers"].as_array() {
        Some(steps) => steps,
        None => std::slice::from_ref(pre_tokenizer),
    };
    let (last, cuts) = steps.split_last()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] != false {
        return None;
    }
    let mut patterns = cuts.iter().map(pattern).collect::<Option<Vec<_>>>()?;
    // Its own pattern is GPT-2's.
    patterns.extend((last["use_regex"] == true).then_some(pre::GPT2));
    Some(patterns)
}

/// The pattern of one split.
fn pattern(step: &Value) -> Option<&str> {
    match step["type"].as_str()? {
        "Split" if step["behavior"] == "Isolated" && step["invert"] == false => step["pattern"]["Regex"].as_str(),
        "Digits" if step["individual_digits"] == true => Some(pre::DIGIT),
        _ => None,
    }
}

/// Pairs of tokens as GGUF spells them: `Ġ t`.
fn merges(definition: &Value) -> Result<Vec<String>, Error> {
    let merges = definition["model"]["merges"].as_array().map_or(&[][..], Vec::as_slice);
    let pair = |merge: &Value| {
        let (left, right) = (merge[0].as_str()?, merge[1].as_str()?);
        (!left.contains(' ') && !right.contains(' ')).then(|| format!("{left} {right}"))
    };
    let spell = |(rank, merge)| {
        pair(merge)
            .ok_or_else(|| invalid(format!("merge {rank}"), "a token with a space in it, which ends one in GGUF"))
    };
    merges.iter().enumerate().map(spell).collect()
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
