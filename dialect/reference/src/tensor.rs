//! Dense row-major tensors of the dialect's element types.

use crate::{Error, Result};
use half::{bf16, f16};
use kforge_quant::{BlockFormat, Element};

/// The elements of a tensor, last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    /// Blocks as a GGUF file stores them, row after row.
    Quant {
        format: BlockFormat,
        bytes: Vec<u8>,
    },
}

impl Data {
    pub fn element(&self) -> Element {
        match self {
            Data::F32(_) => Element::F32,
            Data::F16(_) => Element::F16,
            Data::BF16(_) => Element::BF16,
            Data::I32(_) => Element::I32,
            Data::I64(_) => Element::I64,
            Data::Bool(_) => Element::Bool,
            Data::Quant { format, .. } => Element::Quant(*format),
        }
    }
}

/// A tensor whose data is exactly as long as its shape says.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// Checks that `data` has as many elements (for blocks, bytes) as `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, data: Data) -> Result<Tensor> {
        let shape = shape.into();
        let element = data.element();
        let expected = storage(&shape, element)?;
        let (actual, unit) = match &data {
            Data::F32(v) => (v.len(), "elements"),
            Data::F16(v) => (v.len(), "elements"),
            Data::BF16(v) => (v.len(), "elements"),
            Data::I32(v) => (v.len(), "elements"),
            Data::I64(v) => (v.len(), "elements"),
            Data::Bool(v) => (v.len(), "elements"),
            Data::Quant { bytes, .. } => (bytes.len(), "bytes"),
        };
        if actual != expected {
            return Err(Error::Length { ty: type_name(&shape, element), unit, expected, actual });
        }
        Ok(Tensor { shape, data })
    }

    pub fn zeros(shape: impl Into<Vec<usize>>, element: Element) -> Result<Tensor> {
        let shape = shape.into();
        let length = storage(&shape, element)?;
        let data = match element {
            Element::F32 => Data::F32(vec![0.0; length]),
            Element::F16 => Data::F16(vec![f16::ZERO; length]),
            Element::BF16 => Data::BF16(vec![bf16::ZERO; length]),
            Element::I32 => Data::I32(vec![0; length]),
            Element::I64 => Data::I64(vec![0; length]),
            Element::Bool => Data::Bool(vec![false; length]),
            Element::Quant(format) => Data::Quant { format, bytes: vec![0; length] },
        };
        Ok(Tensor { shape, data })
    }

    /// Values rounded to a float type (to nearest, ties to even) or quantised to a block format.
    pub fn from_f32(shape: impl Into<Vec<usize>>, element: Element, values: Vec<f32>) -> Result<Tensor> {
        let shape = shape.into();
        let data = match element {
            Element::F32 => Data::F32(values),
            Element::F16 => Data::F16(values.into_iter().map(f16::from_f32).collect()),
            Element::BF16 => Data::BF16(values.into_iter().map(bf16::from_f32).collect()),
            Element::Quant(format) => {
                let mut bytes = vec![0; storage(&shape, element)?];
                format.quantize_row(&values, &mut bytes)?;
                Data::Quant { format, bytes }
            }
            Element::I32 | Element::I64 | Element::Bool => {
                let reason = "floats have no integer element type";
                return Err(Error::Type { ty: type_name(&shape, element), reason });
            }
        };
        Tensor::new(shape, data)
    }

    /// Integers wrapped to the width of an integer type.
    pub fn from_i64(shape: impl Into<Vec<usize>>, element: Element, values: Vec<i64>) -> Result<Tensor> {
        let data = match element {
            Element::I32 => Data::I32(values.into_iter().map(|v| v as i32).collect()),
            Element::I64 => Data::I64(values),
            Element::Bool => Data::Bool(values.into_iter().map(|v| v & 1 == 1).collect()),
            _ => {
                let reason = "integers have no float element type";
                return Err(Error::Type { ty: type_name(&shape.into(), element), reason });
            }
        };
        Tensor::new(shape, data)
    }

    /// Elements from little-endian bytes, one byte for a bool.
    pub fn from_bytes(shape: impl Into<Vec<usize>>, element: Element, bytes: &[u8]) -> Result<Tensor> {
        let shape = shape.into();
        let width = match element {
            Element::F32 | Element::I32 => 4,
            Element::F16 | Element::BF16 => 2,
            Element::I64 => 8,
            Element::Bool | Element::Quant(_) => 1,
        };
        let expected = storage(&shape, element)? * width;
        if bytes.len() != expected {
            let ty = type_name(&shape, element);
            return Err(Error::Length { ty, unit: "bytes", expected, actual: bytes.len() });
        }
        let data = match element {
            Element::F32 => Data::F32(scalars(bytes, f32::from_le_bytes)),
            Element::F16 => Data::F16(scalars(bytes, f16::from_le_bytes)),
            Element::BF16 => Data::BF16(scalars(bytes, bf16::from_le_bytes)),
            Element::I32 => Data::I32(scalars(bytes, i32::from_le_bytes)),
            Element::I64 => Data::I64(scalars(bytes, i64::from_le_bytes)),
            Element::Bool => Data::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
            Element::Quant(format) => Data::Quant { format, bytes: bytes.to_vec() },
        };
        Ok(Tensor { shape, data })
    }

    /// The inverse of [`Tensor::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.data {
            Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::BF16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::Bool(v) => v.iter().map(|&x| u8::from(x)).collect(),
            Data::Quant { bytes, .. } => bytes.clone(),
        }
    }

    /// An f32 tensor.
    pub fn f32(shape: impl Into<Vec<usize>>, values: impl Into<Vec<f32>>) -> Result<Tensor> {
        Tensor::new(shape, Data::F32(values.into()))
    }

    /// An i32 tensor.
    pub fn i32(shape: impl Into<Vec<usize>>, values: impl Into<Vec<i32>>) -> Result<Tensor> {
        Tensor::new(shape, Data::I32(values.into()))
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements; weights, not bytes, of a quantised tensor.
    pub fn elements(&self) -> usize {
        // A product taken in order could overflow before it meets the zero.
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    pub fn element(&self) -> Element {
        self.data.element()
    }

    pub fn data(&self) -> &Data {
        &self.data
    }

    pub fn into_data(self) -> Data {
        self.data
    }

    /// The same elements in another shape. Blocks keep theirs.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        Tensor::new(shape, self.data)
    }

    /// All elements as f32: blocks dequantised, integers rounded, booleans 0 or 1.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F32(v) => v.clone(),
            Data::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Data::BF16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Data::I32(v) => v.iter().map(|&x| x as f32).collect(),
            Data::I64(v) => v.iter().map(|&x| x as f32).collect(),
            Data::Bool(v) => v.iter().map(|&x| f32::from(u8::from(x))).collect(),
            Data::Quant { .. } => {
                let mut values = vec![0.0; self.elements()];
                for (row, out) in values.chunks_mut(self.shape[1].max(1)).enumerate() {
                    self.read_row(row, out);
                }
                values
            }
        }
    }

    /// All elements of an integer tensor; none for floats. A true boolean is 1.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::I32(v) => Some(v.iter().map(|&x| i64::from(x)).collect()),
            Data::I64(v) => Some(v.clone()),
            Data::Bool(v) => Some(v.iter().map(|&x| i64::from(x)).collect()),
            _ => None,
        }
    }

    /// Copies row `row` of a float or quantised matrix into `out`, which is as long as a row. The caller has checked both.
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        let columns = row * out.len()..(row + 1) * out.len();
        match &self.data {
            Data::F32(v) => out.copy_from_slice(&v[columns]),
            Data::F16(v) => out.iter_mut().zip(&v[columns]).for_each(|(o, x)| *o = x.to_f32()),
            Data::BF16(v) => out.iter_mut().zip(&v[columns]).for_each(|(o, x)| *o = x.to_f32()),
            Data::Quant { format, bytes } => {
                let width = out.len() / format.block() * format.block_bytes();
                let row = format.dequantize_row(&bytes[row * width..(row + 1) * width], out);
                row.expect("a tensor's bytes are as long as its shape says");
            }
            Data::I32(_) | Data::I64(_) | Data::Bool(_) => unreachable!("rows of weights are floats"),
        }
    }

    /// The type as MLIR spells it: `tensor<2x3xf32>`.
    pub fn type_name(&self) -> String {
        type_name(&self.shape, self.element())
    }
}

pub(crate) fn type_name(shape: &[usize], element: Element) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    match element {
        Element::Quant(format) => format!("!transformer.quant<{format}, {}>", dims.join("x")),
        _ if dims.is_empty() => format!("tensor<{element}>"),
        _ => format!("tensor<{}x{element}>", dims.join("x")),
    }
}

/// Elements that a tensor stores; bytes for a block format. Fails where the size in bytes would not fit in memory.
fn storage(shape: &[usize], element: Element) -> Result<usize> {
    let fail = |reason| Err(Error::Type { ty: type_name(shape, element), reason });
    if let Element::Quant(format) = element {
        let &[rows, columns] = shape else { return fail("quantised weights are [rows, columns]") };
        return match format.bytes(rows, columns) {
            Some(bytes) if rows.checked_mul(columns).is_some_and(fits) && fits(bytes) => Ok(bytes),
            _ => fail("columns must be a multiple of the block, and the size must fit in memory"),
        };
    }
    volume(shape, element)
}

/// Elements of a tensor of `shape`. Fails where they could not be addressed.
pub(crate) fn volume(shape: &[usize], element: Element) -> Result<usize> {
    if shape.contains(&0) {
        return Ok(0);
    }
    match shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim)) {
        Some(elements) if fits(elements) => Ok(elements),
        _ => Err(Error::Type { ty: type_name(shape, element), reason: "its size overflows" }),
    }
}

/// Whether so many elements, at most eight bytes each, can be addressed.
fn fits(elements: usize) -> bool {
    elements <= isize::MAX as usize / 8
}

fn scalars<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&chunk| from(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [Element; 3] = [Element::F32, Element::F16, Element::BF16];

    #[test]
    fn lengths_are_checked() {
        let error = Tensor::f32([2, 3], [0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of tensor<2x3xf32> has 6 elements, but 5 were given");
        assert!(Tensor::zeros([usize::MAX, 2], Element::F32).is_err());
        assert!(Tensor::zeros([1 << 62], Element::F32).is_err());
        assert!(Tensor::zeros([1, 33], Element::Quant(BlockFormat::Q4_0)).is_err());
        assert!(Tensor::zeros([32], Element::Quant(BlockFormat::Q4_0)).is_err());
        assert_eq!(Tensor::zeros([usize::MAX, 2, 0], Element::F32).unwrap().elements(), 0);
    }

    #[test]
    fn scalars_have_rank_zero() {
        let scalar = Tensor::f32([], [3.0]).unwrap();
        assert_eq!((scalar.elements(), scalar.type_name()), (1, "tensor<f32>".to_owned()));
    }

    #[test]
    fn floats_round_to_nearest_even() {
        let value = 1.0 + 3.0 / 2048.0;
        let rounded = FLOATS.map(|e| Tensor::from_f32([1], e, vec![value]).unwrap().to_f32()[0]);
        assert_eq!(rounded, [value, 1.0 + 4.0 / 2048.0, 1.0]);
    }

    #[test]
    fn quantised_rows_are_dequantised() {
        let element = Element::Quant(BlockFormat::Q8_0);
        let values: Vec<f32> = (0..192).map(|i| if i % 32 == 0 { 127.0 } else { (i % 100) as f32 }).collect();
        let tensor = Tensor::from_f32([3, 64], element, values.clone()).unwrap();
        assert_eq!(tensor.to_f32(), values);
        let mut row = [0.0; 64];
        tensor.read_row(2, &mut row);
        assert_eq!(row[..], values[128..]);
        assert_eq!(tensor.type_name(), "!transformer.quant<q8_0, 3x64>");
        assert_eq!(Tensor::zeros([3, 0], element).unwrap().to_f32(), []);
        assert_eq!(Tensor::zeros([0, 32], element).unwrap().to_f32(), []);
    }

    #[test]
    fn bytes_round_trip() {
        let mut tensors = vec![
            Tensor::i32([2], [-1, 7]).unwrap(),
            Tensor::from_i64([2], Element::I64, vec![-1, 1 << 40]).unwrap(),
            Tensor::from_i64([3], Element::Bool, vec![1, 0, 1]).unwrap(),
            Tensor::from_f32([1, 32], Element::Quant(BlockFormat::Q5_1), (0..32).map(|x| x as f32).collect()).unwrap(),
        ];
        tensors.extend(FLOATS.map(|e| Tensor::from_f32([2, 2], e, vec![1.0, -2.5, 0.0, 1e3]).unwrap()));
        for tensor in tensors {
            let again = Tensor::from_bytes(tensor.shape(), tensor.element(), &tensor.to_bytes()).unwrap();
            assert_eq!(again, tensor);
        }
        assert!(Tensor::from_bytes([2], Element::F32, &[0; 7]).is_err());
    }

    #[test]
    fn reshape_keeps_the_elements() {
        let tensor = Tensor::f32([2, 3], [0., 1., 2., 3., 4., 5.]).unwrap();
        assert_eq!(tensor.clone().reshape([3, 2]).unwrap().to_f32(), tensor.to_f32());
        assert!(tensor.reshape([7]).is_err());
    }
}
