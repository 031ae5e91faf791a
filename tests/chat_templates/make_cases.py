#!/usr/bin/env python3
"""Writes cases.jsonl, expressions.jsonl and random.jsonl: what `transformers` makes of templates.

    pip install transformers==4.57.6 jinja2==3.1.6
    make_cases.py            the files beside this script
    make_cases.py --random 20000 --seed 7    more random cases, on standard output

A row has `template` or `file` (in templates/), `variables` (absent: those of random_templates.py, which context.json
holds) and `expected`; or `error`, informative only, where rendering must fail. Rows whose result Python computes with
integers beyond 64 bits or complex numbers are left out, and those that print an object's address.
"""

import argparse
import copy
import itertools
import json
import re
import signal
import warnings
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

from expressions import EXPRESSIONS
from random_templates import CONTEXT, Generator

HERE = Path(__file__).parent
UNSTABLE = re.compile(r" at 0x|<generator|built-in|<function|<class|<bound|<reversed|<list_rev|<range_it|<jinja2|<dict_rev")

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather in a place,\nas of now", "parameters": {
        "type": "object", "required": ["place"], "properties": {
            "place": {"type": "string", "description": "Näme"}, "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "days": {"type": "integer", "nullable": True}, "at": {"type": "object", "properties": {
                "x": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}}}}}}},
    {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {
        "values": {"type": ["array", "null"]}, "any": {}}}}},
]
SYSTEM = {"role": "system", "content": "  Be \"kind\" & brief.\n"}
CHATS = {
    "empty": [],
    "single": [{"role": "user", "content": "Hello!"}],
    "system": [SYSTEM, {"role": "user", "content": "Grüße, 世界 🙂\n"}],
    "long": [SYSTEM, {"role": "user", "content": "One"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nTwo "},
             {"role": "user", "content": " Three\nlines\n"}, {"role": "assistant", "content": "Four"}, {"role": "user", "content": ""}],
    "wrong_order": [{"role": "assistant", "content": "Me first"}, {"role": "assistant", "content": "again"}],
    "tools": [{"role": "user", "content": "Weather?"},
              {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {
                  "name": "get_weather", "arguments": {"place": "Köln", "days": 2, "exact": 1.0, "none": None, "ok": True}}}]},
              {"role": "tool", "name": "get_weather", "content": "{\"t\": 21.5}"}, {"role": "tool", "content": {"t": [1, {"u": "ü"}]}},
              {"role": "assistant", "content": "It is 21.5°."}, {"role": "user", "content": "Thanks <3"}],
    "two_calls": [{"role": "user", "content": "Add"}, {"role": "assistant", "content": "ok", "tool_calls": [
        {"function": {"name": "add", "arguments": {"values": [1, 2]}}}, {"function": {"name": "add", "arguments": "{\"values\": []}"}}]}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": " What is this? "}, {"type": "image", "image": "x.png"},
                                           {"type": "video"}, {"type": "image_url", "image_url": {"url": "y"}}]},
              {"role": "assistant", "content": [{"type": "text", "text": "A cat"}]}],
}
EXTRAS = {
    "": {},
    "options": {"date": "2 Feb 2025", "enable_thinking": False, "number_images": True, "default_system": "Sing.",
                "documents": [{"title": "A <b>", "text": "First line\nsecond"}, {"text": None, "source": "web"}, {}]},
}


class Timeout(Exception):
    pass


def render(template, variables):
    """A row's `expected` or `error`; None where there is nothing to compare with."""
    def stop(*_):
        raise Timeout()

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(5)
    try:
        text = _compile_jinja_template.__wrapped__(template).render(**copy.deepcopy(variables))
        text.encode()
    except (Timeout, UnicodeEncodeError):
        return None
    except Exception as error:  # whatever Python throws
        return {"error": f"{type(error).__name__}: {error}"[:200]}
    finally:
        signal.alarm(0)
    is_comparable = not UNSTABLE.search(text) and len(text) < 20000 and not re.search(r"\d{19}|\dj\b", text)
    return {"expected": text} if is_comparable else None


def conversations():
    for path in sorted((HERE / "templates").glob("*.jinja")):
        template = path.read_bytes().decode()
        for (chat, messages), (extra, options), with_tools, prompt in itertools.product(
                CHATS.items(), EXTRAS.items(), (False, True), (False, True)):
            if with_tools and chat not in ("system", "tools"):
                continue
            variables = {"messages": messages, "tools": TOOLS if with_tools else None, "documents": None,
                         "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>", **options}
            result = render(template, variables)
            if result is not None:
                name = "/".join(filter(None, [path.stem, chat, extra, with_tools and "tools", prompt and "prompt"]))
                yield {"name": name, "file": path.name, "variables": variables, **result}


def random_cases(seed, expressions, statements):
    generator = Generator(seed)
    for index in range(expressions + statements):
        is_expression = index < expressions
        template = generator.expression_template() if is_expression else generator.template()
        result = render(template, CONTEXT)
        # Constants that are no sequences can be sliced while Jinja compiles, and nowhere else; 1e22 is beyond 64 bits.
        is_special = re.search(r"\d\)*\[[^\]]*:", template) or "1e22" in template
        if result is not None and not is_special:
            yield {"name": f"random/{seed}/{index}", "template": template, **result}


def write(name, rows):
    with open(HERE / name, "w") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--random", type=int)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    if options.random:
        for row in random_cases(options.seed, options.random, options.random // 4):
            print(json.dumps(row, ensure_ascii=False))
        return
    (HERE / "context.json").write_text(json.dumps(CONTEXT, ensure_ascii=False, indent=1) + "\n")
    write("cases.jsonl", conversations())
    write("expressions.jsonl", ({"name": expression, "template": expression, **result} for expression in EXPRESSIONS
                                if (result := render(expression, CONTEXT)) is not None))
    write("random.jsonl", random_cases(20251124, 1200, 250))


if __name__ == "__main__":
    main()
