//! Fetching models from the Hugging Face hub, into its own cache.

use crate::Error;
use crate::safetensors::{INDEX, SINGLE};
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use std::path::{Path, PathBuf};

/// Optional files next to the weights.
const COMPANIONS: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"];

/// Fetches `org/name`, or one file of it, `org/name:file`, and returns its local path: a file, or the directory of a
/// safetensors model. Files in the cache are not fetched again. `HF_HOME` and `HF_ENDPOINT` are respected.
///
/// # Errors
/// If the name is malformed, the hub cannot be reached, or the repository holds no model that we can read.
pub fn fetch(repo: &str) -> Result<PathBuf, Error> {
    fetch_model(repo).map_err(|cause| Error::Hub { repo: repo.to_owned(), cause })
}

fn fetch_model(spec: &str) -> Result<PathBuf, String> {
    let Spec { repo, file } = Spec::parse(spec)?;
    let api = ApiBuilder::from_env().build().map_err(|error| reach(&error))?.model(repo.to_owned());
    if let Some(file) = file {
        return get(&api, file);
    }
    let info = api.info().map_err(|error| reach(&error))?;
    let files: Vec<&str> = info.siblings.iter().map(|sibling| sibling.rfilename.as_str()).collect();
    if files.contains(&"config.json") && (files.contains(&SINGLE) || files.contains(&INDEX)) {
        return fetch_directory(&api, &files);
    }
    let ggufs: Vec<&str> = files.into_iter().filter(|file| is_gguf(file)).collect();
    match ggufs[..] {
        [] => Err("the repository has neither a GGUF file nor safetensors with a config.json".to_owned()),
        [file] => get(&api, file),
        _ => Err(format!("the repository has several GGUF files; choose one: `{repo}:FILE` of {}", ggufs.join(", "))),
    }
}

/// Decides by the name, as the file is not downloaded yet.
fn is_gguf(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Fetches the files of a safetensors model into one directory.
fn fetch_directory(api: &ApiRepo, files: &[&str]) -> Result<PathBuf, String> {
    let config = get(api, "config.json")?;
    for file in files {
        // Top-level shards only: repositories keep copies in other precisions in folders.
        let weights = if files.contains(&SINGLE) {
            *file == SINGLE
        } else {
            *file == INDEX || (file.starts_with("model-") && file.ends_with(".safetensors") && !file.contains('/'))
        };
        if weights || COMPANIONS.contains(file) {
            get(api, file)?;
        }
    }
    config.parent().map(PathBuf::from).ok_or_else(|| "the hub's cache has no directory".to_owned())
}

fn get(api: &ApiRepo, file: &str) -> Result<PathBuf, String> {
    api.get(file).map_err(|error| format!("`{file}`: {}", reach(&error)))
}

fn reach(error: &dyn std::error::Error) -> String {
    format!("{error}; check the name and the network, or give the path of a local file")
}

/// A repository, and perhaps one of its files.
#[derive(Debug, PartialEq)]
struct Spec<'a> {
    repo: &'a str,
    file: Option<&'a str>,
}

impl<'a> Spec<'a> {
    fn parse(spec: &'a str) -> Result<Self, String> {
        let (repo, file) = match spec.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (spec, None),
        };
        // These become parts of an address and of a path in the cache.
        let part = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
        };
        let repo_is_plain = repo.split_once('/').is_some_and(|(org, name)| part(org) && part(name));
        let file_is_plain = file.is_none_or(|file| file.split('/').all(part));
        match repo_is_plain && file_is_plain {
            true => Ok(Spec { repo, file }),
            false => Err("expected `org/name` or `org/name:file`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_repository_and_perhaps_a_file() {
        assert_eq!(Spec::parse("org/a-model"), Ok(Spec { repo: "org/a-model", file: None }));
        for file in ["q4/model.Q4_1.gguf", "MODEL.GGUF", "sha256-0123abcd"] {
            let spec = format!("org/model:{file}");
            assert_eq!(Spec::parse(&spec), Ok(Spec { repo: "org/model", file: Some(file) }));
        }
    }

    #[test]
    fn names_that_would_leave_the_cache_are_refused() {
        for spec in
            ["", "model", "org/", "/model", "org/../x", "../x", "a/b/c", "org/m:../x.gguf", "org/m:/x", "org/m:"]
        {
            let error = fetch(spec).unwrap_err().to_string();
            assert_eq!(error, format!("fetching `{spec}`: expected `org/name` or `org/name:file`"));
        }
    }
}
