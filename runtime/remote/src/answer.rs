//! Assembles the chunks of a stream into an answer.

use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    /// Tokens as the server counted them, hidden reasoning included; `None` if it did not say.
    pub tokens: Option<usize>,
    /// From the start of the successful attempt to the first token, visible or reasoning; without tokens, to the end.
    pub time_to_first: Duration,
    /// From the start of that attempt to the last token.
    pub total: Duration,
    /// Why the model stopped: `stop`, `length`, `content_filter` or another reason from the server.
    pub finish: Option<String>,
    /// The model, as the server calls it.
    pub model: String,
    /// Attempts before the one that succeeded.
    pub retries: usize,
}

/// A partial answer.
pub(crate) struct Partial {
    begin: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    chunks: usize,
    has_choice: bool,
    text: String,
    refusal: String,
    tokens: Option<usize>,
    finish: Option<String>,
    model: Option<String>,
}

/// Why a chunk ends the attempt.
#[derive(Debug, PartialEq)]
pub(crate) enum Bad {
    Chunk(String),
    Error(String),
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    model: Option<String>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    // Servers use two names for the reasoning before an answer.
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: Option<usize>,
}

impl Delta {
    fn has_token(&self) -> bool {
        let shown = [&self.content, &self.refusal].into_iter().flatten().any(|text| !text.is_empty());
        let mut reasoning = [&self.reasoning, &self.reasoning_content].into_iter().flatten();
        shown || reasoning.any(|value| value.as_str().is_some_and(|text| !text.is_empty()))
    }
}

impl Partial {
    pub(crate) fn new(begin: Instant) -> Partial {
        Partial {
            begin,
            first: None,
            last: None,
            chunks: 0,
            has_choice: false,
            text: String::new(),
            refusal: String::new(),
            tokens: None,
            finish: None,
            model: None,
        }
    }

    /// Adds the chunk in an event's payload.
    pub(crate) fn push(&mut self, payload: &str, now: Instant) -> Result<(), Bad> {
        self.chunks += 1;
        let chunk: Chunk = serde_json::from_str(payload)
            .map_err(|error| Bad::Chunk(format!("chunk {} is not the JSON expected: {error}", self.chunks)))?;
        if let Some(error) = chunk.error {
            return Err(Bad::Error(message(&error)));
        }
        if self.model.is_none() {
            self.model = chunk.model;
        }
        if let Some(tokens) = chunk.usage.and_then(|usage| usage.completion_tokens) {
            self.tokens = Some(tokens);
        }
        // One choice is asked for; the chunk with the token count has none.
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            self.choose(choice, now);
        }
        Ok(())
    }

    fn choose(&mut self, choice: Choice, now: Instant) {
        self.has_choice = true;
        if choice.finish_reason.is_some() {
            self.finish = choice.finish_reason;
        }
        let Some(delta) = choice.delta else { return };
        if delta.has_token() {
            self.first.get_or_insert(now);
            self.last = Some(now);
        }
        self.text.push_str(&delta.content.unwrap_or_default());
        self.refusal.push_str(&delta.refusal.unwrap_or_default());
    }

    /// When the last token arrived.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }

    pub(crate) fn chunks(&self) -> usize {
        self.chunks
    }

    pub(crate) fn has_choice(&self) -> bool {
        self.has_choice
    }

    /// Whether the stream has a finish reason.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// The model's refusal.
    pub(crate) fn refusal(&self) -> Option<&str> {
        (self.text.is_empty() && !self.refusal.is_empty()).then_some(&self.refusal)
    }

    /// The answer, with all text from the server passed through `clean`.
    pub(crate) fn finish(self, asked: &str, end: Instant, clean: impl Fn(&str) -> String) -> Answer {
        Answer {
            text: clean(&self.text),
            tokens: self.tokens,
            time_to_first: self.first.unwrap_or(end).saturating_duration_since(self.begin),
            total: self.last.unwrap_or(end).saturating_duration_since(self.begin),
            finish: self.finish.as_deref().map(&clean),
            model: clean(self.model.as_deref().unwrap_or(asked)),
            retries: 0,
        }
    }
}

/// The message of an error object; servers put it in several places.
pub(crate) fn message(value: &Value) -> String {
    let places = ["/error/message", "/error", "/message", "/detail"];
    let text = places.iter().find_map(|place| value.pointer(place)?.as_str()).or(value.as_str());
    text.map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(payloads: &[&str]) -> Result<Partial, Bad> {
        let mut partial = Partial::new(Instant::now());
        payloads.iter().try_for_each(|payload| partial.push(payload, Instant::now()))?;
        Ok(partial)
    }

    #[test]
    fn nulls_and_absent_fields_are_the_same() {
        for payload in [
            r#"{}"#,
            r#"{"choices":null,"model":null,"usage":null,"error":null}"#,
            r#"{"choices":[],"usage":{"completion_tokens":null}}"#,
        ] {
            assert!(!answer(&[payload]).unwrap().has_choice(), "{payload}");
        }
        let partial = answer(&[r#"{"choices":[{"delta":null,"finish_reason":null}]}"#]).unwrap();
        assert!(partial.has_choice() && !partial.is_finished() && partial.last().is_none());
    }

    #[test]
    fn reasoning_is_a_token_but_not_text() {
        for name in ["reasoning", "reasoning_content"] {
            let partial = answer(&[&format!(r#"{{"choices":[{{"delta":{{"{name}":"so"}}}}]}}"#)]).unwrap();
            assert!(partial.last().is_some(), "{name}");
            assert_eq!(partial.finish("m", Instant::now(), str::to_owned).text, "");
        }
        let empty = r#"{"choices":[{"delta":{"role":"assistant","content":"","reasoning":""}}]}"#;
        assert!(answer(&[empty]).unwrap().last().is_none());
    }

    #[test]
    fn an_error_in_a_chunk_ends_the_answer() {
        let error = answer(&[r#"{"error":{"message":"out of memory"}}"#]).err();
        assert_eq!(error, Some(Bad::Error("out of memory".to_owned())));
        let error = answer(&["{}", r#"{"choices":7}"#]).err();
        let cause =
            "chunk 2 is not the JSON expected: invalid type: integer `7`, expected a sequence at line 1 column 12";
        assert_eq!(error, Some(Bad::Chunk(cause.to_owned())));
    }

    #[test]
    fn messages_are_found_where_servers_put_them() {
        for (value, text) in [
            (json!({ "error": { "message": "a" } }), "a"),
            (json!({ "error": "a" }), "a"),
            (json!({ "message": "a", "type": "t" }), "a"),
            (json!({ "detail": "a" }), "a"),
            (json!("a"), "a"),
            (json!({ "code": 7 }), r#"{"code":7}"#),
        ] {
            assert_eq!(message(&value), text);
        }
    }
}
