"""Makes fixtures/float_weights: weights of float8e4m3fn and float4e2m1 in the QDQ format, as ml_dtypes rounds them.

    python tests/quantization/make_float_weights.py      needs onnxruntime 1.32, onnx, optimum-onnx, ml_dtypes

matmul.onnx has products with constant matrices, of float32 and float16, of sizes that fill no whole blocks or bytes.
NAME.json: {"weights", "block_size", "opset", "graphs"}, the last as make_fixtures.py describes graphs. There is no such
quantizer in onnxruntime: models are made here by the definition of DequantizeLinear, a scale for each block that makes
its largest magnitude that of the type, under the names of MatMulNBitsQuantizer. onnx.checker accepts them, and ONNX
Runtime those of float8e4m3fn; it has no kernel for float4e2m1 on processors.
"""
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from make_fixtures import attribute_text, fnv1a

OUT = Path(__file__).parent / "fixtures" / "float_weights"
NAMES = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16",
         TensorProto.FLOAT8E4M3FN: "float8_e4m3fn", TensorProto.FLOAT4E2M1: "float4_e2m1"}
FLOATS = {"float8e4m3fn": (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, 448.0, 8, 21),
          "float4e2m1": (TensorProto.FLOAT4E2M1, ml_dtypes.float4_e2m1fn, 6.0, 4, 23)}


def model(opset, nodes=None, initializers=None):
    rng = np.random.default_rng(31)
    weights = {"whole": rng.standard_normal((128, 8)), "ragged": rng.standard_normal((100, 7)),
               "odd": np.round(rng.standard_normal((33, 3)) * 4) / 4, "half": rng.standard_normal((64, 6))}
    weights = {k: v.astype(np.float16 if k == "half" else np.float32) for k, v in weights.items()}
    weights["whole"][:32, 0] = 0
    weights["ragged"][:, 1] = np.abs(weights["ragged"][:, 1])
    inputs, outputs, products = [], [], []
    for name, weight in weights.items():
        kind = helper.np_dtype_to_tensor_dtype(weight.dtype)
        inputs.append(helper.make_tensor_value_info("x_" + name, kind, ["rows", weight.shape[0]]))
        outputs.append(helper.make_tensor_value_info("y_" + name, kind, ["rows", weight.shape[1]]))
        products.append(helper.make_node("MatMul", ["x_" + name, name], ["y_" + name], name="product_" + name))
    graph = helper.make_graph(nodes or products, "graph", inputs, outputs,
                              initializers or [numpy_helper.from_array(w, n) for n, w in weights.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                             ir_version=11 if opset >= 23 else 10)
    return made, weights


def describe(graph):
    nodes = [" | ".join([n.op_type, n.domain, n.name, " ".join(n.input), " ".join(n.output),
                         " ".join(sorted(filter(None, map(attribute_text, n.attribute))))]) for n in graph.node]
    tensors = {t.name: f"{NAMES[t.data_type]} {list(t.dims)} {fnv1a(t.raw_data)}" for t in graph.initializer}
    return {"/": {"nodes": sorted(nodes), "initializers": dict(sorted(tensors.items()))}}


def of_floats(weights, block_size):
    kind, dtype, largest, bits, opset = FLOATS[weights]
    nodes, tensors = [], []
    for name, weight in model(opset)[1].items():
        rows, columns = weight.shape
        blocks = -(-rows // block_size)
        padded = np.zeros((blocks * block_size, columns), weight.dtype)
        padded[:rows] = weight
        padded = padded.reshape(blocks, block_size, columns).astype(np.float32)
        scales = (np.abs(padded).max(1) / np.float32(largest)).astype(weight.dtype)
        wide = scales.astype(np.float32)[:, None]
        scaled = np.clip(np.divide(padded, wide, out=np.zeros_like(padded), where=wide != 0), -largest, largest)
        codes = scaled.astype(dtype).reshape(-1, columns)[:rows].reshape(-1).view(np.uint8)
        if bits == 4:
            codes = np.append(codes, np.zeros(codes.size % 2, np.uint8))
            codes = codes[::2] | codes[1::2] << 4
        dq = f"{name}_DQ_Q{bits}"
        tensors.append(helper.make_tensor(dq, kind, weight.shape, codes.tobytes(), True))
        tensors.append(numpy_helper.from_array(scales, name + "_DQ_scales"))
        nodes.append(helper.make_node("DequantizeLinear", [dq, name + "_DQ_scales"], [dq + "_output"],
                                      name=f"product_{name}_DQ_Q{bits}", axis=0, block_size=block_size))
        nodes.append(helper.make_node("MatMul", ["x_" + name, dq + "_output"], ["y_" + name],
                                      name=f"product_{name}_matmul_Q{bits}"))
    return model(opset, nodes, tensors)[0], opset


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    onnx.save(model(18)[0], OUT / "matmul.onnx")
    for weights, block_size in [(w, b) for w in FLOATS for b in (16, 32)]:
        made, opset = of_floats(weights, block_size)
        onnx.checker.check_model(made, full_check=True)
        if weights != "float4e2m1":
            onnxruntime.InferenceSession(made.SerializeToString())
        entry = dict(weights=weights, block_size=block_size, opset=opset, graphs=describe(made.graph))
        (OUT / f"{weights}.{block_size}.json").write_text(json.dumps(entry, indent=1) + "\n")


if __name__ == "__main__":
    main()
