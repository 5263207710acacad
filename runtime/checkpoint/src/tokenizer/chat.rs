//! Chat templates: Jinja programs that turn a conversation into text, rendered as transformers renders them.
//!
//! The engine is minijinja. Where its language or built-ins differ from those of transformers' `apply_chat_template`
//! (jinja2's `ImmutableSandboxedEnvironment` and some additional functions), [`source`](super::source) rewrites the
//! template and [`python`](super::python) has the functions. `scripts/chat_templates.py` compares the two.

use super::{python, source};
use crate::Error;
use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Maximum instructions of a template, to stop endless loops. A long conversation takes some hundred thousand.
const FUEL: u64 = 10_000_000;
/// Names under which the reasoning of a message comes. Templates read the first, those of gpt-oss the second.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// The input of a chat template, in the form of the OpenAI API; deserialised from a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conversation {
    /// Objects with a `role`, a `content` that is a string or a list of parts, and other keys that the template reads:
    /// `tool_calls`, `reasoning_content`, ...
    pub messages: Vec<Value>,
    /// JSON schemas of functions that the model may call.
    pub tools: Option<Vec<Value>>,
    /// Objects with `title` and `text` that the model may quote.
    pub documents: Option<Vec<Value>>,
    /// Whether the text ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// More variables of the template: `enable_thinking`, ...
    pub variables: BTreeMap<String, Value>,
}

impl Conversation {
    /// A single user message, up to where the assistant's answer begins.
    pub fn of_user(content: &str) -> Self {
        let message = Value::from_pairs([("role", "user"), ("content", content)]);
        Conversation { messages: vec![message], add_generation_prompt: true, ..Conversation::default() }
    }
}

/// A chat template, and the special tokens that it may use.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    variables: BTreeMap<&'static str, String>,
}

impl ChatTemplate {
    /// A template of this Jinja source.
    pub fn new(source: String) -> Self {
        ChatTemplate { source, variables: BTreeMap::new() }
    }

    /// The Jinja source.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Adds a variable, if it has a value: `bos_token`.
    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.variables.extend(value.map(|value| (name, value.to_owned())));
        self
    }

    /// The text of a conversation. `now` is the date that `strftime_now` gives.
    ///
    /// # Errors
    /// If the template is malformed, fails, or refuses the conversation.
    pub fn render(&self, conversation: &Conversation, now: DateTime) -> Result<String, Error> {
        let messages: Vec<Value> =
            conversation.messages.iter().map(normalize).collect::<Result<_, _>>().map_err(describe)?;
        let mut variables: BTreeMap<&str, Value> =
            self.variables.iter().map(|(name, value)| (*name, Value::from(value.as_str()))).collect();
        variables.extend(conversation.variables.iter().map(|(name, value)| (name.as_str(), value.clone())));
        variables.insert("messages", Value::from(messages));
        variables.insert("tools", Value::from(conversation.tools.clone()));
        variables.insert("documents", Value::from(conversation.documents.clone()));
        variables.insert("add_generation_prompt", Value::from(conversation.add_generation_prompt));

        let source = source::rewrite(&self.source);
        let environment = environment(now).map_err(describe)?;
        let template = environment.template_from_str(&source).map_err(describe)?;
        template.render(variables).map_err(describe)
    }
}

/// A message without its nulls, and with its reasoning under the names that templates read.
fn normalize(message: &Value) -> Result<Value, minijinja::Error> {
    let mut pairs = Vec::new();
    for key in message.try_iter()? {
        let value = message.get_item(&key)?;
        if !value.is_none() {
            pairs.push((key, value));
        }
    }
    let named = |pairs: &[(Value, Value)], name: &str| pairs.iter().position(|(key, _)| key.as_str() == Some(name));
    if let Some(at) = REASONING.iter().find_map(|name| named(&pairs, name)) {
        let reasoning = pairs[at].1.clone();
        match named(&pairs, "reasoning_content") {
            Some(at) => pairs[at].1 = reasoning.clone(),
            None => pairs.push((Value::from("reasoning_content"), reasoning.clone())),
        }
        if named(&pairs, "thinking").is_none() {
            pairs.insert(0, (Value::from("thinking"), reasoning));
        }
    }
    Ok(Value::from_pairs(pairs))
}

/// Jinja as `apply_chat_template` sets it up.
fn environment(now: DateTime) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    python::set_up(&mut environment, now);
    Ok(environment)
}

fn describe(error: minijinja::Error) -> Error {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let cause = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Error::Template(format!("{line}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, messages: &[(&str, &str)], add_generation_prompt: bool) -> Result<String, String> {
        let messages = messages
            .iter()
            .map(|(role, content)| Value::from_pairs([("role", *role), ("content", *content)]))
            .collect();
        let template =
            ChatTemplate::new(source.to_owned()).with("bos_token", Some("<s>")).with("eos_token", Some("</s>"));
        let conversation = Conversation { messages, add_generation_prompt, ..Conversation::default() };
        template.render(&conversation, DateTime::default()).map_err(|error| error.to_string())
    }

    /// The form of SmolLM2's: a default system message unless the conversation starts with one.
    const SMOLLM: &str = "{% for message in messages %}\
        {% if loop.first and messages[0]['role'] != 'system' %}\
        {{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}\
        {{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    #[test]
    fn smollm_gets_a_system_message_and_a_prompt() {
        let expected = "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n\
                        <|im_start|>assistant\n";
        assert_eq!(render(SMOLLM, &[("user", "Hi!")], true).as_deref(), Ok(expected));
        let expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<b>&\"é<|im_end|>\n";
        assert_eq!(render(SMOLLM, &[("system", "Be brief."), ("user", "<b>&\"é")], false).as_deref(), Ok(expected));
    }

    #[test]
    fn a_template_can_refuse() {
        let source = "{% if messages[0].role != 'user' %}\n{{ raise_exception('roles must alternate') }}\n{% endif %}";
        let error = render(source, &[("system", "x")], false);
        assert_eq!(error, Err("the chat template: line 2: roles must alternate".to_owned()));
    }

    #[test]
    fn errors_say_where() {
        let error = render("a\n{% for %}", &[], false).unwrap_err();
        assert!(error.starts_with("the chat template: line 2: "), "{error}");
    }

    #[test]
    fn an_endless_template_ends() {
        let source = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}";
        let error = render(source, &[], false).unwrap_err();
        assert!(error.contains("fuel"), "{error}");
    }
}
