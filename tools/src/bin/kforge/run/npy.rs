//! NumPy's .npy files, through `npyz`.

use anyhow::{Context as _, Result, anyhow, bail};
use half::f16;
use kforge_program::Element;
use kforge_tools::output;
use npyz::WriterBuilder;
use std::{fs, path::Path};

/// A tensor read from a file, little-endian and row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub dims: Vec<usize>,
    pub element: Element,
    pub bytes: Vec<u8>,
}

/// Reads f32, f16, i32 and (where they fit i32) i64 arrays; f64 is refused rather than rounded.
pub fn read(path: &Path) -> Result<Array> {
    let bytes = fs::read(path)
        .with_context(|| format!("{} cannot be read; give an .npy file, or random:SEED", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is not an array that can be used here", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Array> {
    let file = npyz::NpyFile::new(bytes)?;
    if file.header().order() != npyz::Order::C {
        bail!("it is in Fortran order; save it with np.ascontiguousarray");
    }
    let dims = file.shape().iter().map(|d| usize::try_from(*d)).collect::<Result<Vec<_>, _>>()?;
    let kind = file.dtype().descr();
    let elements = dims.iter().try_fold(1usize, |product, d| product.checked_mul(*d)).unwrap_or(usize::MAX);
    // A header may claim any size, and the reader would allocate it.
    if elements > bytes.len() {
        bail!("its header claims {dims:?}, more than its {} bytes can hold", bytes.len());
    }
    let (element, bytes): (_, Vec<u8>) = match kind.trim_matches(['\'', '"']) {
        "<f4" => (Element::F32, file.into_vec::<f32>()?.iter().flat_map(|v| v.to_le_bytes()).collect()),
        "<f2" => (Element::F16, file.into_vec::<f16>()?.iter().flat_map(|v| v.to_le_bytes()).collect()),
        "<i4" => (Element::I32, file.into_vec::<i32>()?.iter().flat_map(|v| v.to_le_bytes()).collect()),
        "<i8" => {
            let words = file.into_vec::<i64>()?.into_iter().map(i32::try_from).collect::<Result<Vec<_>, _>>();
            let words = words.map_err(|_| anyhow!("an element does not fit 32 bits"))?;
            (Element::I32, words.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        other => bail!("its elements are {other}; f32, f16, i32 and i64 are read"),
    };
    Ok(Array { dims, element, bytes })
}

/// Writes an array of floats or integers; bf16, which NumPy lacks, as f32.
pub fn write(path: &Path, array: &Array) -> Result<()> {
    let shape: Vec<u64> = array.dims.iter().map(|d| *d as u64).collect();
    let words = || array.bytes.as_chunks::<4>().0.iter();
    let halves = || array.bytes.as_chunks::<2>().0.iter();
    let bytes = match array.element {
        Element::F32 => encode(&shape, words().map(|b| f32::from_le_bytes(*b)))?,
        Element::I32 => encode(&shape, words().map(|b| i32::from_le_bytes(*b)))?,
        Element::F16 => encode(&shape, halves().map(|b| f16::from_le_bytes(*b)))?,
        Element::BF16 => encode(&shape, halves().map(|b| half::bf16::from_le_bytes(*b).to_f32()))?,
        Element::I64 => encode(&shape, array.bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)))?,
        Element::Bool => encode(&shape, array.bytes.iter().map(|b| *b != 0))?,
        Element::Quant(_) => bail!("a block-quantised weight has no .npy form"),
    };
    output::write(path, &bytes)
}

fn encode<T: npyz::AutoSerialize>(shape: &[u64], values: impl Iterator<Item = T>) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_round_trip() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        for (element, width) in [(Element::F32, 4), (Element::I32, 4), (Element::F16, 2)] {
            for dims in [vec![], vec![3], vec![2, 0], vec![2, 5]] {
                let count: usize = dims.iter().product();
                let array = Array { bytes: (0..count * width).map(|i| i as u8).collect(), dims, element };
                write(&path, &array).unwrap();
                assert_eq!(read(&path).unwrap(), array);
            }
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        assert!(parse(b"").is_err());
        assert!(parse(b"\x93NUMPY\x01\x00").is_err());
        let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }";
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header);
        assert!(parse(&file).unwrap_err().to_string().contains("claims"));
    }
}
