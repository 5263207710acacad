//! Servers that are slow: each limit, with its own line. Only the limit under test can be reached.

use crate::fake::*;
use kforge_remote::{Kind, Limits};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(100);

/// Asserts a time-out with this cause. A second attempt would get an answer, so there is none.
fn assert_late(steps: Vec<Step>, limits: &Limits, cause: &str) {
    let fake = Fake::start(vec![steps, vec![Step::Send(hello())]]);
    let begin = Instant::now();
    let line = format!("URL: {cause}; try again later, or ask for fewer tokens");
    fake.assert_error(fake.ask_within(limits), Kind::Timeout, &line);
    assert!(begin.elapsed() < PATIENT.first_token / 2, "another limit ended the wait");
}

#[test]
fn a_server_that_never_answers() {
    assert_late(vec![Step::Hold], &Limits { first_token: SHORT, ..PATIENT }, "no token in 100ms");
}

#[test]
fn a_server_that_only_keeps_the_connection_open() {
    let ping = Step::Repeat(b": ping\n\n".to_vec(), Duration::from_millis(10));
    let limits = Limits { first_token: SHORT, ..PATIENT };
    assert_late(vec![Step::Send(stream("")), ping], &limits, "no token in 100ms");
}

#[test]
fn a_stream_that_stalls_in_the_middle() {
    let body = stream(&[piece("Hello"), piece(", ")].concat());
    let limits = Limits { between_tokens: SHORT, ..PATIENT };
    let cause = "the answer stalls (chunks so far: 2): nothing for 100ms";
    assert_late(vec![Step::Send(body), Step::Hold], &limits, cause);
}

#[test]
fn a_stream_that_never_ends() {
    let tokens = Step::Repeat(piece("a").into_bytes(), Duration::from_millis(10));
    let limits = Limits { total: 2 * SHORT, ..PATIENT };
    assert_late(vec![Step::Send(stream("")), tokens], &limits, "no whole answer in 200ms");
}

#[test]
fn limits_beyond_the_clock_are_no_limits() {
    let max = Duration::MAX;
    let limits =
        Limits { connect: max, first_token: max, between_tokens: max, total: max, backoff: max, retries: usize::MAX };
    assert_eq!(Fake::sending(&[&hello()]).ask_within(&limits).unwrap().text, "Hello, world");
}
