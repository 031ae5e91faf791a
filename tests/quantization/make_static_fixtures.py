"""make_static_fixtures.py OUT: what onnxruntime's calibrators and Optimum's static quantization make of a model.

    venv/bin/python tests/quantization/make_static_fixtures.py tests/quantization/fixtures/static

static.onnx and operators.onnx are the models, data.safetensors what they are calibrated with. NAME.json holds the
configurations, the ranges that calibration found (float32, written in full), and the quantized model as
make_fixtures.py describes it.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from make_fixtures import GENERATOR, describe, node, value, weight
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantizationMode, QuantType
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, CalibrationConfig, QuantizationConfig
from safetensors.numpy import save_file


def tensor(name, values, kind=np.int64):
    return numpy_helper.from_array(np.array(values, kind), name)


def network():
    """Every operator of the QDQ format that text and image models have."""
    initializers = [
        weight("kernel", 6, 2, 3, 3), weight("kernel_bias", 6), weight("pointwise", 4, 6, 1, 1),
        weight("w1", 16, 12), weight("b1", 12), weight("w2", 10, 12), weight("b2", 10), weight("w3", 10, 8),
        weight("gain", 12), weight("offset", 12), weight("table", 5, 12), weight("tiny", 10, 12),
        numpy_helper.from_array(np.full(10, 3e5, np.float32), "huge"),
        tensor("to_rows", [0, 4, 16]), tensor("flat", [-1, 12]), tensor("low", -0.4, np.float32),
        tensor("high", 0.7, np.float32), tensor("halves", [5, 5]),
    ]
    initializers[11].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(initializers[11]) * 1e-6, "tiny"))
    nodes = [
        node("Conv", ["image", "kernel", "kernel_bias"], ["c1"], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("MaxPool", ["r1"], ["m1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m1", "pointwise"], ["c2"]),
        node("Reshape", ["c2", "to_rows"], ["rows"]),
        node("MatMul", ["rows", "w1"], ["h1"]),
        node("Add", ["h1", "b1"], ["h2"]),
        node("LayerNormalization", ["h2", "gain", "offset"], ["normed"], axis=-1),
        node("Gather", ["table", "ids"], ["embedded"]),
        node("Add", ["normed", "embedded"], ["sum"]),
        node("Transpose", ["sum"], ["sum_t"], perm=[0, 2, 1]),
        node("MatMul", ["sum", "sum_t"], ["scores"]),
        node("Softmax", ["scores"], ["weights"], axis=-1),
        node("MatMul", ["weights", "sum"], ["context"]),
        node("Reshape", ["context", "flat"], ["context2"]),
        node("Gemm", ["context2", "w2", "b2"], ["g1"], transB=1),
        node("Gemm", ["context2", "tiny", "huge"], ["g2"], transB=1),
        node("Clip", ["g1", "low", "high"], ["clipped"]),
        node("Gemm", ["clipped", "w3"], ["g3"]),
        node("Split", ["g2", "halves"], ["left", "right"], axis=1),
        node("Mul", ["left", "right"], ["product"]),
    ]
    graph = helper.make_graph(
        nodes, "main_graph", [value("image", ["batch", 2, 8, 8]), value("ids", ["batch", 4], onnx.TensorProto.INT64)],
        [value("g3", ["rows", 8]), value("product", ["rows", 5])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def more_operators():
    """Those of both formats that the network above lacks."""
    initializers = [
        weight("kernel", 4, 2, 3, 3), weight("up", 4, 3, 2, 2), weight("up_bias", 3), weight("ones", 4), weight("shift", 4),
        tensor("pads", [0, 0, 1, 1, 0, 0, 1, 1]), tensor("fill", -0.3, np.float32),
        tensor("sizes", [1, 1, 2, 2], np.float32), tensor("last", [3]), tensor("begin", [0]),
        tensor("end", [2]), tensor("limit", 0.1, np.float32), tensor("few", [2]),
        weight("mean", 4), numpy_helper.from_array(np.abs(GENERATOR.normal(size=4)).astype(np.float32) + 0.5, "variance"),
    ]
    nodes = [
        node("Conv", ["image", "kernel"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Sigmoid", ["c1"], ["gate"]),
        node("Mul", ["c1", "gate"], ["gated"]),
        node("LeakyRelu", ["gated"], ["leaky"], alpha=0.2),
        node("Pad", ["leaky", "pads", "fill"], ["padded"]),
        node("Pad", ["leaky", "pads"], ["padded_with_zero"]),
        node("Concat", ["padded", "padded_with_zero"], ["both"], axis=0),
        node("AveragePool", ["both"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["leaky", "", "sizes"], ["resized"], mode="nearest"),
        node("GlobalAveragePool", ["leaky"], ["average"]),
        node("Squeeze", ["average", "last"], ["squeezed"]),
        node("Unsqueeze", ["squeezed", "last"], ["unsqueezed"]),
        node("Flatten", ["unsqueezed"], ["flat"]),
        node("ArgMax", ["flat"], ["best"], axis=1),
        node("ConvTranspose", ["leaky", "up", "up_bias"], ["upsampled"], strides=[2, 2]),
        node("Slice", ["upsampled", "begin", "end", "last"], ["sliced"]),
        node("InstanceNormalization", ["leaky", "ones", "shift"], ["instance"]),
        node("BatchNormalization", ["instance", "ones", "shift", "mean", "variance"], ["batch"]),
        node("Greater", ["batch", "limit"], ["condition"]),
        node("Where", ["condition", "batch", "instance"], ["chosen"]),
        node("TopK", ["flat", "few"], ["top", "top_indices"], axis=1),
    ]
    outputs = [value("pooled", ["rows", 4, 3, 3]), value("resized", ["batch", 4, 8, 8]), value("sliced", ["batch", 3, 8, 2]),
               value("chosen", ["batch", 4, 4, 4]), value("top", ["batch", 2]),
               value("best", ["batch", 1], onnx.TensorProto.INT64)]
    graph = helper.make_graph(nodes, "main_graph", [value("image", ["batch", 2, 8, 8])], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


class Samples(CalibrationDataReader):
    def __init__(self, data):
        count = len(next(iter(data.values())))
        self.samples = iter([{name: array[i:i + 1] for name, array in data.items()} for i in range(count)])

    def get_next(self):
        return next(self.samples, None)


def calibration(method, **options):
    return CalibrationConfig("data", "", "", 5, method=method, **options)


MINMAX = calibration(CalibrationMethod.MinMax, moving_average=False, averaging_constant=0.01)
QOPERATOR = {"is_static": True, "format": QuantFormat.QOperator, "mode": QuantizationMode.QLinearOps}
QDQ = {"is_static": True, "format": QuantFormat.QDQ, "mode": QuantizationMode.QLinearOps}
CASES = {
    "minmax": (MINMAX, QuantizationConfig(**QDQ)),
    "minmax_per_channel": (MINMAX, QuantizationConfig(**QDQ, per_channel=True, reduce_range=True)),
    "unsigned": (MINMAX, QuantizationConfig(**QDQ, weights_dtype=QuantType.QUInt8, weights_symmetric=False)),
    "tensorrt": (MINMAX, AutoQuantizationConfig.tensorrt(per_channel=True)),
    "tensorrt_matmul": (MINMAX, AutoQuantizationConfig.tensorrt(
        per_channel=False, operators_to_quantize=["MatMul", "Gemm", "Conv"])),
    "symmetric": (MINMAX, QuantizationConfig(**QDQ, activations_dtype=QuantType.QInt8, activations_symmetric=True)),
    "average": (calibration(CalibrationMethod.MinMax, moving_average=True, averaging_constant=0.01),
                QuantizationConfig(**QDQ, operators_to_quantize=["MatMul"])),
    "percentile": (calibration(CalibrationMethod.Percentile, num_bins=2048, percentile=99.0),
                   QuantizationConfig(**QDQ)),
    "entropy": (calibration(CalibrationMethod.Entropy, num_bins=512, num_quantized_bins=128),
                QuantizationConfig(**QDQ)),
    "qoperator": (MINMAX, QuantizationConfig(**QOPERATOR)),
    "qoperator_per_channel": (MINMAX, QuantizationConfig(**QOPERATOR, per_channel=True, reduce_range=True)),
    "qoperator_unsigned": (MINMAX, QuantizationConfig(**QOPERATOR, weights_dtype=QuantType.QUInt8,
                                                      weights_symmetric=False)),
    "qoperator_symmetric": (MINMAX, QuantizationConfig(**QOPERATOR, activations_dtype=QuantType.QInt8,
                                                       activations_symmetric=True)),
    "operators_qdq": (MINMAX, QuantizationConfig(**QDQ)),
    "operators_qoperator": (MINMAX, QuantizationConfig(**QOPERATOR)),
}


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    data = {"image": GENERATOR.normal(size=(5, 2, 8, 8)).astype(np.float32),
            "ids": GENERATOR.integers(0, 5, size=(5, 4))}
    data["image"][3] *= 4  # ranges of samples differ
    save_file(data, out / "data.safetensors")
    onnx.save(network(), out / "static.onnx")
    onnx.save(more_operators(), out / "operators.onnx")
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        for name, (calibrating, config) in CASES.items():
            model = out / ("operators.onnx" if name.startswith("operators") else "static.onnx")
            calibrator = calibrating.create_calibrator(
                model.as_posix(), config.operators_to_quantize,
                force_symmetric_range=config.use_symmetric_calibration,
                augmented_model_name=(scratch / f"{name}.onnx").as_posix())
            inputs = [i.name for i in onnx.load(model).graph.input]
            calibrator.collect_data(Samples({key: data[key] for key in inputs}))
            ranges = calibrator.compute_data()
            found = {key: [float(np.squeeze(part)) for part in ranges[key].range_value] for key in ranges}
            ORTQuantizer(model).quantize(config, scratch / name, calibration_tensors_range=ranges)
            method = {k: v for k, v in vars(calibrating).items() if v is not None and not k.startswith("dataset")}
            fixture = {"model": model.name,
                       "calibration": {**method, "method": calibrating.method.name},
                       "config": json.loads((scratch / name / "ort_config.json").read_text()),
                       "ranges": dict(sorted(found.items())),
                       "graphs": describe(onnx.load(scratch / name / f"{model.stem}_quantized.onnx").graph, {})}
            (out / f"{name}.json").write_text(json.dumps(fixture, indent=1) + "\n")
            print(name, len(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
