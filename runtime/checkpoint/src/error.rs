//! Errors of checkpoints.

use crate::gguf;
use std::io;
use std::path::Path;

/// A checkpoint that cannot be read or is not supported: location, cause and fix.
///
/// A message includes the messages of inner errors. So inner errors are not reported as a source, whose message would
/// be printed twice in a chain of errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another error, inside this file.
    #[error("{file}: {error}")]
    File { file: String, error: Box<Error> },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    #[error("the safetensors header: {0}")]
    Safetensors(String),
    #[error("not the JSON expected here: {0}")]
    Json(String),
    /// The file is well formed, but a value in it is not.
    #[error("{place}: {cause}")]
    Invalid { place: String, cause: String },
    #[error("the tokenizer: {0}")]
    Tokenizer(String),
    #[error("the chat template: {0}")]
    Template(String),
    #[error("fetching `{repo}`: {cause}")]
    Hub { repo: String, cause: String },
}

impl Error {
    pub(crate) fn invalid(place: impl Into<String>, cause: impl Into<String>) -> Self {
        Error::Invalid { place: place.into(), cause: cause.into() }
    }

    /// This error, inside `file`; unless it already names one.
    pub(crate) fn in_file(self, file: impl AsRef<Path>) -> Self {
        match self {
            Error::File { .. } => self,
            other => Error::File { file: file.as_ref().display().to_string(), error: Box::new(other) },
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Error::Json(error.to_string())
    }
}
