"""Literals that a text must hold for a regex or a wildcard pattern to match: cheap to look for, so they go first.

A guard is a set of literals of which at least one stands in the lower-cased text whenever the pattern matches; a
pattern may have several. Only runs of ASCII are taken from regexes: lower-casing leaves them where they are. One
character breaks that rule, since RE2 folds "ſ" (U+017F) to "s" and lower-casing does not; the index lets all guards
hold for a text with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]  # the parser that ``re`` itself uses
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

FOLDS_TO_ASCII = "\u017f"
#: "Record separator" in ASCII: what stands between the values that are searched as one text.
SEPARATOR = "\x1e"
_MOST = 64
_GUARDS = 4
#: What RE2 reads differently than Python's parser does; such patterns have no guard.
_FOREIGN = re.compile(r"\[:|\\[QEpPCzZ]|\\x\{")

Guard = frozenset[str]


class Need(NamedTuple):
    """What a text must have for a pattern to match: at least so many characters, and a literal of each guard.

    ``inline`` says that the pattern never matches a separator nor asks where a text begins or ends: it may be searched
    in many texts at once. ``enough`` says that so many characters in one line are all that it asks, as ".{1000,}" does:
    counting is slow work for a regex.
    """

    least: int = 0
    guards: tuple[Guard, ...] = ()
    inline: bool = False
    enough: bool = False

    def allows(self, text: str) -> bool:
        """False when the pattern cannot match this text."""
        if len(text) < self.least:
            return False
        low = text.lower()
        for guard in self.guards:
            if not any(map(low.__contains__, guard)):
                return FOLDS_TO_ASCII in low
        return True


@lru_cache(maxsize=16_384)
def need_of_regex(pattern: str) -> Need:
    """What a regex (in RE2's syntax) needs; nothing, where Python's parser reads it differently."""
    if _FOREIGN.search(pattern):
        return Need()
    try:
        parsed = parser.parse(pattern)
        inline = all(_is_inline(*part) for part in parsed)
        return Need(parsed.getwidth()[0], _best(_sequence(parsed)), inline, _is_count(parsed))
    except (re.error, RecursionError, OverflowError):
        return Need()


def _is_count(parsed: Any) -> bool:
    """Whether a pattern asks for some characters in a row, whatever they are, and nothing else."""
    if len(parsed) != 1 or parsed.state.flags & re.DOTALL:
        return False
    code, argument = parsed[0]
    return code in {codes.MAX_REPEAT, codes.MIN_REPEAT} and list(argument[2]) == [(codes.ANY, None)]


def _is_inline(code: Any, argument: Any) -> bool:
    """Whether a part of a pattern matches ordinary characters only, whatever is around them."""
    if code is codes.LITERAL:
        return bool(argument != ord(SEPARATOR))
    if code is codes.IN:
        return all(_is_inline(*item) for item in argument)
    if code is codes.RANGE:
        return not argument[0] <= ord(SEPARATOR) <= argument[1]
    if code is codes.CATEGORY:  # RE2's are of ASCII, and the separator is in none
        return argument in {codes.CATEGORY_DIGIT, codes.CATEGORY_SPACE, codes.CATEGORY_WORD}
    if code is codes.SUBPATTERN:
        return all(_is_inline(*part) for part in argument[-1])
    if code in {codes.MAX_REPEAT, codes.MIN_REPEAT}:
        return all(_is_inline(*part) for part in argument[2])
    return code is codes.BRANCH and all(_is_inline(*part) for branch in argument[1] for part in branch)


def guards_of_glob(pieces: Iterable[str], cased: bool) -> tuple[Guard, ...]:
    """The guards of a wildcard pattern with these literal pieces (in lower case unless ``cased``)."""
    if cased:
        pieces = [run.lower() for piece in pieces for run in re.findall(r"[\x00-\x7f]+", piece)]
    return _best(frozenset((piece,)) for piece in pieces)


def _best(guards: Iterable[Guard]) -> tuple[Guard, ...]:
    sound = dict.fromkeys(guard for guard in guards if all(guard) and guard and len(guard) <= _MOST)
    return tuple(sorted(sound, key=_worth, reverse=True)[:_GUARDS])


def _sequence(parsed: Any) -> list[Guard]:
    """The guards of the parts of a sequence, all of which must match."""
    guards: list[Guard] = []
    run = ""
    for code, argument in parsed:
        char = _literal(code, argument)
        if char:
            run += char
            continue
        guards.append(frozenset((run,)))
        run = ""
        guards += _part(code, argument)
    return [*guards, frozenset((run,))]


def _part(code: Any, argument: Any) -> list[Guard]:
    if code is codes.SUBPATTERN:
        return _sequence(argument[-1])
    if code in {codes.MAX_REPEAT, codes.MIN_REPEAT}:
        return _sequence(argument[2]) if argument[0] >= 1 else []
    if code is codes.BRANCH:
        branches = [max(_sequence(branch), key=_worth) for branch in argument[1]]
        return [frozenset().union(*branches)]
    return []


def _literal(code: Any, argument: Any) -> str:
    """The one ASCII character, in lower case, that this part stands for: "x" and "[xX]" both are x."""
    if code is codes.LITERAL:
        return chr(argument).lower() if argument < 128 else ""
    if code is codes.IN and all(kind is codes.LITERAL and char < 128 for kind, char in argument):
        chars = {chr(char).lower() for _, char in argument}
        return chars.pop() if len(chars) == 1 else ""
    return ""


def _worth(guard: Guard) -> tuple[int, int]:
    return min(map(len, guard)), -len(guard)
