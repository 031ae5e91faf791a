#!/usr/bin/env python3
"""One measurement of a tokenizer in Python, for bench/tokenizers.cpp: prints the processor time of encoding all documents
one by one, after a pass that warms caches, or of loading.

    tokenizer_peers.py PEER DOCUMENTS [TOKENIZER_JSON]

DOCUMENTS is UTF-8 text with a NUL behind each document. PEER is one of those below."""
import sys
import time


def tokenizers_ids(path):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer.encode


def tiktoken_gpt2(path):
    import json
    import tiktoken
    with open(path, encoding="utf-8") as file:
        vocabulary = json.load(file)["model"]["vocab"]
    # GPT-2's printable stand-ins for bytes, undone: tiktoken would download the same ranks.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in vocabulary.items() if "<|" not in token}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    return tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}).encode_ordinary


def rs_bpe_cl100k(_):
    from rs_bpe.bpe import openai
    return openai.cl100k_base().encode


def blingfire(model):
    def make(_):
        import os
        import blingfire as library
        handle = library.load_model(os.path.join(os.path.dirname(library.__file__), model))
        return lambda text: library.text_to_ids(handle, text, 4096, 100)
    return make


PEERS = {
    "tokenizers": tokenizers_ids,
    "tiktoken-gpt2": tiktoken_gpt2,
    "rs-bpe-cl100k": rs_bpe_cl100k,
    "blingfire-bert": blingfire("bert_base_tok.bin"),
    "blingfire-gpt2": blingfire("gpt2.bin"),
    "blingfire-xlmr": blingfire("xlm_roberta_base.bin"),
}


def main():
    peer, documents, *path = sys.argv[1:]
    if peer == "tokenizers-load":
        import tokenizers  # not part of the time
        start = time.process_time()
        tokenizers.Tokenizer.from_file(path[0])
        print(time.process_time() - start)
        return
    with open(documents, encoding="utf-8", newline="") as file:
        texts = file.read().split("\0")[:-1]
    encode = PEERS[peer](*path or [None])
    for _ in range(2):
        start = time.process_time()
        for text in texts:
            encode(text)
        seconds = time.process_time() - start
    print(seconds)


main()
