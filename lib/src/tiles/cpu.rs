//! Tiles of a CPU's products: which are legal.
//!
//! The rules are said here once: to kernel generators, to the rule that chooses without measurement, and to whatever a
//! database holds. They keep loop bodies small enough to compile and panels within the stack of a thread.

use super::product::{BLOCK, Family, GEMV_ROWS, LANES, PANEL_BYTES, Product};

/// Sixteen-lane sums in the body of a loop: more than any register file, few enough to compile.
const SUMS: usize = 64;
/// Most rows or columns of a task.
const MOST: usize = 1 << 16;
/// Most blocks between a load and its prefetch.
const MOST_AHEAD: usize = 1024;

/// What decides whether a tile is legal.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// M; `None` where it is known when called only.
    pub rows: Option<usize>,
    /// K.
    pub depth: usize,
    /// Linear layers that meet in one output, at most.
    pub together: usize,
    /// Weights are multiplied where they lie: none is copied to a panel on the stack.
    pub in_place: bool,
    /// Products are of integers.
    pub int8: bool,
}

impl From<&Product> for Shape {
    fn from(product: &Product) -> Shape {
        Shape {
            rows: product.rows,
            depth: product.depth,
            together: product.together(),
            in_place: product.streams || product.int8,
            int8: product.int8,
        }
    }
}

/// A legal tile. A group is 16 columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// `[NT, NR, AHEAD]`: groups of a task, groups in registers, and blocks between a load and its prefetch; with all rows.
    Gemv { rows: usize, groups: usize, strip: usize, ahead: Option<usize> },
    /// `[MB, MR, NR, KC]`: rows of a task, rows in registers, groups of a task, and columns of K at a time.
    Gemm { block: usize, height: usize, groups: usize, depth: usize },
}

impl Tile {
    /// The tile of a kernel.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn new(family: Family, tile: &[usize], shape: Shape) -> Result<Tile, String> {
        match family {
            Family::Gemv => Tile::gemv(tile, shape),
            _ => Tile::gemm(tile, shape),
        }
    }

    fn gemv(tile: &[usize], shape: Shape) -> Result<Tile, String> {
        let rows = shape.rows.filter(|rows| *rows <= GEMV_ROWS);
        let rows = rows.ok_or_else(|| format!("gemv takes a static 0 to {GEMV_ROWS} rows; use gemm"))?;
        let (width, registers, ahead) = match *tile {
            [width] => (width, width, None),
            [width, registers] => (width, registers, None),
            [width, registers, ahead] => (width, registers, Some(ahead)),
            _ => {
                return Err(
                    "gemv's tile is [NT, NR, AHEAD]: columns of a task, columns in registers, blocks asked for \
                            ahead"
                        .into(),
                );
            }
        };
        let (groups, strip) = (groups("NT", width)?, groups("NR", registers)?);
        if !groups.is_multiple_of(strip) {
            return Err(format!("gemv's NT = {width} must be a multiple of NR = {registers}"));
        }
        if let Some(ahead) = ahead.filter(|ahead| *ahead > MOST_AHEAD) {
            return Err(format!("gemv's AHEAD must be at most {MOST_AHEAD}, got {ahead}"));
        }
        let sums = strip.saturating_mul(rows).saturating_mul(shape.together);
        if sums > SUMS {
            return Err(format!(
                "gemv's NR = {registers} by {rows} rows keeps {sums} vectors of sums in registers, over {SUMS}; lower NR"
            ));
        }
        Ok(Tile::Gemv { rows, groups, strip, ahead })
    }

    fn gemm(tile: &[usize], shape: Shape) -> Result<Tile, String> {
        let (block, height, width, depth) = match *tile {
            [block, height, width] => (block, height, width, shape.depth),
            [block, height, width, depth] => (block, height, width, depth.min(shape.depth)),
            _ => {
                return Err(
                    "gemm's tile is [MB, MR, NR, KC]: rows of a task, rows in registers, columns of a task, and \
                            the depth of a block"
                        .into(),
                );
            }
        };
        if height == 0 || block == 0 || !block.is_multiple_of(height) {
            return Err(format!("gemm's MB must be a positive multiple of MR, got {block} and {height}"));
        }
        if block > MOST {
            return Err(format!("gemm's MB must be at most {MOST}, got {block}"));
        }
        if depth < shape.depth && (depth == 0 || !depth.is_multiple_of(BLOCK)) {
            return Err(format!("gemm's KC must be a positive multiple of {BLOCK}, got {depth}"));
        }
        if depth < shape.depth && shape.int8 {
            return Err("gemm's KC is for products of floats; leave it out".into());
        }
        let groups = groups("NR", width)?;
        let sums = groups.saturating_mul(height);
        if sums > SUMS {
            return Err(format!(
                "gemm's MR = {height} by NR = {width} keeps {sums} vectors of sums in registers, over {SUMS}; lower MR or NR"
            ));
        }
        let panels = if shape.in_place { 0 } else { shape.together };
        let bytes = depth.saturating_mul(4 * width).saturating_mul(panels);
        if bytes > PANEL_BYTES {
            let (panels, take) = match panels {
                1 => ("a panel".to_owned(), "takes"),
                panels => (format!("{panels} panels"), "take"),
            };
            return Err(format!(
                "{panels} of {depth} by {width} columns {take} {bytes} bytes of stack, over {PANEL_BYTES}; lower NR or KC"
            ));
        }
        // Between two blocks of K the sums of a task wait on the stack.
        let waiting = if depth < shape.depth { (4 * block * width).saturating_mul(shape.together) } else { 0 };
        if waiting > PANEL_BYTES / 2 {
            return Err(format!("the sums of MB = {block} by NR = {width} take {waiting} bytes of stack; lower MB"));
        }
        Ok(Tile::Gemm { block, height, groups, depth })
    }
}

/// Groups of `width` columns.
fn groups(name: &str, width: usize) -> Result<usize, String> {
    if width == 0 || !width.is_multiple_of(LANES) {
        return Err(format!("{name} must be a positive multiple of {LANES}, got {width}"));
    }
    if width > MOST {
        return Err(format!("{name} must be at most {MOST}, got {width}"));
    }
    Ok(width / LANES)
}

/// Rows that a matmul with a tile `[MR, 16]` keeps in registers.
///
/// # Errors
/// The rule that the tile breaks.
pub fn matmul_rows(tile: &[usize]) -> Result<usize, String> {
    match *tile {
        [height @ 1..=SUMS, LANES] => Ok(height),
        [height, LANES] => Err(format!("matmul's MR must be 1 to {SUMS} rows in registers, got {height}")),
        _ => Err(format!("matmul's tile is [MR, {LANES}]: rows and columns in registers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { rows: Some(4), depth: 576, together: 1, in_place: false, int8: false };

    #[test]
    fn what_is_legal_is_taken_apart() {
        let gemv = |tile: &[usize]| Tile::new(Family::Gemv, tile, SHAPE);
        assert_eq!(gemv(&[32]), Ok(Tile::Gemv { rows: 4, groups: 2, strip: 2, ahead: None }));
        assert_eq!(gemv(&[65536, 16, 0]), Ok(Tile::Gemv { rows: 4, groups: 4096, strip: 1, ahead: Some(0) }));
        let gemm = |tile: &[usize]| Tile::new(Family::Gemm, tile, SHAPE);
        assert_eq!(gemm(&[132, 6, 16]), Ok(Tile::Gemm { block: 132, height: 6, groups: 1, depth: 576 }));
        assert_eq!(gemm(&[128, 8, 32, 256]), Ok(Tile::Gemm { block: 128, height: 8, groups: 2, depth: 256 }));
        // As deep as the product is no depth of a block.
        assert_eq!(gemm(&[8, 8, 16, 600]), Ok(Tile::Gemm { block: 8, height: 8, groups: 1, depth: 576 }));
        assert_eq!(matmul_rows(&[4, 16]), Ok(4));
    }

    #[test]
    fn what_is_illegal_says_why() {
        let two = Shape { together: 2, ..SHAPE };
        for (family, shape, tile, why) in [
            (Family::Gemv, SHAPE, &[][..], "gemv's tile is [NT, NR, AHEAD]"),
            (Family::Gemv, Shape { rows: None, ..SHAPE }, &[16], "gemv takes a static 0 to 8 rows; use gemm"),
            (Family::Gemv, SHAPE, &[24], "NT must be a positive multiple of 16, got 24"),
            (Family::Gemv, SHAPE, &[65552, 16], "NT must be at most 65536, got 65552"),
            (
                Family::Gemv,
                SHAPE,
                &[65536],
                "gemv's NR = 65536 by 4 rows keeps 16384 vectors of sums in registers, over 64",
            ),
            (Family::Gemv, two, &[144], "keeps 72 vectors"),
            (Family::Gemv, SHAPE, &[48, 32], "gemv's NT = 48 must be a multiple of NR = 32"),
            (Family::Gemv, SHAPE, &[32, 32, 1025], "gemv's AHEAD must be at most 1024, got 1025"),
            (Family::Gemm, SHAPE, &[16], "gemm's tile is [MB, MR, NR, KC]"),
            (Family::Gemm, SHAPE, &[10, 4, 16], "gemm's MB must be a positive multiple of MR, got 10 and 4"),
            (Family::Gemm, SHAPE, &[1 << 17, 4, 16], "gemm's MB must be at most 65536"),
            (Family::Gemm, SHAPE, &[8, 4, 20], "NR must be a positive multiple of 16, got 20"),
            (Family::Gemm, SHAPE, &[60, 60, 32], "gemm's MR = 60 by NR = 32 keeps 120 vectors of sums"),
            (Family::Gemm, SHAPE, &[4, 4, 16, 40], "gemm's KC must be a positive multiple of 32, got 40"),
            (Family::Gemm, Shape { int8: true, ..SHAPE }, &[4, 4, 16, 64], "gemm's KC is for products of floats"),
            (
                Family::Gemm,
                Shape { depth: 16384, ..SHAPE },
                &[4, 4, 32],
                "a panel of 16384 by 32 columns takes 2097152 bytes",
            ),
            (
                Family::Gemm,
                Shape { depth: 8192, ..two },
                &[4, 4, 32],
                "2 panels of 8192 by 32 columns take 2097152 bytes",
            ),
            (
                Family::Gemm,
                SHAPE,
                &[8192, 4, 32, 32],
                "the sums of MB = 8192 by NR = 32 take 1048576 bytes of stack; lower MB",
            ),
        ] {
            let message = Tile::new(family, tile, shape).unwrap_err();
            assert!(message.contains(why), "{tile:?}: {message}");
        }
        assert!(matmul_rows(&[65, 16]).unwrap_err().contains("1 to 64 rows in registers, got 65"));
        assert!(matmul_rows(&[4, 32]).unwrap_err().contains("matmul's tile is [MR, 16]"));
    }
}
