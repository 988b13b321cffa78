"""YAML from outside, read into plain values that remember their lines.

libyaml only splits the text into events here; the values are built without recursion, so depth, size and aliases are
bounded by us and every finding has a line. Scalars mean what PyYAML's safe loader says that they mean (YAML 1.1, as
all Sigma tools read it), but dates stay text and a repeated key is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from watchbill.core.errors import ContentError, Place

MAX_BYTES = 1 << 20
MAX_DEPTH = 24
MAX_NODES = 50_000

_STR, _INT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:int"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = Resolver()
#: What such words are is remembered: they begin most lines.
_WORD = 64
#: What begins otherwise is text.
_SPEAKING = frozenset(first for first in Resolver.yaml_implicit_resolvers if first is not None)
_CONSTRUCTOR: Any = SafeConstructor()
_CONSTRUCTORS = {
    _INT: _CONSTRUCTOR.construct_yaml_int,
    "tag:yaml.org,2002:float": _CONSTRUCTOR.construct_yaml_float,
    "tag:yaml.org,2002:bool": _CONSTRUCTOR.construct_yaml_bool,
    "tag:yaml.org,2002:null": _CONSTRUCTOR.construct_yaml_null,
}
_ENDS = {yaml.MappingEndEvent, yaml.SequenceEndEvent}


class Map(dict[str, Any]):
    """A mapping; ``line`` is where it starts, ``lines`` where each key stands."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Seq(list[Any]):
    """A sequence; ``line`` is where it starts, ``lines`` where each item stands."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


def documents(file: str, text: str) -> Iterator[tuple[int, Any]]:
    """Yield (first line, value) of each document. Raises ContentError with file and line at the first fault."""
    if len(text) > MAX_BYTES:
        raise ContentError(f"the file is larger than {MAX_BYTES} bytes", place=Place(file))
    loader: Any = None
    try:
        loader = _LOADER(text)
        events = iter(loader.get_event, None)
        for event in events:
            kind = type(event)
            if kind is yaml.DocumentStartEvent:
                yield _document(file, events)
            elif kind is yaml.StreamEndEvent:
                break
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        raise ContentError(f"this is no YAML: {error.problem or error.context}", place=place) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ContentError(f"this is no YAML: {error}", place=Place(file)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _document(file: str, events: Iterator[Any]) -> tuple[int, Any]:
    """Build one document, iteratively: ``open_`` is the stack of the containers around, ``container`` the innermost, in
    which ``key`` waits for its value.
    """
    open_: list[Map | Seq] = []
    key: str | None = None
    container: Map | Seq | None = None
    root: Any = None
    first = nodes = 0
    for event in events:
        kind = type(event)
        if kind is yaml.DocumentEndEvent:
            break
        line = event.start_mark.line + 1
        if kind in _ENDS:
            open_.pop()
            container = open_[-1] if open_ else None
            continue
        first = first or line
        nodes += 1
        if nodes > MAX_NODES:
            raise ContentError(f"more than {MAX_NODES} values in one document", place=Place(file, line))
        if kind is yaml.AliasEvent:
            raise ContentError("YAML aliases are refused", place=Place(file, line), mend="write the value out")
        value: Any
        if kind is yaml.ScalarEvent:
            value = _scalar(file, line, event)
        else:
            value = Map(line) if kind is yaml.MappingStartEvent else Seq(line)
        if type(container) is Map:
            if key is None:
                key = _key(file, line, container, value)
                continue
            container[key] = value
            key = None
        elif type(container) is Seq:
            container.append(value)
            container.lines.append(line)
        else:
            root = value
        if kind is not yaml.ScalarEvent:
            container = value
            open_.append(value)
            if len(open_) > MAX_DEPTH:
                raise ContentError(f"nested deeper than {MAX_DEPTH} levels", place=Place(file, line))
    return first, root


def _key(file: str, line: int, container: Map, value: Any) -> str:
    if isinstance(value, (Map, Seq)):
        raise ContentError("a key must be text", place=Place(file, line))
    key = value if isinstance(value, str) else str(value)
    if key in container.lines:
        raise ContentError(f"the key {key!r} stands here a second time", place=Place(file, line))
    container.lines[key] = line
    return key


def _scalar(file: str, line: int, event: yaml.ScalarEvent) -> Any:
    value: str = event.value
    tag = event.tag
    if tag is None:
        speaks = event.implicit[0] and value[:1] in _SPEAKING
        tag = (_resolved if len(value) <= _WORD else _resolved.__wrapped__)(value) if speaks else _STR
    elif tag not in {"!", _STR} and tag not in _CONSTRUCTORS:
        raise ContentError(f"the YAML tag {tag} is refused", place=Place(file, line))
    construct = _CONSTRUCTORS.get(tag)
    if construct is None:
        return value
    try:
        return construct(yaml.ScalarNode(tag, value))
    except (ValueError, KeyError, IndexError):
        raise ContentError(f"{value[:40]!r} is no {tag.rpartition(':')[2]}", place=Place(file, line)) from None


@lru_cache(maxsize=4_096)
def _resolved(value: str) -> str:
    """What a scalar without quotes is."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, value, (True, False))
    return tag
