//! Decoding token by token through the caches gives the same as one pass over all tokens.

use kforge_checkpoint::Checkpoint;
use kforge_dialect::Interpreter;
use kforge_engine::module::{emit, set_weights};
use kforge_lowering::compile::{self, Compiled, Options};
use kforge_models::{Emission, KvType, Phase, Returns, RopeMode, to_hugging_face};
use kforge_program::Program;
use kforge_reference::Tensor;
use kforge_runtime::{
    Decoder, Error, Execute, Executor, KernelTime, Result, View, gpu,
    sample::{Sampler, Sampling},
};
use kforge_target::Isa;
use kforge_test::{
    model::{Model, same_logits, tokens},
    run::{self, THREADS, isas, near},
};
use safetensors::{Dtype, tensor::TensorView};
use std::{
    path::Path,
    sync::{OnceLock, mpsc},
};

/// A model of a few thousand weights, compiled once for each instruction set of this machine.
fn tiny() -> &'static (Model, Vec<(Isa, Compiled)>) {
    static TINY: OnceLock<(Model, Vec<(Isa, Compiled)>)> = OnceLock::new();
    TINY.get_or_init(|| {
        let model = Model::new(Checkpoint::random("tiny", 1).expect("random weights"), KvType::F32);
        let compiled = isas().into_iter().map(|isa| (isa, model.compile(isa))).collect();
        (model, compiled)
    })
}

/// An executor whose GPU fails at call number `calls`, counted from 0.
struct Failing {
    inner: Box<dyn Execute>,
    calls: usize,
}

impl Execute for Failing {
    fn program(&self) -> &Program {
        self.inner.program()
    }
    fn set_weight(&mut self, name: &str, weight: View) -> Result<()> {
        self.inner.set_weight(name, weight)
    }
    fn make_state(&mut self, name: &str, dims: &[usize]) -> Result<()> {
        self.inner.make_state(name, dims)
    }
    fn read_state(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.read_state(name)
    }
    fn run(&mut self, name: &str, inputs: &[View]) -> Result<usize> {
        let lost = || Error::Gpu("the device was lost: a test".into());
        self.calls = self.calls.checked_sub(1).ok_or_else(lost)?;
        self.inner.run(name, inputs)
    }
    fn result(&self, function: usize, index: usize) -> Option<View<'_>> {
        self.inner.result(function, index)
    }
    fn rerun(&mut self, name: &str, times: u64) -> Result<()> {
        self.inner.rerun(name, times)
    }
    fn start_profile(&mut self) -> Result<()> {
        self.inner.start_profile()
    }
    fn end_profile(&mut self) -> Option<Vec<KernelTime>> {
        self.inner.end_profile()
    }
    fn machine(&self) -> String {
        self.inner.machine()
    }
    fn is_gpu(&self) -> bool {
        true
    }
    fn threads(&self) -> usize {
        1
    }
}

/// When the device is lost, another executor prefills the tokens so far and continues, with the same bits as if it had
/// been used from the start.
#[test]
fn another_executor_goes_on_where_the_gpu_fails() {
    let (model, compiled) = tiny();
    let compiled = &compiled[0].1;
    let ids = tokens(12, model.checkpoint.config().vocab);
    let executor = || -> Box<dyn Execute> {
        Box::new(Executor::new(compiled.program.clone(), &compiled.code, 1).expect("the object loads"))
    };
    let failing = |calls| model.decoder_on(Box::new(Failing { inner: executor(), calls }), ids.len());
    for calls in 0..9 {
        let mut expected = model.decoder(compiled, 1, ids.len());
        let (sender, warnings) = mpsc::channel();
        let mut other = executor();
        set_weights(&mut *other, &model.checkpoint, |_| ()).expect("the weights fit");
        let mut actual = failing(calls).with_fallback(Box::new(move |error| {
            sender.send(error.to_string()).expect("the test listens");
            Ok(other)
        }));
        let what = |position| format!("lost at call {calls}, {position} tokens");
        let prompt = actual.prefill(&ids[..4]).expect("a prompt").values.to_vec();
        same_logits(&prompt, expected.prefill(&ids[..4]).expect("a prompt").values, &what(4));
        for (i, id) in ids.iter().enumerate().skip(4) {
            let step = actual.decode(*id).expect("a token").values.to_vec();
            same_logits(&step, expected.decode(*id).expect("a token").values, &what(i + 1));
            assert_eq!(actual.position(), i + 1);
        }
        assert_eq!(warnings.try_iter().collect::<Vec<_>>(), ["the GPU: the device was lost: a test"], "{calls}");
    }
    // Without a fallback, and if it is not a GPU that failed, the caller gets the error.
    let mut alone = failing(1);
    alone.prefill(&ids[..4]).expect("a prompt");
    let error = alone.decode(ids[4]).expect_err("there is no other").to_string();
    assert_eq!(error, "the GPU: the device was lost: a test");
    let mut full = failing(9).with_fallback(Box::new(|_| panic!("no GPU has failed")));
    full.prefill(&ids).expect("a prompt that fills the context");
    assert!(full.decode(0).expect_err("no room").to_string().starts_with("the context of 12 tokens is full"));
}

/// Largest difference of a logit on a GPU, where the order of sums depends on the kernel: decoding uses a GEMV, prefill
/// a GEMM. With f16 caches a last bit may round a key the other way, by 2^-11 of itself.
const GPU_TOLERANCE: [(KvType, f32); 2] = [(KvType::F32, 1e-4), (KvType::F16, 1e-3)];

#[test]
fn a_tiny_model_on_a_gpu_token_by_token() {
    for (kv_type, tolerance) in GPU_TOLERANCE {
        let model = Model::new(Checkpoint::random("tiny", 1).expect("random weights"), kv_type);
        let ids = tokens(64, model.checkpoint.config().vocab);
        let expected = model.decoder(&model.compile(Isa::host()), 2, 64).score(&ids).expect("a pass over all").to_vec();
        // f16 caches cannot be written without f16.
        for adapter in run::adapters().into_iter().filter(|adapter| adapter.f16 || kv_type == KvType::F32) {
            let compiled = compile::compile(&model.source, &adapter, Options::default()).expect("the model compiles");
            let decoder = || {
                let executor = gpu::Executor::new(run::gpu(), compiled.program.clone(), &compiled.code);
                model.decoder_on(Box::new(executor.expect("the shaders compile")), 64)
            };
            let close = |actual: &[f32], expected: &[f32], what: &str| {
                let error = actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
                if error > 0.0 {
                    eprintln!("ERR {kv_type:?} {what} {error}");
                }
                let fits = actual.len() == expected.len() && error <= tolerance;
                assert!(fits, "{adapter}, caches of {}, {what}: a logit is off by {error}", kv_type.name());
            };
            let (mut step, mut whole) = (decoder(), decoder());
            let rows: Vec<&[f32]> = expected.chunks_exact(expected.len() / ids.len()).collect();
            for n in 1..=ids.len() {
                let logits = step.decode(ids[n - 1]).expect("one token").values.to_vec();
                whole.rewind(0);
                let all = whole.score(&ids[..n]).expect("a pass over all");
                close(&logits, &all[all.len() - logits.len()..], &format!("length {n}, token by token and at once"));
                close(&logits, rows[n - 1], &format!("length {n}, token by token and on the CPU"));
                close(all, &rows[..n].concat(), &format!("length {n}, at once and on the CPU"));
            }
            // A prompt in two parts, repeated after a rewind.
            whole.rewind(20);
            close(whole.prefill(&ids[20..]).expect("the rest of the prompt").values, rows[63], "in two parts");
        }
    }
}

/// Crosses boundaries of ranges of keys, which decoding splits over tasks and a prefill loops over.
#[test]
fn long_contexts_and_narrow_caches_token_by_token() {
    let count = 600;
    let directory = tempfile::tempdir().expect("a directory");
    write_safetensors(&Checkpoint::random("tiny", 1).expect("random weights"), directory.path(), Heads::Wide);
    let model = |kv_type| Model::new(Checkpoint::open(directory.path()).expect("what was written"), kv_type);
    let models = [KvType::F32, KvType::F16, KvType::Q8].map(model);
    let ids = tokens(count, models[0].checkpoint.config().vocab);
    for isa in isas() {
        let mut scores = vec![];
        for model in &models {
            let compiled = &model.compile(isa);
            let (mut step, mut whole) = (model.decoder(compiled, 2, count), model.decoder(compiled, 4, count));
            let expected = whole.score(&ids).expect("a pass over all").to_vec();
            for (id, expected) in ids.iter().zip(expected.chunks_exact(expected.len() / count)) {
                let what = format!("{isa}, position {}", step.position());
                same_logits(step.decode(*id).expect("one token").values, expected, &what);
            }
            scores.push(expected);
        }
        for (name, narrow, most) in [("f16", &scores[1], 0.05), ("q8", &scores[2], 0.2)] {
            let error = scores[0].iter().zip(narrow).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error > 0.0 && error < most, "{isa}: {name} caches change a logit by {error}");
        }
    }
}

#[test]
fn a_tiny_model_token_by_token() {
    let (model, compiled) = tiny();
    let ids = tokens(64, model.checkpoint.config().vocab);
    for (isa, compiled) in compiled {
        let mut by_threads: Vec<Vec<f32>> = vec![];
        for threads in THREADS {
            let (mut step, mut whole) = (model.decoder(compiled, threads, 64), model.decoder(compiled, threads, 64));
            let mut all = vec![];
            for n in 1..=ids.len() {
                let logits = step.decode(ids[n - 1]).expect("one token").values.to_vec();
                whole.rewind(0);
                let rows = whole.score(&ids[..n]).expect("a pass over all");
                let last = &rows[rows.len() - logits.len()..];
                same_logits(&logits, last, &format!("{isa}, {threads} threads, length {n}"));
                all.extend(logits);
            }
            // A prompt in two parts, repeated after a rewind.
            whole.rewind(20);
            let last = whole.prefill(&ids[20..]).expect("the rest of the prompt").values;
            same_logits(last, &all[all.len() - last.len()..], &format!("{isa}, {threads} threads, in two parts"));
            by_threads.push(all);
        }
        let bits: Vec<Vec<u32>> = by_threads.iter().map(|l| l.iter().map(|x| x.to_bits()).collect()).collect();
        assert!(bits.iter().all(|b| *b == bits[0]), "{isa}: the logits depend on the number of threads");
    }
}

/// Generates tokens after a prompt.
fn generated(mut decoder: Decoder, options: &Sampling, count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(options.clone()).expect("options in range");
    let mut ids = vec![];
    let mut choice = sampler.sample(decoder.prefill(&[3, 141, 59]).expect("a prompt"));
    while ids.len() < count {
        let id = choice.expect("a number among the logits");
        ids.push(id);
        choice = sampler.sample(decoder.decode(id).expect("a token"));
    }
    ids
}

#[test]
fn the_best_logits_choose_the_tokens_that_all_do() {
    let tiny = |returns| Model::returning(Checkpoint::random("tiny", 1).expect("random weights"), KvType::F32, returns);
    let drawn = Sampling { temperature: 1.5, top_k: 40, seed: 7, ..Sampling::default() };
    for options in [Sampling::default(), drawn.clone(), Sampling { top_k: 128, top_p: 0.9, min_p: 0.01, ..drawn }] {
        let k = Sampler::new(options.clone()).expect("options in range").candidates().expect("a number");
        let models = [Returns::Logits, Returns::Best(k)].map(tiny);
        let on_cpu = |model: &Model| generated(model.decoder(&model.compile(Isa::host()), 2, 64), &options, 40);
        let [all, best] = models.each_ref().map(on_cpu);
        assert_eq!((all.len(), &best), (40, &all), "{options:?}");
        for adapter in run::adapters() {
            let on_gpu = |model: &Model| {
                let compiled = compile::compile(&model.source, &adapter, Options::default());
                let compiled = compiled.expect("the model compiles");
                let executor = gpu::Executor::new(run::gpu(), compiled.program, &compiled.code);
                generated(model.decoder_on(Box::new(executor.expect("the shaders compile")), 64), &options, 40)
            };
            let [all, best] = models.each_ref().map(on_gpu);
            assert_eq!((all.len(), &best), (40, &all), "{adapter}, {options:?}");
        }
    }
}

#[test]
fn a_model_gives_as_many_of_the_best_as_it_is_asked_for() {
    let checkpoint = || Checkpoint::random("tiny", 1).expect("random weights");
    let vocabulary = checkpoint().config().vocab;
    for k in [0, vocabulary + 1] {
        let error =
            emit(&checkpoint(), Emission { returns: Returns::Best(k), ..Emission::default() }, &[Phase::Decode])
                .expect_err("too many or none");
        let expected =
            format!("the best {k} of {vocabulary} tokens were asked for; ask for at least one and at most all");
        assert_eq!(error.to_string(), expected);
    }
    let model = Model::returning(checkpoint(), KvType::F32, Returns::Best(3));
    let mut decoder = model.decoder(&model.compile(Isa::host()), 1, 16);
    let logits = decoder.decode(5).expect("a token");
    assert_eq!((logits.values.len(), logits.ids.map(<[i32]>::len)), (3, Some(3)));
    let error = decoder.score(&[1, 2]).expect_err("no logits").to_string();
    assert_eq!(error, "the program is not valid: a model is scored by all its logits, but this one gives the greatest");
}

#[test]
fn a_tiny_model_on_the_reference() {
    let (model, compiled) = tiny();
    as_the_reference_says(model, compiled, 10.0);
}

/// With 8-bit keys and values, and a model whose projections have biases.
#[test]
fn caches_of_8_bits_are_as_the_reference_says() {
    for heads in [Heads::Wide, Heads::Biased] {
        let directory = tempfile::tempdir().expect("a directory");
        write_safetensors(&Checkpoint::random("tiny", 1).expect("random weights"), directory.path(), heads);
        let model = Model::new(Checkpoint::open(directory.path()).expect("what was written"), KvType::Q8);
        let compiled: Vec<(Isa, Compiled)> = isas().into_iter().map(|isa| (isa, model.compile(isa))).collect();
        // The last bit of a key may change its rounding.
        as_the_reference_says(&model, &compiled, 100.0);
        // One head of 32 elements each for keys and values, 36 bytes per position, of which there are sixteen.
        let decoder = model.decoder(&compiled[0].1, 1, 9);
        let state = |name| decoder.executor().read_state(name).expect("a CPU's memory").map(|bytes| bytes.len());
        assert_eq!([state("k_cache.0"), state("v_cache.1")], [Some(16 * 36); 2]);
    }
}

#[test]
fn caches_of_8_bits_need_heads_of_whole_blocks() {
    let tiny = Checkpoint::random("tiny", 1).expect("random weights");
    let error = emit(&tiny, Emission { kv_type: KvType::Q8, ..Emission::default() }, &[Phase::Decode])
        .expect_err("heads of 16")
        .to_string();
    let expected =
        "a KV cache of type q8 needs heads of a multiple of 32 elements, but this model's have 16; use f32 or f16";
    assert_eq!(error, expected);
}

fn as_the_reference_says(model: &Model, compiled: &[(Isa, Compiled)], slack: f64) {
    let ids = tokens(12, model.checkpoint.config().vocab);
    let context = compile::context();
    let module = compile::parse(&context, &model.source).expect("the module parses");
    let mut interpreter = Interpreter::new(&module).expect("the module can be interpreted");
    for global in interpreter.globals() {
        let value = match global.mutable {
            true => Tensor::zeros(global.dims.iter().map(|d| d.unwrap_or(16)).collect::<Vec<_>>(), global.element),
            false => {
                let weight = model.checkpoint.weight(&global.name).expect("a weight of the model");
                Tensor::from_bytes(weight.dims, weight.element, &weight.bytes)
            }
        };
        interpreter.set_global(&global.name, value.expect("a tensor")).expect("of the global's type");
    }
    let i32s = |shape: &[usize], values: &[u32]| {
        Tensor::i32(shape, values.iter().map(|v| *v as i32).collect::<Vec<_>>()).expect("i32")
    };
    let rows: Vec<u32> = (0..10).collect();
    let inputs = vec![i32s(&[1, 10], &ids[..10]), i32s(&[1], &[0]), i32s(&[10], &rows)];
    let mut expected = interpreter.call("prefill", inputs).expect("prefill")[0].to_f32();
    for (position, id) in ids.iter().enumerate().skip(10) {
        let inputs = vec![i32s(&[1, 1], &[*id]), i32s(&[1], &[position as u32])];
        expected.extend(interpreter.call("decode", inputs).expect("decode")[0].to_f32());
    }
    let length = expected.len();
    let expected = Tensor::f32([length], expected).expect("logits");
    for (isa, compiled) in compiled {
        let mut decoder = model.decoder(compiled, 2, 16);
        let mut actual = decoder.score(&ids[..10]).expect("prefill").to_vec();
        for id in &ids[10..] {
            actual.extend(decoder.decode(*id).expect("decode").values);
        }
        let actual = Tensor::f32([length], actual).expect("logits");
        near(&actual, &expected, slack).unwrap_or_else(|e| panic!("{isa}: {e}"));
    }
}

/// How the rows of the tiny model's projections are divided into heads.
#[derive(Clone, Copy, PartialEq)]
enum Heads {
    /// Four and two heads of 16, as in the model.
    Own,
    /// Two and one head of 32.
    Wide,
    /// The same, with biases of queries, keys and values: Qwen 2.
    Biased,
}

impl Heads {
    /// The projections that have biases.
    fn biased(self) -> &'static [&'static str] {
        match self {
            Heads::Own | Heads::Wide => &[],
            Heads::Biased => &["attn_q", "attn_k", "attn_v"],
        }
    }
}

/// Writes the tiny model as a Hugging Face directory: f32 weights, rows of Q and K ordered for the other rotation.
fn write_safetensors(checkpoint: &Checkpoint, directory: &Path, heads: Heads) {
    let config = checkpoint.config();
    assert_eq!(config.rope_mode, RopeMode::Interleaved, "the rows are reordered from this");
    let joined = if heads == Heads::Own { 1 } else { 2 };
    let (count, kv_count, head_dim) = (config.heads / joined, config.kv_heads / joined, config.head_dim * joined);
    let hugging_face = |name: &str| to_hugging_face(checkpoint.config().arch, name).expect("a tensor of the table");
    let mut tensors = vec![];
    for name in checkpoint.names() {
        let weight = checkpoint.weight(&name).expect("a weight of the model");
        let dims = weight.dims.to_vec();
        let tensor = Tensor::from_bytes(dims.clone(), weight.element, &weight.bytes);
        let mut rows: Vec<Vec<f32>> = tensor
            .expect("a tensor")
            .to_f32()
            .chunks(*dims.last().expect("a dimension"))
            .map(<[f32]>::to_vec)
            .collect();
        if name.ends_with("attn_q.weight") || name.ends_with("attn_k.weight") {
            let half = head_dim / 2;
            // Row i of a head is element (i / half) of pair (i % half), which is at 2 * pair + element in the source.
            let from = |row: usize| {
                let (head, i) = (row / head_dim, row % head_dim);
                head * head_dim + 2 * (i % half) + i / half
            };
            rows = (0..rows.len()).map(|row| rows[from(row)].clone()).collect();
        }
        let bytes: Vec<u8> = rows.concat().iter().flat_map(|x| x.to_le_bytes()).collect();
        if heads.biased().iter().any(|part| name.contains(part)) {
            let bias: Vec<u8> = (0..dims[0]).flat_map(|i| (i as f32 / 64.0 - 0.3).to_le_bytes()).collect();
            tensors.push((hugging_face(&name.replace(".weight", ".bias")), vec![dims[0]], bias));
        }
        tensors.push((hugging_face(&name), dims, bytes));
    }
    let views = tensors.iter().map(|(name, dims, bytes)| {
        (name, TensorView::new(Dtype::F32, dims.clone(), bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize_to_file(views, None, &directory.join("model.safetensors")).expect("a file");
    let json = serde_json::json!({
        "model_type": if heads == Heads::Biased { "qwen2" } else { "llama" }, "hidden_act": "silu", "hidden_size": config.hidden, "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers, "num_attention_heads": count, "num_key_value_heads": kv_count,
        "head_dim": head_dim, "vocab_size": config.vocab, "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps, "rope_theta": config.rope_base, "tie_word_embeddings": config.tied_embedding,
    });
    std::fs::write(directory.join("config.json"), json.to_string()).expect("a file");
}

#[test]
fn the_same_weights_from_gguf_and_from_safetensors() {
    let (model, compiled) = tiny();
    let directory = tempfile::tempdir().expect("a directory");
    write_safetensors(&model.checkpoint, directory.path(), Heads::Own);
    let other = Model::new(Checkpoint::open(directory.path()).expect("the directory that was written"), KvType::F32);
    assert_eq!(other.checkpoint.config().rope_mode, RopeMode::Half);
    let (isa, compiled) = &compiled[0];
    let ids = tokens(20, model.checkpoint.config().vocab);
    let logits = |mut decoder: Decoder| {
        let mut logits = decoder.score(&ids[..17]).expect("prefill").to_vec();
        ids[17..].iter().for_each(|id| logits.extend(decoder.decode(*id).expect("decode").values));
        Tensor::f32([logits.len()], logits).expect("logits")
    };
    let expected = logits(model.decoder(compiled, 2, 32));
    let actual = logits(other.decoder(&other.compile(*isa), 2, 32));
    near(&actual, &expected, 10.0).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn tokens_and_positions_are_checked() {
    let (model, compiled) = tiny();
    let vocabulary = model.checkpoint.config().vocab as u32;
    let mut decoder = model.decoder(&compiled[0].1, 1, 5);
    fn error<T>(result: kforge_runtime::Result<T>) -> String {
        result.err().map(|e| e.to_string()).unwrap_or_default()
    }
    assert_eq!(error(decoder.prefill(&[])), "there are no tokens to start from: the prompt is empty");
    let outside = |function: &str, at| {
        format!("{function}: input 0 has {vocabulary} at element {at}, but must be in 0..{vocabulary}")
    };
    assert_eq!(error(decoder.decode(vocabulary)), outside("decode", 0));
    assert_eq!(error(decoder.prefill(&[0, vocabulary, 1])), outside("prefill", 1));
    assert_eq!(error(decoder.decode(u32::MAX)), outside("decode", 0).replace(&format!("has {vocabulary}"), "has -1"));
    // Rejected calls change nothing.
    assert_eq!(decoder.position(), 0);
    let full = |held, more| format!("the context of 5 tokens is full: {held} are in it and {more} more were asked for");
    assert_eq!(error(decoder.score(&[1; 6])), full(0, 6));
    let four = decoder.prefill(&[1, 2, 3, 4]).expect("four of five").values.to_vec();
    assert_eq!(error(decoder.prefill(&[5, 6])), full(4, 2));
    decoder.decode(5).expect("the fifth");
    assert_eq!(error(decoder.decode(6)), full(5, 1));
    decoder.rewind(0);
    same_logits(decoder.prefill(&[1, 2, 3, 4]).expect("again").values, &four, "after errors");
}
