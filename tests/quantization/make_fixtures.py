"""make_fixtures.py OUT: models and what Optimum's ORTQuantizer (onnxruntime's quantizers) makes of them.

    venv/bin/python tests/quantization/make_fixtures.py tests/quantization/fixtures

Each model is stored as it is given to the quantizer (NAME.onnx), each result as NAME.CASE.json: the configuration as
ort_config.json has it, and for each graph its nodes, and its initializers with the FNV-1a hash of their bytes.
bert.onnx is Optimum's own export of a golden fixture.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, ORTConfig, QuantizationConfig
from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType

HERE = Path(__file__).parent
GENERATOR = np.random.default_rng(7)


def weight(name, *shape):
    # Columns of different ranges, some of one sign only, one all zero.
    values = GENERATOR.normal(size=shape).astype(np.float32)
    values *= np.linspace(0.01, 3, shape[-1], dtype=np.float32)
    if len(shape) == 2:
        values[:, 0] = 0
        values[:, 1] = np.abs(values[:, 1])
        values[:, 2] = -np.abs(values[:, 2])
    return numpy_helper.from_array(values, name)


def node(op, inputs, outputs, name=None, **attributes):
    return helper.make_node(op, inputs, outputs, name=name or f"/layer/{op}/{outputs[0]}", **attributes)


def model(nodes, inputs, outputs, initializers, domains=()):
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid(domain, 1) for domain in domains]
    result = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if not domains:
        onnx.checker.check_model(result, full_check=True)
    return result


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def operators():
    """Every operator of dynamic quantization that ai.onnx has, in the forms that matter."""
    initializers = [
        weight("table", 11, 8), weight("w1", 8, 6), weight("b1", 6), weight("w2", 6, 5), weight("w3", 7, 5),
        weight("b3", 7), weight("w4", 7, 4), weight("w5", 4, 4), weight("w6", 4, 4), weight("kernel", 3, 1, 2, 2), weight("kernel_bias", 3),
        weight("kernel2", 2, 3, 1, 1), weight("lstm_w", 1, 8, 4), weight("lstm_r", 1, 8, 2), weight("lstm_b", 1, 16),
        numpy_helper.from_array(np.array([-1, 5], np.int64), "rows"),
        numpy_helper.from_array(np.array([1, 1, -1, 4], np.int64), "image_shape"),
        numpy_helper.from_array(np.array([-1, 1, 4], np.int64), "sequence_shape"),
        numpy_helper.from_array(np.array([0, 1], np.int64), "first_two"),
    ]
    nodes = [
        node("Gather", ["table", "ids"], ["embedded"]),
        node("MatMul", ["embedded", "w1"], ["h1"]),
        node("Add", ["h1", "b1"], ["h2"]),
        node("Relu", ["h2"], ["h3"]),
        # Two readers of one value share its quantization; a Transpose of it moves integers.
        node("MatMul", ["h3", "w2"], ["h4"]),
        node("Transpose", ["h3"], ["h3t"], perm=[0, 2, 1]),
        node("MatMul", ["h3t", "h4"], ["scores"]),
        node("Reshape", ["scores", "rows"], ["flat"]),
        node("Gemm", ["flat", "w3", "b3"], ["g1"], transB=1),
        node("Tanh", ["g1"], ["g1t"]),
        node("Gemm", ["g1t", "w4"], ["g2"]),
        node("Gemm", ["g2", "w5"], ["g3"], alpha=2.0),  # stays
        node("MatMul", ["g3", "w5"], ["g4"], name="/nameless/MatMul"),
        node("Reshape", ["g4", "image_shape"], ["image"]),
        node("Conv", ["image", "kernel", "kernel_bias"], ["c1"], pads=[1, 1, 1, 1]),
        node("Conv", ["c1", "kernel2"], ["convolved"]),
        node("Reshape", ["g4", "sequence_shape"], ["sequence"]),
        node("LSTM", ["sequence", "lstm_w", "lstm_r", "lstm_b"], ["hidden"], hidden_size=2),
        # What is read from a quantized table is made real for a node that stays.
        node("Gather", ["w6", "first_two"], ["picked"]),
        node("Neg", ["picked"], ["negated"]),
    ]
    return model(nodes, [value("ids", ["batch", "sequence"], TensorProto.INT64)],
                 [value("convolved", ["n", 2, "h", "w"]), value("hidden", ["rows", 1, 1, 2]), value("negated", [2, 4]),
                  value("embedded", ["batch", "sequence", 8])],
                 initializers)


def contrib():
    """Fused operators of com.microsoft: what `optimum-cli onnxruntime optimize` makes."""
    initializers = [weight("words", 9, 8), weight("positions", 6, 8), weight("segments", 2, 8), weight("gamma", 8),
                    weight("beta", 8), weight("qkv", 8, 24), weight("qkv_bias", 24), weight("out", 8, 8)]
    nodes = [
        node("EmbedLayerNormalization", ["ids", "types", "words", "positions", "segments", "gamma", "beta"],
             ["embedded", "mask_index"], domain="com.microsoft", epsilon=1e-5),
        node("Attention", ["embedded", "qkv", "qkv_bias"], ["attended"], domain="com.microsoft", num_heads=2),
        node("MatMul", ["attended", "out"], ["hidden"]),
    ]
    return model(nodes, [value("ids", ["batch", "sequence"], TensorProto.INT32),
                         value("types", ["batch", "sequence"], TensorProto.INT32)],
                 [value("hidden", ["batch", "sequence", 8])], initializers, ["com.microsoft"])


def branches():
    """A merged decoder in small: both branches read a weight and a value of the graph around them."""
    def branch(name, op):
        nodes = [node("MatMul", ["x", "shared"], [name + "_product"]),
                 node(op, [name + "_product"], [name + "_result"]),
                 node("MatMul", [name + "_result", name + "_own"], [name + "_out"])]
        return helper.make_graph(nodes, name, [], [value(name + "_out", ["batch", 4])], [weight(name + "_own", 6, 4)])

    nodes = [node("Relu", ["input"], ["x"]),
             node("If", ["use_cache_branch"], ["y"], then_branch=branch("then", "Tanh"),
                  else_branch=branch("else", "Sigmoid"))]
    return model(nodes, [value("input", ["batch", 5]), value("use_cache_branch", [], TensorProto.BOOL)],
                 [value("y", ["batch", 4])], [weight("shared", 5, 6)])


def bert(scratch):
    checkpoint = scratch / "checkpoint"
    tools = HERE.parent / "golden" / "tools"
    fixture = HERE.parent / "golden" / "fixtures" / "bert"
    subprocess.run([sys.executable, tools / "materialize.py", fixture, "text-classification", checkpoint], check=True)
    main_export(str(checkpoint), scratch / "export", task="text-classification", do_validation=False)
    return onnx.load(scratch / "export" / "model.onnx")


CASES = {
    "vnni": AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False),
    "vnni_per_channel": AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True),
    "avx2": AutoQuantizationConfig.avx2(is_static=False, per_channel=False),
    "avx2_reduced": AutoQuantizationConfig.avx2(is_static=False, per_channel=True, reduce_range=True),
    "asymmetric": AutoQuantizationConfig.avx512(is_static=False, per_channel=True, use_symmetric_weights=False,
                                                reduce_range=True),
    "matmul": AutoQuantizationConfig.arm64(is_static=False, per_channel=True, operators_to_quantize=["MatMul"]),
}


def fnv1a(data):
    result = 0xCBF29CE484222325
    for byte in data:
        result = (result ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{result:016x}"


def attribute_text(attribute):
    content = helper.get_attribute_value(attribute)
    if isinstance(content, onnx.GraphProto):
        return None
    if isinstance(content, onnx.TensorProto):
        content = "tensor"
    elif isinstance(content, bytes):
        content = content.decode()
    elif isinstance(content, float):
        content = f"{content:g}"
    elif not isinstance(content, int):
        content = ",".join(f"{element:g}" for element in content)
    return f"{attribute.name}={content}"


def describe(graph, result, prefix="/"):
    nodes = []
    for n in graph.node:
        for attribute in n.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                describe(attribute.g, result, prefix + attribute.name + "/")
        attributes = sorted(filter(None, map(attribute_text, n.attribute)))
        nodes.append(" | ".join([n.op_type, n.domain, n.name, " ".join(i or "-" for i in n.input),
                                 " ".join(n.output), " ".join(attributes)]))
    initializers = {}
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        initializers[tensor.name] = f"{array.dtype} {list(array.shape)} {fnv1a(array.tobytes())}"
    result[prefix] = {"nodes": sorted(nodes), "initializers": dict(sorted(initializers.items()))}
    return result


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        models = {"operators": operators(), "contrib": contrib(), "branches": branches(), "bert": bert(scratch)}
        for name, proto in models.items():
            onnx.save(proto, out / f"{name}.onnx")
            source = scratch / name
            source.mkdir()
            onnx.save(proto, source / "model.onnx")
            for case, config in CASES.items():
                quantized = scratch / f"{name}.{case}"
                ORTQuantizer.from_pretrained(source).quantize(config, quantized)
                result = onnx.load(quantized / "model_quantized.onnx")
                fixture = {"config": json.loads((quantized / "ort_config.json").read_text()),
                           "graphs": describe(result.graph, {})}
                (out / f"{name}.{case}.json").write_text(json.dumps(fixture, indent=1) + "\n")
                print(name, case, len(result.graph.node))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
