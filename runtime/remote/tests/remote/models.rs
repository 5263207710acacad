//! Which model is asked where none is named.

use crate::fake::*;
use kforge_remote::{Kind, Limits, Server};
use std::time::Duration;

fn unnamed(fake: &Fake) -> Server {
    Server::new(&fake.url, None, None).unwrap()
}

#[test]
fn the_only_model_is_asked() {
    let list = json("200 OK", r#"{"object":"list","data":[{"id":"the/one"}]}"#);
    let fake = Fake::sending(&[&list, &hello()]);
    assert_eq!(unnamed(&fake).ask(&question(), &PATIENT).unwrap().text, "Hello, world");
    let requests = fake.requests();
    assert!(requests[0].starts_with("GET /v1/models HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[1].contains(r#"{"model":"the/one","#), "{}", requests[1]);
}

#[test]
fn several_models_are_listed() {
    let fake = Fake::sending(&[&json("200 OK", r#"{"data":[{"id":"a"},{"id":"b"}]}"#)]);
    let line = "URL: the server has 2 models: a, b; name one of them";
    fake.assert_error(unnamed(&fake).ask(&question(), &PATIENT), Kind::Model, line);
}

#[test]
fn a_busy_server_is_asked_for_its_models_again() {
    let fake =
        Fake::sending(&[&json("503 Service Unavailable", ""), &json("200 OK", r#"{"data":[{"id":"a"}]}"#), &hello()]);
    let answer = unnamed(&fake).ask(&question(), &PATIENT).unwrap();
    assert_eq!((answer.text.as_str(), answer.retries), ("Hello, world", 0));
}

#[test]
fn lists_that_are_late_long_or_cut_are_errors() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    let limits = Limits { first_token: Duration::from_millis(100), ..PATIENT };
    let again = "try again, or look into the server's log";
    for (steps, limits, kind, line) in [
        (
            vec![Step::Send(head.clone()), Step::Hold],
            limits,
            Kind::Timeout,
            "no list of models in time; name the model, or try again".to_owned(),
        ),
        (
            vec![Step::Send(head.clone()), Step::Repeat(vec![b' '; 65536], Duration::ZERO)],
            PATIENT,
            Kind::Protocol,
            format!("the list of models is longer than 4 MiB; {again}"),
        ),
        (
            vec![Step::Send(head)],
            PATIENT,
            Kind::Protocol,
            format!("the list of models breaks off: the server closed the connection; {again}"),
        ),
    ] {
        let fake = Fake::start(vec![steps]);
        fake.assert_error(unnamed(&fake).ask(&question(), &limits), kind, &format!("URL: {line}"));
    }
}
