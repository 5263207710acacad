//! Decoding with a compiled model: prefill, then one token after another through the KV cache.
//!
//! The model is a program of two functions over shared weights and caches:
//!
//! ```text
//! prefill(ids: tensor<1xSxi32>, positions: tensor<1xi32>, rows: tensor<Rxi32>) -> logits tensor<RxVxf32>
//! decode (ids: tensor<1x1xi32>, positions: tensor<1xi32>)                      -> logits tensor<1x1xVxf32>
//! ```
//! `rows` selects the positions whose logits are returned; caches are written for all. Instead of logits both functions
//! may return the k largest of each row and their tokens: `tensor<1x1xkxf32>, tensor<1x1xkxi32>`.

use crate::{Error, Execute, Logits, Outputs, Result, View};
use kforge_program::Element;

/// Names of the program's functions.
pub const PREFILL: &str = "prefill";
pub const DECODE: &str = "decode";

/// Keys are interleaved by sixteen, so a capacity must be a multiple of it.
const CAPACITY_STEP: usize = 16;

/// Creates a replacement executor, with its weights set, after a GPU failed with an error.
pub type Fallback = Box<dyn FnOnce(&Error) -> Result<Box<dyn Execute>> + Send>;

/// A model and what has been decoded so far.
pub struct Decoder {
    executor: Box<dyn Execute>,
    context: usize,
    /// The tokens in the caches.
    tokens: Vec<u32>,
    fallback: Option<Fallback>,
}

impl Decoder {
    /// Takes an executor whose weights are set and creates caches for `context` positions. Physical memory is used as
    /// positions are written.
    ///
    /// # Errors
    /// If there is no address space for the caches.
    pub fn new(mut executor: Box<dyn Execute>, context: usize) -> Result<Decoder> {
        make_caches(&mut *executor, context)?;
        Ok(Decoder { executor, context, tokens: vec![], fallback: None })
    }

    /// If this executor's GPU fails, continues once with the executor that `fallback` creates: the tokens so far are
    /// prefilled there, and the failed call is repeated.
    pub fn with_fallback(self, fallback: Fallback) -> Decoder {
        Decoder { fallback: Some(fallback), ..self }
    }

    /// Tokens in the cache.
    pub fn position(&self) -> usize {
        self.tokens.len()
    }

    pub fn context(&self) -> usize {
        self.context
    }

    pub fn executor(&self) -> &dyn Execute {
        &*self.executor
    }

    pub fn executor_mut(&mut self) -> &mut dyn Execute {
        &mut *self.executor
    }

    /// Forgets everything after the first `position` tokens.
    pub fn rewind(&mut self, position: usize) {
        self.tokens.truncate(position);
    }

    /// Appends tokens and returns the logits of the last.
    ///
    /// # Errors
    /// If there are none, one is outside the vocabulary, or the context is full.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<Logits<'_>> {
        if ids.is_empty() {
            return Err(Error::Context("there are no tokens to start from: the prompt is empty".into()));
        }
        if let [id] = ids {
            return self.decode(*id);
        }
        self.prefill_rows(ids, &[ids.len() - 1])
    }

    /// Appends tokens and returns the logits of all, [S, V].
    ///
    /// # Errors
    /// As [`Decoder::prefill`], or if the model returns only the largest logits.
    pub fn score(&mut self, ids: &[u32]) -> Result<&[f32]> {
        let rows: Vec<usize> = (0..ids.len()).collect();
        match self.prefill_rows(ids, &rows)? {
            Logits { values, ids: None } => Ok(values),
            _ => Err(Error::Program("a model is scored by all its logits, but this one gives the greatest".into())),
        }
    }

    fn prefill_rows(&mut self, ids: &[u32], rows: &[usize]) -> Result<Logits<'_>> {
        self.room(ids.len())?;
        let function = self.run(|executor, position| prefill(executor, position, ids, rows))?;
        self.tokens.extend_from_slice(ids);
        logits(&Outputs::new(&*self.executor, function))
    }

    /// Appends one token and returns its logits.
    ///
    /// # Errors
    /// If it is outside the vocabulary, or the context is full.
    pub fn decode(&mut self, id: u32) -> Result<Logits<'_>> {
        self.room(1)?;
        let word = words(&[id]);
        let function = self.run(|executor, position| {
            executor.run(DECODE, &[i32_view(&[1, 1], &word), i32_view(&[1], &words(&[position as u32]))])
        })?;
        self.tokens.push(id);
        logits(&Outputs::new(&*self.executor, function))
    }

    /// Runs a function of the model at the current position, on the executor or, if its GPU fails, on the fallback.
    fn run(&mut self, run: impl Fn(&mut dyn Execute, usize) -> Result<usize>) -> Result<usize> {
        let position = self.tokens.len();
        let outcome = run(&mut *self.executor, position);
        let Err(error @ Error::Gpu(_)) = &outcome else { return outcome };
        let Some(fallback) = self.fallback.take() else { return outcome };
        let mut executor = fallback(error)?;
        make_caches(&mut *executor, self.context)?;
        if let Some(last) = position.checked_sub(1) {
            prefill(&mut *executor, 0, &self.tokens, &[last])?;
        }
        self.executor = executor;
        run(&mut *self.executor, position)
    }

    fn room(&self, tokens: usize) -> Result<()> {
        if self.tokens.len() + tokens <= self.context {
            return Ok(());
        }
        Err(Error::Context(format!(
            "the context of {} tokens is full: {} are in it and {tokens} more were asked for",
            self.context,
            self.tokens.len()
        )))
    }
}

/// Creates the caches of a model for `context` positions.
fn make_caches(executor: &mut dyn Execute, context: usize) -> Result<()> {
    let capacity = context.max(1).next_multiple_of(CAPACITY_STEP);
    let extent = |d: &kforge_program::Expr| d.as_const().and_then(|d| usize::try_from(d).ok()).unwrap_or(capacity);
    let globals = executor.program().globals.iter().filter(|g| g.mutable);
    let states: Vec<(String, Vec<usize>)> =
        globals.map(|g| (g.name.clone(), g.ty.dims.iter().map(extent).collect())).collect();
    states.into_iter().try_for_each(|(name, dims)| executor.make_state(&name, &dims))
}

/// Calls `prefill`; returns the function's index.
fn prefill(executor: &mut dyn Execute, position: usize, ids: &[u32], rows: &[usize]) -> Result<usize> {
    let position = words(&[position as u32]);
    let rows_bytes = words(&rows.iter().map(|r| *r as u32).collect::<Vec<_>>());
    let ids_bytes = words(ids);
    let (ids_dims, rows_dims) = ([1, ids.len()], [rows.len()]);
    let inputs = [i32_view(&ids_dims, &ids_bytes), i32_view(&[1], &position), i32_view(&rows_dims, &rows_bytes)];
    executor.run(PREFILL, &inputs)
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn i32_view<'a>(dims: &'a [usize], bytes: &'a [u8]) -> View<'a> {
    View { dims, element: Element::I32, bytes }
}

fn logits<'e>(outputs: &Outputs<'e>) -> Result<Logits<'e>> {
    let wrong = || Error::Program("the model gives neither logits nor the greatest and their tokens".into());
    let values = outputs.get(0).and_then(|view| view.as_f32()).ok_or_else(wrong)?;
    let ids = match outputs.len() {
        1 => None,
        _ => Some(outputs.get(1).and_then(|view| view.as_i32()).ok_or_else(wrong)?),
    };
    Ok(Logits { values, ids })
}
