//! Renders a chat template: `cargo run -p kforge-checkpoint --example render_chat -- TEMPLATE.jinja CONVERSATION.json NOW`.
//!
//! The conversation is an object of the fields of `Conversation`; NOW is the date for `strftime_now`,
//! `2026-01-31T12:30:00`. Several conversations, as an array, give an array of `{"text": ...}` or `{"error": ...}`.

use kforge_checkpoint::{ChatTemplate, Conversation};
use serde::Deserialize;
use std::error::Error;

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(Conversation),
    Many(Vec<Conversation>),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [template, conversation, now] = &arguments[..] else {
        return Err("usage: render_chat TEMPLATE.jinja CONVERSATION.json NOW".into());
    };
    let template = ChatTemplate::new(std::fs::read_to_string(template)?);
    let now = now.parse()?;
    match serde_json::from_str(&std::fs::read_to_string(conversation)?)? {
        Input::One(conversation) => print!("{}", template.render(&conversation, now)?),
        Input::Many(conversations) => {
            let rendered = conversations.iter().map(|conversation| match template.render(conversation, now) {
                Ok(text) => serde_json::json!({ "text": text }),
                Err(error) => serde_json::json!({ "error": error.to_string() }),
            });
            println!("{}", serde_json::Value::from(rendered.collect::<Vec<_>>()));
        }
    }
    Ok(())
}
