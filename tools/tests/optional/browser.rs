//! A browser compiles what its WebGPU admits. Beside these tests it is asked for the shaders of every suite of kernels.

use kforge_lowering::to_wgsl::{Shader, check};
use kforge_test::{
    browser::{self, Depth},
    gpu_kernels::kernel,
    wgsl::{of_test_files, translate},
};

const SEEDS: u64 = 300;

pub fn it_takes_the_test_files() {
    browser::check_to(Depth::Pipeline, &of_test_files());
}

pub fn it_takes_random_kernels() {
    let shaders = (0..SEEDS).flat_map(|seed| translate(&kernel(seed).text, &format!("seed {seed}")));
    browser::check_to(Depth::Pipeline, &shaders.collect::<Vec<_>>());
}

/// It refuses what is no WGSL, and a barrier that not all threads come to, which naga takes.
pub fn it_refuses_what_is_wrong() {
    let source = "gpu.module @m {
      gpu.func @k(%a: memref<64xf32>) workgroup(%t: memref<64xf32, #gpu.address_space<workgroup>>)
          kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
        %c9 = arith.constant 9 : index
        %thread = gpu.thread_id x
        %few = arith.cmpi slt, %thread, %c9 : index
        scf.if %few {
          gpu.barrier
        }
        %v = memref.load %a[%thread] : memref<64xf32>
        memref.store %v, %t[%thread] : memref<64xf32, #gpu.address_space<workgroup>>
        gpu.return
      }
    }";
    let [shader] = &translate(source, "a test")[..] else { panic!("one kernel") };
    check::validate(shader).unwrap_or_else(|e| panic!("{e}\n{}", shader.text));
    let broken = Shader { text: shader.text.replace("fn ", "func "), ..shader.clone() };
    let whole = Shader { text: shader.text.replace("workgroupBarrier();", ""), ..shader.clone() };
    let errors = browser::compile(Depth::Module, &[shader, &whole, &broken]);
    assert_eq!(errors.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 2], "{errors:?}");
    assert!(errors[0].1.contains("uniform control flow"), "{errors:?}");
}
