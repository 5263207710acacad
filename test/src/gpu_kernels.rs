//! Random `gpu.func` kernels with an interpreter, for differential tests of the translation of kernels.
//!
//! ```text
//! gpu.func @main(%ints: memref<64xi32>, %floats: memref<64xf32>, %int_out: memref<?xi32>, %float_out: memref<?xf32>,
//!                %n: i32, %s: f32) workgroup(...) private(...) kernel ...
//! ```
//! A kernel is determined by its seed: integer and float arithmetic, comparisons, packed bytes, loops, branches, loads,
//! private memory, values exchanged between threads through workgroup memory. [`Kernel::run`] computes what every
//! thread stores. Kernels have no undefined behaviour in MLIR: divisors are positive, shift amounts below 32, indices
//! in bounds. Floats are integers below 2^16 before they are reduced to a byte again, so that any order and any
//! contraction of their arithmetic gives the same result.

mod ops;
mod print;
mod run;

use kforge_reference::random::SplitMix64;

/// Threads per workgroup.
pub const GROUP: usize = 32;
/// Workgroups per kernel.
pub const GROUPS: usize = 2;
/// Elements of each input.
pub const INPUTS: usize = 64;
/// Elements that a thread stores to each output, at its index times this.
pub const OUTPUTS: usize = 2;
const SLOTS: usize = 4;

/// The arguments of a kernel.
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

/// The semantics of an op.
type Eval = fn(&[Value]) -> Value;

/// An op with one result: its text, with `$0`, `$1`, ... for operands, and its semantics. Lines before the last are
/// separate ops, whose results have `$o` in their names.
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
    /// Loads one slot, or all of them as a vector from which one is extracted.
    LoadSlot {
        out: usize,
        at: usize,
        row: bool,
    },
    /// Each thread stores a value and reads that of another thread of its workgroup.
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

/// A loop-carried value.
#[derive(Clone, Debug)]
struct Carried {
    ty: Ty,
    init: usize,
    argument: usize,
    yielded: usize,
    out: usize,
}

/// Generates the kernel for a seed.
pub fn kernel(seed: u64) -> Kernel {
    let mut generator = Generator { rng: SplitMix64(seed), scopes: vec![], values: 0 };
    generator.kernel(seed)
}

/// Generates inputs for a seed.
pub fn inputs(seed: u64) -> Inputs {
    let mut rng = SplitMix64(seed ^ 0x5eed);
    Inputs {
        ints: (0..INPUTS).map(|_| integer(&mut rng)).collect(),
        floats: (0..INPUTS).map(|_| (rng.next_u64() % 256) as f32).collect(),
        n: integer(&mut rng),
        s: (rng.next_u64() % 256) as f32,
    }
}

/// Any integer, with special values more often.
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

// Values that every kernel has at its start.
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
        // Prefers the latest half, so that computed values are used.
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

    /// An index below `size`, a power of two.
    fn place(&mut self, size: usize, into: &mut Vec<Stmt>) -> usize {
        let at = self.pick(Ty::Index);
        self.masked(at, Ty::Index, size as i32 - 1, into)
    }

    /// A float reduced to the integers 0 to 255.
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
            6 | 7 => self.float_op(into),
            8 => self.vector_op(into),
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
                let (at, out, row) = (self.place(SLOTS, into), self.fresh(), self.below(4) == 0);
                into.push(Stmt::LoadSlot { out, at, row });
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
        // The others may yield any value of the loop, including each other: they are assigned simultaneously.
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
