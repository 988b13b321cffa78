"""The oracle: Sigma rules judged as their text says, one condition after the other, too simple to be wrong.

It shares nothing with the engine but the rule's YAML and the event: documents are read by PyYAML, patterns become
Python's regular expressions, and conditions are handed to Python itself, which knows and, or, not and parentheses.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from datetime import UTC, datetime

import yaml

#: Sigma's categories that are kinds of a wider one (its taxonomy appendix; Sysmon's event ids).
WIDER = {
    "file_delete_detected": "file_delete", "registry_add": "registry_event", "registry_delete": "registry_event",
    "registry_rename": "registry_event", "registry_set": "registry_event",
}  # fmt: skip
WIDE = {"wide": "utf-16le", "utf16le": "utf-16le", "utf16be": "utf-16be", "utf16": "utf-16le"}
PLACES = ("contains", "startswith", "endswith")
TIMES = ("minute", "hour", "day", "week", "month", "year")
COMPARED = {
    "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b, "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b,
    "equals": lambda a, b: a == b,
}  # fmt: skip
#: What RE2 means by a class, where Python means more.
CLASSES = {"w": "A-Za-z0-9_", "d": "0-9", "s": r"\t\n\f\r "}


class Text(yaml.CSafeLoader):
    """YAML in which dates stay text, as the engine and pySigma's users read it."""


Text.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def document(text, title):
    """The rule of this title in a YAML file, as Python's own values."""
    return next(one for one in yaml.load_all(text, Text) if one.get("title", "").strip() == title)


class NaiveRule:
    """A rule that can be asked whether it is for an event, and whether it matches it."""

    def __init__(self, read, placeholders=None, class_uid=None):
        source = read["logsource"]
        self._source = tuple(str(source.get(part) or "").lower() for part in ("product", "service", "category"))
        self._class = class_uid
        self.space = "native" if class_uid is None else "ocsf"
        detection = read["detection"]
        searches = {name: part for name, part in detection.items() if name not in ("condition", "timeframe")}
        self._held = [search_holds(part, placeholders or {}) for part in searches.values()]
        asked = detection["condition"]
        texts = [spelled(str(text), list(searches)) for text in (asked if isinstance(asked, list) else [asked])]
        self._condition = compile(" or ".join(f"({text})" for text in texts), "condition", "eval")

    def takes(self, source, class_uid):
        """Whether the rule is for events of this log source (and OCSF class)."""
        product, service, category = self._source
        if self._class is not None:
            return class_uid == self._class and product in ("", source[0]) and service in ("", source[1])
        kinds = ("", source[2], WIDER.get(source[2]))
        return product in ("", source[0]) and service in ("", source[1]) and category in kinds

    def holds(self, fields, message):
        """Whether it matches an event with these fields and this text."""
        return bool(eval(self._condition, {}, _Held(self._held, fields, message)))  # noqa: S307 - made by ``spelled``


class _Held(dict):
    """Whether the search of this name (s0, s1 …) holds, found out when the condition asks."""

    def __init__(self, searches, fields, message):
        self._searches, self._fields, self._message = searches, fields, message

    def __missing__(self, name):
        self[name] = found = self._searches[int(name[1:])](self._fields, self._message)
        return found


def spelled(condition, names):
    """The condition in Python: searches become s0, s1 …, "1 of sel*" becomes (s0 or s1)."""
    words, made = re.findall(r"[()]|[^\s()]+", condition), []
    while words:
        word = words.pop(0)
        if word in ("(", ")") or word.lower() in ("and", "or", "not"):
            made.append(word.lower())
        elif word.lower() in ("1", "any", "all") and words and words[0].lower() == "of":
            pattern = words[1]
            del words[:2]
            shape = re.escape("*" if pattern == "them" else pattern).replace(r"\*", ".*")
            chosen = [
                f"s{at}"
                for at, name in enumerate(names)
                if re.fullmatch(shape, name) and (pattern.startswith("_") or not name.startswith("_"))
            ]
            made.append(f"({(' and ' if word.lower() == 'all' else ' or ').join(chosen)})")
        else:
            made.append(f"s{names.index(word)}")
    return " ".join(made)


def search_holds(search, placeholders):
    """A mapping is all of its fields; of a list any item; anything else is a keyword."""
    if isinstance(search, dict):
        items = [item_holds(key, wanted, placeholders) for key, wanted in search.items()]
        return lambda fields, message: all(holds(fields, message) for holds in items)
    if isinstance(search, list):
        parts = [search_holds(part, placeholders) for part in search]
        return lambda fields, message: any(holds(fields, message) for holds in parts)
    return item_holds("", search, placeholders)


def item_holds(key, wanted, placeholders):
    """One line of a search: ``field|modifier: value or values``."""
    name, *modifiers = key.split("|")
    wanted = wanted if isinstance(wanted, list) else [wanted]
    every = all if "all" in modifiers else any
    negated = "neq" in modifiers
    modifiers = [one for one in modifiers if one not in ("all", "neq")]
    if not name and not {"re", *PLACES} & set(modifiers):
        modifiers.append("contains")
    tests = [value_holds(modifiers, one, placeholders) for one in wanted]

    def holds(fields, message):
        value = value_of(fields, name) if name else message
        # Each as it is and in lower case.
        texts = [(one, one.lower()) for one in map(text, items_of(value))]
        return every(test(value, texts, fields) for test in tests) != negated

    return holds


def value_holds(modifiers, wanted, placeholders):
    """Whether a field is as one value says: a function of its value, the texts in that, and all fields."""
    if "exists" in modifiers:
        return lambda value, _texts, _fields: (value is not GONE) == wanted
    if wanted is None:
        return lambda value, _texts, _fields: value is None or value is GONE
    if "fieldref" in modifiers:
        return related(modifiers, wanted)
    test = text_test(modifiers, wanted, placeholders)
    return lambda _value, texts, _fields: any(test(*one) for one in texts)


GONE = object()


def value_of(fields, name):
    """A field; of "a.b.c" also what lies below a field "a.b" or "a", in objects and lists of objects."""
    if name in fields:
        return fields[name]
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        if (start := ".".join(parts[:count])) in fields:
            return below(fields[start], parts[count:])
    return GONE


def below(value, path):
    if not path:
        return value
    if isinstance(value, list):
        found = [one for one in (below(item, path) for item in value) if one is not GONE]
        return found or GONE
    return below(value[path[0]], path[1:]) if isinstance(value, dict) and path[0] in value else GONE


def items_of(value):
    """The single values of a field: those of a list, however deep; none of what is null or not there."""
    if isinstance(value, list):
        return [one for item in value for one in items_of(item)]
    return [] if value is None or value is GONE else [value]


def text(value):
    """What a value is compared as."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def related(modifiers, other):
    place = next((one for one in modifiers if one in PLACES), "equals")
    compare = {
        "equals": str.__eq__, "contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith,
    }[place]  # fmt: skip

    def test(value, _texts, fields):
        both = (value, value_of(fields, other))
        if any(one is None or one is GONE for one in both):
            return False
        left, right = [text(one) if "cased" in modifiers else text(one).lower() for one in both]
        return compare(left, right)

    return test


def text_test(modifiers, wanted, placeholders):
    """A function that says whether a text (given as it is and in lower case) is as ``wanted`` says."""
    wanted = [text(wanted)] if "expand" not in modifiers else expanded(text(wanted), placeholders)
    if "cidr" in modifiers:
        networks = [ipaddress.ip_network(one) for one in wanted]
        return lambda given, _: (address := address_of(given)) is not None and any(address in one for one in networks)
    if "re" in modifiers:
        searches = [regex(one, modifiers) for one in wanted]
        return lambda given, _: any(search(given) is not None for search in searches)
    if set(modifiers) & {*TIMES, *COMPARED}:
        return number_test(modifiers, float(wanted[0]))
    patterns = [form for one in wanted for form in transformed(one, modifiers)]
    place = next((one for one in modifiers if one in PLACES), "")
    tests = [pattern_test(one, place, "cased" in modifiers) for one in patterns]
    return tests[0] if len(tests) == 1 else lambda given, low: any(test(given, low) for test in tests)


def expanded(value, placeholders):
    """The value with every %name% replaced by each of its values."""
    found = re.search(r"%([^%\s]+)%", value)
    if not found:
        return [value]
    before, after = value[: found.start()], value[found.end() :]
    return [before + one + rest for one in placeholders[found[1]] for rest in expanded(after, placeholders)]


def address_of(given):
    try:
        address = ipaddress.ip_address(given.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def regex(pattern, modifiers):
    """RE2's meaning in Python: ``$`` is the very end, classes are ASCII's, and case folds as Unicode says."""
    flags = re.IGNORECASE if {"i", "ignorecase"} & set(modifiers) else 0
    flags |= re.DOTALL if {"s", "dotall"} & set(modifiers) else 0
    flags |= re.MULTILINE if {"m", "multiline"} & set(modifiers) else 0
    made, at, opened = "", 0, None  # where the class begins in which we are
    while at < len(pattern):
        char, following = pattern[at], pattern[at + 1 : at + 2]
        at += 1
        if char == "\\":
            at += 1
            inside = CLASSES.get(following)
            made += (inside if opened is not None else f"[{inside}]") if inside else _escaped(following)
        elif opened is None:
            opened = len(made) if char == "[" else None
            made += r"\Z" if char == "$" and not flags & re.MULTILINE else char
        else:
            opened = None if char == "]" and made[opened:] not in ("[", "[^") else opened
            made += r"\[" if char == "[" else char
    return re.compile(made, flags).search


def _escaped(char):
    return f"(?a:\\{char})" if char in "bB" else f"\\{char}"


def number_test(modifiers, wanted):
    compare = COMPARED[next((one for one in modifiers if one in COMPARED), "equals")]
    part = next((one for one in modifiers if one in TIMES), None)

    def test(given, _low):
        number = time_part(given, part) if part else number_of(given)
        return number is not None and compare(number, wanted)

    return test


def number_of(given):
    if len(given) > 64 or "_" in given or not given.isascii():
        return None
    for kind in (int, float):
        try:
            number = kind(given)
        except ValueError:
            continue
        return number if number == number else None  # noqa: PLR0124 - NaN is none
    return None


def time_part(given, part):
    """Of ISO 8601 as it is written, or of seconds, milli-, micro- or nanoseconds since 1970 in UTC."""
    try:
        number = number_of(given)
        if number is None:
            moment = datetime.fromisoformat(given)
        else:
            seconds = next(number // 10**at for at in (0, 3, 6, 9) if abs(number) < 10 ** (at + 11) or at == 9)
            moment = datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isocalendar()[1] if part == "week" else getattr(moment, part)


def transformed(value, modifiers):
    """What windash and the encodings make of a value: patterns."""
    if "windash" in modifiers:
        pieces = re.split(r"\B[-/–—―]\b", value)
        forms = [pieces[0]]
        for piece in pieces[1:]:
            forms = [form + dash + piece for form in forms for dash in "-/–—―"]
        return [coded for form in forms for coded in transformed(form, [one for one in modifiers if one != "windash"])]
    wide = next((one for one in modifiers if one in WIDE), None)
    if not wide and not {"base64", "base64offset"} & set(modifiers):
        return [value]
    value = re.sub(r"\\([\\*?])", r"\1", value)
    data = (b"\xff\xfe" if wide == "utf16" else b"") + value.encode(WIDE[wide] if wide else "utf-8")
    if "base64" in modifiers:
        return [base64.b64encode(data).decode()]
    if "base64offset" in modifiers:
        return [surely(data, shift) for shift in range(3)]
    return [("\ufeff" if wide == "utf16" else "") + data[2 * (wide == "utf16") :].decode()]


def surely(data, shift):
    """What base64 writes for these bytes after ``shift`` others, whatever stands before and behind them."""
    written = [
        base64.b64encode(before.encode("latin-1") * shift + data + after.encode("latin-1") * 3).decode()
        for before, after in (("\x00", "\x00"), ("\xff", "\xff"), ("U", "\xaa"))
    ]
    same = "".join(one[0] if len(set(one)) == 1 else " " for one in zip(*written, strict=True))
    return max(same.split(), key=len)


def pattern_test(value, place, cased):
    """A Sigma string with its wildcards against a text."""
    value = value if cased else value.lower()
    if not set(value) & set("*?\\"):
        compare = {
            "": str.__eq__, "contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith,
        }[place]  # fmt: skip
        return (lambda given, _: compare(given, value)) if cased else (lambda _, low: compare(low, value))
    whole = re.compile(wildcards(value, place), re.DOTALL).fullmatch
    return lambda given, low: whole(given if cased else low) is not None


def wildcards(value, place=""):
    """Spell a Sigma string as a Python regular expression, one character after the other."""
    made, at = "", 0
    while at < len(value):
        char, following = value[at], value[at + 1 : at + 2]
        at += 1
        if char == "\\" and following and following in "*?\\":
            made += re.escape(following)
            at += 1
        else:
            made += {"*": ".*", "?": "."}.get(char) or re.escape(char)
    before = ".*" if place in ("contains", "endswith") else ""
    after = ".*" if place in ("contains", "startswith") else ""
    return before + made + after
