//! One-line errors: location, cause and fix.

use crate::key::Key;

/// Maximum characters of a cause: servers send whole pages.
const CAUSE: usize = 300;

/// A request without an answer. The message is one line and never contains the API key.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The base URL is invalid.
    Url,
    /// The API key is missing or invalid.
    Key,
    /// No connection, or none that lasted until the head of the response.
    Connection,
    /// One of the [`Limits`](crate::Limits) was reached.
    Timeout,
    /// The server answered with this HTTP status.
    Status(u16),
    /// The server reported an error under status 200.
    Server,
    /// The response ends early or violates the protocol.
    Protocol,
    /// The server has no model, or several to choose from.
    Model,
    /// The model declined to answer.
    Refusal,
}

impl Error {
    /// The only constructor: turns text from servers into one line, and removes the key from it.
    pub(crate) fn new(kind: Kind, place: &str, cause: &str, fix: &str, key: Option<&Key>) -> Error {
        let clean = |text: &str| {
            let line = one_line(text);
            key.map_or(line.clone(), |key| key.scrub(&line))
        };
        let message = format!("{}: {}; {}", clean(place), shorten(&clean(cause)), clean(fix));
        Error { kind, message }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// Control characters and runs of white space become one space: no escape sequence reaches a terminal.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(CAUSE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_the_key() {
        let key = Key::new("K", "sk-0123456789").unwrap();
        let error =
            Error::new(Kind::Server, "u/sk-0123456789", "a\r\n\x1b[31mb\tsk-0123456789", "ask sk-01234567", Some(&key));
        assert_eq!(error.to_string(), "u/***: a [31mb ***; ask ***");
        assert!(!format!("{error:?}").contains("0123456789"));
    }

    #[test]
    fn a_long_cause_is_cut_after_the_key_is_gone() {
        let key = Key::new("K", "sk-0123456789").unwrap();
        let cause = format!("{}sk-0123456789", "é".repeat(CAUSE - 5));
        let error = Error::new(Kind::Server, "u", &cause, "f", Some(&key)).to_string();
        assert_eq!(error, format!("u: {}***; f", "é".repeat(CAUSE - 5)));
        let error = Error::new(Kind::Server, "u", &"é".repeat(CAUSE + 1), "f", None).to_string();
        assert_eq!(error, format!("u: {}...; f", "é".repeat(CAUSE)));
    }
}
