// Every adapter with its limits and features; a test kernel of each feature that it has agrees with the CPU.
// RUN: kforge-run diagnose-gpu | FileCheck %s --implicit-check-not=WRONG
// RUN: kforge-run diagnose-gpu --json --adapter 0 | FileCheck %s --check-prefix=JSON --implicit-check-not=WRONG
// RUN: not kforge-run diagnose-gpu --adapter none-of-these 2>&1 | FileCheck %s --check-prefix=NONE

// CHECK: 0: {{.+}}, by {{Vulkan|Metal|Dx12}}, driver {{.+}}; kernels for {{.*[0-9]+x[0-9]+}}
// CHECK: threads a workgroup {{.*[0-9]+}}
// CHECK: bytes of a binding {{.*[0-9]+}}
// CHECK: f32, workgroup memory {{.*}} ok
// CHECK: f16 {{.*}} {{ok|missing}}
// CHECK: subgroups {{.*}} {{ok|missing}}
// CHECK: timestamps {{.*}} {{ok|missing}}
// CHECK: cooperative matrices {{.*}} {{ok|missing}}
// CHECK: pipeline cache {{.*}} {{ok|missing}}

// JSON: "number": 0
// JSON: "name": "{{.+}}"
// JSON: "limits": [
// JSON: "name": "buffers a shader",
// JSON-NEXT: "value": {{[0-9]+}}
// JSON: "name": "f32, workgroup memory",
// JSON-NEXT: "there": true,
// JSON-NEXT: "result": "ok",
// JSON-NEXT: "meaning": "every kernel"

// NONE: kforge-run: the GPU: there is no adapter 'none-of-these'; this machine has 0: {{.+}}
