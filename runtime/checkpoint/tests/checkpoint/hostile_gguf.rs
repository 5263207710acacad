//! GGUF files that are truncated, damaged or malicious: one clear error each.

use crate::support::GgufModel;
use kforge_checkpoint::gguf::write::Writer;
use kforge_checkpoint::gguf::{GgmlType, ValueType};
use kforge_checkpoint::{Checkpoint, Storage};
use kforge_quant::BlockFormat;

/// Offsets in the file of [`GgufModel`]: the header, then the first entry, `general.architecture`.
const VERSION: usize = 4;
const TENSORS: usize = 8;
const ENTRIES: usize = 16;
const KEY_LENGTH: usize = 24;
const KEY: usize = 32;
const TYPE: usize = KEY + "general.architecture".len();
const VALUE_LENGTH: usize = TYPE + 4;
const VALUE: usize = VALUE_LENGTH + 8;

fn error_of(file: Vec<u8>) -> String {
    match Checkpoint::from_gguf(Storage::from(file)) {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The valid file with these bytes written over it.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = GgufModel::new().bytes();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// The valid file, whose first tensor has an entry after all metadata, patched `at` bytes after that tensor's name.
fn patched_tensor(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = GgufModel::new().bytes();
    let name = b"token_embd.weight";
    let start = file.windows(name.len()).position(|window| window == name).unwrap() + name.len() + at;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    file
}

const RANK: usize = 0;
const FIRST_DIM: usize = 4;
const TENSOR_TYPE: usize = 20;
const OFFSET: usize = 24;

#[test]
fn the_valid_file_opens() {
    assert_eq!(error_of(GgufModel::new().bytes()), "no error");
}

#[test]
fn damaged_structure() {
    let huge = u64::MAX.to_le_bytes();
    let cases = [
        (Vec::new(), "the header: 4 bytes are needed at byte 0, but the file has only 0 left"),
        (b"PK\x03\x04 and more".to_vec(), "the header: not a GGUF file: it starts with [50, 4b, 03, 04]"),
        (patched(VERSION, &9u32.to_le_bytes()), "the header: GGUF version 9 is not supported; 2 and 3 are"),
        (patched(VERSION, &1u32.to_le_bytes()), "the header: GGUF version 1 is not supported"),
        (patched(VERSION, &3u32.to_be_bytes()), "the header: big-endian GGUF files are not supported"),
        (patched(TENSORS, &huge), "the header: a count of 18446744073709551615 at byte 8 cannot be right"),
        (patched(TENSORS, &(1u64 << 32).to_le_bytes()), "the header: a count of 4294967296 at byte 8 cannot be right"),
        (patched(ENTRIES, &huge), "the header: a count of 18446744073709551615 at byte 16 cannot be right"),
        (patched(ENTRIES, &99u64.to_le_bytes()), "the name of metadata entry 9: "),
        (patched(KEY_LENGTH, &huge), "the name of metadata entry 0: 18446744073709551615 bytes are needed at byte 32"),
        (patched(KEY_LENGTH, &0u64.to_le_bytes()), "metadata entry 0: the name is empty"),
        (patched(KEY, &[0xff]), "the name of metadata entry 0: the string at byte 32 is not valid UTF-8"),
        (patched(TYPE, &13u32.to_le_bytes()), "metadata `general.architecture`: unknown value type 13"),
        (patched(VALUE_LENGTH, &huge), "metadata `general.architecture`: 18446744073709551615 bytes are needed"),
        (patched(VALUE, &[0xc3]), "metadata `general.architecture`: the string at byte 64 is not valid UTF-8"),
        (patched_tensor(RANK, &0u32.to_le_bytes()), "tensor `token_embd.weight`: 0 dimensions; 1 to 4 are allowed"),
        (patched_tensor(RANK, &5u32.to_le_bytes()), "tensor `token_embd.weight`: 5 dimensions; 1 to 4 are allowed"),
        (patched_tensor(FIRST_DIM, &[0; 8]), "tensor `token_embd.weight`: dimension 0 is zero"),
        (patched_tensor(FIRST_DIM, &huge), "tensor `token_embd.weight`: dimensions [18446744073709551615, 4] overflow"),
        (
            patched_tensor(FIRST_DIM, &(1u64 << 60).to_le_bytes()),
            "tensor `token_embd.weight`: dimensions [1152921504606846976, 4] overflow a size in bytes",
        ),
        (
            patched_tensor(FIRST_DIM, &(1u64 << 50).to_le_bytes()),
            "tensor `token_embd.weight`: its 18014398509481984 bytes at offset 0 end after the tensor data",
        ),
        (patched_tensor(TENSOR_TYPE, &4u32.to_le_bytes()), "tensor `token_embd.weight`: unknown tensor type 4"),
        (
            patched_tensor(TENSOR_TYPE, &12u32.to_le_bytes()),
            "tensor `token_embd.weight`: rows of 64 elements are not a whole number of Q4_K blocks of 256",
        ),
        (patched_tensor(OFFSET, &1u64.to_le_bytes()), "tensor `token_embd.weight`: offset 1 is not a multiple"),
        (
            patched_tensor(OFFSET, &(u64::MAX - 31).to_le_bytes()),
            "tensor `token_embd.weight`: its 1024 bytes at offset 18446744073709551584 end after the tensor data",
        ),
        (
            patched_tensor(OFFSET, &1024u64.to_le_bytes()),
            "tensor `blk.0.attn_norm.weight`: its data overlaps the data of tensor `token_embd.weight`",
        ),
    ];
    for (file, expected) in cases {
        let error = error_of(file);
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

/// Formats with blocks of 256 in the sizes that ggml gives them, and nothing beside the data that a file holds.
#[test]
fn blocks_of_256() {
    for (format, bytes) in [
        (BlockFormat::Q2_K, 84),
        (BlockFormat::Q3_K, 110),
        (BlockFormat::Q4_K, 144),
        (BlockFormat::Q5_K, 176),
        (BlockFormat::Q6_K, 210),
        (BlockFormat::IQ4_XS, 136),
    ] {
        let ty = GgmlType::of_format(format);
        let model = |dims: &[usize], data: usize| {
            let dims = dims.to_vec();
            GgufModel::new().with(move |writer| {
                writer.tensor("more.weight", &dims, ty, &vec![0; data]);
            })
        };
        // Whole: what is wrong with it is that no model has it.
        let whole = error_of(model(&[2, 512], 4 * bytes).bytes());
        assert!(whole.starts_with("tensor `more.weight`: no model"), "{whole}");
        assert_eq!(ty.element().unwrap().row_bytes(512), Some(2 * bytes));
        assert_eq!(ty.element().unwrap().row_bytes(320), None);
        for (dims, data, expected) in [
            (vec![2, 512], 4 * bytes - 32, "tensor `token_embd.weight`: its data overlaps".to_owned()),
            (vec![2, 1 << 40], 4 * bytes, "tensor `more.weight`: its ".to_owned()),
            (vec![1 << 56, 1 << 40], 4 * bytes, "tensor `more.weight`: dimensions ".to_owned()),
            (vec![1, 320], bytes, format!("tensor `more.weight`: rows of 320 elements are not a whole number of {ty}")),
        ] {
            let error = error_of(model(&dims, data).bytes());
            assert!(error.starts_with(&expected), "{error}\nexpected {expected}");
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    let file = GgufModel::new().bytes();
    // The last tensor's data, and it has no padding.
    let data = file.len() - 256;
    for length in (0..data).chain([file.len() - 1]) {
        let error = error_of(file[..length].to_vec());
        assert!(
            ["bytes are needed", "cannot be right", "end after the tensor data"]
                .iter()
                .any(|text| error.contains(text)),
            "{length} bytes: {error}"
        );
    }
}

#[test]
fn hostile_metadata() {
    type Write = Box<dyn Fn(&mut Writer)>;
    fn raw(key: &'static str, ty: u32, value: Vec<u8>) -> Write {
        Box::new(move |writer| {
            writer.raw(key, ty, &value);
        })
    }
    let array = |element: u32, len: u64| [&element.to_le_bytes()[..], &len.to_le_bytes()].concat();
    let array_type = ValueType::Array.id();
    let nested = [array(array_type, 1).repeat(5), array(0, 0)].concat();
    let cases: [(Write, &str); 12] = [
        (raw("x", 7, vec![2]), "metadata `x`: a bool is stored as 2; 0 and 1 are allowed"),
        (raw("x", array_type, array(0, u64::MAX)), "metadata `x`: a count of 18446744073709551615 at byte"),
        (raw("x", array_type, array(8, 1 << 40)), "metadata `x`: a count of 1099511627776 at byte"),
        (raw("x", array_type, array(13, 1)), "metadata `x`: unknown value type 13"),
        (raw("x", array_type, nested), "metadata `x`: arrays are nested more than 4 deep"),
        (
            raw("x", array_type, [array(7, 2), vec![1, 7]].concat()),
            "metadata `x`: a bool is stored as 7; 0 and 1 are allowed",
        ),
        (
            raw("x", array_type, [array(8, 1), u64::MAX.to_le_bytes().to_vec()].concat()),
            "metadata `x`: 18446744073709551615 bytes are needed",
        ),
        (
            Box::new(|writer| {
                writer.u32("x", 1).u32("x", 2);
            }),
            "metadata `x`: the name appears twice",
        ),
        (
            Box::new(|writer| {
                writer.u32("general.alignment", 0);
            }),
            "metadata `general.alignment`: an alignment of 0",
        ),
        (
            Box::new(|writer| {
                writer.u32("general.alignment", 24);
            }),
            "metadata `general.alignment`: an alignment of 24",
        ),
        (
            Box::new(|writer| {
                writer.string("general.alignment", "32");
            }),
            "metadata `general.alignment`: expected a u32, found string",
        ),
        (
            Box::new(|writer| {
                writer.u32("split.count", 3);
            }),
            "metadata `split.count`: the model is split into 3 files",
        ),
    ];
    for (write, expected) in cases {
        let error = error_of(GgufModel::new().with(write).bytes());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn configs_that_are_missing_or_make_no_sense() {
    for key in [
        "general.architecture",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
    ] {
        let error = error_of(GgufModel::new().without(key).bytes());
        assert_eq!(error, format!("metadata `{key}`: the key is missing"));
    }
    type Write = fn(&mut Writer, &'static str);
    let config = "the model's config: ";
    let cases: [(&'static str, Write, &str); 18] = [
        (
            "general.architecture",
            |writer, key| {
                writer.string(key, "qwen3moe");
            },
            "metadata `general.architecture`: architecture `qwen3moe` is not supported; llama, qwen2, qwen3, ",
        ),
        (
            "llama.block_count",
            |writer, key| {
                writer.string(key, "1");
            },
            "metadata `llama.block_count`: expected an integer, found string",
        ),
        (
            "llama.block_count",
            |writer, key| {
                writer.raw(key, ValueType::I32.id(), &(-1i32).to_le_bytes());
            },
            "metadata `llama.block_count`: the value -1 is out of range",
        ),
        (
            "llama.block_count",
            |writer, key| {
                writer.u32(key, u32::MAX);
            },
            "layers of 4294967295 cannot be right",
        ),
        (
            "llama.block_count",
            |writer, key| {
                writer.u32(key, 0);
            },
            "layers of 0 cannot be right",
        ),
        (
            "llama.block_count",
            |writer, key| {
                writer.u32(key, 2);
            },
            "tensor `blk.1.attn_norm.weight`: the tensor is missing",
        ),
        (
            "llama.embedding_length",
            |writer, key| {
                writer.u32(key, 65);
            },
            "hidden size 65 is not a multiple of 2 heads",
        ),
        (
            "llama.embedding_length",
            |writer, key| {
                writer.u32(key, 128);
            },
            "tensor `token_embd.weight`: its shape is [4, 64], but the model's config says [4, 128]",
        ),
        (
            "llama.attention.head_count",
            |writer, key| {
                writer.u32(key, 0);
            },
            "hidden size 64 is not a multiple of 0 heads",
        ),
        (
            "llama.attention.head_count",
            |writer, key| {
                writer.u32(key, 64);
            },
            "a head dimension of 1 is odd",
        ),
        (
            "llama.attention.head_count_kv",
            |writer, key| {
                writer.u32(key, 0);
            },
            "kv heads of 0 cannot be right",
        ),
        (
            "llama.attention.head_count_kv",
            |writer, key| {
                writer.u32(key, 3);
            },
            "2 heads are not a multiple of 3 kv heads",
        ),
        (
            "llama.attention.head_count_kv",
            |writer, key| {
                writer.i32s(key, &[1, 1]);
            },
            "metadata `llama.attention.head_count_kv`: expected an integer, found array",
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            |writer, key| {
                writer.f32(key, f32::NAN);
            },
            "norm epsilon of NaN cannot be right; it is a finite number above zero",
        ),
        (
            "llama.rope.freq_base",
            |writer, key| {
                writer.f32(key, f32::INFINITY);
            },
            "rope base of inf cannot be right",
        ),
        (
            "llama.rope.dimension_count",
            |writer, key| {
                writer.u32(key, 33);
            },
            "33 rotated elements of a head of 32 cannot be right",
        ),
        (
            "llama.rope.scaling.type",
            |writer, key| {
                writer.string(key, "dynamic");
            },
            "metadata `llama.rope.scaling.type`: rope scaling `dynamic` is not supported; none, linear, yarn and ",
        ),
        (
            "llama.expert_count",
            |writer, key| {
                writer.u32(key, 8);
            },
            "metadata `llama.expert_count`: mixtures of experts are not supported",
        ),
    ];
    for (key, write, expected) in cases {
        let model = GgufModel::new().without(key).with(move |writer| write(writer, key));
        let error = error_of(model.bytes());
        let found = error.strip_prefix(config).unwrap_or(&error);
        assert!(found.starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn a_head_dimension_allocates_nothing_before_it_is_checked() {
    let model = GgufModel::new().with(|writer| {
        writer.u32("llama.attention.key_length", u32::MAX - 1).f32("llama.rope.scaling.factor", 2.0);
    });
    let error = error_of(model.bytes());
    assert_eq!(error, "the model's config: head dimension of 4294967294 cannot be right; 1 to 8192 are allowed");
}

#[test]
fn tensors_that_do_not_fit_the_model() {
    type Write = fn(&mut Writer);
    let cases: [(&str, Write, &str); 7] = [
        ("token_embd.weight", |_| (), "tensor `token_embd.weight`: the tensor is missing"),
        ("blk.0.ffn_up.weight", |_| (), "tensor `blk.0.ffn_up.weight`: the tensor is missing"),
        (
            "blk.0.attn_k.weight",
            |writer| {
                writer.tensor("blk.0.attn_k.weight", &[64, 32], GgmlType::F32, &[0; 8192]);
            },
            "tensor `blk.0.attn_k.weight`: its shape is [64, 32], but the model's config says [32, 64]",
        ),
        (
            "output_norm.weight",
            |writer| {
                writer.tensor("output_norm.weight", &[1, 64], GgmlType::F32, &[0; 256]);
            },
            "tensor `output_norm.weight`: its shape is [1, 64], but the model's config says [64]",
        ),
        (
            "",
            |writer| {
                writer.tensor("token_embd.weight", &[1], GgmlType::F32, &[0; 4]);
            },
            "tensor `token_embd.weight`: the name appears twice",
        ),
        (
            "",
            |writer| {
                writer.tensor("blk.0.attn_q_norm.weight", &[32], GgmlType::F32, &[0; 128]);
            },
            "tensor `blk.0.attn_q_norm.weight`: no model of a supported architecture has it",
        ),
        (
            "",
            |writer| {
                writer.tensor("rope_freqs.weight", &[16], GgmlType::F16, &[0; 32]);
            },
            "tensor `rope_freqs.weight`: F16 [16], but [16] of F32 are needed",
        ),
    ];
    for (without, write, expected) in cases {
        let error = error_of(GgufModel::new().without(without).with(write).bytes());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

/// Such a file opens, so that it can be inspected; the weight itself is the error.
#[test]
fn types_that_we_do_not_compute_with() {
    let model = GgufModel::new()
        .without("blk.0.attn_norm.weight")
        .without("blk.0.attn_q.weight")
        .with(|writer| {
            writer.tensor("blk.0.attn_norm.weight", &[64], GgmlType::of_format(BlockFormat::Q8_0), &[0; 68]);
            let nvfp4 = GgmlType::from_id(40).unwrap();
            writer.tensor("blk.0.attn_q.weight", &[64, 64], nvfp4, &[0; 64 * 36]);
        })
        .open()
        .unwrap();
    assert_eq!(
        model.weight("blk.0.attn_q.weight").unwrap_err().to_string(),
        "tensor `blk.0.attn_q.weight`: type NVFP4 is not supported; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS and MXFP4 are"
    );
    assert_eq!(
        model.weight("blk.0.attn_norm.weight").unwrap_err().to_string(),
        "tensor `blk.0.attn_norm.weight`: type Q8_0 is not supported for norms and biases; F32, F16 and BF16 are"
    );
    assert!(model.describe().tensors.iter().any(|row| row.ty == "NVFP4"));
}
