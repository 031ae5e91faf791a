#!/usr/bin/env python3
"""Makes tests/optimization/traced with Optimum: ONNX files as torch's tracer writes them, and what they compute.

    tests/optimization/make_traced.py [NAME...]

Every file NAME.onnx is a tiny model of random weights as optimum.exporters.onnx exports it. NAME.safetensors has
inputs and what ONNX Runtime computes for them without any optimization, as "<case>.input.<name>" and
"<case>.output.<name>". operators.json tells which fused operators Optimum's own ORTOptimizer makes of each file at O2.

Needs optimum-onnx (made with 0.1.0, transformers 4.57.6, torch 2.15.0, onnxruntime 1.32.0); building and testing do
not.
"""

import collections
import json
import pathlib
import sys
import tempfile

import numpy
import onnx
import onnxruntime
import torch
import transformers
from optimum.exporters.onnx import onnx_export_from_model
from optimum.onnxruntime import AutoOptimizationConfig, ORTOptimizer
from safetensors.numpy import save_file

TRACED = pathlib.Path(__file__).resolve().parent / "traced"
VOCABULARY = 40
FIRST_WORD = 5  # below it: special tokens
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
ENCODER = SIZES | {"pad_token_id": 1}
GPT2 = transformers.GPT2Config(
    vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=32, n_inner=24, bos_token_id=1, eos_token_id=1, pad_token_id=0
)
T5 = transformers.T5Config(
    vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, relative_attention_num_buckets=8,
    relative_attention_max_distance=16, feed_forward_proj="gated-gelu", decoder_start_token_id=0
)
BART = transformers.BartConfig(
    vocab_size=VOCABULARY, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
    decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32, pad_token_id=1,
    bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None
)
DECODER = SIZES | {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}

# Name: class, config, task, whether decoders are merged.
MODELS = {
    "bert": (transformers.BertModel, transformers.BertConfig(**SIZES), "feature-extraction", False),
    "roberta": (transformers.RobertaForMaskedLM, transformers.RobertaConfig(**ENCODER, type_vocab_size=1), "fill-mask",
                False),
    "distilbert": (
        transformers.DistilBertForSequenceClassification,
        transformers.DistilBertConfig(
            vocab_size=VOCABULARY, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=32
        ),
        "text-classification",
        False,
    ),
    "albert": (transformers.AlbertModel, transformers.AlbertConfig(**SIZES, embedding_size=8), "feature-extraction",
               False),
    "gpt2": (transformers.GPT2LMHeadModel, GPT2, "text-generation", False),
    "gpt2_with_past": (transformers.GPT2LMHeadModel, GPT2, "text-generation-with-past", True),
    "t5": (transformers.T5ForConditionalGeneration, T5, "text2text-generation-with-past", False),
    "t5_merged": (transformers.T5ForConditionalGeneration, T5, "text2text-generation-with-past", True),
    "bart": (transformers.BartForConditionalGeneration, BART, "text2text-generation-with-past", False),
    "vit": (
        transformers.ViTModel,
        transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=8,
            patch_size=4
        ),
        "feature-extraction",
        False,
    ),
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**DECODER), "text-generation-with-past", True),
    "qwen2": (
        transformers.Qwen2ForCausalLM,
        transformers.Qwen2Config(**DECODER, use_sliding_window=False),
        "text-generation-with-past",
        True,
    ),
    "mistral": (
        transformers.MistralForCausalLM,
        transformers.MistralConfig(**DECODER, sliding_window=None),
        "text-generation-with-past",
        True,
    ),
    "esm": (
        transformers.EsmModel,
        transformers.EsmConfig(
            **ENCODER, mask_token_id=2, position_embedding_type="rotary", token_dropout=False
        ),
        "feature-extraction",
        False,
    ),
    "modernbert": (
        transformers.ModernBertModel,
        transformers.ModernBertConfig(
            **ENCODER, global_attn_every_n_layers=2, local_attention=8, bos_token_id=2, eos_token_id=3,
            cls_token_id=2, sep_token_id=3, attn_implementation="sdpa",
        ),
        "feature-extraction",
        False,
    ),
    "deberta-v2": (
        transformers.DebertaV2Model,
        transformers.DebertaV2Config(
            **SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, share_att_key=True,
            norm_rel_ebd="layer_norm", position_biased_input=False, type_vocab_size=0
        ),
        "feature-extraction",
        False,
    ),
    "clip": (
        transformers.CLIPModel,
        transformers.CLIPConfig(
            text_config=SIZES | {"max_position_embeddings": 24, "eos_token_id": 3, "projection_dim": 8},
            vision_config=SIZES | {"image_size": 8, "patch_size": 4, "projection_dim": 8},
            projection_dim=8,
        ),
        "zero-shot-image-classification",
        False,
    ),
}


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Weights far from their initial values, so that no part of a model is without effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.3 if parameter.dim() > 1 else 0.1, generator=generator)
            if "norm" in name.lower() and name.endswith("weight"):
                parameter += 1.0


# Of each case: batch, length, past length, length of what is attended to, and the side that is padded.
CASES = [(2, 5, 0, 6, "right"), (1, 7, 0, 4, "none"), (2, 1, 4, 5, "left"), (1, 3, 2, 7, "none"), (2, 6, 0, 3, "left")]


def make_inputs(session: onnxruntime.InferenceSession, case: tuple[int, int, int, int, str], seed: int) -> dict:
    batch, length, past, source, side = case
    random = numpy.random.default_rng(seed)
    names = {entry.name for entry in session.get_inputs()}
    has_past = any(name.startswith("past_key_values") for name in names)
    # In an encoder-decoder, encoder_attention_mask goes with the source; the rest with the target.
    past = past if has_past else 0
    if "decoder" in " ".join(names) or "encoder_hidden_states" in names:
        mask_length = source
    else:
        mask_length = length + past

    def mask(size: int) -> numpy.ndarray:
        values = numpy.ones((batch, size), numpy.int64)
        if side == "right":
            values[-1, size - size // 3:] = 0
        elif side == "left":
            values[0, : size // 3] = 0
        return values

    inputs = {}
    for entry in session.get_inputs():
        name = entry.name
        fixed = [size if isinstance(size, int) else None for size in entry.shape]
        if name in ("input_ids", "decoder_input_ids"):
            value = random.integers(FIRST_WORD, VOCABULARY, (batch, length))
            if "pixel_values" in names:
                value[:, -1] = 3
        elif name == "token_type_ids":
            value = random.integers(0, 2, (batch, length))
        elif name == "position_ids":
            value = numpy.maximum(mask(length + past).cumsum(-1)[:, past:] - 1, 0)
        elif name == "attention_mask":
            value = mask(mask_length)
        elif name == "encoder_attention_mask":
            value = mask(source)
        elif name == "encoder_hidden_states":
            value = random.normal(size=(batch, source, fixed[2] or 16)).astype(numpy.float32)
        elif name == "pixel_values":
            value = random.normal(size=(batch, 3, 8, 8)).astype(numpy.float32)
        elif name == "use_cache_branch":
            value = numpy.array([past > 0])
        elif name.startswith("past_key_values"):
            size = source if ".encoder." in name else past
            value = random.normal(size=(batch, fixed[1], size, fixed[3])).astype(numpy.float32)
        else:
            raise SystemExit(f"no value for the input {name} {entry.shape}")
        inputs[name] = value
    return inputs


def reference(path: pathlib.Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def write_cases(path: pathlib.Path, target: pathlib.Path) -> None:
    session = reference(path)
    names = {entry.name for entry in session.get_inputs()}
    only_with_past = any(name.startswith("past_key_values") for name in names) and "encoder" in " ".join(names)
    is_merged = "use_cache_branch" in names
    tensors = {}
    count = 0
    for seed, case in enumerate(CASES):
        if only_with_past and not is_merged and case[2] == 0:
            continue
        inputs = make_inputs(session, case, seed)
        outputs = session.run(None, inputs)
        tensors |= {f"{count}.input.{name}": value for name, value in inputs.items()}
        tensors |= {
            f"{count}.output.{entry.name}": value for entry, value in zip(session.get_outputs(), outputs, strict=True)
        }
        count += 1
    save_file({name: numpy.ascontiguousarray(value) for name, value in tensors.items()}, target)
    target.chmod(0o644)


def strip(path: pathlib.Path, target: pathlib.Path) -> None:
    """Without doc strings, metadata and the shapes of inner values, which take more room than the weights."""
    model = onnx.load(path)

    def visit(graph: onnx.GraphProto) -> None:
        graph.ClearField("value_info")
        graph.ClearField("doc_string")
        for node in graph.node:
            node.ClearField("doc_string")
            del node.metadata_props[:]
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    visit(attribute.g)

    visit(model.graph)
    onnx.save(model, target)
    target.chmod(0o644)


def fused_operators(path: pathlib.Path) -> dict[str, int]:
    counts: collections.Counter[str] = collections.Counter()

    def visit(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if node.domain == "com.microsoft" or node.op_type in ("LayerNormalization", "SimplifiedLayerNormalization"):
                counts[node.op_type] += 1
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    visit(attribute.g)

    visit(onnx.load(path).graph)
    return dict(sorted(counts.items()))


def optimize(directory: pathlib.Path, name: str) -> dict[str, int] | str:
    """What Optimum fuses in one file, or why it does not."""
    with tempfile.TemporaryDirectory() as output:
        try:
            optimizer = ORTOptimizer.from_pretrained(directory, file_names=[f"{name}.onnx"])
            optimizer.optimize(AutoOptimizationConfig.O2(), save_dir=output, file_suffix="")
        except Exception as error:  # Optimum's refusals are of many kinds
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return fused_operators(pathlib.Path(output) / f"{name}.onnx")


def make(name: str) -> dict[str, object]:
    model_class, config, task, merged = MODELS[name]
    torch.manual_seed(0)
    model = model_class(config).eval()
    randomize(model, sorted(MODELS).index(name))
    result = {}
    with tempfile.TemporaryDirectory() as output:
        directory = pathlib.Path(output)
        model.config.save_pretrained(directory)
        onnx_export_from_model(
            model, directory, task=task, do_validation=False, no_post_process=not merged, device="cpu"
        )
        for path in sorted(directory.glob("*.onnx")):
            if merged and path.stem in ("decoder_model", "decoder_with_past_model", "encoder_model"):
                continue
            target = name if path.stem == "model" else f"{name}.{path.stem}"
            strip(path, TRACED / f"{target}.onnx")
            write_cases(path, TRACED / f"{target}.safetensors")
            result[target] = optimize(directory, path.stem)
    return result


def main() -> None:
    TRACED.mkdir(exist_ok=True)
    table_path = TRACED / "operators.json"
    table = json.loads(table_path.read_text()) if table_path.exists() else {}
    for name in sys.argv[1:] or MODELS:
        table |= make(name)
        table_path.write_text(json.dumps(dict(sorted(table.items())), indent=2) + "\n")
        print(name, flush=True)


if __name__ == "__main__":
    main()
