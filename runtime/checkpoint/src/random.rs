//! Random models: real files in memory, so that they go through the same reader as any other.
//!
//! `tiny` has 2 layers, hidden size 64, 4 heads and 2 kv heads of 16, an MLP of 128, and an untied output. Matrices are
//! q8_0 and q4_0, norms f32. Its tokens are the 256 bytes and four special ones, without merges. The numbers mean
//! nothing, but they are of the size that a trained model's are: logits stay finite and differ.

use crate::Error;
use crate::gguf::{GgmlType, write::Writer};
use crate::tokenizer::byte_level;
use kforge_quant::BlockFormat;

const LAYERS: usize = 2;
const HIDDEN: usize = 64;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 16;
const FFN: usize = 128;
const CONTEXT: u32 = 512;
/// After the 256 bytes. GGUF's type of them is "control".
const SPECIAL: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"];
const VOCAB: usize = 256 + SPECIAL.len();
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
     message['content'] + '<|im_end|>' + '\n' }}{% endfor %}\
     {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// The bytes of a GGUF file: the model that [`Checkpoint::random`](crate::Checkpoint::random) opens.
///
/// # Errors
/// If `name` is not `tiny`.
pub fn gguf(name: &str, seed: u64) -> Result<Vec<u8>, Error> {
    if name != "tiny" {
        let cause = "there is no random model of this name; `tiny` is one";
        return Err(Error::invalid(format!("random model `{name}`"), cause));
    }
    let mut writer = Writer::new();
    write_config(&mut writer);
    write_tokenizer(&mut writer);
    write_weights(&mut writer, &mut SplitMix(seed))?;
    Ok(writer.finish())
}

fn write_config(writer: &mut Writer) {
    writer
        .string("general.architecture", "llama")
        .string("general.name", "tiny")
        .u32("llama.block_count", LAYERS as u32)
        .u32("llama.context_length", CONTEXT)
        .u32("llama.embedding_length", HIDDEN as u32)
        .u32("llama.feed_forward_length", FFN as u32)
        .u32("llama.attention.head_count", HEADS as u32)
        .u32("llama.attention.head_count_kv", KV_HEADS as u32)
        .u32("llama.attention.key_length", HEAD_DIM as u32)
        .u32("llama.rope.dimension_count", HEAD_DIM as u32)
        .u32("llama.vocab_size", VOCAB as u32)
        .f32("llama.rope.freq_base", 10_000.0)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
}

fn write_tokenizer(writer: &mut Writer) {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    let bytes = (0..=u8::MAX).map(|byte| byte_level::char_of(byte).to_string());
    let tokens: Vec<String> = bytes.chain(SPECIAL.map(str::to_owned)).collect();
    let types: Vec<i32> = (0..VOCAB).map(|id| if id < 256 { NORMAL } else { CONTROL }).collect();
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

fn write_weights(writer: &mut Writer, random: &mut SplitMix) -> Result<(), Error> {
    let (q8, q4) = (BlockFormat::Q8_0, BlockFormat::Q4_0);
    let (q_rows, kv_rows) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    // A trained embedding's rows are small; the norm before each block brings them to size.
    matrix(writer, random, "token_embd.weight", [VOCAB, HIDDEN], q8)?;
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        norm(writer, random, &name("attn_norm"));
        matrix(writer, random, &name("attn_q"), [q_rows, HIDDEN], q8)?;
        matrix(writer, random, &name("attn_k"), [kv_rows, HIDDEN], q8)?;
        matrix(writer, random, &name("attn_v"), [kv_rows, HIDDEN], q4)?;
        matrix(writer, random, &name("attn_output"), [HIDDEN, q_rows], q4)?;
        norm(writer, random, &name("ffn_norm"));
        matrix(writer, random, &name("ffn_gate"), [FFN, HIDDEN], q4)?;
        matrix(writer, random, &name("ffn_up"), [FFN, HIDDEN], q8)?;
        matrix(writer, random, &name("ffn_down"), [HIDDEN, FFN], q4)?;
    }
    norm(writer, random, "output_norm.weight");
    matrix(writer, random, "output.weight", [VOCAB, HIDDEN], q8)
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
    let weights: Vec<f32> = (0..rows * columns).map(|_| limit * random.signed()).collect();
    let mut bytes = vec![0; format.bytes(rows, columns).unwrap_or_default()];
    format.quantize_row(&weights, &mut bytes).map_err(|error| Error::invalid(name, error.to_string()))?;
    let ty = match format {
        BlockFormat::Q4_0 => GgmlType::Q4_0,
        BlockFormat::Q4_1 => GgmlType::Q4_1,
        BlockFormat::Q5_0 => GgmlType::Q5_0,
        BlockFormat::Q5_1 => GgmlType::Q5_1,
        BlockFormat::Q8_0 => GgmlType::Q8_0,
        BlockFormat::Q4_K => GgmlType::Q4_K,
        BlockFormat::Q5_K => GgmlType::Q5_K,
        BlockFormat::Q6_K => GgmlType::Q6_K,
    };
    writer.tensor(name, &dims, ty, &bytes);
    Ok(())
}

/// Weights around 1.
fn norm(writer: &mut Writer, random: &mut SplitMix, name: &str) {
    let bytes: Vec<u8> = (0..HIDDEN).flat_map(|_| (1.0 + 0.25 * random.signed()).to_le_bytes()).collect();
    writer.tensor(name, &[HIDDEN], GgmlType::F32, &bytes);
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

    /// The first output of the reference implementation for seed 1234567.
    #[test]
    fn splitmix_is_the_published_one() {
        assert_eq!(SplitMix(1_234_567).next(), 6_457_827_717_110_365_317);
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = gguf("huge", 0).unwrap_err().to_string();
        assert_eq!(error, "random model `huge`: there is no random model of this name; `tiny` is one");
    }
}
