"""Times C[M, N] = A[M, K] x B[N, K]^T in f32 in a library, as `kforge-run bench suite --peers` asks for it.

    python3 gemm_peers.py LIBRARY THREADS

B is constant, as the weight of a linear layer is: a library that can prepack it does. The first line of standard output
is {"version"}; for each line {"m", "n", "k", "seconds"} of standard input there is one {"samples_us", "relative_error"}.
A sample is the mean of as many products as take about a millisecond.
"""

import json
import os
import sys
import time


def openblas(np, threads):
    def product(a, b):
        c = np.empty((a.shape[0], b.shape[0]), np.float32)
        return lambda: np.matmul(a, b.T, out=c)

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    if "openblas" not in blas["name"]:
        raise ImportError("numpy is built with " + blas["name"])
    return "numpy " + np.__version__ + ", " + blas["version"], product


def torch(np, threads):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)

    def product(a, b):
        a, b = torch.from_numpy(a), torch.from_numpy(b)
        c = torch.empty(a.shape[0], b.shape[0])
        return lambda: torch.mm(a, b.t(), out=c)

    return torch.__version__, product


def xla(np, threads):
    import jax

    jax.config.update("jax_platforms", "cpu")

    def product(a, b):
        a, b = jax.device_put(a), jax.device_put(b)
        run = jax.jit(lambda a: a @ b.T)
        return lambda: run(a).block_until_ready()

    return "jax " + jax.__version__, product


def iree(np, threads):
    import iree.compiler as compiler
    import iree.compiler.version as version
    import iree.runtime as runtime

    driver = "local-sync" if threads == 1 else "local-task"

    def product(a, b):
        (m, k), n = a.shape, b.shape[0]
        x, w, y = f"tensor<{m}x{k}xf32>", f"tensor<{n}x{k}xf32>", f"tensor<{m}x{n}xf32>"
        maps = ", ".join(f"affine_map<(m, n, k) -> ({dims})>" for dims in ("m, k", "n, k", "m, n"))
        module = compiler.compile_str(
            f"""
            func.func @main(%a: {x}, %b: {w}) -> {y} {{
              %zero = arith.constant 0.0 : f32
              %empty = tensor.empty() : {y}
              %fill = linalg.fill ins(%zero : f32) outs(%empty : {y}) -> {y}
              %c = linalg.matmul indexing_maps = [{maps}] ins(%a, %b : {x}, {w}) outs(%fill : {y}) -> {y}
              return %c : {y}
            }}""",
            target_backends=["llvm-cpu"],
            extra_args=["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"],
        )
        device = runtime.Config(driver).device
        loaded = runtime.load_vm_flatbuffer(module, driver=driver)
        a, b = runtime.asdevicearray(device, a), runtime.asdevicearray(device, b)
        return lambda: loaded.main(a, b).to_host()

    return str(version.VERSION), product


def onnxruntime(np, threads):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def product(a, b):
        c = np.empty((a.shape[0], b.shape[0]), np.float32)
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["a", "b"], ["c"])],
            "product",
            [value("a", TensorProto.FLOAT, a.shape)],
            [value("c", TensorProto.FLOAT, c.shape)],
            [numpy_helper.from_array(b.T.copy(), "b")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        binding.bind_cpu_input("a", a)
        binding.bind_output("c", "cpu", 0, np.float32, c.shape, c.ctypes.data)

        def run():
            session.run_with_iobinding(binding)
            return c

        return run

    return onnxruntime.__version__, product


def openvino(np, threads):
    import openvino
    import openvino.opset13 as op

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}

    def product(a, b):
        x = op.parameter(list(a.shape), np.float32)
        model = openvino.Model([op.matmul(x, op.constant(b), False, True)], [x])
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(a, shared_memory=True))

        def run():
            request.infer()
            return request.get_output_tensor().data

        return run

    return openvino.__version__.split("-")[0], product


def main():
    library, threads = sys.argv[1], int(sys.argv[2])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    # What a library prints is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import numpy as np

    makers = {m.__name__: m for m in (openblas, torch, xla, iree, onnxruntime, openvino)}
    version, product = makers[library](np, threads)
    print(json.dumps({"version": version}), file=answers, flush=True)
    shape, run, error = None, None, None
    for line in sys.stdin:
        question = json.loads(line)
        m, n, k = question["m"], question["n"], question["k"]
        if shape != (m, n, k):
            run = None  # frees the last operands first
            random = np.random.default_rng(0)
            a = random.standard_normal((m, k), dtype=np.float32)
            b = random.standard_normal((n, k), dtype=np.float32)
            run, shape = product(a, b), (m, n, k)
            rows = slice(0, max(1, 10**8 // (n * k)))
            exact = a[rows].astype(np.float64) @ b.astype(np.float64).T
            error = float(np.max(np.abs(np.asarray(run())[rows] - exact)) / np.max(np.abs(exact)))
        # A quarter of the time warms up.
        begin = time.perf_counter()
        calls = 0
        while calls == 0 or time.perf_counter() - begin < question["seconds"] / 4:
            run()
            calls += 1
        batch = max(1, round(1e-3 * calls / (time.perf_counter() - begin)))
        samples = []
        while len(samples) < 3 or time.perf_counter() - begin < question["seconds"]:
            start = time.perf_counter()
            for _ in range(batch):
                run()
            samples.append((time.perf_counter() - start) / batch * 1e6)
        print(json.dumps({"samples_us": samples, "relative_error": error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
