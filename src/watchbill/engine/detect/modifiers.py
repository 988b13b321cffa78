"""From ``field|modifier|modifier: values`` to predicates, as Sigma's appendix on modifiers says.

https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-appendix-modifiers.md
"""

from __future__ import annotations

import base64
import codecs
import ipaddress
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from watchbill.core.errors import ContentError
from watchbill.engine.detect.predicates import (
    COMPARISONS,
    ESCAPED_QUESTION,
    ESCAPED_STAR,
    PLAIN,
    TIME_PARTS,
    Predicate,
    compile_regex,
)

#: A pattern is text in which "*" and "?" are wildcards; escaped ones are private-use characters.
_PLACE = {"contains", "startswith", "endswith"}
_WIDE = {"wide": "utf-16le", "utf16le": "utf-16le", "utf16be": "utf-16be", "utf16": "utf-16le"}
_CODED = {"base64", "base64offset"}
_REGEX_FLAGS = {"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}
_TYPES = {"re", "cidr", "exists", "fieldref", *TIME_PARTS, "lt", "lte", "gt", "gte"}
_KNOWN = {
    "all", "neq", "cased", "windash", "base64", "base64offset", "expand",
    *_PLACE, *_WIDE, *_REGEX_FLAGS, *_TYPES,
}  # fmt: skip
_DASHES = ("-", "/", "\u2013", "\u2014", "\u2015")
_DASH = rf"\B[{''.join(_DASHES)}]\b"
_MAX_DASHES = 3
_MAX_EXPANSIONS = 10_000
_MAX_WILDCARDS = 64
_MAX_REGEX = 10_000

Placeholders = Mapping[str, Sequence[str]]


def predicates(modifiers: Sequence[str], values: Sequence[Any], placeholders: Placeholders) -> list[list[Predicate]]:
    """One list for each value: the predicates of which any must hold. Raises ContentError (without a place)."""
    for name in modifiers:
        if name not in _KNOWN:
            raise ContentError(f"the modifier {name!r} is unknown")
    if len(modifiers) != len(set(modifiers)):
        raise ContentError("a modifier is repeated")
    rest = [name for name in modifiers if name not in {"all", "neq"}]
    types = [name for name in rest if name in _TYPES]
    if "all" in modifiers and len(values) < 2 and "expand" not in modifiers:
        values = list(values)  # Sigma forbids "all" on a single value, yet it changes nothing
    build = _builder(types, rest, placeholders)
    made = [build(value) for value in values]
    if sum(map(len, made)) > _MAX_EXPANSIONS:
        raise ContentError(f"the values expand into more than {_MAX_EXPANSIONS}")
    return made


def _builder(types: list[str], rest: list[str], placeholders: Placeholders) -> Callable[[Any], list[Predicate]]:
    if not types:
        if unfit := [name for name in rest if name in _REGEX_FLAGS]:
            raise ContentError(f"the modifier {unfit[0]!r} goes with re only")
        return lambda value: _strings(rest, value, placeholders)
    if types[0] in TIME_PARTS:
        return lambda value: [_time(types, rest, value)]
    if len(types) > 1:
        raise ContentError(f"the modifiers {types[0]!r} and {types[1]!r} exclude each other")
    kind = types[0]
    others = [name for name in rest if name != kind]
    allowed = {"re": {*_REGEX_FLAGS, "contains", "expand"}, "fieldref": {*_PLACE, "cased"}, "cidr": {"expand"}}
    if unfit := [name for name in others if name not in allowed.get(kind, set())]:
        raise ContentError(f"the modifiers {kind!r} and {unfit[0]!r} do not go together")
    if kind == "re":
        return lambda value: [_regex(others, text) for text in _expand(others, _text(value), placeholders)]
    if kind == "fieldref":
        how = next((name for name in others if name in _PLACE), "equals")
        return lambda value: [Predicate("field", (_text(value), how), "cased" in others)]
    if kind == "cidr":
        return lambda value: [_cidr(text) for text in _expand(others, _text(value), placeholders)]
    if kind == "exists":
        return _exists
    return lambda value: [Predicate(kind, _number(value, kind))]


def _exists(value: Any) -> list[Predicate]:
    if not isinstance(value, bool):
        raise ContentError("exists wants true or false")
    return [Predicate("exists" if value else "missing")]


def _regex(flags: list[str], pattern: str) -> Predicate:
    letters = "".join(sorted({_REGEX_FLAGS[name] for name in flags if name in _REGEX_FLAGS}))
    pattern = f"(?{letters}){pattern}" if letters else pattern
    if len(pattern) > _MAX_REGEX:
        raise ContentError(f"the regular expression is longer than {_MAX_REGEX} characters")
    compile_regex(pattern)
    return Predicate("regex", pattern)


def _cidr(text: str) -> Predicate:
    try:
        return Predicate("cidr", str(ipaddress.ip_network(text)))
    except ValueError as error:
        raise ContentError(f"this is no network: {error}") from None


def _time(types: list[str], rest: list[str], value: Any) -> Predicate:
    if set(rest) - set(types) or len(types) > 2 or (len(types) == 2 and types[1] not in COMPARISONS):
        raise ContentError(f"the modifier {types[0]!r} goes with lt, lte, gt or gte only")
    return Predicate(types[0], (types[1] if len(types) == 2 else "equals", _number(value, types[0])))


def _number(value: Any, kind: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ContentError(f"the modifier {kind!r} wants a number, not {value!r}")
    return value


def _text(value: Any) -> str:
    if isinstance(value, (bool, int, float)) or value is None:
        raise ContentError(f"this modifier wants text, not {value!r}")
    return str(value)


def _strings(modifiers: list[str], value: Any, placeholders: Placeholders) -> list[Predicate]:
    if value is None:
        if modifiers:
            raise ContentError("null goes with no modifier")
        return [Predicate("null")]
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    patterns = [parse_pattern(text) for text in _expand(modifiers, str(value), placeholders)]
    wide = ""
    for name in modifiers:
        if name in _PLACE:
            patterns = [_placed(name, pattern) for pattern in patterns]
        elif name in _WIDE and _CODED & set(modifiers):
            wide = name  # the bytes, which need not be a text, are what is coded
        elif name in _WIDE:
            patterns = [_widened(name, pattern) for pattern in patterns]
        elif name == "windash":
            patterns = [dashed for pattern in patterns for dashed in _windash(pattern)]
        elif name in _CODED:
            patterns = [coded for pattern in patterns for coded in _base64(name, _bytes(name, wide, pattern))]
    return [pattern_predicate(pattern, "cased" in modifiers) for pattern in patterns]


def parse_pattern(text: str) -> str:
    r"""Resolve Sigma's escapes: ``\*`` and ``\?`` are the characters, ``\\`` one backslash, other ``\`` stay."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([*?\\])", lambda found: _UNESCAPED[found[1]], text)


_UNESCAPED = {"*": ESCAPED_STAR, "?": ESCAPED_QUESTION, "\\": "\\"}


def pattern_predicate(pattern: str, cased: bool) -> Predicate:
    """The cheapest predicate that says the same as the pattern. Raises ContentError (without a place)."""
    if pattern.count("*") + pattern.count("?") > _MAX_WILDCARDS:
        raise ContentError(f"a value has more than {_MAX_WILDCARDS} wildcards")
    folded = pattern if cased else pattern.lower()
    if "*" not in folded and "?" not in folded:
        return Predicate("equals", folded.translate(PLAIN), cased)
    segments = tuple(folded.split("*"))
    segments = (segments[0], *(part for part in segments[1:-1] if part), *segments[-1:]) if segments[1:] else segments
    if "?" in folded:
        return Predicate("glob", segments, cased)
    plain = segments
    if ESCAPED_STAR in folded or ESCAPED_QUESTION in folded:
        plain = tuple(segment.translate(PLAIN) for segment in segments)
    if len(plain) == 2:
        head, tail = plain
        if not tail:
            return Predicate("startswith", head, cased)
        return Predicate("endswith", tail, cased) if not head else Predicate("glob", segments, cased)
    if len(plain) == 3 and not plain[0] and not plain[2]:
        return Predicate("contains", plain[1], cased)
    return Predicate("glob", segments, cased)


def _placed(name: str, pattern: str) -> str:
    if name != "startswith" and not pattern.startswith("*"):
        pattern = "*" + pattern
    if name != "endswith" and not pattern.endswith("*"):
        pattern += "*"
    return pattern


def _bytes(name: str, wide: str, pattern: str) -> bytes:
    if "*" in pattern or "?" in pattern:
        raise ContentError(f"the modifier {name!r} goes with no wildcards")
    return (codecs.BOM_UTF16_LE if wide == "utf16" else b"") + pattern.translate(PLAIN).encode(_WIDE.get(wide, "utf-8"))


def _widened(name: str, pattern: str) -> str:
    """The bytes of UTF-16 as a text, which those of ASCII characters are."""
    mark = "\ufeff" if name == "utf16" else ""
    try:
        return mark + _bytes(name, "wide" if name == "utf16" else name, pattern).decode()
    except UnicodeDecodeError:
        raise ContentError(f"the modifier {name!r} without base64 goes with ASCII text only") from None


def _windash(pattern: str) -> list[str]:
    pieces = re.split(_DASH, pattern)
    if len(pieces) - 1 > _MAX_DASHES:
        raise ContentError(f"windash goes with at most {_MAX_DASHES} dashes in one value")
    combinations = itertools.product(_DASHES, repeat=len(pieces) - 1)
    return ["".join(itertools.chain(*zip(pieces, (*dashes, ""), strict=True))) for dashes in combinations]


def _base64(name: str, data: bytes) -> list[str]:
    if name == "base64":
        return [base64.b64encode(data).decode()]
    starts, ends = (0, 2, 3), (None, -3, -2)  # the characters that depend on the bytes before and after
    return [
        base64.b64encode(b" " * shift + data)[starts[shift] : ends[(len(data) + shift) % 3]].decode()
        for shift in range(3)
    ]


def _expand(modifiers: Sequence[str], text: str, placeholders: Placeholders) -> list[str]:
    if "expand" not in modifiers:
        return [text]
    parts = re.split(r"(?<!\\)%([^%\s]+)(?<!\\)%", text)
    names = parts[1::2]
    if unknown := [name for name in names if name not in placeholders]:
        raise ContentError(f"no values are known for the placeholder %{unknown[0]}%")
    made = []
    for chosen in itertools.product(*(placeholders[name] for name in names)):
        pieces = [part.replace(r"\%", "%") for part in parts[::2]]
        made.append("".join(itertools.chain(*zip(pieces, (*chosen, ""), strict=True))))
    return made
