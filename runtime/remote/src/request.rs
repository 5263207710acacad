//! Requests and their limits.

use serde::Serialize;
use std::time::Duration;

/// One request. The server decides what is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Request {
    pub messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

impl Message {
    pub fn user(content: impl Into<String>) -> Message {
        Message { role: Role::User, content: content.into() }
    }
}

/// Time limits and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a TCP connection.
    pub connect: Duration,
    /// From the start of an attempt to the first token.
    pub first_token: Duration,
    /// From one token to the next, and from the last to the end.
    pub between_tokens: Duration,
    /// For everything: the list of models, all attempts and the waits between them.
    pub total: Duration,
    /// Attempts after the first, if the server is busy or refuses the connection.
    pub retries: usize,
    /// Before the first retry; doubles for each. A server's `Retry-After` takes its place. No wait begins that would
    /// outlast `total`.
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(10),
            first_token: Duration::from_secs(60),
            between_tokens: Duration::from_secs(30),
            total: Duration::from_secs(300),
            retries: 3,
            backoff: Duration::from_secs(1),
        }
    }
}

/// The JSON of a chat completion that is streamed and ends with its token count.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    model: &'a str,
    #[serde(flatten)]
    request: &'a Request,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl Request {
    pub(crate) fn body<'a>(&'a self, model: &'a str) -> Body<'a> {
        Body { model, request: self, stream: true, stream_options: StreamOptions { include_usage: true } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sent(request: &Request) -> Value {
        serde_json::to_value(request.body("m")).unwrap()
    }

    #[test]
    fn only_what_is_set_is_sent() {
        let request = Request { messages: vec![Message::user("hi")], ..Request::default() };
        let mut body = json!({
            "model": "m",
            "messages": [{ "role": "user", "content": "hi" }],
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        assert_eq!(sent(&request), body);

        let stop = vec!["\n".to_owned()];
        let request =
            Request { max_tokens: Some(8), temperature: Some(0.5), seed: Some(7), stop, messages: request.messages };
        for (name, value) in
            [("max_tokens", json!(8)), ("temperature", json!(0.5)), ("seed", json!(7)), ("stop", json!(["\n"]))]
        {
            body[name] = value;
        }
        assert_eq!(sent(&request), body);
    }

    #[test]
    fn a_temperature_is_sent_as_it_is_written() {
        let request = Request { temperature: Some(0.7), ..Request::default() };
        let body = serde_json::to_string(&request.body("m")).unwrap();
        assert!(body.contains(r#""temperature":0.7,"#), "{body}");
    }
}
