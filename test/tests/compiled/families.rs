//! Every model family, compared with logits of transformers (`scripts/family_logits.py`). Comparing with the
//! interpreter would not suffice: it runs the same module, and cannot detect a missing op.

use kforge_checkpoint::{Checkpoint, write, write::Dequantized};
use kforge_lowering::compile::{self, Options};
use kforge_models::{Arch, Emission};
use kforge_reference::{Element, random};
use kforge_runtime::{Decoder, gpu};
use kforge_target::Isa;
use kforge_test::{
    model::Model,
    run::{self, isas},
};
use safetensors::{Dtype, tensor::TensorView};
use serde::Deserialize;
use std::{collections::BTreeMap, fs::File, path::Path};

/// Largest difference of a logit, of up to 4: sums of 64 to 128 products in another order.
const TOLERANCE: f32 = 2e-5;
/// On a GPU, where the order of sums depends on the kernel.
const GPU_TOLERANCE: f32 = 1e-4;

/// A file of `test/data/families`.
#[derive(Deserialize)]
struct Family {
    config: serde_json::Value,
    /// Shapes by Hugging Face's names, in file order.
    tensors: BTreeMap<String, Vec<usize>>,
    tokens: Vec<u32>,
    /// After the last token.
    logits: Vec<f32>,
}

/// The files with their names; each family has one.
fn families() -> BTreeMap<String, Family> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/families");
    let files = std::fs::read_dir(&folder).expect("the folder is in the repository");
    let family = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).expect("what the script writes"))
    };
    let families: BTreeMap<_, _> = files.map(|file| family(file.expect("a file").path())).collect();
    assert!(Arch::ALL.iter().all(|arch| families.contains_key(arch.name)), "a family has no file");
    families
}

/// The family that a file's name begins with.
fn arch(name: &str) -> &'static Arch {
    Arch::of_hugging_face(name.split('-').next().unwrap_or(name)).expect("a family of the table")
}

/// The model as a Hugging Face folder, and as a GGUF file converted from it; `None` for a scaling that is not written so.
fn checkpoints(family: &Family, directory: &Path) -> (Checkpoint, Option<Checkpoint>) {
    let tensors: Vec<(&String, &Vec<usize>, Vec<u8>)> = family
        .tensors
        .iter()
        .enumerate()
        .map(|(seed, (name, dims))| {
            let base = if dims.len() == 1 && !name.ends_with(".bias") { 1.0 } else { 0.0 };
            let values = random::uniform(seed as u64, dims, Element::F32).expect("a small tensor").to_f32();
            (name, dims, values.iter().flat_map(|value| (0.25 * value + base).to_le_bytes()).collect())
        })
        .collect();
    let views = tensors.iter().map(|(name, dims, bytes)| {
        (name, TensorView::new(Dtype::F32, dims.to_vec(), bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize_to_file(views, None, &directory.join("model.safetensors")).expect("a file");
    std::fs::write(directory.join("config.json"), family.config.to_string()).expect("a file");
    // A GGUF file needs a tokenizer: that of random models.
    let random = Checkpoint::random("tiny", 1).expect("random weights");
    let with_tokenizer = directory.join("random");
    write::hugging_face(&random, &with_tokenizer, Dequantized::F32, |_| ()).expect("random weights as a folder");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(with_tokenizer.join(name), directory.join(name)).expect("a copy");
    }
    let folder = Checkpoint::open(directory).expect("what was written");
    let file = directory.join("model.gguf");
    match write::gguf(&folder, File::create(&file).expect("a file")) {
        Err(error) if error.to_string().contains("yarn scaling is not written") => return (folder, None),
        written => written.expect("the folder as a file"),
    }
    (folder, Some(Checkpoint::open(&file).expect("what was written")))
}

fn emission(family: &Family) -> Emission {
    Emission { context: family.tokens.len(), ..Emission::default() }
}

/// Checks the logits after the last token: with all tokens at once, and with the last four one by one.
fn check(decoder: impl Fn() -> Decoder, family: &Family, tolerance: f32, what: &str) {
    let close = |logits: &[f32], how: &str| {
        let error = logits.iter().zip(&family.logits).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
        assert_eq!(logits.len(), family.logits.len(), "{what}, {how}");
        assert!(error <= tolerance, "{what}, {how}: a logit is off by {error}");
    };
    close(decoder().prefill(&family.tokens).expect("a prompt").values, "at once");
    let (prompt, rest) = family.tokens.split_at(family.tokens.len() - 4);
    let mut decoder = decoder();
    decoder.prefill(prompt).expect("a prompt");
    let mut last = vec![];
    for token in rest {
        last = decoder.decode(*token).expect("a token").values.to_vec();
    }
    close(&last, "token by token");
}

#[test]
fn are_as_transformers_says() {
    for (name, family) in families() {
        let arch = arch(&name);
        let narrowest = *isas().last().expect("the host's");
        let directory = tempfile::tempdir().expect("a directory");
        let (folder, file) = checkpoints(&family, directory.path());
        assert_eq!(folder.config().arch, arch);
        assert!(file.as_ref().is_none_or(|file| file.config().arch.gguf == arch.gguf), "{name}");
        let models = [("safetensors", Some(folder), narrowest), ("GGUF", file, Isa::host())];
        for (format, checkpoint, isa) in models {
            let Some(checkpoint) = checkpoint else { continue };
            let model = Model::emitted(checkpoint, emission(&family));
            let compiled = model.compile(isa);
            let what = format!("{name}, {format}, {isa}");
            check(|| model.decoder(&compiled, 2, family.tokens.len()), &family, TOLERANCE, &what);
        }
    }
}

#[test]
fn on_a_gpu_are_as_transformers_says() {
    for (name, family) in families() {
        let directory = tempfile::tempdir().expect("a directory");
        let (folder, file) = checkpoints(&family, directory.path());
        let model = Model::emitted(file.unwrap_or(folder), emission(&family));
        for adapter in run::adapters() {
            let compiled = compile::compile(&model.source, &adapter, Options::default()).expect("the model compiles");
            let decoder = || {
                let executor = gpu::Executor::new(run::gpu(), compiled.program.clone(), &compiled.code);
                model.decoder_on(Box::new(executor.expect("the shaders compile")), family.tokens.len())
            };
            check(decoder, &family, GPU_TOLERANCE, &format!("{name}, {adapter}"));
        }
    }
}
