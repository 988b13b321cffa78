"""Which rules a raw JSON record may match at all, told by literals that must stand in its bytes. Most may match none.

A condition on a value says what is in its text, and that text stands in the record as JSON spells it. So each rule is
given a few literals of which one must be there, the rarest by what was counted in records of the kind, and one automaton
looks for all of them in a whole batch at once. Nothing is decoded for it. What may match is judged by the caller.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain

from watchbill.engine.detect.conditions import Expression
from watchbill.engine.detect.index import Rules
from watchbill.engine.detect.literals import Scanner
from watchbill.engine.detect.plan import LITERAL, SAMPLE, Met, Plan, atoms_of
from watchbill.engine.detect.predicates import Atom, Predicate, guards_of

_SETS = 16_384
#: So many bytes of a record are counted in: one of a megabyte would cost more than all others.
_PEEK = 8 << 10
_LONGEST_SET = 64

#: Runs of a value's text that JSON spells in one way, escaped characters apart (``_HIDDEN``): ASCII without quotes. A
#: backslash is written twice; but objects in lists are compared as JSON text, where it begins an escape, so one is only
#: taken where it cannot, before a character that is no escape's.
_RUN = re.compile(r'(?:(?<!\\)\\(?=[ -~])(?![nrtbfu/"\\])|[ -~](?<![\\"]))+')
#: Such a run that is the whole of a value, as most are: told at once.
_WHOLE = re.compile(r'(?:\\(?=[ -~])(?![nrtbfu/"\\]))?[ !#-\[\]-~]*')
#: The text of a whole record is made with white space of its own.
_RUN_OF_MESSAGE = re.compile(r"[a-z0-9_.@$%#&*+=;<>?^~|!-]+")
#: A run must have what only a string can hold, no number or constant (which may be spelled otherwise) and nothing between
#: members: then all of it stands in one string, for only a quote would end that.
_WRITTEN = ("inf", "nan", "none", "true", "false", "null")
_WORD = re.compile(r"[a-z]+")
_SIGN = re.compile(r"[!#-*/;-@^_`|~]")
_LEAST = 2
#: A character in escapes, or one outside ASCII that lower-casing or RE2 takes for one in it: such records are spelled
#: plainly before they are searched.
_HIDDEN = (b"\\u00", b"\\u01", b"\\u212", b"\\/", b"\xe2\x84\xaa", b"\xc4\xb0", b"\xc5\xbf")
_SPELLED = re.compile(rb"\\(?:\\|/|u00[2-7][0-9a-f]|u0130|u017f|u212a)|\xe2\x84\xaa|\xc4\xb0|\xc5\xbf")
_PLAIN = {
    b"\\\\": b"\\\\", b"\\/": b"/", b"\\u212a": b"k", b"\xe2\x84\xaa": b"k", b"\\u017f": b"s", b"\xc5\xbf": b"s",
    b"\\u0130": b"i\xcc\x87", b"\xc4\xb0": b"i\xcc\x87", b"\\u0022": b'\\"', b"\\u005c": b"\\\\",
}  # fmt: skip

Group = tuple[bytes, ...]


class Gate:
    """Tells for each record of one kind which rules may match it, by their places.

    An atom may be told by its text when ``is_plain`` says so: when its value is one that the record holds, not one made
    of others.
    """

    def __init__(self, expressions: Sequence[Expression], is_plain: Callable[[Atom], bool]) -> None:
        atoms = dict.fromkeys(chain.from_iterable(map(atoms_of, expressions)))
        offers = {atom: groups for atom in atoms if is_plain(atom) and (groups := _offers(atom))}
        self._plan = Plan(expressions, offers, _guess)
        self._sample: list[bytes] = []
        self._scanner: Scanner | None = None

    @property
    def open(self) -> Rules:
        """The rules of which it cannot tell, as far as it has learned."""
        return self._plan.open

    @property
    def passing(self) -> float:
        """In about which share of the records some rule may match, the open ones aside; 0 before enough were counted."""
        return self._plan.share_of(self._literals) if self._plan.known else 0.0

    def share(self, atom: Atom) -> float | None:
        """About in which share of the records an atom may hold; None when that is not known."""
        return self._plan.share(atom)

    def learn(self, raws: Sequence[bytes]) -> bool:
        """Choose the literals when it is time, at first before anything else, by the newest records; True when they were."""
        plan = self._plan
        plan.seen += len(raws)
        if plan.wants:
            self._sample = [*self._sample, *(raw[:_PEEK] for raw in raws[-SAMPLE:])][-SAMPLE:]
        if not plan.is_due:
            return False
        sample, self._sample = self._sample[-plan.sample :], []
        masks, hits = defaultdict[bytes, int](int), Counter[bytes]()
        for at, found in Scanner(plan.literals).find(sample).items():
            met = [plan.literals[pattern] for pattern in found]
            hits.update(met)
            for literal in set(met):
                masks[literal] |= 1 << at
        plan.learn({literal: Met(mask, hits[literal]) for literal, mask in masks.items()}, len(sample))
        self._build()
        return True

    def rest(self) -> None:
        """Do not learn for a long while: most records pass anyway."""
        self._plan.rest()

    def candidates(self, raws: Sequence[bytes]) -> dict[int, Rules]:
        """The rules that may match, by the places of those records for which there are any."""
        if not self._literals:
            return {}
        if self._scanner is None:  # not made where all records go by
            self._scanner = Scanner([*self._literals, *_HIDDEN])
        found = self._scanner.find(raws)
        return {at: rules for at, patterns in found.items() if (rules := self._rules(tuple(patterns), raws[at]))}

    def _rules(self, patterns: tuple[int, ...], raw: bytes) -> Rules:
        rules = self._sets.get(patterns)
        if rules is None:
            is_hidden = not self._hidden.isdisjoint(patterns)
            if is_hidden:
                patterns += self._in_plain_spelling(raw)
            rules = tuple(sorted({rule for pattern in patterns for rule in self._rules_of[pattern]}))
            if not is_hidden and len(patterns) <= _LONGEST_SET:
                if len(self._sets) >= _SETS:
                    self._sets.clear()
                self._sets[patterns] = rules
        return rules

    def _in_plain_spelling(self, raw: bytes) -> tuple[int, ...]:
        assert self._scanner is not None  # noqa: S101 - it found what is hidden
        return tuple(self._scanner.find([_SPELLED.sub(_plain, raw.lower())]).get(0, ()))

    def _build(self) -> None:
        rules_of: dict[bytes, list[int]] = defaultdict(list)
        for place, group in enumerate(self._plan.chosen):
            for literal in group or ():
                rules_of[literal].append(place)
        self._literals = list(rules_of)
        self._rules_of = [*rules_of.values(), *([] for _ in _HIDDEN)]
        self._hidden = frozenset(range(len(rules_of), len(rules_of) + len(_HIDDEN)))
        self._sets: dict[tuple[int, ...], Rules] = {}
        self._scanner = None


def _plain(found: re.Match[bytes]) -> bytes:
    text = found[0]
    known = _PLAIN.get(text)
    return bytes((int(text[4:], 16),)).lower() if known is None else known


def _guess(literal: bytes) -> float:
    """In which share of records a literal stands, before any were counted."""
    return 0.3 if len(literal) < 4 else 0.04 if len(literal) < 7 else 0.01


@lru_cache(maxsize=65_536)  # kinds have rules in common
def _offers(atom: Atom) -> list[Group]:
    """Groups of literals, of each of which one must stand in the bytes of a record for the atom to hold."""
    predicate = atom.predicate
    if atom.space == "message":
        runs = (
            _RUN_OF_MESSAGE.findall(predicate.argument) if predicate.kind == "contains" and not predicate.cased else []
        )
        return [(run.encode(),) for run in runs if _is_sound(run)]
    if predicate.kind in LITERAL:
        return [(run,) for run in _runs(predicate)]
    groups = [[_runs(Predicate("contains", literal)) for literal in guard] for guard in guards_of(predicate)]
    return [tuple(max(runs, key=len) for runs in group) for group in groups if all(group)]


def _runs(predicate: Predicate) -> list[bytes]:
    """What stands in the record where a literal does; with a quote where the value begins or ends with it."""
    text = predicate.argument.lower()
    starts = predicate.kind in {"startswith", "equals"}
    ends = predicate.kind in {"endswith", "equals"}
    found = []
    whole = _WHOLE.fullmatch(text)
    for match in (whole,) if whole else _RUN.finditer(text):
        run = match[0]
        if _is_sound(run):
            before = '"' if starts and match.start() == 0 else ""
            after = '"' if ends and match.end() == len(text) else ""
            found.append(f"{before}{run.replace(chr(92), chr(92) * 2)}{after}".encode())
    return found


def _is_sound(run: str) -> bool:
    if len(run) < _LEAST:
        return False
    return bool(_SIGN.search(run)) or any(
        not any(word in written for written in _WRITTEN) for word in _WORD.findall(run)
    )
