"""Makes small vocabularies of each kind, and the tokens of texts.json by the tokenizers that KernelForge's must equal.

    python make.py --train      trains the vocabularies, and writes NAME.json: GGUF metadata, expected ids and decoded texts
    python make.py              keeps the vocabularies of NAME.json, and compares their ids with the tokenizers' again
    python make.py --llama-cpp  also compares them with llama.cpp's ids, and prints where they differ

    pip install sentencepiece tokenizers transformers protobuf gguf; llama-cpp-python for --llama-cpp

The ids are those of the `tokenizers` library, set up as transformers does for each kind. With --train those of SentencePiece
vocabularies are also compared with the sentencepiece library's, for texts without special tokens, which it does not find in a
text. It differs in texts that have two segmentations of equal score, that spell a token of a byte or of a run of U+2581, that
have a user-defined token, after which it puts no space, and for `mistral` that begin with a space, before which it puts
another. llama.cpp puts a space after every special token of `mistral` too, has no byte fallback for unigram, applies no NFC
for `qwen2`, and takes other characters for accents than BERT's normalizer.
"""

import argparse
import io
import json
import pathlib
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers.tokenization_utils_base import generate_merges

FOLDER = pathlib.Path(__file__).resolve().parent
TEXTS = json.loads((FOLDER / "texts.json").read_text())
# The licence is English; most characters of the texts are rare beside it, and have no token.
CORPUS = 8 * (FOLDER.parents[4] / "LICENSE").read_text().splitlines() + [text for text in TEXTS if "<" not in text]
SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPECIAL = (UNKNOWN, CONTROL, USER_DEFINED)
# GGUF's keys, without `tokenizer.ggml.`: the kinds as llama.cpp's converter writes them.
PARTS = {
    "llama": {
        "train": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"},
        "keys": {"model": "llama", "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0},
    },
    # Mistral 0.3: the space is put before a text, and not after a special token.
    "mistral": {
        "train": {
            "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
            "control_symbols": ["[INST]", "[/INST]"],
        },
        "keys": {
            "model": "llama", "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0, "add_bos_token": True,
            "add_eos_token": False, "add_space_prefix": True,
        },
    },
    # Runs of spaces and newlines are tokens; nothing is put before a text.
    "gemma": {
        "train": {
            "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "add_dummy_prefix": False,
            "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "control_symbols": ["<start_of_turn>", "<end_of_turn>"],
            "user_defined_symbols": ["<h1>", "</h1>", "\t"] + ["\n" * n for n in range(1, 9)]
            + [SPACE * n for n in range(2, 9)],
        },
        "keys": {
            "model": "llama", "bos_token_id": 2, "eos_token_id": 1, "unknown_token_id": 3, "padding_token_id": 0,
            "add_bos_token": True, "add_eos_token": False, "add_space_prefix": False,
        },
    },
    "t5": {
        "train": {
            "model_type": "unigram", "normalization_rule_tsv": "RULES", "remove_extra_whitespaces": True,
            "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "control_symbols": ["<extra_id_0>", "<extra_id_1>"],
        },
        "keys": {
            "model": "t5", "eos_token_id": 1, "unknown_token_id": 2, "padding_token_id": 0, "add_space_prefix": True,
            "remove_extra_whitespaces": True,
        },
    },
    "unigram": {
        "train": {
            "model_type": "unigram", "byte_fallback": True, "normalization_rule_name": "identity",
            "user_defined_symbols": ["<h1>"],
        },
        "keys": {
            "model": "t5", "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0, "add_bos_token": True,
            "add_space_prefix": True, "remove_extra_whitespaces": False,
        },
    },
    "bert": {"train": {"lowercase": True}, "keys": {"model": "bert"}},
    "bert-cased": {
        "train": {"lowercase": False},
        "keys": {"model": "bert", "normalizer.lowercase": False, "normalizer.strip_accents": False},
    },
    "gpt2": {"train": {}, "keys": {"model": "gpt2"}},
}
# Replaced characters of the table of `t5`, in place of NFKC's, which has 240 KB.
RULES = {"\ufb01": "fi", "\t": " ", "\n": " ", "\r": " ", "\u3000": " ", "\u00a0": " ", "\u2460": "1", "\uff26": "F",
         "e\u0301": "\u00e9", "\u200b": "", "\u007f": ""}

CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
WORDS = (rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+END|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*END|NUMBER"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


DIGITS = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])
# Pre-tokenizers by their name in GGUF: as in tokenizer.json, whether it normalises to NFC, whether it ignores merges.
PRE = {
    "gpt-2": (GPT2, False, False),  # GPT-2
    "smollm": (DIGITS, False, False),  # SmolLM 2
    "starcoder": (DIGITS, False, False),  # StarCoder 2
    "refact": (DIGITS, False, False),  # Granite 3.3
    "llama-bpe": (split(LLAMA3), False, True),  # Llama 3.2
    "falcon3": (split(LLAMA3), False, True),  # Falcon 3
    "smaug-bpe": (split(LLAMA3), False, False),  # SmolLM 3
    "dbrx": (split(LLAMA3), False, False),  # OLMo 2
    "qwen2": (split(LLAMA3.replace("{1,3}", "")), True, False),  # Qwen 2.5 and 3
    "tekken": (split(WORDS.replace("END", "").replace("NUMBER", r"\p{N}")), False, True),  # Mistral Nemo
    "gpt-4o": (split(WORDS.replace("END", CONTRACTION + "?").replace("NUMBER", r"\p{N}{1,3}")), False, False),  # Phi 4 mini
}


def train_sentencepiece(options):
    options = {"vocab_size": 800, "character_coverage": 0.98, "hard_vocab_limit": False, "minloglevel": 2,
               "remove_extra_whitespaces": False, "num_threads": 1, **options}
    with tempfile.TemporaryDirectory() as folder:
        if options.get("normalization_rule_tsv"):
            options["normalization_rule_tsv"] = str(pathlib.Path(folder, "rules.tsv"))
            points = lambda text: " ".join(f"{ord(char):04X}" for char in text)
            lines = [f"{points(a)}\t{points(b)}\n" for a, b in RULES.items()]
            pathlib.Path(options["normalization_rule_tsv"]).write_text("".join(lines))
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, **options)
    return model.getvalue()


def proto_of(model):
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    return proto


def convert_sentencepiece(proto, keys):
    """Metadata as llama.cpp's converter writes it; a user-defined token has its spaces as spaces."""
    spell = lambda piece: piece.piece.replace(SPACE, " ") if piece.type == USER_DEFINED else piece.piece
    keys = dict(keys, tokens=[spell(piece) for piece in proto.pieces], scores=[piece.score for piece in proto.pieces],
                token_type=[piece.type for piece in proto.pieces])
    if proto.normalizer_spec.precompiled_charsmap:
        keys["precompiled_charsmap"] = list(proto.normalizer_spec.precompiled_charsmap)
    return keys


def train_wordpiece(options, keys):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=options["lowercase"])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, limit_alphabet=320, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    vocab = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    phantom = lambda token: token[2:] if token.startswith("##") else SPACE + token
    return dict(keys, tokens=[token if token in special else phantom(token) for token in vocab],
                token_type=[CONTROL if token in special else NORMAL for token in vocab],
                padding_token_id=0, unknown_token_id=1, cls_token_id=2, seperator_token_id=3, mask_token_id=4)


def train_byte_level(keys):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = GPT2
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    # Longer pieces than GPT-2's, so that the pre-tokenizers differ in their tokens.
    tokenizer.train_from_iterator(CORPUS + ["'LL'VE 123 12345.\n\n", "!\n\n", "  \n\n", " 's't", "iPhone", "//\n"] * 9, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    # A token that no merge leads to: found only by those that ignore merges.
    vocab.append("camel")
    return dict(keys, tokens=vocab, token_type=[CONTROL if token in special else NORMAL for token in vocab],
                merges=[" ".join(merge) for merge in model["merges"]], bos_token_id=0, eos_token_id=0)


def build(keys, pre="gpt-2"):
    """The tokenizer of the metadata, as transformers sets it up."""
    tokens, types = keys["tokens"], keys["token_type"]
    if keys["model"] == "bert":
        plain = lambda token: token[1:] if token.startswith(SPACE) and token != SPACE else "##" + token
        tokens = [token if ty == CONTROL else plain(token) for token, ty in zip(tokens, types)]
    ids = {token: id for id, token in enumerate(tokens)}
    added = [AddedToken(token, special=True, normalized=False) for token, ty in zip(tokens, types) if ty in SPECIAL]
    if keys["model"] == "gpt2":
        pre_tokenizer, nfc, ignore_merges = PRE[pre]
        merges = [tuple(merge.split(" ")) for merge in keys["merges"]]
        tokenizer = Tokenizer(models.BPE(ids, merges, ignore_merges=ignore_merges))
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = decoders.ByteLevel()
        if nfc:
            tokenizer.normalizer = normalizers.NFC()
    elif keys["model"] == "bert":
        # BertConverter of transformers' convert_slow_tokenizer.py.
        lowercase = keys.get("normalizer.lowercase", True)
        tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
    else:
        # SpmConverter, and LlamaConverter's normalizer and decoder.
        unknown = keys["unknown_token_id"]
        bytes_ = "<0x00>" in ids
        prefix = keys.get("add_space_prefix", True)
        if keys["model"] == "llama":
            scores = {token: score for token, score, ty in zip(tokens, keys["scores"], types)}
            merges = generate_merges(ids, scores, [token for token, ty in zip(tokens, types) if ty != NORMAL])
            model = models.BPE(ids, merges, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=bytes_)
        else:
            # sentencepiece takes the score of an unknown character from the normal tokens alone.
            least = min(score for score, ty in zip(keys["scores"], types) if ty == NORMAL)
            scored = [(token, score if ty == NORMAL else least) for token, score, ty in zip(tokens, keys["scores"], types)]
            model = models.Unigram(scored, unk_id=unknown, byte_fallback=bytes_)
        tokenizer = Tokenizer(model)
        steps = []
        if "precompiled_charsmap" in keys:
            steps.append(normalizers.Precompiled(bytes(keys["precompiled_charsmap"])))
        if keys.get("remove_extra_whitespaces", False):
            steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
        if "[INST]" in ids:
            # LlamaTokenizer, unless it is `legacy`.
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first", split=False)
        elif prefix:
            steps.append(normalizers.Prepend(SPACE))
        tokenizer.normalizer = normalizers.Sequence(steps + [normalizers.Replace(" ", SPACE)])
        strip = [decoders.Strip(" ", 1, 0)] if prefix else []
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    tokenizer.add_special_tokens(added)
    return tokenizer


def compare(name, what, expected, found):
    """Prints the texts of which another tokenizer has other ids."""
    different = [i for i, (a, b) in enumerate(zip(expected, found)) if b is not None and a != b]
    of = sum(b is not None for b in found)
    print(f"{name}: {what} agrees in {of - len(different)} of {of} texts")
    for i in different:
        print(f"  {i} {TEXTS[i]!r}\n    expected {expected[i]}\n    {what} {found[i]}")


def llama_cpp_ids(keys, pre=None):
    import gguf
    import llama_cpp

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/vocabulary.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tokenizer_pre(pre or "default")
        for key, value in keys.items():
            key = f"tokenizer.ggml.{key}"
            if key.endswith("precompiled_charsmap"):
                writer.add_key_value(key, bytes(value), gguf.GGUFValueType.ARRAY, sub_type=gguf.GGUFValueType.UINT8)
            elif isinstance(value, bool):
                writer.add_bool(key, value)
            elif isinstance(value, int):
                writer.add_uint32(key, value)
            elif isinstance(value, str):
                writer.add_string(key, value)
            else:
                writer.add_array(key, value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
        return [model.tokenize(text.encode(), add_bos=False, special=True) for text in TEXTS]


def lines(expected):
    """JSON with a line for each key of the metadata, text and pre-tokenizer."""
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    parts = []
    for key, value in expected.items():
        if isinstance(value, dict):
            rows, ends = [f"{dump(name)}:{dump(row)}" for name, row in value.items()], "{}"
        else:
            rows, ends = [dump(row) for row in value], "[]"
        parts.append(f"{dump(key)}:{ends[0]}\n" + ",\n".join(rows) + f"\n{ends[1]}")
    return "{" + ",".join(parts) + "}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--llama-cpp", action="store_true")
    arguments = parser.parse_args()
    failed = False
    for name, parts in PARTS.items():
        path = FOLDER / f"{name}.json"
        spm = None
        if arguments.train:
            if parts["keys"]["model"] == "bert":
                keys = train_wordpiece(parts["train"], parts["keys"])
            elif parts["keys"]["model"] == "gpt2":
                keys = train_byte_level(parts["keys"])
            else:
                spm = train_sentencepiece(parts["train"])
                keys = convert_sentencepiece(proto_of(spm), parts["keys"])
        else:
            keys = json.loads(path.read_text())["metadata"]
        tokenizer = build(keys)
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        expected = {"metadata": keys, "ids": ids,
                    "decoded": [tokenizer.decode(row, skip_special_tokens=False) for row in ids]}
        if name == "gpt2":
            others = {pre: build(keys, pre) for pre in PRE}
            rows = {pre: [t.encode(text, add_special_tokens=False).ids for text in TEXTS] for pre, t in others.items()}
            # By pre-tokenizer, the texts whose ids are not GPT-2's.
            expected["pre"] = {pre: {i: row for i, row in enumerate(rows[pre]) if row != ids[i]} for pre in PRE}
        if spm:
            processor = sentencepiece.SentencePieceProcessor(model_proto=spm)
            special = [token for token, ty in zip(keys["tokens"], keys["token_type"]) if ty in (CONTROL, UNKNOWN)]
            found = [None if any(token in text for token in special) else processor.encode(text) for text in TEXTS]
            compare(name, "sentencepiece", ids, found)
        if arguments.llama_cpp:
            for pre in PRE if name == "gpt2" else [None]:
                compare(pre or name, "llama.cpp", rows[pre] if pre else ids, llama_cpp_ids(keys, pre))
        if arguments.train:
            path.write_text(lines(expected))
        elif json.loads(path.read_text()) != json.loads(lines(expected)):
            print(f"{name}.json has other ids or texts")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
