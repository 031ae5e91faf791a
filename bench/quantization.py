#!/usr/bin/env python3
"""Weights of 4 bits by onnxruntime's own tool, for bench/quantization.cpp:

    bench/quantization.py MODEL_ONNX OUTPUT_ONNX BLOCK_SIZE

Symmetric, round to nearest: the default of the tool, and of `onnxport quantize --weights int4`.
"""

import sys

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer


def main() -> None:
    source, output, block_size = sys.argv[1:]
    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=int(block_size), is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(output, use_external_data_format=False)


if __name__ == "__main__":
    main()
