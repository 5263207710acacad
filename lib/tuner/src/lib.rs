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
//! Problems and spaces of tiles are `kforge_passes::tiles`. Measuring takes a compiler and an executor: a program that has
//! both [installs](install) itself as the host, and the passes find the tuner by `kforge_passes::tuner`.

pub mod database;
pub mod environment;
pub mod model;
pub mod search;

pub use database::{Database, Line, Row};
pub use environment::Environment;
pub use search::{Search, Tried};

use kforge_passes::{
    Tuning,
    tiles::{Problem, Product, space},
    tuner::{self, Choice, Mode, Tuner},
};
use kforge_target::Target;
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

/// The program around the tuner.
pub struct Host {
    /// Where the database is; `None` where the system has no place for it.
    pub directory: Option<PathBuf>,
    /// This machine as a target with a number of threads.
    pub environment: fn(Target, usize) -> Result<Environment, String>,
    /// Measures candidates of a problem until its search is over or the time has come, and adds rows to the database.
    pub measure: fn(&Problem, &Environment, &mut Database, Option<Instant>) -> Result<(), String>,
    /// Says a warning to the user.
    pub warn: fn(&str),
}

static HOST: OnceLock<Host> = OnceLock::new();

/// Names the program that measures, and makes this the tuner of the passes, once in a process.
pub fn install(host: Host) {
    // The first stays; a process has one.
    tuner::install(Box::new(Measured { host: HOST.get_or_init(|| host) }));
}

/// Says something once in a process, if there is a host to say it.
fn warn(message: &str) {
    static SAID: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let Some(host) = HOST.get() else { return };
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(message.to_owned()) {
        (host.warn)(message);
    }
}

/// The tuner of the installed host.
struct Measured {
    host: &'static Host,
}

impl Tuner for Measured {
    fn session(&self, target: Target, tuning: Tuning) -> Result<Box<dyn tuner::Session>, String> {
        Session::open(self.host, target, tuning).map(|session| Box::new(session) as _)
    }

    fn fingerprint(&self, target: Target, threads: usize) -> String {
        let Some(directory) = self.host.directory.as_ref().filter(|d| d.join(database::FILE).exists()) else {
            return String::new();
        };
        let Ok(environment) = (self.host.environment)(target, threads) else { return String::new() };
        Database::open(directory).and_then(|database| database.fingerprint(&environment.id())).unwrap_or_default()
    }
}

/// The tuner while one module is compiled.
struct Session {
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
    /// If this machine is no such target.
    fn open(host: &'static Host, target: Target, tuning: Tuning) -> Result<Session, String> {
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
}

impl tuner::Session for Session {
    fn choose(&mut self, problem: &Problem) -> Option<Choice> {
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
