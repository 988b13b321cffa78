"""A framework of requirements as frozen values: what each number asks us to watch, and how old its proof may be."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import yaml

from watchbill.core.errors import ContentError, NotFoundError, Place, WatchbillError
from watchbill.core.times import parse_duration

KINDS = frozenset({"event_rule", "posture_check", "recurring_task", "document", "manual"})
THEMES = ("clause", "organizational", "people", "physical", "technological")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is not everywhere
_OLD_EDITION = "2013:"
_ONLY_OLD = re.compile(r"A\.\d+\.\d+\.\d+|A\.(?:9|1\d)\.\d+|A\.(?:9|1\d)")


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One clause or control. ``max_age`` is in words ("1h", "365d"); ``edition_2013`` are its numbers of 2013."""

    id: str
    title: str
    theme: str
    kinds: tuple[str, ...]
    max_age: str
    watch: str
    evidence: tuple[str, ...]
    edition_2013: tuple[str, ...] = ()

    @property
    def max_age_ns(self) -> int:
        return parse_duration(self.max_age)


class Framework(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A framework and its controls, in the order of the standard."""

    id: str
    title: str
    edition: str
    controls: tuple[Control, ...]

    def control(self, number: str) -> Control:
        """The clause or control of this edition with exactly this number. Raises NotFoundError."""
        for control in self.controls:
            if control.id == number:
                return control
        raise NotFoundError(f"{self.title} has no {number!r}", mend="write for instance A.8.15 or 9.2")

    def find(self, words: str) -> tuple[Control, ...]:
        """The controls that a number of either edition stands for; empty when it stands for none.

        "A.8.15" is of this edition; "A.12.4" and "A.12.4.1" can only be of 2013 and give what became of them.
        A number that both editions use means this edition, unless "2013:" stands before it ("2013:A.8.2").
        """
        number = words.strip()
        if number.startswith(_OLD_EDITION):
            return self._of_2013(number.removeprefix(_OLD_EDITION).strip())
        if _ONLY_OLD.fullmatch(number):
            return self._of_2013(number)
        below = f"{number}."
        return tuple(control for control in self.controls if control.id == number or control.id.startswith(below))

    def _of_2013(self, number: str) -> tuple[Control, ...]:
        below = f"{number}."
        return tuple(
            control
            for control in self.controls
            if any(old == number or old.startswith(below) for old in control.edition_2013)
        )


def load_framework(path: Path) -> Framework:
    """Read one framework file. Raises ContentError with the file, and the line where YAML knows it."""
    try:
        framework = msgspec.convert(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER), Framework)  # noqa: S506 - both are safe loaders
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ContentError(f"this is no YAML: {error.problem}", place=Place(str(path), line)) from None
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ContentError(f"this is no framework: {error}", place=Place(str(path))) from None
    _check(framework, path)
    return framework


def _check(framework: Framework, path: Path) -> None:
    seen: set[str] = set()
    for control in framework.controls:
        place = Place(f"{path} ({control.id})")
        if control.id in seen:
            raise ContentError("this number stands here twice", place=place)
        seen.add(control.id)
        if control.theme not in THEMES:
            raise ContentError(f"{control.theme!r} is no theme", place=place, mend=f"write one of {', '.join(THEMES)}")
        if unknown := sorted(set(control.kinds) - KINDS):
            mend = f"write one of {', '.join(sorted(KINDS))}"
            raise ContentError(f"{unknown[0]!r} is no kind of signal", place=place, mend=mend)
        try:
            parse_duration(control.max_age)
        except WatchbillError as error:
            raise ContentError(error.what, place=place, mend=error.mend) from None
