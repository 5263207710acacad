//! Kernels as WGSL: those of the test files and random ones pass naga's validator, and its writers for Metal, Vulkan
//! and DirectX; random ones also store the expected values on this machine's GPU.

#[path = "wgsl/device.rs"]
mod device;

use device::Device;
use kforge_lowering::{
    compile::context,
    to_wgsl::{self, Access, Argument, Features, Shader, Uniform, check, types::Scalar},
};
use kforge_test::{
    gpu_kernels::{GROUP, GROUPS, INPUTS, OUTPUTS, inputs, kernel},
    wgsl::{of_test_files, translate},
};
use std::collections::BTreeSet;

const SEEDS: u64 = 300;

/// Validates a shader, and writes it in every language that supports its features and sizes.
fn check(shader: &Shader) {
    let valid = check::validate(shader).unwrap_or_else(|e| panic!("{e}\n{}", shader.text));
    let words = valid.spirv().unwrap_or_else(|e| panic!("{e}\n{}", shader.text));
    assert_eq!(words.first(), Some(&0x0723_0203), "the first word of SPIR-V");
    let is_matrix = shader.features.cooperative_matrices;
    assert_eq!(valid.hlsl().is_ok(), !is_matrix, "{:?}\n{}", valid.hlsl().err(), shader.text);
    let is_large = is_matrix && shader.text.contains("16x16");
    assert_eq!(valid.msl().is_ok(), !is_large, "{:?}\n{}", valid.msl().err(), shader.text);
}

#[test]
fn test_files_are_valid() {
    let shaders = of_test_files();
    shaders.iter().for_each(check);
    let kernels: BTreeSet<&str> = shaders.iter().map(|shader| shader.kernel.as_str()).collect();
    for realistic in ["gemm_tiled", "gemv_q4", "gemv_int8", "softmax", "rms_norm", "gemm_matrix"] {
        assert!(kernels.contains(realistic), "{realistic} is not among {kernels:?}");
    }
}

#[test]
fn random_kernels_are_valid() {
    for seed in 0..SEEDS {
        let kernel = kernel(seed);
        let shaders = translate(&kernel.text, &format!("seed {seed}"));
        let [shader] = &shaders[..] else { panic!("seed {seed} has {} kernels", shaders.len()) };
        check(shader);
        let features = Features { packed_halves: shader.features.packed_halves, ..Features::default() };
        assert_eq!(shader.features, features, "seed {seed}");
    }
}

#[test]
fn random_kernels_have_one_result() {
    let mut different = BTreeSet::new();
    for seed in 0..SEEDS {
        let kernel = kernel(seed);
        let (ints, floats) = kernel.run(&inputs(seed));
        assert_eq!((ints.len(), floats.len()), (GROUPS * GROUP * OUTPUTS, GROUPS * GROUP * OUTPUTS));
        assert!(floats.iter().all(|f| (0.0..256.0).contains(f) && f.fract() == 0.0), "seed {seed}: {floats:?}");
        assert_eq!(inputs(seed).ints.len(), INPUTS);
        different.insert(ints);
    }
    // Some store constants only.
    assert!(different.len() > SEEDS as usize * 3 / 4, "only {} results are different", different.len());
}

#[test]
fn random_kernels_store_on_a_gpu_what_they_must() {
    let device = Device::open();
    for seed in 0..SEEDS {
        let (kernel, inputs) = (kernel(seed), inputs(seed));
        let [shader] = &translate(&kernel.text, &format!("seed {seed}"))[..] else { panic!("one kernel") };
        let (actual, expected) = (device.run(shader, &inputs), kernel.run(&inputs));
        assert_eq!(actual, expected, "seed {seed}\n{}\n{}", kernel.text, shader.text);
    }
}

#[test]
fn what_a_host_must_know() {
    let source = "gpu.module @m {
      gpu.func @k(%a: memref<?xvector<4xf16>>, %n: i32, %b: memref<8x4xf32>, %s: f32)
          workgroup(%t: memref<3xf32, #gpu.address_space<workgroup>>, %u: memref<2xvector<4xf32>, #gpu.address_space<workgroup>>)
          kernel attributes {known_block_size = array<i32: 8, 4, 2>} {
        %c0 = arith.constant 0 : index
        memref.store %s, %b[%c0, %c0] : memref<8x4xf32>
        gpu.return
      }
    }";
    let shaders = translate(source, "a test");
    let [shader] = &shaders[..] else { panic!("{shaders:?}") };
    check(shader);
    assert_eq!((shader.kernel.as_str(), shader.entry.as_str()), ("k", "k"));
    assert_eq!(shader.workgroup_size, [8, 4, 2]);
    // The vectors begin at a multiple of their size.
    assert_eq!(shader.workgroup_bytes, 16 + 32);
    assert_eq!(shader.features, Features { f16: true, ..Features::default() });
    assert_eq!(shader.uniform, Some(Uniform { binding: 2, bytes: 8 }));
    assert_eq!(
        shader.arguments,
        [
            Argument::Buffer { binding: 0, access: Access::Read, element_bytes: 8, elements: None },
            Argument::Scalar { offset: 0, scalar: Scalar::I32 },
            Argument::Buffer { binding: 1, access: Access::ReadWrite, element_bytes: 4, elements: Some(32) },
            Argument::Scalar { offset: 4, scalar: Scalar::F32 },
        ]
    );
}

#[test]
fn built_modules_have_errors_without_a_place() {
    let context = context();
    let error = to_wgsl::TranslateError::at(melior::ir::Location::unknown(&context), "is wrong");
    assert_eq!(error.to_string(), "error: is wrong");
    let named = melior::ir::Location::name(&context, "x", melior::ir::Location::new(&context, "f.mlir", 3, 5));
    let error = to_wgsl::TranslateError::at(named, "is wrong");
    assert_eq!(error.to_string(), "f.mlir:3:5: error: is wrong");
}
