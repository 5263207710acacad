//! Similarity of two texts.

use serde::Serialize;
use std::iter::zip;

/// Maximum words of each text for the similarity, whose time is the product of both lengths.
const WORDS: usize = 2048;

/// Agreement of two texts. Words are separated by white space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    pub identical: bool,
    /// Equal characters before the first difference.
    pub characters: usize,
    /// Equal words before the first word that differs.
    pub words: usize,
    /// `1 - d / n`: `d` the Levenshtein distance between the sequences of words, `n` the length of the longer one; 1
    /// where both are empty. Of the first 2048 words.
    pub similarity: f64,
}

/// Compares two texts.
pub fn agreement(a: &str, b: &str) -> Agreement {
    Agreement {
        identical: a == b,
        characters: zip(a.chars(), b.chars()).take_while(|(a, b)| a == b).count(),
        words: zip(a.split_whitespace(), b.split_whitespace()).take_while(|(a, b)| a == b).count(),
        similarity: similarity(a, b),
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    let [a, b] = [a, b].map(|text| text.split_whitespace().take(WORDS).collect::<Vec<_>>());
    match a.len().max(b.len()) {
        0 => 1.0,
        longer => 1.0 - strsim::generic_levenshtein(&a, &b) as f64 / longer as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_counts_characters_words_and_edits() {
        for (a, b, characters, words, similarity) in [
            ("", "", 0, 0, 1.0),
            ("", "a", 0, 0, 0.0),
            ("a b", "a b", 3, 2, 1.0),
            ("a b", "a  b", 2, 2, 1.0),
            ("a b c d", "a b x d", 4, 2, 0.75),
            ("a b c d", "b c d", 0, 0, 0.75),
            ("one two", "one twofold", 7, 1, 0.5),
            ("naïve é", "naïve è", 6, 1, 0.5),
            ("a b", "c d", 0, 0, 0.0),
        ] {
            let expected = Agreement { identical: a == b, characters, words, similarity };
            assert_eq!(agreement(a, b), expected, "{a:?} {b:?}");
            assert_eq!(agreement(b, a), expected, "{b:?} {a:?}");
        }
    }

    #[test]
    fn the_similarity_looks_at_a_bounded_number_of_words() {
        let long = "a ".repeat(WORDS);
        let longer = format!("{long}b c");
        let found = agreement(&long, &longer);
        assert_eq!((found.words, found.similarity, found.identical), (WORDS, 1.0, false));
    }
}
