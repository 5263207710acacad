//! The tensor table of a GGUF file.

use super::cursor::Cursor;
use super::error::{Cause, Error};
use super::types::GgmlType;
use std::collections::HashSet;
use std::ops::Range;

/// Minimum bytes of an entry: an empty name's length, a rank, one dimension, a type, an offset.
pub(super) const LEAST_INFO: usize = 8 + 4 + 8 + 4 + 8;

/// A tensor's entry, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    pub name: String,
    /// Dimensions in row-major order, the slowest first: [rows, columns]. (GGUF itself lists the fastest first.)
    pub dims: Vec<usize>,
    pub ty: GgmlType,
    /// Which of the model's files holds it.
    pub file: usize,
    /// The range of its data in the file.
    pub range: Range<usize>,
}

/// Reads `count` entries, then checks their data against a file of `file_len` bytes.
pub(super) fn read(
    cursor: &mut Cursor,
    count: usize,
    alignment: u32,
    file_len: usize,
) -> Result<Vec<TensorInfo>, Error> {
    let mut names = HashSet::new();
    let mut entries = Vec::new();
    for i in 0..count {
        let name = cursor.string().map_err(|cause| cause.at(format!("the name of tensor {i}")))?;
        if name.is_empty() {
            return Err(Cause::EmptyName.at(format!("tensor {i}")));
        }
        let place = |cause: Cause| cause.at(format!("tensor `{name}`"));
        if !names.insert(name) {
            return Err(place(Cause::Duplicate));
        }
        entries.push((name, Entry::read(cursor).map_err(place)?));
    }
    let alignment = u64::from(alignment);
    let start = (cursor.offset() as u64).next_multiple_of(alignment);
    let have = (file_len as u64).saturating_sub(start);
    let mut tensors = Vec::new();
    for (name, entry) in entries {
        let place = |cause: Cause| cause.at(format!("tensor `{name}`"));
        if !entry.offset.is_multiple_of(alignment) {
            return Err(place(Cause::Misaligned { offset: entry.offset, alignment }));
        }
        if entry.offset.checked_add(entry.bytes).is_none_or(|end| end > have) {
            return Err(place(Cause::PastEnd { offset: entry.offset, bytes: entry.bytes, have }));
        }
        // Below `file_len`, so below `usize::MAX`.
        let from = (start + entry.offset) as usize;
        let range = from..from + entry.bytes as usize;
        tensors.push(TensorInfo { name: name.to_owned(), dims: entry.dims, ty: entry.ty, file: 0, range });
    }
    check_overlap(&tensors)?;
    Ok(tensors)
}

struct Entry {
    dims: Vec<usize>,
    ty: GgmlType,
    offset: u64,
    bytes: u64,
}

impl Entry {
    fn read(cursor: &mut Cursor) -> Result<Self, Cause> {
        let rank = cursor.u32()?;
        if !(1..=4).contains(&rank) {
            return Err(Cause::Rank(rank));
        }
        let mut extents = Vec::new();
        for axis in 0..rank as usize {
            match cursor.u64()? {
                0 => return Err(Cause::ZeroDimension { axis }),
                extent => extents.push(extent),
            }
        }
        let id = cursor.u32()?;
        let ty = GgmlType::from_id(id).ok_or(Cause::UnknownTensorType(id))?;
        let offset = cursor.u64()?;
        let columns = extents[0];
        let block = ty.block as u64;
        if !columns.is_multiple_of(block) {
            return Err(Cause::PartialBlock { columns, name: ty.name, block: ty.block });
        }
        let overflow = || Cause::SizeOverflow(extents.clone());
        let row = (columns / block).checked_mul(ty.bytes as u64).ok_or_else(overflow)?;
        let bytes =
            extents[1..].iter().try_fold(row, |bytes, extent| bytes.checked_mul(*extent)).ok_or_else(overflow)?;
        let dims: Result<_, _> =
            extents.iter().rev().map(|extent| usize::try_from(*extent).map_err(|_| overflow())).collect();
        Ok(Entry { dims: dims?, ty, offset, bytes })
    }
}

fn check_overlap(tensors: &[TensorInfo]) -> Result<(), Error> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.range.start);
    match order.windows(2).find(|pair| pair[0].range.end > pair[1].range.start) {
        Some(pair) => Err(Cause::Overlap(pair[0].name.clone()).at(format!("tensor `{}`", pair[1].name))),
        None => Ok(()),
    }
}
