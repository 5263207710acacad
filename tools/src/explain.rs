//! `kforge-opt --explain NAME`: describes an op, a type, a pass or a pipeline, as text for a terminal.
//!
//! An op is described by its section of docs/dialect.md, which a test keeps equal to TableGen's output. A pass is
//! described by its registry row and the header of its file.
//!
//! ```text
//! ### `transformer.silu`                    transformer.silu: Sigmoid linear unit
//! _Sigmoid linear unit_
//! | Operand | Description |        -->
//! | :-----: | ----------- |                Operands:
//! | `input` | ranked tensor |                input  ranked tensor
//! ```

use anyhow::{Result, bail};
use kforge_dialect::pass::{OptionInfo, OptionValue, PassInfo, PipelineInfo, PipelineOptions};
use std::fmt::Write as _;

/// The reference of the dialect in Markdown.
const DIALECT: &str = include_str!("../../docs/dialect.md");
/// Name, file and header of each pass.
const PASS_HEADERS: &[(&str, &str, &str)] = &include!(concat!(env!("OUT_DIR"), "/pass_headers.rs"));
/// Line width of the text.
const WIDTH: usize = 100;

/// The text on the op, type, attribute, pass or pipeline with a name.
///
/// # Errors
/// If there is none with this name; the message has the closest names.
pub fn explain(name: &str, passes: &[&PassInfo], pipelines: &[&PipelineInfo]) -> Result<String> {
    let bare = name.trim_start_matches(['!', '#', '-']);
    let in_dialect = bare.strip_prefix("transformer.").unwrap_or(bare);
    if let Some(section) = sections(DIALECT).into_iter().find(|section| section.name == in_dialect) {
        return Ok(section.text());
    }
    if let Some(info) = passes.iter().find(|info| info.name == bare) {
        return Ok(pass(info));
    }
    if let Some(info) = pipelines.iter().find(|info| info.name == bare) {
        return Ok(pipeline(info));
    }
    let mut names: Vec<&str> = sections(DIALECT).iter().map(|section| section.name).collect();
    names.extend(passes.iter().map(|info| info.name).chain(pipelines.iter().map(|info| info.name)));
    names.sort_by_key(|known| distance(known, in_dialect));
    names.truncate(3);
    bail!(
        "'{name}' is no op, type, pass or pipeline of KernelForge; the nearest names are {}; --help lists the passes of MLIR",
        names.join(", ")
    )
}

/// A section of the dialect's reference on an op, a type or an attribute.
pub struct Section<'t> {
    /// Without the dialect: `rope`, `quant`.
    pub name: &'t str,
    /// As in IR: `transformer.rope`, `!transformer.quant`.
    pub title: &'t str,
    body: Vec<&'t str>,
}

/// The sections of the dialect's reference.
pub fn sections(markdown: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section> = vec![];
    let mut fenced = false;
    let mut inside = false;
    for line in markdown.lines() {
        fenced ^= line.starts_with("```");
        match line.strip_prefix("### ").filter(|_| !fenced) {
            Some(heading) => {
                let title = heading.trim_matches('`');
                let name = title.rsplit('.').next().unwrap_or(title);
                sections.push(Section { name, title, body: vec![] });
                inside = true;
            }
            None if !fenced && line.starts_with('#') && !line.starts_with("####") => inside = false,
            None if inside => sections.last_mut().expect("inside a section").body.push(line),
            None => {}
        }
    }
    sections
}

impl Section<'_> {
    /// The module in its block of `mlir`, if it has exactly one.
    pub fn example(&self) -> Option<String> {
        let mut blocks = self.body.iter().enumerate().filter(|(_, line)| **line == "```mlir");
        let (start, _) = blocks.next()?;
        let lines = self.body[start + 1..].iter().take_while(|line| **line != "```");
        blocks.next().is_none().then(|| lines.map(|line| format!("{line}\n")).collect())
    }

    /// Whether it names the source of its formula.
    pub fn has_source(&self) -> bool {
        self.body.iter().any(|line| line.starts_with("Source: "))
    }

    fn text(&self) -> String {
        let summary = self.body.iter().find_map(|line| line.strip_prefix('_')?.strip_suffix('_')).unwrap_or_default();
        let body = self.body.iter().copied().filter(|line| !(line.starts_with('_') && line.ends_with('_')));
        format!("{}: {summary}\n\n{}", self.title, plain(body))
    }
}

fn pass(info: &PassInfo) -> String {
    let (_, file, header) =
        PASS_HEADERS.iter().find(|(name, ..)| *name == info.name).copied().unwrap_or((info.name, "", ""));
    let mut text = format!("{}: {}\n\nA pass on {}", info.name, info.summary, info.anchor);
    text += &if file.is_empty() { ".\n".into() } else { format!(", in {file}.\n") };
    text += "\n";
    text += &plain(header.lines());
    options(&mut text, info.options);
    let statistics = info.statistics.iter().map(|s| (s.name.to_owned(), s.summary.to_owned()));
    list(&mut text, "Statistics", &statistics.collect::<Vec<_>>());
    text
}

fn pipeline(info: &PipelineInfo) -> String {
    let mut text = format!("{}: {}\n\nA pipeline on builtin.module.\n", info.name, info.summary);
    options(&mut text, info.options);
    text += "\nPasses by default:\n";
    match (info.passes)(&PipelineOptions::defaults(info)) {
        Ok(passes) => {
            passes.passes().for_each(|pass| text += &format!("  {pass}\n"));
        }
        Err(message) => text += &format!("  none: {message}\n"),
    }
    text
}

fn options(text: &mut String, options: &[OptionInfo]) {
    let row = |o: &OptionInfo| {
        let default = match &o.default {
            OptionValue::Bool(value) => format!("flag, default {value}"),
            OptionValue::Integer(value) => format!("integer, default {value}"),
            OptionValue::Text("") => "text, default empty".into(),
            OptionValue::Text(value) => format!("text, default {value}"),
        };
        (o.name.to_owned(), format!("{} ({default})", o.summary))
    };
    list(text, "Options", &options.iter().map(row).collect::<Vec<_>>());
}

/// Markdown as plain text: code and tables indented, headings and links spelled out.
fn plain<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    let mut text = String::new();
    let mut table: Vec<(String, String)> = vec![];
    let mut fenced = false;
    for line in lines.chain([""]) {
        if !fenced && line.starts_with('|') {
            table.extend(cells(line));
            continue;
        }
        if !table.is_empty() {
            // The first row names the columns. A heading stands right above.
            text.truncate(text.trim_end().len());
            text += if text.ends_with(':') { "\n" } else { "\n\n" };
            rows(&mut text, &table[1..]);
            table.clear();
        }
        if line.starts_with("```") {
            fenced = !fenced;
            blank(&mut text);
        } else if fenced {
            text += format!("  {line}").trim_end();
            text.push('\n');
        } else if line.is_empty() {
            blank(&mut text);
        } else {
            text += &prose(line.trim_start_matches("#### "));
            text.push('\n');
        }
    }
    format!("{}\n", text.trim_end())
}

/// Appends a blank line, unless the text is empty or ends with one.
fn blank(text: &mut String) {
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
}

/// The first cell of a table's row and the others; `None` for the line below the table's head.
fn cells(line: &str) -> Option<(String, String)> {
    let line = line.replace("\\|", "\0");
    let cells: Vec<String> =
        line.trim_matches('|').split('|').map(|cell| prose(cell.trim()).replace('\0', "|")).collect();
    let (first, others) = cells.split_first()?;
    let rule = cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':')));
    let others: Vec<&str> = others.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
    (!rule).then(|| (first.clone(), others.join("; ")))
}

/// A line without Markdown markup: `[text](target)` becomes `text (target)`.
fn prose(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](") {
        let (Some((before, label)), Some((target, after))) = (before.rsplit_once('['), after.split_once(')')) else {
            break;
        };
        text += &format!("{before}{label} ({target})");
        rest = after;
    }
    (text + rest).replace('`', "")
}

/// A list under its heading.
fn list(text: &mut String, heading: &str, items: &[(String, String)]) {
    *text += &format!("\n{heading}:\n");
    if items.is_empty() {
        *text += "  none\n";
    }
    rows(text, items);
}

/// Rows of a name and a text, wrapped beside the name.
fn rows(text: &mut String, rows: &[(String, String)]) {
    let column = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, what) in rows {
        let mut line = format!("  {name:column$} ");
        for word in what.split_whitespace() {
            if line.chars().count() + word.chars().count() >= WIDTH && !line.trim().is_empty() {
                let _ = writeln!(text, "{}", line.trim_end());
                line = " ".repeat(column + 3);
            }
            line += " ";
            line += word;
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Insertions, removals and replacements of a character between two names (Levenshtein, 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_markdown_go() {
        assert_eq!(prose("see `a` in [b](c.md), x[i]"), "see a in b (c.md), x[i]");
        assert_eq!(prose("[B, S, H, D] of [b](c)"), "[B, S, H, D] of b (c)");
        assert_eq!(cells("| `a` | b\\|c |  | d |"), Some(("a".into(), "b|c; d".into())));
        assert_eq!(cells("| :-: | --- |"), None);
    }

    #[test]
    fn distances() {
        assert_eq!(
            [distance("", "abc"), distance("abc", "abc"), distance("rope", "rop"), distance("qkv", "qvk")],
            [3, 0, 1, 2]
        );
    }

    #[test]
    fn every_pass_has_a_header() {
        for info in kforge_passes::PASSES.iter().chain(kforge_lowering::PASSES) {
            assert!(
                PASS_HEADERS.iter().any(|(name, _, header)| *name == info.name && !header.is_empty()),
                "{}",
                info.name
            );
        }
    }
}
