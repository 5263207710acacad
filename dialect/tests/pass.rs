//! Passes in Rust, as MLIR sees them.

use kforge_dialect::{
    new_context,
    pass::{PassError, PassInfo, PassRun, register},
};
use melior::{ir::Module, pass::PassManager, utility::parse_pass_pipeline};
use std::sync::{Arc, Mutex};

static PANICS: PassInfo =
    PassInfo { name: "test-panics", summary: "Panic", anchor: "func.func", options: &[], statistics: &[], run: panics };

fn panics<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    pass.count("no such statistic", 1);
    Ok(())
}

#[test]
fn a_panic_is_a_failure_of_the_pass_at_its_op() {
    register(&PANICS);
    let context = new_context();
    let messages = Arc::new(Mutex::new(vec![]));
    let sink = messages.clone();
    context.attach_diagnostic_handler(move |diagnostic| {
        sink.lock().expect("no other thread").push(format!("{}: {diagnostic}", diagnostic.location()));
        true
    });
    let mut module = Module::parse(&context, "\nfunc.func @f() { return }").expect("a module");
    let manager = PassManager::new(&context);
    parse_pass_pipeline(manager.as_operation_pass_manager(), "builtin.module(func.func(test-panics))")
        .expect("a registered pass");
    assert!(manager.run(&mut module).is_err());
    let messages = messages.lock().expect("no other thread");
    assert_eq!(
        *messages,
        [
            "loc(\"-\":2:1): pass 'test-panics' panicked, which is a bug in it: 'no such statistic' is no statistic of the pass's row"
        ]
    );
}
