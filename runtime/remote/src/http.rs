//! One HTTP exchange, on a separate thread.
//!
//! The client blocks; it has time-outs for single reads and the whole exchange, but not for the time to the first token
//! or between two. So it runs on a thread that sends the head and the pieces of the body through a short queue, and the
//! receiver chooses its time-outs. When the [`Exchange`] is dropped, the thread ends with its next piece, or soon after
//! the time limit of the exchange.
//!
//! The client reads the size line of a transfer chunk without a limit on its length. A server that never ends one is
//! limited only by time: about 25 MB per second until the time limit of the exchange.

use crate::error::Kind;
use std::{
    error::Error as _,
    io::{self, ErrorKind, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Capacity of the queue; the thread blocks when it is full.
const QUEUE: usize = 4;
const PIECE: usize = 16 << 10;
/// The thread outlives the whole time by this much, so that its own time-out is never the one that is reported.
const GRACE: Duration = Duration::from_secs(1);
/// Replaces an unbounded time.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A request to send.
pub(crate) struct Call {
    pub url: String,
    pub bearer: Option<String>,
    /// JSON; without it the call is a GET.
    pub body: Option<String>,
    pub connect: Duration,
    pub end: Instant,
}

/// Events of the response, in order: a head, pieces of the body, an end; or a failure at any point.
pub(crate) enum Event {
    Head(Head),
    Body(Vec<u8>),
    End,
    Failed(Failure),
}

pub(crate) struct Head {
    pub status: u16,
    pub content_type: Option<String>,
    pub location: Option<String>,
    pub retry_after: Option<Duration>,
}

/// Why there is no response, or no more of it.
pub(crate) struct Failure {
    pub kind: Kind,
    pub cause: String,
    pub refused: bool,
}

pub(crate) struct Exchange {
    events: Receiver<Event>,
}

/// `time` after `begin`; a time too long for the clock is a year.
pub(crate) fn after(begin: Instant, time: Duration) -> Instant {
    begin.checked_add(time).unwrap_or(begin + YEAR)
}

impl Exchange {
    pub(crate) fn start(call: Call) -> Result<Exchange, Failure> {
        let (sender, events) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("kforge-remote".to_owned());
        match thread.spawn(move || run(call, &sender)) {
            Ok(_) => Ok(Exchange { events }),
            Err(error) => Err(Failure::connection(format!("no thread for the request: {error}"))),
        }
    }

    /// The next event, or `None` if it does not arrive in time. After `until` the result is `None` even if an event is
    /// queued, because an endless body always has one.
    pub(crate) fn next(&self, until: Instant) -> Option<Event> {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        match self.events.recv_timeout(left) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Event::Failed(Failure::connection("the HTTP client failed".to_owned())))
            }
        }
    }
}

/// Runs the exchange until it ends or nobody receives it.
fn run(call: Call, events: &SyncSender<Event>) {
    let response = match send(call) {
        Ok(response) => response,
        // If the receiver is gone, nothing is left to do.
        Err(failure) => return drop(events.send(Event::Failed(failure))),
    };
    if events.send(Event::Head(head(&response))).is_err() {
        return;
    }
    let mut body = response.into_reader();
    let mut piece = vec![0; PIECE];
    loop {
        let event = match body.read(&mut piece) {
            Ok(0) => Event::End,
            Ok(length) => Event::Body(piece[..length].to_vec()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Event::Failed(Failure::io(&error)),
        };
        let last = !matches!(event, Event::Body(_));
        if events.send(event).is_err() || last {
            return;
        }
    }
}

fn send(call: Call) -> Result<ureq::Response, Failure> {
    let left = call.end.saturating_duration_since(Instant::now());
    let agent = ureq::AgentBuilder::new()
        .user_agent(concat!("kforge/", env!("CARGO_PKG_VERSION")))
        // A redirect would take the question, and perhaps the key, elsewhere.
        .redirects(0)
        .timeout_connect(call.connect.min(YEAR))
        .timeout(left.saturating_add(GRACE).min(YEAR))
        .build();
    let method = if call.body.is_some() { "POST" } else { "GET" };
    let mut request = agent.request(method, &call.url);
    // Compression would delay tokens.
    request = request.set("Accept-Encoding", "identity");
    if let Some(bearer) = &call.bearer {
        request = request.set("Authorization", bearer);
    }
    let response = match &call.body {
        Some(body) => request.set("Content-Type", "application/json").send_string(body),
        None => request.call(),
    };
    match response {
        Ok(response) | Err(ureq::Error::Status(_, response)) => Ok(response),
        Err(ureq::Error::Transport(transport)) => Err(Failure::transport(&transport)),
    }
}

fn head(response: &ureq::Response) -> Head {
    let header = |name| response.header(name).map(str::to_owned);
    Head {
        status: response.status(),
        content_type: header("content-type"),
        location: header("location"),
        // For the other form, a date, the back-off is used.
        retry_after: header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs),
    }
}

impl Failure {
    fn connection(cause: String) -> Failure {
        Failure { kind: Kind::Connection, cause, refused: false }
    }

    fn io(error: &io::Error) -> Failure {
        let cause = match error.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe => "the server closed the connection".to_owned(),
            _ => error.to_string(),
        };
        Failure::connection(cause)
    }

    fn transport(transport: &ureq::Transport) -> Failure {
        let source = transport.source();
        match (transport.kind(), source.and_then(|source| source.downcast_ref::<io::Error>())) {
            (ureq::ErrorKind::ConnectionFailed, Some(error)) => Failure::connect(error),
            (ureq::ErrorKind::Io, Some(error)) => Failure::io(error),
            (ureq::ErrorKind::BadStatus | ureq::ErrorKind::BadHeader, _) => {
                let cause = transport.message().unwrap_or("a bad head");
                Failure { kind: Kind::Protocol, cause: format!("the response is not HTTP: {cause}"), refused: false }
            }
            _ => Failure::connection(source.map_or_else(|| transport.kind().to_string(), ToString::to_string)),
        }
    }

    fn connect(error: &io::Error) -> Failure {
        match error.kind() {
            ErrorKind::ConnectionRefused => {
                let cause = "the server refuses the connection".to_owned();
                Failure { kind: Kind::Connection, cause, refused: true }
            }
            ErrorKind::TimedOut => {
                Failure { kind: Kind::Timeout, cause: "no connection in time".to_owned(), refused: false }
            }
            _ => Failure::connection(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_its_time_an_event_is_not_taken() {
        let (sender, events) = sync_channel(QUEUE);
        let exchange = Exchange { events };
        sender.send(Event::End).unwrap();
        assert!(exchange.next(Instant::now()).is_none());
        assert!(matches!(exchange.next(after(Instant::now(), YEAR)), Some(Event::End)));
        drop(sender);
        assert!(matches!(exchange.next(after(Instant::now(), YEAR)), Some(Event::Failed(_))));
    }
}
