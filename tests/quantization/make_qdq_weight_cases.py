"""Makes cases/qdq_weights.safetensors: weights, and what MatMulNBitsQuantizer makes of them with QuantFormat.QDQ.

    python tests/quantization/make_qdq_weight_cases.py      needs onnxruntime 1.32, onnx, safetensors

Each case is NAME.integers (bytes as the model has them), NAME.scales and, with zero points, NAME.zero_points. The
metadata "cases" has for each: {"name", "weight", "block_size", "symmetric", "graph"}, where "graph" is the whole model:
opset, ir_version, nodes and the initializers' names, types and shapes. Weights are [K, N], of models in opset 17.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from make_weight_only_cases import weights as common_weights
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantFormat
from onnxruntime.quantization import matmul_nbits_quantizer as q
from safetensors.numpy import save_file

HERE = Path(__file__).parent


def weights():
    rng = np.random.default_rng(21)
    common = common_weights()
    uneven = rng.standard_normal((37, 5)).astype(np.float32)  # neither rows nor blocks fill bytes
    uneven[:, 1] = np.round(uneven[:, 1] * 4) / 4  # halves, of both signs
    uneven[:, 2] = 0
    wide = rng.standard_normal((48, 300)).astype(np.float32)  # more columns than are read at once
    wide[:, ::7] = np.round(wide[:, ::7] * 8) / 8
    return {"odd": common["odd"], "half": common["half"], "uneven": uneven, "wide": wide}


def model(weight):
    data_type = helper.np_dtype_to_tensor_dtype(weight.dtype)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="node")
    x = helper.make_tensor_value_info("x", data_type, ["rows", weight.shape[0]])
    y = helper.make_tensor_value_info("y", data_type, ["rows", weight.shape[1]])
    graph = helper.make_graph([node], "graph", [x], [y], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def describe(quantized):
    graph = quantized.graph
    return {
        "opset": {o.domain: o.version for o in quantized.opset_import},
        "ir_version": quantized.ir_version,
        "nodes": [
            {"op_type": n.op_type, "name": n.name, "inputs": list(n.input), "outputs": list(n.output),
             "attributes": {a.name: a.i for a in n.attribute}} for n in graph.node],
        "initializers": {t.name: {"data_type": t.data_type, "shape": list(t.dims)} for t in graph.initializer},
    }


def cases():
    for weight in ("odd", "half", "uneven", "wide"):
        for block_size in (16, 32, 128):
            for symmetric in (True, False):
                name = f"{weight}.{block_size}.{'symmetric' if symmetric else 'asymmetric'}"
                yield {"name": name, "weight": weight, "block_size": block_size, "symmetric": symmetric}


def main():
    tensors = weights()
    results = {f"weight.{name}": value for name, value in tensors.items()}
    described = list(cases())
    for case in described:
        quantizer = q.MatMulNBitsQuantizer(
            model(tensors[case["weight"]]), bits=4, block_size=case["block_size"], is_symmetric=case["symmetric"],
            quant_format=QuantFormat.QDQ)
        quantizer.process()
        quantized = quantizer.model.model
        onnx.checker.check_model(quantized)
        case["graph"] = describe(quantized)
        found = {t.name: t for t in quantized.graph.initializer}
        results[f"{case['name']}.integers"] = np.frombuffer(found["w_DQ_Q4"].raw_data, np.uint8)
        results[f"{case['name']}.scales"] = numpy_helper.to_array(found["w_DQ_scales"])
        if not case["symmetric"]:
            results[f"{case['name']}.zero_points"] = np.frombuffer(found["w_DQ_zero_points"].raw_data, np.uint8)
    save_file({name: np.ascontiguousarray(value) for name, value in results.items()},
              HERE / "cases" / "qdq_weights.safetensors", {"cases": json.dumps(described)})


if __name__ == "__main__":
    main()
