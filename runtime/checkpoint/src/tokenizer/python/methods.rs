//! Methods of Python's strings, lists and dictionaries that minijinja lacks.

use super::failure;
use minijinja::value::{Tuple, Value, ValueKind, from_args};
use minijinja::{Error, State};

pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let ours = match value.kind() {
        ValueKind::String => of_string(value.as_str().unwrap_or_default(), method, args)?,
        ValueKind::Seq | ValueKind::Iterable => of_list(value, method, args)?,
        ValueKind::Map if method == "copy" => Some(value.clone()),
        _ => None,
    };
    match ours {
        Some(value) => Ok(value),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn of_string(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let parts = |parts: [&str; 3]| Value::from(Tuple::from(parts.map(Value::from).to_vec()));
    let separator = || match from_args::<(&str,)>(args)?.0 {
        "" => Err(failure("the separator is empty")),
        separator => Ok(separator),
    };
    Ok(Some(match method {
        "partition" => parts(text.split_once(separator()?).map_or([text, "", ""], |(a, b)| [a, args_text(args), b])),
        "rpartition" => parts(text.rsplit_once(separator()?).map_or(["", "", text], |(a, b)| [a, args_text(args), b])),
        "rsplit" => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            let most = usize::try_from(most.unwrap_or(-1)).unwrap_or(usize::MAX);
            let mut pieces = match separator {
                Some("") => return Err(failure("the separator is empty")),
                Some(separator) => text.rsplitn(most.saturating_add(1), separator).map(Value::from).collect(),
                None => words_from_end(text, most),
            };
            pieces.reverse();
            Value::from(pieces)
        }
        "index" => {
            let (part,): (&str,) = from_args(args)?;
            let at = text.find(part).ok_or_else(|| failure(format!("{part:?} is not in the string")))?;
            Value::from(text[..at].chars().count())
        }
        "removeprefix" => Value::from(text.strip_prefix(from_args::<(&str,)>(args)?.0).unwrap_or(text)),
        "removesuffix" => Value::from(text.strip_suffix(from_args::<(&str,)>(args)?.0).unwrap_or(text)),
        "swapcase" => {
            let () = from_args(args)?;
            let swap = |char: char| {
                if char.is_uppercase() { char.to_lowercase().to_string() } else { char.to_uppercase().to_string() }
            };
            Value::from(text.chars().map(swap).collect::<String>())
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => text.split_at(text.len() - digits.len()),
                None => ("", text),
            };
            Value::from(format!("{sign}{}{digits}", fill("0", missing(text, width)?)))
        }
        "ljust" | "rjust" | "center" => {
            let (width, filler): (usize, Option<&str>) = from_args(args)?;
            let (filler, missing) = (filler.unwrap_or(" "), missing(text, width)?);
            // Python's `center` gives the odd one to the left if the width is odd.
            let before = match method {
                "ljust" => 0,
                "rjust" => missing,
                _ => missing / 2 + (missing & width & 1),
            };
            Value::from(format!("{}{text}{}", fill(filler, before), fill(filler, missing - before)))
        }
        _ => return Ok(None),
    }))
}

fn args_text(args: &[Value]) -> &str {
    args.first().and_then(Value::as_str).unwrap_or_default()
}

/// The last words, the last one first, and what is left once there are `most`.
fn words_from_end(text: &str, most: usize) -> Vec<Value> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_end();
    while !rest.is_empty() && pieces.len() < most {
        let at =
            rest.rfind(char::is_whitespace).map_or(0, |at| at + rest[at..].chars().next().map_or(0, char::len_utf8));
        pieces.push(Value::from(&rest[at..]));
        rest = rest[..at].trim_end();
    }
    if !rest.is_empty() {
        pieces.push(Value::from(rest));
    }
    pieces
}

/// Maximum width that a text is padded to.
const MOST_WIDTH: usize = 1 << 20;

/// Number of characters to pad a text to a width.
fn missing(text: &str, width: usize) -> Result<usize, Error> {
    if width > MOST_WIDTH {
        return Err(failure(format!("a width of {width} is more than {MOST_WIDTH}")));
    }
    Ok(width.saturating_sub(text.chars().count()))
}

fn fill(filler: &str, count: usize) -> String {
    filler.repeat(count)
}

fn of_list(list: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "index" => {
            let (item,): (&Value,) = from_args(args)?;
            let at = list.try_iter()?.position(|other| other == *item);
            Ok(Some(Value::from(at.ok_or_else(|| failure(format!("{item} is not in the list")))?)))
        }
        "copy" => Ok(Some(list.clone())),
        _ => Ok(None),
    }
}
