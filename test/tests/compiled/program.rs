//! Properties of whole programs: launches, memory, external symbols of objects, and other machines.

use crate::{spread::SPREAD, text::weight};
use kforge_lowering::{
    compile::{self, Machine, Options},
    extract,
};
use kforge_models::{Config, Emission, Phase};
use kforge_passes::Fusions;
use kforge_program::{DimSource, Function, Program};
use kforge_target::Isa;
use object::{Object, ObjectSymbol};

/// The default model's shapes, with fewer layers.
fn default_shapes(layers: usize) -> String {
    let config = Config { layers, kv_heads: 3, rope_base: 1e5, ..Config::plain(576, 9, 1536, 49152) };
    let types: Vec<(String, String)> = config
        .tensors()
        .into_iter()
        .map(|tensor| {
            let ty = match tensor.dims[..] {
                [rows, columns] if rows == config.vocab => weight(rows, columns, "q8_0"),
                [rows, columns] => weight(rows, columns, "q4_1"),
                _ => format!("tensor<{}xf32>", config.hidden),
            };
            (tensor.name, ty)
        })
        .collect();
    kforge_models::module(&config, &types, Emission::default(), &[Phase::Prefill, Phase::Decode])
        .expect("all weights are there")
}

/// Compiles only the launch program, which saves the time of the object.
fn program(source: &str, isa: Isa, fuse: Fusions) -> Program {
    let context = compile::context();
    let diagnostics = compile::Diagnostics::new(&context, source.into());
    let mut module = compile::parse_with(&diagnostics).expect("the module parses");
    let pipeline = kforge_lowering::pipeline(isa.into(), Options { fuse, ..Options::default() });
    compile::run_pipeline(&diagnostics, &mut module, &pipeline).expect("the module lowers");
    extract::program(module.as_operation()).unwrap_or_else(|e| panic!("{}", e.message))
}

fn function<'p>(program: &'p Program, name: &str) -> &'p Function {
    program.function(name).expect("a function of the module")
}

#[test]
fn a_decode_layer_is_at_most_seven_launches() {
    let launches = |fuse: Fusions| {
        let [two, three] =
            [2, 3].map(|layers| function(&program(&default_shapes(layers), Isa::AVX2, fuse), "decode").launches.len());
        three - two
    };
    let (fused, unfused) = (launches(Fusions::ALL), launches(Fusions::NONE));
    // Attention takes two: ranges of keys, and merging them.
    assert!(fused <= 7, "{fused} launches");
    assert!(unfused > fused, "{unfused} launches unfused, {fused} fused");
}

#[test]
fn the_arena_is_close_to_what_lives_at_once() {
    for fuse in [Fusions::ALL, Fusions::NONE] {
        let program = program(&default_shapes(2), Isa::AVX2, fuse);
        for (name, tokens, rows) in [
            ("decode", 1, 1),
            ("prefill", 1, 1),
            ("prefill", 7, 1),
            ("prefill", 128, 1),
            ("prefill", 128, 128),
            ("prefill", 128, 17),
            ("prefill", 3, 3),
            ("prefill", 2048, 1),
            ("prefill", 0, 0),
        ] {
            let function = function(&program, name);
            let symbols = |tokens: i64, rows: i64| -> Vec<i64> {
                let size = |symbol: &kforge_program::Symbol| match symbol.source {
                    DimSource::Input { input: 0, .. } => tokens,
                    DimSource::Input { .. } => rows,
                    DimSource::Global { .. } => 2048,
                };
                function.symbols.iter().map(size).collect()
            };
            let arena = function.arena.eval(&symbols(tokens, rows)).expect("a size");
            let live = function.live_bytes(&symbols(tokens, rows)).expect("a size");
            assert!(
                arena as f64 <= 1.1 * live as f64,
                "{name} of {tokens} tokens, {rows} rows, fused {fuse}: {arena} bytes for {live}"
            );
        }
    }
}

/// Every instruction set, with the triples of Linux and Darwin; compiling needs no such machine.
fn targets() -> Vec<Machine> {
    let linux = "x86_64-unknown-linux-gnu";
    [
        ("aarch64-unknown-linux-gnu", Isa::NEON),
        ("arm64-apple-darwin", Isa::NEON),
        (linux, Isa::AVX512_VNNI),
        (linux, Isa::AVX512),
        (linux, Isa::AVX2),
        (linux, Isa::SSE2),
    ]
    .map(|(triple, isa)| Machine::of_triple(triple, Some(isa)).expect("a triple"))
    .to_vec()
}

#[test]
fn objects_need_nothing_but_memcpy_memmove_and_memset() {
    for target in targets() {
        let compiled =
            compile::compile(SPREAD, &target, Options::default()).unwrap_or_else(|e| panic!("{target:?}: {e}"));
        let file = object::File::parse(&*compiled.code).unwrap_or_else(|e| panic!("{target:?}: {e}"));
        let undefined: Vec<&str> = file.symbols().filter(|s| s.is_undefined()).filter_map(|s| s.name().ok()).collect();
        let allowed = ["", "memcpy", "memmove", "memset", "_memcpy", "_memmove", "_memset", "_bzero"];
        let others: Vec<&&str> = undefined.iter().filter(|name| !allowed.contains(name)).collect();
        assert!(others.is_empty(), "{target:?}: {others:?}");
        let defined: Vec<&str> = file.symbols().filter(|s| s.is_definition()).filter_map(|s| s.name().ok()).collect();
        for kernel in &compiled.program.kernels {
            assert!(
                defined.iter().any(|name| name.trim_start_matches('_') == kernel.name),
                "{target:?}: no {}",
                kernel.name
            );
        }
    }
}

#[test]
fn aarch64_multiplies_and_adds_in_one_instruction() {
    for triple in ["aarch64-unknown-linux-gnu", "arm64-apple-darwin"] {
        let target = Machine::of_triple(triple, None).expect("a triple");
        let assembly =
            compile::lower(GEMV.into(), &target, Options::default(), compile::Output::Assembly).expect("assembly");
        let assembly = String::from_utf8_lossy(&assembly);
        assert!(assembly.contains("fmla"), "{triple}: no fmla in\n{assembly}");
    }
}

/// A norm and a quantised linear layer, one row.
const GEMV: &str = r"
func.func @main(%x: tensor<1x64xf32>, %g: tensor<64xf32>, %w: !transformer.quant<q4_1, 33x64>) -> tensor<1x33xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x64xf32>, tensor<64xf32>
  %l = transformer.linear %n, %w : tensor<1x64xf32>, !transformer.quant<q4_1, 33x64> -> tensor<1x33xf32>
  %y = transformer.silu %l : tensor<1x33xf32>
  return %y : tensor<1x33xf32>
}
";
