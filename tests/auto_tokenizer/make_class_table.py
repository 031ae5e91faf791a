#!/usr/bin/env python3
"""Writes src/tokenizers/pretrained_class_table.cpp: what transformers says of its tokenizer classes.

    python make_class_table.py > ../../src/tokenizers/pretrained_class_table.cpp

Needs transformers 4.57.6 with tokenizers and sentencepiece. For each class with a fast version the table holds the
arguments of its constructor (and of the slow class's, which conversion goes through) with their defaults, which of them
are consumed there, which strings become AddedToken, the names of the files, and what the class sets; further
model_type -> class as AutoTokenizer has it.
"""

import ast
import inspect
import json
import textwrap
import warnings

warnings.filterwarnings("ignore")

import transformers
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES


# Classes without a fast version that onnxport has code for (src/tokenizers/slow_only.cpp).
SLOW_ONLY = ["ByT5Tokenizer", "EsmTokenizer", "MarianTokenizer"]


def flags_of(call):
    """The keywords of AddedToken(name, lstrip=True, ...) that differ from nothing."""
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}


def constructor(cls):
    owner = next(base for base in cls.__mro__ if "__init__" in base.__dict__)
    function = ast.parse(textwrap.dedent(inspect.getsource(owner.__init__))).body[0]
    parameters = [
        (name, parameter.default)
        for name, parameter in inspect.signature(owner.__init__).parameters.items()
        if name not in ("self", "args", "kwargs")
    ]
    wrapped = {}
    forwarded = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp) and isinstance(node.targets[0], ast.Name):
            call = node.value.body
            name = node.targets[0].id
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "AddedToken":
                wrapped.setdefault(name, flags_of(call))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            forwarded.update(keyword.arg for keyword in node.keywords if keyword.arg)
        # The others hand on what they were given.
        if isinstance(node, ast.keyword) and node.arg and ast.unparse(node.value) == "self.sp_model_kwargs":
            parameters = [(name, {} if name == "sp_model_kwargs" else default) for name, default in parameters]
    result = {
        "defaults": {
            name: (None if default is inspect.Parameter.empty else default)
            for name, default in parameters
            if name in forwarded
        },
        "consumed": [name for name, _ in parameters if name not in forwarded],
    }
    if wrapped:
        result["wrapped"] = wrapped
    return result


def updates_of(fast):
    """What the constructor changes in a tokenizer.json that was read, and other ways of the class."""
    own = "".join(
        inspect.getsource(cls)
        for cls in fast.__mro__
        if cls.__name__.endswith("TokenizerFast") and cls is not transformers.PreTrainedTokenizerFast
    )
    result = []
    if "self.backend_tokenizer.normalizer = " in own:
        result.append("normalizer")
        if '["handle_chinese_chars"] = ' in own:
            result.append("handle_chinese_chars")
    if 'tokenizer_component = "post_processor"' in own:
        result.append("post_processor_spaces")
    if "def update_post_processor" in own:
        result.append("bos_eos")
    if "def set_src_lang_special_tokens" in own:
        result.append("source_language")
    if 'replace(b\'"add_prefix_space":false\'' in own:
        result.append("prefix_space_everywhere")
    if "You need to instantiate {self.__class__.__name__} with add_prefix_space=True" in own:
        result.append("words_need_prefix_space")
    if "__call__" in fast.__dict__ and ("boxes" in own or "xpaths" in own):
        result.append("needs_boxes")
    if "JiebaPreTokenizer" in own or "rjieba" in own:
        result.append("needs_jieba")
    return result


def describe_slow_only(name):
    """A class in Python alone, whose constructor stands in the place of a fast one's."""
    slow = getattr(transformers, name)
    arguments = constructor(slow)
    for flags in arguments.get("wrapped", {}).values():
        flags.setdefault("normalized", True)  # they are made special later, which keeps this
    return {
        "name": name,
        "files": dict(slow.vocab_files_names),
        "model_input_names": slow.model_input_names,
        "padding_side": slow.padding_side,
        "updates": ["slow_only"],
        "fast": arguments,
    }


def describe(fast):
    slow = fast.slow_tokenizer_class
    entry = {
        "name": fast.__name__.removesuffix("Fast"),
        "files": {k: v for k, v in fast.vocab_files_names.items() if k != "tokenizer_file"},
        "model_input_names": fast.model_input_names,
        "padding_side": fast.padding_side,
    }
    if "_pad_token_type_id = 3" in inspect.getsource(fast):
        entry["pad_token_type_id"] = 3
    updates = updates_of(fast)
    if updates:
        entry["updates"] = updates
    if fast is not transformers.PreTrainedTokenizerFast:
        entry["fast"] = constructor(fast)
    if slow is not None:
        entry["slow"] = constructor(slow)
    return entry


def main():
    names = sorted(name for name in dir(transformers) if name.endswith("TokenizerFast"))
    classes = [describe(getattr(transformers, name)) for name in names]
    classes += [describe_slow_only(name) for name in SLOW_ONLY]
    known = {entry["name"] for entry in classes}
    model_types = {}
    slow_only = set()
    for model_type, (slow, fast) in TOKENIZER_MAPPING_NAMES.items():
        name = (fast or slow or "").removesuffix("Fast")
        if name:
            model_types[model_type] = name
        if slow and slow not in known:
            slow_only.add(slow)
    from transformers.models.mbart.tokenization_mbart import FAIRSEQ_LANGUAGE_CODES as mbart
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES as mbart50
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as nllb
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    def line(value):
        return json.dumps(value, ensure_ascii=False)

    def wrap(value, indent):
        """JSON over lines of at most 120 columns, broken at commas between members."""
        text = line(value)
        if len(text) + indent <= 100:
            return text
        if isinstance(value, dict):
            parts = [f"{line(k)}: {wrap(v, indent + 1)}" for k, v in value.items()]
            brackets = "{}"
        else:
            parts = [wrap(v, indent + 1) for v in value]
            brackets = "[]"
        lines, current = [], ""
        for part in parts:
            if current and ("\n" in part or len(current) + len(part) + indent > 100):
                lines.append(current + ",")
                current = part
            else:
                current = f"{current}, {part}" if current else part
        lines.append(current)
        return brackets[0] + ("\n" + " " * (indent + 1)).join(lines) + brackets[1]

    table = {
        "classes": classes,
        "slow_only": sorted(slow_only),
        "model_types": model_types,
        "languages": {
            "MBartTokenizer": mbart,
            "MBart50Tokenizer": mbart50,
            "NllbTokenizer": nllb,
            "WhisperTokenizer": list(LANGUAGES),
        },
        "whisper_language_codes": TO_LANGUAGE_CODE,
    }
    print(
        "// Made by tests/auto_tokenizer/make_class_table.py from transformers "
        + transformers.__version__
        + ": do not edit.\n"
        '#include "tokenizers/pretrained_class.h"\n\n'
        "namespace onnxport::tokenizers {\n\n"
        "std::string_view pretrained_class_table() {"
    )
    print('  return R"json(' + wrap(table, 0) + ')json";')
    print("}\n\n}  // namespace onnxport::tokenizers")


if __name__ == "__main__":
    main()
