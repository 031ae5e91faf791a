"""What transformers makes of checkpoints that are not exactly what its classes expect.

    loading.py FIXTURES OUT        FIXTURES: the directory of all fixtures

OUT/unused_tensors.json: of each checkpoint of FIXTURES, with tensors added to it that the class, its base class or older
versions of transformers save too and with some that nobody knows, those that from_pretrained reports as unexpected.
OUT/config_defaults.json: of each model type, the defaults of its config class.
Needs torch, transformers 4.57 and optimum-onnx 0.1."""
import inspect
import json
import os
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING

import fixture_io as fio
import text  # noqa: F401  (registers the types that Optimum lacks)

transformers.logging.set_verbosity_error()

# what _keys_to_ignore_on_load_unexpected of the classes is for
OLD = {
    "deberta": ["embeddings.position_embeddings.weight"],
    "deberta-v2": ["mask_predictions.dense.weight"],
    "t5": ["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"],
}
# of PretrainedConfig, beside those of the signature of each class
COMMON = ["tie_word_embeddings", "is_decoder", "add_cross_attention", "pruned_heads", "id2label", "pad_token_id"]


def base_of(model):
    """The base model of a model with a head; of T5, which has none, the model of that class."""
    if hasattr(model, model.base_model_prefix):
        return getattr(model, model.base_model_prefix)
    return MODEL_MAPPING[type(model.config)](model.config)


def added_tensors(model, meta, present):
    """Names that the class, or its base class, has and the checkpoint has not."""
    names = set(model.state_dict()) | {name for name, _ in model.named_buffers()} | {"unknown.weight"}
    old = OLD.get(meta["model_type"], [])
    prefix = model.base_model_prefix
    base = base_of(model)
    if hasattr(model, prefix):
        names |= {f"{prefix}.{n}" for n in type(base)(base.config).state_dict()}
        names.add(f"{prefix}.strange.weight")
        old = [f"{prefix}.{n}" if n.startswith("embeddings.") else n for n in old]
    return sorted((names | set(old)) - set(present))


def unexpected(cls, directory, names):
    """Under the names that the checkpoint has, where the base class reports them without its prefix."""
    _, info = cls.from_pretrained(directory, output_loading_info=True)
    prefix = cls.base_model_prefix if hasattr(cls, "base_model_prefix") else ""
    return sorted(n if n in names else f"{prefix}.{n}" for n in info["unexpected_keys"])


def unused_tensors(root):
    result, seen = [], set()
    for fixture in sorted(os.listdir(root)):
        for task in fio.tasks(os.path.join(root, fixture)):
            file = fio.task_files(os.path.join(root, fixture), task)[0]
            meta = fio.metadata(file)
            if meta["architecture"] != meta["checkpoint_architecture"]:
                continue
            key = (fixture, meta["checkpoint_architecture"])
            if key in seen:
                continue
            seen.add(key)
            with tempfile.TemporaryDirectory() as tmp:
                fio.materialize(os.path.join(root, fixture), task, tmp)
                tensors = {k: torch.from_numpy(v.copy()) for k, v in
                           fio.checkpoint_tensors(os.path.join(root, fixture), meta).items()}
                cls = getattr(transformers, meta["architecture"])
                model = cls.from_pretrained(tmp)
                added = added_tensors(model, meta, tensors)
                own = dict(model.state_dict()) | dict(model.named_buffers())
                base = base_of(model)
                whole = {f"{model.base_model_prefix}.{n}": t for n, t in type(base)(base.config).state_dict().items()}
                tensors |= {n: own.get(n, whole.get(n, torch.zeros(1))).clone() for n in added}
                save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(tmp, "model.safetensors"),
                          metadata={"format": "pt"})
                expected = {task: unexpected(cls, tmp, tensors)}
                if task.replace("-with-past", "") != "feature-extraction":
                    expected["feature-extraction"] = unexpected(type(base), tmp, tensors)
            result.append(dict(fixture=fixture, file=os.path.basename(file), added=added, unused=expected))
    return result


def config_defaults(root):
    result = {}
    for model_type in sorted({f.split(".")[0] for f in os.listdir(root)}):
        cls = CONFIG_MAPPING[model_type]
        fields = {n: p.default for n, p in inspect.signature(cls.__init__).parameters.items()
                  if p.kind is p.POSITIONAL_OR_KEYWORD and n != "self"}
        config = cls()
        for name in COMMON:
            fields.setdefault(name, getattr(config, name))
        result[model_type] = json.loads(json.dumps(fields))
    return result


def write(value, path):
    with open(path, "w", encoding="utf-8") as f:
        if isinstance(value, list):
            f.write("[\n" + ",\n".join(json.dumps(v, separators=(",", ":")) for v in value) + "\n]\n")
        else:
            f.write("{\n" + ",\n".join(f'"{k}":' + json.dumps(v, separators=(",", ":")) for k, v in value.items()) + "\n}\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(config_defaults(sys.argv[1]), os.path.join(sys.argv[2], "config_defaults.json"))
    write(unused_tensors(sys.argv[1]), os.path.join(sys.argv[2], "unused_tensors.json"))
