//! Prints a random kernel as MLIR.

use super::{Carried, GLOBAL, GROUP, INPUTS, Kernel, N, OUTPUTS, S, SLOTS, Stmt, THREAD, Value};
use std::fmt::Write;

impl Kernel {
    /// The module's text.
    pub(super) fn print(&self) -> String {
        let mut body = String::new();
        print(&self.body, 2, &mut body);
        for (buffer, element, values) in [("int_out", "i32", &self.ints), ("float_out", "f32", &self.floats)] {
            for (i, value) in values.iter().enumerate() {
                writeln!(body, "    memref.store %{value}, %{buffer}[%at{i}] : memref<?x{element}>").unwrap();
            }
        }
        format!(
            "gpu.module @kernels {{\n  \
             gpu.func @main(%ints: memref<{INPUTS}xi32>, %floats: memref<{INPUTS}xf32>,\n                 \
             %int_out: memref<?xi32>, %float_out: memref<?xf32>, %{N}: i32, %{S}: f32)\n      \
             workgroup(%tile: memref<{GROUP}xi32, #gpu.address_space<workgroup>>)\n      \
             private(%slots: memref<{SLOTS}xi32, #gpu.address_space<private>>)\n      \
             kernel attributes {{known_block_size = array<i32: {GROUP}, 1, 1>}} {{\n    \
             %{THREAD} = gpu.thread_id x\n    %{GLOBAL} = gpu.global_id x\n    \
             %c1 = arith.constant 1 : index\n    %outputs = arith.constant {OUTPUTS} : index\n    \
             %at0 = arith.muli %{GLOBAL}, %outputs : index\n    %at1 = arith.addi %at0, %c1 : index\n    \
             %minus_one = arith.constant -1 : i32\n    %none = arith.constant 0 : i32\n\
             {body}    gpu.return\n  }}\n}}\n"
        )
    }
}

fn list(items: &[Carried], one: impl Fn(&Carried) -> String) -> String {
    items.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn print(body: &[Stmt], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let mut line = |line: String| writeln!(text, "{indent}{line}").unwrap();
    for stmt in body {
        match stmt {
            Stmt::Constant { out, ty, value } => {
                let value = match value {
                    Value::Int(value) => format!("{value} : {}", ty.name()),
                    Value::Float(value) => format!("{value:?} : f32"),
                    Value::Bool(value) => value.to_string(),
                };
                line(format!("%{out} = arith.constant {value}"));
            }
            Stmt::Op { out, op, args } => {
                let mut op = op.text.replace("$o", &format!("{out}_"));
                for (i, arg) in args.iter().enumerate() {
                    op = op.replace(&format!("${i}"), &format!("%{arg}"));
                }
                let (before, last) = op.rsplit_once('\n').unwrap_or(("", &op));
                before.lines().for_each(|op| line(op.to_owned()));
                line(format!("%{out} = {last}"));
            }
            Stmt::Dot { out, args, signed } => {
                let extension = if *signed { "extsi" } else { "extui" };
                for (i, arg) in args.iter().enumerate() {
                    line(format!("%w{out}_{i} = vector.from_elements %{arg} : vector<1xi32>"));
                    line(format!("%b{out}_{i} = vector.bitcast %w{out}_{i} : vector<1xi32> to vector<4xi8>"));
                    line(format!("%e{out}_{i} = arith.{extension} %b{out}_{i} : vector<4xi8> to vector<4xi32>"));
                }
                line(format!("%p{out} = arith.muli %e{out}_0, %e{out}_1 : vector<4xi32>"));
                line(format!("%{out} = vector.reduction <add>, %p{out} : vector<4xi32> into i32"));
            }
            Stmt::LoadInt { out, at } => line(format!("%{out} = memref.load %ints[%{at}] : memref<{INPUTS}xi32>")),
            Stmt::LoadFloat { out, at } => line(format!("%{out} = memref.load %floats[%{at}] : memref<{INPUTS}xf32>")),
            Stmt::StoreSlot { at, value } => {
                line(format!(
                    "memref.store %{value}, %slots[%{at}] : memref<{SLOTS}xi32, #gpu.address_space<private>>"
                ));
            }
            Stmt::LoadSlot { out, at, row: true } => {
                let (memref, row) =
                    (format!("memref<{SLOTS}xi32, #gpu.address_space<private>>"), format!("vector<{SLOTS}xi32>"));
                line(format!("%z{out} = arith.constant 0 : index"));
                line(format!("%v{out} = vector.load %slots[%z{out}] : {memref}, {row}"));
                line(format!("%{out} = vector.extract %v{out}[%{at}] : i32 from {row}"));
            }
            Stmt::LoadSlot { out, at, row: false } => {
                line(format!("%{out} = memref.load %slots[%{at}] : memref<{SLOTS}xi32, #gpu.address_space<private>>"));
            }
            Stmt::Exchange { out, value, at } => {
                let ty = format!("memref<{GROUP}xi32, #gpu.address_space<workgroup>>");
                line(format!("memref.store %{value}, %tile[%{THREAD}] : {ty}"));
                line("gpu.barrier".into());
                line(format!("%{out} = memref.load %tile[%{at}] : {ty}"));
                line("gpu.barrier".into());
            }
            Stmt::For { bounds: [low, high, step], index, carried, body } => {
                let inits = list(carried, |c| format!("%{} = %{}", c.argument, c.init));
                let types = list(carried, |c| c.ty.name().into());
                let count = carried.len();
                let name = carried[0].out;
                line(format!(
                    "%r{name}:{count} = scf.for %{index} = %{low} to %{high} step %{step} iter_args({inits}) -> ({types}) {{"
                ));
                let mut inner = String::new();
                print(body, depth + 1, &mut inner);
                inner += &format!(
                    "{indent}  scf.yield {} : {types}\n{indent}}}",
                    list(carried, |c| format!("%{}", c.yielded))
                );
                line(inner.trim_start().to_owned());
                for (i, c) in carried.iter().enumerate() {
                    // A separate name for each result, by an identity op.
                    let yes = format!("%t{name}_{i}");
                    line(format!("{yes} = arith.constant true"));
                    line(format!("%{} = arith.select {yes}, %r{name}#{i}, %r{name}#{i} : {}", c.out, c.ty.name()));
                }
            }
            Stmt::If { condition, out, ty, arms } => {
                let ty = ty.name();
                let mut inner = format!("%{out} = scf.if %{condition} -> ({ty}) {{\n");
                for (i, (body, yielded)) in arms.iter().enumerate() {
                    print(body, depth + 1, &mut inner);
                    let end = if i == 0 { "} else {\n" } else { "}" };
                    inner += &format!("{indent}  scf.yield %{yielded} : {ty}\n{indent}{end}");
                }
                line(inner);
            }
            Stmt::While { from, count, next, carried: c, body } => {
                let ty = c.ty.name();
                let mut inner = format!(
                    "%w{next}:2 = scf.while (%l{next} = %{from}, %v{next} = %{}) : (i32, {ty}) -> (i32, {ty}) {{\n\
                     {indent}  %m{next} = arith.cmpi sgt, %l{next}, %none : i32\n\
                     {indent}  scf.condition(%m{next}) %l{next}, %v{next} : i32, {ty}\n\
                     {indent}}} do {{\n{indent}^bb0(%{count}: i32, %{}: {ty}):\n",
                    c.init, c.argument
                );
                print(body, depth + 1, &mut inner);
                inner += &format!(
                    "{indent}  %{next} = arith.addi %{count}, %minus_one : i32\n\
                     {indent}  scf.yield %{next}, %{} : i32, {ty}\n{indent}}}",
                    c.yielded
                );
                line(inner);
                line(format!("%t{next} = arith.constant true"));
                line(format!("%{} = arith.select %t{next}, %w{next}#1, %w{next}#1 : {ty}", c.out));
            }
        }
    }
}
