//! Chat templates: Jinja programs that turn a conversation into text, rendered as transformers renders them.

use super::Template;
use crate::Error;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, context};
use serde::{Deserialize, Serialize};

/// Instructions that a template may run. A long conversation takes some hundred thousand; an endless loop takes more.
const FUEL: u64 = 10_000_000;

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or whatever the template knows.
    pub role: String,
    pub content: String,
}

impl Template {
    /// # Errors
    /// If there is no template, or it fails or refuses the messages.
    pub(super) fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, Error> {
        let Some(source) = &self.source else {
            return Err(Error::Template("the model has none; give the text as it should be continued".to_owned()));
        };
        let environment = environment().map_err(describe)?;
        let template = environment.template_from_str(source).map_err(describe)?;
        let values = context! {
            messages => Serde(messages),
            add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            // transformers defines these as none.
            tools => (),
            documents => (),
        };
        template.render(values).map_err(describe)
    }
}

/// Jinja as `apply_chat_template` sets it up.
fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.set_fuel(Some(FUEL));
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
        let messages: Vec<Message> = messages
            .iter()
            .map(|(role, content)| Message { role: (*role).to_owned(), content: (*content).to_owned() })
            .collect();
        let template =
            Template { source: Some(source.to_owned()), bos_token: "<s>".to_owned(), eos_token: "</s>".to_owned() };
        template.render(&messages, add_generation_prompt).map_err(|error| error.to_string())
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
    fn the_forms_of_other_models_work() {
        // Blocks on lines of their own leave nothing behind, Python's methods exist, and none is not a list of tools.
        let source = "{{- bos_token }}\n{%- set ns = namespace(n=0) %}\n{% for m in messages %}\n  {% if m.content.strip() %}\n\
                      {%- set ns.n = ns.n + 1 %}\n{{ m['role'].upper() }}: {{ m.content | trim }}{{ eos_token }}\n\
                      {% endif %}\n{% endfor %}\n{%- if tools is not none %}{{ tools | tojson }}{% endif %}{{ ns.n }}";
        let messages = [("user", " a "), ("tool", "  "), ("user", "b")];
        assert_eq!(render(source, &messages, false).as_deref(), Ok("<s>USER: a</s>\nUSER: b</s>\n2"));
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

    #[test]
    fn without_a_template_there_is_no_chat() {
        let error = Template::default().render(&[], true).unwrap_err().to_string();
        assert_eq!(error, "the chat template: the model has none; give the text as it should be continued");
    }
}
