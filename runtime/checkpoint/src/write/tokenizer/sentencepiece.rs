//! SentencePiece BPE for GGUF: a score for each token in place of merges.
//!
//! A reader makes a merge of every split of a token into two, in the order of the tokens' scores. So the merges must be
//! those: all splits of a token, one after another. In which order a token's own splits come, GGUF does not say.

use super::{Vocabulary, invalid};
use crate::gguf::write::Writer;
use crate::json::shorten;
use crate::tokenizer::gguf::sentencepiece::{ADD_SPACE_PREFIX, NAME, SPACE, decoder, is_instruction};
use crate::tokenizer::gguf::{BYTE, CONTROL, MODEL, NORMAL, PRE, SCORES, UNKNOWN, USER_DEFINED};
use crate::{Error, Tokenizer};
use serde_json::Value;
use std::collections::HashMap;

/// Parts of a definition, and the values that GGUF can represent for them.
const PARTS: [(&str, &[&str]); 4] = [
    ("/model/dropout", &["null", "0.0"]),
    ("/model/continuing_subword_prefix", &["null", "\"\""]),
    ("/model/end_of_word_suffix", &["null", "\"\""]),
    ("/model/ignore_merges", &["false"]),
];

/// Writes the scores, and how spaces are put; gives tokens the types and texts that GGUF has for them.
///
/// # Errors
/// If GGUF cannot represent the definition.
pub(super) fn write(
    tokenizer: &Tokenizer,
    definition: &Value,
    vocabulary: &mut Vocabulary,
    writer: &mut Writer,
) -> Result<(), Error> {
    super::check_parts(definition, &PARTS, "SentencePiece BPE")?;
    mark_bytes(definition, vocabulary)?;
    let prefix = prefix(definition, vocabulary)?;
    if definition["decoder"] != serde_json::to_value(decoder(prefix)?)? {
        let found = shorten(&definition["decoder"].to_string());
        return Err(invalid("`decoder`", format!("{found} is not that of GGUF's SentencePiece BPE; keep the folder")));
    }
    let scores = scores(definition, vocabulary)?;
    spell_runs(tokenizer, vocabulary)?;
    // What llama.cpp's converter writes as `pre` for all of these.
    writer.string(MODEL, NAME).string(PRE, "default").f32s(SCORES, &scores).bool(ADD_SPACE_PREFIX, prefix);
    Ok(())
}

/// Gives bytes and the unknown token their types.
///
/// # Errors
/// If a byte has no token, so that a character could be unknown.
fn mark_bytes(definition: &Value, vocabulary: &mut Vocabulary) -> Result<(), Error> {
    let unknown = definition["model"]["unk_token"].as_str();
    let bytes: HashMap<String, u8> = (0..=u8::MAX).map(|byte| (format!("<0x{byte:02X}>"), byte)).collect();
    let mut found = 0;
    for (token, ty) in vocabulary.tokens.iter().zip(&mut vocabulary.types) {
        if *ty == NORMAL && bytes.contains_key(token) {
            *ty = BYTE;
            found += 1;
        } else if *ty == CONTROL && Some(token.as_str()) == unknown {
            *ty = UNKNOWN;
        }
    }
    if found < bytes.len() {
        let cause = format!("{found} of the tokens <0x00> to <0xFF>, which GGUF's SentencePiece BPE falls back to");
        return Err(invalid("`model.vocab`", cause));
    }
    Ok(())
}

/// Whether a space is put before a text.
///
/// # Errors
/// If spaces are put otherwise than readers of GGUF put them.
fn prefix(definition: &Value, vocabulary: &Vocabulary) -> Result<bool, Error> {
    let (normalizer, pre_tokenizer) = (&definition["normalizer"], &definition["pre_tokenizer"]);
    let steps = match normalizer["normalizers"].as_array() {
        Some(steps) => steps.as_slice(),
        None if normalizer.is_null() => &[],
        None => std::slice::from_ref(normalizer),
    };
    let space = SPACE.to_string();
    let prepends = |step: &Value| step["type"] == "Prepend" && step["prepend"] == space;
    let replaces =
        |step: &Value| step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == space;
    // Gemma's cuts a text at spaces, of which the normalizer leaves none.
    let whole = pre_tokenizer.is_null()
        || (pre_tokenizer["type"] == "Split" && pre_tokenizer["pattern"]["String"] == " " && !steps.is_empty());
    let first = pre_tokenizer["type"] == "Metaspace"
        && pre_tokenizer["replacement"] == space
        && pre_tokenizer["prepend_scheme"] == "first"
        && pre_tokenizer["split"] == false;
    let first_alone = vocabulary.tokens.iter().zip(&vocabulary.types).any(|(token, ty)| is_instruction(token, *ty));
    match steps {
        [a, b] if prepends(a) && replaces(b) && whole && !first_alone => Ok(true),
        [] if first && first_alone => Ok(true),
        [a] if replaces(a) && first && first_alone => Ok(true),
        [a] if replaces(a) && whole => Ok(false),
        _ => {
            let found = shorten(&normalizer.to_string());
            let cause = format!(
                "{found}, with the pre-tokenizer {}, puts spaces as no reader of GGUF does with this vocabulary; keep the \
                 folder",
                shorten(&pre_tokenizer.to_string())
            );
            Err(invalid("`normalizer`", cause))
        }
    }
}

/// Scores of which readers make these merges.
///
/// # Errors
/// If they would make others.
fn scores(definition: &Value, vocabulary: &Vocabulary) -> Result<Vec<f32>, Error> {
    let types = &vocabulary.types;
    let ids: HashMap<&str, usize> =
        vocabulary.tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let normal = |text: &str| ids.get(text).copied().filter(|id| types[*id] == NORMAL);
    // The place of each token that is merged, and its number of splits.
    let mut places: HashMap<usize, (usize, usize)> = HashMap::new();
    let mut last = None;
    let merges = definition["model"]["merges"].as_array().map_or(&[][..], Vec::as_slice);
    for (rank, merge) in merges.iter().enumerate() {
        let (left, right) = (merge[0].as_str().unwrap_or_default(), merge[1].as_str().unwrap_or_default());
        // What leads to or from a special token is not reached: it is found before. A run of spaces is.
        let Some(id) = normal(&format!("{left}{right}")) else { continue };
        match [left, right].into_iter().find(|part| normal(part).is_none()) {
            Some(run) if run.contains(SPACE) => {
                let cause = format!("{run:?} is an added token, which GGUF merges with nothing");
                return Err(invalid(format!("merge {rank}"), cause));
            }
            Some(_) => continue,
            None => {}
        }
        let next = places.len();
        let (_, splits) = places.entry(id).or_insert((next, 0));
        *splits += 1;
        if last != Some(id) && *splits > 1 {
            let cause = format!("it makes {left:?} + {right:?} later than another token; by a score all come at once");
            return Err(invalid(format!("merge {rank}"), cause));
        }
        last = Some(id);
    }
    let mut scores = vec![0.0; types.len()];
    let mut rest = places.len();
    for (id, token) in vocabulary.tokens.iter().enumerate().filter(|(id, _)| types[*id] == NORMAL) {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let splits = splits.filter(|(left, right)| normal(left).is_some() && normal(right).is_some()).count();
        let (place, merged) = places.get(&id).copied().unwrap_or((rest, 0));
        if merged != splits {
            let cause =
                format!("{merged} merges make it, and by a score in GGUF its {splits} splits into tokens would");
            return Err(invalid(format!("token {id}, {token:?}"), cause));
        }
        rest += usize::from(merged == 0);
        // Exact up to 2^24 tokens.
        scores[id] = -(place as f32);
    }
    Ok(scores)
}

/// Spells added runs of U+2581 with spaces, as llama.cpp's converter does: readers look for them in the text itself.
///
/// # Errors
/// If such a run of spaces is another token here.
fn spell_runs(tokenizer: &Tokenizer, vocabulary: &mut Vocabulary) -> Result<(), Error> {
    let added = vocabulary.types.iter().enumerate().filter(|(_, ty)| **ty == USER_DEFINED);
    for (id, _) in added {
        let token = &mut vocabulary.tokens[id];
        if !token.contains(SPACE) {
            continue;
        }
        let spaces = token.replace(SPACE, " ");
        if tokenizer.encode(&spaces)? != [id as u32] {
            let cause = "a text with spaces for its U+2581 is another token, and in GGUF it is this one";
            return Err(invalid(format!("token {id}, {token:?}"), cause));
        }
        *token = spaces;
    }
    Ok(())
}
