//! Models: written in both formats, and compared with another server.

use crate::place::{Place, text};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

/// An OpenAI-compatible server that answers each request with the next of these heads and bodies. Returns its URL.
fn server(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            for line in reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

fn ok(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn answer() -> Vec<String> {
    let stream = concat!(
        "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n",
        "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\", world\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
    );
    vec![ok("application/json", "{\"data\":[{\"id\":\"m-1\"}]}"), ok("text/event-stream", stream)]
}

const GENERATE: &str = "kforge-run llm-inference --prompt hi --max-tokens 4";

#[test]
fn two_answers_stand_side_by_side() {
    let place = Place::new();
    let run = |more: &str| place.run(&format!("{GENERATE} {more}"), "");
    let alone = text(&run("").stdout);

    let url = server(answer());
    let output = run(&format!("--compare-with {url}"));
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{errors}");
    assert!(said.starts_with(&alone), "{said}");
    for part in ["random:tiny here", &format!("m-1 at {url}"), "Hello, world", "first token", "tokens/s", "length"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.lines().last().unwrap().starts_with("equal up to character "), "{said}");
    assert!(errors.contains("--chat asks both alike"), "{errors}");

    let output = run(&format!("--json --compare-with {}", server(answer())));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|side| &report["comparison"][side]);
    assert_eq!((&ours["text"], &ours["tokens"]), (&report["text"], &4.into()));
    assert_eq!((&theirs["text"], &theirs["tokens"]), (&"Hello, world".into(), &2.into()));
    assert_eq!(report["comparison"]["agreement"]["identical"], false);
}

#[test]
fn ours_is_not_lost_where_the_other_fails() {
    let place = Place::new();
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno".to_owned();
    let url = server(vec![refused]);
    let line = format!("{GENERATE} --json --compare-model m --compare-with {url}");
    let output = place.command(&line, "".as_ref()).env("KFORGE_COMPARE_API_KEY", "sk-secret-key").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["comparison"]), (Some(1), &Value::Null));
    assert_eq!(report["ids"].as_array().map(Vec::len), Some(4));
    let errors = text(&output.stderr);
    assert!(errors.lines().last().unwrap().starts_with(&format!("kforge-run: {url}: ")), "{errors}");
    assert!(!errors.contains("secret"), "{errors}");
}

#[test]
fn a_comparison_is_refused_before_a_model_is_loaded() {
    let place = Place::new();
    for (more, cause) in [
        ("--compare-with-cerebras", "the server wants an API key; set CEREBRAS_API_KEY to the key from your account"),
        ("--compare-with example.org", "relative URL without a base"),
        ("--compare-with http://a --top-k 3", "cannot be used with '--top-k"),
        ("--compare-with http://a --compare-with-cerebras", "cannot be used with"),
        ("--compare-model m", "required arguments were not provided"),
    ] {
        let mut command = place.command(&format!("{GENERATE} {more}"), "".as_ref());
        let output = command.env_remove("CEREBRAS_API_KEY").output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{more}: {errors}");
        assert!(errors.contains(cause) && !errors.contains("are random"), "{more}: {errors}");
        assert!(output.stdout.is_empty(), "{more}");
    }
}

/// One model in both formats and back gives the same tokens.
#[test]
fn a_model_is_exported_in_both_formats() {
    let place = Place::new();
    let good = |line: &str| {
        let output = place.run(line, "");
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let expected = good(GENERATE);
    good("kforge-run export random:tiny a.gguf");
    good("kforge-run export a.gguf folder --dequantize f32");
    good("kforge-run export folder b.gguf");
    for model in ["a.gguf", "folder", "b.gguf"] {
        assert_eq!(good(&format!("{GENERATE} --model {model}")), expected, "{model}");
    }
    // What cannot be written is one line, and leaves nothing.
    let before = place.names();
    for (out, cause) in [("folder", "it is not empty; give a new one"), ("none/folder", "none is no folder")] {
        let output = place.run(&format!("kforge-run export a.gguf {out}"), "");
        let errors = text(&output.stderr);
        assert_eq!((output.status.code(), errors.lines().count()), (Some(1), 1), "{errors}");
        assert!(errors.trim_end().ends_with(cause), "{errors}");
    }
    assert_eq!(place.names(), before);
    // A folder is no place for a file.
    assert_eq!(fs::read_dir(place.path("folder")).unwrap().count(), 5);
}
