#!/usr/bin/env python3
"""Makes the files that the demo and its test rest on, with the real tokenizer and the real sentence-transformers:

    tests/demo/make_reference.py .deps/all-MiniLM-L6-v2

- examples/demo/token_ids.txt: the sentences of examples/demo/sentences.txt as token ids
- tests/demo/all_minilm_l6_v2_embeddings.safetensors: token ids, and the embeddings that the model gives for them, as
  "<case>.input.<name>" and "<case>.output.<name>"

Needs sentence-transformers (made with 5.7.0, transformers 4.57.6, torch 2.15.0); building and testing do not.
"""

import hashlib
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo"
PAD, CLS, SEP = 0, 101, 102


def write_token_ids(tokenizer, vocabulary: pathlib.Path) -> list[list[int]]:
    sentences = (DEMO / "sentences.txt").read_text(encoding="utf-8").splitlines()
    ids = tokenizer(sentences, padding=False)["input_ids"]
    digest = hashlib.sha256(vocabulary.read_bytes()).hexdigest()
    lines = ["# The sentences of sentences.txt as token ids, a line each, by the tokenizer of all-MiniLM-L6-v2."]
    lines += [f"# vocab.txt: sha256 {digest}"]
    lines += [" ".join(map(str, row)) for row in ids]
    (DEMO / "token_ids.txt").write_text("\n".join(lines) + "\n")
    return ids


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
    demo = write_token_ids(model.tokenizer, directory / "vocab.txt")
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
