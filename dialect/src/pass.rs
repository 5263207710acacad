//! Passes and pipelines written in Rust.
//!
//! A pass is a registry row, [`PassInfo`]: name, summary, options, statistics and a function. [`register`] hands it to
//! MLIR as a pass like any other. The function reports a failure as a [`PassError`] at an op, which becomes a located
//! diagnostic; a panic inside becomes one too, with the pass's name, and never crosses into C++.

mod pipeline;

pub use pipeline::{Pipeline, Step};

use crate::{diagnostics::take_text, ffi, ir::op_name};
use melior::{
    Context,
    ir::{
        Location,
        operation::{OperationLike, OperationRef},
    },
};
use mlir_sys::{MlirContext, MlirOperation, MlirStringRef, mlirEmitError};
use std::{
    any::Any,
    collections::BTreeMap,
    ffi::{CString, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
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

/// A row of the registry of pipelines: a name for passes of a module.
pub struct PipelineInfo {
    /// The command-line name.
    pub name: &'static str,
    /// One line for `--help`.
    pub summary: &'static str,
    pub options: &'static [OptionInfo],
    /// The passes that it stands for, or why the options are wrong.
    pub passes: fn(&PipelineOptions) -> Result<Pipeline, String>,
}

/// The values of a pipeline's options.
pub struct PipelineOptions {
    values: Vec<(&'static str, String)>,
}

impl PipelineOptions {
    /// The defaults of a pipeline's row.
    pub fn defaults(info: &PipelineInfo) -> PipelineOptions {
        PipelineOptions { values: info.options.iter().map(|o| (o.name, o.default.text())).collect() }
    }
}

/// The values of the options of a pass or a pipeline.
pub trait OptionValues {
    /// The value of an option, as text.
    ///
    /// # Panics
    /// If the row of the pass or the pipeline has no such option: a mistake in it, reported as an error of it.
    fn text(&self, name: &str) -> String;

    fn flag(&self, name: &str) -> bool {
        is_true(&self.text(name))
    }

    fn integer(&self, name: &str) -> i64 {
        self.text(name).parse().expect("an integer option prints as an integer")
    }
}

impl OptionValues for PipelineOptions {
    fn text(&self, name: &str) -> String {
        self.values.iter().find(|(known, _)| *known == name).expect("an option of the pipeline's row").1.clone()
    }
}

/// An option of a pass or a pipeline with its default.
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

impl OptionValue {
    pub fn text(&self) -> String {
        match self {
            OptionValue::Bool(b) => b.to_string(),
            OptionValue::Integer(i) => i.to_string(),
            OptionValue::Text(t) => (*t).to_owned(),
        }
    }

    /// As the shim tells them apart.
    fn kind(&self) -> i32 {
        match self {
            OptionValue::Bool(_) => 0,
            OptionValue::Integer(_) => 1,
            OptionValue::Text(_) => 2,
        }
    }
}

/// How MLIR prints a true `bool`, or a user writes it.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "true")
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
    /// Adds to a statistic.
    pub fn count(&self, name: &str, amount: usize) {
        assert!(self.info.statistics.iter().any(|s| s.name == name), "'{name}' is no statistic of the pass's row");
        *counts().entry((self.info.name, name.to_owned())).or_default() += amount;
    }
}

impl OptionValues for PassRun<'_, '_> {
    fn text(&self, name: &str) -> String {
        let index = self.info.options.iter().position(|o| o.name == name).expect("an option of the pass's row");
        let mut value = String::new();
        // SAFETY: `pass` is the running pass, `index` is within its options, and `value` outlives the call.
        unsafe { ffi::kforgePassOption(self.pass, index, take_text, (&raw mut value).cast()) };
        value
    }
}

/// Counts of this process, by pass and statistic.
type Counts = BTreeMap<(&'static str, String), usize>;

/// LLVM counts statistics only where it was built with assertions, which no distribution's is; so they are kept here.
fn counts() -> MutexGuard<'static, Counts> {
    static COUNTS: Mutex<Counts> = Mutex::new(BTreeMap::new());
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows that MLIR has, in the order of their registration.
fn registered() -> MutexGuard<'static, Vec<&'static PassInfo>> {
    static REGISTERED: Mutex<Vec<&PassInfo>> = Mutex::new(vec![]);
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the passes that have run counted, in the form of MLIR's own report.
pub fn statistics_report() -> String {
    let counts = counts();
    let mut report = String::new();
    for info in registered().iter() {
        let ran = |s: &'static StatisticInfo| Some((s, *counts.get(&(info.name, s.name.to_owned()))?));
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

/// The C form of a row. MLIR keeps it for the life of the process, so what it points to is leaked.
fn spec<T>(
    name: &str,
    summary: &str,
    anchor: Option<&str>,
    options: &'static [OptionInfo],
    row: &'static T,
) -> ffi::PassSpec {
    let text = |s: &str| CString::new(s).expect("a registry row has no zero byte").into_raw().cast_const();
    let option = |o: &OptionInfo| ffi::OptionSpec {
        name: text(o.name),
        description: text(o.summary),
        value: text(&o.default.text()),
        kind: o.default.kind(),
    };
    let options = options.iter().map(option).collect::<Vec<_>>().leak();
    ffi::PassSpec {
        name: text(name),
        description: text(summary),
        anchor: anchor.map_or(std::ptr::null(), text),
        options: options.as_ptr(),
        option_count: options.len(),
        row: std::ptr::from_ref(row).cast(),
    }
}

/// Registers a pass with MLIR, once in a process for each name.
pub fn register(info: &'static PassInfo) {
    registered().push(info);
    let spec = spec(info.name, info.summary, Some(info.anchor), info.options, info);
    // SAFETY: everything that the spec points to was leaked.
    unsafe { ffi::kforgeRegisterPass(&spec, run) };
}

/// Registers a pipeline with MLIR, once in a process for each name.
pub fn register_pipeline(info: &'static PipelineInfo) {
    let spec = spec(info.name, info.summary, None, info.options, info);
    // SAFETY: as above.
    unsafe { ffi::kforgeRegisterPipeline(&spec, expand) };
}

unsafe extern "C" fn expand(
    row: *const c_void,
    values: *const MlirStringRef,
    count: usize,
    take: ffi::TakeFn,
    data: *mut c_void,
) -> bool {
    // SAFETY: `row` is the static row given to `register_pipeline`.
    let info = unsafe { &*row.cast::<PipelineInfo>() };
    // SAFETY: there are `count` values, alive through the call, and a text's bytes are within it. Without options there is
    // no array.
    let value = |i: usize| unsafe {
        let value = *values.add(i);
        let bytes = if value.length == 0 { &[] } else { slice::from_raw_parts(value.data.cast::<u8>(), value.length) };
        String::from_utf8_lossy(bytes).into_owned()
    };
    let options = PipelineOptions { values: (0..count).map(|i| (info.options[i].name, value(i))).collect() };
    let passes = catch_unwind(AssertUnwindSafe(|| (info.passes)(&options)))
        .unwrap_or_else(|panic| Err(format!("it panicked, which is a bug in it: {}", panic_message(&*panic))));
    let (expanded, text) = match passes {
        Ok(passes) => (true, passes.to_string()),
        Err(message) => (false, message),
    };
    // SAFETY: the text lives through the call, and `data` is what `take` takes.
    unsafe { take(MlirStringRef { data: text.as_ptr().cast(), length: text.len() }, data) };
    expanded
}
