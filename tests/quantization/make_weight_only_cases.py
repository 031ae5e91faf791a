"""Makes cases/weight_only.safetensors: weights, and what onnxruntime.quantization makes of them.

    python tests/quantization/make_weight_only_cases.py      needs onnxruntime 1.32, onnx, safetensors, torch

Each case is NAME.packed, NAME.scales and, with zero points, NAME.zero_points, of the weight that its entry of the
metadata "cases" names: {"name", "algorithm", "operator", "weight", "bits", "block_size", "symmetric"}. Weights of MatMul
are [K, N], of Gather [rows, K].
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import matmul_nbits_quantizer as q
from safetensors.numpy import save_file

HERE = Path(__file__).parent
K, N = 164, 6


def weights():
    rng = np.random.default_rng(20)
    plain = rng.standard_normal((K, N)).astype(np.float32)
    odd = rng.standard_normal((K, N)).astype(np.float32)
    odd[:, 0] = 0  # blocks without any value but 0
    odd[:, 1] = np.abs(odd[:, 1]) + 1  # without a negative one
    odd[:, 2] = -np.abs(odd[:, 2]) - 1
    odd[:, 3] = 0.25  # a constant
    odd[::2, 4] = 0
    odd[:, 5] = np.round(odd[:, 5] * 4) / 4  # many that lie between two integers
    embedding = rng.standard_normal((7, 80)).astype(np.float32)
    embedding[1] = 0
    embedding[2] = np.round(embedding[2] * 4) / 4
    even = rng.standard_normal((256, N)).astype(np.float32)
    even[:, 0] = 0.25
    even[:, 1] = np.abs(even[:, 1]) + 1
    even[64:128, 2] = 0
    return {"plain": plain, "even": even, "odd": odd, "half": odd.astype(np.float16), "embedding": embedding}


def model(operator, weight):
    data_type = helper.np_dtype_to_tensor_dtype(weight.dtype)
    if operator == "MatMul":
        node = helper.make_node("MatMul", ["x", "w"], ["y"], name="node")
        x = helper.make_tensor_value_info("x", data_type, ["rows", weight.shape[0]])
        y = helper.make_tensor_value_info("y", data_type, ["rows", weight.shape[1]])
    else:
        node = helper.make_node("Gather", ["w", "x"], ["y"], name="node")
        x = helper.make_tensor_value_info("x", TensorProto.INT64, ["rows"])
        y = helper.make_tensor_value_info("y", data_type, ["rows", weight.shape[1]])
    graph = helper.make_graph([node], "graph", [x], [y], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def config_of(case):
    common = {"op_types_to_quantize": (case["operator"],)}
    if case["algorithm"] == "rtn":
        return q.DefaultWeightOnlyQuantConfig(
            block_size=case["block_size"], is_symmetric=case["symmetric"], bits=case["bits"], **common)
    if case["algorithm"] == "hqq":
        return q.HQQWeightOnlyQuantConfig(block_size=case["block_size"], bits=case["bits"], **common)
    # The quantizer takes bits and block size of k_quant from the customized configuration of the node alone.
    return q.KQuantWeightOnlyQuantConfig(
        customized_weight_config={"node": {"bits": case["bits"], "group_size": case["block_size"]}}, **common)


def quantize(case, weight):
    quantizer = q.MatMulNBitsQuantizer(
        model(case["operator"], weight), block_size=case["block_size"], is_symmetric=case["symmetric"],
        algo_config=config_of(case))
    quantizer.process()
    graph = quantizer.model.model.graph
    node = next(n for n in graph.node if n.domain == "com.microsoft")
    tensors = {t.name: t for t in graph.initializer}
    packed_input, scales_input, zero_points_input = (1, 2, 3) if case["operator"] == "MatMul" else (0, 2, 3)
    result = {
        "packed": to_bytes(tensors[node.input[packed_input]], case["symmetric"]),
        "scales": numpy_helper.to_array(tensors[node.input[scales_input]]),
    }
    if len(node.input) > 3 and node.input[zero_points_input]:
        zero_points = tensors[node.input[zero_points_input]]
        floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
        result["zero_points"] = (
            numpy_helper.to_array(zero_points) if zero_points.data_type in floats else to_bytes(zero_points, False))
        if case["operator"] == "Gather":
            result["zero_points"] = pack_rows(result["zero_points"], result["scales"].shape)
    return result


def pack_rows(packed, shape):
    """4-bit values that the tool packs one after the other; as uint8, ONNX Runtime wants each row in bytes of its own."""
    rows, blocks = shape
    values = np.stack([packed & 15, packed >> 4], -1).reshape(-1)[: rows * blocks].reshape(rows, blocks)
    values = np.pad(values, ((0, 0), (0, blocks % 2)))
    return values[:, ::2] | values[:, 1::2] << 4


def to_bytes(tensor, is_signed):
    """Packed integers as uint8. Signed 4-bit ones become unsigned with 8 for 0, as MatMulNBits has them."""
    data = np.frombuffer(tensor.raw_data, np.uint8)
    if tensor.data_type == TensorProto.INT4 and is_signed:
        data = data ^ 0x88
    return data


def cases():
    def case(algorithm, operator, weight, bits, block_size, symmetric):
        name = f"{algorithm}.{operator}.{weight}.{bits}.{block_size}.{'symmetric' if symmetric else 'asymmetric'}"
        return {"name": name, "algorithm": algorithm, "operator": operator, "weight": weight, "bits": bits,
                "block_size": block_size, "symmetric": symmetric}

    for symmetric in (True, False):
        for bits in (2, 4, 8):
            for block_size in (16, 32, 64, 128, 256):
                yield case("rtn", "MatMul", "odd" if block_size == 32 else "plain", bits, block_size, symmetric)
        yield case("rtn", "MatMul", "half", 4, 32, symmetric)
        yield case("rtn", "MatMul", "half", 8, 32, symmetric)
        for block_size in (16, 32):
            yield case("rtn", "Gather", "embedding", 4, block_size, symmetric)
    # With an odd number of blocks, the tool fails at packing zero points of 4 bits.
    for bits in (4, 8):
        for block_size in (16, 32, 128):
            yield case("k_quant", "MatMul", "even", bits, block_size, False)
    yield case("k_quant", "MatMul", "odd", 8, 32, False)
    # (A block as long as the vector is left out: numpy then sums in another order, along another axis of the memory.)
    for bits, block_size in ((2, 32), (4, 16), (4, 32), (4, 128)):
        yield case("hqq", "MatMul", "odd" if block_size == 32 else "plain", bits, block_size, False)


def main():
    tensors = weights()
    described = list(cases())
    results = {}
    for case in described:
        for part, value in quantize(case, tensors[case["weight"]]).items():
            results[f"{case['name']}.{part}"] = np.ascontiguousarray(value)
    results.update({f"weight.{name}": value for name, value in tensors.items()})
    (HERE / "cases").mkdir(exist_ok=True)
    save_file(results, HERE / "cases" / "weight_only.safetensors", {"cases": json.dumps(described)})


if __name__ == "__main__":
    main()
