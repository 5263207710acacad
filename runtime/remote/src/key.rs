//! An API key that is hidden in `Debug` and `Display`.

use crate::error::{Error, Kind};
use std::{collections::HashSet, env, fmt};

/// Minimum length of a part of a key that is removed from text, and so of a key.
const WINDOW: usize = 8;
const HIDDEN: &str = "***";

/// An API key. `Debug` and `Display` show `***`.
#[derive(Clone)]
pub struct Key {
    /// The environment variable it is from, which errors name.
    variable: &'static str,
    text: String,
}

impl Key {
    /// The key in an environment variable; `None` if that is unset or empty.
    ///
    /// # Errors
    /// If it is not a valid key.
    pub fn from_env(variable: &'static str) -> Result<Option<Key>, Error> {
        match env::var_os(variable).unwrap_or_default().into_string() {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Key::new(variable, text).map(Some),
            Err(_) => Err(invalid(variable, "is not text")),
        }
    }

    /// A key, and the environment variable that errors are to name.
    ///
    /// # Errors
    /// If it has fewer than 8 characters, or any but printable ASCII without spaces.
    pub fn new(variable: &'static str, text: impl Into<String>) -> Result<Key, Error> {
        let text = text.into();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid(variable, "has a space, a control character or a character outside ASCII"));
        }
        if text.len() < WINDOW {
            // Removing a shorter one would blank ordinary words of an answer.
            return Err(invalid(variable, "has fewer than 8 characters"));
        }
        Ok(Key { variable, text })
    }

    pub(crate) fn variable(&self) -> &'static str {
        self.variable
    }

    /// The value of the `Authorization` header: the one use of the text.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.text)
    }

    /// `text` with the key, and each part of 8 or more of its characters, replaced by `***`. Servers echo keys cut
    /// short.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let windows: HashSet<&[u8]> = self.text.as_bytes().windows(WINDOW).collect();
        let (mut clean, mut hidden) = (String::with_capacity(text.len()), None);
        for (at, window) in text.as_bytes().windows(WINDOW).enumerate() {
            if !windows.contains(window) {
                continue;
            }
            if hidden.is_none_or(|end| at > end) {
                // Windows of a key are ASCII, so both ends are boundaries of characters.
                clean.push_str(&text[hidden.unwrap_or(0)..at]);
                clean.push_str(HIDDEN);
            }
            hidden = Some(at + WINDOW);
        }
        clean.push_str(&text[hidden.unwrap_or(0)..]);
        clean
    }
}

fn invalid(variable: &'static str, cause: &str) -> Error {
    let fix = "set it to the key that the server's owner gave you, or unset it where the server asks for none";
    Error::new(Kind::Key, &format!("the API key in {variable}"), cause, fix, None)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_itself() {
        let key = Key::new("K", "sk-0123456789").unwrap();
        assert_eq!(format!("{key} {key:?} {:?}", Some(&key)), "*** *** Some(***)");
    }

    #[test]
    fn a_key_is_removed_whole_and_in_part() {
        let key = Key::new("K", "sk-0123456789").unwrap();
        for (text, clean) in [
            ("wrong key sk-0123456789.", "wrong key ***."),
            ("sk-0123456789sk-0123456789", "***"),
            ("é sk-0123456789é", "é ***é"),
            ("sk-01234... is wrong", "***... is wrong"),
            ("...23456789", "...***"),
            ("sk-0123", "sk-0123"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(key.scrub(text), clean, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused_unseen() {
        for (text, cause) in [
            ("secret", "has fewer than 8 characters"),
            ("sécret-0123456789", "has a space, a control character or a character outside ASCII"),
            ("secret-0123456789\n", "has a space, a control character or a character outside ASCII"),
        ] {
            let fix = "set it to the key that the server's owner gave you, or unset it where the server asks for none";
            assert_eq!(Key::new("K", text).unwrap_err().to_string(), format!("the API key in K: {cause}; {fix}"));
        }
    }

    #[test]
    fn a_variable_may_be_unset() {
        assert!(Key::from_env("KFORGE_NO_SUCH_VARIABLE").unwrap().is_none());
        // Cargo sets these two for tests.
        assert_eq!(Key::from_env("CARGO_MANIFEST_DIR").unwrap().unwrap().variable(), "CARGO_MANIFEST_DIR");
        assert_eq!(Key::from_env("CARGO_PKG_VERSION").unwrap_err().kind(), Kind::Key);
    }
}
