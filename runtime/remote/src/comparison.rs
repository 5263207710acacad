//! Comparison of our answer with a server's.

use crate::{
    agreement::{Agreement, agreement},
    answer::Answer,
    server::Server,
};
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use std::{fmt, time::Duration};

const WIDTH: u16 = 120;

/// One answer. Times are in seconds from the question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    pub name: String,
    pub text: String,
    pub tokens: Option<usize>,
    pub first_token_s: f64,
    pub total_s: f64,
    /// Tokens after the first, over the time after the first. `None` where that time is zero or the count unknown.
    pub tokens_per_s: Option<f64>,
    pub finish: Option<String>,
}

/// Both answers to one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub ours: Side,
    pub theirs: Side,
    pub agreement: Agreement,
}

impl Side {
    /// An answer made here.
    pub fn local(
        name: impl Into<String>,
        text: impl Into<String>,
        tokens: usize,
        first_token: Duration,
        total: Duration,
        finish: impl Into<String>,
    ) -> Side {
        Side {
            name: name.into(),
            text: text.into(),
            tokens: Some(tokens),
            first_token_s: first_token.as_secs_f64(),
            total_s: total.as_secs_f64(),
            tokens_per_s: rate(Some(tokens), first_token, total),
            finish: Some(finish.into()),
        }
    }

    /// A server's answer. Its times include the network.
    pub fn remote(server: &Server, answer: &Answer) -> Side {
        Side {
            name: format!("{} at {}", answer.model, server.base()),
            text: answer.text.clone(),
            tokens: answer.tokens,
            first_token_s: answer.time_to_first.as_secs_f64(),
            total_s: answer.total.as_secs_f64(),
            tokens_per_s: rate(answer.tokens, answer.time_to_first, answer.total),
            finish: answer.finish.clone(),
        }
    }
}

fn rate(tokens: Option<usize>, first: Duration, total: Duration) -> Option<f64> {
    let decode = total.checked_sub(first).filter(|time| !time.is_zero())?;
    Some(tokens?.checked_sub(1)? as f64 / decode.as_secs_f64())
}

impl Comparison {
    pub fn new(ours: Side, theirs: Side) -> Comparison {
        let agreement = agreement(&ours.text, &theirs.text);
        Comparison { ours, theirs, agreement }
    }
}

/// A table with a column per side, and a line on their agreement.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        let row = |label: &str, cell: fn(&Side) -> String| {
            [label.to_owned(), printable(&cell(&self.ours)), printable(&cell(&self.theirs))]
        };
        table.set_header(row("", |side| side.name.clone()));
        table.add_row(row("answer", |side| side.text.clone()));
        table.add_row(row("tokens", |side| known(side.tokens.map(|tokens| tokens.to_string()))));
        table.add_row(row("first token", |side| format!("{:.3} s", side.first_token_s)));
        table.add_row(row("total", |side| format!("{:.3} s", side.total_s)));
        table.add_row(row("tokens/s", |side| known(side.tokens_per_s.map(|rate| format!("{rate:.1}")))));
        table.add_row(row("stopped by", |side| known(side.finish.clone())));
        writeln!(f, "{table}")?;
        write!(f, "{}", self.agreement)
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.identical {
            return write!(f, "the answers are identical");
        }
        let Agreement { characters, words, similarity, .. } = self;
        write!(f, "equal up to character {characters} (word {words}); similarity {similarity:.3}")
    }
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "not known".to_owned())
}

/// Removes control characters other than newlines: a server's escape sequences must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn comparison(text: &str) -> Comparison {
        let ours = Side::local("m here", "a b c", 3, Duration::from_millis(500), Duration::from_millis(1500), "stop");
        let server = Server::new("http://a/v1", None, None).unwrap();
        let answer = Answer {
            text: text.to_owned(),
            tokens: None,
            time_to_first: Duration::from_millis(250),
            total: Duration::from_millis(250),
            finish: None,
            model: "m".to_owned(),
            retries: 0,
        };
        Comparison::new(ours, Side::remote(&server, &answer))
    }

    #[test]
    fn a_table_shows_both_sides_and_no_escape_sequence() {
        let expected = "\
┌─────────────┬─────────┬──────────────────┐
│             ┆ m here  ┆ m at http://a/v1 │
╞═════════════╪═════════╪══════════════════╡
│ answer      ┆ a b c   ┆ a b              │
│             ┆         ┆  [31md           │
│ tokens      ┆ 3       ┆ not known        │
│ first token ┆ 0.500 s ┆ 0.250 s          │
│ total       ┆ 1.500 s ┆ 0.250 s          │
│ tokens/s    ┆ 2.0     ┆ not known        │
│ stopped by  ┆ stop    ┆ not known        │
└─────────────┴─────────┴──────────────────┘
equal up to character 3 (word 2); similarity 0.667";
        assert_eq!(comparison("a b\n\x1b[31md").to_string(), expected);
        assert!(comparison("a b c").to_string().ends_with("\nthe answers are identical"));
    }

    #[test]
    fn json_has_both_sides_and_their_agreement() {
        let expected = json!({
            "ours": {
                "name": "m here", "text": "a b c", "tokens": 3, "first_token_s": 0.5, "total_s": 1.5,
                "tokens_per_s": 2.0, "finish": "stop",
            },
            "theirs": {
                "name": "m at http://a/v1", "text": "a b x", "tokens": null, "first_token_s": 0.25, "total_s": 0.25,
                "tokens_per_s": null, "finish": null,
            },
            "agreement": {
                "identical": false, "characters": 4, "words": 2, "similarity": 1.0 - 1.0 / 3.0,
            },
        });
        assert_eq!(serde_json::to_value(comparison("a b x")).unwrap(), expected);
    }

    #[test]
    fn a_rate_needs_a_count_and_a_time() {
        let (second, two) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(rate(Some(9), second, two), Some(8.0));
        for (tokens, first, total) in
            [(None, second, two), (Some(9), two, two), (Some(9), two, second), (Some(0), second, two)]
        {
            assert_eq!(rate(tokens, first, total), None);
        }
    }
}
