//! Which candidate to measure next, and which one has won.
//!
//! Both follow from what has been measured alone, so a search that was interrupted goes on where it was. The first half
//! of the measurements goes to the most promising candidates of different kinds, the second to the neighbours of the best.

use crate::{environment::Environment, model};
use kforge_measure::Roofs;
use kforge_passes::tiles::{
    gpu,
    product::{Family, Product},
    space,
};
use kforge_target::Target;

/// Part of the space that is measured.
const PART: usize = 10;

/// Candidates that are measured of the smallest space.
const LEAST: usize = 4;

/// A share of the roof from which on nothing is to be gained.
pub const ENOUGH: f64 = 0.97;

/// What a candidate must save to replace the default: less is noise.
const SAVING: f64 = 0.02;

/// A candidate that has been measured, or has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    pub tile: Vec<usize>,
    /// Its time as a part of the default's; `None` for a failure.
    pub ratio: Option<f64>,
    /// Share of the roof.
    pub share: f64,
}

/// A search through the tiles of one product.
pub struct Search {
    tiles: Vec<Vec<usize>>,
    /// Numbers of tiles, the cheapest first.
    order: Vec<usize>,
    kinds: Vec<Vec<usize>>,
    target: Target,
    limit: usize,
}

impl Search {
    pub fn new(product: &Product, environment: &Environment, roofs: &Roofs) -> Search {
        let tiles = space::candidates(product);
        let order = model::rank(product, &tiles, environment, roofs);
        let kinds = tiles.iter().map(|tile| kind(product, tile)).collect();
        let limit = (tiles.len() / PART).max(LEAST).min(tiles.len());
        Search { tiles, order, kinds, target: product.target, limit }
    }

    /// Every candidate, the default first.
    pub fn tiles(&self) -> &[Vec<usize>] {
        &self.tiles
    }

    /// How many are measured at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Up to `count` tiles to measure next, all different; none when the search is over.
    pub fn next(&self, tried: &[Tried], count: usize) -> Vec<Vec<usize>> {
        let is_tried = |i: usize| tried.iter().any(|t| t.tile == self.tiles[i]);
        if self.tiles.is_empty() {
            return vec![];
        }
        if !is_tried(0) {
            // Everything else is measured in turns with it.
            return vec![self.tiles[0].clone()];
        }
        let best = tried.iter().filter(|t| t.ratio.is_some()).min_by(|a, b| by_ratio(a, b));
        let done = tried.iter().filter(|t| self.tiles.contains(&t.tile)).count();
        if done >= self.limit || best.is_some_and(|best| best.share >= ENOUGH) {
            return vec![];
        }
        let explore = self.limit.div_ceil(2);
        let mut next: Vec<usize> = vec![];
        if done < explore {
            let mut kinds: Vec<&Vec<usize>> =
                (0..self.tiles.len()).filter(|i| is_tried(*i)).map(|i| &self.kinds[i]).collect();
            for i in self.order.iter().copied() {
                if next.len() < count.min(explore - done) && !is_tried(i) && !kinds.contains(&&self.kinds[i]) {
                    kinds.push(&self.kinds[i]);
                    next.push(i);
                }
            }
        }
        if next.is_empty()
            && let Some(best) = best
        {
            // The neighbours of the best by expected cost, one at a time: the best may change.
            next.extend(
                self.order.iter().copied().find(|i| !is_tried(*i) && self.neighbours(&self.tiles[*i], &best.tile)),
            );
        }
        if next.is_empty() {
            next.extend(self.order.iter().copied().find(|i| !is_tried(*i)));
        }
        next.into_iter().map(|i| self.tiles[i].clone()).collect()
    }

    /// Whether two tiles differ in one number, or in two that change together (rows of a task follow those in registers).
    fn neighbours(&self, a: &[usize], b: &[usize]) -> bool {
        if self.target.is_gpu() {
            return gpu::neighbours(a, b);
        }
        if a.len() != b.len() {
            return a.len().abs_diff(b.len()) == 1 && a.iter().zip(b).all(|(a, b)| a == b);
        }
        let differ = a.iter().zip(b).filter(|(a, b)| a != b).count();
        differ == 1 || (differ == 2 && a[0] != b[0] && a.len() >= 3 && a[0].abs_diff(b[0]) * 4 <= b[0])
    }
}

/// Candidates of one kind differ in the size of a task alone, which the model judges well.
fn kind(product: &Product, tile: &[usize]) -> Vec<usize> {
    match product.family {
        _ if product.target.is_gpu() => gpu::kind(tile),
        Family::Gemv if tile.len() == 1 => tile.to_vec(),
        _ => tile[1..].to_vec(),
    }
}

/// The order of winners: time, then the tile itself, so that ties break the same way each time.
pub fn by_ratio(a: &Tried, b: &Tried) -> std::cmp::Ordering {
    let ratio = |t: &Tried| t.ratio.unwrap_or(f64::INFINITY);
    ratio(a).total_cmp(&ratio(b)).then_with(|| a.tile.cmp(&b.tile))
}

/// What has been measured, the fastest first; the default leads where nothing saves more than noise.
pub fn ranking(product: &Product, tried: &[Tried]) -> Vec<Tried> {
    let mut order: Vec<Tried> = tried.iter().filter(|t| t.ratio.is_some()).cloned().collect();
    order.sort_by(by_ratio);
    let default = space::rule(product);
    let is_close = order.first().and_then(|t| t.ratio).is_some_and(|ratio| ratio > 1.0 - SAVING);
    if is_close && let Some(at) = order.iter().position(|t| t.tile == default) {
        order[..=at].rotate_right(1);
    }
    order
}
