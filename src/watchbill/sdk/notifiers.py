"""The contract of a notifier: one file in content/notifiers, one way to reach people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Field(NamedTuple):
    """One setting of a channel; the console makes its form from these. ``kind``: text, secret, number, url, email,
    choice or flag.
    """

    name: str
    label: str
    kind: str = "text"
    default: str = ""
    required: bool = True
    help: str = ""
    choices: tuple[str, ...] = ()


class Message(NamedTuple):
    """What is to be said. ``facts`` is the machine-readable form of the same; ``url`` opens it in the console."""

    id: str
    subject: str
    text: str
    severity: str
    url: str
    facts: Mapping[str, object]


class Receipt(NamedTuple):
    """Proof of delivery: what the other side answered, in its own words."""

    reference: str
    answer: str


class NotifierExample(NamedTuple):
    config: Mapping[str, str]
    message: Message


class Notifier(NamedTuple):
    """``send`` returns a receipt or raises DeliveryError, with ``retry`` telling whether another try can help."""

    id: str
    title: str
    config: tuple[Field, ...]
    send: Callable[[Mapping[str, str], Message], Receipt]
    examples: tuple[NotifierExample, ...]
