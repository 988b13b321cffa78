"""Decoding only some members of JSON objects, as columns.

Paths become a tree of msgspec structs, made for the purpose. What such a struct does not take (a list or a text where
the path wants an object) is left to the caller to read plainly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from watchbill.engine.detect.fields import dig
from watchbill.engine.detect.predicates import MISSING

Path = tuple[str, ...]


class Narrow:
    """Reads the values at ``paths`` out of objects, ``missing`` for what is not there.

    A part "*" stands for each member, of which the first counts. With ``keys`` the objects that are read are equal, and
    of one hash, when their values at the paths are, which are texts, whole numbers and nothing else.
    """

    def __init__(self, paths: Sequence[Path], missing: Any = MISSING, *, keys: bool = False) -> None:
        wanted = set(paths)
        #: Paths into what is wanted as a whole as well: dug out of that.
        self._inside = {path: at for path in wanted for at in range(1, len(path)) if path[:at] in wanted}
        tree: dict[str, Any] = {}
        for path in wanted.difference(self._inside):
            node = tree
            for part in path:
                node = node.setdefault(part, {})
        self._missing = missing
        self._root = _Node(tree, (), missing, keys=keys)
        self._decode = msgspec.json.Decoder(self._root.type).decode

    def read_all(self, raws: Sequence[bytes]) -> list[Any] | None:
        """The objects; None when any cannot be decoded."""
        try:
            return list(map(self._decode, raws))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def read(self, raws: Sequence[bytes]) -> tuple[list[Any], list[int]]:
        """The objects that can be decoded, and the places of the others."""
        if (every := self.read_all(raws)) is not None:
            return every, []
        read, others = [], []
        for at, raw in enumerate(raws):
            try:
                read.append(self._decode(raw))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                others.append(at)
        return read, others

    def columns(self, read: list[Any]) -> dict[Path, list[Any]]:
        """For each path its values."""
        found: dict[Path, list[Any]] = {}
        self._root.columns(read, found)
        for path, at in sorted(self._inside.items(), key=lambda item: len(item[0])):
            values = [dig(value, list(path[at:])) for value in found[path[:at]]]
            found[path] = [self._missing if value is MISSING else value for value in values]
        return found


class _Node:
    """One object on the way: a struct type with a field for each member of interest."""

    def __init__(self, tree: dict[str, Any], path: Path, missing: Any, *, keys: bool) -> None:
        self.path = path
        self._missing = missing
        self.leaves = [name for name, below in tree.items() if not below]
        self.inner = {
            name: _Node(below, (*path, name), missing, keys=keys)
            for name, below in tree.items()
            if below and name != "*"
        }
        self.each = _Node(tree["*"], (*path, "*"), missing, keys=keys) if "*" in tree else None
        leaf: Any = str | int | None if keys else Any
        fields: list[tuple[str, Any, Any]] = [(f"f{at}", leaf, missing) for at, _ in enumerate(self.leaves)]
        fields += [(f"n{at}", node.annotation, None) for at, node in enumerate(self.inner.values())]
        names = [*self.leaves, *self.inner]
        # Positional, so that a member of any name is a field of ours.
        self.type = msgspec.defstruct(
            "Part", fields, rename=dict(zip((one for one, _, _ in fields), names, strict=True)), gc=False, eq=keys,
            frozen=keys,
        )  # fmt: skip
        if self.each is not None and names:
            raise ValueError(f"{'.'.join(path)}: members are named beside '*'")

    @property
    def annotation(self) -> Any:
        if self.each is None:
            return self.type | None
        members: Any = self.each.annotation
        return dict[str, members] | None

    def paths(self) -> Iterator[Path]:
        """All paths that end below this node."""
        yield from ((*self.path, name) for name in self.leaves)
        for node in (*self.inner.values(), *((self.each,) if self.each else ())):
            yield from node.paths()

    def columns(self, read: list[Any], found: dict[Path, list[Any]]) -> None:
        if self.each is not None:
            self._first_of_each(read, found)
            return
        if None in read:
            empty = self.type()
            read = [empty if one is None else one for one in read]
        members = list(map(list, zip(*map(msgspec.structs.astuple, read), strict=True)))
        members = members or [[] for _ in range(len(self.leaves) + len(self.inner))]
        for name, values in zip(self.leaves, members, strict=False):
            found[(*self.path, name)] = values
        for node, values in zip(self.inner.values(), members[len(self.leaves) :], strict=True):
            node.columns(values, found)

    def _first_of_each(self, read: list[Any], found: dict[Path, list[Any]]) -> None:
        assert self.each is not None  # noqa: S101 - as its name says
        if not any(read):
            found.update((path, [self._missing] * len(read)) for path in self.each.paths())
            return
        counts = [len(one) if one else 0 for one in read]
        members: dict[Path, list[Any]] = {}
        self.each.columns([member for one in read if one for member in one.values()], members)
        for path, values in members.items():
            taken = iter(values)
            found[path] = [_first([next(taken) for _ in range(count)], self._missing) for count in counts]


def _first(values: list[Any], missing: Any) -> Any:
    return next((value for value in values if value is not missing), missing)
