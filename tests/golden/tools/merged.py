"""merged.py FIXTURES OUT.json FIXTURE...: inputs and outputs of the decoder_model_merged.onnx that Optimum writes.

Each fixture is an encoder-decoder; the tasks are those with a cache that it has files for. The result maps
"FIXTURE/TASK" to {"inputs": [[name, type, [axis, ...]], ...], "outputs": ...}, and "branches" to what the If is called.
"""
import json
import sys
import tempfile
from pathlib import Path

import onnx
from fixture_io import materialize
from optimum.exporters.onnx import main_export


def signature(values):
    return [[v.name, onnx.TensorProto.DataType.Name(v.type.tensor_type.elem_type),
             [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]] for v in values]


def describe(path):
    model = onnx.load(path)
    node, = model.graph.node
    branches = {a.name: a.g for a in node.attribute}
    return {
        "ir_version": model.ir_version,
        "graph": model.graph.name,
        "node": [node.op_type, node.name, list(node.input), list(node.output)],
        "branches": {name: graph.name for name, graph in branches.items()},
        "inputs": signature(model.graph.input),
        "outputs": signature(model.graph.output),
        "branch_outputs": {name: signature(graph.output) for name, graph in branches.items()},
        "empty_outputs": {n.output[0]: list(n.attribute[0].t.dims) for n in branches["then_branch"].node
                          if n.op_type == "Constant" and n.output[0].startswith("present.")},
    }


def main(fixtures, out, *names):
    result = {}
    for name in names:
        fixture = Path(fixtures) / name
        tasks = sorted({f.name.split(".")[0] for f in fixture.glob("*-with-past.decoder_with_past_model.safetensors")})
        for task in tasks:
            with tempfile.TemporaryDirectory() as directory:
                materialize(str(fixture), task, directory + "/checkpoint")
                main_export(directory + "/checkpoint", directory + "/onnx", task=task, do_validation=False,
                            library_name="transformers")
                result[f"{name}/{task}"] = describe(directory + "/onnx/decoder_model_merged.onnx")
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    Path(out).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
