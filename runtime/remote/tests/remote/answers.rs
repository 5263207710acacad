//! Right answers, also from servers with habits of their own.

use crate::fake::*;

#[test]
fn a_stream_is_put_together() {
    let fake = Fake::sending(&[&hello()]);
    let answer = fake.ask().unwrap();
    assert_eq!(answer.text, "Hello, world");
    assert_eq!(answer.tokens, Some(2));
    assert_eq!((answer.finish.as_deref(), answer.model.as_str(), answer.retries), (Some("stop"), "m-1", 0));
    assert!(answer.time_to_first <= answer.total);
}

#[test]
fn the_request_is_a_streamed_chat_completion() {
    let fake = Fake::sending(&[&hello()]);
    fake.ask().unwrap();
    let requests = fake.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    for header in [
        "\r\nAuthorization: Bearer sk-0123456789abcdef\r\n",
        "\r\nContent-Type: application/json\r\n",
        "\r\nAccept-Encoding: identity\r\n",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let expected = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":8,"stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(body, expected);
}

#[test]
fn a_character_may_be_split_between_chunks() {
    let body = [&piece("naïve 🦀"), STOP, DONE].concat();
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let split = body.find('🦀').unwrap() + 2;
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let fake = Fake::start(vec![vec![
        Step::Send(head),
        Step::Send(chunk(&body.as_bytes()[..split])),
        Step::Pause,
        Step::Send(chunk(&body.as_bytes()[split..])),
        Step::Send(b"0\r\n\r\n".to_vec()),
    ]]);
    assert_eq!(fake.ask().unwrap().text, "naïve 🦀");
}

#[test]
fn a_stream_may_count_no_tokens() {
    let fake = Fake::sending(&[&stream(&[&piece("Hello"), STOP, DONE].concat())]);
    let answer = fake.ask().unwrap();
    assert_eq!((answer.text.as_str(), answer.tokens), ("Hello", None));
}

#[test]
fn a_stream_may_end_without_done_once_the_model_has_stopped() {
    let fake = Fake::sending(&[&stream(&[&piece("Hello"), STOP].concat())]);
    assert_eq!(fake.ask().unwrap().text, "Hello");
}

#[test]
fn what_follows_done_is_not_waited_for() {
    let fake = Fake::start(vec![vec![Step::Send(hello()), Step::Hold]]);
    assert_eq!(fake.ask().unwrap().text, "Hello, world");
}

#[test]
fn comments_and_other_fields_are_skipped() {
    let body = [": ping\r\n\r\nevent: chunk\r\nid: 1\r\n", &piece("Hello"), "retry: 7\n", STOP, DONE].concat();
    let fake = Fake::sending(&[&stream(&body)]);
    assert_eq!(fake.ask().unwrap().text, "Hello");
}
