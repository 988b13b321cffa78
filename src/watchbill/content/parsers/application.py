"""Errors of applications, a line at a time: stack traces of Java, Python, Node.js and Ruby, and what databases refuse.

Which product a line is of follows from the names in it, so that rules for a framework see the lines of that framework.
Logs in JSON keep their own shape; this is for the text that programs write to files and to syslog.
"""

from __future__ import annotations

import re

from watchbill.content.parsers import syslog
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

APPLICATION_ERROR = 6008
#: Sigma's product, how people call it, and what only its lines hold; the first that fits counts.
_PRODUCTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("sql", "SQL", (
        r"You have an error in your SQL syntax", r"quoted string not properly terminated", r"Unclosed quotation mark",
        r"\bnear \"[^\"]{0,80}\": syntax error", r"\bORA-\d{5}: ", r"SELECTs to the left and right of UNION do not have",
    )),
    ("velocity", "Apache Velocity", (r"\borg\.apache\.velocity\.[\w.$]{1,200}(?:Exception|Error)\b",)),
    ("spring", "Spring", (r"\borg\.springframework\.[\w.$]{1,200}(?:Exception|Error)\b",)),
    ("jvm", "Java", (
        r"\b(?:com|org|net|io|java|javax|jakarta|sun|ognl)\.[\w.$]{1,200}(?:Exception|Error)\b", r'\bException in thread "',
        r"^\s*at [\w.$/@]{1,200}\([\w$]{1,80}\.(?:java|kt|scala|groovy):\d{1,6}\)", r"\bat com\.sun\.jndi\.",
    )),
    ("django", "Django", (r"\bdjango\.(?:core\.exceptions|security|http|request|db)\.\w{1,60}",)),
    ("python", "Python", (
        r"^Traceback \(most recent call last\):", r'^\s*File "[^"]{1,300}\.py", line \d{1,6}',
        r"\b(?:psycopg2?|sqlalchemy|sqlite3|pymysql|MySQLdb|asyncpg)\.[\w.]{1,80}(?:Error|Exception|Warning)\b",
    )),
    ("nodejs", "Node.js", (
        r"^\s*at .{0,200}\(?(?:node:[\w/]{1,80}|/[^():]{1,300}\.[cm]?js):\d{1,6}:\d{1,6}\)?", r"\bnode:(?:child_process|internal)\b",
    )),
    ("ruby_on_rails", "Ruby on Rails", (
        r"\bAction(?:Controller|View|Dispatch)::\w{1,80}", r"\bActiveRecord::\w{1,80}",
        r"^\s*(?:from )?/?[\w./-]{1,300}\.rb:\d{1,6}:in ",
    )),
)  # fmt: skip
_KNOWN = tuple((product, title, re.compile("|".join(shapes), re.MULTILINE)) for product, title, shapes in _PRODUCTS)
#: Every shape holds one of these; looking for them first costs little on lines of other programs.
_HINTS = ("Exception", "Error", "rror:", "\tat ", "  at ", "Traceback", 'File "', "node:", "::", "django.", "SQL", "ORA-", ".rb:",
          "quotation", "quoted", "SELECTs", "jndi")  # fmt: skip
_LONGEST = 8_192


def _product(text: str) -> tuple[str, str] | None:
    if not any(hint in text for hint in _HINTS):
        return None
    start = text[:_LONGEST]
    return next(((product, title) for product, title, shape in _KNOWN if shape.search(start)), None)


def parse(line: Line) -> Event | None:
    """Translate one line."""
    found = _product(line.text) if line.data is None else None
    event = syslog.parse(line) if found else None
    if event is None or found is None:
        return None
    product, title = found
    values = ocsf.template(APPLICATION_ERROR, 1, title, "unknown", ocsf.FAILURE)
    event.ocsf = {**event.ocsf, **values, "message": line.text[:2_048]}
    event.class_uid = APPLICATION_ERROR
    event.logsource = LogSource(product, "", "application")
    return event


PARSER = Parser(
    id="application",
    title="Errors of applications (Java, Python, Node.js, Ruby, SQL)",
    logsource=LogSource("", "", "application"),
    parse=parse,
    sniff=lambda text: _product(text) is not None,
    rank=85,
    samples=(
        Sample(
            "<11>Mar  4 10:00:00 app-01 shop[7]: Caused by: java.io.FileNotFoundException: /srv/../../../etc/passwd",
            APPLICATION_ERROR,
            {"metadata.product.name": "Java", "status_id": 2, "unmapped.program": "shop"},
            {"program": "shop"},
            host="app-01",
        ),
        Sample("org.springframework.expression.ExpressionException: EL1008E", APPLICATION_ERROR, {"metadata.product.name": "Spring"}),
        Sample("org.apache.velocity.exception.ParseErrorException: x", APPLICATION_ERROR, {"metadata.product.name": "Apache Velocity"}),
        Sample("\tat com.example.Shop.pay(Shop.java:42)", APPLICATION_ERROR),
        Sample("django.security.DisallowedHost: Invalid HTTP_HOST header", APPLICATION_ERROR, {"metadata.product.name": "Django"}),
        Sample("psycopg2.errors.SyntaxError: at or near \"'\"", APPLICATION_ERROR, {"metadata.product.name": "Python"}),
        Sample("    at Object.exec (node:child_process:10:5)", APPLICATION_ERROR, {"metadata.product.name": "Node.js"}),
        Sample("ActionController::InvalidAuthenticityToken (x):", APPLICATION_ERROR, {"metadata.product.name": "Ruby on Rails"}),
        Sample("<11>Mar  4 10:00:00 app-01 shop[7]: You have an error in your SQL syntax near ''", APPLICATION_ERROR, {"metadata.product.name": "SQL"}),
        Sample("Error: no such job", None),
        Sample("the exception was handled: all is well", None),
    ),
)  # fmt: skip
