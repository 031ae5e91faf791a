"""A tiny GPT-2 that has learned something, so that its perplexity says what quantization costs.

    make_trained_gpt2.py OUT        writes OUT/config.json, model.safetensors (float16), text.txt, perplexity.json

The tokens are bytes. It is trained on this project's own documentation and sources; text.txt is a part of
docs/architecture.md that it has not seen, perplexity.json what transformers computes for it in windows of n_positions
bytes: the exponential of the mean cross-entropy of all bytes but each window's first.

Needs torch and transformers 4.57.
"""
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

ROOT = Path(__file__).resolve().parents[2]
WINDOW = 128
STEPS = 1200
BATCH = 24
HELD_OUT = 4096


def read():
    """Bytes to learn from, and bytes to be measured on."""
    architecture = (ROOT / "docs/architecture.md").read_bytes()
    held_out = architecture[-HELD_OUT:]
    files = sorted([*ROOT.glob("docs/add*.md"), *ROOT.glob("include/onnxport/*.h"), *ROOT.glob("src/nn/*.h"),
                    *ROOT.glob("src/core/*.h"), ROOT / "README.md"])
    return architecture[:-HELD_OUT] + b"".join(f.read_bytes() for f in files), held_out


def windows(data):
    count = len(data) // WINDOW
    return torch.from_numpy(np.frombuffer(data[:count * WINDOW], np.uint8).reshape(count, WINDOW).astype(np.int64))


def perplexity(model, data):
    model.eval()
    ids = windows(data)
    with torch.no_grad():
        logits = model(ids).logits[:, :-1].double()
    losses = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    return math.exp(losses.item())


def main(out):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = GPT2Config(vocab_size=256, n_positions=WINDOW, n_embd=96, n_layer=2, n_head=4, resid_pdrop=0.1,
                        embd_pdrop=0.1, attn_pdrop=0.1, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config)
    training, held_out = read()
    data = torch.from_numpy(np.frombuffer(training, np.uint8).astype(np.int64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS, pct_start=0.1)
    model.train()
    for step in range(STEPS):
        starts = torch.randint(len(data) - WINDOW, (BATCH,))
        ids = torch.stack([data[s:s + WINDOW] for s in starts])
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(step, loss.item(), flush=True)
    rounded = GPT2LMHeadModel(config)
    rounded.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    os.makedirs(out, exist_ok=True)
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(tensors, os.path.join(out, "model.safetensors"), {"format": "pt"})
    config.architectures = ["GPT2LMHeadModel"]
    Path(out, "config.json").write_text(config.to_json_string(use_diff=True))
    Path(out, "text.txt").write_bytes(held_out)
    result = dict(perplexity=perplexity(rounded, held_out), window=WINDOW)
    Path(out, "perplexity.json").write_text(json.dumps(result) + "\n")
    print(result)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
