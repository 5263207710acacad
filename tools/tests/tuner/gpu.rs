//! The tuner on this machine's GPU, which a software one may be.

use super::{Line, Place, forged, text, warnings};
use kforge_lowering::compile;
use kforge_runtime::{Execute, View, gpu::Executor};
use kforge_target::Adapter;
use kforge_tuner::{Environment, environment};
use std::{fs, sync::OnceLock};

/// More rows than a GEMV takes, which has no tile on a GPU.
const MODULE: &str = "
ml_program.global private @w(#ml_program.extern<tensor<70x96xf32>>) : tensor<70x96xf32>
func.func @main(%x: tensor<12x96xf32>) -> tensor<12x70xf32> {
  %w = ml_program.global_load_const @w : tensor<70x96xf32>
  %y = transformer.linear %x, %w : tensor<12x96xf32>, tensor<70x96xf32> -> tensor<12x70xf32>
  return %y : tensor<12x70xf32>
}
";

fn place() -> Place {
    let place = Place::new();
    fs::write(place.path().join("m.mlir"), MODULE).unwrap();
    place
}

/// With the module's candidates measured on the GPU.
fn tuned() -> Place {
    static ROWS: OnceLock<Vec<u8>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| {
        let place = place();
        run(&place, &["tune", "m.mlir", "--target", "gpu"]);
        run(&place, &["tune", "--export", "rows.jsonl"]);
        fs::read(place.path().join("rows.jsonl")).unwrap()
    });
    let place = place();
    fs::write(place.path().join("rows.jsonl"), rows).unwrap();
    run(&place, &["tune", "--import", "rows.jsonl"]);
    place
}

/// What a command that succeeds prints.
fn run(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The fused op as it was lowered for a call, whose answer must be the reference's, and what was said.
fn answer(place: &Place, more: &[&str]) -> (String, String) {
    let arguments = ["m.mlir", "--target", "gpu", "--input", "random:1", "--random-globals", "2", "--compare"];
    let all = [&arguments[..], &["reference", "--output", "y.npy", "--dump-ir", "ir", "--no-cache"], more].concat();
    let output = place.run(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let folder = fs::read_dir(place.path().join("ir")).unwrap().map(|entry| entry.unwrap().path());
    let tiled = folder.into_iter().find(|path| path.to_string_lossy().contains("-tile.mlir")).unwrap();
    let module = fs::read_to_string(tiled).unwrap();
    let op = module.lines().find(|line| line.contains("transformer.fused")).unwrap();
    (op.to_owned(), text(&output.stderr))
}

fn gpu(line: &mut Line) -> &mut environment::Gpu {
    match &mut line.machine {
        Environment::Gpu(gpu) => gpu,
        Environment::Cpu(cpu) => panic!("measured on {}", cpu.cpu),
    }
}

#[test]
fn a_measured_tile_is_chosen_explained_and_verified() {
    let place = tuned();
    let lines = place.lines();
    assert!(lines.len() >= 4 && lines.iter().all(|l| l.row.failure.is_none() && l.row.check().is_ok()), "{lines:?}");
    let key = &lines[0].row.key;
    let (op, said) = answer(&place, &[]);
    assert!(op.contains(&format!("transformer.tuned = \"{key}\"")), "{op}");
    assert_eq!(warnings(&said), Vec::<&str>::new());
    let table = run(&place, &["tune", "--explain", &key[..6], "--target", "gpu"]);
    assert!(table.contains("chosen") && table.contains("(the default)"), "{table}");
    assert!(run(&place, &["tune", "--list"]).contains("gemm 12 x 70 x 96"));
    let verified = run(&place, &["tune", "--verify", "--target", "gpu"]);
    assert!(verified.starts_with("1 winners are right, 0 rows are not"), "{verified}");
    // The CPU takes none of it.
    let output = place.run(&["tune", "--explain", key]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("not on this machine"), "{output:?}");
    // A second search finds nothing left to do.
    let report: serde_json::Value =
        serde_json::from_str(&run(&place, &["tune", "m.mlir", "--target", "gpu", "--json"])).unwrap();
    assert_eq!((&report["results"][0]["complete"], place.lines()), (&true.into(), lines));
}

#[test]
fn what_is_missing_is_measured_where_it_is_asked_for() {
    let place = place();
    let (op, _) = answer(&place, &[]);
    assert!(!op.contains("transformer.tuned") && !place.file().exists(), "{op}");
    let (op, said) = answer(&place, &["--tuning", "incremental", "--tuning-budget", "1m"]);
    assert_eq!(warnings(&said), Vec::<&str>::new());
    assert!(op.contains("transformer.tuned") && place.lines().len() >= 4, "{op}");
}

#[test]
fn rows_that_are_illegal_or_of_another_gpu_are_not_used() {
    let place = tuned();
    let (right, _) = answer(&place, &[]);
    let bytes = fs::read(place.path().join("y.npy")).unwrap();
    let lines = place.lines();
    for tile in [&[33, 32, 8, 2, 4][..], &[64], &[512, 512, 32, 16, 16], &[usize::MAX, 16, 8, 1, 4]] {
        let mut database = place.database();
        database.put(&forged(&lines, tile)).unwrap();
        let (op, said) = answer(&place, &[]);
        assert_eq!(op, right, "{tile:?}");
        let warnings = warnings(&said);
        assert!(warnings.len() == 1 && warnings[0].contains("passed over"), "{tile:?}: {said}");
        database.clear("").unwrap();
        run(&place, &["tune", "--import", "rows.jsonl"]);
    }
    let foreign = |change: &dyn Fn(&mut environment::Gpu)| {
        let mut database = place.database();
        database.clear("").unwrap();
        let mut line = forged(&lines, &[16, 64, 16, 4, 4]);
        change(gpu(&mut line));
        line.row.environment = line.machine.id();
        database.put(&line).unwrap();
        answer(&place, &[])
    };
    let (mine, _) = foreign(&|_| {});
    assert!(mine.contains("tile = [16, 64, 16, 4, 4]"), "{mine}");
    // A legal tile that never won changes no bit.
    assert!(fs::read(place.path().join("y.npy")).unwrap() == bytes);
    for change in [
        &(|gpu: &mut environment::Gpu| gpu.driver += ".1") as &dyn Fn(&mut environment::Gpu),
        &|gpu| gpu.gpu = "another".into(),
        &|gpu| gpu.adapter = "f16+256x16384".into(),
        &|gpu| gpu.wgpu = "wgpu 1.0.0".into(),
        &|gpu| gpu.generator = "another".into(),
        &|gpu| {
            gpu.limits.insert("workgroup bytes".into(), 1);
        },
    ] {
        let (op, said) = foreign(change);
        assert!(!op.contains("transformer.tuned"), "{op}");
        assert_eq!(warnings(&said), Vec::<&str>::new());
    }
}

#[test]
fn kernels_are_exchanged_with_the_same_bits_and_a_shader_that_does_not_compile_stays_outside() {
    let adapter = Adapter::default();
    let compiled = |tile: &str| {
        let pipeline = kforge_lowering::pipeline(adapter.into(), compile::Options::default());
        let (select, rest) = pipeline.split_at("tile");
        let context = compile::context();
        let diagnostics = compile::Diagnostics::new(&context, MODULE.into());
        let mut module = compile::parse_with(&diagnostics).unwrap();
        compile::run_pipeline(&diagnostics, &mut module, &select).unwrap();
        let text = module.as_operation().to_string().replace("<\"gemm\">", &format!("<\"gemm\", tile = [{tile}]>"));
        compile::compile_with(&text, &adapter, &rest).unwrap()
    };
    let (a, b) = (compiled("32, 32, 8, 2, 4"), compiled("16, 64, 16, 4, 4"));
    assert_ne!(a.code, b.code);
    let mut executor = Executor::new(kforge_tools::gpu::open(None).unwrap(), a.program, &a.code).unwrap();
    let floats = |count: usize| -> Vec<u8> { (0..count).flat_map(|i| (i as f32 % 7.0 - 3.0).to_le_bytes()).collect() };
    let (w, x) = (floats(70 * 96), floats(12 * 96));
    let view = |dims, bytes| View { dims, element: kforge_program::Element::F32, bytes };
    executor.set_weight("w", view(&[70, 96], &w)).unwrap();
    let call = |executor: &mut Executor| {
        let executor: &mut dyn Execute = executor;
        let outputs = executor.call("main", &[view(&[12, 96], &x)]).unwrap();
        outputs.get(0).unwrap().bytes.to_vec()
    };
    let right = call(&mut executor);
    let mut broken = b.code.clone();
    broken[0].text = broken[0].text.replace("fn ", "fun ");
    assert!(executor.load(b.program.clone(), &broken).is_err());
    assert_eq!(call(&mut executor), right);
    let mut other = executor.load(b.program, &b.code).unwrap();
    for _ in 0..2 {
        executor.exchange(&mut other).unwrap();
        assert_eq!(call(&mut executor), right);
        executor.rerun("main", 3).unwrap();
    }
    // Rows of a thread in whole fours, one or more, and not.
    for tile in ["64, 128, 16, 8, 8", "32, 64, 16, 16, 4", "12, 16, 8, 6, 4", "10, 32, 16, 5, 8", "3, 16, 32, 1, 4"] {
        let c = compiled(tile);
        executor.exchange(&mut executor.load(c.program, &c.code).unwrap()).unwrap();
        assert_eq!(call(&mut executor), right, "{tile}");
    }
}
