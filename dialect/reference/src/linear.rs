//! `embedding`, `linear`, `matmul`.

use crate::check::{Op, coordinates};
use crate::tensor::volume;
use crate::{Element, Result, Tensor};

/// `result[..., :] = table[ids[...], :]`, in element type `element`.
pub fn embedding(ids: &Tensor, table: &Tensor, element: Element) -> Result<Tensor> {
    let op = Op("embedding");
    let (rows, columns) = op.weight("table", table)?;
    let shape = [ids.shape(), &[columns]].concat();
    let mut values = vec![0.0; volume(&shape, element)?];
    for (i, id) in op.integers("ids", ids)?.into_iter().enumerate() {
        let row = usize::try_from(id).ok().filter(|&row| row < rows).ok_or_else(|| {
            op.value("ids", &coordinates(ids.shape(), i), id, format!("a row of the table, 0 to {rows} exclusive"))
        })?;
        table.read_row(row, &mut values[i * columns..(i + 1) * columns]);
    }
    Tensor::from_f32(shape, element, values)
}

/// `result[..., n] = sum over k of input[..., k] * weight[n, k] + bias[n]`; the weight is [N, K].
pub fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let op = Op("linear");
    let (outputs, columns) = op.weight("weight", weight)?;
    let (rows, width) = op.rows("input", input)?;
    if width != columns {
        return Err(op.wrong("input", format!("as long in the last axis as the weight's {columns} columns"), input));
    }
    let bias = bias.map(|bias| op.vector("bias", bias, outputs)).transpose()?;
    let x = op.floats("input", input)?;
    let shape = [&input.shape()[..input.rank() - 1], &[outputs]].concat();
    let mut result = vec![0.0; volume(&shape, input.element())?];
    let mut w = vec![0.0; columns];
    for n in 0..outputs {
        weight.read_row(n, &mut w);
        let b = bias.as_ref().map_or(0.0, |bias| f64::from(bias[n]));
        for m in 0..rows {
            result[m * outputs + n] = (dot(&x[m * columns..(m + 1) * columns], &w) + b) as f32;
        }
    }
    Tensor::from_f32(shape, input.element(), result)
}

/// `result[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]`; a transpose flag says that an operand's last two
/// axes are swapped. All leading dimensions are equal.
pub fn matmul(a: &Tensor, b: &Tensor, transpose_a: bool, transpose_b: bool) -> Result<Tensor> {
    let op = Op("matmul");
    let (leading, m, k, stride_m, stride_ka) = matrices(op, "a", a, transpose_a)?;
    let (leading_b, kb, n, stride_kb, stride_n) = matrices(op, "b", b, transpose_b)?;
    if leading != leading_b {
        return Err(op.wrong("b", format!("a batch of {leading:?} matrices, as a is"), b));
    }
    if k != kb {
        return Err(op.wrong("b", format!("{k} long in the contracted axis, as a is"), b));
    }
    if a.element() != b.element() {
        return Err(op.wrong("b", format!("of {}, as a is", a.element()), b));
    }
    let (x, y) = (op.floats("a", a)?, op.floats("b", b)?);
    let shape = [leading, &[m, n]].concat();
    let mut result = vec![0.0; volume(&shape, a.element())?];
    for (flat, out) in result.iter_mut().enumerate() {
        let (matrix, i, j) = (flat / (m * n), flat / n % m, flat % n);
        let (x, y) = (&x[matrix * m * k..], &y[matrix * k * n..]);
        let terms =
            (0..k).map(|l| f64::from(x[i * stride_m + l * stride_ka]) * f64::from(y[l * stride_kb + j * stride_n]));
        *out = sum(terms) as f32;
    }
    Tensor::from_f32(shape, a.element(), result)
}

/// Leading dimensions, rows, columns, and their strides, of the matrices that a possibly transposed operand holds.
fn matrices<'a>(
    op: Op<'_>,
    operand: &'static str,
    tensor: &'a Tensor,
    transposed: bool,
) -> Result<(&'a [usize], usize, usize, usize, usize)> {
    match tensor.shape() {
        [leading @ .., rows, columns] if !transposed => Ok((leading, *rows, *columns, *columns, 1)),
        [leading @ .., columns, rows] => Ok((leading, *rows, *columns, 1, *rows)),
        _ => Err(op.wrong(operand, "of rank at least 2", tensor)),
    }
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)))
}

/// From +0, where `Iterator::sum` starts from -0 and gives that for no terms.
pub(crate) fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    terms.fold(0.0, |sum, term| sum + term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kforge_quant::BlockFormat;

    fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::f32(shape, values).unwrap()
    }

    #[test]
    fn embedding_takes_rows() {
        let table = f32s(&[3, 2], &[0., 1., 10., 11., 20., 21.]);
        let ids = Tensor::i32([1, 3], [2, 0, 2]).unwrap();
        let rows = embedding(&ids, &table, Element::F16).unwrap();
        assert_eq!(rows.type_name(), "tensor<1x3x2xf16>");
        assert_eq!(rows.to_f32(), [20., 21., 0., 1., 20., 21.]);
    }

    #[test]
    fn embedding_of_a_wrong_id_names_it() {
        let table = f32s(&[3, 2], &[0.0; 6]);
        for id in [3, -1] {
            let ids = Tensor::i32([2, 2], [0, 1, id, 2]).unwrap();
            let error = embedding(&ids, &table, Element::F32).unwrap_err();
            let expected = format!("embedding: ids[1, 0] is {id}, but must be a row of the table, 0 to 3 exclusive");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn linear_by_hand() {
        let x = f32s(&[1, 2, 2], &[1., 2., 3., 4.]);
        let w = f32s(&[3, 2], &[1., 0., 0., 1., -1., 2.]);
        assert_eq!(linear(&x, &w, None).unwrap(), f32s(&[1, 2, 3], &[1., 2., 3., 3., 4., 5.]));
        let b = f32s(&[3], &[0.5, 0., -1.]);
        assert_eq!(linear(&x, &w, Some(&b)).unwrap().to_f32(), [1.5, 2., 2., 3.5, 4., 4.]);
    }

    #[test]
    fn linear_accumulates_in_f64() {
        let x = f32s(&[3], &[1e8, 1.0, -1e8]);
        assert_eq!(linear(&x, &f32s(&[1, 3], &[1.0; 3]), None).unwrap().to_f32(), [1.0]);
    }

    #[test]
    fn linear_of_a_quantised_weight_is_that_of_its_values() {
        let values: Vec<f32> = (0..2 * 256).map(|i| ((i * 37 % 41) as f32 - 20.0) / 7.0).collect();
        let x = f32s(&[2, 256], &values);
        for format in BlockFormat::ALL {
            let w = Tensor::from_f32([2, 256], Element::Quant(format), values.clone()).unwrap();
            let plain = f32s(&[2, 256], &w.to_f32());
            assert_eq!(linear(&x, &w, None), linear(&x, &plain, None), "{format}");
        }
    }

    #[test]
    fn linear_refuses_other_shapes() {
        let x = f32s(&[2, 2], &[0.0; 4]);
        assert_eq!(
            linear(&x, &f32s(&[3, 4], &[0.0; 12]), None).unwrap_err().to_string(),
            "linear: input must be as long in the last axis as the weight's 4 columns, but is tensor<2x2xf32>"
        );
        let w = f32s(&[3, 2], &[0.0; 6]);
        assert!(linear(&x, &w, Some(&f32s(&[2], &[0.0; 2]))).is_err());
        assert!(linear(&f32s(&[], &[0.0]), &w, None).is_err());
        assert!(linear(&Tensor::i32([2], [0, 0]).unwrap(), &w, None).is_err());
    }

    #[test]
    fn matmul_and_its_transposes() {
        let a = f32s(&[1, 2, 3], &[1., 2., 3., 4., 5., 6.]);
        let at = f32s(&[1, 3, 2], &[1., 4., 2., 5., 3., 6.]);
        let b = f32s(&[1, 3, 2], &[1., 2., 0., 1., -1., 0.]);
        let bt = f32s(&[1, 2, 3], &[1., 0., -1., 2., 1., 0.]);
        let product = f32s(&[1, 2, 2], &[-2., 4., -2., 13.]);
        for (a, b, ta, tb) in
            [(&a, &b, false, false), (&at, &b, true, false), (&a, &bt, false, true), (&at, &bt, true, true)]
        {
            assert_eq!(matmul(a, b, ta, tb).unwrap(), product, "{ta} {tb}");
        }
        assert!(matmul(&a, &bt, false, false).is_err());
        assert!(matmul(&a, &f32s(&[2, 3, 1], &[0.0; 6]), false, false).is_err());
    }

    #[test]
    fn batches_do_not_mix() {
        let a = f32s(&[2, 1, 1, 2], &[1., 2., 3., 4.]);
        let b = f32s(&[2, 1, 2, 1], &[1., 1., 10., 100.]);
        assert_eq!(matmul(&a, &b, false, false).unwrap().to_f32(), [3., 430.]);
    }

    #[test]
    fn empty_dimensions() {
        let empty = |shape: &[usize]| Tensor::zeros(shape, Element::F32).unwrap();
        assert_eq!(linear(&empty(&[0, 2]), &empty(&[3, 2]), None).unwrap().shape(), [0, 3]);
        assert_eq!(linear(&empty(&[2, 0]), &empty(&[3, 0]), None).unwrap(), empty(&[2, 3]));
        assert_eq!(linear(&empty(&[2, 4]), &empty(&[0, 4]), None).unwrap().shape(), [2, 0]);
        assert_eq!(matmul(&empty(&[2, 0]), &empty(&[0, 3]), false, false).unwrap(), empty(&[2, 3]));
        assert_eq!(matmul(&empty(&[0, 2, 1]), &empty(&[0, 1, 3]), false, false).unwrap().shape(), [0, 2, 3]);
        let ids = Tensor::i32([0, 4], []).unwrap();
        assert_eq!(embedding(&ids, &empty(&[3, 2]), Element::F32).unwrap().shape(), [0, 4, 2]);
    }
}
