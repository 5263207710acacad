// Prefill and decode in llama-bench's columns, on random weights; what a profile and a trace hold. No figure is checked.
// RUN: kforge-run bench model --model random:tiny -p 5 -n 2 -r 1 -b 2,8 -t 1,2 | FileCheck %s
// RUN: kforge-run bench model --model random:tiny -p 4 -n 0 -r 2 --output csv | FileCheck %s --check-prefix=CSV
// RUN: kforge-run bench model --model random:tiny -p 4 -n 2 -r 2 --json --threads 1 | FileCheck %s --check-prefix=JSON
// RUN: kforge-run bench model --model random:tiny -p 4 -n 2 -r 1 --profile --no-cache --trace %t.json 2>&1 | FileCheck %s --check-prefix=PROFILE
// RUN: FileCheck %s --check-prefix=TRACE < %t.json
// RUN: not kforge-run bench model --model random:tiny -b 0 2>&1 | FileCheck %s --check-prefix=BATCH
// RUN: not kforge-run bench model --model random:tiny -t 0 2>&1 | FileCheck %s --check-prefix=THREADS
// RUN: not kforge-run bench model --model random:tiny -r 0 2>&1 | FileCheck %s --check-prefix=ROUNDS
// RUN: not kforge-run bench model --model random:tiny --trace /dev/null/t.json 2>&1 | FileCheck %s --check-prefix=FILE

// CHECK: | model{{.*}}| size{{.*}}| params{{.*}}| backend | threads | n_batch | type_kv | numerics | test | t/s
// CHECK-NEXT: |---
// CHECK-NEXT: | random:tiny |{{.*}}| cpu{{.*}}| 1{{.*}}| 2{{.*}}| f32{{.*}}| exact{{.*}}| pp5{{.*}}|
// CHECK-NEXT: | random:tiny |{{.*}}| cpu{{.*}}| 1{{.*}}| 8{{.*}}| f32{{.*}}| exact{{.*}}| pp5{{.*}}|
// CHECK-NEXT: | random:tiny |{{.*}}| cpu{{.*}}| 1{{.*}}| 2{{.*}}| f32{{.*}}| exact{{.*}}| tg2{{.*}}|
// CHECK-NEXT: | random:tiny |{{.*}}| cpu{{.*}}| 2{{.*}}| 2{{.*}}| f32{{.*}}| exact{{.*}}| pp5{{.*}}|
// CHECK-NEXT: | random:tiny |{{.*}}| cpu{{.*}}| 2{{.*}}| 8{{.*}}| f32{{.*}}| exact{{.*}}| pp5{{.*}}|
// CHECK-NEXT: | random:tiny |{{.*}}| cpu{{.*}}| 2{{.*}}| 2{{.*}}| f32{{.*}}| exact{{.*}}| tg2{{.*}}|
// CHECK-NEXT: pp appends a prompt in batches and computes the logits of each batch's last position and the greatest
// CHECK-NEXT: tg appends one token after another and computes the logits of each and the greatest

// CSV: model,size,params,backend,threads,n_batch,type_kv,numerics,test,t/s,stddev,median
// CSV-NEXT: "random:tiny",{{[0-9]+,[0-9]+}},cpu,{{[0-9]+}},2048,f32,exact,pp4,{{[0-9.]+,[0-9.]+,[0-9.]+}}
// CSV-NOT: tg

// JSON: "computes": {
// JSON: "results": [
// JSON: "n_batch": 2048,
// JSON: "test": "pp4",
// JSON: "test": "tg2",

// PROFILE: pp4, {{[0-9]+}} threads, each launch by itself; the limits, measured in this run, are reading weights and caches at {{[0-9.]+}} GB/s, f32 at {{[0-9]+}} GFLOP/s, int8 at {{[0-9]+}} GOP/s:
// PROFILE: | kernel{{.*}}| computes{{.*}}| launches |{{.*}}ms | us a launch |{{.*}}share |{{.*}}GB/s |{{.*}}limit |{{.*}}of it |
// PROFILE: | kforge_gemm_{{[0-9]+}}{{.*}}| linear{{.*}} % |
// PROFILE: tg2, {{.*}}
// PROFILE: | kforge_gemv_{{[0-9]+}}{{.*}}| norm+linear{{.*}} % |

// TRACE: [
// TRACE: "name":"compile and load code","ph":"B"
// TRACE: "name":"passes","ph":"B"
// TRACE: "name":"optimise","ph":"B"
// TRACE: "name":"pack weights","ph":"B"
// TRACE: "name":"pp4","ph":"B"
// TRACE: "name":"kforge_gemm_{{[0-9]+}}","ph":"B"
// TRACE: "name":"kforge_gemm_{{[0-9]+}}","ph":"E"
// TRACE: "name":"tg2","ph":"B"
// TRACE: "name":"kforge_gemv_{{[0-9]+}}","ph":"B"
// TRACE: {{^]}}

// BATCH: error: invalid value '0' for '--batch-size <BATCH_SIZE>': 0 is not in 1..
// THREADS: error: invalid value '0' for '--thread-counts <N,...>'
// ROUNDS: error: invalid value '0' for '--repetitions <REPETITIONS>': 0 is not in 1..
// FILE: kforge-run: /dev/null/t.json cannot be written
