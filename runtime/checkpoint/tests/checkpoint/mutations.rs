//! Damaged copies of a valid file: they parse or give an error, and never panic, hang or allocate what they claim.

use crate::support::{hf_config, hf_tensors, open_directory, safetensors};
use jiff::civil::DateTime;
use kforge_checkpoint::gguf::Gguf;
use kforge_checkpoint::{Checkpoint, Conversation, Storage, random};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

/// The file of the random model, and where its tensor data starts: all that is parsed lies before.
static TINY: LazyLock<(Vec<u8>, usize)> = LazyLock::new(|| {
    let file = random::gguf("tiny", 3).unwrap();
    let gguf = Gguf::parse(Arc::new(Storage::from(file.clone()))).unwrap();
    let start = gguf.tensors().iter().map(|tensor| tensor.range.start).min().unwrap();
    (file, start)
});

/// Uses everything that a decoder would.
fn exercise(file: Vec<u8>) {
    let Ok(model) = Checkpoint::from_gguf(Storage::from(file)) else { return };
    model.describe();
    for name in model.names() {
        let _ = model.weight(&name).map(|weight| weight.bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        model.release(&name);
    }
    if let Ok(tokenizer) = model.tokenizer() {
        let _ = tokenizer.encode("a <|im_start|>é").and_then(|ids| tokenizer.decode(&ids));
        let _ = tokenizer.chat(&Conversation::of_user("a"), DateTime::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn flipped_bits(flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 1..4)) {
        let (file, start) = &*TINY;
        let mut file = file.clone();
        for (at, bit) in flips {
            file[at.index(*start)] ^= 1 << bit;
        }
        exercise(file);
    }

    /// Extreme lengths and counts, at any place.
    #[test]
    fn overwritten_numbers(at in any::<prop::sample::Index>(), value in prop::sample::select(vec![
        0, 1, u64::from(u32::MAX), 1 << 31, 1 << 40, 1 << 62, i64::MAX as u64, u64::MAX - 7, u64::MAX,
    ])) {
        let (file, start) = &*TINY;
        let mut file = file.clone();
        let at = at.index(start - 8);
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        exercise(file);
    }

    #[test]
    fn truncations_are_errors(length in any::<prop::sample::Index>()) {
        let (file, _) = &*TINY;
        // Without the padding after the last tensor's data, up to 31 bytes.
        let length = length.index(file.len() - 31);
        let truncated = file[..length].to_vec();
        prop_assert!(Checkpoint::from_gguf(Storage::from(truncated)).is_err(), "{length} bytes");
    }

    #[test]
    fn safetensors_headers(flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 1..4)) {
        let mut file = safetensors(&hf_tensors());
        let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        for (at, bit) in flips {
            file[at.index(header)] ^= 1 << bit;
        }
        let config = hf_config().to_string();
        if let Ok(model) = open_directory(&[("config.json", config.as_bytes()), ("model.safetensors", &file)]) {
            model.describe();
            for name in model.names() {
                let _ = model.weight(&name);
            }
        }
    }
}
