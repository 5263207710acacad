//! Decoding tokens one by one: a token may hold a part of a character, and its text may depend on the one before.

use super::Tokenizer;
use crate::Error;

/// A character has at most four bytes, so with more tokens pending than this the bytes are no UTF-8 and never will be.
/// Only decoders that change the text before a token come this far.
const MOST_PENDING: usize = 8;

/// Turns tokens into text, whole characters at a time.
///
/// The new text is the difference between decoding a few tokens of context with the new ones and without: the method of
/// vLLM and text-generation-inference, right for every decoder that looks back only a little.
#[derive(Debug)]
pub struct Stream<'a> {
    tokenizer: &'a Tokenizer,
    /// Context, then what is pending.
    ids: Vec<u32>,
    /// Where the pending tokens start.
    pending: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Stream { tokenizer, ids: Vec::new(), pending: 0 }
    }

    /// The text that is complete with this token; none if it ends within a character, or adds no text.
    ///
    /// # Errors
    /// If the token is not in the vocabulary; the stream goes on without it.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, Error> {
        self.ids.push(id);
        let text = self.new_text(self.ids.len()).inspect_err(|_| {
            self.ids.pop();
        })?;
        if text.is_empty() {
            return Ok(None);
        }
        match text.strip_suffix(char::REPLACEMENT_CHARACTER) {
            Some(decided) if self.ids.len() - self.pending < MOST_PENDING => self.push_decided(decided),
            _ => {
                self.advance(self.ids.len());
                Ok(Some(text))
            }
        }
    }

    /// Gives `decided`, the text before what may be the start of a character, if it belongs to whole tokens.
    fn push_decided(&mut self, decided: &str) -> Result<Option<String>, Error> {
        // The start of a character takes at most three bytes, so three tokens.
        for end in (self.pending + 1..self.ids.len()).rev().take(3) {
            if self.new_text(end)? == decided {
                self.advance(end);
                return Ok(Some(decided.to_owned()));
            }
        }
        Ok(None)
    }

    /// What is left: empty, or the part of a character, as replacement characters.
    pub fn finish(&mut self) -> String {
        // Every token has been decoded once, so this cannot fail.
        let text = self.new_text(self.ids.len()).unwrap_or_default();
        self.ids.clear();
        self.pending = 0;
        text
    }

    /// Makes the tokens before `end` context.
    fn advance(&mut self, end: usize) {
        self.ids.drain(..self.pending);
        self.pending = end - self.pending;
    }

    /// The text of the pending tokens before `end`, after their context.
    fn new_text(&self, end: usize) -> Result<String, Error> {
        let ids = &self.ids[..end];
        let (context, pending) = ids.split_at(self.pending);
        let before = self.tokenizer.decode(context)?;
        let mut text = self.tokenizer.decode(ids)?;
        if text.starts_with(&before) {
            text.drain(..before.len());
            return Ok(text);
        }
        // The context ended within a character after all.
        self.tokenizer.decode(pending)
    }
}
