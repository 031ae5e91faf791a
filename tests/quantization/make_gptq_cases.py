"""Makes cases/gptq.safetensors: weights, activations, and what GPTQ makes of them.

    git clone https://github.com/IST-DASLab/gptq
    PYTHONPATH=gptq python tests/quantization/make_gptq_cases.py     needs torch, transformers, onnxruntime 1.32, safetensors

The truth is the program of GPTQ's authors. GPTQWeightOnlyQuantConfig of onnxruntime.quantization is none: it multiplies the
errors of a row with the wrong triangle of the inverse Hessian, so that its integers are those of rounding to nearest, and then
finds scales for the rounded weight once more. Its error is stored beside, as a bound.

Tensors: weight [K, N]; activations [rows, K], of samples whose numbers of rows the metadata "samples" lists; for each case of
the metadata "cases", NAME: the weight [K, N] that its integers stand for. A case is {"name", "bits", "block_size",
"symmetric", "actorder", "mse", "error", "onnxruntime_error" or null}: the relative error of activations @ weight.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from gptq import GPTQ
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import matmul_nbits_quantizer as q
from onnxruntime.quantization.calibrate import CalibrationDataReader
from quant import Quantizer
from safetensors.numpy import save_file

HERE = Path(__file__).parent
K, N = 164, 12
SAMPLES = [40, 7, 64, 1, 128, 60]


def data():
    rng = np.random.default_rng(7)
    weight = rng.standard_normal((K, N)).astype(np.float32)
    weight[:, 0] = 0
    weight[:, 1] = -np.abs(weight[:, 1])  # (Of positive ones alone, symmetric scales waste half of the integers.)
    mix = rng.standard_normal((K, K)) * np.exp(0.5 * rng.standard_normal(K))
    activations = (rng.standard_normal((sum(SAMPLES), K)) @ mix / np.sqrt(K)).astype(np.float16).astype(np.float32)
    activations[:, 5] = 0  # an input that is dead
    return weight, activations


def quantize(case, weight, samples):
    layer = torch.nn.Linear(K, N, bias=False)
    layer.weight.data = torch.from_numpy(weight.T.copy())
    gptq = GPTQ(layer)
    gptq.quantizer = Quantizer()
    gptq.quantizer.configure(case["bits"], perchannel=True, sym=case["symmetric"], mse=case["mse"])
    for sample in samples:
        gptq.add_batch(torch.from_numpy(sample[None]), None)
    gptq.fasterquant(
        percdamp=0.01, groupsize=case["block_size"], actorder=case["actorder"], static_groups=case["actorder"])
    return layer.weight.data.numpy().T.copy()


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter(samples)

    def get_next(self):
        sample = next(self.samples, None)
        return None if sample is None else {"x": sample[None]}


def onnxruntime_output(case, weight, samples, activations):
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="node")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "rows", K])
    # Something has to make what is multiplied: a MatMul of the model's own input is not calibrated.
    identity = helper.make_node("Identity", ["x"], ["h"], name="identity")
    node.input[0] = "h"
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "rows", N])
    graph = helper.make_graph([identity, node], "graph", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    config = q.GPTQWeightOnlyQuantConfig(
        calibration_data_reader=Reader(samples), block_size=case["block_size"], actorder=False, mse=False)
    quantizer = q.MatMulNBitsQuantizer(
        model, block_size=case["block_size"], is_symmetric=case["symmetric"], algo_config=config)
    quantizer.process()
    session = onnxruntime.InferenceSession(
        quantizer.model.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": activations[None]})[0][0]


def cases():
    def case(bits, block_size, symmetric, actorder=False, mse=False):
        words = [str(bits), str(block_size), "symmetric" if symmetric else "asymmetric"]
        words += ["actorder"] * actorder + ["mse"] * mse
        return {"name": ".".join(words), "bits": bits, "block_size": block_size, "symmetric": symmetric,
                "actorder": actorder, "mse": mse}

    for symmetric in (True, False):
        for bits, block_size in ((4, 16), (4, 32), (4, 64), (4, 128), (4, 256), (2, 32), (8, 32)):
            yield case(bits, block_size, symmetric)
        yield case(4, 32, symmetric, actorder=True)
        yield case(4, 32, symmetric, mse=True)
    yield case(4, 32, False, actorder=True, mse=True)


def main():
    torch.cuda.synchronize = lambda: None
    weight, activations = data()
    samples = np.split(activations, np.cumsum(SAMPLES)[:-1])
    expected = activations @ weight

    def error(output):
        return float(np.linalg.norm(output - expected) / np.linalg.norm(expected))

    tensors = {"weight": weight, "activations": activations.astype(np.float16)}
    described = []
    for case in cases():
        tensors[case["name"]] = quantize(case, weight, samples)
        case["error"] = error(activations @ tensors[case["name"]])
        # With zero points and an odd number of blocks, the tool fails.
        is_comparable = (case["bits"] == 4 and not case["actorder"] and not case["mse"]
                         and (case["symmetric"] or -(-K // case["block_size"]) % 2 == 0))
        case["onnxruntime_error"] = (
            error(onnxruntime_output(case, weight, samples, activations)) if is_comparable else None)
        described.append(case)
        print(case)
    save_file(tensors, HERE / "cases" / "gptq.safetensors",
              {"cases": json.dumps(described), "samples": json.dumps(SAMPLES)})


if __name__ == "__main__":
    main()
