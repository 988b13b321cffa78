"""What content is made of: the contracts of parsers, rules, checks and notifiers."""

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict
from watchbill.sdk.events import Event, LogSource
from watchbill.sdk.notifiers import Field, Message, Notifier, NotifierExample, Receipt
from watchbill.sdk.parsers import Line, Parser, Sample
from watchbill.sdk.rules import Detection, EventRef, RuleInfo
from watchbill.sdk.shapes import Derived, Kind, Shape

__all__ = [
    "Check",
    "CheckExample",
    "Derived",
    "Detection",
    "Event",
    "EventRef",
    "Field",
    "Kind",
    "Line",
    "LogSource",
    "Message",
    "Notifier",
    "NotifierExample",
    "Outcome",
    "Parser",
    "Receipt",
    "RuleInfo",
    "Sample",
    "Shape",
    "Verdict",
]
