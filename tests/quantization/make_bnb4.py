"""make_bnb4.py OUT.safetensors: weights and what onnxruntime's MatMulBnb4Quantizer makes of them.

"CASE.weight" is [K, N]; "CASE.TYPE.BLOCK.packed" and ".absmax" with TYPE fp4 or nf4. Values lie on and beside the pivots of
both types, in blocks of zeros, and in blocks that the weight does not fill.
"""
import sys

import numpy as np
import onnx
from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer
from safetensors.numpy import save_file

PIVOTS = [0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333,
          -0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544, -0.23460740596055984,
          -0.13791173323988914, -0.045525018125772476, 0.03979014977812767, 0.1202552504837513, 0.2035212516784668,
          0.2920137718319893, 0.3893125355243683, 0.5016634166240692, 0.6427869200706482, 0.8614784181118011]


def weights():
    random = np.random.default_rng(7)
    pivots = np.array(PIVOTS, np.float32)
    beside = np.concatenate([pivots, np.nextafter(pivots, np.float32(2)), np.nextafter(pivots, np.float32(-2)), -pivots])
    edges = np.zeros((16, 24), np.float32)
    edges.T.flat[: beside.size] = beside
    edges[0] = 1  # so that every block's largest magnitude is 1 and values are not scaled
    zeros = random.standard_normal((64, 12)).astype(np.float32)
    zeros[:, 3] = 0
    zeros[:, 4] = -0.0
    return {
        "edges": edges,
        "zeros": zeros,
        "normal": random.standard_normal((48, 40)).astype(np.float32),
        "odd": (random.standard_normal((7, 9)) * 1e-3).astype(np.float32),
        "half": random.standard_normal((40, 24)).astype(np.float16),
    }


def main(out):
    tensors = {}
    for name, weight in weights().items():
        tensors[f"{name}.weight"] = weight
        for kind, value in (("fp4", MatMulBnb4Quantizer.FP4), ("nf4", MatMulBnb4Quantizer.NF4)):
            for block in (16, 32, 64, 128):
                quantizer = MatMulBnb4Quantizer(onnx.ModelProto(), value, block)
                packed, absmax = quantizer.bnb4_block_quant(weight)
                tensors[f"{name}.{kind}.{block}.packed"] = packed
                tensors[f"{name}.{kind}.{block}.absmax"] = absmax
    save_file(tensors, out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
