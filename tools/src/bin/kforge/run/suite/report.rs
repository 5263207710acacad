//! The report of a run: what it holds, as JSON and as a table.

use anyhow::{Context as _, Result, bail};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use kforge_measure::Peaks;
use kforge_tools::product::Errors;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, path::Path};

/// Rises when the meaning of a field changes: reports of two versions are not compared.
pub const VERSION: u32 = 1;

/// Speed of single kernels on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "KernelForge benchmark suite")]
pub struct Report {
    /// Version of this form.
    pub schema_version: u32,
    pub versions: Versions,
    pub machine: Machine,
    /// Samples were short: fit to see that everything runs.
    pub quick: bool,
    /// False of a run that was interrupted.
    pub complete: bool,
    /// The compute roofs, measured in the same run.
    pub roofs: Peaks,
    pub rows: Vec<Row>,
}

/// What made the figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    pub kernelforge: String,
    /// Hash of the code generator's sources.
    pub generator: String,
    pub llvm: String,
    /// The compiler of this program, if it is known.
    pub rustc: Option<String>,
    /// Of the source tree that the program was built in, `-dirty` if that has changes; null elsewhere.
    pub commit: Option<String>,
}

/// Where they were measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// As the processor calls itself, or a GPU's driver calls it.
    pub cpu: String,
    /// As LLVM calls what code was generated for; of a GPU its backend, numbers and driver.
    pub target_cpu: String,
    pub os: String,
    /// Cores that the program may use.
    pub cores: u64,
    /// Threads that the kernels ran on.
    pub threads: u64,
    /// The instruction set that the kernels were generated for, or what they may use of a GPU.
    pub isa: String,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// `linear/q4_1/1x1536x576/exact`.
    pub name: String,
    /// What matrix products do to their activations: exact or fast.
    pub numerics: String,
    /// What the launches compute, in order.
    pub kernels: Vec<String>,
    pub time: Time,
    /// Operations of a call, a multiply-add being two; 0 where they are not what takes the time.
    pub operations: u64,
    /// Bytes that a call must read at least once: weights, cached keys and values, activations.
    pub bytes: u64,
    /// 1e9 operations a second, of the median; null without operations.
    pub gflops: Option<f64>,
    /// 1e9 of those bytes a second, of the median.
    pub gb_s: f64,
    /// The roof over this row.
    pub roof: Roof,
    /// Time under the roof, of the median: 1 is the machine's limit.
    pub share: f64,
    /// Against the op's formula with f32 activations on dequantised weights, sums in f64.
    pub error: Errors,
    /// Other libraries, measured in turns with this row.
    pub peers: Vec<Peer>,
}

/// Microseconds of a call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Time {
    pub median_us: f64,
    /// Median of the samples' distances from their median.
    pub mad_us: f64,
    pub min_us: f64,
    pub max_us: f64,
    pub samples: u64,
    /// Calls that a sample is the mean of.
    pub calls: u64,
}

/// The least time that a call can take: operations at the compute roof, or bytes at the read roof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Roof {
    pub by: Limit,
    pub us: f64,
    /// 1e9 bytes a second, read over and over from a footprint of the row's bytes.
    pub read_gb_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// f32 multiply-adds.
    F32,
    /// 8-bit multiply-adds.
    Int8,
    Reading,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    pub library: String,
    pub version: String,
    pub median_us: f64,
    pub min_us: f64,
    /// Its median by ours: above 1, ours is faster.
    pub ratio: f64,
    /// Its largest error, relative to the largest element.
    pub max_error: f64,
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Limit::F32 => "f32",
            Limit::Int8 => "int8",
            Limit::Reading => "reading",
        }
    }
}

/// The JSON schema of a report.
pub fn schema() -> Result<String> {
    Ok(serde_json::to_string_pretty(&schemars::schema_for!(Report))? + "\n")
}

/// Reads a report that an earlier run wrote.
///
/// # Errors
/// If the file is none, is of another version, or has times that cannot be.
pub fn read(path: &Path) -> Result<Report> {
    let place = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("{place} cannot be read"))?;
    parse(&text).with_context(|| format!("{place} is no report of bench suite that can be used"))
}

fn parse(text: &str) -> Result<Report> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    match value.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            bail!("it has schema version {version}, and this program compares version {VERSION}; measure it anew")
        }
        None => bail!("it has no schema_version"),
    }
    let report: Report = serde_json::from_value(value)?;
    let mut names = BTreeSet::new();
    for row in &report.rows {
        let Time { median_us, mad_us, min_us, max_us, .. } = row.time;
        let positive = [median_us, min_us, max_us].iter().all(|t| t.is_finite() && *t > 0.0);
        if !(positive && mad_us.is_finite() && mad_us >= 0.0) {
            bail!("the row '{}' has a time that cannot be", row.name);
        }
        if !names.insert(&row.name) {
            bail!("the row '{}' is there twice", row.name);
        }
    }
    Ok(report)
}

/// A line for each row; a column for each library that was measured too.
pub fn table(report: &Report) -> Table {
    let mut libraries: Vec<&str> = vec![];
    for peer in report.rows.iter().flat_map(|r| &r.peers) {
        if !libraries.contains(&peer.library.as_str()) {
            libraries.push(&peer.library);
        }
    }
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let header = ["case", "median us", "± MAD", "GFLOP/s", "GB/s", "roof", "of it", "rms error"];
    table.set_header(header.into_iter().chain(libraries.iter().copied()));
    for r in &report.rows {
        let time = r.time;
        let mut cells = vec![
            r.name.clone(),
            format!("{:.1}", time.median_us),
            format!("{:.1} %", 100.0 * time.mad_us / time.median_us),
            r.gflops.map_or_else(String::new, |gflops| format!("{gflops:.1}")),
            format!("{:.1}", r.gb_s),
            match r.roof.by {
                Limit::F32 | Limit::Int8 => r.roof.by.name().to_owned(),
                Limit::Reading => format!("{:.0} GB/s", r.roof.read_gb_s),
            },
            format!("{:.0} %", 100.0 * r.share),
            format!("{:.1e}", r.error.rms),
        ];
        for library in &libraries {
            let peer = r.peers.iter().find(|p| p.library == *library);
            cells.push(peer.map_or_else(String::new, |p| format!("{:.2}", p.ratio)));
        }
        table.add_row(cells);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A made-up report: names with medians, and the deviation of all.
    pub fn report(rows: &[(&str, f64)], mad: f64) -> Report {
        let row = |(name, median): &(&str, f64)| Row {
            name: (*name).into(),
            numerics: "exact".into(),
            kernels: vec!["linear".into()],
            time: Time {
                median_us: *median,
                mad_us: mad,
                min_us: median - 2.0 * mad,
                max_us: median + 2.0 * mad,
                samples: 11,
                calls: 3,
            },
            operations: 1000,
            bytes: 10,
            gflops: Some(1.0 / median),
            gb_s: 0.01 / median,
            roof: Roof { by: Limit::F32, us: 0.5 * median, read_gb_s: 20.0 },
            share: 0.5,
            error: Errors { elements: 4, max_abs: 1e-6, rms: 1e-7, reference_rms: 1.0 },
            peers: vec![],
        };
        Report {
            schema_version: VERSION,
            versions: Versions {
                kernelforge: "0.1.0".into(),
                generator: "0".into(),
                llvm: "22.1.0".into(),
                rustc: None,
                commit: None,
            },
            machine: Machine {
                cpu: "Made-up CPU".into(),
                target_cpu: "x86-64-v3".into(),
                os: "linux".into(),
                cores: 2,
                threads: 2,
                isa: "avx2".into(),
            },
            quick: false,
            complete: true,
            roofs: Peaks {
                f32_gflops: 200.0,
                f32_instruction: "vfmadd".into(),
                int8_gops: Some(400.0),
                int8_instruction: Some("vpmaddubsw".into()),
            },
            rows: rows.iter().map(row).collect(),
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = report(&[("a", 10.0), ("b", 20.0)], 0.5);
        assert_eq!(parse(&serde_json::to_string(&report).unwrap()).unwrap(), report);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let written = |change: fn(&mut Report)| {
            let mut report = report(&[("a", 10.0), ("b", 20.0)], 0.5);
            change(&mut report);
            parse(&serde_json::to_string(&report).unwrap()).map_err(|e| e.to_string())
        };
        assert!(written(|_| {}).is_ok());
        let version = written(|r| r.schema_version = 7).unwrap_err();
        assert_eq!(version, "it has schema version 7, and this program compares version 1; measure it anew");
        assert_eq!(written(|r| r.rows[1].name = "a".into()).unwrap_err(), "the row 'a' is there twice");
        for change in [
            |r: &mut Report| r.rows[1].time.median_us = 0.0,
            |r: &mut Report| r.rows[1].time.min_us = -1.0,
            |r: &mut Report| r.rows[1].time.mad_us = -1.0,
        ] {
            assert_eq!(written(change).unwrap_err(), "the row 'b' has a time that cannot be");
        }
        assert_eq!(parse("{}").unwrap_err().to_string(), "it has no schema_version");
        assert!(parse("{\"schema_version\": 1}").unwrap_err().to_string().contains("missing field"));
        assert!(parse("[").is_err());
    }

    #[test]
    fn the_table_has_a_column_for_each_library() {
        let mut report = report(&[("a", 10.0), ("b", 20.0)], 0.5);
        report.rows[1].peers.push(Peer {
            library: "other".into(),
            version: "1".into(),
            median_us: 30.0,
            min_us: 29.0,
            ratio: 1.5,
            max_error: 1e-7,
        });
        let table = table(&report).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].ends_with("| other |"), "{table}");
        assert!(lines[2].starts_with("| a ") && lines[2].ends_with("|       |"), "{table}");
        assert!(lines[3].starts_with("| b ") && lines[3].ends_with("|  1.50 |"), "{table}");
    }
}
