//! What passes ask of a tuner. The program around them [installs](install) one; without it, only `mode=off` works.
//!
//! Measuring takes a compiler and an executor, which both depend on the passes, and what was measured is kept in a
//! database: a pass knows nothing of either.

use crate::{Tuning, tiles::Problem};
use kforge_target::Target;
use std::{fmt, str::FromStr, sync::OnceLock};

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

/// A chosen tile and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Legal for the problem's product.
    pub tile: Vec<usize>,
    /// The key of the problem, under which the choice is explained.
    pub key: String,
}

/// Chooses tiles by measurement.
pub trait Tuner: Send + Sync {
    /// Begins with one module, in a mode other than off.
    ///
    /// # Errors
    /// If this machine is no such target.
    fn session(&self, target: Target, tuning: Tuning) -> Result<Box<dyn Session>, String>;

    /// A hash of all that decides choices, for caches of what was compiled with them; empty where nothing was measured.
    fn fingerprint(&self, target: Target, threads: usize) -> String;
}

/// The tuner while one module is compiled.
pub trait Session {
    /// The tile of a problem; `None` leaves it to the rules. What is wrong with the measurements is the tuner's to say.
    fn choose(&mut self, problem: &Problem) -> Option<Choice>;
}

static TUNER: OnceLock<Box<dyn Tuner>> = OnceLock::new();

/// Names the tuner, once in a process; the first stays.
pub fn install(tuner: Box<dyn Tuner>) {
    let _ = TUNER.set(tuner);
}

/// Begins with one module; `None` where nothing is asked of the tuner.
///
/// # Errors
/// If the program has no tuner, or this machine is no such target.
pub fn session(target: Target, tuning: Tuning) -> Result<Option<Box<dyn Session>>, String> {
    if tuning.mode == Mode::Off {
        return Ok(None);
    }
    let tuner = TUNER.get().ok_or_else(|| "this program has no tuner; use mode=off".to_owned())?;
    tuner.session(target, tuning).map(Some)
}

/// [`Tuner::fingerprint`] of the installed tuner; empty where none is asked.
pub fn fingerprint(target: Target, tuning: Tuning) -> String {
    match TUNER.get() {
        Some(tuner) if tuning.mode != Mode::Off => tuner.fingerprint(target, tuning.threads),
        _ => String::new(),
    }
}
