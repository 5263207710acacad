//! Values of constants, which are part of the program.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// The elements of a tensor, row-major and little-endian: all of them, or a single one if all are equal. In JSON they
/// are base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Constant {
    bytes: Vec<u8>,
}

impl Constant {
    /// Takes all elements, of `width` bytes each; if all are equal, one is kept.
    pub fn new(mut bytes: Vec<u8>, width: usize) -> Self {
        if width > 0 && bytes.len() > width && bytes.chunks(width).all(|element| *element == bytes[..width]) {
            bytes.truncate(width);
        }
        Self { bytes }
    }

    /// The bytes of all elements, `length` in total.
    ///
    /// # Errors
    /// If `length` is not a multiple of the stored bytes.
    pub fn expand(&self, length: usize) -> Result<Vec<u8>, String> {
        let kept = self.bytes.len();
        match length.checked_rem(kept) {
            _ if length == kept => Ok(self.bytes.clone()),
            Some(0) => Ok(self.bytes.repeat(length / kept)),
            _ => Err(format!("a constant of {kept} bytes is no tensor of {length}")),
        }
    }

    /// Whether it can be the value of a tensor of `length` bytes whose elements have `width` bytes.
    pub fn fits(&self, length: usize, width: usize) -> bool {
        self.bytes.len() == length || (self.bytes.len() == width && length.is_multiple_of(width.max(1)))
    }
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Constant({} bytes)", self.bytes.len())
    }
}

impl Serialize for Constant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self { bytes: BASE64_STANDARD.decode(text).map_err(D::Error::custom)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_are_kept_once() {
        let splat = Constant::new(vec![1, 2, 1, 2, 1, 2], 2);
        assert_eq!(splat, Constant { bytes: vec![1, 2] });
        assert_eq!(splat.expand(6).as_deref(), Ok(&[1, 2, 1, 2, 1, 2][..]));
        assert_eq!(splat.expand(5), Err("a constant of 2 bytes is no tensor of 5".into()));
        assert!(splat.fits(6, 2) && !splat.fits(6, 4));
        let other = Constant::new(vec![1, 2, 1, 3], 2);
        assert_eq!(other.expand(4).as_deref(), Ok(&[1, 2, 1, 3][..]));
        assert_eq!(Constant::new(vec![], 4).expand(0).as_deref(), Ok(&[][..]));
        assert!(Constant::new(vec![], 4).expand(4).is_err());
    }

    #[test]
    fn json_is_base64() {
        let constant = Constant::new(vec![0, 0, 128, 63, 0, 0, 0, 64], 4);
        let text = serde_json::to_string(&constant).unwrap();
        assert_eq!(text, "\"AACAPwAAAEA=\"");
        assert_eq!(serde_json::from_str::<Constant>(&text).unwrap(), constant);
        assert!(serde_json::from_str::<Constant>("\"A\"").is_err());
    }
}
