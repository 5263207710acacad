//! Random `gpu.func` kernels, and what they leave in memory: for differential tests of what kernels are translated to.
//!
//! ```text
//! gpu.func @main(%ints: memref<64xi32>, %floats: memref<64xf32>, %int_out: memref<?xi32>, %float_out: memref<?xf32>,
//!                %n: i32, %s: f32) workgroup(...) private(...) kernel ...
//! ```
//! A kernel is a function of its seed alone: integer and float arithmetic, comparisons, packed bytes, loops, branches,
//! loads, private memory, values that go from thread to thread through workgroup memory. [`Kernel::run`] says what every
//! thread stores. Nothing in a kernel is open in MLIR: divisors are positive, shift amounts below 32, places inside their
//! memory. Floats are integers below 2^16 before they are cut to a byte again, so that every order and every contraction
//! of their arithmetic has one result.

use kforge_reference::random::SplitMix64;
use std::fmt::Write;

/// Threads of a workgroup.
pub const GROUP: usize = 32;
/// Workgroups that a kernel is made for.
pub const GROUPS: usize = 2;
/// Elements of each input.
pub const INPUTS: usize = 64;
/// Elements that a thread stores into each output, at its number times this.
pub const OUTPUTS: usize = 2;
const SLOTS: usize = 4;

/// What a kernel is called with.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// [`INPUTS`] of any integers.
    pub ints: Vec<i32>,
    /// [`INPUTS`] of the floats 0 to 255.
    pub floats: Vec<f32>,
    pub n: i32,
    /// One of the floats 0 to 255.
    pub s: f32,
}

/// A kernel, `@main` in a `gpu.module`.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub text: String,
    body: Vec<Stmt>,
    ints: [usize; OUTPUTS],
    floats: [usize; OUTPUTS],
    values: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ty {
    Int,
    Index,
    Float,
    Bool,
}

impl Ty {
    fn name(self) -> &'static str {
        match self {
            Ty::Int => "i32",
            Ty::Index => "index",
            Ty::Float => "f32",
            Ty::Bool => "i1",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Int(i32),
    Float(f32),
    Bool(bool),
}

impl Value {
    fn int(self) -> i32 {
        match self {
            Value::Int(value) => value,
            other => panic!("{other:?} is no integer"),
        }
    }
    fn float(self) -> f32 {
        match self {
            Value::Float(value) => value,
            other => panic!("{other:?} is no float"),
        }
    }
    fn bool(self) -> bool {
        match self {
            Value::Bool(value) => value,
            other => panic!("{other:?} is no boolean"),
        }
    }
}

/// What an op makes of its operands.
type Eval = fn(&[Value]) -> Value;

/// An op of one result: its text with `$0`, `$1`, ... for operands, and its meaning.
#[derive(Clone, Debug)]
struct Op {
    text: String,
    eval: Eval,
}

#[derive(Clone, Debug)]
enum Stmt {
    Constant {
        out: usize,
        ty: Ty,
        value: Value,
    },
    Op {
        out: usize,
        op: Op,
        args: Vec<usize>,
    },
    /// The sum of products of the bytes of two words.
    Dot {
        out: usize,
        args: [usize; 2],
        signed: bool,
    },
    LoadInt {
        out: usize,
        at: usize,
    },
    LoadFloat {
        out: usize,
        at: usize,
    },
    StoreSlot {
        at: usize,
        value: usize,
    },
    LoadSlot {
        out: usize,
        at: usize,
    },
    /// Each thread gives a value and takes that of another of its group.
    Exchange {
        out: usize,
        value: usize,
        at: usize,
    },
    For {
        bounds: [usize; 3],
        index: usize,
        carried: Vec<Carried>,
        body: Vec<Stmt>,
    },
    If {
        condition: usize,
        out: usize,
        ty: Ty,
        arms: [(Vec<Stmt>, usize); 2],
    },
    /// Counts an integer down to zero.
    While {
        from: usize,
        count: usize,
        next: usize,
        carried: Carried,
        body: Vec<Stmt>,
    },
}

/// A value that a loop hands on.
#[derive(Clone, Debug)]
struct Carried {
    ty: Ty,
    init: usize,
    argument: usize,
    yielded: usize,
    out: usize,
}

/// The kernel of a seed.
pub fn kernel(seed: u64) -> Kernel {
    let mut generator = Generator { rng: SplitMix64(seed), scopes: vec![], values: 0 };
    generator.kernel(seed)
}

/// Inputs for a seed.
pub fn inputs(seed: u64) -> Inputs {
    let mut rng = SplitMix64(seed ^ 0x5eed);
    Inputs {
        ints: (0..INPUTS).map(|_| integer(&mut rng)).collect(),
        floats: (0..INPUTS).map(|_| (rng.next_u64() % 256) as f32).collect(),
        n: integer(&mut rng),
        s: (rng.next_u64() % 256) as f32,
    }
}

/// Any integer, the odd ones often.
fn integer(rng: &mut SplitMix64) -> i32 {
    let odd = [0, 1, -1, 2, 31, 32, 255, i32::MIN, i32::MAX, -128];
    match rng.next_u64() % 3 {
        0 => odd[(rng.next_u64() % odd.len() as u64) as usize],
        1 => (rng.next_u64() % 17) as i32 - 8,
        _ => rng.next_u64() as i32,
    }
}

struct Generator {
    rng: SplitMix64,
    /// Values in sight, innermost last.
    scopes: Vec<Vec<(usize, Ty)>>,
    values: usize,
}

// Values that every kernel has from the start.
const N: usize = 0;
const S: usize = 1;
const THREAD: usize = 2;
const GLOBAL: usize = 3;

impl Generator {
    fn below(&mut self, end: usize) -> usize {
        (self.rng.next_u64() % end as u64) as usize
    }

    fn fresh(&mut self) -> usize {
        self.values += 1;
        self.values - 1
    }

    fn see(&mut self, value: usize, ty: Ty) {
        self.scopes.last_mut().expect("a scope").push((value, ty));
    }

    fn pick(&mut self, ty: Ty) -> usize {
        let all: Vec<usize> = self.scopes.iter().flatten().filter(|v| v.1 == ty).map(|v| v.0).collect();
        // The latest half more often, so that what is computed is used.
        let from = if self.below(2) == 0 { all.len() / 2 } else { 0 };
        all[from + self.below(all.len() - from)]
    }

    fn constant(&mut self, ty: Ty, value: Value, into: &mut Vec<Stmt>) -> usize {
        let out = self.fresh();
        into.push(Stmt::Constant { out, ty, value });
        self.see(out, ty);
        out
    }

    fn op(&mut self, text: &str, eval: Eval, args: &[usize], ty: Ty, into: &mut Vec<Stmt>) -> usize {
        let out = self.fresh();
        into.push(Stmt::Op { out, op: Op { text: text.into(), eval }, args: args.to_vec() });
        self.see(out, ty);
        out
    }

    /// `value & mask`, an integer or an index.
    fn masked(&mut self, value: usize, ty: Ty, mask: i32, into: &mut Vec<Stmt>) -> usize {
        let mask = self.constant(ty, Value::Int(mask), into);
        self.op(
            &format!("arith.andi $0, $1 : {}", ty.name()),
            |v| Value::Int(v[0].int() & v[1].int()),
            &[value, mask],
            ty,
            into,
        )
    }

    /// A place below a power of two.
    fn place(&mut self, size: usize, into: &mut Vec<Stmt>) -> usize {
        let at = self.pick(Ty::Index);
        self.masked(at, Ty::Index, size as i32 - 1, into)
    }

    /// A float cut to the integers 0 to 255.
    fn cut(&mut self, value: usize, into: &mut Vec<Stmt>) -> usize {
        let int = self.op("arith.fptosi $0 : f32 to i32", |v| Value::Int(v[0].float() as i32), &[value], Ty::Int, into);
        let byte = self.masked(int, Ty::Int, 255, into);
        self.op("arith.sitofp $0 : i32 to f32", |v| Value::Float(v[0].int() as f32), &[byte], Ty::Float, into)
    }

    fn kernel(&mut self, seed: u64) -> Kernel {
        self.scopes.push(vec![(N, Ty::Int), (S, Ty::Float), (THREAD, Ty::Index), (GLOBAL, Ty::Index)]);
        self.values = 4;
        let mut body = vec![];
        let truth = seed.is_multiple_of(2);
        self.constant(Ty::Bool, Value::Bool(truth), &mut body);
        for slot in 0..SLOTS {
            let at = self.constant(Ty::Index, Value::Int(slot as i32), &mut body);
            let value = self.pick(Ty::Int);
            body.push(Stmt::StoreSlot { at, value });
        }
        let length = 6 + self.below(14);
        for _ in 0..length {
            if self.below(8) == 0 {
                let (value, at, out) = (self.pick(Ty::Int), self.place(GROUP, &mut body), self.fresh());
                body.push(Stmt::Exchange { out, value, at });
                self.see(out, Ty::Int);
            } else {
                self.stmt(2, &mut body);
            }
        }
        let ints = std::array::from_fn(|_| self.pick(Ty::Int));
        let floats = std::array::from_fn(|_| {
            let value = self.pick(Ty::Float);
            self.cut(value, &mut body)
        });
        let mut kernel = Kernel { text: String::new(), body, ints, floats, values: self.values };
        kernel.text = kernel.print();
        kernel
    }

    fn block(&mut self, depth: usize, before: &[(usize, Ty)], yields: Ty) -> (Vec<Stmt>, usize) {
        self.scopes.push(before.to_vec());
        let mut body = vec![];
        for _ in 0..1 + self.below(4) {
            self.stmt(depth, &mut body);
        }
        let mut yielded = self.pick(yields);
        if yields == Ty::Float {
            yielded = self.cut(yielded, &mut body);
        }
        self.scopes.pop();
        (body, yielded)
    }

    fn stmt(&mut self, depth: usize, into: &mut Vec<Stmt>) {
        match self.below(if depth > 0 { 20 } else { 15 }) {
            0..=5 => self.integer_op(into),
            6..=8 => self.float_op(into),
            9 | 10 => self.compare(into),
            11 => {
                let (at, out) = (self.place(INPUTS, into), self.fresh());
                into.push(Stmt::LoadInt { out, at });
                self.see(out, Ty::Int);
            }
            12 => {
                let (at, out) = (self.place(INPUTS, into), self.fresh());
                into.push(Stmt::LoadFloat { out, at });
                self.see(out, Ty::Float);
            }
            13 => {
                let at = self.place(SLOTS, into);
                let value = self.pick(Ty::Int);
                into.push(Stmt::StoreSlot { at, value });
                let (at, out) = (self.place(SLOTS, into), self.fresh());
                into.push(Stmt::LoadSlot { out, at });
                self.see(out, Ty::Int);
            }
            14 => {
                let (args, signed, out) = ([self.pick(Ty::Int), self.pick(Ty::Int)], self.below(2) == 0, self.fresh());
                into.push(Stmt::Dot { out, args, signed });
                self.see(out, Ty::Int);
            }
            15 | 16 => self.for_loop(depth, into),
            17 => self.while_loop(depth, into),
            _ => self.branch(depth, into),
        }
    }

    fn integer_op(&mut self, into: &mut Vec<Stmt>) {
        let ty = if self.below(3) == 0 { Ty::Index } else { Ty::Int };
        let (a, mut b) = (self.pick(ty), self.pick(ty));
        if self.below(4) == 0 {
            let value = integer(&mut self.rng);
            b = self.constant(ty, Value::Int(value), into);
        }
        let plain: [(&str, Eval); 10] = [
            ("addi", |v| Value::Int(v[0].int().wrapping_add(v[1].int()))),
            ("subi", |v| Value::Int(v[0].int().wrapping_sub(v[1].int()))),
            ("muli", |v| Value::Int(v[0].int().wrapping_mul(v[1].int()))),
            ("andi", |v| Value::Int(v[0].int() & v[1].int())),
            ("ori", |v| Value::Int(v[0].int() | v[1].int())),
            ("xori", |v| Value::Int(v[0].int() ^ v[1].int())),
            ("maxsi", |v| Value::Int(v[0].int().max(v[1].int()))),
            ("minsi", |v| Value::Int(v[0].int().min(v[1].int()))),
            ("maxui", |v| Value::Int(v[0].int().cast_unsigned().max(v[1].int().cast_unsigned()).cast_signed())),
            ("minui", |v| Value::Int(v[0].int().cast_unsigned().min(v[1].int().cast_unsigned()).cast_signed())),
        ];
        let divide: [(&str, Eval); 4] = [
            ("divsi", |v| Value::Int(v[0].int() / v[1].int())),
            ("remsi", |v| Value::Int(v[0].int() % v[1].int())),
            ("divui", |v| Value::Int((v[0].int().cast_unsigned() / v[1].int().cast_unsigned()).cast_signed())),
            ("remui", |v| Value::Int((v[0].int().cast_unsigned() % v[1].int().cast_unsigned()).cast_signed())),
        ];
        let shift: [(&str, Eval); 3] = [
            ("shli", |v| Value::Int(v[0].int() << v[1].int())),
            ("shrsi", |v| Value::Int(v[0].int() >> v[1].int())),
            ("shrui", |v| Value::Int((v[0].int().cast_unsigned() >> v[1].int()).cast_signed())),
        ];
        let name = ty.name();
        let (op, eval) = match self.below(10) {
            0 | 1 => {
                let low = self.masked(b, ty, 7, into);
                let one = self.constant(ty, Value::Int(1), into);
                let add = format!("arith.addi $0, $1 : {name}");
                b = self.op(&add, |v| Value::Int(v[0].int() + v[1].int()), &[low, one], ty, into);
                divide[self.below(divide.len())]
            }
            2 | 3 => {
                b = self.masked(b, ty, 31, into);
                shift[self.below(shift.len())]
            }
            4 => {
                let (from, to) = if ty == Ty::Int { (ty, Ty::Index) } else { (ty, Ty::Int) };
                let text = format!("arith.index_cast $0 : {} to {}", from.name(), to.name());
                self.op(&text, |v| v[0], &[a], to, into);
                return;
            }
            _ => plain[self.below(plain.len())],
        };
        self.op(&format!("arith.{op} $0, $1 : {name}"), eval, &[a, b], ty, into);
    }

    fn float_op(&mut self, into: &mut Vec<Stmt>) {
        let (a, b, c) = (self.pick(Ty::Float), self.pick(Ty::Float), self.pick(Ty::Float));
        // The picked ones may be uncut; a cut makes the bounds of the products hold.
        let (a, b, c) = (self.cut(a, into), self.cut(b, into), self.cut(c, into));
        let (text, eval, args): (&str, Eval, Vec<usize>) = match self.below(8) {
            0 => ("arith.addf $0, $1 : f32", |v| Value::Float(v[0].float() + v[1].float()), vec![a, b]),
            1 => ("arith.subf $0, $1 : f32", |v| Value::Float(v[0].float() - v[1].float()), vec![a, b]),
            2 => ("arith.mulf $0, $1 : f32", |v| Value::Float(v[0].float() * v[1].float()), vec![a, b]),
            3 => (
                "math.fma $0, $1, $2 : f32",
                |v| Value::Float(v[0].float().mul_add(v[1].float(), v[2].float())),
                vec![a, b, c],
            ),
            4 => ("arith.maximumf $0, $1 : f32", |v| Value::Float(v[0].float().max(v[1].float())), vec![a, b]),
            5 => ("arith.minnumf $0, $1 : f32", |v| Value::Float(v[0].float().min(v[1].float())), vec![a, b]),
            6 => ("arith.negf $0 : f32", |v| Value::Float(-v[0].float()), vec![a]),
            _ => ("math.absf $0 : f32", |v| Value::Float(v[0].float().abs()), vec![a]),
        };
        self.op(text, eval, &args, Ty::Float, into);
    }

    fn compare(&mut self, into: &mut Vec<Stmt>) {
        let ints: [(&str, Eval); 10] = [
            ("eq", |v| Value::Bool(v[0].int() == v[1].int())),
            ("ne", |v| Value::Bool(v[0].int() != v[1].int())),
            ("slt", |v| Value::Bool(v[0].int() < v[1].int())),
            ("sle", |v| Value::Bool(v[0].int() <= v[1].int())),
            ("sgt", |v| Value::Bool(v[0].int() > v[1].int())),
            ("sge", |v| Value::Bool(v[0].int() >= v[1].int())),
            ("ult", |v| Value::Bool(v[0].int().cast_unsigned() < v[1].int().cast_unsigned())),
            ("ule", |v| Value::Bool(v[0].int().cast_unsigned() <= v[1].int().cast_unsigned())),
            ("ugt", |v| Value::Bool(v[0].int().cast_unsigned() > v[1].int().cast_unsigned())),
            ("uge", |v| Value::Bool(v[0].int().cast_unsigned() >= v[1].int().cast_unsigned())),
        ];
        // There are no NaN, so the unordered ones say the same.
        let floats: [(&str, Eval); 8] = [
            ("oeq", |v| Value::Bool(v[0].float() == v[1].float())),
            ("une", |v| Value::Bool(v[0].float() != v[1].float())),
            ("olt", |v| Value::Bool(v[0].float() < v[1].float())),
            ("ult", |v| Value::Bool(v[0].float() < v[1].float())),
            ("ole", |v| Value::Bool(v[0].float() <= v[1].float())),
            ("ugt", |v| Value::Bool(v[0].float() > v[1].float())),
            ("oge", |v| Value::Bool(v[0].float() >= v[1].float())),
            ("one", |v| Value::Bool(v[0].float() != v[1].float())),
        ];
        match self.below(6) {
            0 | 1 => {
                let ty = if self.below(2) == 0 { Ty::Index } else { Ty::Int };
                let (a, b) = (self.pick(ty), self.pick(ty));
                let (name, eval) = ints[self.below(ints.len())];
                self.op(&format!("arith.cmpi {name}, $0, $1 : {}", ty.name()), eval, &[a, b], Ty::Bool, into);
            }
            2 => {
                let (a, b) = (self.pick(Ty::Float), self.pick(Ty::Float));
                let (name, eval) = floats[self.below(floats.len())];
                self.op(&format!("arith.cmpf {name}, $0, $1 : f32"), eval, &[a, b], Ty::Bool, into);
            }
            3 => {
                let (a, b) = (self.pick(Ty::Bool), self.pick(Ty::Bool));
                let (name, eval): (&str, Eval) = match self.below(3) {
                    0 => ("andi", |v| Value::Bool(v[0].bool() & v[1].bool())),
                    1 => ("ori", |v| Value::Bool(v[0].bool() | v[1].bool())),
                    _ => ("xori", |v| Value::Bool(v[0].bool() ^ v[1].bool())),
                };
                self.op(&format!("arith.{name} $0, $1 : i1"), eval, &[a, b], Ty::Bool, into);
            }
            4 => {
                let a = self.pick(Ty::Bool);
                let (name, eval): (&str, Eval) = match self.below(2) {
                    0 => ("extui", |v| Value::Int(i32::from(v[0].bool()))),
                    _ => ("extsi", |v| Value::Int(-i32::from(v[0].bool()))),
                };
                self.op(&format!("arith.{name} $0 : i1 to i32"), eval, &[a], Ty::Int, into);
            }
            _ => {
                let ty = [Ty::Int, Ty::Index, Ty::Float, Ty::Bool][self.below(4)];
                let args = [self.pick(Ty::Bool), self.pick(ty), self.pick(ty)];
                let text = format!("arith.select $0, $1, $2 : {}", ty.name());
                self.op(&text, |v| if v[0].bool() { v[1] } else { v[2] }, &args, ty, into);
            }
        }
    }

    fn carried(&mut self, types: &[Ty]) -> Carried {
        let ty = types[self.below(types.len())];
        Carried { ty, init: self.pick(ty), argument: self.fresh(), yielded: 0, out: self.fresh() }
    }

    fn for_loop(&mut self, depth: usize, into: &mut Vec<Stmt>) {
        let low = self.constant(Ty::Index, Value::Int(0), into);
        let high = self.place(8, into);
        let step = 1 + self.below(3) as i32;
        let step = self.constant(Ty::Index, Value::Int(step), into);
        let mut carried: Vec<Carried> =
            (0..1 + self.below(3)).map(|_| self.carried(&[Ty::Int, Ty::Int, Ty::Float, Ty::Bool])).collect();
        for carried in carried.iter_mut().filter(|c| c.ty == Ty::Float) {
            carried.init = self.cut(carried.init, into);
        }
        let index = self.fresh();
        let mut inner: Vec<(usize, Ty)> = carried.iter().map(|c| (c.argument, c.ty)).collect();
        inner.push((index, Ty::Index));
        let (mut body, first) = self.block(depth - 1, &inner, carried[0].ty);
        carried[0].yielded = first;
        // The others take what the loop has, each other's values too: they are assigned all at once.
        for i in 1..carried.len() {
            let candidates: Vec<usize> = carried.iter().filter(|c| c.ty == carried[i].ty).map(|c| c.argument).collect();
            carried[i].yielded = candidates[self.below(candidates.len())];
        }
        if self.below(4) == 0 {
            body.retain(|stmt| !matches!(stmt, Stmt::StoreSlot { .. }));
        }
        for carried in &carried {
            self.see(carried.out, carried.ty);
        }
        into.push(Stmt::For { bounds: [low, high, step], index, carried, body });
    }

    fn while_loop(&mut self, depth: usize, into: &mut Vec<Stmt>) {
        let from = self.pick(Ty::Int);
        let from = self.masked(from, Ty::Int, 7, into);
        let mut carried = self.carried(&[Ty::Int, Ty::Bool]);
        let (count, next) = (self.fresh(), self.fresh());
        let (body, yielded) = self.block(depth - 1, &[(carried.argument, carried.ty), (count, Ty::Int)], carried.ty);
        carried.yielded = yielded;
        self.see(carried.out, carried.ty);
        into.push(Stmt::While { from, count, next, carried, body });
    }

    fn branch(&mut self, depth: usize, into: &mut Vec<Stmt>) {
        let ty = [Ty::Int, Ty::Index, Ty::Float, Ty::Bool][self.below(4)];
        let condition = self.pick(Ty::Bool);
        let arms = [self.block(depth - 1, &[], ty), self.block(depth - 1, &[], ty)];
        let out = self.fresh();
        self.see(out, ty);
        into.push(Stmt::If { condition, out, ty, arms });
    }
}

impl Kernel {
    fn print(&self) -> String {
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

    /// What all threads of all workgroups store: [`OUTPUTS`] integers and floats each.
    ///
    /// # Panics
    /// If an input is not as [`Inputs`] says.
    pub fn run(&self, inputs: &Inputs) -> (Vec<i32>, Vec<f32>) {
        let (mut ints, mut floats) = (vec![], vec![]);
        for group in 0..GROUPS {
            let mut threads: Vec<Thread> = (0..GROUP).map(|t| Thread::new(self.values, inputs, group, t)).collect();
            // All threads do each statement before the next, which no thread can tell from any other order.
            for stmt in &self.body {
                if let Stmt::Exchange { out, value, at } = stmt {
                    let tile: Vec<Value> = threads.iter().map(|thread| thread.get(*value)).collect();
                    for thread in &mut threads {
                        let at = thread.get(*at).int() as usize;
                        thread.values[*out] = Some(tile[at]);
                    }
                    continue;
                }
                threads.iter_mut().for_each(|thread| thread.run(std::slice::from_ref(stmt), inputs));
            }
            for thread in threads {
                ints.extend(self.ints.iter().map(|v| thread.get(*v).int()));
                floats.extend(self.floats.iter().map(|v| thread.get(*v).float()));
            }
        }
        (ints, floats)
    }
}

struct Thread {
    values: Vec<Option<Value>>,
    slots: [i32; SLOTS],
}

impl Thread {
    fn new(values: usize, inputs: &Inputs, group: usize, thread: usize) -> Self {
        let mut values = vec![None; values];
        values[N] = Some(Value::Int(inputs.n));
        values[S] = Some(Value::Float(inputs.s));
        values[THREAD] = Some(Value::Int(thread as i32));
        values[GLOBAL] = Some(Value::Int((group * GROUP + thread) as i32));
        Self { values, slots: [0; SLOTS] }
    }

    fn get(&self, value: usize) -> Value {
        self.values[value].expect("a value is made before it is used")
    }

    fn place(&self, value: usize) -> usize {
        self.get(value).int() as usize
    }

    fn run(&mut self, body: &[Stmt], inputs: &Inputs) {
        for stmt in body {
            match stmt {
                Stmt::Constant { out, value, .. } => self.values[*out] = Some(*value),
                Stmt::Op { out, op, args } => {
                    let args: Vec<Value> = args.iter().map(|arg| self.get(*arg)).collect();
                    self.values[*out] = Some((op.eval)(&args));
                }
                Stmt::Dot { out, args, signed } => {
                    let bytes = |word: usize| self.get(word).int().to_le_bytes();
                    let read = |byte: u8| if *signed { i32::from(byte.cast_signed()) } else { i32::from(byte) };
                    let sum = bytes(args[0]).into_iter().zip(bytes(args[1])).map(|(a, b)| read(a) * read(b)).sum();
                    self.values[*out] = Some(Value::Int(sum));
                }
                Stmt::LoadInt { out, at } => self.values[*out] = Some(Value::Int(inputs.ints[self.place(*at)])),
                Stmt::LoadFloat { out, at } => self.values[*out] = Some(Value::Float(inputs.floats[self.place(*at)])),
                Stmt::StoreSlot { at, value } => self.slots[self.place(*at)] = self.get(*value).int(),
                Stmt::LoadSlot { out, at } => self.values[*out] = Some(Value::Int(self.slots[self.place(*at)])),
                Stmt::Exchange { .. } => unreachable!("an exchange is a statement of the kernel itself"),
                Stmt::For { bounds: [low, high, step], index, carried, body } => {
                    let (mut i, high, step) = (self.get(*low).int(), self.get(*high).int(), self.get(*step).int());
                    for c in carried {
                        self.values[c.argument] = Some(self.get(c.init));
                    }
                    while i < high {
                        self.values[*index] = Some(Value::Int(i));
                        self.run(body, inputs);
                        let yielded: Vec<Value> = carried.iter().map(|c| self.get(c.yielded)).collect();
                        for (c, value) in carried.iter().zip(yielded) {
                            self.values[c.argument] = Some(value);
                        }
                        i += step;
                    }
                    for c in carried {
                        self.values[c.out] = Some(self.get(c.argument));
                    }
                }
                Stmt::If { condition, out, arms, .. } => {
                    let (body, yielded) = &arms[usize::from(!self.get(*condition).bool())];
                    self.run(body, inputs);
                    self.values[*out] = Some(self.get(*yielded));
                }
                Stmt::While { from, count, carried: c, body, .. } => {
                    self.values[c.argument] = Some(self.get(c.init));
                    for left in (1..=self.get(*from).int()).rev() {
                        self.values[*count] = Some(Value::Int(left));
                        self.run(body, inputs);
                        self.values[c.argument] = Some(self.get(c.yielded));
                    }
                    self.values[c.out] = Some(self.get(c.argument));
                }
            }
        }
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
                let mut op = op.text.clone();
                for (i, arg) in args.iter().enumerate() {
                    op = op.replace(&format!("${i}"), &format!("%{arg}"));
                }
                line(format!("%{out} = {op}"));
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
            Stmt::LoadSlot { out, at } => {
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
                    // A name of its own for each result: the op that is the identity.
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
