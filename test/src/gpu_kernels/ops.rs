//! The ops of random kernels, and their semantics.

use super::{Eval, Generator, Stmt, Ty, Value, integer};

impl Generator {
    pub(super) fn integer_op(&mut self, into: &mut Vec<Stmt>) {
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

    pub(super) fn float_op(&mut self, into: &mut Vec<Stmt>) {
        let (a, b, c) = (self.pick(Ty::Float), self.pick(Ty::Float), self.pick(Ty::Float));
        // The chosen values may be large; reducing them keeps products within bounds.
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

    /// Vectors, built and taken apart again: of any integers, and of floats that f16 represents exactly.
    pub(super) fn vector_op(&mut self, into: &mut Vec<Stmt>) {
        let ints = [self.pick(Ty::Int), self.pick(Ty::Int), self.pick(Ty::Int), self.place(4, into)];
        let floats = [self.pick(Ty::Float), self.pick(Ty::Float)];
        let floats = [self.cut(floats[0], into), self.cut(floats[1], into)];
        let (text, eval, ty): (&str, Eval, Ty) = match self.below(6) {
            0 => (
                "%v$o = vector.from_elements $0, $1, $2, $0 : vector<4xi32>\n\
                 %w$o = arith.addi %v$o, %v$o : vector<4xi32>\n\
                 vector.extract %w$o[$3] : i32 from vector<4xi32>",
                |v| Value::Int([v[0], v[1], v[2], v[0]][v[3].int() as usize].int().wrapping_mul(2)),
                Ty::Int,
            ),
            1 => (
                "%v$o = vector.broadcast $0 : i32 to vector<4xi32>\n\
                 %w$o = vector.insert $1, %v$o[$3] : i32 into vector<4xi32>\n\
                 vector.reduction <add>, %w$o, $2 : vector<4xi32> into i32",
                |v| {
                    let (a, b, c) = (v[0].int(), v[1].int(), v[2].int());
                    Value::Int(a.wrapping_mul(3).wrapping_add(b).wrapping_add(c))
                },
                Ty::Int,
            ),
            2 => (
                "%v$o = vector.from_elements $0, $1 : vector<2xi32>\n\
                 %w$o = vector.from_elements $2, $0 : vector<2xi32>\n\
                 %x$o = arith.cmpi slt, %v$o, %w$o : vector<2xi32>\n\
                 %y$o = arith.select %x$o, %v$o, %w$o : vector<2xi1>, vector<2xi32>\n\
                 vector.reduction <xor>, %y$o : vector<2xi32> into i32",
                |v| Value::Int(v[0].int().min(v[2].int()) ^ v[1].int().min(v[0].int())),
                Ty::Int,
            ),
            // Packs the low bytes of four integers in a word, then sums its signed bytes.
            3 => (
                "%v$o = vector.from_elements $0, $1, $2, $0 : vector<4xi32>\n\
                 %w$o = arith.trunci %v$o : vector<4xi32> to vector<4xi8>\n\
                 %x$o = arith.extsi %w$o : vector<4xi8> to vector<4xi32>\n\
                 vector.reduction <add>, %x$o : vector<4xi32> into i32",
                |v| {
                    let low = |i: usize| i32::from(v[i].int() as i8);
                    Value::Int(low(0) + low(1) + low(2) + low(0))
                },
                Ty::Int,
            ),
            4 => (
                "%v$o = vector.from_elements $0, $1 : vector<2xf32>\n\
                 %w$o = arith.truncf %v$o : vector<2xf32> to vector<2xf16>\n\
                 %x$o = vector.bitcast %w$o : vector<2xf16> to vector<1xi32>\n\
                 %y$o = vector.bitcast %x$o : vector<1xi32> to vector<2xf16>\n\
                 %z$o = arith.extf %y$o : vector<2xf16> to vector<2xf32>\n\
                 vector.reduction <maximumf>, %z$o : vector<2xf32> into f32",
                |v| Value::Float(v[0].float().max(v[1].float())),
                Ty::Float,
            ),
            _ => (
                "%v$o = vector.from_elements $0, $1, $2 : vector<3xi32>\n\
                 %w$o = vector.shuffle %v$o, %v$o [2, 4, 0] : vector<3xi32>, vector<3xi32>\n\
                 %x$o = arith.xori %v$o, %w$o : vector<3xi32>\n\
                 vector.extract %x$o[2] : i32 from vector<3xi32>",
                |v| Value::Int(v[2].int() ^ v[0].int()),
                Ty::Int,
            ),
        };
        let args = if ty == Ty::Float { floats.to_vec() } else { ints.to_vec() };
        self.op(text, eval, &args, ty, into);
    }

    pub(super) fn compare(&mut self, into: &mut Vec<Stmt>) {
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
        // There are no NaN, so unordered predicates are equivalent.
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
}
