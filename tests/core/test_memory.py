"""The collector is left alone while much is built, and set going again."""

import gc

import pytest

from watchbill.core.memory import collector_paused


@collector_paused()
def build(*, fails):
    assert not gc.isenabled()
    if fails:
        raise KeyError


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_as_it_was(was_on):
    before = gc.isenabled()
    (gc.enable if was_on else gc.disable)()
    try:
        build(fails=False)
        with pytest.raises(KeyError):
            build(fails=True)
        assert gc.isenabled() is was_on
    finally:
        (gc.enable if before else gc.disable)()
