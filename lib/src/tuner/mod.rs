//! Chooses tiles by measurement, and remembers what was measured.
//!
//! ```text
//! select-kernels ── fused op ──> problem ──> space ──> model ──> search ──> measure (tools)
//!        ^                          │ key                                      │ rows
//!        └────────── tile ──────── database <─────────────────────────────────┘
//! ```
//! A choice may change the time of an answer, never the answer: the database holds tiles and times, no code; every tile
//! out of it is checked as one written by hand; all legal tiles of a kernel give the same bits. Whatever is wrong with
//! the database, the next best tile or the default takes the place of the winner, with one warning.
//!
//! Measuring takes a compiler and an executor, which are further down the road than passes: a program that has both
//! [installs](install) itself as the host.

pub mod cpu;
pub mod database;
pub mod environment;
pub mod gpu;
pub mod model;
pub mod problem;
pub mod product;
pub mod search;
pub mod space;

pub use database::{Database, Line, Row};
pub use environment::Environment;
pub use problem::Problem;
pub use product::{Family, Product};
pub use search::{Search, Tried};

use crate::Tuning;
use kforge_target::Target;
use std::{
    collections::HashSet,
    fmt,
    io::Write as _,
    path::PathBuf,
    str::FromStr,
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

/// What is asked of the tuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Nothing: tiles follow from rules.
    #[default]
    Off,
    /// What has been measured before.
    CachedOnly,
    /// The same, after measuring whatever is missing.
    Tune,
    /// The same, until a time budget is spent.
    Incremental,
}

impl Mode {
    pub const ALL: [Mode; 4] = [Mode::Off, Mode::CachedOnly, Mode::Tune, Mode::Incremental];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::CachedOnly => "cached-only",
            Mode::Tune => "tune",
            Mode::Incremental => "incremental",
        }
    }

    pub fn measures(self) -> bool {
        matches!(self, Mode::Tune | Mode::Incremental)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Mode, String> {
        let found = Mode::ALL.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| format!("unknown tuning mode '{name}'; use off, cached-only, tune or incremental"))
    }
}

/// The program around the passes.
pub struct Host {
    /// Where the database is; `None` where the system has no place for it.
    pub directory: Option<PathBuf>,
    /// This machine as a target with a number of threads.
    pub environment: fn(Target, usize) -> Result<Environment, String>,
    /// Measures candidates of a problem until its search is over or the time has come, and adds rows to the database.
    pub measure: fn(&Problem, &Environment, &mut Database, Option<Instant>) -> Result<(), String>,
}

static HOST: OnceLock<Host> = OnceLock::new();

/// Names the program that measures, once in a process.
pub fn install(host: Host) {
    // The first stays; a process has one.
    let _ = HOST.set(host);
}

/// The installed host.
///
/// # Errors
/// If there is none.
pub fn host() -> Result<&'static Host, String> {
    HOST.get().ok_or_else(|| "this program has no tuner; use mode=off".to_owned())
}

/// Says something once in a process.
pub fn warn(message: &str) {
    static SAID: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(message.to_owned()) {
        // Nothing is left to say it with where this fails.
        let _ = writeln!(std::io::stderr(), "warning: {message}");
    }
}

/// A chosen tile and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub tile: Vec<usize>,
    pub key: String,
}

/// The tuner while one module is compiled.
pub struct Session {
    mode: Mode,
    environment: Environment,
    database: Option<Database>,
    deadline: Option<Instant>,
    host: &'static Host,
}

impl Session {
    /// Opens the database; one that cannot be used is as good as none, with a warning.
    ///
    /// # Errors
    /// If the program has no host, or this machine is no such target.
    pub fn open(target: Target, tuning: Tuning) -> Result<Session, String> {
        let host = host()?;
        let threads = match tuning.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let environment = (host.environment)(target, threads)?;
        let Tuning { mode, budget, .. } = tuning;
        let database = match &host.directory {
            // What is only read need not be made.
            Some(directory) if mode.measures() || directory.join(database::FILE).exists() => {
                Database::open(directory).map_err(|e| warn(&format!("{e}; kernels keep their default tiles"))).ok()
            }
            Some(_) => None,
            None => {
                warn("there is no cache directory (set KFORGE_CACHE); kernels keep their default tiles");
                None
            }
        };
        let deadline = (mode == Mode::Incremental).then(|| Instant::now() + budget);
        Ok(Session { mode, environment, database, deadline, host })
    }

    /// The tile of a problem; `None` leaves it to the rules.
    pub fn choose(&mut self, problem: &Problem) -> Option<Choice> {
        let database = self.database.as_mut()?;
        let in_time = self.deadline.is_none_or(|deadline| Instant::now() < deadline);
        if self.mode.measures() && in_time && database.is_writable() {
            let measured = (self.host.measure)(problem, &self.environment, database, self.deadline);
            if let Err(message) = measured {
                warn(&message);
            }
        } else if self.mode.measures() && !database.is_writable() {
            warn(&format!("{} cannot be written; nothing is measured", database.path().display()));
        }
        let key = problem.key();
        let rows = match database.rows(&key, &self.environment.id()) {
            Ok(rows) => rows,
            Err(error) => {
                warn(&format!("{error}; kernels keep their default tiles"));
                return None;
            }
        };
        let (tried, refused) = admitted(&problem.product, &rows);
        if let Some((tile, why)) = refused.first() {
            let path = database.path().display();
            warn(&format!("{path}: the tile {tile:?} of {key} is passed over: {why}; the next best takes its place"));
        }
        let winner = search::ranking(&problem.product, &tried).into_iter().next()?;
        Some(Choice { tile: winner.tile, key })
    }
}

/// The rows that may be used, and those that may not, each with the reason. Failures are neither.
pub fn admitted(product: &Product, rows: &[Row]) -> (Vec<Tried>, Vec<(Vec<usize>, String)>) {
    let (mut tried, mut refused) = (vec![], vec![]);
    for row in rows {
        let checked = row.check().and_then(|()| match &row.failure {
            Some(_) => Ok(()),
            None if row.predicate != space::predicate(product) => Err(format!("it was admitted by {}", row.predicate)),
            None => space::legal(product, &row.tile),
        });
        match checked {
            Ok(()) => tried.push(Tried {
                tile: row.tile.clone(),
                ratio: row.ratio.filter(|_| row.failure.is_none()),
                share: row.share,
            }),
            Err(why) => refused.push((row.tile.clone(), why)),
        }
    }
    (tried, refused)
}

/// A hash of all that decides choices, for caches of what was compiled with them; empty where nothing was measured.
pub fn fingerprint(target: Target, threads: usize) -> String {
    let Some(host) = HOST.get() else { return String::new() };
    let Some(directory) = host.directory.as_ref().filter(|d| d.join(database::FILE).exists()) else {
        return String::new();
    };
    let Ok(environment) = (host.environment)(target, threads) else { return String::new() };
    Database::open(directory).and_then(|database| database.fingerprint(&environment.id())).unwrap_or_default()
}
