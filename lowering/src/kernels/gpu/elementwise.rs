//! Element-wise ops: one thread per element.

use super::{target::Target, workgroup::Declaration};
use crate::{
    group::{Result, Signature, op_name},
    kernels::elementwise::{elements, evaluate},
};
use melior::ir::Value;

/// Threads of a workgroup.
const THREADS: usize = 256;

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let total = elements(group)?;
    let threads = THREADS.min(of.adapter.threads);
    Declaration { name: of.name, buffers: of.scalars(), scalars: 1, shared: vec![], threads }.build(
        &of,
        |e, workgroup| {
            let buffers = of.buffers(e, &workgroup.buffers);
            let (inputs, outputs) = buffers.split_at(group.arguments.len());
            let at = workgroup.task * threads + workgroup.thread;
            e.try_if(at.lt(workgroup.scalars[0]), |e| {
                let leaf = |v: Value<'c, 'a>| group.argument(v).map(|i| inputs[i].load(e, at));
                outputs.iter().zip(&group.yields).try_for_each(|(output, value)| {
                    output.store(e, evaluate(group, e, *value, &leaf)?, at);
                    Ok(())
                })
            })
        },
    )?;
    let ops: Vec<String> =
        group.body.iter().map(|op| op_name(op).rsplit('.').next().unwrap_or_default().to_owned()).collect();
    Ok(of.signature(total.clone().ceil_div(threads), vec![total], ops.join("+")))
}
