"""The query language: what it means, checked against a model that reads rows one by one."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.core.errors import QueryError
from watchbill.lake import Lake
from watchbill.lake.query import parse

ALWAYS = (0, 1 << 62)

EVENTS = [
    ("Failed password for root from 192.0.2.7 port 22 ssh2", {"user__name": "root", "src_endpoint__ip": "192.0.2.7", "status_id": 2}),
    ("Accepted publickey for r.engineer3 from 2001:db8::7", {"user__name": "r.engineer3", "src_endpoint__ip": "2001:db8::7", "status_id": 1}),
    ("GET /index.html?q=100%", {"class_uid": 4002, "http_response__code": 200, "src_endpoint__ip": "192.0.3.200", "http_request__url__path": "/index.html"}),
    ("POST /sign_in", {"class_uid": 4002, "http_response__code": 503, "http_request__url__path": "/sign_in", "host": "web-02"}),
    ("Größe überschritten", {"class_uid": 0, "flaw": "no parser knows it", "host": ""}),
    ("root became db-admin", {"actor__user__name": "root", "user__name": "db-admin", "service__name": "su", "severity_id": 4}),
]  # fmt: skip
RULES = [("brute-force",), (), (), (), (), ("su-to-admin", "off-hours")]

MEANINGS = [
    ("", {0, 1, 2, 3, 4, 5}),
    ("   ", {0, 1, 2, 3, 4, 5}),
    ("failed", {0}),
    ("FAILED Password", {0}),
    ("fail", set()),
    ("fail*", {0}),
    ("*word", {0}),
    ('"password for root"', {0}),
    ('"for root password"', set()),
    ("192.0.2.7", {0}),
    ("192.0.2", {0}),
    ("2.0.2.7", set()),
    ("100%", {2}),
    ("größe", {4}),
    ("ÜBERSCHRITTEN", {4}),
    ("sign_in", {3}),
    ("sign", set()),
    ("user:root", {0, 5}),
    ("user:ROOT", {0, 5}),
    ("user.name:root", {0}),
    ("actor.user.name:root", {5}),
    ("actor:root", {5}),
    ("user:r.*", {1}),
    ('user:"r.*"', set()),
    ("user:*", {0, 1, 5}),
    ("user:_oot", set()),
    ("src_ip:192.0.2.0/24", {0}),
    ("src_ip:192.0.2.0/23", {0, 2}),
    ("src_ip:2001:db8::/32", {1}),
    ("src_ip:2001:db8::8/126", set()),
    ("src_ip:0.0.0.0/0", {0, 2}),
    ("src_ip:::/0", {1}),
    ("src_ip:192.0.2.7", {0}),
    ("src_endpoint.ip:192.0.3.*", {2}),
    ("host:web-*", {0, 1, 2, 3, 5}),
    ("host:WEB-02", {3}),
    ("class:http_activity", {2, 3}),
    ("class:4002", {2, 3}),
    ("class_uid:>=3000", {0, 1, 2, 3, 5}),
    ("category_uid:4", {2, 3}),
    ("status:failure", {0}),
    ("severity:high", {5}),
    ("severity:>=high", {5}),
    ("severity:<4", {0, 1, 2, 3, 4}),
    ("http_response.code:>=500", {3}),
    ("http_response.code:200", {2}),
    ("http_response.code:*", {2, 3}),
    ("http_request.url.path:/sign*", {3}),
    ("http_request.url.path:/INDEX.html", {2}),
    ("is:quarantined", {4}),
    ("is:detected", {0, 5}),
    ("rule:off-hours", {5}),
    ("rule:*force", {0}),
    ("rule:off", set()),
    ("id:0-3", {3}),
    ("message:root", {0, 5}),
    ("-user:root", {1, 2, 3, 4}),
    ("NOT user:root", {1, 2, 3, 4}),
    ("- user", set()),
    ("root -failed", {5}),
    ("failed OR accepted", {0, 1}),
    ("failed OR accepted publickey", {0, 1}),
    ("(failed OR accepted) publickey", {1}),
    ("failed AND root", {0}),
    ("-(failed OR accepted)", {2, 3, 4, 5}),
    ("status:failure OR (class:http_activity -http_response.code:200)", {0, 3}),
    ("user:OR", set()),
]


@pytest.fixture
def filled(fill, event):
    fill([event(index, message, **fields) for index, (message, fields) in enumerate(EVENTS)], RULES)


@pytest.mark.parametrize("compacted", [False, True], ids=["fresh", "compacted"])
def test_each_query_finds_what_it_says(lake, filled, compacted):
    """One lake, many questions; the answers are the same before and after compaction."""
    if compacted:
        lake.compact(list_words_from=0)
    found = {query: {row.position for row in lake.search(query, *ALWAYS).rows} for query, _ in MEANINGS}
    assert found == dict(MEANINGS)


@pytest.mark.parametrize(
    ("query", "column", "what"),
    [
        ("a (b", 3, "never closed"),
        ("a b)", 4, "closes nothing"),
        ('say "hello', 5, "quotation mark"),
        ("user:", 6, "no value"),
        ("user: root", 6, "no value"),
        ("a OR", 5, "missing at the end"),
        ("OR a", 1, "cannot stand here"),
        ("()", 2, "cannot stand here"),
        ("is:purple", 4, "no state"),
        ("class:purple", 7, "is a number"),
        ("user:>=5", 1, "is text"),
        ("src_ip:1.2.3.4/99", 8, "no address block"),
        ("http_response.code:>=x", 22, "compares numbers"),
        ("id:7", 4, "no event's id"),
        ("a\0", 2, "NUL"),
        ("x \ud800", 3, "no text"),
        ("(" * 50, 41, "nested deeper"),
        ("-" * 50 + "a", 41, "nested deeper"),
        ("a" * 3000, 2001, "longer than"),
    ],
)
def test_a_mistake_is_named_with_its_column_and_mend(query, column, what):
    """The person sees where it is and what to write."""
    with pytest.raises(QueryError, match=what) as caught:
        parse(query)
    assert (caught.value.place.column, bool(caught.value.mend)) == (column, True)


PIECES = st.sampled_from([
    "user:", "host:", "class:", "src_ip:", "http_response.code:", "is:", "rule:", "id:", "message:", "x.y:", ">=", "<",
    "(", ")", "-", "OR", " ", " ", "*", '"', "\\", "'", "''", ";", "--", "%", "_", "?", "$1", "1", "-1", "9" * 30, "root",
    "192.0.2.0/24", "2001:db8::/32", "x' OR 1=1; DROP TABLE events --", "é", "İ", "\n", "[a-z]", "(?i)", "$.x", "𝕏", "a.b.c",
])  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=12).map("".join)))
def test_any_text_is_a_query_or_a_query_error(lake, filled, query):
    """Nothing a person types crashes the search or reaches the SQL's text."""
    try:
        condition = parse(query)
    except QueryError as error:
        assert error.place.column >= 1
        return
    assert condition.sql.count("?") == len(condition.params)
    assert re.fullmatch(r"[\w\s().,:=<>?*/+\-%$'\"\\\[\]]*", condition.sql)
    for hostile in ("DROP", "1=1", ";", "--"):
        assert hostile not in condition.sql
    assert lake.search(query, *ALWAYS).total.count <= len(EVENTS)


WORDS = st.lists(
    st.sampled_from(["a", "ab", "a.b", "1.2.3.4", "2.3.4", "x_1", "-", ".", "/", "1.2.3", "é", "B", ":"]), max_size=5
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages=st.lists(WORDS.map(" ".join) | WORDS.map("".join), min_size=1, max_size=4), phrase=WORDS.map("".join))
def test_word_lists_never_hide_a_match(tmp_path_factory, event, messages, phrase):
    """A file's words may let through too much, never too little."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.append(0, [event(n, message) for n, message in enumerate(messages)], [()] * len(messages), 9)
    quoted = f'"{phrase}"'
    before = {row.position for row in lake.rows(quoted, *ALWAYS)}
    lake.compact(list_words_from=0)
    assert {row.position for row in lake.rows(quoted, *ALWAYS)} == before
    lake.close()
