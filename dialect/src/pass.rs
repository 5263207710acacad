//! Passes written in Rust.
//!
//! A pass is a registry row, [`PassInfo`]: name, summary, options, statistics and a function. [`register`] hands it to
//! MLIR as a pass like any other. The function reports a failure as a [`PassError`] at an op, which becomes a located
//! diagnostic; a panic inside becomes one too, with the pass's name, and never crosses into C++.

use crate::{diagnostics::take_text, ffi, ir::op_name};
use melior::{
    Context,
    ir::{
        Location,
        operation::{OperationLike, OperationRef},
    },
};
use mlir_sys::{MlirContext, MlirOperation, mlirEmitError};
use std::{
    any::Any,
    collections::BTreeMap,
    ffi::{CString, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A row of the pass registry.
pub struct PassInfo {
    /// The command-line name, also the file's and the test's.
    pub name: &'static str,
    /// One line for `--help`.
    pub summary: &'static str,
    /// The op it runs on, `builtin.module` or `func.func`.
    pub anchor: &'static str,
    pub options: &'static [OptionInfo],
    pub statistics: &'static [StatisticInfo],
    pub run: for<'c, 'a> fn(&PassRun<'c, 'a>) -> Result<(), PassError<'c>>,
}

/// An option of a pass with its default.
pub struct OptionInfo {
    pub name: &'static str,
    pub summary: &'static str,
    pub default: OptionValue,
}

/// Type and default of an option.
pub enum OptionValue {
    Bool(bool),
    Integer(i64),
    Text(&'static str),
}

/// A counter shown by `--mlir-pass-statistics`.
pub struct StatisticInfo {
    pub name: &'static str,
    pub summary: &'static str,
}

/// Why a pass failed, and where.
#[derive(Debug)]
pub struct PassError<'c> {
    pub location: Location<'c>,
    pub message: String,
}

impl<'c> PassError<'c> {
    /// An error at an op, in the form of MLIR's own: `'transformer.linear' op ...`.
    pub fn at<'a>(op: &impl OperationLike<'c, 'a>, message: impl std::fmt::Display) -> Self
    where
        'c: 'a,
    {
        Self { location: op.location(), message: format!("'{}' op {message}", op_name(op)) }
    }
}

/// One run of a pass on one op.
pub struct PassRun<'c, 'a> {
    /// The op the pass is anchored on.
    pub op: OperationRef<'c, 'a>,
    pub context: &'c Context,
    info: &'static PassInfo,
    pass: *mut c_void,
}

impl PassRun<'_, '_> {
    /// The value of an option, as text.
    ///
    /// # Panics
    /// If the pass's row has no such option: a mistake in the pass, reported as a failure of it.
    pub fn text(&self, name: &str) -> String {
        let index = self.info.options.iter().position(|o| o.name == name).expect("an option of the pass's row");
        let mut value = String::new();
        // SAFETY: `pass` is the running pass, `index` is within its options, and `value` outlives the call.
        unsafe { ffi::kforgePassOption(self.pass, index, take_text, (&raw mut value).cast()) };
        value
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name).as_str(), "1" | "true")
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.text(name).parse().expect("an integer option prints as an integer")
    }

    /// Adds to a statistic.
    pub fn count(&self, name: &str, amount: usize) {
        assert!(self.info.statistics.iter().any(|s| s.name == name), "'{name}' is no statistic of the pass's row");
        *counts().entry((self.info.name, name.to_owned())).or_default() += amount;
    }
}

/// Counts of this process, by pass and statistic.
type Counts = BTreeMap<(&'static str, String), usize>;

/// LLVM counts statistics only where it was built with assertions, which no distribution's is; so they are kept here.
fn counts() -> MutexGuard<'static, Counts> {
    static COUNTS: Mutex<Counts> = Mutex::new(BTreeMap::new());
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the `passes` that have run counted, in the form of MLIR's own report.
pub fn statistics_report<'i>(passes: impl Iterator<Item = &'i &'static PassInfo>) -> String {
    let counts = counts();
    let mut report = String::new();
    for info in passes {
        let ran = |s: &'i StatisticInfo| Some((s, *counts.get(&(info.name, s.name.to_owned()))?));
        let lines: Vec<_> = info.statistics.iter().filter_map(ran).collect();
        if !lines.is_empty() {
            report += &format!("{}\n", info.name);
        }
        for (statistic, count) in lines {
            report += &format!("  (S) {count} {} - {}\n", statistic.name, statistic.summary);
        }
    }
    report
}

extern "C" fn run(row: *const c_void, pass: *mut c_void, op: MlirOperation, context: MlirContext) -> bool {
    // SAFETY: `row` is the static `PassInfo` given to `register`; op and context live through the call. `to_ref` gives a
    // reference to `owner` itself, which therefore stays here until the pass has run.
    let owner = unsafe { melior::ContextRef::from_raw(context) };
    // SAFETY: as above.
    let (info, op, context) = unsafe { (&*row.cast::<PassInfo>(), OperationRef::from_raw(op), owner.to_ref()) };
    let run = PassRun { op, context, info, pass };
    info.statistics.iter().for_each(|s| run.count(s.name, 0));
    let error = match catch_unwind(AssertUnwindSafe(|| (info.run)(&run))) {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error,
        Err(panic) => PassError {
            location: op.location(),
            message: format!("pass '{}' panicked, which is a bug in it: {}", info.name, panic_message(&*panic)),
        },
    };
    emit_error(error.location, &error.message);
    false
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Emits an error diagnostic.
pub fn emit_error(location: Location<'_>, message: &str) {
    let message = CString::new(message.replace('\0', " ")).expect("no zero byte is left");
    // SAFETY: the location is valid and the message is zero-terminated.
    unsafe { mlirEmitError(location.to_raw(), message.as_ptr()) };
}

/// Registers a pass with MLIR, once in a process for each name.
pub fn register(info: &'static PassInfo) {
    // MLIR keeps the row for the life of the process, so its C form is leaked.
    let text = |s: &str| CString::new(s).expect("a registry row has no zero byte").into_raw().cast_const();
    let options: Vec<ffi::OptionSpec> = info
        .options
        .iter()
        .map(|o| {
            let (kind, value) = match o.default {
                OptionValue::Bool(b) => (0, b.to_string()),
                OptionValue::Integer(i) => (1, i.to_string()),
                OptionValue::Text(t) => (2, t.to_owned()),
            };
            ffi::OptionSpec { name: text(o.name), description: text(o.summary), value: text(&value), kind }
        })
        .collect();
    let options = options.leak();
    let spec = ffi::PassSpec {
        name: text(info.name),
        description: text(info.summary),
        anchor: text(info.anchor),
        options: options.as_ptr(),
        option_count: options.len(),
        row: std::ptr::from_ref(info).cast(),
    };
    // SAFETY: everything that the spec points to was leaked above.
    unsafe { ffi::kforgeRegisterPass(&spec, run) };
}

/// Registers `name` to stand for the comma-separated passes `text`; `{isa}` in it takes the pipeline's option.
pub fn register_pipeline(name: &str, summary: &str, text: &str) {
    let c = |s: &str| CString::new(s).expect("a registry row has no zero byte").into_raw().cast_const();
    // SAFETY: the strings were leaked and stay valid.
    unsafe { ffi::kforgeRegisterPipeline(c(name), c(summary), c(text)) };
}
