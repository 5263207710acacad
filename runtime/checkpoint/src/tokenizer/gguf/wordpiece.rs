//! WordPiece (`bert`): the longest tokens that spell a word, from its start.
//!
//! The converter writes `##ing` as `ing` and `play` as `▁play`, so that a space marks the start of a word as it does in
//! other vocabularies. Here they are read back as the model's own vocabulary has them.

use super::{Built, CONTROL, TOKENS, Vocabulary, place};
use crate::Error;
use crate::gguf::Gguf;
use std::borrow::Cow;
use tokenizers::decoders::wordpiece::WordPiece as Decoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

pub(crate) const NAME: &str = "bert";
const LOWERCASE: &str = "tokenizer.ggml.normalizer.lowercase";
const STRIP_ACCENTS: &str = "tokenizer.ggml.normalizer.strip_accents";
/// Marks the start of a word in the file.
const SPACE: char = '\u{2581}';
/// Marks a token that continues a word.
const PREFIX: &str = "##";
/// A longer word is unknown as a whole, as in BERT.
const MOST_CHARACTERS: usize = 100;

/// The text of a token in the model's vocabulary.
pub(super) fn spelling(token: &str, ty: i32) -> Cow<'_, str> {
    match token.strip_prefix(SPACE) {
        _ if ty == CONTROL => token.into(),
        Some(word) if !word.is_empty() => word.into(),
        _ => format!("{PREFIX}{token}").into(),
    }
}

pub(super) fn build(vocabulary: &mut Vocabulary) -> Result<Built, Error> {
    let named = vocabulary.unknown()?.map(|id| vocabulary.tokens[id as usize].to_string());
    let unknown = named.unwrap_or_else(|| "[UNK]".to_owned());
    let ids = vocabulary.ids()?;
    if !ids.contains_key(&unknown) {
        return Err(Error::invalid(place(TOKENS), "no unknown token, which a WordPiece tokenizer needs"));
    }
    let model = WordPiece::builder()
        .vocab(ids)
        .unk_token(unknown)
        .continuing_subword_prefix(PREFIX.to_owned())
        .max_input_chars_per_word(MOST_CHARACTERS);
    let model = model.build().map_err(|error| Error::invalid(place(TOKENS), error.to_string()))?;
    let lowercase = vocabulary.gguf.optional(LOWERCASE, Gguf::bool)?.unwrap_or(true);
    // Without the key, accents go where capitals do.
    let strip_accents = vocabulary.gguf.optional(STRIP_ACCENTS, Gguf::bool)?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_normalizer(Some(BertNormalizer::new(true, true, strip_accents, lowercase)));
    inner.with_pre_tokenizer(Some(BertPreTokenizer));
    inner.with_decoder(Some(Decoder::new(PREFIX.to_owned(), true)));
    Ok(Built { inner, add_first: true, add_last: true })
}
