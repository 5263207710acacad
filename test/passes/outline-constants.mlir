// RUN: kforge-opt %s --outline-constants | FileCheck %s
// RUN: kforge-opt %s --outline-constants --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: outline-constants
// STATS-NEXT: (S) 5 outlined
// STATS-NEXT: (S) 3 globals

// Equal constants share a global; a name that is taken is passed over.
// CHECK: ml_program.global private @constant_1(dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>) : tensor<2xf32>
// CHECK: ml_program.global private @constant_2(dense<5.000000e-01> : tensor<2xf32>) : tensor<2xf32>
// CHECK: ml_program.global private @constant_3(dense<[3, 4]> : tensor<2xi32>) : tensor<2xi32>
// CHECK: ml_program.global private @constant_0
ml_program.global private @constant_0(#ml_program.extern<tensor<2xf32>>) : tensor<2xf32>

// CHECK-LABEL: func.func @bias
// CHECK: %[[B:.*]] = ml_program.global_load_const @constant_1 : tensor<2xf32>
// CHECK: transformer.linear %{{.*}}, %{{.*}} bias %[[B]]
func.func @bias(%x: tensor<1x2xf32>, %w: tensor<2x2xf32>) -> tensor<1x2xf32> {
  %b = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = transformer.linear %x, %w bias %b : tensor<1x2xf32>, tensor<2x2xf32>, tensor<2xf32> -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}

// A splat is an immediate of element-wise ops, and an operand of all others.
// CHECK-LABEL: func.func @splats
// CHECK: %[[ONE:.*]] = arith.constant dense<1.000000e+00> : tensor<2xf32>
// CHECK: arith.addf %{{.*}}, %[[ONE]]
// CHECK: %[[HALF:.*]] = ml_program.global_load_const @constant_2
// CHECK: transformer.rms_norm %{{.*}}, %[[HALF]]
func.func @splats(%x: tensor<2xf32>) -> tensor<2xf32> {
  %one = arith.constant dense<1.0> : tensor<2xf32>
  %0 = arith.addf %x, %one : tensor<2xf32>
  %half = arith.constant dense<0.5> : tensor<2xf32>
  %1 = transformer.rms_norm %0, %half {eps = 1.0e-5 : f32} : tensor<2xf32>, tensor<2xf32>
  return %1 : tensor<2xf32>
}

// An op of constants alone reads them from memory, as it needs an operand to know its size by.
// CHECK-LABEL: func.func @alone
// CHECK: %[[A:.*]] = ml_program.global_load_const @constant_2
// CHECK: math.exp %[[A]]
func.func @alone() -> tensor<2xf32> {
  %half = arith.constant dense<0.5> : tensor<2xf32>
  %0 = math.exp %half : tensor<2xf32>
  return %0 : tensor<2xf32>
}

// A constant of a region becomes an operand of its op; one that is returned is a load. Sizes and scalars stay.
// CHECK-LABEL: func.func @regions
// CHECK: arith.constant 1 : index
// CHECK: %[[B:.*]] = ml_program.global_load_const @constant_1
// CHECK: transformer.fused(%{{.*}} = %{{.*}} : tensor<1x2xf32>, %{{.*}} = %{{.*}} : tensor<2x2xf32>, %[[IN:.*]] = %[[B]] : tensor<2xf32>)
// CHECK-NOT: arith.constant
// CHECK: transformer.linear %{{.*}}, %{{.*}} bias %[[IN]]
// CHECK: %[[IDS:.*]] = ml_program.global_load_const @constant_3
// CHECK: return %{{.*}}, %[[IDS]]
func.func @regions(%x: tensor<1x2xf32>, %w: tensor<2x2xf32>, %t: tensor<?xf32>) -> (tensor<1x2xf32>, tensor<2xi32>) {
  %axis = arith.constant 1 : index
  %y = transformer.fused(%a = %x : tensor<1x2xf32>, %v = %w : tensor<2x2xf32>) -> tensor<1x2xf32> {
    %b = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
    %0 = transformer.linear %a, %v bias %b : tensor<1x2xf32>, tensor<2x2xf32>, tensor<2xf32> -> tensor<1x2xf32>
    transformer.yield %0 : tensor<1x2xf32>
  }
  %ids = arith.constant dense<[3, 4]> : tensor<2xi32>
  return %y, %ids : tensor<1x2xf32>, tensor<2xi32>
}
