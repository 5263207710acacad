//! Decoding tokens one by one: the same text, byte for byte, as decoding them all at once.
//!
//! A token may contain a part of a character, and the text of a token may depend on its neighbours. Repeatedly decoding
//! a window of the last tokens, as vLLM and text-generation-inference do, is correct for most decoders and wrong for
//! some: a byte of a character that began before the window, or a space that is stripped only at the start of a text.
//! So each decoder that `tokenizer.json` can name is a [`Stage`] here, which takes tokens and returns the output that
//! later tokens cannot change. The `tokenizers` crate does what a decoder does to each token separately.
//!
//! | decoder | output is final |
//! |---|---|
//! | ByteLevel | a character, with its last byte |
//! | ByteFallback | a run of `<0xE6>` tokens, when it ends: one byte that is not UTF-8 makes a U+FFFD of every byte of the run |
//! | BPEDecoder | a token, but for the space at its end, which the last token lacks |
//! | Replace after Fuse | a text when no match can begin in it; a regular expression, at the end |
//! | the others | at once |

use super::{Tokenizer, byte_level, contain};
use crate::Error;
use std::collections::HashMap;
use std::sync::LazyLock;
use tokenizers::Decoder;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;

/// Turns tokens into text, whole characters at a time.
#[derive(Debug)]
pub struct Stream<'a> {
    tokenizer: &'a Tokenizer,
    stages: Vec<Stage<'a>>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        let mut stream = Stream { tokenizer, stages: Vec::new() };
        stream.reset();
        stream
    }

    /// The text that is complete with this token; none if it ends within a character, or adds no text. An id past the
    /// tokenizer, of which a padded embedding has some, adds none.
    ///
    /// # Errors
    /// If the tokenizer's own definition fails on the token; the stream goes on without it.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, Error> {
        let Some(token) = self.tokenizer.inner.id_to_token(id) else { return Ok(None) };
        let text = run(&mut self.stages, vec![Piece { text: token, ends: true }])?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The rest of the text: empty, or what only the end of the text determines, such as a part of a character. The
    /// stream is then reset.
    ///
    /// # Errors
    /// As [`Stream::push`].
    pub fn finish(&mut self) -> Result<String, Error> {
        let mut stages = std::mem::take(&mut self.stages);
        self.reset();
        let mut text = String::new();
        let mut rest = &mut stages[..];
        while let Some((stage, later)) = rest.split_first_mut() {
            text.push_str(&run(later, stage.finish())?);
            rest = later;
        }
        Ok(text)
    }

    fn reset(&mut self) {
        self.stages.clear();
        match self.tokenizer.inner.get_decoder() {
            Some(decoder) => stages(decoder, &mut self.stages),
            None => self.stages.push(Stage::new(Kind::Join)),
        }
    }
}

/// Passes pieces through all stages; returns the resulting text.
fn run(stages: &mut [Stage], mut pieces: Vec<Piece>) -> Result<String, Error> {
    for stage in stages {
        let mut out = Vec::new();
        for piece in pieces {
            stage.push(piece, &mut out)?;
        }
        pieces = out;
    }
    Ok(pieces.into_iter().map(|piece| piece.text).collect())
}

/// A part of a token. Fuse and ByteLevel make one token of the whole text, which comes in many pieces.
#[derive(Debug)]
struct Piece {
    text: String,
    /// Whether the token ends here.
    ends: bool,
}

/// One decoder, and its state.
#[derive(Debug)]
struct Stage<'a> {
    kind: Kind<'a>,
    /// Tokens that have ended.
    index: usize,
    /// The part of the current token received so far.
    token: String,
}

#[derive(Debug)]
enum Kind<'a> {
    /// Without a decoder tokens are joined by spaces.
    Join,
    ByteLevel {
        /// The start of a character.
        bytes: Vec<u8>,
    },
    ByteFallback {
        run: Vec<u8>,
        /// How much of the run is whole characters; none if the run is no UTF-8, whatever follows.
        valid: Option<usize>,
    },
    Fuse,
    /// Strip from the start alone.
    StripStart {
        content: char,
        most: usize,
        /// Characters stripped from the current token; none once another character has been seen.
        cut: Option<usize>,
    },
    /// Replace of a text that is not empty.
    ReplaceText {
        pattern: String,
        content: &'a str,
    },
    Metaspace {
        replacement: char,
        /// Whether the first token loses its replacements.
        prepended: bool,
    },
    WordPiece(&'a DecoderWrapper),
    Bpe {
        decoder: &'a DecoderWrapper,
        /// The rest of the last token, if another one follows, and if none does.
        rest: Option<(String, String)>,
    },
    Ctc {
        decoder: &'a DecoderWrapper,
        last: Option<String>,
    },
    /// A decoder that processes each token separately.
    Alone(&'a DecoderWrapper),
}

/// The stages of a decoder; those of a sequence one after another.
fn stages<'a>(decoder: &'a DecoderWrapper, out: &mut Vec<Stage<'a>>) {
    let kind = match decoder {
        DecoderWrapper::Sequence(sequence) => {
            sequence.get_decoders().iter().for_each(|decoder| stages(decoder, out));
            return;
        }
        DecoderWrapper::ByteLevel(_) => Kind::ByteLevel { bytes: Vec::new() },
        DecoderWrapper::ByteFallback(_) => Kind::ByteFallback { run: Vec::new(), valid: Some(0) },
        DecoderWrapper::Fuse(_) => Kind::Fuse,
        DecoderWrapper::Strip(strip) if strip.stop == 0 => {
            Kind::StripStart { content: strip.content, most: strip.start, cut: Some(0) }
        }
        DecoderWrapper::Replace(replace) => match pattern(decoder) {
            Some(pattern) => Kind::ReplaceText { pattern, content: &replace.content },
            None => Kind::Alone(decoder),
        },
        DecoderWrapper::Metaspace(metaspace) => Kind::Metaspace {
            replacement: metaspace.get_replacement(),
            prepended: metaspace.get_prepend_scheme() != PrependScheme::Never,
        },
        DecoderWrapper::WordPiece(_) => Kind::WordPiece(decoder),
        DecoderWrapper::BPE(_) => Kind::Bpe { decoder, rest: None },
        DecoderWrapper::CTC(_) => Kind::Ctc { decoder, last: None },
        DecoderWrapper::Strip(_) => Kind::Alone(decoder),
    };
    out.push(Stage::new(kind));
}

/// The pattern of Replace, if it is a nonempty text. Only its JSON exposes it.
fn pattern(decoder: &DecoderWrapper) -> Option<String> {
    let json = serde_json::to_value(decoder).ok()?;
    let pattern = json.get("pattern")?.get("String")?.as_str()?;
    (!pattern.is_empty()).then(|| pattern.to_owned())
}

impl<'a> Stage<'a> {
    fn new(kind: Kind<'a>) -> Self {
        Stage { kind, index: 0, token: String::new() }
    }

    /// Takes a piece and returns the output that is now final.
    fn push(&mut self, piece: Piece, out: &mut Vec<Piece>) -> Result<(), Error> {
        let Piece { text, ends } = piece;
        match &mut self.kind {
            Kind::Fuse => out.push(Piece { text, ends: false }),
            Kind::StripStart { content, most, cut } => {
                let mut rest = text.as_str();
                while let Some(count) = cut {
                    match rest.chars().next() {
                        Some(char) if *count < *most && char == *content => {
                            *count += 1;
                            rest = &rest[char.len_utf8()..];
                        }
                        Some(_) => *cut = None,
                        None => break,
                    }
                }
                if ends {
                    *cut = Some(0);
                }
                out.push(Piece { text: rest.to_owned(), ends });
            }
            Kind::Metaspace { replacement, prepended } => {
                let first = self.index == 0 && *prepended;
                let space = |char| if char == *replacement { (!first).then_some(' ') } else { Some(char) };
                out.push(Piece { text: text.chars().filter_map(space).collect(), ends });
            }
            Kind::ReplaceText { pattern, content } => {
                self.token.push_str(&text);
                let mut replaced = String::new();
                let mut done = 0;
                for (at, matched) in self.token.match_indices(pattern.as_str()) {
                    replaced.push_str(&self.token[done..at]);
                    replaced.push_str(content);
                    done = at + matched.len();
                }
                let held = if ends { 0 } else { start_of(pattern, &self.token[done..]) };
                replaced.push_str(&self.token[done..self.token.len() - held]);
                self.token.drain(..self.token.len() - held);
                out.push(Piece { text: replaced, ends });
            }
            _ => {
                self.token.push_str(&text);
                if ends {
                    let token = std::mem::take(&mut self.token);
                    self.push_token(token, out)?;
                }
            }
        }
        if ends {
            self.index += 1;
        }
        Ok(())
    }

    /// Takes a whole token, for decoders that need it whole.
    fn push_token(&mut self, token: String, out: &mut Vec<Piece>) -> Result<(), Error> {
        let mut whole = |text| out.push(Piece { text, ends: true });
        match &mut self.kind {
            Kind::Join if self.index == 0 => whole(token),
            Kind::Join => whole(format!(" {token}")),
            Kind::ByteLevel { bytes } => {
                match token.chars().map(byte_of).collect::<Option<Vec<u8>>>() {
                    Some(new) => bytes.extend(new),
                    None => bytes.extend(token.bytes()),
                }
                let text = take_characters(bytes);
                out.push(Piece { text, ends: false });
            }
            Kind::ByteFallback { run, valid } => match fallback_byte(&token) {
                Some(byte) => {
                    run.push(byte);
                    if let Some(whole_until) = *valid {
                        *valid = match std::str::from_utf8(&run[whole_until..]) {
                            Ok(_) => Some(run.len()),
                            Err(error) => error.error_len().is_none().then_some(whole_until + error.valid_up_to()),
                        };
                    }
                    if valid.is_none() {
                        run.drain(..).for_each(|_| whole(char::REPLACEMENT_CHARACTER.to_string()));
                    }
                }
                None => {
                    end_run(run, valid).into_iter().for_each(&mut whole);
                    whole(token);
                }
            },
            Kind::WordPiece(decoder) if self.index == 0 => decode(decoder, vec![token])?.into_iter().for_each(whole),
            Kind::WordPiece(decoder) => {
                // The decoder asks only whether a token is the first.
                decode(decoder, vec![String::new(), token])?.into_iter().skip(1).for_each(whole);
            }
            Kind::Bpe { decoder, rest } => {
                if let Some((followed, _)) = rest.take() {
                    whole(followed);
                }
                // The decoder asks only whether a token is the last.
                let mut last = decode(decoder, vec![token.clone()])?.concat();
                let mut followed = decode(decoder, vec![token, String::new()])?.concat();
                let same = last.chars().zip(followed.chars()).take_while(|(a, b)| a == b);
                let same: usize = same.map(|(char, _)| char.len_utf8()).sum();
                last.drain(..same);
                let text = followed.drain(..same).collect();
                *rest = Some((followed, last));
                out.push(Piece { text, ends: false });
            }
            Kind::Ctc { decoder, last } => {
                if last.as_ref() != Some(&token) {
                    *last = Some(token.clone());
                    decode(decoder, vec![token])?.into_iter().for_each(whole);
                }
            }
            Kind::Alone(decoder) => decode(decoder, vec![token])?.into_iter().for_each(whole),
            // These take pieces.
            Kind::Fuse | Kind::StripStart { .. } | Kind::ReplaceText { .. } | Kind::Metaspace { .. } => whole(token),
        }
        Ok(())
    }

    /// Returns the output that is final at the end of the text.
    fn finish(&mut self) -> Vec<Piece> {
        let whole = |text| Piece { text, ends: true };
        match &mut self.kind {
            // One token in all.
            Kind::Fuse => vec![whole(String::new())],
            Kind::ByteLevel { bytes } => vec![whole(String::from_utf8_lossy(bytes).into_owned())],
            Kind::ByteFallback { run, valid } => end_run(run, valid).into_iter().map(whole).collect(),
            Kind::Bpe { rest, .. } => rest.take().map(|(_, last)| whole(last)).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// Ends a run of bytes: its characters, if it is UTF-8, or a replacement character for each byte.
fn end_run(run: &mut Vec<u8>, valid: &mut Option<usize>) -> Vec<String> {
    *valid = Some(0);
    if run.is_empty() {
        return Vec::new();
    }
    match String::from_utf8(std::mem::take(run)) {
        Ok(text) => vec![text],
        Err(error) => vec![char::REPLACEMENT_CHARACTER.to_string(); error.into_bytes().len()],
    }
}

/// Takes the characters that are complete, as `from_utf8_lossy` does; leaves the start of one.
fn take_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut rest = &bytes[..];
    let held = loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break 0;
            }
            Err(error) => {
                let (valid, invalid) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                match error.error_len() {
                    Some(length) => {
                        text.push(char::REPLACEMENT_CHARACTER);
                        rest = &invalid[length..];
                    }
                    None => break invalid.len(),
                }
            }
        }
    };
    bytes.drain(..bytes.len() - held);
    text
}

/// Length of the longest end of `text` with which `pattern` starts.
fn start_of(pattern: &str, text: &str) -> usize {
    let starts = pattern.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
    starts.filter(|at| text.ends_with(&pattern[..*at])).max().unwrap_or(0)
}

fn decode(decoder: &DecoderWrapper, tokens: Vec<String>) -> Result<Vec<String>, Error> {
    contain(|| decoder.decode_chain(tokens))
}

/// The byte that a character stands for in a byte-level vocabulary.
fn byte_of(char: char) -> Option<u8> {
    static BYTES: LazyLock<HashMap<char, u8>> =
        LazyLock::new(|| (0..=u8::MAX).map(|byte| (byte_level::char_of(byte), byte)).collect());
    BYTES.get(&char).copied()
}

/// The byte of a token like `<0xE6>`, by the rule of the `tokenizers` crate.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}
