//! A server: its base URL, the key for it and the model to ask.

use crate::{
    error::{Error, Kind},
    key::Key,
};
use serde::Deserialize;
use url::Url;

/// Cerebras' inference service.
pub const CEREBRAS_URL: &str = "https://api.cerebras.ai/v1";
/// The model asked there unless another is named.
pub const CEREBRAS_MODEL: &str = "gpt-oss-120b";
/// The environment variable with the key of Cerebras.
pub const CEREBRAS_KEY: &str = "CEREBRAS_API_KEY";
/// The environment variable with the key of any other server.
pub const SERVER_KEY: &str = "KFORGE_COMPARE_API_KEY";

const SHOWN_MODELS: usize = 10;

/// An OpenAI-compatible server.
#[derive(Debug, Clone)]
pub struct Server {
    base: String,
    key: Option<Key>,
    model: Option<String>,
}

impl Server {
    /// The server at `base`, the URL up to but excluding `/chat/completions`. Without a model, the server is asked for
    /// its models. To an `http:` URL the key is sent in clear text, as servers in a local network expect.
    ///
    /// # Errors
    /// If `base` is not such a URL. One with a password or a query is rejected: those may be secret, and URLs are
    /// shown.
    pub fn new(base: &str, key: Option<Key>, model: Option<String>) -> Result<Server, Error> {
        check(base).map_err(|cause| bad_url(base, &cause, key.as_ref()))?;
        Ok(Server { base: base.trim_end_matches('/').to_owned(), key, model })
    }

    /// The server at `base`, with the key in `KFORGE_COMPARE_API_KEY` if that is set.
    ///
    /// # Errors
    /// If the URL or the key is invalid.
    pub fn from_env(base: &str, model: Option<String>) -> Result<Server, Error> {
        Server::new(base, Key::from_env(SERVER_KEY)?, model)
    }

    /// Cerebras, with the key in `CEREBRAS_API_KEY`; the model is [`CEREBRAS_MODEL`] unless named.
    ///
    /// # Errors
    /// If there is no key, or it is invalid.
    pub fn cerebras(model: Option<String>) -> Result<Server, Error> {
        let Some(key) = Key::from_env(CEREBRAS_KEY)? else {
            let fix = format!("set {CEREBRAS_KEY} to the key from your account there");
            return Err(Error::new(Kind::Key, CEREBRAS_URL, "the server wants an API key", &fix, None));
        };
        Server::new(CEREBRAS_URL, Some(key), Some(model.unwrap_or_else(|| CEREBRAS_MODEL.to_owned())))
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    pub(crate) fn error(&self, kind: Kind, cause: &str, fix: &str) -> Error {
        Error::new(kind, &self.base, cause, fix, self.key())
    }

    /// Text of the server without the key.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.key().map_or_else(|| text.to_owned(), |key| key.scrub(text))
    }

    /// The one model in the body of a GET of `/models`.
    pub(crate) fn only_model(&self, body: &[u8]) -> Result<String, Error> {
        let list: List = serde_json::from_slice(body).map_err(|error| {
            let cause = format!("the list of models is not the JSON expected: {error}");
            self.error(Kind::Protocol, &cause, "name the model, or check the URL")
        })?;
        let names: Vec<String> = list.data.into_iter().map(|model| model.id).collect();
        match &names[..] {
            [name] => Ok(name.clone()),
            [] => Err(self.error(Kind::Model, "the server lists no model", "load one there, or name the model")),
            _ => Err(self.error(Kind::Model, &several(&names), "name one of them")),
        }
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

fn several(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN_MODELS)].join(", ");
    match names.len() - names.len().min(SHOWN_MODELS) {
        0 => format!("the server has {} models: {shown}", names.len()),
        more => format!("the server has {} models: {shown} and {more} more", names.len()),
    }
}

fn check(base: &str) -> Result<(), String> {
    let url = Url::parse(base).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("its scheme is `{}`, not http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment".to_owned());
    }
    Ok(())
}

/// The error of an invalid URL; it shows the URL, unless a part of it may be secret.
fn bad_url(base: &str, cause: &str, key: Option<&Key>) -> Error {
    let place = match base.contains(['@', '?', '#']) {
        true => "the base URL".to_owned(),
        false => format!("the base URL `{base}`"),
    };
    Error::new(Kind::Url, &place, cause, "give one such as http://localhost:8080/v1", key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_plain_http() {
        for base in ["http://localhost:8080/v1", "https://example.org/v1/", "http://[::1]:8080", "http://10.0.0.7"] {
            let server = Server::new(base, None, None).unwrap();
            assert_eq!(server.base(), base.trim_end_matches('/'));
        }
    }

    #[test]
    fn other_urls_are_refused_and_secrets_in_them_not_shown() {
        for (base, place, cause) in [
            ("", "the base URL ``", "relative URL without a base"),
            ("example.org/v1", "the base URL `example.org/v1`", "relative URL without a base"),
            ("localhost:80", "the base URL `localhost:80`", "its scheme is `localhost`, not http or https"),
            ("http://", "the base URL `http://`", "empty host"),
            ("http://me:secret@a/v1", "the base URL", "it holds a user name or a password"),
            ("http://a/v1?key=secret", "the base URL", "it has a query or a fragment"),
            ("http://me:secret@a:99999", "the base URL", "invalid port number"),
        ] {
            let error = Server::new(base, None, None).unwrap_err();
            let expected = format!("{place}: {cause}; give one such as http://localhost:8080/v1");
            assert_eq!((error.kind(), error.to_string()), (Kind::Url, expected));
        }
    }

    #[test]
    fn the_only_model_is_taken_and_several_are_listed() {
        let server = Server::new("http://a/v1", None, None).unwrap();
        let only = |body: &str| server.only_model(body.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(only(r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#), Ok("m".to_owned()));
        let none = "http://a/v1: the server lists no model; load one there, or name the model";
        assert_eq!(only(r#"{"data":[]}"#), Err(none.to_owned()));
        let two = "http://a/v1: the server has 2 models: m, n; name one of them";
        assert_eq!(only(r#"{"data":[{"id":"m"},{"id":"n"}]}"#), Err(two.to_owned()));
        let not = "http://a/v1: the list of models is not the JSON expected: missing field `data` at line 1 column 2; \
                   name the model, or check the URL";
        assert_eq!(only("{}"), Err(not.to_owned()));
        let names: Vec<String> = (0..12).map(|i| format!("m{i}")).collect();
        assert_eq!(several(&names), "the server has 12 models: m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 and 2 more");
    }

    #[test]
    fn a_server_does_not_show_its_key() {
        let key = Key::new("K", "sk-0123456789").unwrap();
        let server = Server::new("http://a/v1", Some(key), None).unwrap();
        let shown = r#"Server { base: "http://a/v1", key: Some(***), model: None }"#;
        assert_eq!(format!("{server:?}"), shown);
    }
}
