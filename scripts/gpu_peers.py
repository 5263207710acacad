#!/usr/bin/env python3
"""Times cuBLAS, through PyTorch, and copies on the first CUDA GPU: what docs/gpu.md sets the kernels against.

    python3 scripts/gpu_peers.py

Each line is the best of five rounds of calls in a row. TF32 is off: f32 products are of f32.
"""
import time

import torch

ROUNDS = 5
SECONDS = 0.1


def best(call):
    """Seconds of a call."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    calls, times = 1, []
    while len(times) < ROUNDS:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        if seconds < SECONDS:
            calls *= 2
        else:
            times.append(seconds / calls)
    return min(times)


torch.backends.cuda.matmul.allow_tf32 = False
print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
for dtype in torch.float32, torch.float16:
    for m, n, k in [
        (512, 512, 1024),
        (4096, 4096, 4096),
        (8192, 8192, 8192),
        (512, 4096, 4096),
        (512, 14336, 4096),
        (1, 16384, 16384),
    ]:
        a = torch.randn(m, k, device="cuda", dtype=dtype)
        b = torch.randn(n, k, device="cuda", dtype=dtype)
        seconds = best(lambda: a @ b.T)
        rate = f"{2 * m * n * k / seconds / 1e12:.1f} TFLOP/s"
        if m == 1:
            rate = f"{b.numel() * b.element_size() / seconds / 1e9:.0f} GB/s"
        print(f"{str(dtype).removeprefix('torch.')} {m} x {n} x {k}: {seconds * 1e6:.1f} us, {rate}", flush=True)
source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
target = torch.empty_like(source)
print(f"copy: {2 * source.numel() / best(lambda: target.copy_(source)) / 1e9:.0f} GB/s, read and written")
