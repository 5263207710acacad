//! Pre-tokenizers by the name that GGUF's `tokenizer.ggml.pre` gives: how a text is cut before merges apply.

use crate::Error;
use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

/// From the tokenizer.json of meta-llama/Meta-Llama-3-8B.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// From the tokenizer.json of Qwen/Qwen2-7B: single digits.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A pre-tokenizer, and what goes with it in the models that use it.
pub(super) struct Pre {
    pub pre_tokenizer: PreTokenizerWrapper,
    pub normalizer: Option<NFC>,
    /// A piece that is a token is taken whole, without merging up to it.
    pub ignore_merges: bool,
    /// Whether a text begins with a BOS token where the metadata does not say.
    pub add_bos: bool,
}

/// # Errors
/// If the name is unknown; the error lists the known ones.
pub(super) fn by_name(name: &str) -> Result<Pre, Error> {
    let plain = |pre_tokenizer| Pre { pre_tokenizer, normalizer: None, ignore_merges: false, add_bos: false };
    match name {
        "gpt-2" | "default" => Ok(plain(byte_level(true))),
        "smollm" => {
            let digits = Digits::new(true).into();
            Ok(plain(Sequence::new(vec![digits, byte_level(true)]).into()))
        }
        "llama-bpe" | "llama3" | "llama-v3" => Ok(Pre { ignore_merges: true, add_bos: true, ..plain(split(LLAMA3)?) }),
        "qwen2" | "deepseek-r1-qwen" => Ok(Pre { normalizer: Some(NFC), ..plain(split(QWEN2)?) }),
        other => {
            let cause = format!(
                "pre-tokenizer `{other}` is not supported; gpt-2, default, smollm, llama-bpe, llama3, llama-v3, qwen2 \
                 and deepseek-r1-qwen are"
            );
            Err(Error::invalid("metadata `tokenizer.ggml.pre`", cause))
        }
    }
}

fn split(pattern: &str) -> Result<PreTokenizerWrapper, Error> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    let split = Split::new(pattern, Isolated, false).map_err(|error| Error::Tokenizer(error.to_string()))?;
    Ok(Sequence::new(vec![split.into(), byte_level(false)]).into())
}

/// Bytes as characters; `use_regex` cuts by GPT-2's pattern first.
fn byte_level(use_regex: bool) -> PreTokenizerWrapper {
    ByteLevel::new(false, true, use_regex).into()
}
