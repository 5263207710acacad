//! Constants: scalars, splats, and vectors of different lanes.

use super::{Emitter, V};
use melior::ir::{Attribute, Type};

impl<'c, 'a> Emitter<'c, 'a> {
    pub fn constant(&self, value: Attribute<'c>, ty: Type<'c>) -> V<'c, 'a> {
        self.value("arith.constant", &[], ty, &[("value", value)])
    }
    pub fn ci(&self, value: usize) -> V<'c, 'a> {
        self.ci_like(value as i64, self.index())
    }
    pub fn cint(&self, bits: u32, value: i64) -> V<'c, 'a> {
        self.ci_like(value, self.int(bits))
    }
    pub fn cf(&self, value: f32) -> V<'c, 'a> {
        self.cf_like(value, self.f32())
    }
    /// A constant of the type `like`: an f32 or a vector of f32.
    pub fn cf_like(&self, value: f32, like: Type<'c>) -> V<'c, 'a> {
        self.builder.float_like(value, like)
    }
    /// A constant of the type `like`: an integer or index, or a vector of integers.
    pub fn ci_like(&self, value: i64, like: Type<'c>) -> V<'c, 'a> {
        self.builder.int_like(value, like)
    }
    /// A splat constant.
    pub fn vf(&self, value: f32) -> V<'c, 'a> {
        self.cf_like(value, self.vf32())
    }
    /// `vector<16xf32>` of given lanes.
    pub fn vf_lanes(&self, values: &[f32]) -> V<'c, 'a> {
        let ty = self.vector(values.len(), self.f32());
        let text: Vec<String> = values.iter().map(|v| format!("0x{:08X}", v.to_bits())).collect();
        let source = format!("dense<[{}]> : {ty}", text.join(", "));
        self.constant(Attribute::parse(self.context, &source).expect("a dense literal"), ty)
    }

    /// A vector of f64 of given lanes.
    pub fn vd_lanes(&self, values: &[f64]) -> V<'c, 'a> {
        let ty = self.vector(values.len(), self.f64());
        let text: Vec<String> = values.iter().map(|v| format!("0x{:016X}", v.to_bits())).collect();
        let source = format!("dense<[{}]> : {ty}", text.join(", "));
        self.constant(Attribute::parse(self.context, &source).expect("a dense literal"), ty)
    }

    /// A vector of i32 of given lanes.
    pub fn vi_lanes(&self, values: &[i32]) -> V<'c, 'a> {
        let ty = self.vector(values.len(), self.int(32));
        let source = format!("dense<{values:?}> : {ty}");
        self.constant(Attribute::parse(self.context, &source).expect("a dense literal"), ty)
    }
}
