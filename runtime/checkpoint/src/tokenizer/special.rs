//! Tokens that are special by their text, regardless of their type in a file.
//!
//! Converters get types wrong: a `<|im_end|>` typed as ordinary text would be cut into pieces in a prompt, and would
//! not end a turn. llama.cpp (`llama-vocab.cpp`) and transformers (`integrations/ggml.py`) use the text, and so does
//! this module.

use std::collections::HashSet;

/// Tokens that end a turn or a text.
const ENDS: &[&str] = &[
    "</s>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    // Of gpt-oss.
    "<|return|>",
    "<|call|>",
    // Of Solar.
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    // Of Gemma 4.
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<end_of_utterance>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "[e~[",
    // After code that was filled in: padding, and the next file or repository.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Special tokens that end nothing: what begins a turn, and what surrounds code to be filled in.
const OTHERS: &[&str] = &[
    "<|im_start|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|python_tag|>",
    "<start_of_turn>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<\u{ff5c}begin\u{2581}of\u{2581}sentence\u{ff5c}>",
    "<\u{ff5c}User\u{ff5c}>",
    "<\u{ff5c}Assistant\u{ff5c}>",
    "[INST]",
    "[/INST]",
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<\u{ff5c}fim\u{2581}begin\u{ff5c}>",
    "<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<\u{ff5c}fim\u{2581}hole\u{ff5c}>",
    "<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<\u{ff5c}fim\u{2581}end\u{ff5c}>",
    "<MID>",
    "<|code_middle|>",
    "<|middle|>",
];

/// Whether a token of this text is special in every vocabulary that we know.
pub(crate) fn is_special(text: &str) -> bool {
    // How each of them starts: a whole vocabulary is asked, and most of it is words.
    text.starts_with(['<', '[', '_']) && (ENDS.contains(&text) || OTHERS.contains(&text))
}

/// The tokens that end a turn by their text, of those for which `has` holds.
pub(crate) fn ends(has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut ends: Vec<&str> = ENDS.iter().copied().filter(|text| has(text)).collect();
    let present: HashSet<&str> = ends.iter().copied().collect();
    let all = |texts: &[&str]| texts.iter().all(|text| present.contains(text));
    // In gpt-oss and Solar this ends a part of an answer, in Gemma 4 and its like nothing.
    if all(&["<|return|>", "<|call|>"]) || all(&["<|return|>", "<|calls|>"]) || all(&["<|flush|>", "<|calls|>"]) {
        ends.retain(|text| *text != "<|end|>");
    }
    if all(&["<|tool_response>"]) {
        ends.retain(|text| *text != "</s>");
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_ends_are_none_beside_others() {
        let among = |texts: &[&str]| ends(|text| texts.contains(&text));
        assert_eq!(among(&["<|end|>", "<|im_end|>", "x"]), ["<|im_end|>", "<|end|>"]);
        assert_eq!(among(&["<|end|>", "<|return|>", "<|call|>"]), ["<|return|>", "<|call|>"]);
        assert_eq!(among(&["</s>", "<|tool_response>"]), ["<|tool_response>"]);
        assert!(ENDS.iter().chain(OTHERS).all(|text| is_special(text)) && !is_special("im_start"));
    }
}
