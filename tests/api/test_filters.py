"""Filters of lists are parts of the address, and narrow the list."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("where", "field", "values"),
    [
        ("/assets", "criticality", ["high", "medium"]),
        ("/assets", "criticality", ["low"]),
        ("/sources", "state", ["alive", "recorded"]),
        ("/controls", "state", ["unknown"]),
    ],
)
def test_filters_narrow_the_list(analyst, where, field, values):
    """Only what was asked for comes, and a word that is none is refused."""
    found = analyst.get(where, **{field: values})
    rows = found["items"] if isinstance(found, dict) else found
    assert {row[field] for row in rows} <= set(values)
    assert analyst("GET", where, **{field: "nonsense"}).status_code in {400, 422}
