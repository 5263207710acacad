//! Tensors as text, in the form of mlir-runner's `printMemref`.

use half::{bf16, f16};
use kforge_program::Element;
use kforge_runtime::View;
use std::io::{self, Write};

/// Prints header and elements.
pub fn tensor(out: &mut impl Write, view: View) -> io::Result<()> {
    let strides = strides(view.dims);
    write!(out, "Unranked Memref base@ = {:p} rank = {} offset = 0 ", view.bytes.as_ptr(), view.dims.len())?;
    writeln!(out, "sizes = {:?} strides = {strides:?} data = ", view.dims)?;
    let elements = elements(view);
    nested(out, view.dims, &elements, 0)?;
    writeln!(out)
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

fn elements(view: View) -> Vec<String> {
    let words = || view.bytes.as_chunks::<4>().0.iter();
    let halves = || view.bytes.as_chunks::<2>().0.iter();
    match view.element {
        Element::F32 => words().map(|b| general(f64::from(f32::from_le_bytes(*b)))).collect(),
        Element::I32 => words().map(|b| i32::from_le_bytes(*b).to_string()).collect(),
        Element::F16 => halves().map(|b| general(f16::from_le_bytes(*b).to_f64())).collect(),
        Element::BF16 => halves().map(|b| general(bf16::from_le_bytes(*b).to_f64())).collect(),
        Element::I64 => view.bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b).to_string()).collect(),
        Element::Bool => view.bytes.iter().map(|b| (*b != 0).to_string()).collect(),
        Element::Quant(_) => vec![],
    }
}

fn nested(out: &mut impl Write, dims: &[usize], elements: &[String], indent: usize) -> io::Result<()> {
    let Some((first, rest)) = dims.split_first() else {
        return write!(out, "[{}]", elements.first().map_or("", String::as_str));
    };
    if rest.is_empty() {
        return write!(out, "[{}]", elements.join(",  "));
    }
    write!(out, "[")?;
    let size = rest.iter().product::<usize>();
    for i in 0..*first {
        if i > 0 {
            write!(out, ", \n{:indent$}", "", indent = indent + 1)?;
        }
        nested(out, rest, &elements[i * size..(i + 1) * size], indent + 1)?;
    }
    write!(out, "]")
}

/// Six significant digits, as C's `%g`.
fn general(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value.is_nan() { "nan".into() } else { format!("{value}") };
    }
    let scientific = format!("{value:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..6).contains(&exponent) {
        return trim(&format!("{value:.*}", (5 - exponent).max(0) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_c_does() {
        for (value, text) in [
            (1.0, "1"),
            (0.0, "0"),
            (-0.5, "-0.5"),
            (1234567.0, "1.23457e+06"),
            (123456.0, "123456"),
            (0.0001, "0.0001"),
            (0.00001234, "1.234e-05"),
            (1.0 / 3.0, "0.333333"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn nested_rows() {
        let bytes: Vec<u8> = (0..4).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let mut out = vec![];
        tensor(&mut out, View { dims: &[2, 2], element: Element::F32, bytes: &bytes }).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (_, rest) = text.split_once(" rank").unwrap();
        assert_eq!(rest, " = 2 offset = 0 sizes = [2, 2] strides = [2, 1] data = \n[[0,  1], \n [2,  3]]\n");
    }
}
