#!/usr/bin/env python3
"""Writes rows for the tests in this directory: what the real library makes of texts.

    pip install tokenizers==0.22.2
    make_cases.py TOKENIZER... [--output DIRECTORY] [--kinds cases,decode,...] [--seed N] [--count N]

TOKENIZER is a directory with a tokenizer.json. Its rows, of random text, are written into the directory of the same name
below --output, beside a copy of the tokenizer.json; without --output into TOKENIZER itself. Run the tests on what was
made with ONNXPORT_TOKENIZER_FIXTURES=DIRECTORY. fixtures/README.md gives the format.
"""

import argparse
import json
import random
import shutil
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

KINDS = ["cases", "decode", "stream", "batch", "pretokenized", "saved"]

# ---- Random text ----------------------------------------------------------------------------------------------------

WORDS = ("the quick Brown fox jumps over lazy dogs it's we'll I'M they'RE don't e.g. foo_bar snake-case CamelCase HTTP/2 "
         "3.14159 1,000,000 007 x86_64 naïve café Ünïcödé İstanbul ΟΔΥΣΣΕΥΣ straße ﬁnal Привет мир שלום مرحبا नमस्ते "
         "ภาษาไทย 文字 日本語 カタカナ ひらがな 한국어 각 👨‍👩‍👧 🇺🇸 ❤️ 😀 ½ ㎏ Å ﷺ [MASK] <mask> </s> <s> [SEP] <pad> <unk> "
         "<|endoftext|> ## ▁ Ġ").split(" ")
SPACES = [" ", " ", " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " ", "　", "​", " ", "\x85", ""]
MARKS = "".join(chr(c) for c in (0x300, 0x301, 0x302, 0x303, 0x308, 0x316, 0x327, 0x330, 0x345, 0x5B0, 0x64B, 0x93C,
                                 0x94D, 0x200D, 0xFE0F, 0x1F3FB, 0x20E3, 0x3099))
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…—–“”‘’«»¿¡§¶†•、。「」"
RANGES = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0xE00, 0x1100),
          (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2C00), (0x2E80, 0x3400), (0x3400, 0xA000), (0xA000, 0xD7B0),
          (0xE000, 0xFB00), (0xFB00, 0xFFFE), (0x10000, 0x11000), (0x1D400, 0x1D800), (0x1F000, 0x1FB00),
          (0x20000, 0x20100), (0xE0000, 0xE0200)]


def random_text(generator, specials):
    parts = []
    for _ in range(generator.choice([0, 1, 2, 5, 10, 30])):
        kind = generator.random()
        if kind < 0.5:
            parts.append(generator.choice(WORDS))
        elif kind < 0.6:
            first, last = generator.choice(RANGES)
            parts.append("".join(chr(generator.randrange(first, last)) for _ in range(generator.randrange(1, 6))))
        elif kind < 0.7:
            parts.append("".join(generator.choice(PUNCTUATION) for _ in range(generator.randrange(1, 5))))
        elif kind < 0.78:
            parts.append("".join(generator.choice("aeouAEOUc가각क") + generator.choice(MARKS) * generator.randrange(3)
                                 for _ in range(generator.randrange(1, 5))))
        elif kind < 0.86:
            parts.append(str(generator.randrange(10 ** generator.randrange(1, 12))))
        elif kind < 0.9 and specials:
            parts.append(generator.choice(specials))
        elif kind < 0.93:
            parts.append(chr(generator.randrange(0x20)))
        else:
            parts.append("".join(generator.choice("abcdefghij") for _ in range(generator.randrange(1, 20))))
        parts.append(generator.choice(SPACES))
    return "".join(parts)


# ---- Rows -----------------------------------------------------------------------------------------------------------


def fields(encoding, all_fields=True):
    row = {"ids": encoding.ids, "type_ids": encoding.type_ids}
    if all_fields:
        row |= {"attention_mask": encoding.attention_mask, "special_tokens_mask": encoding.special_tokens_mask}
    row["offsets"] = [list(offset) for offset in encoding.offsets]
    if all_fields:
        row |= {"tokens": encoding.tokens, "word_ids": encoding.word_ids, "sequence_ids": encoding.sequence_ids}
        if encoding.overflowing:
            row["n_overflowing"] = len(encoding.overflowing)
            row["overflowing"] = [fields(window, i == 0) for i, window in enumerate(encoding.overflowing[:5])]
    return row


def random_truncation(generator):
    if generator.random() < 0.6:
        return None
    length = generator.choice([3, 4, 5, 8, 16, 64])
    return {"max_length": length, "stride": generator.randrange(0, max(1, length // 2 - 2)),
            "strategy": generator.choice(["LongestFirst", "OnlyFirst", "OnlySecond"]),
            "direction": generator.choice(["Left", "Right"])}


def random_padding(generator):
    if generator.random() < 0.6:
        return None
    return {"strategy": generator.choice(["BatchLongest", {"Fixed": 12}]),
            "direction": generator.choice(["Left", "Right"]), "pad_to_multiple_of": generator.choice([None, 4, 8]),
            "pad_id": 0, "pad_type_id": generator.choice([0, 1]), "pad_token": "<p>"}


def apply(tokenizer, truncation, padding):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if truncation:
        snake = {"LongestFirst": "longest_first", "OnlyFirst": "only_first", "OnlySecond": "only_second"}
        tokenizer.enable_truncation(truncation["max_length"], stride=truncation["stride"],
                                    strategy=snake[truncation["strategy"]], direction=truncation["direction"].lower())
    if padding:
        length = padding["strategy"]["Fixed"] if isinstance(padding["strategy"], dict) else None
        tokenizer.enable_padding(direction=padding["direction"].lower(), pad_id=padding["pad_id"],
                                 pad_type_id=padding["pad_type_id"], pad_token=padding["pad_token"], length=length,
                                 pad_to_multiple_of=padding["pad_to_multiple_of"])


def decoded(tokenizer, ids):
    return {"decoded_skip": tokenizer.decode(ids, skip_special_tokens=True),
            "decoded_keep": tokenizer.decode(ids, skip_special_tokens=False)}


def make_cases(tokenizer, generator, specials, count):
    for _ in range(count):
        row = {"text": random_text(generator, specials),
               "pair": random_text(generator, specials) if generator.random() < 0.4 else None,
               "add_special_tokens": generator.random() < 0.8, "truncation": random_truncation(generator),
               "padding": random_padding(generator)}
        try:
            apply(tokenizer, row["truncation"], row["padding"])
            encoding = tokenizer.encode(row["text"], row["pair"], add_special_tokens=row["add_special_tokens"])
        except BaseException as error:  # a panic of the library is no Exception
            if type(error).__name__ == "PanicException":
                continue
            yield row | {"error": str(error)}
            continue
        yield row | fields(encoding) | decoded(tokenizer, encoding.ids)


def random_ids(tokenizer, generator, specials):
    if generator.random() < 0.6:
        return tokenizer.encode(random_text(generator, specials)).ids
    size = tokenizer.get_vocab_size() + 10
    return [generator.randrange(size) for _ in range(generator.randrange(1, 20))]


def make_decode(tokenizer, generator, specials, count):
    apply(tokenizer, None, None)
    for _ in range(count):
        ids = random_ids(tokenizer, generator, specials)
        try:
            yield {"ids": ids} | decoded(tokenizer, ids)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise


def make_stream(tokenizer, generator, specials, count):
    apply(tokenizer, None, None)
    for _ in range(count):
        row = {"ids": random_ids(tokenizer, generator, specials), "skip_special_tokens": generator.random() < 0.5}
        stream = DecodeStream(skip_special_tokens=row["skip_special_tokens"])
        row["chunks"] = []
        try:
            for token in row["ids"]:
                row["chunks"].append(stream.step(tokenizer, token))
        except BaseException as error:
            if type(error).__name__ == "PanicException":
                continue
            row["error"] = str(error)
        yield row


def make_batch(tokenizer, generator, specials, count):
    for _ in range(max(1, count // 10)):
        row = {"inputs": [[random_text(generator, specials), random_text(generator, specials)]
                          if generator.random() < 0.3 else random_text(generator, specials)
                          for _ in range(generator.randrange(1, 6))],
               "add_special_tokens": generator.random() < 0.8, "truncation": random_truncation(generator),
               "padding": random_padding(generator)}
        try:
            apply(tokenizer, row["truncation"], row["padding"])
            inputs = [tuple(text) if isinstance(text, list) else text for text in row["inputs"]]
            encodings = tokenizer.encode_batch(inputs, add_special_tokens=row["add_special_tokens"])
        except BaseException:
            continue
        yield row | {"encodings": [fields(encoding) for encoding in encodings]}


def make_pretokenized(tokenizer, generator, specials, count):
    apply(tokenizer, None, None)
    for _ in range(max(1, count // 5)):
        words = [random_text(generator, specials)[:20] for _ in range(generator.randrange(6))]
        pair_words = [random_text(generator, specials)[:20] for _ in range(3)] if generator.random() < 0.3 else None
        row = {"words": words, "pair_words": pair_words, "add_special_tokens": generator.random() < 0.8}
        encoding = tokenizer.encode(words, pair_words, is_pretokenized=True,
                                    add_special_tokens=row["add_special_tokens"])
        yield row | fields(encoding)


def make_saved(tokenizer, generator, specials, count):
    def digest(text):
        value = 0xcbf29ce484222325
        for byte in text.encode():
            value = (value ^ byte) * 0x100000001b3 % 2 ** 64
        return {"bytes": len(text.encode()), "fnv1a": str(value)}

    yield {"compact": digest(tokenizer.to_str(pretty=False)), "pretty": digest(tokenizer.to_str(pretty=True))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", type=Path, nargs="+", metavar="TOKENIZER")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    arguments = parser.parse_args()
    for source in arguments.tokenizers:
        target = source
        if arguments.output:
            target = arguments.output / source.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
        for kind in arguments.kinds.split(","):
            # The file's own truncation and padding belong to what is saved.
            tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
            specials = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
            generator = random.Random(f"{arguments.seed} {source.name} {kind}")
            rows = globals()["make_" + kind](tokenizer, generator, specials, arguments.count)
            with open(target / f"{kind}.jsonl", "w", encoding="utf-8", newline="\n") as file:
                for row in rows:
                    file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


main()
