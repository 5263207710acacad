//! GPT-2's mapping of bytes to characters: printable ones map to themselves, the others to U+0100 onward.
//!
//! Source: `bytes_to_unicode` in openai/gpt-2, `encoder.py`.

/// The character that stands for a byte in the tokens of a byte-level vocabulary.
pub(crate) fn char_of(byte: u8) -> char {
    if is_printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !is_printable(*byte)).count() as u32;
    // There are 68 unprintable bytes, so this is below U+0144.
    char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn it_is_the_tokenizers_crates_alphabet() {
        let ours: HashSet<char> = (0..=u8::MAX).map(char_of).collect();
        assert_eq!(ours, ByteLevel::alphabet().into_iter().collect());
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(b'a'), char_of(0xad)), ('Ġ', 'Ċ', 'a', 'Ń'));
    }
}
