//! Interprets a random kernel.

use super::{GLOBAL, GROUP, GROUPS, Inputs, Kernel, N, S, SLOTS, Stmt, THREAD, Value};

impl Kernel {
    /// The values stored by all threads of all workgroups: [`OUTPUTS`] integers and floats each.
    ///
    /// # Panics
    /// If an input does not satisfy the conditions of [`Inputs`].
    pub fn run(&self, inputs: &Inputs) -> (Vec<i32>, Vec<f32>) {
        let (mut ints, mut floats) = (vec![], vec![]);
        for group in 0..GROUPS {
            let mut threads: Vec<Thread> = (0..GROUP).map(|t| Thread::new(self.values, inputs, group, t)).collect();
            // All threads execute each statement before the next; no kernel can observe another order.
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
                Stmt::LoadSlot { out, at, .. } => self.values[*out] = Some(Value::Int(self.slots[self.place(*at)])),
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
