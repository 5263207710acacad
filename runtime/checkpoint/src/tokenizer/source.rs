//! Rewrites constructs of transformers' templates that minijinja lacks.
//!
//! | written | becomes | since |
//! |---|---|---|
//! | `{% generation %}`, `{% endgeneration %}` | `{% with %}`, `{% endwith %}` | transformers' own tag; it marks what the assistant said and prints its body |
//! | `{% for x in y %}` | `{% for x in __iterate__(y) %}` | going over none is an error, not nothing; and minijinja knows the length of a list only |
//! | `a % b` | `__modulo__(a, b)` | of a string it is formatting; minijinja's operator takes numbers only |
//!
//! Everything else is kept byte for byte, including lines. After a syntax error the rest of a template is left
//! unchanged.

/// The function that stands for `%`.
pub(super) const MODULO: &str = "__modulo__";
/// The function that wraps the iterable of a loop.
pub(super) const ITERATE: &str = "__iterate__";

/// Maximum operators per tag, more than in any handwritten template. Each is searched for through the whole tag.
const MOST_OPERATORS: usize = 64;

pub(super) fn rewrite(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        if !["{#", "{{", "{%"].iter().any(|start| tag.starts_with(start)) {
            out.push('{');
            rest = &tag[1..];
            continue;
        }
        let Some((length, rewritten)) = read_tag(tag) else { return out + tag };
        out.push_str(&rewritten);
        rest = &tag[length..];
    }
    out + rest
}

/// The length of the comment, block, expression or raw text at the start of `source`, and its rewritten text.
fn read_tag(source: &str) -> Option<(usize, String)> {
    let same = |length: usize| Some((length, source[..length].to_owned()));
    match source.as_bytes().get(..2)? {
        b"{#" => same(source.find("#}")? + 2),
        b"{{" => {
            let tokens = tokens(&source[2..], "}}")?;
            Some(assemble(source, tokens, "}}"))
        }
        b"{%" => {
            let tokens = tokens(&source[2..], "%}")?;
            let names: Vec<&str> =
                tokens.iter().map(|token| token.text).filter(|text| !matches!(*text, "" | "-" | "+")).collect();
            match names[..] {
                ["raw"] => {
                    let (length, _) = assemble(source, tokens, "%}");
                    // Up to the tag that ends it.
                    let mut at = length;
                    loop {
                        at += source[at..].find("{%")?;
                        let tag = source[at + 2..].trim_start_matches(['-', '+']).trim_start();
                        if tag.starts_with("endraw") {
                            return same(at + source[at..].find("%}")? + 2);
                        }
                        at += 2;
                    }
                }
                ["generation"] | ["endgeneration"] => {
                    let (length, _) = assemble(source, tokens, "%}");
                    Some((length, source[..length].replace("generation", "with")))
                }
                _ => Some(assemble(source, tokens, "%}")),
            }
        }
        _ => None,
    }
}

/// A token of an expression, and the blanks before it.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    blanks: &'a str,
    text: &'a str,
}

/// The tokens of `source` up to `end`; none if that does not come, or something is not a token.
fn tokens<'a>(source: &'a str, end: &str) -> Option<Vec<Token<'a>>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut depth = 0usize;
    loop {
        let start = at + source[at..].find(|char: char| !char.is_whitespace())?;
        let rest = &source[start..];
        // A brace that closes a map is not the end: {{ {'a': {}} }}.
        if depth == 0 && rest.starts_with(end) {
            tokens.push(Token { blanks: &source[at..start], text: &source[start..start] });
            return Some(tokens);
        }
        let first = rest.chars().next()?;
        let length = match first {
            '"' | '\'' => {
                let mut escaped = false;
                1 + rest[1..].find(|char| match (escaped, char) {
                    (true, _) => {
                        escaped = false;
                        false
                    }
                    (false, '\\') => {
                        escaped = true;
                        false
                    }
                    (false, char) => char == first,
                })? + 1
            }
            _ if first.is_alphanumeric() || first == '_' => {
                rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(rest.len())
            }
            _ => ["**", "//", "==", "!=", "<=", ">="]
                .iter()
                .find(|op| rest.starts_with(**op))
                .map_or(first.len_utf8(), |op| op.len()),
        };
        match first {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        tokens.push(Token { blanks: &source[at..start], text: &rest[..length] });
        at = start + length;
    }
}

/// The tag of these tokens, with `%` rewritten: its length, and its text.
fn assemble(source: &str, tokens: Vec<Token>, end: &str) -> (usize, String) {
    let length = 2 + tokens.iter().map(|token| token.blanks.len() + token.text.len()).sum::<usize>() + end.len();
    let mut parts: Vec<String> = tokens.iter().map(|token| format!("{}{}", token.blanks, token.text)).collect();
    let operators: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].text == "%").collect();
    for at in operators.into_iter().take(MOST_OPERATORS) {
        let (left, right) = (start_of_operand(&tokens, at), end_of_operand(&tokens, at + 1));
        if left == at || right == at + 1 {
            continue;
        }
        // Left to right, so an operand that was rewritten is inside.
        let blanks = tokens[left].blanks;
        parts[left] = format!("{blanks}{MODULO}({}", &parts[left][blanks.len()..]);
        parts[at] = ",".to_owned();
        parts[right - 1].push(')');
    }
    if let Some((from, to)) = loop_operand(&tokens) {
        let blanks = tokens[from].blanks;
        parts[from] = format!("{blanks}{ITERATE}({}", &parts[from][blanks.len()..]);
        parts[to - 1].push(')');
    }
    (length, format!("{}{}{end}", &source[..2], parts.concat()))
}

/// The token range of a loop's iterable, if this is the tag of a loop.
fn loop_operand(tokens: &[Token]) -> Option<(usize, usize)> {
    let first = tokens.iter().position(|token| !matches!(token.text, "-" | "+"))?;
    if tokens[first].text != "for" {
        return None;
    }
    let from = tokens.iter().position(|token| token.text == "in")? + 1;
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            // The last token is empty, or the blank control before the end.
            "if" | "recursive" | "" if depth == 0 => return (at > from).then_some((from, at)),
            "-" | "+" if depth == 0 && at + 2 == tokens.len() => return (at > from).then_some((from, at)),
            _ => {}
        }
    }
    None
}

const KEYWORDS: [&str; 14] =
    ["and", "or", "not", "in", "is", "if", "else", "elif", "set", "for", "do", "recursive", "filter", "call"];

fn is_operand(token: &str) -> bool {
    let first = token.chars().next();
    !KEYWORDS.contains(&token) && first.is_some_and(|char| char.is_alphanumeric() || matches!(char, '_' | '"' | '\''))
}

/// The token where the left operand of the operator at `at` begins: factors, products and quotients before it.
fn start_of_operand(tokens: &[Token], at: usize) -> usize {
    let mut start = at;
    loop {
        // A factor: something in brackets or a name, what it is a part of, and filters.
        let Some(mut first) = start_of_factor(tokens, start) else { return start };
        while is_sign(tokens, first) {
            first -= 1;
        }
        start = first;
        match start.checked_sub(1).map(|before| tokens[before].text) {
            Some("*" | "/" | "//" | "%" | "**") => start -= 1,
            _ => return start,
        }
    }
}

/// Whether the token before `at` is a sign, and neither an operator nor the blank control of the tag.
fn is_sign(tokens: &[Token], at: usize) -> bool {
    match at.checked_sub(1).map(|sign| (sign, &tokens[sign])) {
        Some((0, token)) => matches!(token.text, "-" | "+") && !token.blanks.is_empty(),
        Some((sign, token)) => matches!(token.text, "-" | "+") && !ends_operand(tokens[sign - 1].text),
        None => false,
    }
}

fn ends_operand(token: &str) -> bool {
    is_operand(token) || matches!(token, ")" | "]" | "}")
}

/// Where the factor that ends before `end` begins.
fn start_of_factor(tokens: &[Token], end: usize) -> Option<usize> {
    let mut at = end;
    loop {
        let last = at.checked_sub(1)?;
        if matches!(tokens[last].text, ")" | "]" | "}") {
            let mut depth = 0usize;
            at = (0..=last).rev().find(|i| {
                match tokens[*i].text {
                    ")" | "]" | "}" => depth += 1,
                    "(" | "[" | "{" => depth -= 1,
                    _ => {}
                }
                depth == 0
            })?;
            // What is called or indexed belongs to it.
            if at > 0 && tokens[at].text != "{" && ends_operand(tokens[at - 1].text) {
                continue;
            }
        } else if is_operand(tokens[last].text) {
            at = last;
        } else {
            return None;
        }
        match at.checked_sub(1).map(|before| tokens[before].text) {
            Some("." | "|") => at -= 1,
            _ => return Some(at),
        }
    }
}

/// The token after the right operand that begins at `from`.
fn end_of_operand(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while tokens.get(at).is_some_and(|token| matches!(token.text, "-" | "+")) {
        at += 1;
    }
    match tokens.get(at).map(|token| token.text) {
        Some("(" | "[" | "{") => at = after_bracket(tokens, at),
        Some(token) if is_operand(token) => at += 1,
        _ => return from,
    }
    loop {
        match tokens.get(at).map(|token| token.text) {
            Some("(" | "[") => at = after_bracket(tokens, at),
            Some("." | "|" | "**") => at += 2,
            _ => return at.min(tokens.len() - 1),
        }
    }
}

/// The token after the bracket that `at` opens.
fn after_bracket(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_found() {
        for (written, rewritten) in [
            ("{{ a % b }}", "{{ __modulo__(a, b) }}"),
            ("{{ a.b[0] | f(1) % -c.d() == 0 }}", "{{ __modulo__(a.b[0] | f(1), -c.d()) == 0 }}"),
            ("{{ 1 + 2 * a % b % c }}", "{{ 1 + __modulo__(__modulo__(2 * a, b), c) }}"),
            ("{{- -a % (b % 2) -}}", "{{- __modulo__(-a, (__modulo__(b, 2))) -}}"),
            ("{%- if not a % 2 %}", "{%- if not __modulo__(a, 2) %}"),
            ("{{ '%' ~ \"%}\" }} 5 % 2 {# a % b #}", "{{ '%' ~ \"%}\" }} 5 % 2 {# a % b #}"),
            ("{%- for x in a[1:] if x -%}", "{%- for x in __iterate__(a[1:]) if x -%}"),
            ("{% for k, v in a.items() recursive %}", "{% for k, v in __iterate__(a.items()) recursive %}"),
            ("{% generation %}x{%- endgeneration -%}", "{% with %}x{%- endwith -%}"),
            ("{% raw %}{% generation %}{{ a % b }}{% endraw %}{", "{% raw %}{% generation %}{{ a % b }}{% endraw %}{"),
        ] {
            assert_eq!(rewrite(written), rewritten);
        }
    }

    /// Quadratic work would take minutes.
    #[test]
    fn long_templates_are_read_once() {
        for part in ["{", "{{", "{%", "{#", "{% raw %}", "{{ a }}", "{{ '"] {
            let source = part.repeat(300_000);
            assert!(rewrite(&source).len() >= source.len());
        }
        let tag = format!("{{{{ a{} }}}}", " % a".repeat(100_000));
        assert!(rewrite(&tag).len() >= tag.len());
    }
}
