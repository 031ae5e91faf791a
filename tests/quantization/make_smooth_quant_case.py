"""Makes cases/smooth_quant.safetensors: a LayerNorm with two linear layers behind it, and what SmoothQuant makes of them.

    git clone https://github.com/mit-han-lab/smoothquant
    PYTHONPATH=smoothquant python tests/quantization/make_smooth_quant_case.py     needs torch, transformers, safetensors

The truth is smooth_ln_fcs of SmoothQuant's authors (onnxruntime's option needs a neural_compressor that is no longer
published for its version, and gives each node scales of its own).

Tensors: x [samples, K]; gamma, beta [K], first and second [N, K] as they were, and ALPHA.gamma and so on afterwards.
"""

import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from smoothquant.smooth import smooth_ln_fcs

HERE = Path(__file__).parent
K = 24


def main():
    generator = torch.Generator().manual_seed(5)
    norm = torch.nn.LayerNorm(K)
    norm.weight.data = 1 + 0.1 * torch.randn(K, generator=generator)
    norm.weight.data[[3, 11]] = torch.tensor([20.0, -35.0])  # outliers
    norm.bias.data = 0.1 * torch.randn(K, generator=generator)
    layers = [torch.nn.Linear(K, n, bias=False) for n in (10, 7)]
    for layer in layers:
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
    layers[0].weight.data[:, 5] = 0  # weights of one channel that are small, and zero
    layers[1].weight.data[:, 5] = 0
    x = torch.randn((40, K), generator=generator)
    act_scales = norm(x).abs().amax(0).detach()
    tensors = {"x": x}

    def store(prefix, modules):
        for name, tensor in zip(("gamma", "beta", "first", "second"), modules, strict=True):
            tensors[prefix + name] = tensor.detach().clone()

    store("", (norm.weight, norm.bias, layers[0].weight, layers[1].weight))
    for alpha in (0.3, 0.5, 0.8):
        smooth, first, second = copy.deepcopy(norm), *copy.deepcopy(layers)
        smooth_ln_fcs(smooth, [first, second], act_scales, alpha)
        store(f"{alpha}.", (smooth.weight, smooth.bias, first.weight, second.weight))
    save_file(tensors, HERE / "cases" / "smooth_quant.safetensors")


if __name__ == "__main__":
    main()
