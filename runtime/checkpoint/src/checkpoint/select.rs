//! Which of a file's tensors are the weights of the model.

use super::Entry;
use crate::Error;
use kforge_models::{Config, Fused, TensorOf};
use std::collections::HashMap;

/// The weights that the model uses, of a file's tensors, in the order of use.
///
/// # Errors
/// If one is missing or of the wrong shape, or if a tensor is left over: a model that has one computes something else.
pub(super) fn select(config: &Config, entries: Vec<Entry>) -> Result<Vec<Entry>, Error> {
    let mut found: HashMap<String, Entry> = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
    let mut weights = Vec::new();
    for TensorOf { name, dims, required, .. } in config.tensors() {
        let place = || format!("tensor `{name}`");
        match found.remove(&name) {
            Some(entry) if entry.dims != dims => {
                let cause = format!("its shape is {:?}, but the model's config says {dims:?}", entry.dims);
                return Err(Error::invalid(place(), cause));
            }
            Some(entry) => weights.push(entry),
            None if required => {
                return Err(Error::invalid(place(), "the tensor is missing; if it is in another shard, open them all"));
            }
            None => {}
        }
    }
    // The least name, so that the error does not depend on the map's order.
    match found.into_keys().filter(|name| !config.ignores(name)).min() {
        Some(name) => Err(unknown(&name)),
        None => Ok(weights),
    }
}

/// Replaces each tensor that holds the rows of several by those.
///
/// # Errors
/// If its shape is not that of its parts together.
pub(super) fn split(config: &Config, fused: &[Fused], entries: Vec<Entry>) -> Result<Vec<Entry>, Error> {
    if fused.is_empty() {
        return Ok(entries);
    }
    let dims: HashMap<String, Vec<usize>> =
        config.tensors().into_iter().map(|tensor| (tensor.name, tensor.dims)).collect();
    let mut all = Vec::new();
    for entry in entries {
        let parts = fused.iter().find_map(|fused| fused.parts_of(&entry.name));
        // The name may also be that of a part.
        let Some(parts) = parts.filter(|_| dims.get(&entry.name) != Some(&entry.dims)) else {
            all.push(entry);
            continue;
        };
        let parts: Vec<(String, &[usize])> =
            parts.into_iter().filter_map(|part| Some((part.clone(), &dims.get(&part)?[..]))).collect();
        let rows: usize = parts.iter().map(|(_, dims)| dims[0]).sum();
        let columns = entry.dims.last().copied().unwrap_or(0);
        if entry.dims != [rows, columns] || parts.iter().any(|(_, dims)| dims[1..] != [columns]) {
            let cause =
                format!("its shape is {:?}, but the model's config says [{rows}, {}]", entry.dims, config.hidden);
            return Err(Error::invalid(format!("tensor `{}`", entry.name), cause));
        }
        let row = entry.range.len().checked_div(rows).unwrap_or(0);
        let mut start = entry.range.start;
        for (name, dims) in parts {
            let end = start + row * dims[0];
            let (dims, ty) = (dims.to_vec(), entry.ty.clone());
            all.push(Entry { name, dims, ty, range: start..end, ..entry });
            start = end;
        }
    }
    Ok(all)
}

pub(super) fn unknown(name: &str) -> Error {
    Error::invalid(format!("tensor `{name}`"), "no model of a supported architecture has it; the result would be wrong")
}
