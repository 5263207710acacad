//! Which layers have a window, and which no RoPE, in `config.json`.

use crate::Error;
use crate::config::{MOST_LAYERS, every, size};
use crate::json::Fields;
use kforge_models::{Arch, ConfigWindow};

/// transformers' default of `sliding_window` where a family has one: what a config without the key means.
const DEFAULT_WINDOW: usize = 4096;
/// transformers' default of `max_window_layers`.
const DEFAULT_WINDOW_LAYERS: usize = 28;

/// The window, and the layers that are without.
///
/// # Errors
/// If a key has the wrong type, or there is not one type for each layer.
pub fn windows(fields: &Fields, arch: &Arch, layers: usize) -> Result<(Option<usize>, Vec<usize>), Error> {
    let count = |key: &str, default: Option<usize>| match fields.count(key)? {
        Some(value) => size(&fields.place(key), value).map(Some),
        // A null is none, and not the default.
        None => Ok::<_, Error>(default.filter(|_| !fields.names(key))),
    };
    let mut first = 0;
    let window = match arch.hugging_face.window {
        ConfigWindow::Never => None,
        ConfigWindow::Always => count("sliding_window", Some(DEFAULT_WINDOW))?,
        ConfigWindow::Optional => count("sliding_window", None)?,
        ConfigWindow::Switched => {
            let window = count("sliding_window", Some(DEFAULT_WINDOW))?;
            first = count("max_window_layers", Some(DEFAULT_WINDOW_LAYERS))?.unwrap_or(DEFAULT_WINDOW_LAYERS);
            let slides = fields.flag("use_sliding_window")?.unwrap_or(false);
            window.filter(|_| slides)
        }
    };
    if window.is_none() {
        return Ok((None, Vec::new()));
    }
    let global: Vec<usize> = match (types(fields, layers)?, arch.global_every) {
        (Some(global), _) => global,
        (None, Some(default)) => every(count("sliding_window_pattern", Some(default))?.or(Some(default)), layers),
        (None, None) => (0..layers.min(MOST_LAYERS)).take(first).collect(),
    };
    // No layer is left that has the window.
    Ok(if global.len() == layers { (None, Vec::new()) } else { (window, global) })
}

/// The layers of full attention that `layer_types` names.
fn types(fields: &Fields, layers: usize) -> Result<Option<Vec<usize>>, Error> {
    let place = || fields.place("layer_types");
    let Some(types) = fields.get("layer_types") else { return Ok(None) };
    let types = types.as_array().filter(|types| types.len() == layers);
    let types = types.ok_or_else(|| Error::invalid(place(), format!("expected an array of {layers} types")))?;
    let mut global = Vec::new();
    for (layer, ty) in types.iter().enumerate() {
        match ty.as_str() {
            Some("full_attention") => global.push(layer),
            Some("sliding_attention") => {}
            _ => {
                let cause = format!("layer {layer} is neither of full_attention nor of sliding_attention");
                return Err(Error::invalid(place(), cause));
            }
        }
    }
    Ok(Some(global))
}

/// The layers without RoPE.
///
/// # Errors
/// If there is not a 0 or 1 for each layer.
pub fn unrotated(fields: &Fields, arch: &Arch, layers: usize) -> Result<Vec<usize>, Error> {
    let Some(default) = arch.unrotated_every else { return Ok(Vec::new()) };
    let period = fields.count("no_rope_layer_interval")?;
    let Some(rotated) = fields.get("no_rope_layers") else {
        return Ok(every(period.and_then(|period| usize::try_from(period).ok()).or(Some(default)), layers));
    };
    let cause =
        || Error::invalid(fields.place("no_rope_layers"), format!("expected an array of {layers} times 0 or 1"));
    let rotated = rotated.as_array().filter(|rotated| rotated.len() == layers).ok_or_else(cause)?;
    let mut unrotated = Vec::new();
    for (layer, value) in rotated.iter().enumerate() {
        match value.as_u64() {
            Some(0) => unrotated.push(layer),
            Some(1) => {}
            _ => return Err(cause()),
        }
    }
    Ok(unrotated)
}
