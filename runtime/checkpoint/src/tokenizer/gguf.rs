//! A tokenizer from the metadata of a GGUF file.

use super::{ChatTemplate, Tokenizer, contain, pre, special};
use crate::Error;
use crate::gguf::Gguf;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

pub(crate) const MODEL: &str = "tokenizer.ggml.model";
pub(crate) const PRE: &str = "tokenizer.ggml.pre";
pub(crate) const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
pub(crate) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(crate) const TYPES: &str = "tokenizer.ggml.token_type";
pub(crate) const MERGES: &str = "tokenizer.ggml.merges";
pub(crate) const TEMPLATE: &str = "tokenizer.chat_template";
/// GGUF's token types.
pub(crate) const NORMAL: i32 = 1;
pub(crate) const UNKNOWN: i32 = 2;
pub(crate) const CONTROL: i32 = 3;
pub(crate) const USER_DEFINED: i32 = 4;
pub(crate) const UNUSED: i32 = 5;
/// Types that are found in a text before anything else is.
const SPECIAL_TYPES: [i32; 3] = [UNKNOWN, CONTROL, USER_DEFINED];

/// Builds the byte-level BPE that the metadata describes.
///
/// # Errors
/// If the metadata has no tokenizer, one of another kind, or one that contradicts itself.
pub(crate) fn load(gguf: &Gguf) -> Result<Tokenizer, Error> {
    match gguf.string(MODEL)? {
        "gpt2" => {}
        "llama" => {
            let cause = "SentencePiece tokenizers (`llama`) are not supported in GGUF files; open the original \
                         safetensors directory with its tokenizer.json";
            return Err(Error::invalid(place(MODEL), cause));
        }
        other => {
            let cause = format!("tokenizer `{other}` is not supported; gpt2 (byte-level BPE) is");
            return Err(Error::invalid(place(MODEL), cause));
        }
    }
    let tokens: Vec<&str> = gguf.strings(TOKENS)?.collect();
    let mut warnings = Vec::new();
    let pre = match gguf.optional(PRE, Gguf::string)? {
        Some(name) => name,
        // A file without the key was made before the key was. llama.cpp does the same.
        None => {
            warnings.push(
                "metadata `tokenizer.ggml.pre` is missing: texts are cut by the default pattern, which may not be the \
                 model's; convert the model again"
                    .to_owned(),
            );
            "default"
        }
    };
    let pre = pre::by_name(pre)?;
    let special = special_tokens(gguf, &tokens, &mut warnings)?;
    let model = BPE::builder().vocab_and_merges(vocab(&tokens)?, merges(gguf)?).ignore_merges(pre.ignore_merges);
    let model = model.build().map_err(|error| Error::invalid(place(MERGES), error.to_string()))?;

    let inner = contain(|| {
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_normalizer(pre.normalizer);
        inner.with_pre_tokenizer(Some(pre.pre_tokenizer));
        inner.with_decoder(Some(ByteLevel::default()));
        inner.add_special_tokens(&special);
        Ok(inner)
    })?;
    let bos = token(gguf, "bos", &tokens)?;
    let eos = token(gguf, "eos", &tokens)?;
    let turn_ends = [token(gguf, "eot", &tokens)?, token(gguf, "eom", &tokens)?];
    let template = gguf.optional(TEMPLATE, Gguf::string)?.map(|source| {
        let (bos, eos) = (bos.map(|(_, text)| text), eos.map(|(_, text)| text));
        ChatTemplate::new(source.to_owned()).with("bos_token", bos).with("eos_token", eos)
    });
    let add_bos = gguf.optional(ADD_BOS, Gguf::bool)?.unwrap_or(pre.add_bos);
    let ends = turn_ends.into_iter().chain([eos]).flatten().map(|(id, _)| id).collect();
    let bos = bos.map(|(id, _)| id).filter(|_| add_bos);
    Ok(Tokenizer { warnings, ..Tokenizer::new(inner, bos, ends, template) })
}

/// Every token and its id. Empty tokens stand for unused ids, so no text leads to them.
fn vocab(tokens: &[&str]) -> Result<Vocab, Error> {
    let mut vocab = Vocab::new();
    for (id, token) in tokens.iter().enumerate() {
        let id = u32::try_from(id).map_err(|_| Error::invalid(place(TOKENS), "more than 2^32 tokens"))?;
        let text = if token.is_empty() { format!("[EMPTY_{id}]") } else { (*token).to_owned() };
        if vocab.insert(text, id).is_some() {
            return Err(Error::invalid(place(TOKENS), format!("token {id}, {token:?}, appears twice")));
        }
    }
    Ok(vocab)
}

/// Tokens that a text may spell out: those of a special type, and those that are special by their text.
fn special_tokens(gguf: &Gguf, tokens: &[&str], warnings: &mut Vec<String>) -> Result<Vec<AddedToken>, Error> {
    let types = gguf.optional(TYPES, Gguf::integers)?.unwrap_or_else(|| vec![NORMAL.into(); tokens.len()]);
    if types.len() != tokens.len() {
        return Err(Error::invalid(place(TYPES), format!("{} types for {} tokens", types.len(), tokens.len())));
    }
    let mut mistyped = Vec::new();
    let mut added = Vec::new();
    for (token, ty) in tokens.iter().zip(types).filter(|(token, _)| !token.is_empty()) {
        let typed = SPECIAL_TYPES.iter().any(|special| i64::from(*special) == ty);
        if !typed && special::is_special(token) {
            mistyped.push(format!("`{token}`"));
        } else if !typed {
            continue;
        }
        added.push(AddedToken::from(*token, true));
    }
    if !mistyped.is_empty() {
        let names = mistyped.join(", ");
        warnings.push(format!("{} does not say that {names} are special tokens; they are taken as such", place(TYPES)));
    }
    Ok(added)
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

/// The metadata key of the token with a role.
pub(crate) fn role_key(role: &str) -> String {
    format!("tokenizer.ggml.{role}_token_id")
}

/// The id and text of the token with a role: `bos`, `eos`, `eot`, `eom`, `unknown`, `padding`.
pub(crate) fn token<'a>(gguf: &Gguf, role: &str, tokens: &[&'a str]) -> Result<Option<(u32, &'a str)>, Error> {
    let key = role_key(role);
    let Some(id) = gguf.optional(&key, Gguf::u32)? else { return Ok(None) };
    match tokens.get(id as usize) {
        Some(text) => Ok(Some((id, text))),
        None => {
            let cause = format!("token {id} is not in the vocabulary of {} tokens", tokens.len());
            Err(Error::invalid(place(&key), cause))
        }
    }
}

fn place(key: &str) -> String {
    format!("metadata `{key}`")
}
