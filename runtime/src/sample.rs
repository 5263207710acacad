//! Choosing the next token from logits.

use std::cmp::Ordering;

/// Sampling options. The default is greedy: the token of the largest logit, the lowest id on ties.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Keep this many most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most likely tokens until their probabilities sum to this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens of at least this fraction of the largest probability; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens seen so far (Keskar et al., 2019); 1 does nothing.
    pub repeat_penalty: f32,
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repeat_penalty: 1.0, seed: 0 }
    }
}

/// The logits of the next token.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    /// Of the whole vocabulary, or the k largest in descending order, the lowest id first on ties.
    pub values: &'a [f32],
    /// The tokens of the k largest.
    pub ids: Option<&'a [i32]>,
}

impl<'a> Logits<'a> {
    /// Logits of the whole vocabulary.
    pub fn all(values: &'a [f32]) -> Self {
        Logits { values, ids: None }
    }

    fn id(&self, place: usize) -> Option<u32> {
        match self.ids {
            None => u32::try_from(place).ok(),
            Some(ids) => ids.get(place).and_then(|id| u32::try_from(*id).ok()),
        }
    }
}

/// Maximum candidates to sample from if not all logits are available.
const CANDIDATES: usize = 128;

/// A sampler with its random state and the tokens that the repeat penalty applies to.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: Sampling,
    state: u64,
    seen: Vec<u32>,
}

impl Sampler {
    /// # Errors
    /// If an option is out of range; the message names it.
    pub fn new(options: Sampling) -> Result<Sampler, String> {
        let check = |ok: bool, name: &str, want: &str, value: f32| {
            if ok { Ok(()) } else { Err(format!("{name} must be {want}, got {value}")) }
        };
        let Sampling { temperature, top_p, min_p, repeat_penalty, .. } = options;
        check(temperature >= 0.0 && temperature.is_finite(), "temperature", "0 or more", temperature)?;
        check((0.0..=1.0).contains(&top_p), "top-p", "between 0 and 1", top_p)?;
        check((0.0..=1.0).contains(&min_p), "min-p", "between 0 and 1", min_p)?;
        check(repeat_penalty > 0.0 && repeat_penalty.is_finite(), "repeat-penalty", "positive", repeat_penalty)?;
        Ok(Sampler { state: options.seed, options, seen: vec![] })
    }

    /// Records a token of the context.
    pub fn see(&mut self, id: u32) {
        if self.options.repeat_penalty != 1.0 && !self.seen.contains(&id) {
            self.seen.push(id);
        }
    }

    /// How many of the largest logits suffice to choose the same token as with all logits; `None` if all are needed.
    pub fn candidates(&self) -> Option<usize> {
        match self.options {
            // A penalty may move any token to the front.
            Sampling { repeat_penalty, .. } if repeat_penalty != 1.0 => None,
            Sampling { temperature: 0.0, .. } => Some(1),
            // All other options, including the sum of probabilities, are computed from the top k.
            Sampling { top_k: k @ 1..=CANDIDATES, .. } => Some(k),
            _ => None,
        }
    }

    /// Chooses a token; `None` if there are no logits. A NaN is never chosen.
    pub fn sample(&mut self, logits: Logits) -> Option<u32> {
        let penalised: Vec<f32>;
        let values = if self.seen.is_empty() {
            logits.values
        } else {
            penalised = self.penalise(logits);
            &penalised
        };
        let place = if self.options.temperature == 0.0 { greedy(values) } else { self.draw(values) };
        logits.id(place? as usize)
    }

    fn penalise(&self, logits: Logits) -> Vec<f32> {
        let mut values = logits.values.to_vec();
        let penalty = self.options.repeat_penalty;
        for id in &self.seen {
            let place = match logits.ids {
                None => Some(*id as usize),
                Some(ids) => ids.iter().position(|other| u32::try_from(*other) == Ok(*id)),
            };
            if let Some(logit) = place.and_then(|place| values.get_mut(place)) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        values
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let mut order: Vec<u32> = (0..logits.len() as u32).filter(|i| !logits[*i as usize].is_nan()).collect();
        let descending = |a: &u32, b: &u32| {
            logits[*b as usize].partial_cmp(&logits[*a as usize]).unwrap_or(Ordering::Equal).then(a.cmp(b))
        };
        let k = if self.options.top_k == 0 { order.len() } else { self.options.top_k.min(order.len()) };
        if k < order.len() {
            order.select_nth_unstable_by(k, descending);
            order.truncate(k);
        }
        order.sort_unstable_by(descending);
        let greatest = f64::from(*logits.get(*order.first()? as usize)?);
        let temperature = f64::from(self.options.temperature);
        let mut weights: Vec<f64> =
            order.iter().map(|i| ((f64::from(logits[*i as usize]) - greatest) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut kept = weights.iter().take_while(|w| **w >= f64::from(self.options.min_p)).count().max(1);
        let mut sum = 0.0;
        if self.options.top_p < 1.0 {
            let enough = weights.iter().position(|w| {
                sum += w / total;
                sum >= f64::from(self.options.top_p)
            });
            kept = kept.min(enough.map_or(kept, |i| i + 1));
        }
        weights.truncate(kept);
        let mut at = self.uniform() * weights.iter().sum::<f64>();
        let chosen = weights.iter().position(|w| {
            at -= w;
            at < 0.0
        });
        order.get(chosen.unwrap_or(kept - 1)).copied()
    }

    /// Uniform in [0, 1), from SplitMix64 (Steele, Lea and Flood, 2014).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The index of the largest value, the first on ties.
fn greedy(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (i, logit) in logits.iter().enumerate() {
        if best.map_or(!logit.is_nan(), |(_, b)| *logit > b) {
            best = Some((i, *logit));
        }
    }
    best.map(|(i, _)| i as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(options: Sampling) -> Sampler {
        Sampler::new(options).unwrap()
    }

    #[test]
    fn greedy_takes_the_first_greatest() {
        let mut s = sampler(Sampling::default());
        assert_eq!(s.sample(Logits::all(&[1.0, 3.0, 3.0, f32::NAN])), Some(1));
        assert_eq!(s.sample(Logits::all(&[])), None);
        assert_eq!(s.sample(Logits::all(&[f32::NAN])), None);
    }

    #[test]
    fn options_are_checked() {
        for bad in [
            Sampling { temperature: -1.0, ..Sampling::default() },
            Sampling { temperature: f32::NAN, ..Sampling::default() },
            Sampling { top_p: 1.5, ..Sampling::default() },
            Sampling { min_p: -0.1, ..Sampling::default() },
            Sampling { repeat_penalty: 0.0, ..Sampling::default() },
        ] {
            assert!(Sampler::new(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let logits = [0.0f32, 1.0, 2.0];
        let mut s = sampler(Sampling { temperature: 1.0, seed: 5, ..Sampling::default() });
        let mut counts = [0usize; 3];
        (0..20_000).for_each(|_| counts[s.sample(Logits::all(&logits)).unwrap() as usize] += 1);
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        for (logit, count) in logits.iter().zip(counts) {
            let expected = f64::from(*logit).exp() / total;
            assert!((count as f64 / 20_000.0 - expected).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn filters_keep_the_likely() {
        let logits = [0.0, 5.0, 4.9, 1.0];
        for options in [
            Sampling { top_k: 2, ..Sampling::default() },
            Sampling { top_p: 0.9, ..Sampling::default() },
            Sampling { min_p: 0.5, ..Sampling::default() },
        ] {
            let mut s = sampler(Sampling { temperature: 1.0, ..options });
            assert!((0..500).all(|_| matches!(s.sample(Logits::all(&logits)), Some(1 | 2))));
        }
    }

    /// The k largest of a vocabulary, as a model returns them.
    fn best(logits: &[f32], k: usize) -> (Vec<f32>, Vec<i32>) {
        let mut order: Vec<i32> = (0..logits.len() as i32).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        order.truncate(k);
        (order.iter().map(|i| logits[*i as usize]).collect(), order)
    }

    #[test]
    fn the_best_are_enough() {
        let drawn = Sampling { temperature: 0.7, top_k: 8, ..Sampling::default() };
        for options in [
            Sampling::default(),
            drawn.clone(),
            Sampling { top_p: 0.8, ..drawn.clone() },
            Sampling { top_p: 0.9, min_p: 0.2, seed: 3, ..drawn.clone() },
        ] {
            let (mut all, mut few) = (sampler(options.clone()), sampler(options.clone()));
            let k = all.candidates().unwrap();
            for step in 0..200 {
                // Multiples of a quarter, so that many are equal.
                let logits: Vec<f32> = (0..60).map(|i| ((i * 37 + step * 11) % 29) as f32 / 4.0).collect();
                let (values, ids) = best(&logits, k);
                let expected = all.sample(Logits::all(&logits));
                assert_eq!(few.sample(Logits { values: &values, ids: Some(&ids) }), expected, "{options:?}");
            }
        }
        for needs_all in [
            Sampling { top_k: 0, ..drawn.clone() },
            Sampling { top_k: 129, ..drawn.clone() },
            Sampling { repeat_penalty: 1.1, ..Sampling::default() },
        ] {
            assert_eq!(sampler(needs_all).candidates(), None);
        }
    }

    #[test]
    fn a_seed_repeats() {
        let draw = |seed| {
            let mut s = sampler(Sampling { temperature: 2.0, seed, ..Sampling::default() });
            (0..32).map(|_| s.sample(Logits::all(&[0.0; 50])).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn repeated_tokens_are_penalised() {
        let mut s = sampler(Sampling { repeat_penalty: 2.0, ..Sampling::default() });
        assert_eq!(s.sample(Logits::all(&[3.0, 2.0])), Some(0));
        s.see(0);
        assert_eq!(s.sample(Logits::all(&[3.0, 2.0])), Some(1));
    }
}
