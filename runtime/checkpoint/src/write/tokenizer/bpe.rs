//! Byte-level BPE for GGUF: a vocabulary of bytes, merges, and a pre-tokenizer with a name in `tokenizer.ggml.pre`.

use super::{Vocabulary, invalid};
use crate::gguf::write::Writer;
use crate::json::shorten;
use crate::tokenizer::gguf::bpe::NAME;
use crate::tokenizer::gguf::{MERGES, MODEL, PRE};
use crate::tokenizer::{byte_level, pre};
use crate::{Error, Tokenizer};
use serde_json::Value;
use std::collections::HashSet;

/// Writes the pre-tokenizer's name and the merges.
///
/// # Errors
/// If GGUF cannot represent them.
pub(super) fn write(
    _: &Tokenizer,
    definition: &Value,
    vocabulary: &mut Vocabulary,
    writer: &mut Writer,
) -> Result<(), Error> {
    check(definition, &vocabulary.tokens)?;
    writer.string(MODEL, NAME).string(PRE, pre_name(definition)?).strings(MERGES, &merges(definition)?);
    Ok(())
}

/// Parts of a definition, and the values that GGUF can represent for them.
const PARTS: [(&str, &[&str]); 5] = [
    ("/decoder/type", &["\"ByteLevel\""]),
    ("/model/dropout", &["null", "0.0"]),
    ("/model/continuing_subword_prefix", &["null", "\"\""]),
    ("/model/end_of_word_suffix", &["null", "\"\""]),
    ("/model/byte_fallback", &["false"]),
];

/// # Errors
/// If GGUF cannot represent a part of the definition.
fn check(definition: &Value, tokens: &[String]) -> Result<(), Error> {
    super::check_parts(definition, &PARTS, "byte-level BPE")?;
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
