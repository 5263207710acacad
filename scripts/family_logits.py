#!/usr/bin/env python3
"""Logits that transformers computes of a tiny model of each family, held in test/data/families/FAMILY.json.

    pip install numpy torch transformers
    python3 scripts/family_logits.py            compares with the files
    python3 scripts/family_logits.py --write    writes them

Weights follow from the seed, which is the tensor's number in the order of names: number i of the generator SplitMix64, as
a number in [-1, 1), is a quarter of element i of a matrix or a bias, and one is added to those of norms. A file holds the
configuration, names and shapes of the tensors as transformers has them, the tokens, and the logits after the last one.
`test/tests/compiled/families.rs` makes the same checkpoint and runs it.
"""
import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
import transformers

FOLDER = Path(__file__).resolve().parent.parent / "test/data/families"
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 260,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "initializer_range": 0.02,
}
# What is particular to a family, so that an error in it changes the logits: a window below the number of tokens, heads
# that are not hidden_size / num_attention_heads, biases.
FAMILIES = {
    "llama": {"attention_bias": True, "tie_word_embeddings": True, "rope_theta": 10000.0},
    "mistral": {"sliding_window": 5, "tie_word_embeddings": False, "rope_theta": 10000.0},
    "qwen2": {"tie_word_embeddings": False, "rope_theta": 1000000.0},
    "qwen3": {"head_dim": 32, "tie_word_embeddings": True, "rope_theta": 1000000.0},
    "gemma2": {
        "num_hidden_layers": 3, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 5, "hidden_act": None,
        "hidden_activation": "gelu_pytorch_tanh", "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0,
        "tie_word_embeddings": True, "rope_theta": 10000.0,
    },
    "gemma3_text": {
        "num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 5, "hidden_act": None,
        "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True, "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "granite": {
        "embedding_multiplier": 6.0, "residual_multiplier": 0.22, "attention_multiplier": 0.125, "logits_scaling": 4.0,
        "tie_word_embeddings": True, "rope_theta": 10000.0,
    },
    "olmo2": {"tie_word_embeddings": False, "rope_theta": 500000.0},
    "phi3": {"sliding_window": 5, "tie_word_embeddings": False, "rope_theta": 10000.0, "pad_token_id": None},
    # Half of a head is rotated, and the context is longer than the original one.
    "phi3-longrope": {
        "partial_rotary_factor": 0.5, "tie_word_embeddings": False, "rope_theta": 10000.0, "pad_token_id": None,
        "original_max_position_embeddings": 8,
        "rope_scaling": {
            "rope_type": "longrope", "short_factor": [1.0, 1.5, 2.0, 3.0], "long_factor": [1.0, 2.0, 5.0, 9.0],
        },
    },
    "qwen2-yarn": {
        "tie_word_embeddings": False, "rope_theta": 1000000.0,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    },
    "smollm3": {
        "num_hidden_layers": 5, "no_rope_layers": [1, 1, 1, 0, 1], "use_sliding_window": False,
        "tie_word_embeddings": True, "rope_theta": 5000000.0, "pad_token_id": None,
    },
    "starcoder2": {
        "hidden_act": "gelu_pytorch_tanh", "norm_epsilon": 1e-5, "rms_norm_eps": None, "sliding_window": 5,
        "use_bias": True, "tie_word_embeddings": True, "rope_theta": 100000.0,
    },
}
TOKENS = [(i * 7919 + 13) % SIZES["vocab_size"] for i in range(12)]


def signed(seed, count):
    """The first numbers of SplitMix64, each of 24 bits, in [-1, 1)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def model_of(family):
    config = transformers.AutoConfig.for_model(model_type(family), **config_of(family))
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    own = dict(model.named_parameters())
    for seed, name in enumerate(sorted(own)):
        values = np.float32(0.25) * signed(seed, own[name].numel())
        if own[name].dim() == 1 and not name.endswith(".bias"):
            values += np.float32(1)
        own[name].data.copy_(torch.from_numpy(values).view_as(own[name]))
    return model, own


def model_type(family):
    """A family, or FAMILY-VARIANT."""
    return family.split("-")[0]


def config_of(family):
    """The sizes and what is particular; a key that is None there is one that the family does not have."""
    # transformers adds to the dictionaries that it is given.
    sizes = copy.deepcopy(SIZES | FAMILIES[family])
    return {key: value for key, value in sizes.items() if value is not None or key == "pad_token_id"}


def record(family):
    model, own = model_of(family)
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0, -1]
    config = {"model_type": model_type(family), **{key: value for key, value in config_of(family).items() if value is not None}}
    return {
        "origin": f"scripts/family_logits.py, transformers {transformers.__version__}",
        "config": config,
        "tensors": {name: list(own[name].shape) for name in sorted(own)},
        "tokens": TOKENS,
        "logits": [float(f"{x:.8g}") for x in logits.tolist()],
    }


def text_of(value):
    """JSON with a line for each key, and long lists folded."""
    lines = [f"  {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    failed = False
    for family in FAMILIES:
        path = FOLDER / f"{family}.json"
        value = record(family)
        if write:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text_of(value))
            print(f"{path.name}: {path.stat().st_size} bytes")
            continue
        stored = json.loads(path.read_text())
        error = max(abs(a - b) for a, b in zip(value["logits"], stored["logits"], strict=True))
        same = all(stored[key] == value[key] for key in ("config", "tensors", "tokens"))
        failed |= error > 1e-4 or not same
        print(f"{family}: largest error {error:.1e}, {'the same' if same else 'ANOTHER'} model")
    raise SystemExit(failed)


main()
