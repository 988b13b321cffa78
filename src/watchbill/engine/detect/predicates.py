"""What is asked of one field value, and the plain answer.

Values are compared as text: numbers and booleans by their JSON spelling (an integral float like its integer), so that
4625 and "4625" are the same and 1, 1.0 and true are told apart as Sigma's users expect. Unless ``cased``, both sides
are lower-cased (Unicode ``str.lower``) before they are compared.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import re2

from watchbill.core.errors import ContentError
from watchbill.engine.detect.guards import Guard, guards_of_glob, need_of_regex

#: What a field is that is not there; None is a field that is there and null.
MISSING: Final = type("Missing", (), {"__repr__": lambda _: "MISSING"})()

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge, "equals": operator.eq,
}  # fmt: skip
TIME_PARTS = ("minute", "hour", "day", "week", "month", "year")
_IN_WORDS = {
    "equals": "is", "startswith": "starts with", "endswith": "ends with", "contains": "contains",
    "glob": "is like", "regex": "matches", "cidr": "is in", "lt": "is below", "lte": "is at most",
    "gt": "is above", "gte": "is at least", "field": "is the same as field",
}  # fmt: skip


if TYPE_CHECKING:
    Argument = Any  # which it is follows from the kind
else:
    Argument = str | int | float | tuple[str | int | float, ...] | None


class Predicate(msgspec.Struct, frozen=True, cache_hash=True):
    """``kind`` with its ``argument``:

    equals, startswith, endswith, contains: text (lower-cased unless cased); glob: tuple of segments, "*" between
    them, "?" within; regex: RE2 pattern; cidr: network; lt, lte, gt, gte: number; null, exists, missing: nothing;
    minute … year: (comparison, number); field: (other field, how it compares). "guard" is the engine's own: a literal
    without which another predicate of the field cannot hold (see ``guards``).
    """

    kind: str
    argument: Argument = None
    cased: bool = False

    def words(self) -> str:
        """The condition for people: "contains 'x'"."""
        if self.kind in {"null", "exists", "missing"}:
            return {"null": "is null or missing", "exists": "is there", "missing": "is not there"}[self.kind]
        if self.kind in TIME_PARTS:
            comparison, number = self.argument
            return f"has a time whose {self.kind} {_IN_WORDS[comparison]} {number}"
        if self.kind == "field":
            return f"{_IN_WORDS[self.argument[1]]} field {self.argument[0]}".replace("is field", "is the same as field")
        shown = self.argument
        if self.kind == "glob":
            shown = "".join(_LITERALS.get(char, char) for char in "*".join(self.argument))
        return f"{_IN_WORDS[self.kind]} {shown!r}" if isinstance(shown, str) else f"{_IN_WORDS[self.kind]} {shown}"


class Atom(msgspec.Struct, frozen=True, cache_hash=True, tag="atom"):
    """A predicate on a field. ``space`` says where the field is looked up: native, ocsf or message."""

    space: str
    field: str
    predicate: Predicate


def text_of(value: Any) -> str:
    """The text that a field value (not None) is compared as."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    return msgspec.json.encode(value, enc_hook=str).decode()


def holds(predicate: Predicate) -> Callable[[str], bool]:
    """Compile a predicate on text; null, exists, missing and field are the caller's own affair."""
    kind, argument, cased = predicate.kind, predicate.argument, predicate.cased
    fold = _same if cased else str.lower
    if kind == "equals":
        return lambda text: fold(text) == argument
    if kind == "startswith":
        return lambda text: fold(text).startswith(argument)
    if kind == "endswith":
        return lambda text: fold(text).endswith(argument)
    if kind in {"contains", "guard"}:
        return lambda text: argument in fold(text)
    if kind == "glob":
        match = glob(argument)
        return lambda text: match(fold(text))
    if kind == "regex":
        need = need_of_regex(argument)
        if need.enough:
            return lambda text: len(text) >= need.least and max(map(len, text.split("\n"))) >= need.least
        search, allows = compile_regex(argument).search, need.allows
        return lambda text: allows(text) and search(text.encode("utf-8", "replace")) is not None
    if kind == "cidr":
        network = ipaddress.ip_network(argument)
        return lambda text: (address := as_address(text)) is not None and address in network
    if kind in TIME_PARTS:
        comparison, number = argument
        compare = COMPARISONS[comparison]
        return lambda text: (part := time_part(kind, text)) is not None and compare(part, number)
    compare = COMPARISONS[kind]
    return lambda text: (number := as_number(text)) is not None and compare(number, argument)


def guards_of(predicate: Predicate) -> tuple[Guard, ...]:
    """Sets of literals, of each of which one must stand in the lower-cased text for the predicate to hold."""
    if predicate.kind == "regex":
        return need_of_regex(predicate.argument).guards
    if predicate.kind != "glob":
        return ()
    pieces = (piece for segment in predicate.argument for piece in segment.split("?"))
    return guards_of_glob((piece.translate(PLAIN) for piece in pieces), predicate.cased)


def related(how: str, left: str, right: str) -> bool:
    """Whether the field with text ``left`` equals, contains … the other field's text ``right``."""
    if how == "equals":
        return left == right
    if how == "startswith":
        return left.startswith(right)
    return left.endswith(right) if how == "endswith" else right in left


def compile_regex(pattern: str) -> Any:
    """Compile in RE2: linear time, whatever the pattern. Raises ContentError for what RE2 refuses."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # only whether it matches is asked
    try:
        return re2.compile(pattern.encode(), options)  # type: ignore[no-untyped-call]
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        said = detail.decode(errors="replace") if isinstance(detail, bytes) else detail
        raise ContentError(f"RE2 refuses the regular expression: {said}") from None


def glob(segments: tuple[str, ...]) -> Callable[[str], bool]:
    """Match whole text against segments with anything between them; linear, without backtracking over the stars."""
    if len(segments) == 1:
        whole = re.compile(_segment(segments[0]), re.DOTALL)
        return lambda text: whole.fullmatch(text) is not None
    head, tail = segments[0], segments[-1]
    starts = re.compile(_segment(head), re.DOTALL).match
    ends = re.compile(_segment(tail), re.DOTALL).fullmatch
    inner = [re.compile(_segment(part), re.DOTALL).search for part in segments[1:-1] if part]
    least = len(head) + len(tail)

    def match(text: str) -> bool:
        end = len(text) - len(tail)
        if len(text) < least or not starts(text) or not ends(text, end):
            return False
        at = len(head)
        for search in inner:
            found = search(text, at, end)
            if found is None:
                return False
            at = found.end()
        return True

    return match


def _segment(part: str) -> str:
    return "".join("." if char == "?" else re.escape(_LITERALS.get(char, char)) for char in part)


#: Inside a segment an escaped wildcard is written as a private-use character, so that "?" alone is the wildcard.
ESCAPED_STAR, ESCAPED_QUESTION = "\ue02a", "\ue03f"
_LITERALS = {ESCAPED_STAR: "*", ESCAPED_QUESTION: "?"}
PLAIN = str.maketrans(_LITERALS)


@lru_cache(maxsize=4096)
def as_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text spells; an IPv4 address mapped into IPv6 is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def as_number(text: str) -> int | float | None:
    """The number that a text spells, else None. Long digit strings are no numbers: nobody's count needs them."""
    if len(text) > 64 or not text.isascii() or "_" in text:
        return None
    if text.isdigit():
        return int(text)
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return None if number != number else number  # noqa: PLR0124 - NaN compares with nothing


#: How much a minute is in numbers of this size: seconds, milli- and microseconds; larger ones are nanoseconds.
_MINUTES = ((1e11, 60), (1e14, 60_000), (1e17, 60_000_000))


def time_part(part: str, text: str) -> int | None:
    """Minute, hour, day, (ISO) week, month or year of a time: ISO 8601 as written, or UTC seconds, ms, µs or ns."""
    number = as_number(text)
    if number is None:
        return _part_of_text(part, text)
    try:
        return _part_of_minute(part, int(number // next((one for most, one in _MINUTES if abs(number) < most), 6e10)))
    except OverflowError:
        return None


@lru_cache(maxsize=4096)
def _part_of_text(part: str, text: str) -> int | None:
    try:
        return _part(part, datetime.fromisoformat(text))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _part_of_minute(part: str, minutes: int) -> int | None:
    try:
        return _part(part, datetime.fromtimestamp(minutes * 60, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _part(part: str, moment: datetime) -> int:
    return moment.isocalendar().week if part == "week" else int(getattr(moment, part))


def _same(text: str) -> str:
    return text
