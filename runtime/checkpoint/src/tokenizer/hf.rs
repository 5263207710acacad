//! A tokenizer from Hugging Face's `tokenizer.json` and the files beside it.

use super::{ChatTemplate, Tokenizer, contain};
use crate::Error;
use crate::json::{Fields, read_bytes};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::Path;

type Object = Map<String, Value>;

/// Keys of tokenizer_config.json that a chat template may read.
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Loads `tokenizer.json`; `companion` reads another JSON file of the directory, if it is there.
///
/// # Errors
/// If `tokenizer.json` is missing, or a file is malformed.
pub(crate) fn load(
    directory: &Path,
    config: &Object,
    companion: &dyn Fn(&str) -> Result<Option<Object>, Error>,
) -> Result<Tokenizer, Error> {
    let path = directory.join("tokenizer.json");
    let json = read_bytes(&path)?;
    let mut inner = contain(|| tokenizers::Tokenizer::from_bytes(&json)).map_err(|error| error.in_file(&path))?;
    // A training pipeline leaves these behind; a prompt is never cut or filled.
    inner.with_padding(None);
    contain(|| inner.with_truncation(None).map(drop))?;

    let tokenizer_config = companion("tokenizer_config.json")?.unwrap_or_default();
    let generation = companion("generation_config.json")?.unwrap_or_default();
    let fields = Fields::new(&tokenizer_config);
    let text = |key: &str| special_text(fields.get(key));
    let (bos_token, eos_token) = (text("bos_token"), text("eos_token"));

    let mut ends: HashSet<u32> = eos_token.iter().filter_map(|token| inner.token_to_id(token)).collect();
    for (file, object) in [("config.json", config), ("generation_config.json", &generation)] {
        ends.extend(ids(object, "eos_token_id").map_err(|error| error.in_file(directory.join(file)))?);
    }
    // Without a flag the tokenizer's own post-processor tells: what it puts around an empty text.
    let around = contain(|| inner.encode_fast("", true))?.get_ids().to_vec();
    let affix = |flag: &str, token: Option<&str>, put: Option<&u32>| {
        let wanted = fields.flag(flag)?;
        let id = token.and_then(|token| inner.token_to_id(token));
        Ok::<_, Error>(id.filter(|id| wanted == Some(true) || (wanted.is_none() && put == Some(id))))
    };
    // BERT has other names for them.
    let bos = affix("add_bos_token", bos_token.or(text("cls_token")), around.first())?;
    // One token may be both, but is put only once.
    let after = around.get(usize::from(bos.is_some() && bos.as_ref() == around.first())..).unwrap_or_default();
    let eos = affix("add_eos_token", eos_token.or(text("sep_token")), after.last())?;
    let template = template_source(directory, &fields)?.map(|source| {
        let template = ChatTemplate::new(source);
        SPECIAL_TOKENS.iter().fold(template, |template, key| template.with(key, text(key)))
    });
    Ok(Tokenizer { eos, ..Tokenizer::new(inner, bos, ends, template) })
}

/// A special token is a string, or an object with its content.
pub(crate) fn special_text(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// One id, or an array of them. A negative one stands for none.
fn ids(object: &Object, key: &str) -> Result<Vec<u32>, Error> {
    let values = match object.get(key) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    let id = |value: &Value| match (value.as_u64().and_then(|id| u32::try_from(id).ok()), value.as_i64()) {
        (Some(id), _) => Some(Ok(id)),
        (None, Some(..0)) => None,
        _ => Some(Err(Error::invalid(format!("`{key}`"), "expected a token id, or an array of them"))),
    };
    values.iter().filter_map(id).collect()
}

/// The template has a file of its own in newer models; elsewhere it is a string, or a list of which one is the default.
fn template_source(directory: &Path, fields: &Fields) -> Result<Option<String>, Error> {
    let path = directory.join("chat_template.jinja");
    if path.is_file() {
        let text = String::from_utf8(read_bytes(&path)?);
        let text = text.map_err(|_| Error::Template("it is not valid UTF-8".to_owned()).in_file(&path))?;
        return Ok(Some(text));
    }
    let source = match fields.get("chat_template") {
        Some(Value::Array(templates)) => templates
            .iter()
            .find(|template| template.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|template| template.get("template")?.as_str()),
        Some(value) => value.as_str(),
        None => None,
    };
    Ok(source.map(str::to_owned))
}
