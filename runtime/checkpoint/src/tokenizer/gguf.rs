//! A tokenizer from the metadata of a GGUF file.
//!
//! A file per kind of tokenizer is in `gguf/`; this one reads what all kinds share: the vocabulary with the types of its
//! tokens, the tokens with a role, and the chat template.

pub(crate) mod bpe;
pub(crate) mod sentencepiece;
mod unigram;
pub(crate) mod wordpiece;

use super::{ChatTemplate, Tokenizer, contain, special};
use crate::Error;
use crate::gguf::Gguf;
use std::borrow::Cow;
use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;

pub(crate) const MODEL: &str = "tokenizer.ggml.model";
pub(crate) const PRE: &str = "tokenizer.ggml.pre";
pub(crate) const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
pub(crate) const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
const ADD_SEP: &str = "tokenizer.ggml.add_sep_token";
pub(crate) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(crate) const TYPES: &str = "tokenizer.ggml.token_type";
pub(crate) const SCORES: &str = "tokenizer.ggml.scores";
pub(crate) const MERGES: &str = "tokenizer.ggml.merges";
pub(crate) const TEMPLATE: &str = "tokenizer.chat_template";
/// GGUF's token types.
const UNDEFINED: i32 = 0;
pub(crate) const NORMAL: i32 = 1;
pub(crate) const UNKNOWN: i32 = 2;
pub(crate) const CONTROL: i32 = 3;
pub(crate) const USER_DEFINED: i32 = 4;
pub(crate) const UNUSED: i32 = 5;
pub(crate) const BYTE: i32 = 6;
/// Types that are found in a text before anything else is.
const SPECIAL_TYPES: [i32; 3] = [UNKNOWN, CONTROL, USER_DEFINED];

/// A kind of tokenizer.
struct Kind {
    /// In `tokenizer.ggml.model`.
    name: &'static str,
    title: &'static str,
    /// The text of a token as GGUF spells it, given its type.
    spell: fn(&str, i32) -> Cow<'_, str>,
    build: fn(&mut Vocabulary) -> Result<Built, Error>,
    /// The tokens put before and after a text.
    first: Affix,
    last: Affix,
}

/// A token put before or after a text: its role, its text where no metadata names it, and the key that says whether it
/// is put there.
#[derive(Clone, Copy)]
struct Affix {
    role: &'static str,
    text: Option<&'static str>,
    flag: &'static str,
}

const BOS: Affix = Affix { role: "bos", text: None, flag: ADD_BOS };
const EOS: Affix = Affix { role: "eos", text: None, flag: ADD_EOS };

const KINDS: [Kind; 4] = [
    Kind {
        name: bpe::NAME,
        title: "byte-level BPE",
        spell: |text, _| text.into(),
        build: bpe::build,
        first: BOS,
        last: EOS,
    },
    Kind {
        name: sentencepiece::NAME,
        title: "SentencePiece BPE",
        spell: |text, _| text.into(),
        build: sentencepiece::build,
        first: Affix { text: Some("<s>"), ..BOS },
        last: Affix { text: Some("</s>"), ..EOS },
    },
    Kind {
        name: "t5",
        title: "SentencePiece unigram",
        spell: |text, _| text.into(),
        build: unigram::build,
        first: BOS,
        last: Affix { text: Some("</s>"), ..EOS },
    },
    Kind {
        name: wordpiece::NAME,
        title: "WordPiece",
        spell: wordpiece::spelling,
        build: wordpiece::build,
        first: Affix { role: "cls", text: Some("[CLS]"), flag: ADD_BOS },
        // The key is misspelled in the format.
        last: Affix { role: "seperator", text: Some("[SEP]"), flag: ADD_SEP },
    },
];

/// What a kind makes of the metadata: a tokenizer without special tokens, and whether a text begins and ends with the
/// tokens of its kind where the metadata does not say.
struct Built {
    inner: tokenizers::Tokenizer,
    add_first: bool,
    add_last: bool,
}

/// Builds the tokenizer that the metadata describes.
///
/// # Errors
/// If the metadata has no tokenizer, one of another kind, or one that contradicts itself.
pub(crate) fn load(gguf: &Gguf) -> Result<Tokenizer, Error> {
    let name = gguf.string(MODEL)?;
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let supported = KINDS.map(|kind| format!("{} ({})", kind.name, kind.title)).join(", ");
        let cause = format!("tokenizer `{name}` is not supported; supported are {supported}");
        return Err(Error::invalid(place(MODEL), cause));
    };
    let mut vocabulary = Vocabulary::read(gguf, kind.spell)?;
    let special = special_tokens(&mut vocabulary, kind)?;
    let Built { mut inner, add_first, add_last } = (kind.build)(&mut vocabulary)?;
    contain(|| {
        inner.add_special_tokens(&special);
        Ok(())
    })?;
    let first = vocabulary.affix(kind.first)?;
    let last = vocabulary.affix(kind.last)?;
    let eos = vocabulary.role("eos")?;
    let turn_ends = [eos, vocabulary.role("eot")?, vocabulary.role("eom")?];
    let template = gguf.optional(TEMPLATE, Gguf::string)?.map(|source| {
        let text = |id: Option<u32>| id.and_then(|id| vocabulary.tokens.get(id as usize)).map(|text| &**text);
        ChatTemplate::new(source.to_owned()).with("bos_token", text(first)).with("eos_token", text(eos))
    });
    let add_first = gguf.optional(kind.first.flag, Gguf::bool)?.unwrap_or(add_first);
    let add_last = gguf.optional(kind.last.flag, Gguf::bool)?.unwrap_or(add_last);
    let ends = turn_ends.into_iter().flatten().collect();
    Ok(Tokenizer {
        eos: last.filter(|_| add_last),
        warnings: vocabulary.warnings,
        ..Tokenizer::new(inner, first.filter(|_| add_first), ends, template)
    })
}

/// The tokens of a file.
struct Vocabulary<'a> {
    gguf: &'a Gguf,
    /// By id. An empty token stands for an unused id, and has a text that none leads to.
    tokens: Vec<Cow<'a, str>>,
    types: Vec<i32>,
    warnings: Vec<String>,
}

impl<'a> Vocabulary<'a> {
    fn read(gguf: &'a Gguf, spell: fn(&str, i32) -> Cow<'_, str>) -> Result<Self, Error> {
        let texts: Vec<&str> = gguf.strings(TOKENS)?.collect();
        if texts.is_empty() {
            return Err(Error::invalid(place(TOKENS), "the vocabulary is empty"));
        }
        if u32::try_from(texts.len()).is_err() {
            return Err(Error::invalid(place(TOKENS), "more than 2^32 tokens"));
        }
        let mut types = match gguf.optional(TYPES, Gguf::integers)? {
            Some(types) => types.into_iter().map(|ty| i32::try_from(ty).unwrap_or(UNDEFINED)).collect(),
            None => vec![NORMAL; texts.len()],
        };
        if types.len() != texts.len() {
            return Err(Error::invalid(place(TYPES), format!("{} types for {} tokens", types.len(), texts.len())));
        }
        let mut tokens = Vec::with_capacity(texts.len());
        for (id, (text, ty)) in texts.into_iter().zip(&mut types).enumerate() {
            if text.is_empty() {
                *ty = UNUSED;
                tokens.push(format!("[EMPTY_{id}]").into());
            } else {
                tokens.push(spell(text, *ty));
            }
        }
        Ok(Vocabulary { gguf, tokens, types, warnings: Vec::new() })
    }

    /// The id of every token.
    fn ids(&self) -> Result<Vocab, Error> {
        let mut ids = Vocab::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if ids.insert(token.to_string(), id as u32).is_some() {
                return Err(Error::invalid(place(TOKENS), format!("token {id}, {token:?}, appears twice")));
            }
        }
        Ok(ids)
    }

    /// The id of the token with a role: `bos`, `eos`, `eot`, `eom`, `unknown`, `padding`.
    fn role(&self, role: &str) -> Result<Option<u32>, Error> {
        role_id(self.gguf, role, self.tokens.len())
    }

    fn affix(&self, affix: Affix) -> Result<Option<u32>, Error> {
        let named = self.role(affix.role)?;
        Ok(named.or_else(|| self.tokens.iter().position(|token| Some(&**token) == affix.text).map(|id| id as u32)))
    }

    /// The unknown token: the one with the role, else the one of the type.
    fn unknown(&self) -> Result<Option<u32>, Error> {
        let typed = || self.types.iter().position(|ty| *ty == UNKNOWN).map(|id| id as u32);
        Ok(self.role("unknown")?.or_else(typed))
    }
}

/// Tokens that a text may spell out: those of a special type, and those that are special by their text.
fn special_tokens(vocabulary: &mut Vocabulary, kind: &Kind) -> Result<Vec<AddedToken>, Error> {
    let architecture = vocabulary.gguf.optional("general.architecture", Gguf::string)?.unwrap_or_default();
    let mut mistyped = Vec::new();
    let mut added = Vec::new();
    for (token, ty) in vocabulary.tokens.iter().zip(&vocabulary.types) {
        let typed = SPECIAL_TYPES.contains(ty);
        if !typed && special::is_special(token) {
            mistyped.push(format!("`{token}`"));
        } else if !typed {
            continue;
        }
        // Phi 4 mini is of Phi 3's architecture, with byte-level BPE.
        let strips = kind.name == sentencepiece::NAME && sentencepiece::takes_space_after(architecture, token);
        added.push(AddedToken::from(&**token, true).rstrip(strips));
    }
    if !mistyped.is_empty() {
        let names = mistyped.join(", ");
        let warning = format!("{} does not say that {names} are special tokens; they are taken as such", place(TYPES));
        vocabulary.warnings.push(warning);
    }
    Ok(added)
}

/// The metadata key of the token with a role.
pub(crate) fn role_key(role: &str) -> String {
    format!("tokenizer.ggml.{role}_token_id")
}

/// The id of the token with a role, in a vocabulary of `tokens`.
pub(crate) fn role_id(gguf: &Gguf, role: &str, tokens: usize) -> Result<Option<u32>, Error> {
    let key = role_key(role);
    match gguf.optional(&key, Gguf::u32)? {
        Some(id) if id as usize >= tokens => {
            let cause = format!("token {id} is not in the vocabulary of {tokens} tokens");
            Err(Error::invalid(place(&key), cause))
        }
        id => Ok(id),
    }
}

fn place(key: &str) -> String {
    format!("metadata `{key}`")
}
