//! `--trace FILE`: a timeline in the format of Chrome and Perfetto.
//!
//! A launch is a span named after its kernel; compiling and loading have separate spans.

use anyhow::{Context as _, Result};
use kforge_tools::output;
use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_chrome::{ChromeLayerBuilder, EventOrSpan, FlushGuard};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::{LookupSpan, Registry},
};

/// A trace being recorded.
pub struct Trace {
    path: PathBuf,
    events: Events,
    guard: FlushGuard,
}

/// Records spans from now on.
///
/// # Errors
/// If the file could not be written.
pub fn start(path: &Path) -> Result<Trace> {
    output::check_place(path)?;
    let events = Events::default();
    let (chrome, guard) =
        ChromeLayerBuilder::new().writer(events.clone()).include_locations(false).name_fn(Box::new(name)).build();
    let subscriber = Registry::default().with(Kernels).with(chrome);
    tracing::subscriber::set_global_default(subscriber).context("a trace is being recorded already")?;
    Ok(Trace { path: path.to_owned(), events, guard })
}

impl Trace {
    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<()> {
        // Waits for pending events.
        drop(self.guard);
        output::write(&self.path, &self.events.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The text of all events, buffered: tracing-chrome panics if a file is full.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<u8>>>);

impl Write for Events {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Records the kernel of each span: all launches are one span in the source.
struct Kernels;

struct Kernel(String);

impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Kernels {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        struct Find(Option<String>);
        impl Visit for Find {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "kernel" {
                    self.0 = Some(value.to_owned());
                }
            }
            fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
        }
        let mut find = Find(None);
        attributes.record(&mut find);
        if let (Some(kernel), Some(span)) = (find.0, context.span(id)) {
            span.extensions_mut().insert(Kernel(kernel));
        }
    }
}

fn name<S>(what: &EventOrSpan<'_, '_, S>) -> String
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    match what {
        EventOrSpan::Event(event) => event.metadata().name().to_owned(),
        EventOrSpan::Span(span) => match span.extensions().get::<Kernel>() {
            Some(Kernel(name)) => name.clone(),
            None => span.name().to_owned(),
        },
    }
}
