"""The query language of events: words, phrases, field:value, OR, -not and parentheses, read into SQL with bound values.

    failed password -user:root (src_ip:192.0.2.0/24 OR host:web-*) http_response.code:>=500 is:quarantined

Nothing that a person typed becomes part of the SQL text: values and JSON paths are parameters, and column names come
from the tables below. ``Condition.may`` says from a file's words alone whether any row of it can match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from watchbill.core.errors import Place, QueryError
from watchbill.lake.fields import FieldTerm, Refusal
from watchbill.lake.words import WORD, tokens

LONGEST = 2_000
DEEPEST = 40
_TOKEN = re.compile(
    r"""\s+ | (?P<open>\() | (?P<close>\)) | (?P<minus>-(?=[^\s)])) | (?P<or>OR(?=[\s()]|$)) | (?P<and>AND(?=[\s()]|$))
    | (?P<not>NOT(?=[\s()]|$)) | (?P<field>[A-Za-z_][\w.@\[\]-]*):(?!//)(?P<op>[<>]=?)?
    | "(?P<phrase>(?:[^"\\]|\\.)*)" | (?P<word>[^\s()"]+)""",
    re.VERBOSE,
)


class Condition(NamedTuple):
    """A SQL expression over the lake's columns with its bound values, and a quick look at a file's words."""

    sql: str
    params: tuple[object, ...]
    may: Callable[[Callable[[bytes], bool]], bool]


def _always(_: Callable[[bytes], bool]) -> bool:
    return True


EVERYTHING = Condition("true", (), _always)


def parse(query: str) -> Condition:
    """Read a query; an empty one matches everything. Raises QueryError with the column and the mend, and only that."""
    if len(query) > LONGEST:
        _refuse(LONGEST, f"the query is longer than {LONGEST} characters", "search for less at once")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        _refuse(error.start, "this character is no text", "leave it out")
    if "\0" in query:
        _refuse(query.index("\0"), "a NUL byte cannot be searched for", "leave it out")
    return _Parser(query).whole()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens = list(_scan(query))
        self.next = 0
        self.depth = 0

    def whole(self) -> Condition:
        if not self.tokens:
            return EVERYTHING
        found = self._any()
        if self.next < len(self.tokens):
            _refuse(self.tokens[self.next].at, "this parenthesis closes nothing", "remove it, or open one before")
        return found

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _joined(" OR ", parts, any)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self.next < len(self.tokens) and self._kind() not in {"or", "close"}:
            self._take("and")
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _joined(" AND ", parts, all)

    def _one(self) -> Condition:
        if self.next == len(self.tokens):
            _refuse(len(self.query), "something is missing at the end", "write a word or field:value there")
        token = self.tokens[self.next]
        self.next += 1
        match token.kind:
            case "minus" | "not":
                inner = self._deeper(self._one, token)
                return Condition(f"NOT coalesce({inner.sql}, false)", inner.params, _always)
            case "open":
                inner = self._deeper(self._any, token)
                if not self._take("close"):
                    _refuse(token.at, "this parenthesis is never closed", "write ) where the group ends")
                return inner
            case "field":
                return self._field(token)
            case "phrase":
                return _words(_unescaped(token.text), literal=True)
            case "word":
                return _words(token.text, literal=False)
        return _refuse(
            token.at, f"{token.text!r} cannot stand here", "put a word or field:value before it, or quote it"
        )

    def _field(self, token: _Token) -> Condition:
        name, _, operator = token.text.partition(":")
        value = self.tokens[self.next] if self.next < len(self.tokens) else None
        after = token.at + len(token.text)
        if value is None or value.kind in {"open", "close"} or value.at != after:
            _refuse(after, f"{name} has no value", f'write {name}:value, or "{name}:" in quotes for the text')
        self.next += 1
        literal = value.kind == "phrase"
        text = _unescaped(value.text) if literal else value.text
        if name.lower() == "message" and not operator:
            return _words(text, literal=literal)
        try:
            sql, params = FieldTerm(name, operator, text, literal=literal).sql()
        except Refusal as refusal:
            at = token.at if refusal.of_name else value.at
            raise QueryError(refusal.what, place=Place("query", 1, at + 1), mend=refusal.mend) from None
        return Condition(sql, params, _always)

    def _deeper(self, rule: Callable[[], Condition], token: _Token) -> Condition:
        self.depth += 1
        if self.depth > DEEPEST:
            _refuse(token.at, f"this is nested deeper than {DEEPEST}", "search in steps")
        found = rule()
        self.depth -= 1
        return found

    def _kind(self) -> str:
        return self.tokens[self.next].kind

    def _take(self, kind: str) -> bool:
        if self.next < len(self.tokens) and self._kind() == kind:
            self.next += 1
            return True
        return False


def _scan(query: str) -> list[_Token]:
    at = 0
    found: list[_Token] = []
    while at < len(query):
        if found and found[-1].kind == "field" and found[-1].at + len(found[-1].text) == at:
            match = _VALUE.match(query, at)
        else:
            match = _TOKEN.match(query, at)
        if match is None:
            _refuse(at, "this quotation mark is never closed", 'write " where the phrase ends')
        kind = match.lastgroup
        if kind == "op":
            kind = "field"
        if kind:
            found.append(_Token(kind, match["phrase"] if kind == "phrase" else match[0], at))
        at = match.end()
    return found


#: What follows "field:" at once; OR, - and : are ordinary there.
_VALUE = re.compile(
    r"""\s+ | (?P<close>\)) | (?P<open>\() | "(?P<phrase>(?:[^"\\]|\\.)*)" | (?P<word>[^\s()"]+)""", re.VERBOSE
)


def _joined(word: str, parts: list[Condition], combine: Callable[[list[bool]], bool]) -> Condition:
    params = tuple(value for part in parts for value in part.params)
    return Condition(
        f"({word.join(part.sql for part in parts)})", params, lambda has: combine([part.may(has) for part in parts])
    )


def _words(text: str, *, literal: bool) -> Condition:
    """Match whole words of the message; an unquoted ``*`` at an end lets the word go on there."""
    lowered = text.lower()
    pieces = [lowered] if literal else lowered.split("*")
    solid = [piece for piece in pieces if piece]
    if not solid:
        return EVERYTHING
    pattern = r".*".join(re_quoted(piece) for piece in pieces)
    before = r"\b" if pieces[0] and WORD.match(pieces[0][0]) else ""
    after = r"\b" if pieces[-1] and WORD.match(pieces[-1][-1]) else ""
    longest = max(solid, key=len)
    needed = _needed(pieces)
    return Condition(
        "(contains(lower(message), ?) AND regexp_matches(lower(message), ?))",
        (longest, f"(?s){before}{pattern}{after}"),
        lambda has: all(has(token) for token in needed),
    )


def _needed(pieces: list[str]) -> set[bytes]:
    """The tokens that a matching message must hold whole: not those that touch a ``*``."""
    last = len(pieces) - 1
    found: set[bytes] = set()
    for index, piece in enumerate(pieces):
        body = piece
        if index > 0:
            body = re.sub(r"^[A-Za-z0-9_.]+", "", body)
        if index < last:
            body = re.sub(r"[A-Za-z0-9_.]+$", "", body)
        found |= tokens(body.encode())
    return found


def re_quoted(text: str) -> str:
    """Quote for RE2, which takes a backslash before any ASCII punctuation and before nothing else."""
    return re.sub(r"([^\w\s]|_)", lambda match: f"\\{match[0]}" if match[0].isascii() else match[0], text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _refuse(at: int, what: str, mend: str) -> NoReturn:
    raise QueryError(what, place=Place("query", 1, at + 1), mend=mend)
