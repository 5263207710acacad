// The language server knows the dialect and says what the verifier says.
// RUN: kforge-lsp -lit-test < %s | FileCheck %s
{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"processId":1,"rootPath":"mlir","capabilities":{},"trace":"off"}}
// CHECK: "capabilities": {
// CHECK: "hoverProvider": true
// -----
{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"test:///f.mlir","languageId":"mlir","version":1,"text":"func.func @f(%x: tensor<4xf32>) {\n  %0 = transformer.gelu %x {approximate = \"fast\"} : tensor<4xf32>\n  return\n}"}}}
// CHECK: "method": "textDocument/publishDiagnostics"
// CHECK: "message": "custom op 'transformer.gelu' 'transformer.gelu' op attribute 'approximate' failed to satisfy constraint: string attribute that is \"none\" or \"tanh\"
// -----
{"jsonrpc":"2.0","id":3,"method":"shutdown"}
// -----
{"jsonrpc":"2.0","method":"exit"}
