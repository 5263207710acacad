//! Streams that break.

use crate::fake::*;
use kforge_remote::Kind;
use std::time::Duration;

const AGAIN: &str = "try again, or look into the server's log";

fn assert_broken(body: &str, cause: &str) {
    let fake = Fake::sending(&[&stream(body), &hello()]);
    fake.assert_error(fake.ask(), Kind::Protocol, &format!("URL: {cause}; {AGAIN}"));
    assert_eq!(fake.requests().len(), 1, "a broken stream is not asked for again");
}

#[test]
fn a_stream_that_ends_before_the_model_has_stopped() {
    let cause = "the answer breaks off (chunks so far: 2): the stream ends without [DONE]";
    assert_broken(&[piece("Hello"), piece(", ")].concat(), cause);
}

#[test]
fn a_chunk_of_broken_json() {
    let cause = "chunk 2 is not the JSON expected: EOF while parsing an object at line 1 column 10";
    assert_broken(&[&piece("Hello"), "data: {\"choices\"\n\n", DONE].concat(), cause);
}

#[test]
fn a_stream_without_choices() {
    assert_broken(&[USAGE, DONE].concat(), "the answer has no choices");
}

#[test]
fn a_length_beyond_the_body() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999999999999\r\n\r\n";
    let fake = Fake::sending(&[&[head, &piece("Hello")].concat().into_bytes()]);
    let line = format!("URL: the answer breaks off (chunks so far: 1): the server closed the connection; {AGAIN}");
    fake.assert_error(fake.ask(), Kind::Protocol, &line);
}

#[test]
fn a_transfer_chunk_that_is_none() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let fake = Fake::sending(&[head.as_bytes()]);
    let line = format!("URL: the answer breaks off (chunks so far: 0): Error while decoding chunks; {AGAIN}");
    fake.assert_error(fake.ask(), Kind::Protocol, &line);
}

#[test]
fn an_endless_line() {
    let fake = Fake::start(vec![vec![Step::Send(stream("data: ")), Step::Repeat(vec![b'a'; 4096], Duration::ZERO)]]);
    let line = format!("URL: a line of the stream is longer than 256 KiB; {AGAIN}");
    fake.assert_error(fake.ask(), Kind::Protocol, &line);
}

#[test]
fn an_error_in_the_middle() {
    let body = [&piece("Hello"), "data: {\"error\":{\"message\":\"out of memory\"}}\n\n"].concat();
    let fake = Fake::sending(&[&stream(&body)]);
    let line = format!("URL: the server reports: out of memory; {AGAIN}");
    fake.assert_error(fake.ask(), Kind::Server, &line);
}

#[test]
fn a_refusal() {
    let body = ["data: {\"choices\":[{\"delta\":{\"refusal\":\"I cannot\\nhelp.\"}}]}\n\n", STOP, DONE].concat();
    let fake = Fake::sending(&[&stream(&body)]);
    let line = "URL: the model refuses: I cannot help.; change the question";
    fake.assert_error(fake.ask(), Kind::Refusal, line);
}
