//! Responses that say no: statuses, redirects and errors under status 200.

use crate::fake::*;
use kforge_remote::Kind;
use std::time::{Duration, Instant};

const BUSY: &str = r#"{"message":"slow down","type":"too_many_requests_error"}"#;

#[test]
fn a_busy_server_is_asked_again() {
    for status in ["429 Too Many Requests", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let fake = Fake::sending(&[&json(status, BUSY), &hello()]);
        let answer = fake.ask().unwrap();
        assert_eq!((answer.text.as_str(), answer.retries), ("Hello, world", 1), "{status}");
        assert_eq!(fake.requests().len(), 2);
    }
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let busy = json("429 Too Many Requests", BUSY);
    let fake = Fake::sending(&[&busy, &busy, &busy, &hello()]);
    let line = "URL: the server answers 429: slow down (3 attempts); try again later";
    fake.assert_error(fake.ask(), Kind::Status(429), line);
    assert_eq!(fake.requests().len(), 3);
}

#[test]
fn retry_after_takes_the_place_of_the_back_off() {
    let busy = response("503 Service Unavailable", "Retry-After: 1\r\n", "");
    let fake = Fake::sending(&[&busy, &hello()]);
    let begin = Instant::now();
    assert_eq!(fake.ask().unwrap().retries, 1);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn no_wait_begins_that_outlasts_the_whole_time() {
    let busy = response("429 Too Many Requests", "Retry-After: 3600\r\n", "");
    let fake = Fake::sending(&[&busy, &hello()]);
    let line = "URL: the server answers 429, and asks to wait 1h; try again later";
    fake.assert_error(fake.ask(), Kind::Status(429), line);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn other_statuses_are_final() {
    for (status, body, line) in [
        (
            "400 Bad Request",
            r#"{"error":{"message":"no such option"}}"#,
            "URL: the server answers 400: no such option; check the URL, the model and the question",
        ),
        (
            "404 Not Found",
            r#"{"detail":"Not Found"}"#,
            "URL: the server answers 404: Not Found; \
          check the model's name, and that the URL ends before /chat/completions",
        ),
        (
            "403 Forbidden",
            "no\r\n\tentry\x1b[2J",
            "URL: the server answers 403: no entry [2J; check the key in KFORGE_COMPARE_API_KEY",
        ),
        ("418", "", "URL: the server answers 418; check the URL, the model and the question"),
    ] {
        let fake = Fake::sending(&[&json(status, body), &hello()]);
        let code = status[..3].parse().unwrap();
        fake.assert_error(fake.ask(), Kind::Status(code), line);
        assert_eq!(fake.requests().len(), 1);
    }
}

#[test]
fn a_page_of_html_is_not_shown() {
    let page = response("500 Internal Server Error", "Content-Type: text/html\r\n", "<html><body>oops</body></html>");
    let fake = Fake::sending(&[&page]);
    let line = "URL: the server answers 500: an HTML page; try again later, or look into the server's log";
    fake.assert_error(fake.ask(), Kind::Status(500), line);
}

#[test]
fn an_endless_error_is_cut() {
    let fake = Fake::start(vec![vec![
        Step::Send(response("500 Internal Server Error", "Content-Type: text/plain\r\n", "")),
        Step::Repeat(vec![b'a'; 4096], Duration::ZERO),
    ]]);
    let line = format!(
        "URL: the server answers 500: {}...; try again later, or look into the server's log",
        "a".repeat(300 - "the server answers 500: ".len())
    );
    fake.assert_error(fake.ask(), Kind::Status(500), &line);
}

#[test]
fn a_huge_length_with_a_short_body_is_not_believed() {
    let short = response("500 Internal Server Error", "Content-Length: 99999999999999\r\n", "out of memory");
    let fake = Fake::sending(&[&short]);
    let line = "URL: the server answers 500: out of memory; try again later, or look into the server's log";
    fake.assert_error(fake.ask(), Kind::Status(500), line);
}

#[test]
fn an_error_object_under_status_200_is_an_error() {
    let fake = Fake::sending(&[&json("200 OK", r#"{"error":{"message":"no memory","code":7}}"#)]);
    let line = "URL: the server reports: no memory; try again, or look into the server's log";
    fake.assert_error(fake.ask(), Kind::Server, line);
}

#[test]
fn a_response_that_is_no_stream_is_refused() {
    for (headers, found) in [
        ("Content-Type: text/html\r\n", "text/html"),
        ("Content-Type: application/json\r\n", "application/json"),
        ("", "a body without a type"),
    ] {
        let fake = Fake::sending(&[&response("200 OK", headers, r#"{"choices":[]}"#)]);
        let line = format!(
            "URL: the server answers with {found} instead of a stream of events; \
             check that the URL is an API's base and that the server can stream"
        );
        fake.assert_error(fake.ask(), Kind::Protocol, &line);
    }
}
