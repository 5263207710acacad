//! Attempts and retries of a request.
//!
//! | event | result |
//! |---|---|
//! | 429, 502, 503 or 504; the connection is refused | a retry, after `Retry-After` or the back-off, if that ends in time |
//! | any other failure before the first token, and every failure after it | an error |
//!
//! So a request is repeated only if no model has processed it.

use crate::{
    answer::{Answer, Bad, Partial, message},
    error::{Error, Kind},
    events::Events,
    http::{Call, Event, Exchange, Failure, Head, after},
    request::{Limits, Request},
    server::{SERVER_KEY, Server},
};
use humantime::format_duration;
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Maximum bytes of a body that is not a stream: some services list hundreds of models.
const BODY: usize = 4 << 20;
/// Maximum bytes read of an error's body.
const ERROR_BODY: usize = 64 << 10;

/// Why an attempt failed, and whether another may follow.
struct Failed {
    kind: Kind,
    cause: String,
    fix: String,
    retry: Option<Retry>,
}

/// How long the server asks to wait before the next attempt.
struct Retry(Option<Duration>);

impl Failed {
    fn new(kind: Kind, cause: impl Into<String>, fix: impl Into<String>) -> Failed {
        Failed { kind, cause: cause.into(), fix: fix.into(), retry: None }
    }

    fn protocol(cause: impl Into<String>) -> Failed {
        Failed::new(Kind::Protocol, cause, "try again, or look into the server's log")
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        let retry = failure.refused.then_some(Retry(None));
        Failed { retry, ..Failed::new(failure.kind, failure.cause, "check the URL and that the server runs") }
    }
}

impl Server {
    /// Sends the request, and waits for the whole answer.
    ///
    /// # Errors
    /// If there is no whole answer within the limits. The message is one line, without the key.
    pub fn ask(&self, request: &Request, limits: &Limits) -> Result<Answer, Error> {
        let end = after(Instant::now(), limits.total);
        let model = match self.model() {
            Some(model) => model.to_owned(),
            None => self.find_model(limits, end)?,
        };
        let body = serde_json::to_string(&request.body(&model))
            .map_err(|error| self.error(Kind::Protocol, &error.to_string(), "change the question"))?;
        let (mut answer, retries) = self.retried(limits, end, || self.attempt(&model, &body, limits, end))?;
        answer.retries = retries;
        Ok(answer)
    }

    fn find_model(&self, limits: &Limits, end: Instant) -> Result<String, Error> {
        let (body, _) = self.retried(limits, end, || self.list(limits, end))?;
        self.only_model(&body)
    }

    fn retried<T>(
        &self,
        limits: &Limits,
        end: Instant,
        mut attempt: impl FnMut() -> Result<T, Failed>,
    ) -> Result<(T, usize), Error> {
        let (mut retries, mut backoff) = (0, limits.backoff);
        loop {
            let failed = match attempt() {
                Ok(value) => return Ok((value, retries)),
                Err(failed) => failed,
            };
            let Some(Retry(asked)) = failed.retry else { return Err(self.failed(&failed, retries, None)) };
            let wait = asked.unwrap_or(backoff);
            if retries == limits.retries || after(Instant::now(), wait) >= end {
                return Err(self.failed(&failed, retries, asked));
            }
            thread::sleep(wait);
            retries += 1;
            backoff = backoff.saturating_mul(2);
        }
    }

    fn failed(&self, failed: &Failed, retries: usize, asked: Option<Duration>) -> Error {
        let tried = if retries > 0 { format!(" ({} attempts)", retries + 1) } else { String::new() };
        let asked = asked.filter(|wait| !wait.is_zero());
        let wait = asked.map_or(String::new(), |wait| format!(", and asks to wait {}", format_duration(wait)));
        self.error(failed.kind, &format!("{}{wait}{tried}", failed.cause), &failed.fix)
    }

    fn start(&self, path: &str, body: Option<String>, limits: &Limits, end: Instant) -> Result<Exchange, Failed> {
        let url = format!("{}/{path}", self.base());
        let bearer = self.key().map(|key| key.bearer());
        Ok(Exchange::start(Call { url, bearer, body, connect: limits.connect, end })?)
    }

    /// The body of a GET of `/models`.
    fn list(&self, limits: &Limits, end: Instant) -> Result<Vec<u8>, Failed> {
        let until = end.min(after(Instant::now(), limits.first_token));
        let exchange = self.start("models", None, limits, end)?;
        let late = || Failed::new(Kind::Timeout, "no list of models in time", "name the model, or try again");
        let head = head(&exchange, until)?.ok_or_else(late)?;
        if head.status != 200 {
            return Err(self.status(&head, &exchange, until));
        }
        let (body, end) = read_body(&exchange, BODY, until);
        match end {
            BodyEnd::Whole => Ok(body),
            BodyEnd::Late => Err(late()),
            BodyEnd::Long => Err(Failed::protocol(format!("the list of models is longer than {} MiB", BODY >> 20))),
            BodyEnd::Failed(failure) => {
                Err(Failed::protocol(format!("the list of models breaks off: {}", failure.cause)))
            }
        }
    }

    fn attempt(&self, model: &str, body: &str, limits: &Limits, end: Instant) -> Result<Answer, Failed> {
        let begin = Instant::now();
        let first = after(begin, limits.first_token);
        let exchange = self.start("chat/completions", Some(body.to_owned()), limits, end)?;
        let mut partial = Partial::new(begin);
        let head = head(&exchange, end.min(first))?.ok_or_else(|| late(&partial, limits, end))?;
        if head.status != 200 {
            return Err(self.status(&head, &exchange, end.min(first)));
        }
        if !has_type(&head, "text/event-stream") {
            return Err(no_stream(&head, &exchange, end.min(first)));
        }
        stream(&exchange, &mut partial, limits, first, end)?;
        if let Some(refusal) = partial.refusal() {
            let cause = format!("the model refuses: {refusal}");
            return Err(Failed::new(Kind::Refusal, cause, "change the question"));
        }
        if !partial.has_choice() {
            return Err(Failed::protocol("the answer has no choices"));
        }
        Ok(partial.finish(model, Instant::now(), |text| self.scrub(text)))
    }

    /// The error of a status other than 200.
    fn status(&self, head: &Head, exchange: &Exchange, until: Instant) -> Failed {
        let status = head.status;
        if let (300..400, Some(location)) = (status, &head.location) {
            let cause = format!("the server redirects to {location}, which is not followed");
            return Failed::new(Kind::Status(status), cause, "give that server's base URL if you trust it");
        }
        // If the body is late, long or broken, the status is reported alone.
        let (body, _) = read_body(exchange, ERROR_BODY, until);
        let cause = match said(head, &body) {
            said if said.is_empty() => format!("the server answers {status}"),
            said => format!("the server answers {status}: {said}"),
        };
        let retry = matches!(status, 429 | 502..=504).then_some(Retry(head.retry_after));
        Failed { retry, ..Failed::new(Kind::Status(status), cause, self.fix(status)) }
    }

    fn fix(&self, status: u16) -> String {
        match (status, self.key()) {
            (401 | 403, Some(key)) => format!("check the key in {}", key.variable()),
            (401 | 403, None) => format!("set {SERVER_KEY} to a key of that server"),
            (404, _) => "check the model's name, and that the URL ends before /chat/completions".to_owned(),
            (429, _) => "try again later".to_owned(),
            (500.., _) => "try again later, or look into the server's log".to_owned(),
            _ => "check the URL, the model and the question".to_owned(),
        }
    }
}

/// Waits for the head of the response; `None` if it is late.
fn head(exchange: &Exchange, until: Instant) -> Result<Option<Head>, Failed> {
    match exchange.next(until) {
        None => Ok(None),
        Some(Event::Head(head)) => Ok(Some(head)),
        Some(Event::Failed(failure)) => Err(failure.into()),
        Some(Event::Body(_) | Event::End) => Err(Failed::protocol("a body came before its head")),
    }
}

/// Reads chunks until the model has stopped and the stream has ended.
fn stream(
    exchange: &Exchange,
    partial: &mut Partial,
    limits: &Limits,
    first: Instant,
    end: Instant,
) -> Result<(), Failed> {
    let mut events = Events::default();
    loop {
        let next = partial.last().map_or(first, |last| after(last, limits.between_tokens));
        let bytes = match exchange.next(end.min(next)) {
            None => return Err(late(partial, limits, end)),
            Some(Event::Body(bytes)) => bytes,
            // Some servers end without `[DONE]`; the finish reason is sufficient.
            Some(_) if partial.is_finished() => return Ok(()),
            Some(Event::Failed(failure)) => return Err(broken(partial, &failure.cause)),
            Some(Event::End | Event::Head(_)) => return Err(broken(partial, "the stream ends without [DONE]")),
        };
        let now = Instant::now();
        for payload in events.push(&bytes).map_err(Failed::protocol)? {
            if payload.trim_end() == "[DONE]" {
                return Ok(());
            }
            partial.push(&payload, now).map_err(|bad| match bad {
                Bad::Chunk(cause) => Failed::protocol(cause),
                Bad::Error(cause) => reported(&cause),
            })?;
        }
    }
}

fn broken(partial: &Partial, cause: &str) -> Failed {
    Failed::protocol(format!("the answer breaks off (chunks so far: {}): {cause}", partial.chunks()))
}

fn reported(message: &str) -> Failed {
    Failed::new(Kind::Server, format!("the server reports: {message}"), "try again, or look into the server's log")
}

/// The error for the limit that was reached.
fn late(partial: &Partial, limits: &Limits, end: Instant) -> Failed {
    let chunks = partial.chunks();
    let cause = if Instant::now() >= end {
        format!("no whole answer in {}", format_duration(limits.total))
    } else if partial.last().is_some() {
        let quiet = format_duration(limits.between_tokens);
        format!("the answer stalls (chunks so far: {chunks}): nothing for {quiet}")
    } else {
        format!("no token in {}", format_duration(limits.first_token))
    };
    Failed::new(Kind::Timeout, cause, "try again later, or ask for fewer tokens")
}

fn has_type(head: &Head, expected: &str) -> bool {
    let essence = head.content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

/// The error of a status 200 without a stream: perhaps an error object.
fn no_stream(head: &Head, exchange: &Exchange, until: Instant) -> Failed {
    if has_type(head, "application/json") {
        let (body, _) = read_body(exchange, ERROR_BODY, until);
        let value = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return reported(&message(&value));
        }
    }
    let found = head.content_type.as_deref().unwrap_or("a body without a type");
    let fix = "check that the URL is an API's base and that the server can stream";
    Failed::new(Kind::Protocol, format!("the server answers with {found} instead of a stream of events"), fix)
}

/// The message of an error's body: from JSON, or the start of a text.
fn said(head: &Head, body: &[u8]) -> String {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return message(&value);
    }
    if has_type(head, "text/html") {
        return "an HTML page".to_owned();
    }
    String::from_utf8_lossy(body).trim().to_owned()
}

enum BodyEnd {
    Whole,
    Late,
    Long,
    Failed(Failure),
}

/// Up to `most` bytes of a body, and how it ended.
fn read_body(exchange: &Exchange, most: usize, until: Instant) -> (Vec<u8>, BodyEnd) {
    let mut body = Vec::new();
    loop {
        match exchange.next(until) {
            None => return (body, BodyEnd::Late),
            Some(Event::Failed(failure)) => return (body, BodyEnd::Failed(failure)),
            Some(Event::End | Event::Head(_)) => return (body, BodyEnd::Whole),
            Some(Event::Body(bytes)) => {
                let room = most - body.len();
                body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if bytes.len() > room {
                    return (body, BodyEnd::Long);
                }
            }
        }
    }
}
