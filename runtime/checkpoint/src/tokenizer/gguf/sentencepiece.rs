//! SentencePiece BPE (`llama`): a score for each token in place of merges, and a token for each byte.
//!
//! SentencePiece merges the pair of neighbours whose concatenation is the token of the highest score. The `tokenizers`
//! crate merges by rank, so every split of a token into two others becomes a merge, ordered by the token's score. The
//! order of the splits of one token is that of transformers' `generate_merges`.
//!
//! A space is U+2581 in the tokens, and one is put before a text, and after a special token: as in the tokenizer.json of
//! Llama 2, Mistral 0.1 and Phi 3, and in llama.cpp. Mistral 0.3 and its kin have it before a text alone: their template
//! has a space after `[INST]`, and mistral-common puts one space before each message. A character without a token becomes
//! the tokens of its bytes.

use super::{BYTE, Built, CONTROL, NORMAL, SCORES, TOKENS, Vocabulary, place};
use crate::Error;
use crate::gguf::Gguf;
use crate::tokenizer::contain;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Prepend, Replace, Sequence};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

pub(crate) const NAME: &str = "llama";
pub(crate) const ADD_SPACE_PREFIX: &str = "tokenizer.ggml.add_space_prefix";
const REMOVE_EXTRA_SPACES: &str = "tokenizer.ggml.remove_extra_whitespaces";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
/// Stands for a space.
pub(crate) const SPACE: char = '\u{2581}';
/// Bytes of the longest token. Splitting one costs their square; the longest of Gemma 3 has 48.
const MOST_BYTES: usize = 1024;
/// Splits for each token, on average, so that memory grows with the file's size alone. Gemma 3 has 2.
const MOST_SPLITS: usize = 32;

pub(super) fn build(vocabulary: &mut Vocabulary) -> Result<Built, Error> {
    let ids = vocabulary.ids()?;
    let bytes = has_bytes(vocabulary, &ids)?;
    let unknown = vocabulary.unknown()?;
    let scores = scores(vocabulary)?;
    let merges = merges(vocabulary, &ids, &scores)?;
    let mut model = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(bytes).fuse_unk(true);
    if let Some(id) = unknown {
        model = model.unk_token(vocabulary.tokens[id as usize].to_string());
    }
    let model = model.build().map_err(|error| Error::invalid(place(TOKENS), error.to_string()))?;
    let prefix = vocabulary.gguf.optional(ADD_SPACE_PREFIX, Gguf::bool)?.unwrap_or(true);
    let first_alone =
        prefix && vocabulary.tokens.iter().zip(&vocabulary.types).any(|(token, ty)| is_instruction(token, *ty));
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_normalizer(Some(normalizer(vocabulary.gguf, prefix && !first_alone)?));
    inner.with_pre_tokenizer(first_alone.then(|| Metaspace::new(SPACE, PrependScheme::First, false)));
    inner.with_decoder(Some(decoder(prefix)?));
    Ok(Built { inner, add_first: true, add_last: false })
}

/// Whether this is the control token of Mistral's vocabularies since 0.3, which GGUF does not tell from older ones.
pub(crate) fn is_instruction(token: &str, ty: i32) -> bool {
    token == "[INST]" && ty == CONTROL
}

/// Whether a special token of a SentencePiece vocabulary takes the white space after it. GGUF does not say; these are the
/// `rstrip` tokens of Phi 3's tokenizer.json.
pub(crate) fn takes_space_after(architecture: &str, token: &str) -> bool {
    architecture == "phi3" && !["<unk>", "<s>", "<|endoftext|>"].contains(&token)
}

/// Whether there is a token for each byte.
///
/// # Errors
/// If a character that is no token would be lost: there are neither bytes nor an unknown token; or if a token of the
/// type of bytes is none.
pub(super) fn has_bytes(vocabulary: &Vocabulary, ids: &Vocab) -> Result<bool, Error> {
    for (id, (token, ty)) in vocabulary.tokens.iter().zip(&vocabulary.types).enumerate() {
        let digits = token.strip_prefix("<0x").and_then(|token| token.strip_suffix('>')).unwrap_or_default();
        if *ty == BYTE && !(digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok()) {
            let cause = format!("token {id}, {token:?}, has the type of bytes, which are <0x00> to <0xFF>");
            return Err(Error::invalid(place(TOKENS), cause));
        }
    }
    let bytes = (0..=u8::MAX).all(|byte| ids.contains_key(format!("<0x{byte:02X}>").as_str()));
    if !bytes && vocabulary.unknown()?.is_none() {
        let cause =
            "neither the bytes <0x00> to <0xFF> nor an unknown token: a character without a token would be lost";
        return Err(Error::invalid(place(TOKENS), cause));
    }
    Ok(bytes)
}

/// The score of each token.
///
/// # Errors
/// If there is not one finite score for each token, or a token is too long to be one.
pub(super) fn scores(vocabulary: &Vocabulary) -> Result<Vec<f32>, Error> {
    let scores = vocabulary.gguf.floats(SCORES)?;
    if scores.len() != vocabulary.tokens.len() {
        let cause = format!("{} scores for {} tokens", scores.len(), vocabulary.tokens.len());
        return Err(Error::invalid(place(SCORES), cause));
    }
    if let Some(id) = scores.iter().position(|score| !score.is_finite()) {
        let cause = format!("the score of token {id} is {}; a finite number is needed", scores[id]);
        return Err(Error::invalid(place(SCORES), cause));
    }
    if let Some(id) = vocabulary.tokens.iter().position(|token| token.len() > MOST_BYTES) {
        let cause = format!("token {id} has {} bytes; {MOST_BYTES} are allowed", vocabulary.tokens[id].len());
        return Err(Error::invalid(place(TOKENS), cause));
    }
    // Without negative zeros, which have an order of their own.
    Ok(scores.into_iter().map(|score| score + 0.0).collect())
}

/// Every split of a token into two, the highest score first. Only ordinary tokens take part: special ones are found
/// before merging, and unused ones are never found.
///
/// # Errors
/// If there are more than a trained vocabulary has.
fn merges(vocabulary: &Vocabulary, ids: &Vocab, scores: &[f32]) -> Result<Merges, Error> {
    struct Split<'a> {
        score: f32,
        parts: (&'a str, &'a str),
        /// Characters of the parts.
        lengths: (usize, usize),
        ids: (u32, u32),
    }
    let merged = |text: &str| ids.get(text).copied().filter(|id| vocabulary.types[*id as usize] == NORMAL);
    let most = MOST_SPLITS * vocabulary.tokens.len();
    let mut splits = Vec::new();
    for (token, score) in vocabulary.tokens.iter().zip(scores).filter(|(token, _)| merged(token).is_some()) {
        if splits.len() > most {
            break;
        }
        let characters = token.chars().count();
        for (count, (at, _)) in token.char_indices().enumerate().skip(1) {
            let parts = token.split_at(at);
            if let (Some(left), Some(right)) = (merged(parts.0), merged(parts.1)) {
                let lengths = (count, characters - count);
                splits.push(Split { score: *score, parts, lengths, ids: (left, right) });
            }
        }
    }
    if splits.len() > most {
        let cause =
            format!("its tokens are pairs of other tokens in more than {most} ways; {MOST_SPLITS} a token are allowed");
        return Err(Error::invalid(place(TOKENS), cause));
    }
    splits.sort_by(|a, b| {
        let descending = b.score.total_cmp(&a.score).then_with(|| b.lengths.cmp(&a.lengths));
        descending.then_with(|| a.ids.cmp(&b.ids))
    });
    Ok(splits.into_iter().map(|split| (split.parts.0.to_owned(), split.parts.1.to_owned())).collect())
}

/// What is done to a text before it is cut into tokens.
///
/// # Errors
/// If the table of replacements is damaged.
pub(super) fn normalizer(gguf: &Gguf, prefix: bool) -> Result<Sequence, Error> {
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if let Some(bytes) = gguf.optional(CHARSMAP, Gguf::integers)? {
        steps.push(charsmap(&bytes)?.into());
    }
    let replace = |pattern: ReplacePattern, content: &str| {
        Replace::new(pattern, content).map_err(|error| Error::Tokenizer(error.to_string()))
    };
    if gguf.optional(REMOVE_EXTRA_SPACES, Gguf::bool)?.unwrap_or(false) {
        steps.push(replace(ReplacePattern::Regex(r"\A +| +\z".to_owned()), "")?.into());
        steps.push(replace(ReplacePattern::Regex(" {2,}".to_owned()), " ")?.into());
    }
    if prefix {
        steps.push(Prepend::new(SPACE.to_string()).into());
    }
    steps.push(replace(" ".into(), &SPACE.to_string())?.into());
    Ok(Sequence::new(steps))
}

/// SentencePiece's table of replaced characters: the bytes of a trie, preceded by their number, then the replacements.
fn charsmap(bytes: &[i64]) -> Result<Precompiled, Error> {
    // An array of signed bytes, or of unsigned ones.
    let bytes: Option<Vec<u8>> = bytes
        .iter()
        .map(|byte| u8::try_from(*byte).ok().or_else(|| i8::try_from(*byte).ok().map(|b| b as u8)))
        .collect();
    let damaged = |cause: &str| Error::invalid(place(CHARSMAP), cause);
    let bytes = bytes.ok_or_else(|| damaged("an array of bytes is needed"))?;
    let trie = bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
    if trie.is_none_or(|trie| trie < 4 || trie > bytes.len() - 4) {
        return Err(damaged("it ends before the trie that it begins with"));
    }
    contain(|| Ok(Precompiled::from(&bytes)?)).map_err(|_| damaged("its replacements are not UTF-8"))
}

/// Tokens to text: spaces, then bytes to characters, then the space before the text is taken away.
pub(crate) fn decoder(prefix: bool) -> Result<Decoders, Error> {
    let spaces = Replace::new(SPACE.to_string(), " ").map_err(|error| Error::Tokenizer(error.to_string()))?;
    let mut steps = vec![spaces.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix {
        steps.push(Strip::new(' ', 1, 0).into());
    }
    Ok(Decoders::new(steps))
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use crate::Storage;
    use crate::gguf::Gguf;
    use crate::gguf::write::Writer;
    use std::sync::Arc;

    #[test]
    fn phi_3_has_tokens_that_take_the_space_after_them() {
        let ids = |architecture: &str, text: &str| {
            let mut writer = Writer::new();
            writer
                .string("general.architecture", architecture)
                .string("tokenizer.ggml.model", "llama")
                .strings("tokenizer.ggml.tokens", &["<unk>", "<s>", "</s>", "\u{2581}", "a", "\u{2581}a", "<|end|>"])
                .f32s("tokenizer.ggml.scores", &[0.0, 0.0, 0.0, -2.0, -3.0, -1.0, 0.0])
                .i32s("tokenizer.ggml.token_type", &[2, 3, 3, 1, 1, 1, 3]);
            let gguf = Gguf::parse(Arc::new(Storage::from(writer.finish()))).unwrap();
            load(&gguf).unwrap().encode(text).unwrap()
        };
        assert_eq!(ids("phi3", "a<|end|> \n a</s> a<s> a"), [5, 6, 5, 2, 5, 1, 3, 5]);
        assert_eq!(ids("llama", "a<|end|> a</s> a<s> a"), [5, 6, 3, 5, 2, 3, 5, 1, 3, 5]);
    }
}
