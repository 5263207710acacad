//! Reads little-endian values from a byte slice, checking every length before it is used.

use super::error::Cause;

/// A position in a file that is being parsed.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, offset: 0 }
    }

    /// Continues at `offset` of a file, an end of `bytes` that was seen before.
    pub fn at(bytes: &'a [u8], offset: usize) -> Self {
        Cursor { bytes, offset: offset.min(bytes.len()) }
    }

    pub fn offset(&self) -> usize {
        self.offset
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: u64) -> Result<&'a [u8], Cause> {
        let end = usize::try_from(length).ok().and_then(|length| self.offset.checked_add(length));
        match end.and_then(|end| Some((end, self.bytes.get(self.offset..end)?))) {
            Some((end, taken)) => {
                self.offset = end;
                Ok(taken)
            }
            None => Err(Cause::Truncated { offset: self.offset, need: length, have: self.remaining() }),
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Cause> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub fn u32(&mut self) -> Result<u32, Cause> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Cause> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads the number of following items of at least `least` bytes each; an error if the file cannot contain that
    /// many.
    pub fn count(&mut self, least: usize) -> Result<usize, Cause> {
        let offset = self.offset;
        let count = self.u64()?;
        self.fits(offset, count, least)
    }

    /// Checks a `count`, read at `offset`, of things of at least `least` bytes that start at the current position.
    pub fn fits(&self, offset: usize, count: u64, least: usize) -> Result<usize, Cause> {
        let have = self.remaining();
        match usize::try_from(count) {
            Ok(number) if number.checked_mul(least).is_some_and(|bytes| bytes <= have) => Ok(number),
            _ => Err(Cause::Count { offset, count, least, have }),
        }
    }

    /// A string: its length in 8 bytes, then UTF-8.
    pub fn string(&mut self) -> Result<&'a str, Cause> {
        let length = self.u64()?;
        let offset = self.offset;
        std::str::from_utf8(self.take(length)?).map_err(|_| Cause::Utf8 { offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_use() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend([1, 2, 3]);
        assert_eq!(Cursor::new(&bytes).string(), Err(Cause::Truncated { offset: 8, need: u64::MAX, have: 3 }));
        assert_eq!(Cursor::new(&bytes).count(13), Err(Cause::Count { offset: 0, count: u64::MAX, least: 13, have: 3 }));
        assert!(Cursor::at(&bytes, 99).u32().is_err());
    }

    #[test]
    fn a_failed_read_moves_nothing() {
        let mut cursor = Cursor::new(&[7, 0, 0, 0, 9]);
        assert!(cursor.u64().is_err());
        assert_eq!(cursor.u32(), Ok(7));
        assert_eq!(cursor.remaining(), 1);
    }
}
