//! GGUF models in several files.

use super::support::{GgufModel, elements};
use kforge_checkpoint::Checkpoint;
use kforge_checkpoint::gguf::{GgmlType, ValueType, write::Writer};
use std::fs;
use std::path::{Path, PathBuf};

/// The small model in three files; the tensors of the second and third.
fn files(directory: &Path, parts: [&[(&str, &[usize])]; 2]) -> PathBuf {
    let path = |part: usize| directory.join(format!("model-{part:05}-of-00003.gguf"));
    let mut first = GgufModel::new().with(|writer| {
        writer.u32("split.no", 0).u32("split.count", 3).u32("split.tensors.count", 11);
    });
    for name in ["blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "output_norm.weight"] {
        first = first.without(name);
    }
    fs::write(path(1), first.bytes()).unwrap();
    for (i, tensors) in parts.into_iter().enumerate() {
        let mut writer = Writer::new();
        writer.u32("split.no", 1 + i as u32).u32("split.count", 3).u32("split.tensors.count", 11);
        for (name, dims) in tensors {
            let data: Vec<u8> =
                (0..elements(dims)).flat_map(|i| (i as f32 + dims.len() as f32).to_le_bytes()).collect();
            writer.tensor(name, dims, GgmlType::F32, &data);
        }
        fs::write(path(2 + i), writer.finish()).unwrap();
    }
    path(1)
}

const SECOND: &[(&str, &[usize])] = &[("blk.0.ffn_up.weight", &[32, 64]), ("blk.0.ffn_down.weight", &[64, 32])];
const THIRD: &[(&str, &[usize])] = &[("output_norm.weight", &[64])];

fn error(path: &Path) -> String {
    Checkpoint::open(path).unwrap_err().to_string()
}

#[test]
fn the_first_file_opens_them_all() {
    let directory = tempfile::tempdir().unwrap();
    let first = files(directory.path(), [SECOND, THIRD]);
    let model = Checkpoint::open(&first).unwrap();
    let value = |name: &str| f32::from_le_bytes(model.weight(name).unwrap().bytes[4..8].try_into().unwrap());
    assert_eq!(
        (value("blk.0.ffn_down.weight"), value("output_norm.weight"), value("blk.0.attn_q.weight")),
        (3.0, 2.0, 0.0)
    );
    assert_eq!(model.file_bytes(), (1..=3).map(|i| size(directory.path(), i)).sum::<u64>());
}

fn size(directory: &Path, part: usize) -> u64 {
    fs::metadata(directory.join(format!("model-{part:05}-of-00003.gguf"))).unwrap().len()
}

#[test]
fn files_that_do_not_belong_together_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let first = files(directory.path(), [SECOND, THIRD]);
    let [second, third] = [2, 3].map(|part| directory.path().join(format!("model-{part:05}-of-00003.gguf")));
    assert!(error(&second).contains("this is file 2 of 3; open the first"), "{}", error(&second));
    let far = GgufModel::new().with(|writer| {
        writer.u32("split.count", 3).raw("split.no", ValueType::U64.id(), &u64::MAX.to_le_bytes());
    });
    fs::write(directory.path().join("far.gguf"), far.bytes()).unwrap();
    assert!(error(&directory.path().join("far.gguf")).contains("of 3; open the first"));
    let renamed = directory.path().join("model.gguf");
    fs::copy(&first, &renamed).unwrap();
    assert!(error(&renamed).contains("open the first by its path"), "{}", error(&renamed));
    fs::copy(&second, &third).unwrap();
    assert!(
        error(&first).contains("00003-of-00003.gguf: metadata `split.no`: the file is not part 3 of 3"),
        "{}",
        error(&first)
    );
    fs::remove_file(&third).unwrap();
    assert!(error(&first).contains("00003-of-00003.gguf"), "{}", error(&first));
    let twice = files(directory.path(), [SECOND, &[("output_norm.weight", &[64]), ("token_embd.weight", &[4, 64])]]);
    assert!(
        error(&twice).contains("tensor `token_embd.weight`: another file of the model has it too"),
        "{}",
        error(&twice)
    );
    let fewer = files(directory.path(), [SECOND, &[]]);
    assert!(error(&fewer).contains("it is 11, but the 3 files have 10 tensors"), "{}", error(&fewer));
}
