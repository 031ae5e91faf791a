"""Makes cases/awq.safetensors: weights, activations, and what AWQ makes of them.

    git clone https://github.com/mit-han-lab/llm-awq
    PYTHONPATH=llm-awq python tests/quantization/make_awq_cases.py     needs torch, transformers, safetensors

The truth is the program of AWQ's authors (onnxruntime.quantization 1.32 has AWQ through NVIDIA's ModelOpt alone, which needs a
GPU). Its symmetric quantization cannot be run, so all cases have zero points.

Tensors: NAME.activations [rows, K] as float16, NAME.weight [N, K], and for each case of the metadata "cases", LAYER.BITS.BLOCK:
the scales [K] of the weight's columns and the largest magnitude that is left to each block [N, blocks]. A case is {"name", "layer", "bits", "block_size", "error", "rounding_error"}: relative errors of
activations @ weight.T.
"""

import importlib
import json
import sys
import types
from pathlib import Path

import torch
import transformers.models.auto  # before there is a package awq, which it would look into
from safetensors.torch import save_file

HERE = Path(__file__).parent
ROWS, HIDDEN, INNER = 96, 64, 128


def load_awq():
    """The two files of the search, without the CUDA kernels that the package loads beside them."""
    sys.modules["awq_inference_engine"] = types.ModuleType("awq_inference_engine")
    root = next(Path(p) / "awq" for p in sys.path if (Path(p) / "awq" / "quantize" / "auto_scale.py").exists())
    for name, path in (("awq", root), ("awq.quantize", root / "quantize"), ("awq.utils", root / "utils")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return tuple(importlib.import_module("awq.quantize." + name) for name in ("auto_scale", "auto_clip", "quantizer"))


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.Wqkv = torch.nn.Linear(HIDDEN, 64, bias=False)
        self.out_proj = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)

    def forward(self, x):
        return self.Wqkv(x)


class FeedForward(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up_proj = torch.nn.Linear(HIDDEN, INNER, bias=False)
        self.act = torch.nn.GELU()
        self.down_proj = torch.nn.Linear(INNER, 64, bias=False)

    def forward(self, x):
        return self.up_proj(x)


class MptLike(torch.nn.Module):
    """Has what the search asks of a block of MPT, whose layers it compares one by one."""

    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = torch.nn.LayerNorm(HIDDEN), torch.nn.LayerNorm(HIDDEN)
        self.attn, self.ffn = Attention(), FeedForward()


def data():
    generator = torch.Generator().manual_seed(11)
    block = MptLike()
    activations = {}
    for name, layer in block.named_modules():
        if not isinstance(layer, torch.nn.Linear):
            continue
        size = layer.in_features
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
        spread = torch.exp(1.2 * torch.randn(size, generator=generator))
        mix = torch.eye(size) + 0.3 * torch.randn((size, size), generator=generator) / size**0.5
        x = (torch.randn((ROWS, size), generator=generator) @ mix * spread).half().float()
        activations[name] = torch.relu(x) if name == "ffn.down_proj" else x
    return block, activations


def main():
    auto_scale, auto_clip, quantizer = load_awq()
    block, activations = data()
    tensors = {}
    cases = []
    for name, x in activations.items():
        tensors[f"{name}.activations"] = x.half()
        tensors[f"{name}.weight"] = block.get_submodule(name).weight.data.clone()
    for bits, block_size in ((4, 32), (4, 16), (4, 64), (2, 32)):
        config = {"zero_point": True, "q_group_size": block_size}
        found = auto_scale.auto_scale_block(block, {}, bits, config, activations)
        for _, (layer,), scales in found:
            if layer == "attn.out_proj":
                continue
            x, weight = activations[layer], tensors[f"{layer}.weight"]
            scaled = weight * scales
            largest = auto_clip.auto_clip_layer(
                scaled, x / scales, n_bit=bits, q_config=config, n_sample_token=ROWS).squeeze(-1)
            clipped = scaled.view(*largest.shape, -1).clamp(-largest[..., None], largest[..., None]).view_as(weight)
            result = quantizer.pseudo_quantize_tensor(clipped, n_bit=bits, **config) / scales
            rounded = quantizer.pseudo_quantize_tensor(weight, n_bit=bits, **config)
            expected = x @ weight.T

            def error(w):
                return float((x @ w.T - expected).norm() / expected.norm())

            case = {"name": f"{layer}.{bits}.{block_size}", "layer": layer, "bits": bits, "block_size": block_size,
                    "error": error(result), "rounding_error": error(rounded)}
            print(case, "without clipping", error(quantizer.pseudo_quantize_tensor(scaled, n_bit=bits, **config) / scales))
            cases.append(case)
            tensors[f"{case['name']}.scales"] = scales
            tensors[f"{case['name']}.largest"] = largest
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "cases" / "awq.safetensors",
              {"cases": json.dumps(cases)})


if __name__ == "__main__":
    main()
