"""One value has one spelling."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.core import canonical

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(values)
def test_spelling_does_not_depend_on_order(value):
    """Reading it back and writing it again gives the same bytes."""
    spelled = canonical.dumps(value)
    assert canonical.dumps(json.loads(spelled)) == spelled
    assert json.loads(spelled) == value


@pytest.mark.parametrize("value", [1.5, {"a": [float("nan")]}, {1: 2}])
def test_what_has_no_canonical_form_is_refused(value):
    """Floats and keys that are no text."""
    with pytest.raises(TypeError):
        canonical.dumps(value)
