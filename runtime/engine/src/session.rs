//! Text generation: text in, text out.

use crate::{Error, Model, Result};
use kforge_checkpoint::{Stream, Tokenizer};
use kforge_models::Returns;
use kforge_runtime::{
    Decoder, Logits,
    sample::{Sampler, Sampling},
};

/// A growing text: the input, and the model's continuation.
pub struct Session {
    tokenizer: Tokenizer,
    decoder: Decoder,
    sampler: Sampler,
    /// The last generated token, which is not in the caches yet.
    pending: Option<u32>,
}

impl Session {
    pub(crate) fn new(model: &Model, sampling: Sampling, context: usize) -> Result<Session> {
        let sampler = Sampler::new(sampling).map_err(Error::Request)?;
        let checkpoint = model.checkpoint();
        let tokenizer = checkpoint.tokenizer()?;
        let returns = match sampler.candidates() {
            Some(k) => Returns::Best(k.min(checkpoint.config().vocab)),
            None => Returns::Logits,
        };
        let (decoder, _) = model.decoder(returns, context)?;
        Ok(Session { tokenizer, decoder, sampler, pending: None })
    }

    /// Appends a text and generates a continuation of at most `max_tokens`: an iterator over pieces of text, which ends
    /// when the model ends its turn. The text is prefilled now; tokens are generated as pieces are taken.
    ///
    /// # Errors
    /// If there is no text, or no room for it.
    pub fn generate(&mut self, text: &str, max_tokens: usize) -> Result<Generation<'_>> {
        let Session { tokenizer, decoder, sampler, pending } = self;
        let begin = if decoder.position() == 0 { tokenizer.bos() } else { None };
        let text = tokenizer.encode(text)?;
        text.iter().for_each(|id| sampler.see(*id));
        let ids: Vec<u32> = begin.into_iter().chain(pending.take()).chain(text).collect();
        let stream = tokenizer.stream_after(ids.last().copied())?;
        let next = Some(choose(sampler, decoder.prefill(&ids)?)?);
        Ok(Generation { stream: Some(stream), tokenizer, decoder, sampler, pending, next, left: max_tokens })
    }

    /// Clears the text.
    pub fn reset(&mut self) {
        self.decoder.rewind(0);
        self.pending = None;
    }

    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

fn choose(sampler: &mut Sampler, logits: Logits) -> Result<u32> {
    let id = sampler.sample(logits).ok_or_else(|| Error::request("the model gave no usable logits: all are NaN"))?;
    sampler.see(id);
    Ok(id)
}

/// Pieces of generated text, each of whole characters.
pub struct Generation<'s> {
    tokenizer: &'s Tokenizer,
    decoder: &'s mut Decoder,
    sampler: &'s mut Sampler,
    /// None once the end was returned.
    stream: Option<Stream<'s>>,
    pending: &'s mut Option<u32>,
    /// Sampled, but not returned yet.
    next: Option<u32>,
    left: usize,
}

impl Generation<'_> {
    fn piece(&mut self) -> Result<Option<String>> {
        while let Some(stream) = &mut self.stream {
            let next = match (self.left, self.next.take(), self.pending.take()) {
                (0, _, last) => {
                    *self.pending = last;
                    None
                }
                (_, None, Some(last)) => Some(choose(self.sampler, self.decoder.decode(last)?)?),
                (_, next, _) => next,
            };
            let Some(id) = next.filter(|id| !self.tokenizer.is_end(*id)) else {
                let rest = stream.finish()?;
                self.stream = None;
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            };
            self.left -= 1;
            *self.pending = Some(id);
            if let Some(piece) = stream.push(id)?.filter(|piece| !piece.is_empty()) {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        let piece = self.piece();
        if piece.is_err() {
            self.stream = None;
        }
        piece.transpose()
    }
}
