//! Byte-level BPE (`gpt2`): merges in the file, on pieces that a pre-tokenizer cuts.

use super::{Built, MERGES, PRE, Vocabulary, place};
use crate::Error;
use crate::gguf::Gguf;
use crate::tokenizer::pre;
use tokenizers::models::bpe::{BPE, Merges};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

pub(crate) const NAME: &str = "gpt2";

pub(super) fn build(vocabulary: &mut Vocabulary) -> Result<Built, Error> {
    let name = match vocabulary.gguf.optional(PRE, Gguf::string)? {
        Some(name) => name,
        // A file without the key was made before the key was. llama.cpp does the same.
        None => {
            vocabulary.warnings.push(
                "metadata `tokenizer.ggml.pre` is missing: texts are cut by the default pattern, which may not be the \
                 model's; convert the model again"
                    .to_owned(),
            );
            "default"
        }
    };
    let pre = pre::by_name(name)?;
    let merges = merges(vocabulary.gguf)?;
    let model = BPE::builder().vocab_and_merges(vocabulary.ids()?, merges).ignore_merges(pre.ignore_merges);
    let model = model.build().map_err(|error| Error::invalid(place(MERGES), error.to_string()))?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_normalizer(pre.normalizer);
    inner.with_pre_tokenizer(Some(pre.pre_tokenizer));
    inner.with_decoder(Some(ByteLevel::default()));
    Ok(Built { inner, add_first: pre.add_bos, add_last: false })
}

/// Pairs of tokens, the most frequent first: `Ġ t`. A token may hold a space only where it starts with one.
fn merges(gguf: &Gguf) -> Result<Merges, Error> {
    let mut merges = Merges::new();
    for (rank, merge) in gguf.strings(MERGES)?.enumerate() {
        let space = merge.char_indices().skip(1).find(|(_, char)| *char == ' ');
        match space.map(|(at, _)| merge.split_at(at)) {
            Some((left, right)) if right.len() > 1 => merges.push((left.to_owned(), right[1..].to_owned())),
            _ => return Err(Error::invalid(place(MERGES), format!("merge {rank} is not a pair of tokens"))),
        }
    }
    Ok(merges)
}
