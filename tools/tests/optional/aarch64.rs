//! A generated kernel runs on an emulated AArch64.

use kforge_lowering::compile::{self, Compiled, Machine, Options};
use kforge_program::{Element, layout};
use kforge_reference::random;
use kforge_runtime::Executor;
use kforge_test::{need::program, run::call};
use std::{fs, process::Command};

/// A norm and a linear layer of blocks, one row.
const GEMV: &str = r"
func.func @main(%x: tensor<1x64xf32>, %g: tensor<64xf32>, %w: !transformer.quant<q4_1, 33x64>) -> tensor<1x33xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x64xf32>, tensor<64xf32>
  %l = transformer.linear %n, %w : tensor<1x64xf32>, !transformer.quant<q4_1, 33x64> -> tensor<1x33xf32>
  %y = transformer.silu %l : tensor<1x33xf32>
  return %y : tensor<1x33xf32>
}
";

fn array(name: &str, bytes: &[u8]) -> String {
    let bytes: String = bytes.iter().map(|b| format!("{b},")).collect();
    format!("static _Alignas(64) unsigned char {name}[] = {{{bytes}}};\n")
}

/// What a program without a library needs, and the launch. It exits with the number of the first wrong element, from 1.
const MAIN: &str = r#"
void *memcpy(void *to, const void *from, u64 n) {
  for (u64 i = 0; i < n; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}
void *memmove(void *to, const void *from, u64 n) {
  if (to < from) return memcpy(to, from, n);
  while (n--) ((volatile char *)to)[n] = ((const char *)from)[n];
  return to;
}
void *memset(void *to, int c, u64 n) {
  for (u64 i = 0; i < n; i++) ((volatile char *)to)[i] = c;
  return to;
}
void KERNEL(const u64 *arguments, u64 task);
static void leave(long code) {
  register long x0 __asm__("x0") = code;
  register long x8 __asm__("x8") = 93;
  __asm__ volatile("svc #0" : : "r"(x0), "r"(x8));
  __builtin_unreachable();
}
void _start(void) {
  const u64 arguments[] = { ARGUMENTS };
  for (u64 task = 0; task < TASKS; task++) KERNEL(arguments, task);
  for (int i = 0; i < 33; i++) {
    float difference = o0[i] - ((const float *)expected)[i];
    if (!(difference > -1e-5f && difference < 1e-5f)) leave(1 + i);
  }
  leave(0);
}
"#;

/// Links one kernel into a program without a library, which exits with 0 if its result is this machine's.
pub fn a_kernel_runs_on_aarch64() {
    let [clang, linker, emulator] =
        ["clang", "ld.lld", "qemu-aarch64"].map(|name| program(name).unwrap_or_else(|e| panic!("{e}")));
    let q4_1 = "q4_1".parse().expect("a format");
    let inputs = [
        random::uniform(1, &[1, 64], Element::F32),
        random::uniform(2, &[64], Element::F32),
        random::uniform(3, &[33, 64], Element::Quant(q4_1)),
    ]
    .map(|t| t.expect("a tensor"));
    let host = compile::compile(GEMV, &Machine::host(None).expect("this machine"), Options::default())
        .expect("the module compiles");
    let mut executor = Executor::new(host.program, &host.code, 1).expect("the object loads");
    let expected = call(&mut executor, "main", &inputs).expect("this machine's result").remove(0);

    let target = Machine::of_triple("aarch64-unknown-linux-gnu", None).expect("a triple");
    let Compiled { program, code: object } =
        compile::compile(GEMV, &target, Options::default()).expect("the module compiles");
    let [launch] = &program.function("main").expect("it is there").launches[..] else {
        panic!("norm, linear and activation are one launch")
    };
    let tasks = launch.tasks.eval(&[]).expect("a static size");
    let kernel = &program.kernels[launch.kernel];
    let mut source = "typedef unsigned long u64;\n".to_owned();
    let mut packed = vec![0; 3 * 16 * 2 * 20];
    layout::pack_rows16(Element::Quant(q4_1), 33, 64, &inputs[2].to_bytes(), &mut packed).expect("whole groups");
    source += &array("i0", &inputs[0].to_bytes());
    source += &array("i1", &inputs[1].to_bytes());
    source += &array("i2", &packed);
    source += &array("expected", &expected.to_bytes());
    source += "static _Alignas(64) float o0[33];\n";
    let mut arguments: Vec<String> = launch
        .buffers
        .iter()
        .map(|buffer| match buffer {
            kforge_program::Buffer::Input(i) => format!("(u64)i{i}"),
            kforge_program::Buffer::Output(i) => format!("(u64)o{i}"),
            other => panic!("one launch needs no {other:?}"),
        })
        .collect();
    arguments.extend(launch.scalars.iter().map(|s| s.eval(&[]).expect("a static size").to_string()));
    let (name, arguments) = (&kernel.name, arguments.join(", "));
    source += &MAIN.replace("KERNEL", name).replace("ARGUMENTS", &arguments).replace("TASKS", &tasks.to_string());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("kernel.o"), object).expect("a file");
    fs::write(path("main.c"), source).expect("a file");
    let output = Command::new(clang)
        .args(["--target=aarch64-linux-gnu", "-O1", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector"])
        .arg(format!("--ld-path={}", linker.display()))
        .args([path("main.c"), path("kernel.o")])
        .arg("-o")
        .arg(path("main"))
        .output()
        .expect("clang starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let status = Command::new(emulator).arg(path("main")).status().expect("the emulator starts");
    assert_eq!(status.code(), Some(0), "element {:?} differs", status.code().map(|code| code - 1));
}
