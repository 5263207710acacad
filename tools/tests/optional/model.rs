//! The default model decodes as its reference says.

use kforge_checkpoint::Checkpoint;
use kforge_engine::module::emit;
use kforge_lowering::compile::{self, Compiled, Machine, Numerics, Options};
use kforge_models::{Emission, KvType, Phase};
use kforge_runtime::gpu;
use kforge_target::Isa;
use kforge_test::{
    model::{Model, same_logits, tokens},
    need, run,
};
use kforge_tools::reference::{self, Limits, Outcome};
use std::sync::OnceLock;

/// Compiled once.
fn default_model() -> &'static (Model, Compiled) {
    static DEFAULT: OnceLock<(Model, Compiled)> = OnceLock::new();
    DEFAULT.get_or_init(|| {
        let file = need::model().unwrap_or_else(|e| panic!("{e}"));
        let model = Model::new(Checkpoint::open(&file).expect("the file that was fetched"), KvType::F32);
        let compiled = model.compile(Isa::host());
        (model, compiled)
    })
}

pub fn it_decodes_token_by_token() {
    let (model, compiled) = default_model();
    let ids = tokens(20, model.checkpoint.config().vocab);
    let (mut one, mut four) = (model.decoder(compiled, 1, 32), model.decoder(compiled, 4, 32));
    let mut stepped: Vec<Vec<f32>> = vec![];
    for id in &ids {
        let logits = one.decode(*id).expect("one token").values.to_vec();
        same_logits(four.decode(*id).expect("one token").values, &logits, "4 threads");
        stepped.push(logits);
    }
    for n in [2, 7, 20] {
        four.rewind(0);
        let last = four.prefill(&ids[..n]).expect("a pass over all").values;
        same_logits(last, &stepped[n - 1], &format!("length {n}"));
    }
}

/// What `kforge-run verify` checks, with its tolerances.
pub fn it_decodes_as_the_reference_says() {
    let (model, compiled) = default_model();
    let rows = reference::parse(include_str!("../../../test/data/smollm2.json")).expect("rows");
    let tokenizer = model.checkpoint.tokenizer().expect("a tokenizer");
    let mut decoder = model.decoder(compiled, 2, reference::context(&rows));
    for row in rows {
        let outcome = reference::check(&Limits::default(), &tokenizer, &mut decoder, &row).expect("a comparison");
        let Outcome { prompt, ids_match, logit_error, nll_error, greedy_equal, greedy_required, .. } = outcome;
        assert!(ids_match, "{prompt:?}: other ids");
        assert!(nll_error <= 1e-3, "{prompt:?}: the likelihood is off by {nll_error}");
        assert!(logit_error <= 2e-3, "{prompt:?}: a logit is off by {logit_error}");
        // Where two tokens are as good as each other, either may follow.
        assert!(greedy_equal >= greedy_required, "{prompt:?}: token {greedy_equal}");
    }
}

/// How many tokens of a row a GPU decodes; `kforge-run verify --target gpu` takes all.
const GREEDY: usize = 6;

/// The same on a GPU, and with caches of f16 the bound that docs/gpu.md states.
pub fn it_decodes_on_a_gpu_as_the_reference_says() {
    let (f32, _) = default_model();
    let adapter = run::adapters()[0];
    let half = Limits { logit_tolerance: 0.1, nll_tolerance: 5e-3, gap: 0.2 };
    let mut kinds = vec![(KvType::F32, Limits::default(), 2)];
    if adapter.f16 {
        kinds.push((KvType::F16, half, 1));
    }
    for (kv_type, limits, count) in kinds {
        let source =
            emit(&f32.checkpoint, Emission { kv_type, ..Emission::default() }, &[Phase::Prefill, Phase::Decode])
                .expect("all weights are there");
        let compiled = compile::compile(&source, &adapter, Options::default()).expect("the model compiles");
        let rows = reference::parse(include_str!("../../../test/data/smollm2.json")).expect("rows");
        let tokenizer = f32.checkpoint.tokenizer().expect("a tokenizer");
        let executor = gpu::Executor::new(run::gpu(), compiled.program, &compiled.code).expect("the shaders compile");
        let mut decoder = f32.decoder_on(Box::new(executor), reference::context(&rows));
        for mut row in rows.into_iter().take(count) {
            // A software GPU takes a second a token.
            row.greedy.truncate(GREEDY);
            row.gap.truncate(GREEDY);
            let outcome = reference::check(&limits, &tokenizer, &mut decoder, &row).expect("a comparison");
            let Outcome { prompt, logit_error, nll_error, pass, .. } = outcome;
            assert!(pass, "caches of {}, {prompt:?}: {logit_error} and {nll_error}", kv_type.name());
        }
    }
}

/// The bound that docs/numerics.md states of caches of 8 bits, and that a prompt at once and token by token agree.
pub fn it_decodes_with_caches_of_8_bits() {
    let (f32, _) = default_model();
    let source = emit(
        &f32.checkpoint,
        Emission { kv_type: KvType::Q8, ..Emission::default() },
        &[Phase::Prefill, Phase::Decode],
    )
    .expect("heads of 64");
    let target = Machine::host(None).expect("this machine");
    let compiled = compile::compile(&source, &target, Options::default()).expect("the model compiles");
    let limits = Limits { logit_tolerance: 0.5, nll_tolerance: 0.05, gap: 0.5 };
    rounds_within(f32, &compiled, &limits, "caches of 8 bits");
}

/// The bound that docs/numerics.md states of `fast`, and that a prompt at once and token by token agree there too.
pub fn it_decodes_in_fast_numerics() {
    let (model, _) = default_model();
    let options = Options { numerics: Numerics::Fast, ..Options::default() };
    let target = Machine::host(None).expect("this machine");
    let compiled = compile::compile(&model.source, &target, options).expect("the model compiles");
    let limits = Limits { logit_tolerance: 2.5, nll_tolerance: 0.1, gap: 3.0 };
    rounds_within(model, &compiled, &limits, "fast");
}

/// Checks that what rounds something is off by no more than `limits`, and gives the same bits token by token.
fn rounds_within(model: &Model, compiled: &Compiled, limits: &Limits, what: &str) {
    let rows = reference::parse(include_str!("../../../test/data/smollm2.json")).expect("rows");
    let tokenizer = model.checkpoint.tokenizer().expect("a tokenizer");
    let mut decoder = model.decoder(compiled, 2, reference::context(&rows));
    for row in &rows[..4] {
        let outcome = reference::check(limits, &tokenizer, &mut decoder, row).expect("a comparison");
        assert!(outcome.pass, "{:?}: {} and {}", outcome.prompt, outcome.logit_error, outcome.nll_error);
        assert!(outcome.logit_error > 0.01, "{:?}: nothing was rounded", outcome.prompt);
    }
    let ids = tokens(7, model.checkpoint.config().vocab);
    decoder.rewind(0);
    let whole = decoder.prefill(&ids).expect("a prompt").values.to_vec();
    decoder.rewind(0);
    let steps: Vec<Vec<f32>> = ids.iter().map(|id| decoder.decode(*id).expect("a token").values.to_vec()).collect();
    same_logits(&steps[6], &whole, &format!("{what}, token by token"));
}
