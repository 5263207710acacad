#!/usr/bin/env python3
"""Writes gguf_py.json: random blocks of each format, and their weights as gguf-py dequantises them.

    pip install gguf==0.19.0
    dialect/quant/tests/gguf_py.py Q4_0 Q4_1 ... > dialect/quant/tests/gguf_py.json

The arguments are names of GGMLQuantizationType. Weights are the bytes of little-endian f32."""
import json
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

BLOCKS = 4


def blocks(ty, random):
    """Bytes whose weights are all finite."""
    while True:
        data = random.integers(0, 256, GGML_QUANT_SIZES[ty][1], dtype=np.uint8)
        with np.errstate(all="ignore"):
            if np.isfinite(dequantize(data, ty)).all():
                return data


rows = {}
for name in sys.argv[1:]:
    ty = GGMLQuantizationType[name]
    random = np.random.default_rng(int(ty))
    count = BLOCKS if GGML_QUANT_SIZES[ty][0] == 32 else 1
    data = np.concatenate([blocks(ty, random) for _ in range(count)])
    weights = dequantize(data, ty).astype("<f4")
    rows[name.lower()] = {"blocks": data.tobytes().hex(), "weights": weights.tobytes().hex()}
json.dump(rows, sys.stdout, indent=1)
print()
