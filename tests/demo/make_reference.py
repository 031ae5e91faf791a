#!/usr/bin/env python3
"""Makes the file that the demo's test rests on, with the real tokenizer and the real sentence-transformers:

    tests/demo/make_reference.py .deps/all-MiniLM-L6-v2

- tests/demo/all_minilm_l6_v2_embeddings.safetensors: token ids, those of the sentences of examples/demo/sentences.txt
  first, and the embeddings that the model gives for them, as "<case>.input.<name>" and "<case>.output.<name>"

Needs sentence-transformers (made with 5.7.0, transformers 4.57.6, torch 2.15.0); building and testing do not.
"""

import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAD, CLS, SEP = 0, 101, 102


def batch(rows: list[list[int]], left: bool = False) -> dict[str, torch.Tensor]:
    length = max(map(len, rows))
    pad = lambda row, value: ([value] * (length - len(row)) + row) if left else (row + [value] * (length - len(row)))
    return {
        "input_ids": torch.tensor([pad(row, PAD) for row in rows]),
        "attention_mask": torch.tensor([pad([1] * len(row), 0) for row in rows]),
    }


def main() -> None:
    directory = pathlib.Path(sys.argv[1])
    model = SentenceTransformer(str(directory), device="cpu").eval()
    sentences = (ROOT / "examples/demo/sentences.txt").read_text(encoding="utf-8").splitlines()
    demo = model.tokenizer(sentences, padding=False)["input_ids"]
    random = np.random.default_rng(20)
    tokens = lambda count: [CLS, *map(int, random.integers(1000, 30522, count)), SEP]
    cases = [
        batch(demo),
        batch([[CLS, 7592, SEP]]),  # one short sentence, nothing padded
        batch([tokens(n) for n in (0, 1, 5, 126, 40)]),  # from no token to 128
        batch([tokens(n) for n in (3, 9)], left=True),  # padded on the other side
    ]
    tensors = {}
    for index, inputs in enumerate(cases):
        with torch.no_grad():
            outputs = model(dict(inputs))
        kept = ["sentence_embedding"] if inputs["input_ids"].numel() > 8 else ["token_embeddings", "sentence_embedding"]
        tensors |= {f"{index}.input.{name}": value.numpy() for name, value in inputs.items()}
        tensors |= {f"{index}.output.{name}": outputs[name].numpy() for name in kept}
    path = ROOT / "tests" / "demo" / "all_minilm_l6_v2_embeddings.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
