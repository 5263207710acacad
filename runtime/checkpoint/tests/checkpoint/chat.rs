//! Chat templates give the same as transformers. `scripts/chat_templates.py tests/data/chat --write` generated the
//! texts; each template there has constructs that templates of public models use.

use kforge_checkpoint::{ChatTemplate, Conversation};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Inputs {
    now: String,
    conversations: BTreeMap<String, Conversation>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chat")
}

fn inputs() -> Inputs {
    serde_json::from_str(&fs::read_to_string(folder().join("CONVERSATIONS.json")).unwrap()).unwrap()
}

#[test]
fn templates_give_the_bytes_of_transformers() {
    let Inputs { now, conversations } = inputs();
    let now = now.parse().unwrap();
    let mut templates = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jinja") {
            continue;
        }
        templates += 1;
        let template = ChatTemplate::new(fs::read_to_string(&path).unwrap());
        // None where transformers refuses the conversation.
        let expected: BTreeMap<String, Option<String>> =
            serde_json::from_str(&fs::read_to_string(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!(expected.len(), conversations.len());
        for (name, expected) in expected {
            let rendered = template.render(&conversations[&name], now);
            match expected {
                Some(expected) => assert_eq!(rendered.unwrap(), expected, "{}, {name}", path.display()),
                None => assert!(rendered.is_err(), "{}, {name}: {rendered:?}", path.display()),
            }
        }
    }
    assert_eq!(templates, 14);
}

fn render(source: &str, conversation: &str) -> Result<String, String> {
    let conversation = serde_json::from_str(conversation).unwrap();
    let now = "2026-03-05T14:07:09".parse().unwrap();
    ChatTemplate::new(source.to_owned()).render(&conversation, now).map_err(|error| error.to_string())
}

#[test]
fn a_message_has_its_reasoning_under_each_name_and_no_nulls() {
    let source = "{{ messages | tojson }}";
    let rendered = render(source, r#"{"messages": [{"role": "a", "content": null, "thinking": "hm"}]}"#);
    assert_eq!(rendered.unwrap(), r#"[{"role": "a", "thinking": "hm", "reasoning_content": "hm"}]"#);
    let rendered = render(source, r#"{"messages": [{"reasoning": "hm", "role": "a"}]}"#);
    assert_eq!(rendered.unwrap(), r#"[{"thinking": "hm", "reasoning": "hm", "role": "a", "reasoning_content": "hm"}]"#);
}

#[test]
fn variables_reach_the_template() {
    let source = "{{ enable_thinking }} {{ tools is none }} {{ documents[0].title }} {{ eos_token is defined }}";
    let conversation = r#"{"documents": [{"title": "t"}], "variables": {"enable_thinking": false}}"#;
    assert_eq!(render(source, conversation).unwrap(), "False True t False");
}

#[test]
fn hostile_templates_end_in_errors() {
    let deep = format!("{{{{ {}{} | tojson }}}}", "[".repeat(5000), "]".repeat(5000));
    let unclosed =
        ["{{", "{%", "{#", "{% raw %}", "{{ '", "{{ a % ", "{% for x in", "{{ % }}", "{{ ) % ( }}", "{% generation %}"];
    for source in
        unclosed.into_iter().chain([deep.as_str(), "{{ 1 % 0 }}", "{{ 'a'.ljust(99999999999) }}", "{{ '%s' % () }}"])
    {
        let start: String = source.chars().take(40).collect();
        assert!(render(source, "{}").is_err(), "{start}");
    }
}
