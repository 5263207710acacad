#!/usr/bin/env python3
"""Writes a Llama of random f16 weights as a GGUF file, with the tokenizer of another: a file of a realistic size to
measure, where only the speed counts.

    pip install gguf
    python3 random-llama.py TOKENIZER.gguf OUT.gguf [--hidden 2048] [--ffn 8192] [--layers 8] [--heads 16] [--kv-heads 4]

Weights are normal with a variance of one over the columns, and those that are added to the residual stream smaller by
the root of their number, so that activations keep their size and logits differ. The seed decides every byte.
"""
import argparse

import gguf
import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tokenizer")
parser.add_argument("out")
for name, default in [("hidden", 2048), ("ffn", 8192), ("layers", 8), ("heads", 16), ("kv-heads", 4), ("seed", 0)]:
    parser.add_argument(f"--{name}", type=int, default=default)
args = parser.parse_args()
if args.hidden % args.heads or args.heads % args.kv_heads:
    parser.error("--heads must divide --hidden, and --kv-heads --heads")

source = gguf.GGUFReader(args.tokenizer)
writer = gguf.GGUFWriter(args.out, "llama")
for field in source.fields.values():
    if field.name.startswith("tokenizer."):
        of_items = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=of_items)
vocabulary = len(source.fields["tokenizer.ggml.tokens"].data)
writer.add_name("random")
writer.add_block_count(args.layers)
writer.add_context_length(2048)
writer.add_embedding_length(args.hidden)
writer.add_feed_forward_length(args.ffn)
writer.add_head_count(args.heads)
writer.add_head_count_kv(args.kv_heads)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_freq_base(10000.0)
writer.add_rope_dimension_count(args.hidden // args.heads)
writer.add_vocab_size(vocabulary)
writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

random = np.random.default_rng(args.seed)


def matrix(name, rows, columns, scale=1.0):
    values = random.standard_normal((rows, columns), dtype=np.float32)
    values *= scale / columns**0.5
    writer.add_tensor(name, values.astype(np.float16))


def norm(name):
    writer.add_tensor(name, np.ones(args.hidden, dtype=np.float32))


kv = args.hidden // args.heads * args.kv_heads
added = (2 * args.layers) ** -0.5
matrix("token_embd.weight", vocabulary, args.hidden, 2.0)
for layer in range(args.layers):
    block = f"blk.{layer}"
    norm(f"{block}.attn_norm.weight")
    matrix(f"{block}.attn_q.weight", args.hidden, args.hidden)
    matrix(f"{block}.attn_k.weight", kv, args.hidden)
    matrix(f"{block}.attn_v.weight", kv, args.hidden)
    matrix(f"{block}.attn_output.weight", args.hidden, args.hidden, added)
    norm(f"{block}.ffn_norm.weight")
    matrix(f"{block}.ffn_gate.weight", args.ffn, args.hidden)
    matrix(f"{block}.ffn_up.weight", args.ffn, args.hidden)
    matrix(f"{block}.ffn_down.weight", args.hidden, args.ffn, added)
norm("output_norm.weight")
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
