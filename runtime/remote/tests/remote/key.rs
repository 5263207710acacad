//! Where the key goes, and where it must not.

use crate::fake::*;
use kforge_remote::{Kind, Server};

#[test]
fn a_key_that_the_server_echoes_is_hidden() {
    let body = format!(r#"{{"error":{{"message":"wrong key {KEY} (or {}...)"}}}}"#, &KEY[..12]);
    let fake = Fake::sending(&[&json("401 Unauthorized", &body)]);
    let line = "URL: the server answers 401: wrong key *** (or ***...); check the key in KFORGE_COMPARE_API_KEY";
    fake.assert_error(fake.ask(), Kind::Status(401), line);
}

#[test]
fn a_key_in_an_answer_is_hidden_also_across_chunks() {
    let body = [&piece(&format!("key {}", &KEY[..9])), &piece(&KEY[9..]), STOP, DONE].concat();
    let fake = Fake::sending(&[&stream(&body.replace("m-1", KEY))]);
    let answer = fake.ask().unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("key ***", "***"));
}

#[test]
fn a_key_in_a_broken_chunk_is_hidden() {
    let fake = Fake::sending(&[&stream(&format!("data: {{\"choices\":\"{KEY}\"}}\n"))]);
    let line = "URL: chunk 1 is not the JSON expected: invalid type: string \"***\", expected a sequence at line 1 \
                column 32; try again, or look into the server's log";
    fake.assert_error(fake.ask(), Kind::Protocol, line);
}

#[test]
fn a_redirect_is_not_followed() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let other = Fake::sending(&[&hello()]);
        let location = format!("Location: {}/chat/completions?key={KEY}\r\n", other.url);
        let fake = Fake::sending(&[&response(status, &location, "")]);
        let code = status[..3].parse().unwrap();
        let line = format!(
            "URL: the server redirects to {}/chat/completions?key=***, which is not followed; \
             give that server's base URL if you trust it",
            other.url
        );
        fake.assert_error(fake.ask(), Kind::Status(code), &line);
        assert!(other.requests().is_empty(), "neither the key nor the question goes elsewhere");
    }
}

#[test]
fn without_a_key_there_is_no_header_and_the_error_names_the_variable() {
    let fake = Fake::sending(&[&json("401 Unauthorized", "")]);
    let server = Server::new(&fake.url, None, Some("m".to_owned())).unwrap();
    let line = "URL: the server answers 401; set KFORGE_COMPARE_API_KEY to a key of that server";
    fake.assert_error(server.ask(&question(), &PATIENT), Kind::Status(401), line);
    assert!(!fake.requests()[0].to_ascii_lowercase().contains("authorization"));
}
