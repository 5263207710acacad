//! Connections that fail.

use crate::fake::*;
use kforge_remote::{Kind, Limits};

#[test]
fn a_refused_connection_is_tried_again() {
    let fake = Fake::nowhere();
    let line = "URL: the server refuses the connection (3 attempts); check the URL and that the server runs";
    fake.assert_error(fake.ask(), Kind::Connection, line);
}

#[test]
fn a_refused_connection_is_tried_once_without_retries() {
    let fake = Fake::nowhere();
    let line = "URL: the server refuses the connection; check the URL and that the server runs";
    fake.assert_error(fake.ask_within(&Limits { retries: 0, ..PATIENT }), Kind::Connection, line);
}

#[test]
fn a_connection_that_closes_before_the_head_is_not_tried_again() {
    let fake = Fake::start(vec![vec![], vec![Step::Send(hello())]]);
    let line = "URL: the server closed the connection; check the URL and that the server runs";
    fake.assert_error(fake.ask(), Kind::Connection, line);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn what_is_not_http_is_refused() {
    let fake = Fake::sending(&[b"SSH-2.0-server\r\n"]);
    let line = "URL: the response is not HTTP: Wrong number of tokens in status line; \
                check the URL and that the server runs";
    fake.assert_error(fake.ask(), Kind::Protocol, line);
}
