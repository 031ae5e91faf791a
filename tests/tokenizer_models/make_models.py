#!/usr/bin/env python3
"""Writes fixtures/models.jsonl: random models with what the library `tokenizers` makes of random words.

    python3 tests/tokenizer_models/make_models.py >tests/tokenizer_models/fixtures/models.jsonl

Each row is {"model": ..., "cases": [[word, ids, tokens, offsets], ... or [word, null] where it fails]}, with offsets in
code points; null where a prefix or suffix falls back to bytes, as these are counted beyond the text's end then.
`tokenizers` 0.22.2 made the rows that are there."""
import itertools
import json
import random

from tokenizers import Tokenizer

random.seed(7)
LETTERS = "abcdé日▁ 😀~"
UNKNOWN = "xœ本🦆"


def words(count=16, letters=LETTERS + UNKNOWN):
    longest = [2, 3, 5, 8, 13, 60, 200]
    made = ["".join(random.choices(letters, k=random.randint(1, random.choice(longest)))) for _ in range(count)]
    made += ["".join(random.choices("ab", k=70)), "a" * 101, "ab" * 40, "abc" * 30 + "x"]
    return made


def bpe(unk, fuse, byte_fallback, ignore_merges, prefix, suffix, strings):
    vocab = {}

    def add(token):
        return vocab.setdefault(token, len(vocab))

    if unk:
        add("<unk>")
    if byte_fallback:
        for byte in range(256):
            if byte_fallback == "all" or random.random() < 0.7:
                add(f"<0x{byte:02X}>")
    for letter in LETTERS:
        for token in {letter, (prefix or "") + letter, letter + (suffix or ""), (prefix or "") + letter + (suffix or "")}:
            if random.random() < 0.9:
                add(token)
    merges = []
    for _ in range(40):
        left, right = random.choice(list(vocab)), random.choice(list(vocab))
        if prefix and not right.startswith(prefix) or suffix and left.endswith(suffix):
            continue
        if not byte_fallback and "<" in left + right or len(left + right) > 12 or (left, right) in merges:
            continue
        if strings and " " in left + right:
            continue
        add(left + right[len(prefix or ""):])
        merges.append((left, right))
    if ignore_merges:
        add("abcabc"), add("ab" * 40), add("日b")
    return {
        "type": "BPE", "dropout": None, "unk_token": "<unk>" if unk else None, "continuing_subword_prefix": prefix,
        "end_of_word_suffix": suffix, "fuse_unk": fuse, "byte_fallback": bool(byte_fallback),
        "ignore_merges": ignore_merges, "vocab": vocab,
        "merges": [" ".join(merge) for merge in merges] if strings else merges,
    }


def word_piece(prefix, longest):
    pieces = ["".join(random.choices(LETTERS, k=random.randint(1, 4))) for _ in range(120)]
    tokens = ["[UNK]", *LETTERS, *(prefix + letter for letter in LETTERS), *pieces, *(prefix + p for p in pieces)]
    tokens = [token for token in dict.fromkeys(tokens) if random.random() < 0.9 or token == "[UNK]"]
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": longest, "vocab": {token: id for id, token in enumerate(tokens)}}


def unigram(byte_fallback, unk_id):
    pieces = ["".join(random.choices(LETTERS, k=random.randint(1, 5))) for _ in range(150)]
    pieces = ["<unk>", *(letter for letter in LETTERS if random.random() < 0.8), *pieces]
    if byte_fallback:
        pieces += [f"<0x{byte:02X}>" for byte in range(256) if byte_fallback == "all" or random.random() < 0.8]
    # Pieces given twice and equal scores are meant: both have their rules.
    pieces += random.choices(pieces[1:], k=3)
    vocab = [[piece, 0.0 if piece == "<unk>" else round(-random.random() * 12, random.choice([0, 1, 6]))]
             for piece in pieces]
    return {"type": "Unigram", "unk_id": unk_id, "vocab": vocab, "byte_fallback": bool(byte_fallback)}


def word_level():
    tokens = ["[UNK]", *("".join(random.choices(LETTERS, k=2)) for _ in range(60))]
    return {"type": "WordLevel", "vocab": {token: id for id, token in enumerate(dict.fromkeys(tokens))},
            "unk_token": "[UNK]"}


models = [
    bpe(*options) for options in itertools.product(
        (True, False), (True, False), (False, "some", "all"), (True, False), (None, "", "##"), (None, "</w>"), (False,))
    if random.random() < 0.25
]
models += [bpe(True, False, False, False, None, "</w>", True), bpe(False, False, False, True, None, None, True)]
models += [word_piece(prefix, longest) for prefix in ("##", "", "é") for longest in (0, 6, 100, 1000)]
models += [unigram(fallback, unk) for fallback in (False, "some", "all") for unk in (0, 0, 5, None)]
models += [word_level() for _ in range(2)]

for model in models:
    tokenizer = Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    counts_beyond = model.get("byte_fallback") and (
        model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"))
    cases = []
    for word in words():
        try:
            encoding = tokenizer.encode(word)
        except Exception:
            cases.append([word, None])
            continue
        cases.append([word, encoding.ids, encoding.tokens, None if counts_beyond else encoding.offsets])
    print(json.dumps({"model": model, "cases": cases}, ensure_ascii=False, separators=(",", ":")))
