//! Pre-tokenizers by their name in GGUF's `tokenizer.ggml.pre`: how a text is split before merges apply.
//!
//! The names, and which of them are the same, are those of llama.cpp's `llama-vocab.cpp`. A pattern is that of the
//! model's own tokenizer.json where llama.cpp quotes it, else llama.cpp's. Several patterns apply one after another:
//! each splits the pieces left by the previous one, both its matches and the text between them.

use crate::Error;
use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

/// A pre-tokenizer, and what goes with it in the models that use it.
pub(super) struct Pre {
    pub pre_tokenizer: PreTokenizerWrapper,
    pub normalizer: Option<NFC>,
    /// A piece that is a token is taken whole, without merging up to it.
    pub ignore_merges: bool,
    /// Whether a text begins with a BOS token where the metadata does not say.
    pub add_bos: bool,
}

struct Row {
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    nfc: bool,
    ignore_merges: bool,
    add_bos: bool,
}

const PLAIN: Row = Row { names: &[], patterns: &[], nfc: false, ignore_merges: false, add_bos: false };

/// From openai/gpt-2, `encoder.py`.
pub(crate) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
pub(crate) const DIGIT: &str = r"\p{N}";
const THREE_DIGITS: &str = r"[0-9][0-9][0-9]";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's with single digits.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's, where marks belong to letters.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3_HAN: &str = r"[一-龥぀-ゟ゠-ヿ]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const DEEPSEEK_HAN: &str = r"[一-龥ࠀ-一가-퟿]+";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

const ROWS: &[Row] = &[
    Row { names: &["default"], patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", THREE_DIGITS], ..PLAIN },
    Row {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "jais",
            "exaone4",
            "trillion",
            "granite-docling",
        ],
        patterns: &[GPT2],
        ..PLAIN
    },
    // These normalise, as GPT-NeoX does.
    Row { names: &["mpt", "olmo"], patterns: &[GPT2], nfc: true, ..PLAIN },
    Row {
        names: &["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"],
        patterns: &[DIGIT, GPT2],
        ..PLAIN
    },
    Row { names: &["command-r"], patterns: &[DIGIT, GPT2], nfc: true, ..PLAIN },
    Row { names: &["falcon"], patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, THREE_DIGITS], ..PLAIN },
    Row {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        patterns: &[LLAMA3],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Row { names: &["glm4", "glm5"], patterns: &[LLAMA3], ignore_merges: true, ..PLAIN },
    Row { names: &["dbrx", "smaug-bpe", "chatglm-bpe"], patterns: &[LLAMA3], ..PLAIN },
    Row {
        names: &["jais-2"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
        ],
        ..PLAIN
    },
    Row {
        names: &["minicpm5"],
        patterns: &[
            r"\p{N}{1,3}",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ignore_merges: true,
        ..PLAIN
    },
    Row { names: &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"], patterns: &[QWEN2], nfc: true, ..PLAIN },
    Row { names: &["stablelm2", "hunyuan", "solar-open", "grok-2"], patterns: &[QWEN2], ..PLAIN },
    Row { names: &["qwen35"], patterns: &[QWEN35], nfc: true, ..PLAIN },
    Row { names: &["laguna"], patterns: &[r"[^\n]+|[\n]+", QWEN2], ..PLAIN },
    // Qwen 2's without English contractions, so that a Turkish suffix stays with its apostrophe.
    Row {
        names: &["ufakzeka"],
        patterns: &[r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
        ..PLAIN
    },
    Row {
        names: &["bailingmoe", "bailingmoe2", "llada-moe"],
        patterns: &[
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
        ..PLAIN
    },
    Row {
        names: &["seed-coder"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ..PLAIN
    },
    Row {
        names: &["exaone-moe"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
        ..PLAIN
    },
    Row { names: &["tekken"], patterns: &[TEKKEN], ignore_merges: true, add_bos: true, ..PLAIN },
    Row { names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], patterns: &[GPT4O], ..PLAIN },
    Row { names: &["granite-embed-multi-97m"], patterns: &[GPT4O], ignore_merges: true, ..PLAIN },
    Row { names: &["tiny_aya", "cohere2moe"], patterns: &[r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O], ..PLAIN },
    Row {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        patterns: &[r"\p{N}{1,3}", DEEPSEEK3_HAN, DEEPSEEK3],
        ..PLAIN
    },
    Row {
        names: &["spark2_5"],
        patterns: &[
            r"\p{N}{1,3}",
            DEEPSEEK3_HAN,
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##,
            DIGIT,
        ],
        ..PLAIN
    },
    Row {
        names: &["youtu"],
        patterns: &[
            r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ignore_merges: true,
        ..PLAIN
    },
    Row {
        names: &["deepseek-coder"],
        patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_HAN, DIGIT],
        ..PLAIN
    },
    // From moonshotai/Kimi-K2-Instruct, `tokenization_kimi.py`: GPT-4o's, with runs of Han characters apart.
    Row {
        names: &["kimi-k2"],
        patterns: &[
            r"\p{Han}+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        ..PLAIN
    },
    Row { names: &["bloom", "poro-chat", "gpt3-finnish"], patterns: &[BLOOM], ..PLAIN },
    Row { names: &["viking"], patterns: &[BLOOM, DIGIT], ..PLAIN },
    Row { names: &["superbpe"], patterns: &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"], ..PLAIN },
    Row {
        names: &["chameleon"],
        patterns: &[
            r"<sentinel:[0-9]+>",
            r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            r"([\t\n]|    |  )",
            DIGIT,
            r"[\p{P}!-/:-@\[-`{-~]",
            GPT2,
        ],
        add_bos: true,
        ..PLAIN
    },
];

/// Names that llama.cpp knows and we do not compute, and why.
const REFUSED: &[(&str, &str)] = &[
    ("deepseek-llm", LISTED_LETTERS),
    ("afmoe", "llama.cpp cuts its digits by a program, not by a pattern"),
    ("gemma4", RAW_UTF8),
    ("granite-embed-multi-311m", RAW_UTF8),
    ("sarvam-moe", RAW_UTF8),
    ("whitespace", RAW_UTF8),
];
const LISTED_LETTERS: &str = "its pattern lists the letters of one version of Unicode";
const RAW_UTF8: &str = "its tokens are UTF-8 text with ▁ for spaces, not bytes of GPT-2's alphabet";

/// # Errors
/// If the name is unknown, or of a pre-tokenizer that we do not compute.
pub(super) fn by_name(name: &str) -> Result<Pre, Error> {
    let place = "metadata `tokenizer.ggml.pre`";
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        let cause = format!(
            "pre-tokenizer `{name}` is not supported: {reason}; open the original safetensors directory with its \
             tokenizer.json"
        );
        return Err(Error::invalid(place, cause));
    }
    let Some(row) = ROWS.iter().find(|row| row.names.contains(&name)) else {
        let cause = format!(
            "pre-tokenizer `{name}` is unknown; another one would cut texts into wrong tokens. Open the original \
             safetensors directory with its tokenizer.json, or convert it again"
        );
        return Err(Error::invalid(place, cause));
    };
    let splits = row.patterns.iter().map(|pattern| {
        let split = Split::new(SplitPattern::Regex((*pattern).to_owned()), Isolated, false);
        Ok(split.map_err(|error| Error::Tokenizer(error.to_string()))?.into())
    });
    let mut sequence = splits.collect::<Result<Vec<PreTokenizerWrapper>, Error>>()?;
    // Bytes as characters.
    sequence.push(ByteLevel::new(false, true, false).into());
    Ok(Pre {
        pre_tokenizer: Sequence::new(sequence).into(),
        normalizer: row.nfc.then_some(NFC),
        ignore_merges: row.ignore_merges,
        add_bos: row.add_bos,
    })
}

/// A name of the pre-tokenizer with these patterns, normalisation and merging.
pub(crate) fn name_of(patterns: &[&str], nfc: bool, ignore_merges: bool) -> Option<&'static str> {
    let row =
        ROWS.iter().find(|row| row.patterns == patterns && row.nfc == nfc && row.ignore_merges == ignore_merges)?;
    row.names.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    /// Every name in llama.cpp's `llama-vocab.cpp`.
    const KNOWN: &str = "default minicpm5 llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano \
        deepseek-llm deepseek-coder deepseek-v3 spark2_5 youtu falcon mpt starcoder gpt-2 phi-2 jina-es jina-de gigachat \
        jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jais-2 gemma4 granite-embed-multi-311m sarvam-moe jina-v1-en \
        jina-v2-code roberta-bpe whitespace refact command-r qwen2 deepseek-r1-qwen kormo f2llmv2 qwen35 stablelm2 olmo dbrx \
        smaug-bpe poro-chat glm4 glm5 chatglm-bpe viking jais tekken smollm codeshell bloom gpt3-finnish exaone exaone4 exaone-moe \
        chameleon minerva-7b megrez gpt-4o llama4 kanana2 talkie granite-embed-multi-97m tiny_aya cohere2moe superbpe \
        trillion granite-docling bailingmoe bailingmoe2 llada-moe seed-coder hunyuan hunyuan-dense hy_v4 joyai-llm kimi-k2 \
        ufakzeka grok-2 afmoe laguna minimax-m2 solar-open mellum2";

    fn cut(name: &str, text: &str) -> Vec<String> {
        let pre = by_name(name).unwrap();
        let mut pieces = PreTokenizedString::from(text);
        pre.pre_tokenizer.pre_tokenize(&mut pieces).unwrap();
        let ranges = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        ranges.into_iter().map(|(_, (start, end), _)| text[start..end].to_owned()).collect()
    }

    #[test]
    fn each_known_name_is_a_pattern_or_refused_by_name() {
        let known: HashSet<&str> = KNOWN.split_whitespace().collect();
        let rows: Vec<&str> =
            ROWS.iter().flat_map(|row| row.names).chain(REFUSED.iter().map(|(name, _)| name)).copied().collect();
        assert_eq!(rows.len(), known.len(), "a name is twice in the table, or not at all");
        assert_eq!(rows.into_iter().collect::<HashSet<_>>(), known);
        for name in known {
            match by_name(name) {
                // Every pattern is one that the regex engine takes, and loses nothing.
                Ok(_) => {
                    let text = "It's 12345 Ünï\u{308}  x\t\n\n日本語 </s>, \u{1f680}!\r\n  ";
                    assert_eq!(cut(name, text).concat(), text, "{name}");
                }
                Err(error) => assert!(error.to_string().contains(&format!("`{name}` is not supported: ")), "{error}"),
            }
        }
    }

    #[test]
    fn an_unknown_name_is_not_taken_for_another() {
        let error = by_name("gpt-2 ").err().unwrap().to_string();
        assert!(error.starts_with("metadata `tokenizer.ggml.pre`: pre-tokenizer `gpt-2 ` is unknown;"), "{error}");
    }

    /// Cuts that tell the patterns apart, one `|` between pieces.
    #[test]
    fn texts_are_cut_as_the_patterns_say() {
        let expected = [
            ("gpt-2", "I|'ll| pay|  | 12345|!|\n|\n|x"),
            ("default", "a|+|b| |123|45|,"),
            ("smollm", "ab| |1|2|3|4|'s"),
            ("starcoder", "x|1|2"),
            ("falcon", "a|`|b| |123|4"),
            ("llama-bpe", "I|'LL| pay|   | |123|45|!\n\n|x"),
            ("qwen2", "I|'LL| pay| |1|2|.\n"),
            ("qwen35", "ne\u{301}e| |1"),
            ("qwen2", "ne|\u{301}e| |1"),
            ("tekken", "Hello|World| |1|2|,/"),
            ("gpt-4o", "Hello|World's| |123|4|,/"),
            ("tiny_aya", "1|234|567| x"),
            ("deepseek-v3", "123|45|日本語|x|,y| =\n"),
            ("deepseek-coder", "\n| ab|,|漢字|1|2"),
            ("kimi-k2", "漢字|abc| Def|123|4"),
            ("bloom", "a| b|, (|c"),
            ("viking", "a|1|2"),
            ("superbpe", "x|12|345|678"),
            ("chameleon", "IMGIMGABZ|<|sentinel|:|1|2|>|  | a|!|!"),
            ("bailingmoe", "it|'LL| x|\n\n"),
            ("seed-coder", "x| ,|\n\n"),
            ("ufakzeka", "Ali|'ye| |1"),
            ("exaone-moe", "a b c| |1|2"),
            ("youtu", "한국|、|漢字|Abc's| |1"),
            ("minicpm5", "123|45| x"),
            ("jais-2", "a|    | b"),
            ("laguna", "a|\n\n|b"),
        ];
        let cuts = expected.map(|(name, pieces)| (name, cut(name, &pieces.replace('|', "")).join("|")));
        assert_eq!(cuts, expected.map(|(name, pieces)| (name, pieces.to_owned())));
    }
}
