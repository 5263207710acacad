//! Measurements on disk: one row for each candidate of a problem in an environment.
//!
//! SQLite in WAL mode, so that several processes read and write at once and a killed one loses no more than the row that
//! it was writing. A winner is not stored: it follows from the rows, so no row can claim to be it. A directory that
//! cannot be written is read as it is.

use crate::environment::Environment;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Version of the tables.
const SCHEMA: i64 = 1;

/// The file in the cache directory.
pub const FILE: &str = "tuning.db";

/// How long a process waits for another's row.
const PATIENCE: Duration = Duration::from_secs(10);

/// What went wrong, with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the tuning database {path} cannot be used: {message}")]
    Database { path: PathBuf, message: String, busy: bool },
    #[error(
        "the tuning database {path} was written by another version (tables {found}, this program knows {SCHEMA}); use another KFORGE_CACHE, or move it away"
    )]
    Version { path: PathBuf, found: i64 },
}

type Result<T> = std::result::Result<T, Error>;

/// One candidate of one problem in one environment, measured or failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// [`kforge_passes::tiles::problem::key`] of the problem.
    pub key: String,
    /// [`Environment::id`].
    pub environment: String,
    pub tile: Vec<usize>,
    /// Hash of the object that the candidate became; empty where it did not compile.
    pub code: String,
    /// Microseconds of each round.
    pub samples: Vec<f64>,
    /// Its time as a part of the default's, both measured in turns; absent for a failure.
    pub ratio: Option<f64>,
    /// Why it is no candidate after all.
    pub failure: Option<String>,
    /// The rules that admitted it.
    pub predicate: String,
    /// Largest absolute error against the reference semantics.
    pub error: f64,
    /// Share of the roof: its operations at the peak, or its weights at the read roof.
    pub share: f64,
    /// Seconds since 1970.
    pub recorded: i64,
}

impl Row {
    /// The median, in microseconds; NaN without samples.
    pub fn median(&self) -> f64 {
        kforge_measure::median(&self.samples)
    }

    /// Half the distance between the quartiles, as a part of the median.
    pub fn spread(&self) -> f64 {
        kforge_measure::spread(&self.samples)
    }

    /// Whether the numbers are such as a measurement can give: a row may come from anywhere.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> std::result::Result<(), String> {
        let positive = |v: &f64| v.is_finite() && *v > 0.0;
        if self.failure.is_some() {
            return Ok(());
        }
        if !self.ratio.as_ref().is_some_and(positive) {
            return Err("its ratio is no positive number".into());
        }
        if self.samples.is_empty() || !self.samples.iter().all(positive) {
            return Err("its samples are no positive numbers".into());
        }
        if !self.error.is_finite() || !self.share.is_finite() {
            return Err("its error or share is no number".into());
        }
        Ok(())
    }
}

/// A row with what its hashes stand for: a line of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    #[serde(flatten)]
    pub row: Row,
    pub problem: String,
    pub machine: Environment,
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    connection: Connection,
    writable: bool,
}

impl Database {
    /// Opens or makes the database of a cache directory; where that cannot be written, one that is there is read.
    ///
    /// # Errors
    /// If the file is no database, of another version, or there is none and none can be made.
    pub fn open(directory: &Path) -> Result<Database> {
        let path = directory.join(FILE);
        let made = std::fs::create_dir_all(directory);
        match Self::open_file(&path) {
            Ok(database) => Ok(database),
            Err(_) if path.exists() && !is_writable(directory) => Self::open_read_only(&path),
            Err(Error::Database { path, busy, .. }) if made.is_ok() && !path.exists() && !is_writable(directory) => {
                let message =
                    "there is none yet, and its directory cannot be written; set KFORGE_CACHE to one that can";
                Err(Error::Database { path, message: message.into(), busy })
            }
            Err(Error::Database { path, message, busy }) => {
                let message = made.err().map_or(message, |e| format!("its directory cannot be made: {e}"));
                Err(Error::Database { path, message, busy })
            }
            Err(error) => Err(error),
        }
    }

    /// Opens or makes a database for reading and writing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_file(path: &Path) -> Result<Database> {
        let connection = Connection::open(path).map_err(|e| fail(path, &e))?;
        let database = Database { path: path.to_owned(), connection, writable: true };
        database.connection.busy_timeout(PATIENCE).map_err(|e| database.fail(&e))?;
        let begin = Instant::now();
        while database.version()? != SCHEMA {
            match database.make_tables() {
                // Two processes that change the journal's mode at once do not wait for each other.
                Err(error @ Error::Database { busy: true, .. }) if begin.elapsed() > PATIENCE => return Err(error),
                Err(Error::Database { busy: true, .. }) => thread::sleep(Duration::from_millis(10)),
                made => made?,
            }
        }
        Ok(database)
    }

    /// Opens a database that nobody writes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_read_only(path: &Path) -> Result<Database> {
        let escaped: String = path
            .display()
            .to_string()
            .chars()
            .map(|c| if "?#%".contains(c) { format!("%{:02x}", c as u32) } else { c.to_string() })
            .collect();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        // Without write access there is no log beside the file to look into.
        let connection =
            Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags).map_err(|e| fail(path, &e))?;
        let database = Database { path: path.to_owned(), connection, writable: false };
        match database.version()? {
            SCHEMA => Ok(database),
            found => Err(Error::Version { path: path.to_owned(), found }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_writable(&self) -> bool {
        self.writable
    }

    fn version(&self) -> Result<i64> {
        self.connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|e| self.fail(&e))
    }

    /// Makes the tables of an empty file; of several processes that try, one does.
    fn make_tables(&self) -> Result<()> {
        let mode = |mode: &rusqlite::Row| mode.get::<_, String>(0);
        self.connection.query_row("PRAGMA journal_mode = WAL", [], mode).map_err(|e| self.fail(&e))?;
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| self.fail(&e))?;
        let made = match self.version() {
            Ok(SCHEMA) => Ok(()),
            Ok(0) => self
                .connection
                .execute_batch(&format!(
                    "CREATE TABLE problem (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
                     CREATE TABLE environment (id TEXT PRIMARY KEY, text TEXT NOT NULL, roofs TEXT) WITHOUT ROWID;
                     CREATE TABLE candidate (
                         key TEXT NOT NULL, environment TEXT NOT NULL, tile TEXT NOT NULL, code TEXT NOT NULL,
                         row TEXT NOT NULL, PRIMARY KEY (key, environment, tile, code)) WITHOUT ROWID;
                     PRAGMA user_version = {SCHEMA};"
                ))
                .map_err(|e| self.fail(&e)),
            Ok(found) => Err(Error::Version { path: self.path.clone(), found }),
            Err(error) => Err(error),
        };
        let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.connection.execute_batch(end).map_err(|e| self.fail(&e));
        made.and(ended)
    }

    fn fail(&self, error: &rusqlite::Error) -> Error {
        fail(&self.path, error)
    }

    /// Rows of a problem in an environment, in a fixed order. A row that does not parse, or is
    /// another's, is left out, with a warning.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn rows(&self, key: &str, environment: &str) -> Result<Vec<Row>> {
        let query = "SELECT row FROM candidate WHERE key = ?1 AND environment = ?2 ORDER BY tile, code";
        let texts = self.texts(query, params![key, environment])?;
        let rows = texts.iter().filter_map(|text| serde_json::from_str::<Row>(text).ok());
        let rows: Vec<Row> = rows.filter(|row| row.key == key && row.environment == environment).collect();
        self.left_out(texts.len() - rows.len());
        Ok(rows)
    }

    /// Everything, as an export has it.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn lines(&self) -> Result<Vec<Line>> {
        let query = "SELECT candidate.row, problem.text, environment.text FROM candidate
                     JOIN problem ON problem.key = candidate.key
                     JOIN environment ON environment.id = candidate.environment
                     ORDER BY candidate.environment, candidate.key, candidate.tile, candidate.code";
        let mut statement = self.connection.prepare(query).map_err(|e| self.fail(&e))?;
        let found = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))
            .map_err(|e| self.fail(&e))?;
        let (mut lines, mut unreadable) = (vec![], 0);
        for texts in found {
            let (row, problem, machine) = texts.map_err(|e| self.fail(&e))?;
            if let (Ok(row), Ok(machine)) = (serde_json::from_str(&row), serde_json::from_str(&machine)) {
                lines.push(Line { row, problem, machine });
            } else {
                unreadable += 1;
            }
        }
        self.left_out(unreadable);
        Ok(lines)
    }

    fn left_out(&self, rows: usize) {
        if rows > 0 {
            let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
            crate::warn(&format!("{}: {rows} cannot be read and are left out", self.path.display()));
        }
    }

    /// A hash of all that decides choices in an environment; empty where nothing does.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn fingerprint(&self, environment: &str) -> Result<String> {
        let query = "SELECT row FROM candidate WHERE environment = ?1 ORDER BY key, tile, code";
        let texts = self.texts(query, params![environment])?;
        if texts.is_empty() {
            return Ok(String::new());
        }
        let mut hasher = blake3::Hasher::new();
        texts.iter().for_each(|text| {
            hasher.update(text.as_bytes());
        });
        Ok(hasher.finalize().to_hex()[..16].to_owned())
    }

    fn texts(&self, query: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Vec<String>> {
        let mut statement = self.connection.prepare_cached(query).map_err(|e| self.fail(&e))?;
        let rows = statement.query_map(parameters, |row| row.get(0)).map_err(|e| self.fail(&e))?;
        rows.collect::<rusqlite::Result<_>>().map_err(|e| self.fail(&e))
    }

    /// Adds or replaces a row, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written; what was there stays.
    pub fn put(&mut self, line: &Line) -> Result<()> {
        self.put_all(std::slice::from_ref(line))
    }

    /// The same for many rows: all or none.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_all(&mut self, lines: &[Line]) -> Result<()> {
        let path = self.path.clone();
        let write = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for Line { row, problem, machine } in lines {
                let json = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
                let (text, tile) = (serde_json::to_string(row).map_err(json)?, tile_text(&row.tile));
                let machine = serde_json::to_string(machine).map_err(json)?;
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO problem (key, text) VALUES (?1, ?2)")?
                    .execute(params![row.key, problem])?;
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO environment (id, text) VALUES (?1, ?2)")?
                    .execute(params![row.environment, machine])?;
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO candidate (key, environment, tile, code, row) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![row.key, row.environment, tile, row.code, text])?;
            }
            transaction.commit()
        };
        write(&mut self.connection).map_err(|e| fail(&path, &e))
    }

    /// The roofs measured in an environment, as they were stored.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn roofs(&self, environment: &str) -> Result<Option<String>> {
        let query = "SELECT roofs FROM environment WHERE id = ?1";
        let found = self.connection.query_row(query, [environment], |row| row.get::<_, Option<String>>(0)).optional();
        found.map(Option::flatten).map_err(|e| self.fail(&e))
    }

    /// Stores roofs.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_roofs(&self, machine: &Environment, roofs: &str) -> Result<()> {
        let text = serde_json::to_string(machine).unwrap_or_default();
        let query = "INSERT INTO environment (id, text, roofs) VALUES (?1, ?2, ?3)
                     ON CONFLICT (id) DO UPDATE SET roofs = excluded.roofs";
        self.connection.execute(query, params![machine.id(), text, roofs]).map(drop).map_err(|e| self.fail(&e))
    }

    /// Deletes the rows of problems whose key begins with `prefix`; returns how many.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn clear(&self, prefix: &str) -> Result<usize> {
        let query = "DELETE FROM candidate WHERE substr(key, 1, length(?1)) = ?1";
        self.connection.execute(query, [prefix]).map_err(|e| self.fail(&e))
    }
}

fn tile_text(tile: &[usize]) -> String {
    tile.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Whether a file can be made in a directory.
fn is_writable(directory: &Path) -> bool {
    tempfile::NamedTempFile::new_in(directory).is_ok()
}

fn fail(path: &Path, error: &rusqlite::Error) -> Error {
    let message = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            format!("it is damaged ({error}); move it away, or restore it from an export")
        }
        Some(ErrorCode::DiskFull) => "the disk is full".into(),
        Some(ErrorCode::DatabaseBusy) => "another process has held it for too long".into(),
        _ => error.to_string(),
    };
    let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
    Error::Database { path: path.to_owned(), message, busy }
}
