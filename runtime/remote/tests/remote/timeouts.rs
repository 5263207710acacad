//! Servers that are slow: each limit, with its own line. Only the limit under test can be reached.

use crate::fake::*;
use kforge_remote::{Kind, Limits};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);
const FIX: &str = "try again later, or ask for fewer tokens";

#[test]
fn a_server_that_never_answers() {
    let fake = Fake::start(vec![vec![Step::Hold], vec![Step::Send(hello())]]);
    let limits = Limits { first_token: SHORT, ..PATIENT };
    fake.assert_error(fake.ask_within(&limits), Kind::Timeout, &format!("URL: no token in 100ms; {FIX}"));
    assert_eq!(fake.requests().len(), 1, "a time-out is not tried again");
}

#[test]
fn a_server_that_only_keeps_the_connection_open() {
    let fake = Fake::start(vec![vec![
        Step::Send(stream("")),
        Step::Repeat(b": ping\n\n".to_vec(), Duration::from_millis(10)),
    ]]);
    let limits = Limits { first_token: SHORT, ..PATIENT };
    fake.assert_error(fake.ask_within(&limits), Kind::Timeout, &format!("URL: no token in 100ms; {FIX}"));
}

#[test]
fn a_stream_that_stalls_in_the_middle() {
    let body = stream(&[piece("Hello"), piece(", ")].concat());
    let fake = Fake::start(vec![vec![Step::Send(body), Step::Hold]]);
    let limits = Limits { between_tokens: SHORT, ..PATIENT };
    let line = format!("URL: the answer stalls (chunks so far: 2): nothing for 100ms; {FIX}");
    fake.assert_error(fake.ask_within(&limits), Kind::Timeout, &line);
}

#[test]
fn a_stream_that_never_ends() {
    let fake = Fake::start(vec![vec![
        Step::Send(stream("")),
        Step::Repeat(piece("a").into_bytes(), Duration::from_millis(10)),
    ]]);
    let limits = Limits { total: 2 * SHORT, ..PATIENT };
    let line = format!("URL: no whole answer in 200ms; {FIX}");
    fake.assert_error(fake.ask_within(&limits), Kind::Timeout, &line);
}

#[test]
fn a_stream_that_never_ends_and_never_pauses() {
    let fake = Fake::start(vec![vec![Step::Send(stream("")), Step::Repeat(b": ping\n\n".repeat(512), Duration::ZERO)]]);
    let limits = Limits { first_token: SHORT, ..PATIENT };
    let error = fake.ask_within(&limits).unwrap_err();
    // On a fast machine the bound on the stream may be reached first.
    assert!(matches!(error.kind(), Kind::Timeout | Kind::Protocol), "{error}");
}

#[test]
fn limits_beyond_the_clock_are_no_limits() {
    let max = Duration::MAX;
    let limits =
        Limits { connect: max, first_token: max, between_tokens: max, total: max, backoff: max, retries: usize::MAX };
    assert_eq!(Fake::sending(&[&hello()]).ask_within(&limits).unwrap().text, "Hello, world");
}
