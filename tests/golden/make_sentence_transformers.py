#!/usr/bin/env python3
"""Makes tests/sentence_transformers/fixtures with the real sentence-transformers:

    tests/golden/make_sentence_transformers.py [NAME...]

Every fixture is a directory as SentenceTransformer saves it, with a tiny transformer of random weights, and
cases.safetensors: inputs and what the model gives for them, as "<case>.input.<name>" and "<case>.output.<name>".
The outputs are computed by SentenceTransformer(directory), so that the files mean what they are taken for, also those
that older releases wrote.

Needs sentence-transformers (made with 5.7.0, transformers 4.57.6, torch 2.15.0); building and testing do not.
"""

import dataclasses
import json
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable

import torch
import transformers
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Normalize, Pooling

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "sentence_transformers" / "fixtures"
SIZE = 16
SIZES = {
    "vocab_size": 40,
    "hidden_size": SIZE,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
CONFIGS = {
    "bert": transformers.BertConfig(**SIZES),
    "distilbert": transformers.DistilBertConfig(
        vocab_size=40, dim=SIZE, n_layers=1, n_heads=2, hidden_dim=24, max_position_embeddings=32
    ),
    "roberta": transformers.RobertaConfig(**SIZES, type_vocab_size=1),
    "xlm-roberta": transformers.XLMRobertaConfig(**SIZES, type_vocab_size=1),
    "mpnet": transformers.MPNetConfig(**SIZES),
    "t5": transformers.T5Config(
        vocab_size=40, d_model=SIZE, d_kv=8, d_ff=24, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    ),
    "gpt2": transformers.GPT2Config(
        vocab_size=40, n_embd=SIZE, n_layer=1, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=1, pad_token_id=0
    ),
}
FIRST_WORD = 5  # below it: special tokens
TOKENIZER_FILES = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"}
POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Weights far from their initial values, so that no part of a model is without effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.3 if parameter.dim() > 1 else 0.1, generator=generator)
            if name.lower().endswith("norm.weight"):
                parameter += 1.0


def make_transformer(model_type: str, seed: int, directory: pathlib.Path) -> Transformer:
    """A transformer with a tokenizer, which sentence-transformers insists on."""
    model = transformers.AutoModel.from_config(CONFIGS[model_type])
    randomize(model, seed)
    model.save_pretrained(directory)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(ord("a") + i) for i in range(26))]
    (directory / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizerFast(str(directory / "vocab.txt")).save_pretrained(directory)
    return Transformer(str(directory))


def batch(rows: list[list[int]], pad: int, left: bool = False) -> dict[str, torch.Tensor]:
    length = max(map(len, rows))

    def fill(row: list[int], value: int) -> list[int]:
        rest = [value] * (length - len(row))
        return rest + row if left else row + rest

    return {
        "input_ids": torch.tensor([fill(row, pad) for row in rows]),
        "attention_mask": torch.tensor([fill([1] * len(row), 0) for row in rows]),
    }


def make_inputs(pad: int, seed: int, causal: bool) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)

    def tokens(*lengths: int) -> list[list[int]]:
        return [torch.randint(FIRST_WORD, 40, (length,), generator=generator).tolist() for length in lengths]

    # Padding on the left of a causal model attends to nothing: its states are whatever an implementation makes of that.
    return [
        batch(tokens(7, 4, 1), pad),
        batch(tokens(2, 6), pad, left=not causal),
        batch(tokens(9), pad),
    ]


def write_cases(directory: pathlib.Path, seed: int) -> None:
    model = SentenceTransformer(str(directory), device="cpu").eval()
    tensors = {}
    config = model[0].model.config
    for index, inputs in enumerate(make_inputs(config.pad_token_id, seed, causal=config.model_type == "gpt2")):
        with torch.no_grad():
            outputs = model(dict(inputs))
        tensors |= {f"{index}.input.{name}": value.numpy() for name, value in inputs.items()}
        for name in ("token_embeddings", "sentence_embedding"):
            tensors[f"{index}.output.{name}"] = outputs[name].numpy()
    save_file(tensors, directory / "cases.safetensors")


def tidy(directory: pathlib.Path, keep_tokenizer: bool) -> None:
    (directory / "README.md").unlink(missing_ok=True)
    for path in directory.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
        if path.name in TOKENIZER_FILES and not keep_tokenizer:
            path.unlink()


def write_json(path: pathlib.Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def as_older_releases(directory: pathlib.Path) -> None:
    """The files of sentence-transformers 2 to 4: other class paths, flags for pooling modes, fewer options."""
    modules = json.loads((directory / "modules.json").read_text())
    for module in modules:
        module["type"] = "sentence_transformers.models." + module["type"].rsplit(".", 1)[1]
    write_json(directory / "modules.json", modules)
    pooling = json.loads((directory / "1_Pooling/config.json").read_text())
    modes = pooling["pooling_mode"]
    chosen = [modes] if isinstance(modes, str) else modes
    flags = {flag: mode in chosen for mode, flag in POOLING_FLAGS.items()}
    write_json(directory / "1_Pooling/config.json", {"word_embedding_dimension": SIZE, **flags})
    write_json(directory / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}})
    for options in directory.rglob("sentence_bert_config.json"):
        write_json(options, {"max_seq_length": 32, "do_lower_case": False})


def without_modules(directory: pathlib.Path) -> None:
    """A transformer that sentence-transformers is to use as it is: it takes the mean."""
    for name in ("modules.json", "config_sentence_transformers.json"):
        (directory / name).unlink()
    shutil.rmtree(directory / "1_Pooling")
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})


@dataclasses.dataclass
class Plan:
    model_type: str
    modules: list[torch.nn.Module]  # after the transformer
    edit: Callable[[pathlib.Path], None] | None = None  # what is done to the files
    folder: bool = False  # the transformer lies in 0_Transformer, where the oldest releases put it


def bert(*modules: torch.nn.Module, **options) -> Plan:
    return Plan("bert", list(modules), **options)


TANH, GELU, LINEAR = torch.nn.Tanh(), torch.nn.GELU(), torch.nn.Identity()
PLANS = {
    "bert.cls": bert(Pooling(SIZE, "cls")),
    "bert.max": bert(Pooling(SIZE, "max")),
    "bert.mean": bert(Pooling(SIZE, "mean"), Normalize()),
    "bert.mean_sqrt_len": bert(Pooling(SIZE, "mean_sqrt_len_tokens")),
    "bert.weightedmean": bert(Pooling(SIZE, "weightedmean")),
    "bert.lasttoken": bert(Pooling(SIZE, "lasttoken"), Normalize()),
    "bert.two_poolings": bert(Pooling(SIZE, ("mean", "cls"))),
    "bert.two_flags": bert(Pooling(SIZE, ("max", "mean")), edit=as_older_releases),
    "bert.lasttoken_flag": bert(Pooling(SIZE, "lasttoken"), edit=as_older_releases),
    "bert.weightedmean_flag": bert(Pooling(SIZE, "weightedmean"), edit=as_older_releases),
    "bert.no_modules": bert(Pooling(SIZE, "mean"), edit=without_modules),
    "bert.dense": bert(
        Pooling(SIZE, "mean"),
        Dense(SIZE, 12, activation_function=TANH),
        Dense(12, 10, bias=False, activation_function=LINEAR),
        Normalize(),
    ),
    "bert.dense_of_tokens": bert(
        Dense(SIZE, 8, activation_function=GELU, module_input_name="token_embeddings"), Pooling(8, "max")
    ),
    "bert.layer_norm": bert(Pooling(SIZE, "cls"), Dropout(0.5), LayerNorm(SIZE)),
    "bert.folder": bert(
        Pooling(SIZE, "mean"), Dense(SIZE, 12, activation_function=TANH), edit=as_older_releases, folder=True
    ),
    "distilbert": Plan("distilbert", [Pooling(SIZE, "mean"), Normalize()]),
    "roberta": Plan("roberta", [Pooling(SIZE, "mean"), Normalize()], edit=as_older_releases),
    "xlm-roberta": Plan("xlm-roberta", [Pooling(SIZE, "mean")]),
    "mpnet": Plan("mpnet", [Pooling(SIZE, "mean"), Normalize()], edit=as_older_releases),
    "t5": Plan(  # as sentence-t5: the encoder alone
        "t5",
        [Pooling(SIZE, "mean"), Dense(SIZE, 12, bias=False, activation_function=LINEAR), Normalize()],
        edit=as_older_releases,
    ),
    "gpt2": Plan("gpt2", [Pooling(SIZE, "weightedmean")]),  # as SGPT
}


def make(name: str, seed: int) -> None:
    plan = PLANS[name]
    directory = FIXTURES / name
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        transformer = make_transformer(plan.model_type, seed, pathlib.Path(temporary))
        transformer.save_in_root = not plan.folder
        for index, module in enumerate(plan.modules):
            randomize(module, seed + 100 + index)
        SentenceTransformer(modules=[transformer, *plan.modules], device="cpu").save(str(directory))
    if plan.edit:
        plan.edit(directory)
    write_cases(directory, seed)
    tidy(directory, keep_tokenizer=plan.folder)


def main() -> None:
    names = list(PLANS)
    for name in sys.argv[1:] or names:
        make(name, seed=1 + names.index(name))


if __name__ == "__main__":
    main()
