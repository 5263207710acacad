// What upstream's mlir-opt reports, kforge-opt reports: an assertion of upstream's headers never ends it first.
// RUN: not kforge-opt %s --split-input-file --canonicalize 2>&1 | FileCheck %s

// CHECK: upstream-diagnostics.mlir:[[@LINE+1]]:1: error: empty block: expect at least a terminator
spirv.ARM.Graph @no_terminator(%a: !spirv.arm.tensor<4xi16>) -> !spirv.arm.tensor<4xi16> {
}

// -----

// CHECK: error: 'spirv.ARM.Graph' op there should be at least one result
spirv.ARM.Graph @no_result(%a: !spirv.arm.tensor<4xi16>) -> () {
}

// -----

// CHECK: error: 'spirv.ARM.Graph' op type of argument #0 must be a TensorArmType, but got 'i8'
spirv.ARM.Graph @no_tensor(%a: i8) -> !spirv.arm.tensor<4xi16> {
}

// -----

// CHECK: error: 'spirv.ARM.GraphConstant' op failed to verify that op must appear in a spirv.ARM.Graph op's block
%0 = spirv.ARM.GraphConstant { graph_constant_id = 7 : i32 } : !spirv.arm.tensor<2x3xi16>
