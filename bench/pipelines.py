#!/usr/bin/env python3
"""Sentence embeddings in Python, for bench/pipelines.cpp:

    bench/pipelines.py optimum|optimum-sorted|sentence-transformers MODEL_ONNX CHECKPOINT

Opens its model once; then, for each line with the path of a file of sentences on standard input, embeds them and prints
the seconds that it took, so that turns can be taken with others.
"""

import pathlib
import sys
import time


def optimum(directory: str, by_length: bool):
    import torch
    from optimum.onnxruntime import ORTModelForFeatureExtraction
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = ORTModelForFeatureExtraction.from_pretrained(directory, file_name="model.onnx")

    def encode(sentences: list[str]) -> None:
        if by_length:
            sentences = sorted(sentences, key=len, reverse=True)
        for begin in range(0, len(sentences), 32):
            inputs = tokenizer(sentences[begin : begin + 32], padding=True, truncation=True, max_length=256, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            torch.nn.functional.normalize(pooled, dim=1).numpy()

    return encode


def sentence_transformers(directory: str):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(directory, device="cpu")
    return lambda sentences: model.encode(sentences, batch_size=32)


def main() -> None:
    kind, exported, checkpoint = sys.argv[1:]
    if kind == "sentence-transformers":
        encode = sentence_transformers(checkpoint)
    else:
        encode = optimum(exported, kind == "optimum-sorted")
    print("ready", flush=True)
    for line in sys.stdin:
        sentences = pathlib.Path(line.strip()).read_text(encoding="utf-8").splitlines()
        begin = time.perf_counter()
        encode(sentences)
        print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main()
