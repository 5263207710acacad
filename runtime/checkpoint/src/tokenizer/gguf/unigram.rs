//! SentencePiece unigram (`t5`): the segmentation of a text with the highest sum of scores.

use super::{Built, NORMAL, TOKENS, Vocabulary, place, sentencepiece};
use crate::Error;
use crate::gguf::Gguf;
use tokenizers::models::unigram::Unigram;

pub(super) fn build(vocabulary: &mut Vocabulary) -> Result<Built, Error> {
    let bytes = sentencepiece::has_bytes(vocabulary, &vocabulary.ids()?)?;
    let Some(unknown) = vocabulary.unknown()? else {
        return Err(Error::invalid(place(TOKENS), "no unknown token, which a unigram tokenizer needs"));
    };
    let scores = sentencepiece::scores(vocabulary)?;
    // The score of an unknown character is that of the least token, less a constant. A converter gives fillers and
    // control tokens scores of their own, which must not count.
    let ordinary = scores.iter().zip(&vocabulary.types).filter(|(_, ty)| **ty == NORMAL);
    let least = ordinary.map(|(score, _)| f64::from(*score)).fold(0.0, f64::min);
    let scored = vocabulary.tokens.iter().zip(&scores).zip(&vocabulary.types).map(|((token, score), ty)| {
        let score = if *ty == NORMAL { f64::from(*score) } else { least };
        (token.to_string(), score)
    });
    let model = Unigram::from(scored.collect(), Some(unknown as usize), bytes);
    let model = model.map_err(|error| Error::invalid(place(TOKENS), error.to_string()))?;
    let prefix = vocabulary.gguf.optional(sentencepiece::ADD_SPACE_PREFIX, Gguf::bool)?.unwrap_or(false);
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_normalizer(Some(sentencepiece::normalizer(vocabulary.gguf, prefix)?));
    inner.with_decoder(Some(sentencepiece::decoder(prefix)?));
    Ok(Built { inner, add_first: false, add_last: true })
}
