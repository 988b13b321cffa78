"""Delivery files become records, and nothing of a broken one is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.engine.normalise import split_records

RECORDS = [{"eventName": "A", "n": [1, {"x": "}{"}]}, {"eventName": "B\n"}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"Records": RECORDS}),
        json.dumps({"Records": RECORDS}, indent=2),
        json.dumps(RECORDS),
        "\ufeff" + json.dumps(RECORDS, indent=1),
        "\n".join(json.dumps(record) for record in RECORDS) + "\n",
        "\r\n".join(json.dumps(record) for record in RECORDS),
    ],
)
def test_every_form_gives_the_same_records(content):
    """Each record is one line of JSON without a line break."""
    found = split_records(content)
    assert [json.loads(record) for record in found] == RECORDS
    assert not any(b"\n" in record for record in found)


def test_one_object_over_many_lines_is_one_record():
    assert [json.loads(record) for record in split_records(json.dumps(RECORDS[0], indent=2))] == RECORDS[:1]


@pytest.mark.parametrize("content", [b'{"Records":[{"a":1},{"b"', b"[1, 2", b"plain\n\nlines", b"\xff\xfe\n{"])
def test_what_is_broken_stays_as_lines(content):
    assert b"".join(split_records(content)) == content.replace(b"\n", b"")


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none()), min_size=1))
def test_any_array_of_objects_survives(records):
    assert [json.loads(record) for record in split_records(json.dumps(records, indent=1))] == records
