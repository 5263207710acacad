//! Transcendental functions and conversions as plain arithmetic, so that no kernel calls a library.
//!
//! All work on f32 scalars and vectors alike. Errors are against the correctly rounded value: `exp` under 2 ulp,
//! `sin` and `cos` under 2e-7 absolute for |x| up to 65536, `erf` and `tanh` under 3e-7 absolute.

use crate::emit::{Emitter, V, VectorType};
use melior::ir::{Type, TypeLike, ValueLike};

impl<'c, 'a> Emitter<'c, 'a> {
    /// The type of `like` with another element.
    pub fn retyped(&self, like: Type<'c>, element: Type<'c>) -> Type<'c> {
        if like.is_vector() { self.vector(VectorType(like).lanes(), element) } else { element }
    }

    /// Multiply-add on scalars or vectors; on scalars it rounds twice.
    fn mad(&self, a: V<'c, 'a>, b: V<'c, 'a>, c: V<'c, 'a>) -> V<'c, 'a> {
        if a.r#type().is_vector() || self.target.is_gpu() { self.fma(a, b, c) } else { a * b + c }
    }

    /// c[0] + x (c[1] + x (c[2] + ...)).
    fn polynomial(&self, x: V<'c, 'a>, coefficients: &[f32]) -> V<'c, 'a> {
        let ty = x.r#type();
        let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
        rest.iter().rev().fold(self.cf_like(*last, ty), |sum, c| self.mad(sum, x, self.cf_like(*c, ty)))
    }

    /// The nearest integer, as a float: adding 1.5 * 2^23 leaves no fraction bits. |x| < 2^22.
    fn round(&self, x: V<'c, 'a>) -> V<'c, 'a> {
        if self.target.is_gpu() {
            // Drivers simplify the sum below to x.
            return self.same("math.roundeven", &[x]);
        }
        let magic = self.cf_like(12_582_912.0, x.r#type());
        x + magic - magic
    }

    /// e^x: 2^n times a degree-6 polynomial on |r| <= ln(2)/2 (Cephes expf). Underflows to 0, overflows to about 3e38.
    /// On a GPU it is the built-in, with an error of about 2 ulp.
    pub fn exp(&self, x: V<'c, 'a>) -> V<'c, 'a> {
        let ty = x.r#type();
        if self.target.is_gpu() {
            return self.same("math.exp", &[x]);
        }
        let c = |v| self.cf_like(v, ty);
        let (low, high) = (c(-87.3), c(88.37));
        let tiny = x.lt(low);
        let x = self.select(tiny, low, x);
        let x = self.select(x.gt(high), high, x);
        let n = self.round(x * std::f32::consts::LOG2_E);
        let r = self.mad(n, c(-0.693_359_4), x);
        let r = self.mad(n, c(2.121_944_4e-4), r);
        let p =
            self.polynomial(r, &[0.5, 1.666_666_5e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_199_9e-3, 1.987_569_1e-4]);
        let p = self.mad(r * r, p, r) + 1.0;
        let int = self.retyped(ty, self.int(32));
        let exponent = self.cast("arith.fptosi", n, int) + 127;
        let scale = self.bitcast(exponent << 23, ty);
        self.select(tiny, c(0.0), p * scale)
    }

    /// 1 / (1 + e^-x).
    pub fn sigmoid(&self, x: V<'c, 'a>) -> V<'c, 'a> {
        let one = self.cf_like(1.0, x.r#type());
        one / (one + self.exp(-x))
    }

    /// 1 - 2 / (e^2x + 1).
    pub fn tanh(&self, x: V<'c, 'a>) -> V<'c, 'a> {
        1.0 - 2.0 / (self.exp(x * 2.0) + 1.0)
    }

    /// Abramowitz and Stegun 7.1.26.
    pub fn erf(&self, x: V<'c, 'a>) -> V<'c, 'a> {
        let ty = x.r#type();
        let c = |v| self.cf_like(v, ty);
        let negative = x.lt(0.0);
        let magnitude = self.select(negative, -x, x);
        let t = 1.0 / self.mad(magnitude, c(0.327_591_1), c(1.0));
        let p = self.polynomial(t, &[0.254_829_6, -0.284_496_72, 1.421_413_8, -1.453_152, 1.061_405_4]);
        let tail = p * t * self.exp(-(x * x));
        let positive = 1.0 - tail;
        self.select(negative, -positive, positive)
    }

    pub fn sqrt(&self, x: V<'c, 'a>) -> V<'c, 'a> {
        self.same("math.sqrt", &[x])
    }

    /// (sin x, cos x): Cody-Waite reduction by pi/2 in three exact steps, then the Cephes polynomials.
    pub fn sin_cos(&self, x: V<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>) {
        let ty = x.r#type();
        let c = |v| self.cf_like(v, ty);
        let int = self.retyped(ty, self.int(32));
        let n = self.round(x * std::f32::consts::FRAC_2_PI);
        let r = self.mad(n, c(-1.570_312_5), x);
        let r = self.mad(n, c(-4.837_513e-4), r);
        let r = self.mad(n, c(-7.549_79e-8), r);
        let square = r * r;
        let sin = self.polynomial(square, &[-1.666_665_5e-1, 8.332_161e-3, -1.951_529_6e-4]);
        let sin = self.mad(sin * square, r, r);
        let cos = self.polynomial(square, &[4.166_664_6e-2, -1.388_731_6e-3, 2.443_315_7e-5]);
        let cos = self.mad(cos * square, square, self.mad(square, c(-0.5), c(1.0)));
        let quadrant = self.cast("arith.fptosi", n, int);
        let bit = |value: V<'c, 'a>, mask: usize| (value & mask).ne(0);
        let odd = bit(quadrant, 1);
        let (s, c2) = (self.select(odd, cos, sin), self.select(odd, sin, cos));
        let s = self.select(bit(quadrant, 2), -s, s);
        let c2 = self.select(bit(quadrant + 1, 2), -c2, c2);
        (s, c2)
    }

    /// A value of any float element as f32, exactly. An i16 is the bits of a bf16.
    pub fn widen(&self, x: V<'c, 'a>) -> V<'c, 'a> {
        let ty = x.r#type();
        let element = if ty.is_vector() { VectorType(ty).element() } else { ty };
        let to = self.retyped(ty, self.f32());
        if element == self.f32() {
            x
        } else if element == self.f16() && self.target.has_f16_conversion() {
            self.cast("arith.extf", x, to)
        } else if element == self.f16() {
            self.widen_f16_bits(x, to)
        } else {
            let int = self.retyped(ty, self.int(32));
            let bits = self.cast("arith.extui", x, int);
            self.bitcast(bits << 16, to)
        }
    }

    /// f16 to f32 by moving the bits: the exponent is rebiased by a multiplication, which also normalises subnormals.
    fn widen_f16_bits(&self, x: V<'c, 'a>, to: Type<'c>) -> V<'c, 'a> {
        let ty = x.r#type();
        let int = self.retyped(ty, self.int(32));
        let bits = self.cast("arith.extui", self.bitcast(x, self.retyped(ty, self.int(16))), int);
        let magnitude = bits & 0x7fff;
        let scaled = self.bitcast(magnitude << 13, to);
        let value = self.bitcast(scaled * f32::from_bits(0x7780_0000), int);
        let special = magnitude.ge(0x7c00);
        let value = self.select(special, value | 0x7f80_0000, value);
        let sign = (bits & 0x8000) << 16;
        self.bitcast(value | sign, to)
    }

    /// An f32 rounded to `element` and back.
    pub fn rounded(&self, x: V<'c, 'a>, element: Type<'c>) -> V<'c, 'a> {
        let ty = x.r#type();
        if !self.target.is_gpu() || element == self.f32() {
            return self.widen(self.narrow(x, element));
        }
        if ty.is_vector() {
            let lanes: Vec<V> =
                (0..VectorType(ty).lanes()).map(|lane| self.rounded(self.extract(x, lane), element)).collect();
            return self.from_elements(&lanes);
        }
        if element == self.f16() {
            // Through a 32-bit word, which needs no f16 support.
            let halves = self.cast("arith.truncf", self.splat_to(x, 2), self.vector(2, self.f16()));
            let word = self.bitcast(halves, self.vector(1, self.int(32)));
            return self.extract(
                self.cast("arith.extf", self.bitcast(word, self.vector(2, self.f16())), self.vector(2, self.f32())),
                0,
            );
        }
        let int = self.int(32);
        let bits = self.narrow_bf16_bits(self.bitcast(x, int));
        self.bitcast(bits << 16, ty)
    }

    /// An f32 converted to `element`, rounded to nearest even; bf16 is its bits as i16. A value that has the type
    /// already is unchanged.
    pub fn narrow(&self, x: V<'c, 'a>, element: Type<'c>) -> V<'c, 'a> {
        let ty = x.r#type();
        let to = self.retyped(ty, element);
        if to == ty {
            return x;
        }
        if element == self.f16() && self.target.has_f16_conversion() {
            return self.cast("arith.truncf", x, to);
        }
        let int = self.retyped(ty, self.int(32));
        let bits = self.bitcast(x, int);
        let half = self.retyped(ty, self.int(16));
        match element == self.f16() {
            true => self.bitcast(self.cast("arith.trunci", self.narrow_f16_bits(bits, int, ty), half), to),
            false => self.cast("arith.trunci", self.narrow_bf16_bits(bits), half),
        }
    }

    fn narrow_bf16_bits(&self, bits: V<'c, 'a>) -> V<'c, 'a> {
        let odd = (bits >> 16) & 1;
        let rounded = (bits + (odd + 0x7fff)) >> 16;
        let magnitude = bits & 0x7fff_ffff;
        let nan = magnitude.gt(0x7f80_0000);
        self.select(nan, (bits >> 16) | 0x40, rounded)
    }

    /// Three cases by magnitude: too large becomes infinity (or stays NaN), normal rounds in the mantissa, subnormal is
    /// rounded by the adder through a magic addend whose unit in the last place is f16's smallest step.
    fn narrow_f16_bits(&self, bits: V<'c, 'a>, int: Type<'c>, float: Type<'c>) -> V<'c, 'a> {
        let c = |v| self.ci_like(v, int);
        let sign = (bits & 0x8000_0000) >> 16;
        let magnitude = bits & 0x7fff_ffff;
        let odd = (magnitude >> 13) & 1;
        // Rebias 127 to 15 (subtract 112 << 23) and round to even at bit 13.
        let normal = (magnitude + (odd + c(0xfff - (112 << 23)))) >> 13;
        let magic = self.cf_like(0.5, float);
        let subnormal = self.bitcast(self.bitcast(magnitude, float) + magic, int) - self.bitcast(magic, int);
        let value = self.select(magnitude.lt(113 << 23), subnormal, normal);
        let nan = magnitude.gt(0x7f80_0000);
        let large = self.select(nan, c(0x7e00), c(0x7c00));
        let value = self.select(magnitude.ge(0x477f_f000), large, value);
        value | sign
    }
}
