"""Whatever is asked, the API answers it or refuses it; it never fails at it."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ODD = (
    "", " ", "0", "-1", "1", "9" * 19, "9" * 40, "1e300", "NaN", "Infinity", "null", "true", "\0", "é", "💥", "%", "'", '"',
    "a" * 5000, "\u202e", "[", "*", "(", ":", "user:", "-", "OR", "user:root OR", "src_ip:1.2.3.4/99", "time:>x", "id:0-5",
    "all", "today", "last 99999999999w", "last 0d", "9999-12", "0001-01-01", "2026-02-30", "2026 to 2025", "..", "never",
    "auto", "1s", "99999999999999999w", '["severity",9223372036854775807,1,1]', '["newest",Infinity,1]', "1_2_3",
    "9223372036854775807_0_0", "_", "alert:", "alert:A-1", "../../etc/passwd", "A-1", "A-99999999999999999999", "0-0",
    "99999-999999999999999999", "json", "csv", "severity", "-events",
)  # fmt: skip
words = st.sampled_from(ODD) | st.text(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
common = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def refused_or_answered(answer, told: str) -> None:
    assert answer.status_code in {200, 204, 301, 400, 403, 404, 405, 409, 413, 422}, f"{answer.status_code} {told}"
    if getattr(answer, "streaming", False):
        b"".join(answer)


def test_no_single_parameter_makes_it_fail(administrator, operations):
    """Each query parameter of each operation gets a fifth of the odd values, the next one the next; a cursor gets all."""
    asked = [
        (one.where, part["name"])
        for one in operations
        for part in one.details["parameters"]
        if one.method == "GET" and part["in"] == "query"
    ]
    assert len(asked) > 50
    for at, (where, name) in enumerate(asked):
        for value in ODD if name == "cursor" else ODD[at % 5 :: 5]:
            refused_or_answered(administrator("GET", where, **{name: value}), f"{where} {name}={value!r}")


@common
@given(data=st.data())
def test_no_query_makes_it_fail(administrator, operations, data):
    """Any values of the known parameters, repeated ones too, and any names in the path."""
    one = data.draw(st.sampled_from([one for one in operations if one.method == "GET"]))
    names = [part["name"] for part in one.details["parameters"] if part["in"] == "query"]
    chosen = data.draw(st.lists(st.sampled_from(names), max_size=3)) if names else []
    query = {name: data.draw(words | st.lists(words, max_size=3)) for name in chosen}
    where = one.where
    if data.draw(st.booleans()):
        head, _, tail = where.rpartition("/")
        where = f"{head}/{quote(data.draw(words), safe='')}" if "{" not in tail and one.where.count("/") > 1 else where
    refused_or_answered(administrator("GET", where, **query), f"{where} {query}")


@common
@given(data=st.data())
def test_no_body_makes_it_fail(administrator, operations, undone, data):
    """A right body with one value exchanged, or any JSON at all."""
    changing = [one for one in operations if one.method != "GET" and one.id != "verify_ledger"]
    one = data.draw(st.sampled_from(changing))
    fields = dict(one.body or {})
    if fields and data.draw(st.booleans()):
        fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(values)
        body = fields
    else:
        body = data.draw(values)
    with undone():
        answer = administrator(one.method, one.where, body)
    refused_or_answered(answer, f"{one.id} {body}")
