//! Random models: real files in memory, so that they go through the same reader as any other.
//!
//! Their tokens are the 256 bytes, four special ones, and fillers up to the size of the vocabulary, without merges. The
//! weights are random, but of the magnitude of a trained model's: logits stay finite and differ. A matrix of more than
//! a million weights repeats the rows of the first million, because it is only used to measure speed.

use crate::Error;
use crate::config::every;
use crate::gguf::{GgmlType, write::Writer};
use crate::tokenizer::byte_level;
use crate::tokenizer::gguf::{CONTROL, NORMAL};
use crate::write::write_config;
use kforge_models::{Arch, Config, TensorOf};
use kforge_quant::BlockFormat;

/// A model, and how each of its matrices is stored, by the part of a tensor's name before `.weight`.
struct Model {
    config: Config,
    format: fn(&str) -> BlockFormat,
}

/// The names of the models.
fn names() -> impl Iterator<Item = String> {
    let families = Arch::gguf_rows().map(|arch| format!("tiny-{}", arch.gguf.name));
    ["tiny", "smollm2-135m", "llama-8b"].map(str::to_owned).into_iter().chain(families)
}

fn model(name: &str) -> Option<Model> {
    // Small, with a separate output matrix, and alternating formats.
    let tiny = Config { layers: 2, kv_heads: 2, context: 512, tied_embedding: false, ..Config::plain(64, 4, 128, 260) };
    let config = match name {
        "tiny" => tiny,
        // As the file that `make model` fetches.
        "smollm2-135m" => {
            Config { layers: 30, kv_heads: 3, context: 8192, rope_base: 1e5, ..Config::plain(576, 9, 1536, 49152) }
        }
        "llama-8b" => Config {
            layers: 32,
            kv_heads: 8,
            context: 8192,
            rope_base: 5e5,
            tied_embedding: false,
            ..Config::plain(4096, 32, 14336, 128_256)
        },
        family => of_family(Arch::of_gguf(family.strip_prefix("tiny-")?)?, tiny),
    };
    let format = match name {
        "smollm2-135m" => |part: &str| if part == "token_embd" { BlockFormat::Q8_0 } else { BlockFormat::Q4_1 },
        "llama-8b" => |_: &str| BlockFormat::Q4_K,
        _ => alternating,
    };
    Some(Model { config, format })
}

/// A small model with everything that a family has: heads of a size of their own, layers of both kinds, and factors.
fn of_family(arch: &'static Arch, tiny: Config) -> Config {
    let layers = arch.global_every.or(arch.unrotated_every).unwrap_or(2);
    let scale = |scale: f32| if arch.multipliers { scale } else { 1.0 };
    Config {
        arch,
        layers,
        head_dim: 32,
        rope_mode: arch.gguf.rope_mode,
        window: arch.global_every.map(|_| 16),
        global: every(arch.global_every, layers),
        window_rope_base: arch.window_rope_base,
        unrotated: every(arch.unrotated_every, layers),
        embedding_scale: if arch.scaled_embedding { (tiny.hidden as f32).sqrt() } else { scale(6.0) },
        residual_scale: scale(0.25),
        logit_scale: scale(0.25),
        attention_scale: arch.multipliers.then_some(0.125),
        attention_softcap: arch.softcaps.as_ref().and_then(|caps| caps.scores),
        logit_softcap: arch.softcaps.as_ref().and_then(|caps| caps.logits),
        biases: arch.gguf.biases,
        tied_embedding: true,
        ..tiny
    }
}

fn alternating(part: &str) -> BlockFormat {
    match part {
        "attn_v" | "attn_output" | "ffn_gate" | "ffn_down" => BlockFormat::Q4_0,
        _ => BlockFormat::Q8_0,
    }
}

/// After the 256 bytes. GGUF's type of them is "control".
const SPECIAL: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"];
/// Weights of a matrix before its rows repeat.
const POOL: usize = 1 << 20;
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
     message['content'] + '<|im_end|>' + '\n' }}{% endfor %}\
     {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// The bytes of a GGUF file: the model that [`Checkpoint::random`](crate::Checkpoint::random) opens.
///
/// # Errors
/// If there is no model of this name.
pub fn gguf(name: &str, seed: u64) -> Result<Vec<u8>, Error> {
    let Some(model) = model(name) else {
        let known = names().collect::<Vec<_>>().join(", ");
        let cause = format!("there is no random model of this name; there are {known}");
        return Err(Error::invalid(format!("random model `{name}`"), cause));
    };
    let config = Config { name: Some(name.to_owned()), ..model.config };
    let mut writer = Writer::new();
    write_config(&config, &mut writer)?;
    write_tokenizer(config.vocab, &mut writer);
    write_weights(&config, model.format, &mut writer, &mut SplitMix(seed))?;
    Ok(writer.finish())
}

fn write_tokenizer(vocab: usize, writer: &mut Writer) {
    let bytes = (0..=u8::MAX).map(|byte| byte_level::char_of(byte).to_string());
    let named = 256 + SPECIAL.len();
    let others = (named..vocab).map(|id| format!("<|{id}|>"));
    let tokens: Vec<String> = bytes.chain(SPECIAL.map(str::to_owned)).chain(others).collect();
    let types: Vec<i32> = (0..vocab).map(|id| if id < 256 { NORMAL } else { CONTROL }).collect();
    writer
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "gpt-2")
        .strings("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .strings::<&str>("tokenizer.ggml.merges", &[])
        .u32("tokenizer.ggml.bos_token_id", 257)
        .u32("tokenizer.ggml.eos_token_id", 258)
        .u32("tokenizer.ggml.padding_token_id", 259)
        .bool("tokenizer.ggml.add_bos_token", false)
        .string("tokenizer.chat_template", CHAT_TEMPLATE);
}

/// Every tensor that the model must have, in the order of use, which the seed's numbers follow.
fn write_weights(
    config: &Config,
    format: fn(&str) -> BlockFormat,
    writer: &mut Writer,
    random: &mut SplitMix,
) -> Result<(), Error> {
    for TensorOf { row, name, dims, .. } in config.tensors().into_iter().filter(|tensor| tensor.required) {
        match dims[..] {
            [rows, columns] => {
                let part = row.part();
                let format = format(part.strip_suffix(".weight").unwrap_or(part));
                matrix(writer, random, &name, [rows, columns], format)?;
            }
            _ => {
                let mean = if name.ends_with(".bias") { 0.0 } else { 1.0 };
                vector(writer, random, &name, dims.iter().product(), mean);
            }
        }
    }
    Ok(())
}

/// Uniform weights of variance 1 / columns, so that a product has the size of its input.
fn matrix(
    writer: &mut Writer,
    random: &mut SplitMix,
    name: &str,
    dims: [usize; 2],
    format: BlockFormat,
) -> Result<(), Error> {
    let [rows, columns] = dims;
    let limit = (3.0 / columns as f32).sqrt();
    let pool = rows.min((POOL / columns).max(1));
    let weights: Vec<f32> = (0..pool * columns).map(|_| limit * random.signed()).collect();
    let bytes = |rows| format.bytes(rows, columns).ok_or_else(|| Error::invalid(name, "its size overflows"));
    let (row, mut stored) = (bytes(1)?, vec![0; bytes(rows)?]);
    let error = |error: kforge_quant::Error| Error::invalid(name, error.to_string());
    format.quantize_row(&weights, &mut stored[..pool * row]).map_err(error)?;
    for i in pool..rows {
        let from = (random.next() % pool as u64) as usize;
        stored.copy_within(from * row..(from + 1) * row, i * row);
    }
    writer.tensor(name, &dims, GgmlType::of_format(format), &stored);
    Ok(())
}

/// Weights of a norm, around 1, or a bias, around 0.
fn vector(writer: &mut Writer, random: &mut SplitMix, name: &str, size: usize, mean: f32) {
    let bytes: Vec<u8> = (0..size).flat_map(|_| (mean + 0.25 * random.signed()).to_le_bytes()).collect();
    writer.tensor(name, &[size], GgmlType::F32, &bytes);
}

/// SplitMix64: small, and the same on every machine. Source: Steele, Lea, Flood, OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [-1, 1), exact in f32.
    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_every_byte() {
        assert_eq!(gguf("tiny", 7).unwrap(), gguf("tiny", 7).unwrap());
        assert_ne!(gguf("tiny", 7).unwrap(), gguf("tiny", 8).unwrap());
    }

    #[test]
    fn a_large_matrix_repeats_rows() {
        let mut writer = Writer::new();
        matrix(&mut writer, &mut SplitMix(1), "w", [4096, 512], BlockFormat::Q8_0).unwrap();
        let file = writer.finish();
        let rows: Vec<&[u8]> = file[file.len() - 4096 * 544..].chunks(544).collect();
        let pool: std::collections::HashSet<&[u8]> = rows[..2048].iter().copied().collect();
        assert_eq!(pool.len(), 2048);
        assert!(rows[2048..].iter().all(|row| pool.contains(row)));
    }

    /// The first output of the reference implementation for seed 1234567.
    #[test]
    fn splitmix_is_the_published_one() {
        assert_eq!(SplitMix(1_234_567).next(), 6_457_827_717_110_365_317);
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = gguf("huge", 0).unwrap_err().to_string();
        let expected = "random model `huge`: there is no random model of this name; there are tiny, smollm2-135m, llama-8b, tiny-llama, ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn every_name_is_a_model() {
        for name in names().filter(|name| name.starts_with("tiny")) {
            let model = crate::Checkpoint::random(&name, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(model.config().name, Some(name));
        }
    }
}
