#!/usr/bin/env python3
"""Writes scanner_tables.cpp: the classes of characters that the patterns of scanners.h tell apart, read off the library
`tokenizers` by asking its regular expressions about every code point.

    pip install tokenizers==0.22.2
    make_scanner_tables.py > scanner_tables.cpp
"""

from tokenizers import Regex, pre_tokenizers

END = 0x110000
BLOCK = 128
# As in scanner_tables.h; a later one wins, so that Mark is not part of a letter's class.
CLASSES = [("Letter", r"\p{Lm}|\p{Lo}"), ("Upper", r"\p{Lu}|\p{Lt}"), ("Lower", r"\p{Ll}"), ("Mark", r"\p{M}"),
           ("Number", r"\p{N}"), ("Space", r"\s")]


def classes():
    result = [0] * END
    for value, (_, pattern) in enumerate(CLASSES, 1):
        split = pre_tokenizers.Split(Regex(pattern), "isolated", invert=False)
        for begin in range(0, END, 1 << 14):
            codes = [c for c in range(begin, begin + (1 << 14)) if not 0xD800 <= c < 0xE000]
            # Between two that match stands one that does not, so that each match is a piece of its own.
            text = "".join("!" + chr(c) for c in codes)
            if not text:
                continue
            for piece, (start, _) in split.pre_tokenize_str(text):
                if start % 2 == 1 and len(piece) == 1:
                    assert result[codes[start // 2]] == 0
                    result[codes[start // 2]] = value
    return result


def print_array(kind, name, values):
    print(f"\nconst {kind} {name}[] = {{")
    line = "   "
    for value in values:
        item = f" {value},"
        if len(line) + len(item) > 120:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")


values = classes()
blocks = {}
index = []
for begin in range(0, END, BLOCK):
    index.append(blocks.setdefault(tuple(values[begin:begin + BLOCK]), len(blocks)))
# Two classes a byte.
packed = [low | high << 4 for block in blocks for low, high in zip(block[::2], block[1::2])]
print("// Made by make_scanner_tables.py.")
print("// clang-format off")
print('#include "tokenizers/scanner_tables.h"')
print("\nnamespace onnxport::tokenizers::tables {")
print_array("std::uint8_t", "character_class_index", index) if len(blocks) < 256 else print_array(
    "std::uint16_t", "character_class_index", index)
print_array("std::uint8_t", "character_class_blocks", packed)
print("\n}  // namespace onnxport::tokenizers::tables")
