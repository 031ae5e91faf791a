#!/usr/bin/env python3
"""Writes unicode_tables.cpp: what the real library takes each code point for.

Its crates carry tables of several versions of Unicode (9 for normalization, 16 for regular expressions, the compiler's
for lowercase), so that no one Unicode library gives its results. Here each table is read off the library itself, by
asking it about every code point.

    pip install tokenizers==0.22.2
    make_unicode_tables.py UCD > unicode_tables.cpp

UCD is a directory with GraphemeBreakProperty.txt, emoji-data.txt and DerivedCoreProperties.txt of Unicode 16.0, the one
property that cannot be asked for.
"""

import re
import sys
import unicodedata
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

END = 0x110000
CODE_POINTS = [c for c in range(END) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic
CATEGORIES = ["Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
              "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co"]
GRAPHEME_CLASSES = ["Other", "CR", "LF", "Control", "Extend", "ZWJ", "Regional_Indicator", "Prepend", "SpacingMark",
                    "L", "V", "T", "LV", "LVT"]


def flags():
    """One bit for each question; the names are those of unicode.h."""
    whitespace = pre_tokenizers.WhitespaceSplit()
    digits = pre_tokenizers.Digits(individual_digits=True)
    punctuation = pre_tokenizers.Punctuation()
    words = pre_tokenizers.Whitespace()
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    strip_nonspacing = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True,
                                                  lowercase=False)
    strip_marks = normalizers.StripAccents()
    questions = [
        lambda c: len(whitespace.pre_tokenize_str("a" + c + "a")) == 2,  # White_Space
        lambda c: len(digits.pre_tokenize_str("a" + c)) == 2,  # N
        lambda c: len(punctuation.pre_tokenize_str("a" + c)) == 2,  # P and ASCII symbols
        lambda c: words.pre_tokenize_str("a" + c) == [("a" + c, (0, 2))],  # \w
        lambda c: clean.normalize_str(c) == "",  # what BertNormalizer cleans away
        lambda c: strip_nonspacing.normalize_str(c) == "",  # Mn
        lambda c: strip_marks.normalize_str(c) == "",  # M
    ]
    result = [0] * END
    for code in CODE_POINTS:
        for bit, question in enumerate(questions):
            if question(chr(code)):
                result[code] |= 1 << bit
    return result


def mappings(normalizer):
    """The code points that a normalizer changes, with what it makes of them."""
    return {c: mapped for c in CODE_POINTS if c not in HANGUL and (mapped := normalizer.normalize_str(chr(c))) != chr(c)}


def combining_classes():
    nfd = normalizers.NFD()

    def swaps(first, second):
        return nfd.normalize_str(first + second) == second + first

    lowest, highest = "\u0334", "\u0345"  # of the classes 1 and 240
    marks = [chr(code) for code in CODE_POINTS if nfd.normalize_str(chr(code)) == chr(code) and
             (swaps(chr(code), lowest) or swaps(highest, chr(code)))]
    references = {}
    for c in marks:
        if unicodedata.combining(c):
            references.setdefault(unicodedata.combining(c), c)
    result = [0] * END
    for c in marks:
        result[ord(c)], = [value for value, reference in references.items()
                         if c == reference or not swaps(c, reference) and not swaps(reference, c)]
    return result


def compositions():
    nfc = normalizers.NFC()
    result = []
    for code in CODE_POINTS:
        parts = unicodedata.decomposition(chr(code)).split()
        if code in HANGUL or len(parts) != 2 or parts[0].startswith("<"):
            continue
        first, second = (int(part, 16) for part in parts)
        if nfc.normalize_str(chr(first) + chr(second)) == chr(code):
            result.append((first, second, code))
    return sorted(result)


def scripts():
    """Numbers for what UnicodeScripts tells apart; 0 is its `Any`, which goes with every script."""
    splitter = pre_tokenizers.UnicodeScripts()
    result = [0] * END
    representatives = []
    previous = None
    for code in CODE_POINTS:
        c = chr(code)
        if not splitter.pre_tokenize_str(c):
            continue
        if previous is not None and len(splitter.pre_tokenize_str(previous + c)) == 1:
            result[code] = result[ord(previous)]
        else:
            for number, representative in enumerate(representatives, 1):
                if len(splitter.pre_tokenize_str(representative + c)) == 1:
                    result[code] = number
                    break
            else:
                representatives.append(c)
                result[code] = len(representatives)
        previous = c
    return result


def regex_properties():
    """What the library's Oniguruma takes code points for. Low bits: general category; 32: \\w; 64: Han."""

    def matches(pattern):
        splitter = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        for start in range(0, len(CODE_POINTS), 4096):
            text = "".join(map(chr, CODE_POINTS[start:start + 4096]))
            for piece, _ in splitter.pre_tokenize_str(text):
                yield ord(piece)

    result = [0] * END
    for number, category in enumerate(CATEGORIES):
        for code in matches(f"\\p{{{category}}}"):
            result[code] = number
    for bit, pattern in ((32, "\\w"), (64, "\\p{Han}")):
        for code in matches(pattern):
            result[code] |= bit
    return result


def grapheme_classes(ucd):
    """Low bits: Grapheme_Cluster_Break; 16: Extended_Pictographic; 32, 64, 96: Indic_Conjunct_Break Consonant, Extend,
    Linker."""

    def entries(file, fields):
        for line in (ucd / file).read_text(encoding="utf-8").splitlines():
            columns = [column.strip() for column in line.split("#")[0].split(";")]
            if len(columns) == fields:
                first, _, last = columns[0].partition("..")
                yield range(int(first, 16), int(last or first, 16) + 1), columns[1:]

    result = [0] * END
    for codes, (name,) in entries("GraphemeBreakProperty.txt", 2):
        for code in codes:
            result[code] = GRAPHEME_CLASSES.index(name)
    for codes, (name,) in entries("emoji-data.txt", 2):
        if name == "Extended_Pictographic":
            for code in codes:
                result[code] |= 16
    for codes, (name, value) in entries("DerivedCoreProperties.txt", 3):
        if name == "InCB":
            for code in codes:
                result[code] |= 32 * (1 + ["Consonant", "Extend", "Linker"].index(value))
    return result


# ---- C++ ------------------------------------------------------------------------------------------------------------


def array(kind, name, values):
    lines, line = [], "  "
    for value in values:
        text = f"{value},"
        if len(line) + len(text) > 120:
            lines.append(line)
            line = "  "
        line += text
    lines.append(line)
    return f"const {kind} {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def two_stage(kind, name, values):
    """The table in blocks, each of which is stored once. Block numbers first, then the blocks."""
    block_size = 128
    blocks, index = {}, []
    for start in range(0, END, block_size):
        block = tuple(values[start:start + block_size])
        index.append(blocks.setdefault(block, len(blocks)))
    return (array("std::uint16_t", name + "_index", index) + "\n" +
            array(kind, name + "_blocks", [value for block in blocks for value in block]))


def main():
    ucd = Path(sys.argv[1])
    pool, entries = [], [0]  # an entry is (first << 5 | length) in the pool of code points

    def entry(text):
        codes = [ord(c) for c in text]
        for first in range(len(pool) - len(codes) + 1):
            if pool[first:first + len(codes)] == codes:
                break
        else:
            first = len(pool)
            pool.extend(codes)
        value = first << 5 | len(codes)
        if value not in entries:
            entries.append(value)
        return entries.index(value)

    def mapping_table(mapped):
        return [entry(mapped[code]) if code in mapped else 0 for code in range(END)]

    parts = [
        "// Made by make_unicode_tables.py from the real library's results and Unicode 16.0. Do not edit.\n"
        "// clang-format off\n",
        '#include "tokenizers/unicode_tables.h"\n\nnamespace onnxport::tokenizers::tables {\n',
        two_stage("std::uint8_t", "flags", flags()),
        two_stage("std::uint8_t", "combining_class", combining_classes()),
        two_stage("std::uint8_t", "script", scripts()),
        two_stage("std::uint8_t", "regex_properties", regex_properties()),
        two_stage("std::uint8_t", "grapheme", grapheme_classes(ucd)),
        two_stage("std::uint16_t", "lowercase", mapping_table(mappings(normalizers.Lowercase()))),
        two_stage("std::uint16_t", "canonical", mapping_table(mappings(normalizers.NFD()))),
        two_stage("std::uint16_t", "compatibility", mapping_table(mappings(normalizers.NFKD()))),
        array("std::uint32_t", "mapping_entries", entries),
        array("char32_t", "mapping_pool", pool),
    ]
    composed = compositions()
    parts.append("const Composition compositions[] = {\n" +
                 "".join(f"    {{{a}, {b}, {c}}},\n" for a, b, c in composed) + "};\n")
    parts.append(f"const std::size_t composition_count = {len(composed)};\n")
    parts.append("}  // namespace onnxport::tokenizers::tables")
    print("\n".join(parts))


main()
