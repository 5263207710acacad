// RUN: kforge-opt %s --split-input-file --kernel-entries --verify-diagnostics

// expected-error @below {{'func.func' op takes a memref<4x?xf32>; memrefs of a kernel are contiguous, in the default memory space, and only their first dimension may be dynamic}}
func.func private @dynamic(%task: index, %x: memref<4x?xf32>) {
  return
}

// -----

// expected-error @below {{'func.func' op takes a memref<4xf32, strided<[2]>>; memrefs of a kernel are contiguous}}
func.func private @strided(%task: index, %x: memref<4xf32, strided<[2]>>) {
  return
}

// -----

func.func private @helper(%x: f32) -> f32 {
  return %x : f32
}
func.func private @calls(%task: index, %x: memref<4xf32>) {
  %c = arith.constant 0.0 : f32
  // expected-error @below {{'func.call' op 'helper' does not reference a valid function}}
  %0 = call @helper(%c) : (f32) -> f32
  return
}
