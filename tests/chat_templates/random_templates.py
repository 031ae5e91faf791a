"""Random templates for make_cases.py: expressions by kind of value, and statements around them."""

import random

WORDS = ["", "a", "abc", "Hello World", "  padded \\n", "MiXed caSe", "straße", "ÀÉÎ õü", "日本語テスト", "a,b,,c", "x=1;y=2",
         "ǆungla ŉ", "ΑΣ ΟΔΟΣ.", "🙂 emoji 🙃", "tab\\there", "line1\\nline2\\r\\nline3", "12", " -7 ", "3.25", "1e3", "0x1f",
         "it's", 'say \\"hi\\"', "<b>&amp;</b>", "%s and %d", "{} {0!r:>5}", "İstanbul", "ﬁne ²½", "don't stop-me (now)"]
INTEGERS = [0, 1, 2, 3, 5, 7, 10, -1, -2, -3, 255, 1000, 12345, -100]
FLOATS = ["0.0", "1.0", "0.5", "2.5", "3.14159", "1e16", "1e-5", "123456789.125", "0.1", "1e22", "2.675"]
VARIABLES = {
    "text": ["s", "m.role", "messages[0].content", "messages[-1]['role']", "u"],
    "integer": ["n", "messages|length", "k"],
    "float": ["x"],
    "list": ["l", "messages", "mixed", "names"],
    "dict": ["d", "m", "messages[0]", "nested"],
    "any": ["missing", "none", "true", "false", "flag", "empty", "nothing"],
}
CONTEXT = {
    "s": "Some text, with words", "u": "Ünïcödé ß 日本", "n": 7, "k": -3, "x": 2.75, "flag": True, "empty": "", "nothing": None,
    "l": [3, 1, 2, 3], "names": ["bob", "Alice", "bob", "carol"], "mixed": [1, "two", 3.5, None, True, [4, 5], {"six": 7}],
    "d": {"b": 2, "a": 1, "C": [1, 2]}, "nested": {"k": {"v": ["deep", {"er": "x"}]}, "1": "one"},
    "m": {"role": "assistant", "content": "Hi there", "tool_calls": [{"function": {"name": "f", "arguments": {"q": "ü", "n": 1.5}}}]},
    "messages": [{"role": "system", "content": "Be nice."}, {"role": "user", "content": "Hello, <world>!\n"},
                 {"role": "assistant", "content": "Hi 🙂 "}, {"role": "user", "content": ""}],
}


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, options):
        return self.random.choice(options)

    def chance(self, probability):
        return self.random.random() < probability

    def quote(self, word):
        return '"' + word.replace('\\"', '"').replace('"', '\\"') + '"'

    def any(self, depth):
        kind = self.pick(["text", "text", "integer", "float", "list", "dict", "boolean", "any"])
        if kind == "any":
            return self.pick(VARIABLES["any"] + VARIABLES["text"] + VARIABLES["list"])
        return getattr(self, kind)(depth)

    def loose(self, kind, depth):
        """Mostly of a kind, sometimes of another: errors must be errors in both."""
        return self.any(depth) if self.chance(0.06) else getattr(self, kind)(depth)

    def text(self, depth):
        if depth <= 0 or self.chance(0.15):
            return self.quote(self.pick(WORDS)) if self.chance(0.7) else self.pick(VARIABLES["text"])
        t = lambda: self.loose("text", depth - 1)
        i = lambda: self.loose("integer", depth - 1)
        form = self.random.randrange(34)
        return [
            lambda: f"{t()} + {t()}",
            lambda: f"{t()} ~ {self.any(depth - 1)}",
            lambda: f"({t()}) * {self.pick([0, 1, 2, 3, -1])}",
            lambda: f"({t()})|{self.pick(['upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'reverse', 'escape', 'e', 'safe', 'forceescape', 'striptags', 'urlencode'])}",
            lambda: f"({t()}).{self.pick(['upper', 'lower', 'title', 'capitalize', 'swapcase', 'casefold', 'strip', 'lstrip', 'rstrip', 'expandtabs'])}()",
            lambda: f"({t()}).{self.pick(['strip', 'lstrip', 'rstrip', 'removeprefix', 'removesuffix'])}({t()})",
            lambda: f"({t()})[{i()}]",
            lambda: f"({t()})[{self.slice(depth)}]",
            lambda: f"({t()}).replace({t()}, {t()}{self.pick(['', ', 1', ', 2', ', -1'])})",
            lambda: f"({t()})|replace({t()}, {t()}{self.pick(['', ', 1', ', 2'])})",
            lambda: f"({self.loose('list', depth - 1)})|join({self.pick(['', self.quote(', '), t()])})",
            lambda: f"({t()}).join({self.loose('list', depth - 1)})",
            lambda: f"({self.any(depth - 1)})|string",
            lambda: f"({self.any(depth - 1)})|tojson{self.pick(['', '', '(indent=2)', '(indent=4)', '(ensure_ascii=true)', '(sort_keys=true)', '(separators=[0,1])', '(indent=0)'])}".replace("[0,1]", '(",", ":")'),
            lambda: f"({t()})|indent({self.pick(['', '2', '4, true', 'width=3, first=true, blank=true', self.quote('> ')])})",
            lambda: f"({t()})|truncate({self.pick(['5', '9, true', '11', '6, false, `..`, 0'])})",
            lambda: f"({t()})|default({t()}{self.pick(['', ', true'])})",
            lambda: f"{self.pick(VARIABLES['any'])}|default({t()}{self.pick(['', ', true'])})",
            lambda: f"({t()} if {self.boolean(depth - 1)} else {t()})",
            lambda: f"({t()} if {self.boolean(depth - 1)})",
            lambda: f"({t()}).{self.pick(['center', 'ljust', 'rjust'])}({self.pick([0, 5, 12, 13])}{self.pick(['', ', `*`', ', `é`'])})",
            lambda: f"({t()}).zfill({self.pick([0, 5, 12])})",
            lambda: f"({t()})|center({self.pick(['', '9', '20'])})",
            lambda: self.percent(depth),
            lambda: self.braces(depth),
            lambda: f"({t()}).split({self.pick(['', t(), 'none, 1'])})|join('|')",
            lambda: f"({t()})|first",
            lambda: f"({t()})|last",
            lambda: f"{i()}|filesizeformat{self.pick(['', '(true)'])}",
            lambda: f"({self.any(depth - 1)}) ~ ''",
            lambda: f"({self.dict(depth - 1)})|{self.pick(['string', 'tojson', 'urlencode', 'dictsort|string', 'items|list|string', 'list|string'])}",
            lambda: f"({t()})|format({self.any(depth - 1)})",
            lambda: f"({t()}) or {t()}",
            lambda: f"({t()}) and {t()}",
        ][form]()

    def percent(self, depth):
        conversion = self.pick(["%s", "%r", "%10s|", "%-8s|", "%.3s", "%d", "%5d|", "%05d", "%+d", "%x", "%#X", "%o", "%f", "%.2f", "%8.3f|",
                                "%e", "%g", "%G", "%c", "%%", "%-6d|", "% d", "%i", "%.0f", "%a"])
        if self.chance(0.2):
            return f'"%(a)s-%(b)5s" % {{"a": {self.any(depth - 1)}, "b": {self.any(depth - 1)}}}'
        if self.chance(0.5):
            return f'"<{conversion}>" % ({self.loose(self.pick(["integer", "float", "text"]), depth - 1)},)'
        return f'"<{conversion} %s>" % ({self.loose(self.pick(["integer", "float"]), depth - 1)}, {self.any(depth - 1)})'

    def braces(self, depth):
        specification = self.pick(["{}", "{!r}", "{!s:>8}", "{:<8}|", "{:^9}|", "{:*^9}|", "{:05}", "{:,}", "{:.2f}", "{:e}", "{:g}", "{:x}", "{:#b}",
                                   "{:+}", "{:08.3f}", "{:.1%}", "{:_}", "{:>{w}}", "{0} {0}", "{a}", "{:é<6}", "{:010,}", "{:.3}", "{:n}", "{:d}", "{:s}",
                                   "{0[0]}", "{{{}}}", "{:.3g}", "{:G}", "{:c}"])
        value = self.loose(self.pick(["integer", "float", "text"]), depth - 1)
        return f'"{specification}".format({value}, w=9, a={self.any(depth - 1)})'

    def slice(self, depth):
        part = lambda: self.pick(["", "", str(self.pick(INTEGERS)), "none"])
        return f"{part()}:{part()}" + (f":{self.pick(['', '1', '2', '-1', '-2', '3', '0'])}" if self.chance(0.5) else "")

    def integer(self, depth):
        if depth <= 0 or self.chance(0.25):
            return str(self.pick(INTEGERS)) if self.chance(0.7) else self.pick(VARIABLES["integer"])
        i = lambda: self.loose("integer", depth - 1)
        form = self.random.randrange(18)
        return [
            lambda: f"({i()} {self.pick(['+', '-', '*', '//', '%'])} {i()})",
            lambda: f"({i()}) ** {self.pick([0, 1, 2, 3])}",
            lambda: f"-({i()})",
            lambda: f"+{i()}",
            lambda: f"({self.any(depth - 1)})|length",
            lambda: f"({self.any(depth - 1)})|count",
            lambda: f"({self.any(depth - 1)})|int",
            lambda: f"({self.text(depth - 1)})|int({self.pick(['', '5', '0, 16', '-1, 0', 'base=8', 'default=9'])})",
            lambda: f"({i()})|abs",
            lambda: f"({self.text(depth - 1)}).{self.pick(['find', 'rfind', 'count', 'index'])}({self.text(depth - 1)})",
            lambda: f"({self.text(depth - 1)})|wordcount",
            lambda: f"({self.loose('list', depth - 1)})|{self.pick(['sum', 'min', 'max', 'first', 'last'])}",
            lambda: f"({self.loose('list', depth - 1)}).{self.pick(['count', 'index'])}({self.any(depth - 1)})",
            lambda: f"({i()} if {self.boolean(depth - 1)} else {i()})",
            lambda: f"({self.float(depth - 1)})|round|int",
            lambda: f"({i()})|round({self.pick(['0', '-1', '-2', '1'])})",
            lambda: f"({i()}).bit_length()",
            lambda: f"{i()} - {i()} + {i()} * {i()}",
        ][form]()

    def float(self, depth):
        if depth <= 0 or self.chance(0.3):
            return self.pick(FLOATS + VARIABLES["float"])
        number = lambda: self.loose(self.pick(["integer", "float"]), depth - 1)
        form = self.random.randrange(7)
        return [
            lambda: f"({number()} / {number()})",
            lambda: f"({number()} {self.pick(['+', '-', '*', '//', '%'])} {self.loose('float', depth - 1)})",
            lambda: f"({self.any(depth - 1)})|float",
            lambda: f"({self.loose('float', depth - 1)})|round{self.pick(['', '(1)', '(2)', '(1, `floor`)', '(2, `ceil`)', '(0, `ceil`)', '(-1)'])}",
            lambda: f"({self.loose('float', depth - 1)})|abs",
            lambda: f"-({self.loose('float', depth - 1)})",
            lambda: f"{number()} ** {self.pick(['-1', '0.5', '2', '-2'])}",
        ][form]()

    def list(self, depth):
        if depth <= 0 or self.chance(0.2):
            return self.pick(VARIABLES["list"] + ["[]", "[1, 2, 3]", "['b', 'A', 'c']", "(1, 'x')", "(1,)", "()"])
        l = lambda: self.loose("list", depth - 1)
        form = self.random.randrange(24)
        return [
            lambda: "[" + ", ".join(self.any(depth - 1) for _ in range(self.random.randrange(4))) + "]",
            lambda: "(" + ", ".join(self.any(depth - 1) for _ in range(self.random.randrange(2, 4))) + ")",
            lambda: f"({l()})[{self.slice(depth)}]",
            lambda: f"({l()}) + ({l()})",
            lambda: f"({l()})|{self.pick(['list', 'sort', 'reverse|list', 'unique|list', 'sort(reverse=true)', 'sort(case_sensitive=true)', 'select|list', 'reject|list'])}",
            lambda: f"({self.text(depth - 1)}).{self.pick(['split()', 'splitlines()', 'split(`,`)', 'rsplit(` `, 1)', 'split(`a`, 1)', 'partition(`,`)', 'rpartition(` `)', 'splitlines(true)', 'rsplit()'])}",
            lambda: f"({self.text(depth - 1)})|list",
            lambda: f"range({self.pick(['3', '1, 5', '5, 0, -2', '0', '10, 20, 4'])})|list",
            lambda: f"range({self.pick(['3', '1, 5', '5, 0, -2'])})",
            lambda: f"messages|map(attribute={self.pick(['`role`', '`content`', '`missing`', '`missing`, default=`?`', '`content.0`'])})|list",
            lambda: f"({l()})|map({self.pick(['`upper`', '`string`', '`length`', '`int`', '`default`, `x`', '`trim`', '`tojson`'])})|list",
            lambda: f"messages|{self.pick(['selectattr', 'rejectattr'])}({self.pick(['`role`, `equalto`, `user`', '`content`', '`role`, `in`, [`user`, `system`]', '`missing`, `defined`', '`role`, `ne`, `user`', '`content`, `==`, ``'])})|map(attribute='content')|list",
            lambda: f"({l()})|{self.pick(['select', 'reject'])}({self.pick(['`string`', '`number`', '`none`', '`mapping`', '`eq`, 1', '`in`, [1, 2]', '`defined`', '`iterable`', '`odd`'])})|list",
            lambda: f"({l()})|{self.pick(['batch(2)', 'batch(2, `-`)', 'slice(2)', 'slice(3, 0)'])}|list",
            lambda: f"messages|groupby('role')|{self.pick(['list', 'map(attribute=`grouper`)|list', 'map(`first`)|list'])}",
            lambda: f"({self.dict(depth - 1)}).{self.pick(['keys', 'values', 'items'])}()|list",
            lambda: f"({self.dict(depth - 1)})|{self.pick(['dictsort', 'items|list', 'list', 'dictsort(by=`value`)', 'dictsort(reverse=true)'])}",
            lambda: f"({l()}) * {self.pick([0, 1, 2])}",
            lambda: f"({l()}) if {self.boolean(depth - 1)} else {l()}",
            lambda: f"names|sort|unique|list",
            lambda: f"messages|sort(attribute={self.pick(['`role`', '`content`', '`role,content`'])})|map(attribute='content')|list",
            lambda: f"({l()})|default([1])",
            lambda: f"(messages|map(attribute='role')|unique|list)",
            lambda: f"({self.dict(depth - 1)}).{self.pick(['keys', 'values', 'items'])}()",
        ][form]()

    def dict(self, depth):
        if depth <= 0 or self.chance(0.3):
            return self.pick(VARIABLES["dict"] + ["{}", "{'a': 1}", "{1: 'x', 'y': none}", "{'z': [1], 'a': {'b': 2.5}}"])
        form = self.random.randrange(5)
        return [
            lambda: "{" + ", ".join(f"{self.pick([self.text(0), self.integer(0), self.float(0), 'true', 'none'])}: {self.any(depth - 1)}" for _ in range(self.random.randrange(4))) + "}",
            lambda: f"dict(a={self.any(depth - 1)}, b={self.any(depth - 1)})",
            lambda: f"dict({self.dict(depth - 1)}, c=3)",
            lambda: f"({self.dict(depth - 1)}).copy()",
            lambda: f"dict([['p', {self.any(depth - 1)}], ('q', 2)])",
        ][form]()

    def boolean(self, depth):
        if depth <= 0 or self.chance(0.15):
            return self.pick(["true", "false", "flag", "missing is defined", "nothing", "empty", "n > 3"])
        a = lambda: self.any(depth - 1)
        form = self.random.randrange(16)
        kind = self.pick(["text", "integer", "float", "list", "dict"])
        same = lambda: self.loose(kind, depth - 1)
        return [
            lambda: f"({a()}) {self.pick(['==', '!='])} ({a()})",
            lambda: f"({same()}) {self.pick(['<', '<=', '>', '>=', '==', '!='])} ({same()})",
            lambda: f"{self.integer(depth - 1)} < {self.integer(depth - 1)} <= {self.float(depth - 1)}",
            lambda: f"({a()}) {self.pick(['in', 'not in'])} ({self.pick([self.list, self.dict, self.text])(depth - 1)})",
            lambda: f"({self.text(depth - 1)}) in ({self.text(depth - 1)})",
            lambda: f"not ({a()})",
            lambda: f"(({self.boolean(depth - 1)}) {self.pick(['and', 'or'])} ({self.boolean(depth - 1)}))",
            lambda: f"({a()}) is {self.pick(['', 'not '])}{self.pick(['defined', 'undefined', 'none', 'string', 'number', 'integer', 'float', 'boolean', 'mapping', 'sequence', 'iterable', 'true', 'false', 'callable', 'escaped'])}",
            lambda: f"({self.loose('integer', depth - 1)}) is {self.pick(['odd', 'even', 'divisibleby 3', 'divisibleby(2)'])}",
            lambda: f"({self.text(depth - 1)}) is {self.pick(['upper', 'lower'])}",
            lambda: f"({same()}) is {self.pick(['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'equalto', 'sameas', '==']) if False else self.pick(['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'equalto'])}({same()})",
            lambda: f"({a()}) is in ({self.list(depth - 1)})",
            lambda: f"({self.text(depth - 1)}).{self.pick(['startswith', 'endswith'])}({self.pick([self.text(depth - 1), '(`a`, `H`)'])})",
            lambda: f"({self.text(depth - 1)}).{self.pick(['isalpha', 'isdigit', 'isalnum', 'isspace', 'isupper', 'islower', 'istitle', 'isnumeric', 'isdecimal', 'isascii', 'isprintable', 'isidentifier'])}()",
            lambda: f"{self.pick(['upper', 'nope', 'tojson'])!r} is {self.pick(['filter', 'test'])}",
            lambda: f"({self.any(depth - 1)}) is none or {self.boolean(depth - 1)}",
        ][form]()

    # ---- Statements -------------------------------------------------------------------------------------------------

    def tag(self, inside):
        return self.pick(["{%", "{%", "{%-", "{%+"]) + f" {inside} " + self.pick(["%}", "%}", "-%}", "+%}"])

    def data(self):
        return self.pick(["", "text", " ", "\n", "  \n", "a\n", "\n  ", "{ x }", " # ", "\n\n", "\t", "é "])

    def target(self):
        return self.pick(["v", "w", "ns.a", "ns.b", "n", "s", "l"])

    def statements(self, depth, in_loop=False):
        return "".join(self.statement(depth, in_loop) for _ in range(self.random.randrange(1, 4)))

    def statement(self, depth, in_loop):
        body = lambda loop=in_loop: self.data() + (self.statements(depth - 1, loop) if depth > 0 else "{{ v }}") + self.data()
        a = lambda: self.any(1)
        form = self.random.randrange(16 if depth > 0 else 6)
        t = self.tag
        show = "{{ " + self.pick(["v", "w", "ns.a", "ns.b", "n", "s", "loop.index", "loop.last", "loop.first", "item", "x", "kwargs", "varargs",
                                  "loop.revindex", "loop.length", "loop.previtem", "loop.nextitem", "loop.cycle('a', 'b')",
                                  "loop.changed(item)", "loop.depth", "f", "f.name", "f.arguments"]) + " }}"
        return [
            lambda: self.data() + show + self.data(),
            lambda: self.data() + "{{" + self.pick(["-", "", "+"]) + f" {self.any(2)} " + self.pick(["-", ""]) + "}}" + self.data(),
            lambda: t(f"set {self.target()} = {a()}") + self.data(),
            lambda: self.data() + "{#" + self.pick(["", "-", "+"]) + " note " + self.pick(["", "-", "+"]) + "#}" + self.data(),
            lambda: t(self.pick(["break", "continue"])) if in_loop else self.data(),
            lambda: "{% raw %}{{ x {% endraw %}" + self.data(),
            lambda: t(f"if {self.boolean(1)}") + body() + (t(f"elif {self.boolean(1)}") + body() if self.chance(0.4) else "") + (t("else") + body() if self.chance(0.5) else "") + t("endif"),
            lambda: t(f"for item in {self.list(1)}" + (f" if {self.pick(['item', 'item is string', 'loop.first', 'item in l', 'ns.a'])}" if self.chance(0.3) else "")) + body(True) + (t("else") + body() if self.chance(0.3) else "") + t("endfor"),
            lambda: t(f"for k, v in {self.dict(1)}.items()") + body(True) + t("endfor"),
            lambda: t(f"set {self.pick(['v', 'w', 'ns.a'])}" + self.pick(["", " | upper", " | trim | indent(2)"])) + body() + t("endset"),
            lambda: t(f"with v = {a()}, w = {a()}") + body() + t("endwith"),
            lambda: t(f"macro f(x, y={a()}, z='d')") + body(False) + "{{ x }}{{ y }}" + t("endmacro") + "{{ f(" + self.pick(["1", "1, 2", "1, z=3", "", "1, 2, 3", "1, 2, 3, 4", "q=1", "*l", "**d", "x=1"]) + ") }}",
            lambda: t("macro g(a=1)") + "[{{ a }}:{{ caller(" + self.pick(["", "a", "1, 2"]) + ") }}]" + t("endmacro") + t(f"call{self.pick(['', '(p)', '(p, q=2)'])} g({self.pick(['', '5'])})") + body(False) + "{{ p }}" + t("endcall"),
            lambda: t(f"filter {self.pick(['upper', 'trim', 'replace(`a`, `b`)', 'indent(2, true)', 'title|trim'])}") + body() + t("endfilter"),
            lambda: t("generation") + body(False) + t("endgeneration"),
            lambda: t("for item in tree recursive") + "({{ item.v }}{{ loop.depth }}" + "{{ loop(item.c) if item.c }}" + body(False) + ")" + t("endfor"),
        ][form]()

    def expression_template(self):
        return "{{ " + self.any(3).replace("`", '"') + " }}"

    def template(self):
        return ("{% set ns = namespace(a=0, b='') %}" + self.statements(3)).replace("`", '"')


CONTEXT["tree"] = [{"v": 1, "c": [{"v": 2, "c": [{"v": 3}]}, {"v": 4}]}, {"v": 5, "c": []}]
