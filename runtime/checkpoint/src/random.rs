//! Random models: real files in memory, so that they go through the same reader as any other.
//!
//! Their tokens are the 256 bytes, four special ones, and as many that stand for nothing as the vocabulary has more,
//! without merges. The numbers mean nothing, but they are of the size that a trained model's are: logits stay finite and
//! differ. A matrix of more than a million weights repeats rows of the first million, as its speed is all that it is for.

use crate::gguf::{GgmlType, write::Writer};
use crate::tokenizer::byte_level;
use crate::tokenizer::gguf::{CONTROL, NORMAL};
use crate::{Element, Error};
use kforge_quant::BlockFormat;

/// Sizes of a model, and how each of its matrices is stored.
struct Sizes {
    name: &'static str,
    layers: usize,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    ffn: usize,
    vocab: usize,
    context: u32,
    rope_base: f32,
    /// Whether the output is the embedding.
    tied: bool,
    /// By a tensor's name without layer and `.weight`.
    format: fn(&str) -> BlockFormat,
}

const MODELS: [Sizes; 3] = [
    // Every kind of thing, small: the output is a matrix of its own, and formats alternate.
    Sizes {
        name: "tiny",
        layers: 2,
        hidden: 64,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        ffn: 128,
        vocab: 260,
        context: 512,
        rope_base: 1e4,
        tied: false,
        format: |name| match name {
            "attn_v" | "attn_output" | "ffn_gate" | "ffn_down" => BlockFormat::Q4_0,
            _ => BlockFormat::Q8_0,
        },
    },
    // As the file that `make model` fetches.
    Sizes {
        name: "smollm2-135m",
        layers: 30,
        hidden: 576,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        ffn: 1536,
        vocab: 49152,
        context: 8192,
        rope_base: 1e5,
        tied: true,
        format: |name| if name == "token_embd" { BlockFormat::Q8_0 } else { BlockFormat::Q4_1 },
    },
    Sizes {
        name: "llama-8b",
        layers: 32,
        hidden: 4096,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        ffn: 14336,
        vocab: 128_256,
        context: 8192,
        rope_base: 5e5,
        tied: false,
        format: |_| BlockFormat::Q4_K,
    },
];

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
    let Some(sizes) = MODELS.iter().find(|sizes| sizes.name == name) else {
        let cause = format!("there is no random model of this name; there are {}", MODELS.map(|m| m.name).join(", "));
        return Err(Error::invalid(format!("random model `{name}`"), cause));
    };
    let mut writer = Writer::new();
    write_config(sizes, &mut writer);
    write_tokenizer(sizes, &mut writer);
    write_weights(sizes, &mut writer, &mut SplitMix(seed))?;
    Ok(writer.finish())
}

fn write_config(sizes: &Sizes, writer: &mut Writer) {
    writer
        .string("general.architecture", "llama")
        .string("general.name", sizes.name)
        .u32("llama.block_count", sizes.layers as u32)
        .u32("llama.context_length", sizes.context)
        .u32("llama.embedding_length", sizes.hidden as u32)
        .u32("llama.feed_forward_length", sizes.ffn as u32)
        .u32("llama.attention.head_count", sizes.heads as u32)
        .u32("llama.attention.head_count_kv", sizes.kv_heads as u32)
        .u32("llama.attention.key_length", sizes.head_dim as u32)
        .u32("llama.rope.dimension_count", sizes.head_dim as u32)
        .u32("llama.vocab_size", sizes.vocab as u32)
        .f32("llama.rope.freq_base", sizes.rope_base)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
}

fn write_tokenizer(sizes: &Sizes, writer: &mut Writer) {
    let bytes = (0..=u8::MAX).map(|byte| byte_level::char_of(byte).to_string());
    let named = 256 + SPECIAL.len();
    let others = (named..sizes.vocab).map(|id| format!("<|{id}|>"));
    let tokens: Vec<String> = bytes.chain(SPECIAL.map(str::to_owned)).chain(others).collect();
    let types: Vec<i32> = (0..sizes.vocab).map(|id| if id < 256 { NORMAL } else { CONTROL }).collect();
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

fn write_weights(sizes: &Sizes, writer: &mut Writer, random: &mut SplitMix) -> Result<(), Error> {
    let Sizes { layers, hidden, ffn, vocab, .. } = *sizes;
    let (q_rows, kv_rows) = (sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim);
    let matrix = |writer: &mut Writer, random: &mut SplitMix, prefix: &str, part: &str, dims| {
        matrix(writer, random, &format!("{prefix}{part}.weight"), dims, (sizes.format)(part))
    };
    // A trained embedding's rows are small; the norm before each block brings them to size.
    matrix(writer, random, "", "token_embd", [vocab, hidden])?;
    for layer in 0..layers {
        let prefix = format!("blk.{layer}.");
        norm(writer, random, &format!("{prefix}attn_norm.weight"), hidden);
        matrix(writer, random, &prefix, "attn_q", [q_rows, hidden])?;
        matrix(writer, random, &prefix, "attn_k", [kv_rows, hidden])?;
        matrix(writer, random, &prefix, "attn_v", [kv_rows, hidden])?;
        matrix(writer, random, &prefix, "attn_output", [hidden, q_rows])?;
        norm(writer, random, &format!("{prefix}ffn_norm.weight"), hidden);
        matrix(writer, random, &prefix, "ffn_gate", [ffn, hidden])?;
        matrix(writer, random, &prefix, "ffn_up", [ffn, hidden])?;
        matrix(writer, random, &prefix, "ffn_down", [hidden, ffn])?;
    }
    norm(writer, random, "output_norm.weight", hidden);
    if sizes.tied { Ok(()) } else { matrix(writer, random, "", "output", [vocab, hidden]) }
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
    writer.tensor(name, &dims, Element::Quant(format).ggml(), &stored);
    Ok(())
}

/// Weights around 1.
fn norm(writer: &mut Writer, random: &mut SplitMix, name: &str, size: usize) {
    let bytes: Vec<u8> = (0..size).flat_map(|_| (1.0 + 0.25 * random.signed()).to_le_bytes()).collect();
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
        assert_eq!(
            error,
            "random model `huge`: there is no random model of this name; there are tiny, smollm2-135m, llama-8b"
        );
    }
}
