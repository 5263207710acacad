//! Whether a run is slower than an earlier one, beyond the noise of both.
//!
//! A row has regressed if all of these hold; it has improved if the same holds the other way round:
//!
//! * its median exceeds the baseline's by more than the tolerance,
//! * and by more than the sum of three standard deviations of each run, a standard deviation being 1.4826 times the median
//!   absolute deviation (as for a normal distribution),
//! * and its fastest sample is slower than the baseline's median: a run that was disturbed half of the time has fast
//!   samples too.

use super::report::{Machine, Report, Row};
use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

/// Standard deviations of both runs.
const SIGMAS: f64 = 3.0;
/// Standard deviation of a normal distribution divided by its median absolute deviation.
const SIGMA_BY_MAD: f64 = 1.4826;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Faster,
    Slower,
}

/// A row that is in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub name: String,
    pub before_us: f64,
    pub after_us: f64,
    /// Allowed difference of the medians.
    pub noise_us: f64,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    pub rows: Vec<Change>,
    /// Rows that only the new run has, and rows that only the baseline has.
    pub added: Vec<String>,
    pub missing: Vec<String>,
    /// Reasons to doubt the verdicts.
    pub warnings: Vec<String>,
}

impl Changes {
    pub fn regressions(&self) -> impl Iterator<Item = &Change> {
        self.rows.iter().filter(|c| c.verdict == Verdict::Slower)
    }
}

/// Checks that figures of two machines are comparable.
///
/// # Errors
/// Lists each difference.
pub fn same_machine(before: &Machine, after: &Machine) -> Result<()> {
    let number = |n: u64| n.to_string();
    let facts = [
        ("CPU", before.cpu.clone(), after.cpu.clone()),
        ("instruction set", before.isa.clone(), after.isa.clone()),
        ("threads", number(before.threads), number(after.threads)),
    ];
    let differences: Vec<String> = facts
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(what, before, after)| format!("{what} {before}, here {after}"))
        .collect();
    if !differences.is_empty() {
        bail!("the baseline is of another machine ({}); measure one on this", differences.join("; "));
    }
    Ok(())
}

/// Compares the rows that both have; `tolerance` is a fraction.
///
/// # Errors
/// If there is none.
pub fn compare(before: &Report, after: &Report, tolerance: f64) -> Result<Changes> {
    let find = |report: &'_ Report, name: &str| report.rows.iter().any(|r| r.name == name);
    let only = |one: &Report, other: &Report| {
        one.rows.iter().filter(|r| !find(other, &r.name)).map(|r| r.name.clone()).collect::<Vec<_>>()
    };
    let rows: Vec<Change> = after
        .rows
        .iter()
        .filter_map(|new| before.rows.iter().find(|old| old.name == new.name).map(|old| change(old, new, tolerance)))
        .collect();
    if rows.is_empty() {
        bail!("the baseline has none of these rows");
    }
    let mut warnings = vec![];
    let (old, new) = (before.roofs.f32_gflops, after.roofs.f32_gflops);
    if (old - new).abs() > tolerance * old {
        warnings.push(format!(
            "the f32 peak is {new:.0} GFLOP/s, the baseline's was {old:.0}: the machine is busy, or at another clock"
        ));
    }
    for (which, report) in [("baseline", before), ("new run", after)] {
        if report.quick {
            warnings.push(format!("the {which} was made with --quick: its samples are short"));
        }
        if !report.complete {
            warnings.push(format!("the {which} was interrupted: it has not every row"));
        }
    }
    Ok(Changes { rows, added: only(after, before), missing: only(before, after), warnings })
}

fn change(old: &Row, new: &Row, tolerance: f64) -> Change {
    let (before, after) = (old.time, new.time);
    let sigmas = SIGMAS * SIGMA_BY_MAD * (before.mad_us + after.mad_us);
    let slower = |from: f64, to: f64, fastest: f64| to - from > (tolerance * from).max(sigmas) && fastest > from;
    let verdict = if slower(before.median_us, after.median_us, after.min_us) {
        Verdict::Slower
    } else if slower(after.median_us, before.median_us, before.min_us) {
        Verdict::Faster
    } else {
        Verdict::Same
    };
    Change {
        name: new.name.clone(),
        before_us: before.median_us,
        after_us: after.median_us,
        noise_us: sigmas.max(tolerance * before.median_us),
        verdict,
    }
}

/// One line per row that is in both.
pub fn table(changes: &Changes) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["case", "baseline us", "now us", "change", "noise", ""]);
    for c in &changes.rows {
        table.add_row([
            c.name.clone(),
            format!("{:.1}", c.before_us),
            format!("{:.1}", c.after_us),
            format!("{:+.1} %", 100.0 * (c.after_us / c.before_us - 1.0)),
            format!("{:.1} %", 100.0 * c.noise_us / c.before_us),
            match c.verdict {
                Verdict::Same => String::new(),
                Verdict::Faster => "faster".into(),
                Verdict::Slower => "SLOWER".into(),
            },
        ]);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{super::report::tests::report, *};

    const FIVE: f64 = 0.05;

    fn verdict(before: (f64, f64), after: (f64, f64)) -> Verdict {
        let run = |(median, mad)| report(&[("a", median)], mad);
        compare(&run(before), &run(after), FIVE).unwrap().rows[0].verdict
    }

    #[test]
    fn a_regression_fails_and_noise_passes() {
        // Quiet runs: 5 % is the limit, both ways.
        assert_eq!(verdict((100.0, 0.1), (106.0, 0.1)), Verdict::Slower);
        assert_eq!(verdict((100.0, 0.1), (104.0, 0.1)), Verdict::Same);
        assert_eq!(verdict((106.0, 0.1), (100.0, 0.1)), Verdict::Faster);
        assert_eq!(verdict((104.0, 0.1), (100.0, 0.1)), Verdict::Same);
        // 3 x 1.4826 x (1 + 2) is 13.3: noise of either run counts.
        assert_eq!(verdict((100.0, 1.0), (112.0, 2.0)), Verdict::Same);
        assert_eq!(verdict((100.0, 2.0), (112.0, 1.0)), Verdict::Same);
        assert_eq!(verdict((100.0, 1.0), (114.0, 2.0)), Verdict::Slower);
        assert_eq!(verdict((100.0, 5.0), (200.0, 5.0)), Verdict::Slower);
    }

    #[test]
    fn a_disturbed_run_is_no_regression() {
        let before = report(&[("a", 100.0)], 0.1);
        let mut after = report(&[("a", 150.0)], 0.1);
        assert_eq!(compare(&before, &after, FIVE).unwrap().regressions().count(), 1);
        after.rows[0].time.min_us = 99.0;
        assert_eq!(compare(&before, &after, FIVE).unwrap().regressions().count(), 0);
    }

    #[test]
    fn rows_are_matched_by_name() {
        let before = report(&[("a", 10.0), ("b", 10.0), ("gone", 1.0)], 0.1);
        let after = report(&[("b", 20.0), ("new", 1.0), ("a", 10.0)], 0.1);
        let changes = compare(&before, &after, FIVE).unwrap();
        let slower: Vec<&str> = changes.regressions().map(|c| c.name.as_str()).collect();
        assert_eq!(slower, ["b"]);
        assert_eq!((changes.added, changes.missing), (vec!["new".to_owned()], vec!["gone".to_owned()]));
        assert!(compare(&report(&[("x", 1.0)], 0.1), &after, FIVE).is_err());
    }

    #[test]
    fn another_machine_is_refused_and_another_clock_is_named() {
        let (before, mut after) = (report(&[("a", 10.0)], 0.1), report(&[("a", 10.0)], 0.1));
        assert!(same_machine(&before.machine, &after.machine).is_ok());
        assert!(compare(&before, &after, FIVE).unwrap().warnings.is_empty());
        after.roofs.f32_gflops = 150.0;
        after.quick = true;
        let warnings = compare(&before, &after, FIVE).unwrap().warnings.join("\n");
        assert!(warnings.contains("150 GFLOP/s, the baseline's was 200") && warnings.contains("new run was made with"));
        after.machine.threads = 4;
        after.machine.cpu = "Other".into();
        let message = same_machine(&before.machine, &after.machine).unwrap_err().to_string();
        let expected =
            "the baseline is of another machine (CPU Made-up CPU, here Other; threads 2, here 4); measure one on this";
        assert_eq!(message, expected);
    }
}
