"""Golden values of outputs beyond those of a task: hidden_states, attentions, pooler_output, ...

    outputs.py FIXTURES OUT [NAME ...]      NAME: a directory of FIXTURES; none: all of them

For each fixture and each of its tasks in TASKS, writes OUT/<fixture>/<task>[.<submodel>].safetensors: everything that
the class returns with output_hidden_states and output_attentions, under eager attention, which is the only one that
has attentions, for the first case of inputs of the fixture's own file. Tensors are called <ONNX output name>, series
<name>.<index>. Metadata: `fixture`, the file whose inputs and checkpoint these are, and `outputs`, the names as
--outputs takes them, in the order of the ModelOutput.

Needs torch and transformers 4.57.
"""
import json
import os
import sys
import tempfile

import numpy as np
import torch
import transformers
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

import fixture_io as fio

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)

TASKS = {"feature-extraction", "text-generation-with-past", "text2text-generation", "text2text-generation-with-past"}
# tasks with a head, whose outputs come from the same definition: of one type each
HEADS = {"bert": {"text-classification", "multiple-choice", "question-answering"}, "gpt2": {"text-classification"},
         "distilbert": {"fill-mask"}, "vit": {"image-classification", "masked-im"}, "big_bird.full": {"fill-mask"}}
# cases other than the first, where it is they that differ
CASES = {"gpt2": 0}


def layers(inputs, part):
    """[(key, value), ...] of past_key_values.{i}[.part].{key,value}"""
    result = []
    while f"past_key_values.{len(result)}{part}.key" in inputs:
        name = f"past_key_values.{len(result)}{part}"
        result.append((inputs[name + ".key"], inputs[name + ".value"]))
    return result


def cache(pairs):
    made = DynamicCache()
    for index, (key, value) in enumerate(pairs):
        made.update(key, value, index)
    return made


def call(model, submodel, inputs):
    """The ModelOutput of a file's part of the model."""
    wanted = dict(output_hidden_states=True, output_attentions=True, return_dict=True)
    plain = {k: v for k, v in inputs.items() if not k.startswith("past_key_values.")}
    if submodel == "encoder_model":
        return model.get_encoder()(**plain, **wanted)
    if submodel in ("decoder_model", "decoder_with_past_model"):
        states = plain.get("encoder_hidden_states")
        past = None
        if submodel == "decoder_with_past_model":
            past = EncoderDecoderCache(cache(layers(inputs, ".decoder")), cache(layers(inputs, ".encoder")))
            mask = plain["encoder_attention_mask"]
            states = torch.zeros(*mask.shape, model.config.d_model)  # not read: the cache has its keys and values
        return model(encoder_outputs=(states,), attention_mask=plain["encoder_attention_mask"],
                     decoder_input_ids=plain["input_ids"], past_key_values=past, **wanted)
    if layers(inputs, ""):
        plain["past_key_values"] = cache(layers(inputs, ""))
    return model(**plain, **wanted)


def named(output, submodel):
    """{name as --outputs takes it: [(ONNX output name, tensor), ...]}"""
    result = {}
    for name, value in output.items():
        if name == "past_key_values" or value is None:
            continue
        if submodel == "encoder_model" and name in ("hidden_states", "attentions"):
            name = "encoder_" + name
        if submodel.startswith("decoder") and name.startswith("encoder_"):
            continue
        if torch.is_tensor(value):
            result[name] = [(name, value)]
        elif value and all(torch.is_tensor(v) for v in value):
            result[name] = [(f"{name}.{i}", v) for i, v in enumerate(value)]
    return result


def cropped(tensor, inputs):
    """BigBird pads sequences to whole blocks, and leaves the padding in what its layers return."""
    if "input_ids" not in inputs or "attention_mask" not in inputs or tensor.dim() < 3:
        return tensor
    length = inputs["attention_mask"].shape[-1]
    if tensor.dim() == 3 and tensor.shape[1] == length + 1:
        return tensor[:, :length]
    if tensor.dim() == 4 and tensor.shape[2] == tensor.shape[3] == length + 1:
        return tensor[:, :, :length, :length]
    return tensor


def make(fixture, path, out):
    meta = fio.metadata(path)
    name = os.path.basename(fixture)
    with tempfile.TemporaryDirectory(prefix="golden_") as directory:
        fio.materialize(fixture, meta["task"], directory)
        model_class = getattr(transformers, meta["architecture"])
        model = model_class.from_pretrained(directory, attn_implementation="eager", torch_dtype=torch.float32).eval()
    case = min(CASES.get(name, 0), len(fio.cases(path)) - 1)
    inputs = {k: torch.from_numpy(np.array(v)) for k, v in fio.cases(path)[case][0].items()}
    with torch.no_grad():
        outputs = named(call(model, meta["submodel"], inputs), meta["submodel"])
    tensors = {k: cropped(v, inputs).contiguous().numpy() for values in outputs.values() for k, v in values}
    os.makedirs(os.path.join(out, name), exist_ok=True)
    fio.save_safetensors(tensors, os.path.join(out, name, os.path.basename(path)), {
        "fixture": f"{name}/{os.path.basename(path)}", "case": str(case), "outputs": json.dumps(list(outputs)),
        "transformers": transformers.__version__})
    return {k: len(v) for k, v in outputs.items()}


def main():
    fixtures, out, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    for name in names or sorted(os.listdir(fixtures)):
        fixture = os.path.join(fixtures, name)
        for task in fio.tasks(fixture):
            if task not in TASKS and task not in HEADS.get(name, ()):
                continue
            for path in fio.task_files(fixture, task):
                meta = fio.metadata(path)
                if meta["architecture"] != meta["checkpoint_architecture"]:
                    continue  # its pooler has no weights
                print(name, os.path.basename(path), make(fixture, path, out), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
