"""What `python -m transformers.onnx` of transformers 4.57 declares and prints: the fixtures of the tests here.

    make_fixtures.py table OUT      OUT/features.json: of every model type and feature the OnnxConfig's inputs and
                                    outputs with their axes, opset and tolerance
    make_fixtures.py logs OUT       OUT/logs.json: the log of real exports of ../golden/fixtures, and the inputs and
                                    outputs of the files that came of them

Configs are those of ../golden/fixtures where there are any, else the defaults of the config class. torch.onnx.export
is called with dynamo=False and opset 14: the command knows nothing newer, and the attention of current models cannot be
exported at its own default of 11. (gpt2 cannot be exported by it any more, with neither.) Needs torch and
transformers 4.57.
"""
import io
import json
import logging
import os
import re
import sys
import tempfile
from argparse import Namespace
from contextlib import redirect_stdout
from pathlib import Path

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.onnx import FeaturesManager
from transformers.onnx import __main__ as command

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden")
sys.path.insert(0, os.path.join(GOLDEN, "tools"))
import fixture_io as fio  # noqa: E402

FIXTURES = os.path.join(GOLDEN, "fixtures")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world"]
LOGS = [("distilbert", "default", "feature-extraction"), ("distilbert", "masked-lm", "fill-mask"),
        ("bert", "default", "feature-extraction"), ("bert", "question-answering", "question-answering"),
        ("bert", "sequence-classification", "text-classification"),
        ("t5", "default", "feature-extraction"), ("t5", "seq2seq-lm", "text2text-generation")]


def axes(mapping):
    """{name: {axis: symbol}}, of a cache the first two layers, as many as the fixtures have."""
    return {name: {str(axis): symbol for axis, symbol in of.items()} for name, of in mapping.items()
            if not re.match(r"(present|past_key_values)\.([2-9]|\d\d)", name)}


def config_of(model_type):
    for name in (model_type, model_type.replace("-", "_")):
        path = os.path.join(FIXTURES, name, "config.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                config = json.load(f)
            return name, CONFIG_MAPPING[name].from_dict(config)
        if name in CONFIG_MAPPING:
            try:
                return name, CONFIG_MAPPING[name]()
            except ValueError:  # vision-encoder-decoder, which is made of two
                return name, None
    return model_type, None


def table(out):
    types = {}
    for model_type, features in FeaturesManager._SUPPORTED_MODEL_TYPE.items():
        name, config = config_of(model_type)
        entry = types.setdefault(name, {"name": model_type, "features": {}})
        for feature, make in features.items():
            described = {}
            try:
                made = make(config)
                described = dict(inputs=axes(made.inputs), outputs=axes(made.outputs), opset=made.default_onnx_opset,
                                 atol=made.atol_for_validation, values_override=made.values_override or {})
            except Exception:  # what no config of ours has: the feature is known all the same
                pass
            entry["features"][feature] = described
    with open(os.path.join(out, "features.json"), "w", encoding="utf-8") as f:
        json.dump({"transformers": transformers.__version__, "types": types}, f, indent=1, sort_keys=False)
        f.write("\n")


def signature(values):
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def export(model_type, feature, task):
    import onnx

    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, written = os.path.join(scratch, "model"), Path(scratch, "onnx")
        fio.materialize(os.path.join(FIXTURES, model_type), task, checkpoint)
        with open(os.path.join(checkpoint, "vocab.txt"), "w", encoding="utf-8") as f:
            f.write("\n".join(VOCABULARY) + "\n")
        with open(os.path.join(checkpoint, "tokenizer_config.json"), "w", encoding="utf-8") as f:
            token_types = ["token_type_ids"] if model_type == "bert" else []
            json.dump(dict(tokenizer_class="BertTokenizer",
                           model_input_names=["input_ids"] + token_types + ["attention_mask"]), f)
        lines = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        logger = logging.getLogger("transformers")
        logger.addHandler(handler)
        result = dict(model_type=model_type, feature=feature, task=task)
        try:
            with redirect_stdout(io.StringIO()):
                command.export_with_transformers(Namespace(
                    model=checkpoint, feature=feature, opset=14, atol=None, framework="pt", output=written,
                    cache_dir=None, preprocessor="auto"))
            model = onnx.load(str(written / "model.onnx"))
            result.update(files=sorted(os.listdir(written)), inputs=signature(model.graph.input),
                          outputs=signature(model.graph.output))
        except Exception as error:
            result.update(error=f"{type(error).__name__}: {str(error)[:200]}")
        logger.removeHandler(handler)
        result["log"] = [line.replace(scratch + os.sep, "") for line in lines]
        return result


def logs(out):
    export_to_onnx = torch.onnx.export
    torch.onnx.export = lambda *a, **k: export_to_onnx(*a, dynamo=False, **k)
    for name in ("transformers.onnx", "transformers.onnx.convert", "transformers.onnx.features"):
        logging.getLogger(name).setLevel(logging.INFO)
    command.logger = transformers.utils.logging.get_logger("transformers.onnx")
    command.logger.setLevel(logging.INFO)
    results = []
    for case in LOGS:
        results.append(export(*case))
        print(case, results[-1].get("error", "ok"), flush=True)
    with open(os.path.join(out, "logs.json"), "w", encoding="utf-8") as f:
        json.dump({"transformers": transformers.__version__, "exports": results}, f, indent=1, ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("table", "logs"):
        sys.exit(__doc__)
    {"table": table, "logs": logs}[sys.argv[1]](sys.argv[2])
