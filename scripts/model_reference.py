#!/usr/bin/env python3
"""Reference results of a GGUF model for `kforge-run verify`: transformers, in f64, on the file's dequantised weights.

    pip install torch transformers gguf
    python3 scripts/model_reference.py MODEL.gguf > test/data/MODEL.json

For each prompt: its tokens, every `logit_stride`-th logit after it, 64 greedy tokens with the gap between the two best logits of
each, and the mean negative log-likelihood of the prompt's tokens. The tokens are transformers' own.
"""
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a land far away,",
    "def fibonacci(n):\n    ",
    "Water boils at 100 degrees",
    "The three laws of thermodynamics are",
    "Die Würde des Menschen ist",
    "1, 2, 3, 5, 8, 13,",
    "Q: Why is the sky blue?\nA:",
]
STEPS = 64
LOGITS = 256


def row(model, tokenizer, prompt):
    ids = tokenizer(prompt).input_ids
    out = model(torch.tensor([ids]), use_cache=True)
    logits = out.logits[0]
    likelihood = logits[:-1].log_softmax(-1)
    nll = -likelihood[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].mean()
    last, greedy, gap = logits[-1], [], []
    stride = last.numel() // LOGITS + 1
    sample = [float(f"{x:.6g}") for x in last[::stride].tolist()]
    for _ in range(STEPS):
        best = last.topk(2)
        greedy.append(int(best.indices[0]))
        gap.append(float(f"{best.values[0] - best.values[1]:.4g}"))
        out = model(torch.tensor([[greedy[-1]]]), past_key_values=out.past_key_values, use_cache=True)
        last = out.logits[0, -1]
    return {"prompt": prompt, "ids": ids, "logit_stride": stride, "logits": sample, "greedy": greedy, "gap": gap,
            "nll": float(f"{nll:.8g}")}


def main():
    path = Path(sys.argv[1])
    load = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    model = AutoModelForCausalLM.from_pretrained(**load, dtype=torch.float64).eval()
    tokenizer = AutoTokenizer.from_pretrained(**load)
    with torch.no_grad():
        rows = [row(model, tokenizer, prompt) for prompt in PROMPTS]
    print("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]")


main()
