//! `vector`: one to four lanes, and f16 and bytes packed in 32-bit words.
//!
//! ```text
//! %w = vector.broadcast %i : i32 to vector<1xi32>
//! %h = vector.bitcast %w : vector<1xi32> to vector<2xf16>
//! %f = arith.extf %h : vector<2xf16> to vector<2xf32>        unpack2x16float(u32(v0))
//! %b = vector.bitcast %w : vector<1xi32> to vector<4xi8>
//! %s = arith.extsi %b : vector<4xi8> to vector<4xi32>        unpack4xI8(u32(v0))
//! ```
//! The reverse packs. f16 used in any other way become `vec2<f16>`; bytes must be extended. The sum of a product of
//! extended bytes, `arith.muli` used only by `vector.reduction <add>`, is `dot4I8Packed` or `dot4U8Packed`.

use super::{
    error::{Result, TranslateError},
    function::{Expr, Form, Function},
    types::{Scalar, Type},
};
use kforge_dialect::ir::defining_op;
use melior::ir::{
    ValueLike,
    attribute::{ArrayAttribute, IntegerAttribute},
    operation::{OperationLike, OperationRef},
};

/// MLIR's marker for a dynamic position, which is an operand.
const DYNAMIC: i64 = i64::MIN;

impl Function {
    pub(super) fn vector(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        match name {
            "broadcast" => self.broadcast(op),
            "from_elements" => self.join(op),
            "to_elements" => self.split(op),
            "extract" => self.extract(op),
            "insert" => self.insert(op),
            "shuffle" => self.shuffle_lanes(op),
            "extract_strided_slice" => self.slice(op),
            "fma" => {
                let [a, b, c] = self.operands_of(op)?;
                self.define(op, format!("fma({}, {}, {})", a.text, b.text, c.text))
            }
            "reduction" => self.reduction(op),
            "bitcast" => self.bitcast_lanes(op),
            "shape_cast" => {
                let operand = self.operand(op, 0)?;
                self.same(op, operand)
            }
            "load" => {
                let row = self.row(op, 0, 1, self.result(op, 0)?.r#type())?;
                self.define(op, row)
            }
            "store" => {
                let value = self.operand(op, 0)?;
                let row = self.row(op, 1, 2, self.operand_value(op, 0)?.r#type())?;
                self.line(format!("{row} = {};", value.text));
                Ok(())
            }
            "transfer_read" | "transfer_write" => {
                self.unsupported(op, "use vector.load and vector.store of whole rows")
            }
            _ => self.unsupported(op, "docs/gpu.md lists what has"),
        }
    }

    /// Binds the result to the operand: the types differ only in MLIR.
    fn same(&mut self, op: OperationRef<'_, '_>, operand: Expr) -> Result<()> {
        if self.result_type(op, 0)? != operand.ty {
            return self.unsupported(op, "between these types");
        }
        let result = self.result(op, 0)?;
        self.bind(result, operand);
        Ok(())
    }

    /// Builds a vector of lanes, which may all be literals.
    fn compose(&mut self, op: OperationRef<'_, '_>, lanes: &[String]) -> Result<()> {
        let ty = self.lanes_only(op)?;
        match lanes {
            [lane] => self.define(op, lane),
            _ => self.define(op, format!("{ty}({})", lanes.join(", "))),
        }
    }

    /// The result's type, which must not be packed bytes.
    fn lanes_only(&mut self, op: OperationRef<'_, '_>) -> Result<Type> {
        match self.result_type(op, 0)? {
            Type::Bytes => Err(TranslateError::op(op, "has no WGSL on bytes; extend them to i32")),
            ty => Ok(ty),
        }
    }

    fn broadcast(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let ty = self.lanes_only(op)?;
        let operand = self.operand(op, 0)?;
        if ty == operand.ty {
            return self.same(op, operand);
        }
        if operand.lanes() != 1 {
            return self.unsupported(op, "broadcast a scalar");
        }
        self.define(op, format!("{ty}({})", operand.text))
    }

    fn join(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let lanes = (0..op.operand_count()).map(|i| self.operand(op, i)).collect::<Result<Vec<_>>>()?;
        if let [lane] = &lanes[..] {
            return self.same(op, lane.clone());
        }
        self.compose(op, &lanes.into_iter().map(|lane| lane.text).collect::<Vec<_>>())
    }

    fn split(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let operand = self.operand(op, 0)?;
        for lane in 0..op.result_count() {
            let text = self.lane(op, &operand, lane)?;
            self.define_result(op, lane, text)?;
        }
        Ok(())
    }

    /// The position of an extract or insert: a constant, or the operand `dynamic`.
    fn position(&mut self, op: OperationRef<'_, '_>, lanes: usize, dynamic: usize) -> Result<Position> {
        match self.integers(op, "static_position")?[..] {
            [] => Ok(Position::All),
            [DYNAMIC] => {
                let index = self.operand(op, dynamic)?;
                let known = index.as_int().and_then(|i| usize::try_from(i).ok()).filter(|i| *i < lanes);
                Ok(match known {
                    Some(lane) => Position::Lane(lane),
                    // A constant lane out of range would make the shader invalid.
                    None => Position::Dynamic(self.at_run_time(&index).text),
                })
            }
            [lane] => usize::try_from(lane)
                .ok()
                .filter(|lane| *lane < lanes)
                .map(Position::Lane)
                .ok_or_else(|| TranslateError::op(op, "has a position that its vector lacks")),
            _ => self.unsupported(op, "use vectors of one dimension"),
        }
    }

    fn extract(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let vector = self.operand(op, 0)?;
        if vector.ty == Type::Bytes {
            return self.unsupported(op, "extend the bytes to i32 first");
        }
        match self.position(op, vector.lanes(), 1)? {
            Position::All => self.same(op, vector),
            // A vector of one lane is a scalar.
            _ if vector.lanes() == 1 => self.same(op, vector),
            Position::Lane(lane) => {
                let text = self.lane(op, &vector, lane)?;
                self.define(op, text)
            }
            Position::Dynamic(index) => {
                let vector = self.at_run_time(&vector);
                self.define(op, format!("{}[{index}]", vector.text))
            }
        }
    }

    fn insert(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let ty = self.lanes_only(op)?;
        let (value, vector) = (self.operand(op, 0)?, self.operand(op, 1)?);
        let lanes = vector.lanes();
        match self.position(op, lanes, 2)? {
            Position::All => self.same(op, value),
            _ if lanes == 1 => self.same(op, value),
            Position::Lane(at) => {
                let lane = |lane: usize| if lane == at { Ok(value.text.clone()) } else { self.lane(op, &vector, lane) };
                let lanes = (0..lanes).map(lane).collect::<Result<Vec<_>>>()?;
                self.compose(op, &lanes)
            }
            Position::Dynamic(index) => {
                let result = self.result(op, 0)?;
                let name = self.name_for(result);
                self.line(format!("var {name} = {};", vector.text));
                self.line(format!("{name}[{index}] = {};", value.text));
                self.bind(result, Expr::value(name, ty));
                Ok(())
            }
        }
    }

    fn shuffle_lanes(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let (a, b) = (self.operand(op, 0)?, self.operand(op, 1)?);
        if a.ty == Type::Bytes {
            return self.unsupported(op, "extend the bytes to i32 first");
        }
        let lane = |lane: &i64| {
            // A negative position is poison: any lane will do.
            let at = usize::try_from(*lane).unwrap_or(0);
            if at < a.lanes() { self.lane(op, &a, at) } else { self.lane(op, &b, at - a.lanes()) }
        };
        let lanes = self.integers(op, "mask")?.iter().map(lane).collect::<Result<Vec<_>>>()?;
        self.compose(op, &lanes)
    }

    fn slice(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let vector = self.operand(op, 0)?;
        let ty = self.lanes_only(op)?;
        let offset = array(op, "offsets").and_then(|o| usize::try_from(o).ok());
        let (Some(offset), Some(1), Type::Vector { lanes, .. }) = (offset, array(op, "strides"), ty) else {
            return self.unsupported(op, "use one dimension and a stride of 1");
        };
        if vector.ty == Type::Bytes || offset + lanes > vector.lanes() {
            return self.unsupported(op, "extend the bytes to i32 first");
        }
        let lanes = (offset..offset + lanes).map(|lane| self.lane(op, &vector, lane)).collect::<Result<Vec<_>>>()?;
        self.compose(op, &lanes)
    }

    /// Reduces in the order of the lanes, starting with the accumulator if there is one.
    fn reduction(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let ty = self.result_type(op, 0)?;
        let kind = self.keyword(op, "kind")?;
        let vector = self.operand_value(op, 0)?;
        let product = defining_op(vector).and_then(|multiply| self.dot_operands(multiply));
        let accumulator = if op.operand_count() > 1 { Some(self.operand(op, 1)?) } else { None };
        if let Some((a, b, is_signed)) = product.filter(|_| kind == "add")
            && self.read_any(op, vector).is_err()
        {
            let (a, b) = (self.operand(a, 0)?.unsigned(), self.operand(b, 0)?.unsigned());
            let dot =
                if is_signed { format!("dot4I8Packed({a}, {b})") } else { format!("i32(dot4U8Packed({a}, {b}))") };
            return self.define(op, accumulator.map_or(dot.clone(), |acc| format!("{} + {dot}", acc.text)));
        }
        let vector = self.operand(op, 0)?;
        let vector = self.at_run_time(&vector);
        let lanes = (0..vector.lanes()).map(|lane| self.lane(op, &vector, lane));
        let terms = accumulator.map(|acc| Ok(acc.text)).into_iter().chain(lanes).collect::<Result<Vec<_>>>()?;
        let is_bool = ty.scalar() == Scalar::Bool;
        let operator = match kind.as_str() {
            "add" if !is_bool => " + ",
            "mul" if !is_bool => " * ",
            "and" => " & ",
            "or" => " | ",
            "xor" => {
                if is_bool {
                    " != "
                } else {
                    " ^ "
                }
            }
            "maxsi" | "maximumf" | "maxnumf" if !is_bool => "max",
            "minsi" | "minimumf" | "minnumf" if !is_bool => "min",
            _ => return self.unsupported(op, "use add, mul, and, or, xor, or a signed or float minimum or maximum"),
        };
        let join = |all: String, term: String| match operator {
            "max" | "min" => format!("{operator}({all}, {term})"),
            // WGSL's comparisons do not chain.
            " != " => format!("({all} != {term})"),
            _ => format!("{all}{operator}{term}"),
        };
        let reduced = terms.into_iter().reduce(join).ok_or_else(|| TranslateError::op(op, "has no lanes"))?;
        self.define(op, reduced)
    }

    fn bitcast_lanes(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let to = self.result_type(op, 0)?;
        let value = self.operand_value(op, 0)?;
        let from = self.read_any(op, value)?;
        let is_word = |ty: Type| matches!(ty, Type::Vector { scalar: Scalar::I32, lanes: 1 });
        let is_halves = |ty: Type| matches!(ty, Type::Vector { scalar: Scalar::F16, lanes: 2 });
        let result = self.result(op, 0)?;
        if from.ty == to {
            self.bind(result, from);
            return Ok(());
        }
        if is_word(from.ty) && is_halves(to) {
            let word = self.at_run_time(&from);
            self.bind(result, Expr { ty: to, form: Form::Word, ..word });
            return Ok(());
        }
        if is_halves(from.ty) && is_word(to) {
            if from.form == Form::Word {
                self.bind(result, Expr { ty: to, form: Form::Value, ..from });
                return Ok(());
            }
            self.features.packed_halves = true;
            let halves = self.at_run_time(&from);
            return self.define(op, format!("i32(pack2x16float(vec2<f32>({})))", halves.text));
        }
        if (is_word(from.ty) && to == Type::Bytes) || (from.ty == Type::Bytes && is_word(to)) {
            self.bind(result, Expr { ty: to, ..from });
            return Ok(());
        }
        let are_words =
            [from.ty, to].iter().all(|ty| *ty != Type::Bytes && matches!(ty.scalar(), Scalar::I32 | Scalar::F32));
        match (from.ty, to) {
            (Type::Vector { lanes: a, .. }, Type::Vector { lanes: b, .. }) if a == b && are_words => {
                let value = self.at_run_time(&from);
                self.define(op, format!("bitcast<{to}>({})", value.text))
            }
            _ => self.unsupported(op, "cast between i32 and f32, or vector<1xi32> and vector<2xf16> or vector<4xi8>"),
        }
    }
}

enum Position {
    All,
    Lane(usize),
    Dynamic(String),
}

/// The one element of an array attribute of integers.
fn array(op: OperationRef<'_, '_>, name: &str) -> Option<i64> {
    let array = ArrayAttribute::try_from(op.attribute(name).ok()?).ok()?;
    if array.len() != 1 {
        return None;
    }
    Some(IntegerAttribute::try_from(array.element(0).ok()?).ok()?.value())
}
