//! Functions for templates, as in Python and transformers: JSON, dates, formatting, methods of built-in types.

mod json;
mod methods;

use super::source::{ITERATE, MODULO};
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum nesting of values, to prevent a stack overflow.
const MOST_DEPTH: usize = 200;

/// Adds the functions of transformers, and replaces those of minijinja that differ from jinja2's.
pub(super) fn set_up(environment: &mut Environment, now: DateTime) {
    environment.set_unknown_method_callback(methods::call);
    environment
        .set_formatter(|out, _, value| out.write_str(&text(value)).map_err(|_| failure("the text cannot be written")));
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> { Err(failure(message)) });
    environment.add_function("strftime_now", move |format: &str| strftime(format, now));
    environment.add_function(MODULO, modulo);
    environment.add_function(ITERATE, iterate);
    environment.add_filter("tojson", json::to_json);
    environment.add_filter("string", |value: &Value| match value.kind() {
        ValueKind::String => value.clone(),
        _ => Value::from(text(value)),
    });
    environment.add_filter("int", |value: &Value, default: Option<Value>| {
        let whole = value.as_str().map_or_else(|| integer(value), |text| text.trim().parse().ok());
        let whole = whole.or_else(|| number(value).filter(|value| value.is_finite()).map(|value| value as i128));
        match whole.map(|value| i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)) {
            Some(value) => value,
            None => default.unwrap_or_else(|| Value::from(0)),
        }
    });
    environment.add_filter("float", |value: &Value, default: Option<Value>| match number(value) {
        Some(value) => Value::from(value),
        None => default.unwrap_or_else(|| Value::from(0.0)),
    });
    environment.add_filter("join", join);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    // These are lazy in Python: always true, without a length, and no JSON.
    environment.add_filter("map", |state: &mut State, value: Value, args: Rest<ValueOrKwargs>| {
        filters::map(state, value, args).map(Generator::of)
    });
    environment.add_filter("select", |state: &mut State, value: Value, test: Test, args: Rest<ValueOrKwargs>| {
        filters::select(state, value, test, args).map(Generator::of)
    });
    environment.add_filter("reject", |state: &mut State, value: Value, test: Test, args: Rest<ValueOrKwargs>| {
        filters::reject(state, value, test, args).map(Generator::of)
    });
    environment.add_filter(
        "selectattr",
        |state: &mut State, value: Value, name: Cow<'_, str>, test: Test, args: Rest<ValueOrKwargs>| {
            filters::selectattr(state, value, name, test, args).map(Generator::of)
        },
    );
    environment.add_filter(
        "rejectattr",
        |state: &mut State, value: Value, name: Cow<'_, str>, test: Test, args: Rest<ValueOrKwargs>| {
            filters::rejectattr(state, value, name, test, args).map(Generator::of)
        },
    );
    environment.add_test("iterable", |value: &Value| {
        !matches!(value.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain)
    });
    environment.add_test("callable", |value: &Value| matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined));
    // Whatever has a length and an index.
    environment.add_test("sequence", |value: &Value| match value.kind() {
        ValueKind::Undefined | ValueKind::String | ValueKind::Bytes | ValueKind::Seq | ValueKind::Map => true,
        ValueKind::Iterable => value.downcast_object_ref::<Generator>().is_none(),
        _ => false,
    });
}

/// The name of a test, as an argument of filters.
type Test<'a> = Option<Cow<'a, str>>;

/// A Python generator: it can be iterated once.
#[derive(Debug)]
struct Generator(Mutex<Vec<Value>>);

impl Generator {
    fn of(values: Vec<Value>) -> Value {
        Value::from_object(Generator(Mutex::new(values)))
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let values = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Enumerator::Iter(Box::new(values.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// HTML as markupsafe escapes it.
fn escape(value: &Value) -> Value {
    if value.is_safe() {
        return value.clone();
    }
    let mut escaped = String::new();
    for char in text(value).chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    Value::from_safe_string(escaped)
}

/// Joins the texts of items, or of an attribute of theirs, with a separator.
fn join(state: &mut State, items: &Value, between: Option<&str>, named: Kwargs) -> Result<String, Error> {
    let between = between.or(named.get("d")?).unwrap_or_default();
    let attribute: Option<Value> = named.get("attribute")?;
    named.assert_all_used()?;
    let items = match attribute {
        Some(attribute) => {
            let named: Kwargs = [("attribute", attribute)].into_iter().collect();
            state.apply_filter("map", &[items.clone(), Value::from(named)])?
        }
        None => iterate(items)?,
    };
    Ok(items.try_iter()?.map(|item| text(&item)).collect::<Vec<_>>().join(between))
}

/// The iterable of a loop.
fn iterate(value: &Value) -> Result<Value, Error> {
    if value.is_none() {
        return Err(failure("none is not iterable"));
    }
    Ok(Value::from(value.try_iter()?.checked().collect::<Result<Vec<Value>, Error>>()?))
}

fn failure(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, cause.into())
}

/// Python's `str`.
fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::String | ValueKind::Undefined => value.to_string(),
        _ => {
            let mut out = String::new();
            write_repr(value, 0, &mut out);
            out
        }
    }
}

/// Appends Python's `repr`.
fn write_repr(value: &Value, depth: usize, out: &mut String) {
    if depth > MOST_DEPTH {
        out.push_str("...");
        return;
    }
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::String => write_quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Map if value.downcast_object_ref::<Generator>().is_none() => {
            out.push('{');
            for (i, key) in items().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_repr(&key, depth + 1, out);
                out.push_str(": ");
                write_repr(&value.get_item(&key).unwrap_or_default(), depth + 1, out);
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable if value.downcast_object_ref::<Generator>().is_none() => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            for (i, item) in items().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_repr(&item, depth + 1, out);
            }
            out.push_str(if tuple && value.len() == Some(1) { "," } else { "" });
            out.push(if tuple { ')' } else { ']' });
        }
        _ => match float(value) {
            Some(value) => out.push_str(&float_text(value)),
            None => out.push_str(&value.to_string()),
        },
    }
}

/// Appends Python's `repr` of a string.
fn write_quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if char == quote => out.extend(['\\', char]),
            _ if is_printable(char) => out.push(char),
            ..='\u{ff}' => out.push_str(&format!("\\x{:02x}", u32::from(char))),
            ..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(char))),
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable`, which is what Rust escapes too, but for marks at the start of a text.
fn is_printable(char: char) -> bool {
    matches!(char, ' '..='~')
        || char.is_alphanumeric()
        || ['a', char].iter().collect::<String>().escape_debug().count() == 2
}

/// An integer or a truth value.
fn integer(value: &Value) -> Option<i128> {
    float(value).is_none().then(|| i128::try_from(value.clone()).ok()).flatten()
}

/// A number, or a text that parses as one.
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    }
}

fn float(value: &Value) -> Option<f64> {
    (value.is_number() && !value.is_integer()).then(|| f64::try_from(value.clone()).ok()).flatten()
}

/// Python's `repr` of a float: the shortest digits that parse to it.
fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(-4..16) => format!("{value:?}"),
        Ok(exponent) => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
        Err(_) => scientific,
    }
}

/// Formats a date with C's `strftime` format.
fn strftime(format: &str, now: DateTime) -> Result<String, Error> {
    // What Python gives for a date without a time zone and in the C locale, and jiff does not.
    let mut directives = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            directives.push(char);
            continue;
        }
        match chars.next() {
            Some('c') => directives.push_str("%a %b %e %H:%M:%S %Y"),
            Some('x' | 'D') => directives.push_str("%m/%d/%y"),
            Some('X') => directives.push_str("%H:%M:%S"),
            Some('f') => directives.push_str(&format!("{:06}", now.subsec_nanosecond() / 1000)),
            Some('z' | 'Z') => {}
            Some(other) => directives.extend(['%', other]),
            None => directives.push_str("%%"),
        }
    }
    strtime::format(directives.as_bytes(), now).map_err(|error| failure(format!("strftime_now({format:?}): {error}")))
}

/// Python's `%`: of a string it is formatting.
fn modulo(left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let values: Vec<Value> = if right.is_tuple() { right.try_iter()?.collect() } else { vec![right.clone()] };
        return Ok(Value::from(format(FormatStyle::Printf, text, &values)?));
    }
    let number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !number(left) || !number(right) {
        let cause = format!("tried to use % operator on unsupported types {} and {}", left.kind(), right.kind());
        return Err(failure(cause));
    }
    if float(left).is_none() && float(right).is_none() {
        let (left, right) = (i128::try_from(left.clone())?, i128::try_from(right.clone())?);
        let remainder = left.checked_rem(right).ok_or_else(|| failure("modulo by zero"))?;
        let adjusted = if remainder != 0 && (remainder < 0) != (right < 0) { remainder + right } else { remainder };
        return Ok(i64::try_from(adjusted).map_or_else(|_| Value::from(adjusted), Value::from));
    }
    let (left, right) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    if right == 0.0 {
        return Err(failure("modulo by zero"));
    }
    let remainder = left % right;
    Ok(Value::from(match remainder {
        0.0 => 0.0f64.copysign(right),
        _ if (remainder < 0.0) != (right < 0.0) => remainder + right,
        _ => remainder,
    }))
}
