"""Golden values of encoder-decoders in one file (--monolith, and the one that transformers.onnx wrote).

    monolith.py FIXTURES OUT [NAME ...]     NAME: a directory of FIXTURES; none: t5

Writes OUT/<fixture>.<task>.safetensors for feature-extraction and text2text-generation: the tensors of two cases,
<case>.input.<name> and <case>.output.<name>, the second with rows that are padded on either side, in the decoder, too.
Metadata: `fixture`, the file whose checkpoint it is.

Needs torch and transformers 4.57.
"""
import os
import sys
import tempfile

import numpy as np
import torch
import transformers

import fixture_io as fio

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)

OUTPUTS = {"feature-extraction": "last_hidden_state", "text2text-generation": "logits"}
SIZES = [(2, 7, 5), (3, 6, 8)]  # batch, encoder's and decoder's length


def masks(batch, length, padded):
    mask = np.ones((batch, length), np.int64)
    if padded:
        mask[0, :2] = 0
        mask[1, length - 3:] = 0
    return mask


def make(fixture, task, out):
    path = fio.task_files(fixture, task)[0]
    meta = fio.metadata(path)
    with tempfile.TemporaryDirectory(prefix="golden_") as directory:
        fio.materialize(fixture, task, directory)
        model_class = getattr(transformers, meta["architecture"])
        model = model_class.from_pretrained(directory, attn_implementation="eager", torch_dtype=torch.float32).eval()
    random = np.random.default_rng(7)
    tensors = {}
    for case, (batch, encoder_length, decoder_length) in enumerate(SIZES):
        inputs = dict(
            input_ids=random.integers(2, model.config.vocab_size, (batch, encoder_length)),
            attention_mask=masks(batch, encoder_length, case == 1),
            decoder_input_ids=random.integers(2, model.config.vocab_size, (batch, decoder_length)),
            decoder_attention_mask=masks(batch, decoder_length, case == 1))
        with torch.no_grad():
            output = model(**{k: torch.from_numpy(v) for k, v in inputs.items()}, use_cache=False)
        tensors.update({f"{case}.input.{k}": v for k, v in inputs.items()})
        tensors[f"{case}.output.{OUTPUTS[task]}"] = output[OUTPUTS[task]].numpy()
    name = os.path.basename(fixture)
    fio.save_safetensors(tensors, os.path.join(out, f"{name}.{task}.safetensors"), {
        "fixture": f"{name}/{os.path.basename(path)}", "transformers": transformers.__version__})


def main():
    fixtures, out, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    os.makedirs(out, exist_ok=True)
    for name in names or ["t5"]:
        for task in OUTPUTS:
            make(os.path.join(fixtures, name), task, out)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
