#!/usr/bin/env python3
"""Opens an exported model with other programs: a Hugging Face folder with transformers, a GGUF file with the `gguf`
package and llama.cpp, and compares their tokens and logits with those of `kforge-run`.

    pip install gguf numpy torch transformers [llama-cpp-python]
    python3 scripts/check_export.py --kforge-run target/release/kforge-run MODEL [MODEL ...]

A MODEL is a folder or a .gguf file that `kforge-run export` has written. Where a folder and a file are one model, each
is held against `kforge-run` on the same path, and all `kforge-run` results against the first's. A logit may differ by
1e-3 of the largest: sums are taken in other orders. Where llama.cpp's library is not installed, that is said, and its
check left out. Exits with 1 where something differs. llama.cpp does not read a llama's sliding window: a Mistral of a
window that is shorter than the texts differs there.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TEXTS = [
    "Hello",
    "The quick brown fox, isn't it?",
    "  two spaces\n\n\ttab",
    "12345 is 5 digits",
    "Grüße aus Zürich, naïve café",
    "日本語 and 🙂",
]
# Blocks are multiplied with activations rounded to 8 bits by llama.cpp, with exact ones by the others.
TOLERANCE = {"transformers": 1e-3, "kforge-run": 1e-3, "llama.cpp": 3e-2}
failures = 0


def report(what, passed, detail):
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {what}: {detail}", flush=True)


def kforge(program, model, text):
    """Token ids of a text and the logits after it."""
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "logits.npy"
        command = [program, "generate", "--model", model, "--prompt", text, "--max-tokens", "1", "--json"]
        output = subprocess.run([*command, "--dump-logits", dump], check=True, capture_output=True, text=True).stdout
        return json.loads(output)["prompt_ids"], np.load(dump)[0].astype(np.float64)


def compare(name, text, reference, ids, logits):
    """Against `reference`, the ids and logits of kforge-run."""
    report(f"{name} ids of {text!r}", ids == reference[0], f"{len(ids)} tokens" if ids == reference[0] else f"{ids} are not {reference[0]}")
    if ids == reference[0]:
        error = np.abs(logits - reference[1]).max() / np.abs(reference[1]).max()
        bound = TOLERANCE[name.split()[0]]
        report(f"{name} logits of {text!r}", error <= bound, f"largest relative error {error:.1e}")


def with_transformers(folder, references):
    import torch
    import transformers

    model, loading = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    unknown = {key: sorted(keys) for key, keys in loading.items() if keys}
    report(f"transformers {transformers.__version__} loads {folder.name}", not unknown, f"{type(model).__name__}, {unknown or 'every weight'}")
    for text, reference in references.items():
        # kforge-run begins with the BOS token where the model wants one, and so does the tokenizer's post-processor.
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            logits = model.eval()(torch.tensor([ids])).logits[0, -1].double().numpy()
        compare("transformers", text, reference, ids, logits)


def with_gguf(file):
    import gguf

    reader = gguf.GGUFReader(file)
    architecture = reader.fields["general.architecture"].contents()
    rows = next(int(tensor.shape[1]) for tensor in reader.tensors if tensor.name == "token_embd.weight")
    tokens = len(reader.fields["tokenizer.ggml.tokens"].contents())
    report(f"gguf opens {file.name}", rows == tokens, f"{architecture}, {len(reader.tensors)} tensors, {rows} rows for {tokens} tokens")


def with_llama_cpp(file, references):
    try:
        from llama_cpp import Llama
    except ImportError as error:
        print(f"left out: llama.cpp opens {file.name}: {error}")
        return
    model = Llama(str(file), n_ctx=256, logits_all=True, verbose=False)
    for text, reference in references.items():
        ids = model.tokenize(text.encode(), add_bos=True, special=True)
        model.reset()
        model.eval(ids)
        compare("llama.cpp", text, reference, ids, np.array(model.scores[len(ids) - 1], dtype=np.float64))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kforge-run", default="kforge-run")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    args = parser.parse_args()
    first = None
    for model in args.models:
        references = {text: kforge(args.kforge_run, model, text) for text in TEXTS}
        first = first or references
        for text in TEXTS if first is not references else []:
            compare(f"kforge-run {model.name}", text, first[text], *references[text])
        if model.is_dir():
            with_transformers(model, references)
        else:
            with_gguf(model)
            with_llama_cpp(model, references)
    sys.exit(failures > 0)


main()
