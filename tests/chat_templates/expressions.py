"""Templates for make_cases.py, each for one point of the language."""

EXPRESSIONS = r"""
{{ 1 + 2 * 3 ** 2 // 4 % 5 - -1 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 2 ** 0.5 }} {{ 2 ** -1 }} {{ -2 ** 2 }}
{{ 1e16 }} {{ 1e15 }} {{ 1.0 }} {{ 1e-4 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1.5e3 }}
{{ 5.0 // 2 }} {{ -5.5 % 2 }} {{ 5.5 % -2 }} {{ 1e308 * 10 }} {{ -1e308 * 10 }} {{ 0.0 * -1 }}
{{ [1, 'two', 3.0, none, true, {'a': (1,)}, ()] }} {{ {} }} {{ [] }} {{ (1, 2) }} {{ {'k': 'it''s'} }}
{{ "a" "b" 'c' }} {{ 'tab\tnew\\line\x41\u00e9\U0001F600\101\q' }} {{ "quote'\"" }}
{{ true }} {{ True }} {{ none }} {{ None }} {{ false or 'x' }} {{ 0 and 1 }} {{ not none }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1,) == [1] }}
{{ 1 in [1] }} {{ 'b' in 'abc' }} {{ 'x' not in d }} {{ 'a' in d }} {{ 3 in range(5) }} {{ 1 not in missing }}
{{ missing }} {{ missing is defined }} {{ missing|default('d') }} {{ m.nothing_here }} {{ m['role'] }} {{ m.role }}
{{ missing.attribute }}
{{ m.nothing.attribute }}
{{ missing + 1 }}
{{ missing() }}
{{ missing < 1 }}
{% for x in missing %}x{% else %}none{% endfor %}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ none + 1 }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ none.x }}|{{ none['x'] }}
{{ l[0] }} {{ l[-1] }} {{ l[9] }} {{ l.0 }} {{ s[0] }} {{ s[-1] }} {{ u[1] }} {{ u[-2:] }} {{ l[1:] }} {{ l[::-1] }} {{ l[-2:] }} {{ l[:2] }} {{ s[5:2] }}
{{ l['x'] }}|{{ s['x'] }}|{{ d[1] }}|{{ d['a'] }}|{{ n[0] }}
{{ n[1:] }}
{{ l[::0] }}
{{ 'abc' * 2 }} {{ 2 * 'abc' }} {{ [0] * 3 }} {{ 'x' * -1 }}
{{ 1 ~ none ~ true ~ [1] ~ 2.50 ~ missing }}
{{ 'a' if true else 'b' }} {{ 'a' if false }} {{ 'a' if false else 'b' if false else 'c' }}
{{ s.upper() }} {{ u.upper() }} {{ 'ß'.upper() }} {{ 'ǆ'.title() }} {{ 'İ'.lower()|length }} {{ 'ΣΑΣ'.lower() }} {{ "they're bill's".title() }} {{ "they're (bill's)"|title }}
{{ '  x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ '\u00a0a\u3000'.rstrip() }}|{{ 'abcba'.strip('ab') }}
{{ 'a b  c'.split() }} {{ 'a b  c'.split(' ') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a,b'.split(sep=',', maxsplit=0) }}
{{ 'a\nb\r\nc\x0bd\u2028e'.splitlines() }} {{ 'a\n\nb\n'.splitlines(true) }}
{{ 'abc'.replace('', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'aXbX'|replace('X', '') }} {{ 5|replace('5', 'five') }}
{{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ 'äbc'.find('c') }} {{ 'abcabc'.rfind('b') }} {{ 'aaa'.count('a') }} {{ 'abc'.index('b') }} {{ 'abcabc'.find('b', 2) }} {{ 'abc'.count('') }}
{{ 'abc'.index('z') }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.startswith('') }}
{{ 'abc'.startswith(1) }}
{{ ', '.join(['a', 'b']) }} {{ ['a', 1, none]|join('-') }} {{ messages|join(',', attribute='role') }} {{ 'abc'|join('.') }}
{{ ','.join([1]) }}
{{ 'x'.center(6, '*') }} {{ 'x'.center(5) }}| {{ 'é'.ljust(3, '.') }} {{ '5'.zfill(3) }} {{ '-5'.zfill(4) }} {{ 'ab'.rjust(1) }}
{{ 'a.b.c'.partition('.') }} {{ 'a.b.c'.rpartition('.') }} {{ 'abc'.partition('x') }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.y'.removesuffix('.y') }}
{{ '{} {1}'.format(1, 2) }}
{{ '{0} {1:>5} {name!r}'.format(1, 'é', name='n') }} {{ '{:,} {:08.3f} {:x} {:+d} {:.0%}'.format(1234567, 3.14159, 255, 3, 0.5) }} {{ '{0[k]} {0.k}'.format({'k': 'v'}) }}
{{ '%s %5.1f %-4d| %05d %x %r %%' % ('a', 2.55, 3, -4, 255, 'q') }} {{ '%(a)s' % {'a': 1} }} {{ '%s' % none }} {{ '%s'|format('x') }}
{{ '%d' % 'x' }}
{{ '%s %s' % 'x' }}
{{ 'x' % 1 }}
{{ d.items() }} {{ d.keys() }} {{ d.values() }} {{ d|items|list }} {{ d.get('a') }} {{ d.get('z') }} {{ d.get('z', 0) }} {{ d|length }} {{ d|list }} {{ d|dictsort }} {{ d|dictsort(true) }}
{{ d.items }}|{{ d.update }}|{{ d.pop }}|{{ l.append }}|{{ s.__class__ }}|{{ d.__len__ }}
{{ d.update({'x': 1}) }}
{{ l.append(4) }}
{{ l.count(3) }} {{ l.index(2) }} {{ l.copy() }} {{ d.copy() }} {{ (1, 2).count(1) }}
{{ s|length }} {{ u|length }} {{ l|first }} {{ l|last }} {{ []|first is undefined }} {{ l|sum }} {{ l|min }} {{ l|max }} {{ names|min }} {{ names|sort }} {{ names|sort(true, true) }} {{ l|unique|list }}
{{ n|length }}
{{ 3.7|int }} {{ '3.7'|int }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ 'ff'|int(base=16) }} {{ '0x1f'|int(0, 16) }} {{ ' 12 '|int }} {{ '1_000'|int }} {{ none|int }} {{ true|int }} {{ '٣'|int }}
{{ '3.5'|float }} {{ 'inf'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 3|float }} {{ '1e3'|float }} {{ 'nan'|float }}
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 2.1|round(0, 'ceil') }} {{ 2.19|round(1, 'floor') }} {{ 5|round }} {{ 1234|round(-2) }} {{ -2.5|round }} {{ 1e20|round }}
{{ -3|abs }} {{ (-3)|abs }} {{ (-3.5)|abs }} {{ '5' * 3|int }}
{{ m|tojson }} {{ m|tojson(indent=2) }} {{ [1.0, 'é', none, true, 1e400]|tojson }} {{ 'é"\n'|tojson(ensure_ascii=true) }} {{ '🙂'|tojson(ensure_ascii=true) }} {{ {}|tojson(indent=2) }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ d|tojson(sort_keys=true) }} {{ d|tojson(separators=(',', ':')) }} {{ d|tojson(indent='\t') }} {{ '</script>'|tojson }}
{{ missing|tojson }}
{{ range|tojson }}
{{ messages|map(attribute='role')|list }} {{ messages|map('length')|list }} {{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|selectattr('content')|map(attribute='content')|list }} {{ messages|rejectattr('role', 'in', ['user'])|map(attribute='role')|join }}
{{ [1, 2, 3, 4]|select('even')|list }} {{ [1, 2, 3]|reject('odd')|list }} {{ [0, 1, '', 'a']|select|list }} {{ [1, 2]|map('string')|map('upper')|join }} {{ ['a', 'B']|map('lower')|list }} {{ [{'a': {'b': 1}}]|map(attribute='a.b')|list }} {{ [{}]|map(attribute='x', default='?')|list }}
{{ messages|map('nope')|list }}
{{ messages|select('nope')|list }}
{{ messages|map|list }}
{{ [1, 2, 3]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5]|slice(2)|list }} {{ [1, 2, 3]|slice(2, 'x')|list }} {{ messages|groupby('role')|map(attribute='grouper')|list }} {% for g in messages|groupby('role') %}{{ g.grouper }}={{ g.list|length }};{% endfor %}
{{ '<a href="x">\'&</a>'|escape }} {{ '<b>'|e }} {{ '<b>'|safe }} {{ '<b>'|safe + '<i>' }} {{ ('<b>'|safe) ~ '<i>' }} {{ '<b>x</b> <!-- c -->y'|striptags }} {{ '<'|forceescape }} {{ ['<'|safe] }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb\n\nc'|indent(2, true, true) }}|{{ 'a\nb'|indent('> ', first=true) }}|{{ 'a\n'|indent }}|
{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '...', 0) }}
{{ 'hello world foo'|wordcount }} {{ 'x'|center(5) }}| {{ 13000|filesizeformat }} {{ 1|filesizeformat }} {{ 4100000|filesizeformat(true) }} {{ 'a b/c?d=é'|urlencode }} {{ {'a': 1, 'b c': '/'}|urlencode }}
{{ 'abc'|reverse }} {{ [1, 2]|reverse|list }} {{ 'abc'|list }} {{ 'AbC'|lower }} {{ 'aB cD'|capitalize }} {{ 5|string + '!' }} {{ 'abc'|upper|lower|title }} {{ m|attr('items') is callable }} {{ m|attr('role') is defined }}
{{ 'x' is string }} {{ 1 is number }} {{ true is number }} {{ true is integer }} {{ 1.0 is float }} {{ none is none }} {{ [] is sequence }} {{ {} is mapping }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ {} is sequence }} {{ true is boolean }} {{ 1 is true }} {{ true is true }} {{ range is callable }} {{ messages is sequence }}
{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is in [1] }} {{ 1 is eq 1 }} {{ 1 is not ne 1 }} {{ 2 is gt 1 }} {{ 2 is lessthan(3) }} {{ 'a' is lower }} {{ 'A' is upper }} {{ 'x' is sameas 'x' }} {{ none is sameas none }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ 'zz' is filter }}
{{ 'x' is nope }}
{{ 'x'|nope }}
{% if false %}{{ 'x'|nope }}{% endif %}fine
{{ range(3)|list }} {{ range(1, 10, 3)|list }} {{ range(5, 0, -2) }} {{ range(3)[1] }} {{ range(10)[2:5] }} {{ range(3)|length }} {{ range(0) }}
{{ range(100001)|length }}
{{ range(1, 2, 0) }}
{{ dict(a=1, b='x') }} {{ dict([('a', 1)]) }} {{ dict({'a': 1}, b=2) }} {% set ns = namespace(a=1) %}{% set ns.b = 2 %}{{ ns.a + ns.b }} {{ ns }} {{ ns.c is defined }} {{ ns['a'] }}
{% set d.x = 1 %}
{% set missing.x = 1 %}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
{{ raise_exception('no ' ~ n) }}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }};{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}{% for x in l if x > 9 %}{% else %}empty{% endfor %}
{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}-{{ b }};{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for k in d %}{{ k }}{% endfor %}{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}{% for c in 'hé' %}{{ c }},{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{% if loop.index == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1] %}{% break %}{% else %}else{% endfor %}{% for x in [1] %}{% continue %}{% else %}else{% endfor %}
{% break %}
{% for x in tree recursive %}{{ x.v }}({{ loop(x.c) if x.c }}){{ loop.depth0 }}{% endfor %}
{% for x in l %}{{ loop(l) }}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }} {% if true %}{% set x = 5 %}{% endif %}{{ x }}
{{ n }}{% if false %}{% set n = 1 %}{% endif %}{{ n }} {% for i in [1] %}{{ k }}{% endfor %}{% set k = 2 %}{{ k }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}{% set t = 1, 2 %}{{ t }}
{% set x %}a {{ n }} {% endset %}[{{ x }}]{% set y | trim | upper %} q {% endset %}[{{ y }}]
{% with a = 1, b = n %}{{ a + b }}{% set n = 0 %}{% endwith %}{{ n }}{{ a is defined }}
{% macro f(a, b='x', c=n) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, 2) }} {{ f(b=3, a=4) }} {{ f(1, c=2) }} {{ f() }} {{ f.name }} {{ f.arguments }} {{ f }}
{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{% endmacro %}{{ f(z=2) }}
{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, z=3) }} {{ f(*[1], **{'q': 2}) }}
{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f() %}{{ late }}{% endmacro %}{% set late = 'seen' %}{{ f() }}
{% macro box(t) %}[{{ t }}:{{ caller('v') }}]{% endmacro %}{% call(x) box('t') %}{{ x }}{{ n }}{% endcall %}{% macro q() %}{{ caller is defined }}{% endmacro %}{{ q() }}
{% macro f() %}{% endmacro %}{% call f() %}{% endcall %}
{% filter upper %}a{{ n }}{% endfilter %}{% filter replace('a', 'b')|upper %}banana{% endfilter %}
{% generation %}a{% set zz = 1 %}{% endgeneration %}{{ zz is defined }}
{% print 1, 'a' %}{% raw %}{{ x }}{% endraw %}{# c #}{% if 0 %}a{% elif 0 %}b{% elif 1 %}c{% else %}d{% endif %}
{% set x = caller %}{{ x is defined }}{{ loop is defined }}
{{ [1, 2, 3][1:][0] }} {{ {'a': [1, {'b': 2}]}.a[1].b }} {{ (1, 2)[0] }} {{ 'abc'[1] }} {{ "x".upper().lower() }} {{ [3]|first|string|length }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {(1, 2): 3}[(1, 2)] }}
{{ {[]: 1} }}
{{ [1, 2] + [3] }} {{ (1,) + (2,) }} {{ [1] + (2,) }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ [3, 'a']|sort }}
{{ x.is_integer() }} {{ 3.0.is_integer() }} {{ n.bit_length() }}
{{ not 1 == 2 }} {{ 1 if not false and true }} {{ -n }} {{ +n }} {{ - -1 }} {{ 2 ** 3 ** 2 }} {{ 10 - 2 - 3 }} {{ 'a' ~ 1 + 2 }} {{ 1 + 2 ~ 'a' }}
{{ 'a'|upper ~ 'b' }} {{ ('a' ~ 'b')|upper }} {{ 1 + '2'|int }} {{ -1|abs }} {{ 'x' is string and 1 }} {{ n is odd == true }}
{{ foo
{{ 1 + }}
{{ (1 }}
{{ 1) }}
{% if %}{% endif %}
{% if 1 %}
{% endif %}
{% unknown %}
{% for x l %}{% endfor %}
{% set 1 = 2 %}
{% set true = 2 %}
{{ 'abc }}
{{ a b }}
{% macro f(a=1, b) %}{% endmacro %}
{% for loop in l %}{{ loop.index }}{% endfor %}
{{ f(a=1, 2) }}
{# not closed
{% raw %} not closed
{{ 1 is odd is even }}
{{ '\x4' }}
{{ 1..2 }}
{{ $ }}
{% include 'x' %}
{% extends 'x' %}
""".strip("\n").split("\n")
