//! Text to tokens and back.
//!
//! Uses the `tokenizers` crate. This module builds its tokenizer from a GGUF file's metadata, or loads Hugging Face's
//! `tokenizer.json`, and adds the tokens that begin and end a text, and the chat template.

pub(crate) mod byte_level;
mod chat;
pub(crate) mod gguf;
pub(crate) mod hf;
pub(crate) mod pre;
mod python;
mod source;
pub(crate) mod special;
mod stream;

pub use chat::{ChatTemplate, Conversation};
pub use stream::Stream;

use crate::Error;
use jiff::civil::DateTime;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Put before a text, if the model wants it.
    bos: Option<u32>,
    /// Put after a text, if the model wants one.
    eos: Option<u32>,
    ends: HashSet<u32>,
    template: Option<ChatTemplate>,
    /// Warnings about its definition.
    warnings: Vec<String>,
}

impl Tokenizer {
    /// `ends` are those that the files name; those known by their text are added.
    fn new(
        inner: tokenizers::Tokenizer,
        bos: Option<u32>,
        mut ends: HashSet<u32>,
        template: Option<ChatTemplate>,
    ) -> Self {
        let added = inner.get_added_vocabulary().get_vocab();
        ends.extend(special::ends(|text| added.contains_key(text)).into_iter().filter_map(|text| added.get(text)));
        Tokenizer { inner, bos, eos: None, ends, template, warnings: Vec::new() }
    }

    /// Warnings about the definition in the model's files and how it was interpreted; one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Its definition.
    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// The tokens that end a turn, in the order of their ids.
    pub(crate) fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = self.ends.iter().copied().collect();
        ends.sort_unstable();
        ends
    }

    pub(crate) fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// The tokens of a text. Special tokens in the text become one token each; no token is added: see
    /// [`Tokenizer::bos`] and [`Tokenizer::eos`]. Bytes that a byte-level vocabulary lacks are dropped, as in the
    /// `tokenizers` crate.
    ///
    /// # Errors
    /// If the tokenizer's own definition fails on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = contain(|| self.inner.encode_fast(text, false))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The token to put before a text, where the model wants one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token to put after a whole text, as BERT and T5 want it. A text to be continued goes without it.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The text of tokens, special ones included. Bytes that are not UTF-8 become replacement characters. An id past
    /// the tokenizer, of which a padded embedding has some, adds no text.
    ///
    /// # Errors
    /// If the tokenizer's own definition fails on the tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        // Some decoders count on a last token.
        if ids.iter().all(|id| self.inner.id_to_token(*id).is_none()) {
            return Ok(String::new());
        }
        contain(|| self.inner.decode(ids, false))
    }

    /// A decoder of tokens that come one by one.
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(self)
    }

    /// A decoder of tokens that follow `last`, the last token of another text: a space that starts the text is then kept, which
    /// some decoders remove at its start.
    ///
    /// # Errors
    /// If the tokenizer's own definition fails on the token.
    pub fn stream_after(&self, last: Option<u32>) -> Result<Stream<'_>, Error> {
        let mut stream = self.stream();
        if let Some(last) = last {
            let text = stream.push(last)?.unwrap_or_default();
            // A part of its text would come with what follows.
            if text != self.decode(&[last])? {
                return Ok(self.stream());
            }
        }
        Ok(stream)
    }

    /// Whether a token ends the model's turn.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Number of tokens. The model's embedding may have more rows, as padding.
    pub fn vocab(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The text of a conversation from the model's template, at the date `now`. It contains its special tokens as text,
    /// including the first one, so encode it without [`Tokenizer::bos`].
    ///
    /// # Errors
    /// If the model has no template, or the template fails or refuses the conversation.
    pub fn chat(&self, conversation: &Conversation, now: DateTime) -> Result<String, Error> {
        match &self.template {
            Some(template) => template.render(conversation, now),
            None => Err(Error::Template("the model has none; give the text as it should be continued".to_owned())),
        }
    }
}

/// Runs a part of the `tokenizers` crate on definitions from a file.
///
/// Its regex engine panics where a file's pattern backtracks beyond a limit, and some loaders unwrap. Nothing of ours
/// is left half-changed: the tokenizer is only read, or dropped.
fn contain<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| Error::Tokenizer(error.to_string())),
        Err(_) => Err(Error::Tokenizer("its definition in the model's files makes it fail".to_owned())),
    }
}
