//! The texts of errors, and their places.

use super::*;

#[test]
fn calls_end() {
    let recursive = "func.func @main() { call @main() : () -> () return }";
    assert_eq!(error(recursive, &[]), "-:1:1: error: 'func.func' op calls itself, which never ends");
    let mut chain = "func.func @main() { call @f0() : () -> () return }\n".to_owned();
    for i in 0..100 {
        chain += &format!("func.func @f{i}() {{ call @f{}() : () -> () return }}\n", i + 1);
    }
    chain += "func.func @f100() { return }";
    assert!(error(&chain, &[]).ends_with("'func.func' op is more than 64 calls and regions deep"));
}

#[test]
fn errors_of_inputs() {
    let text = include_str!("../../../examples/matmul.mlir");
    let (x, w, b) =
        (uniform(1, &[3, 64], Element::F32), uniform(2, &[128, 64], Element::F32), uniform(3, &[128], Element::F32));
    assert_eq!(
        error(text, &[&uniform(1, &[3, 65], Element::F32), &w, &b]),
        "-:3:1: error: 'func.func' op @main takes tensor<?x64xf32> as input 0, but got tensor<3x65xf32>"
    );
    assert!(error(text, &[&x, &w, &uniform(1, &[128], Element::F16)]).contains("as input 2, but got tensor<128xf16>"));
    assert!(error(text, &[&x, &w]).ends_with("@main takes 3 inputs, but got 2"));
}

#[test]
fn errors_of_ops() {
    let unknown = eval(
        &["i1"],
        "%r = scf.if %a0 -> i1 { scf.yield %a0 : i1 } else { scf.yield %a0 : i1 }",
        "i1",
        &[&bools(&[], &[1])],
    );
    assert_eq!(
        unknown.unwrap_err().to_string(),
        "-:2:6: error: 'scf.if' op is not among the ops that the reference interprets"
    );
    let branch = "func.func @main() { cf.br ^b ^b: return }";
    assert!(error(branch, &[]).contains("'cf.br' op is not among the ops"));
    let id = "%r = transformer.embedding %a0, %a1 : tensor<2xi32>, tensor<3x1xf32> -> tensor<2x1xf32>";
    let id = eval(
        &["tensor<2xi32>", "tensor<3x1xf32>"],
        id,
        "tensor<2x1xf32>",
        &[&i32s(&[2], &[0, 3]), &f32s(&[3, 1], &[0.0; 3])],
    );
    assert_eq!(
        id.unwrap_err().message,
        "'transformer.embedding' op ids[1] is 3, but must be a row of the table, 0 to 3 exclusive"
    );
    let add = "%r = arith.addf %a0, %a1 : tensor<?xf32>";
    let add = eval(&["tensor<?xf32>"; 2], add, "tensor<?xf32>", &[&f32s(&[1], &[0.0]), &f32s(&[2], &[0.0; 2])]);
    assert_eq!(add.unwrap_err().message, "'arith.addf' op right must be tensor<1xf32>, but is tensor<2xf32>");
    let cast = "%r = tensor.cast %a0 : tensor<?xf32> to tensor<2xf32>";
    let cast = eval(&["tensor<?xf32>"], cast, "tensor<2xf32>", &[&f32s(&[1], &[0.0])]);
    assert_eq!(
        cast.unwrap_err().message,
        "'tensor.cast' op must give tensor<2xf32> as result 0, but gives tensor<1xf32>"
    );
    let divide = eval(&["index"], "%r = arith.divsi %a0, %a0 : index", "index", &[&index(0)]);
    assert!(divide.unwrap_err().message.contains("'arith.divsi' op right[] is 0"));
    let expand = "%two = arith.constant 2 : index
        %r = tensor.expand_shape %a0 [[0, 1]] output_shape [%two, 2] : tensor<?xf32> into tensor<?x2xf32>";
    let expand = eval(&["tensor<?xf32>"], expand, "tensor<?x2xf32>", &[&f32s(&[2], &[0.0; 2])]);
    let text = "'tensor.expand_shape' op cannot expand dimension 0 of tensor<2xf32> to a part of [2, 2]";
    assert_eq!(expand.unwrap_err().message, text);
    let dim = "%axis = arith.constant 5 : index\n%r = tensor.dim %a0, %axis : tensor<?xf32>";
    let dim = eval(&["tensor<?xf32>"], dim, "index", &[&f32s(&[1], &[0.0])]);
    assert_eq!(dim.unwrap_err().message, "'tensor.dim' op asks for dimension 5 of a shape [1]");
    let huge =
        eval(&[], "%r = arith.constant dense<0.0> : tensor<9999999999999xf32>", "tensor<9999999999999xf32>", &[]);
    assert!(huge.unwrap_err().message.contains("more than the reference's 1073741824 elements"));
    let f64s = eval(&[], "%0 = arith.constant 0.0 : f64\n%r = arith.truncf %0 : f64 to f32", "f32", &[]);
    let text = "'arith.constant' op has a value of type f64, which the reference does not know";
    assert_eq!(f64s.unwrap_err().message, text);
    let context = new_context();
    let module = parse(&context, "ml_program.global private mutable @g : tensor<2xf64>");
    let error = Interpreter::new(&module).err().unwrap();
    assert!(error.to_string().starts_with("-:1:1: error: 'ml_program.global' op has a value of type tensor<2xf64>"));
}

#[test]
fn odd_modules_do_not_panic() {
    let huge = "tensor<9223372036854775807x9223372036854775807xf32>";
    for text in [
        "ml_program.global private mutable @g : tensor<9223372036854775807x2xf32>".to_owned(),
        "ml_program.global private mutable @g : !transformer.quant<q4_0, 9999999999999x32>".to_owned(),
        "ml_program.global private @g(\"text\") : tensor<2xf32>".to_owned(),
        "ml_program.global private @g(dense<1.0> : tensor<3xf32>) : tensor<?x?xf32>".to_owned(),
        "ml_program.global private @g(dense<\"a\"> : tensor<3x!transformer.quant<q4_0, 1x32>>) : i32".to_owned(),
        "ml_program.global private @g(dense_resource<x> : tensor<3xf32>) : tensor<3xf32>".to_owned(),
        format!("func.func @main() {{ %0 = tensor.empty() : {huge} return }}"),
        "func.func @main() { %0 = arith.constant 1 : i8 return }".to_owned(),
        "func.func @main() { %0 = arith.constant dense<1.0> : vector<4xf32> return }".to_owned(),
        "func.func @main() { %0 = arith.constant -1 : index %1 = tensor.empty(%0) : tensor<?xf32> return }".to_owned(),
        "func.func @main() { %0 = arith.constant 4611686018427387904 : index
           %1 = tensor.empty(%0, %0) : tensor<?x?x2xf32> return }"
            .to_owned(),
        "func.func @main() { %0 = tensor.empty() : tensor<99999999x0xf32> %1 = tensor.empty() : tensor<99999999x0xf32>
           %2 = transformer.linear %0, %1 : tensor<99999999x0xf32>, tensor<99999999x0xf32> -> tensor<99999999x99999999xf32>
           return }"
            .to_owned(),
        "func.func @main() { %0 = arith.constant dense<1> : tensor<2xi64>
           %1 = arith.sitofp %0 : tensor<2xi64> to tensor<2xf64> return }"
            .to_owned(),
        "module @inner { ml_program.global private @g(dense<1> : tensor<2xi64>) : tensor<2xi64> }
         func.func @main() { %0 = ml_program.global_load @inner::@g : tensor<2xi64> return }"
            .to_owned(),
    ] {
        let context = new_context();
        let module = parse(&context, &text);
        let result = Interpreter::new(&module).and_then(|mut interpreter| interpreter.call("main", vec![]));
        result.expect_err(&text);
    }
}
