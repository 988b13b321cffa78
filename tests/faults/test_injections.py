"""Fault 2: EIO, ENOSPC and SIGKILL at the system calls of a writer. ``make torture`` injects at every one of them."""

from __future__ import annotations

import random

import pytest
from injections import Injector

KINDS = (
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "openat",
    "mkdir",
    "unlink",
    "link",
    "ftruncate",
    "fallocate",
)


@pytest.fixture(scope="module")
def injector(nursery, tmp_path_factory):
    return Injector(nursery, tmp_path_factory.mktemp("injections"))


@pytest.fixture(scope="module")
def known(injector):
    """All faults at all calls."""
    return injector.known()


@pytest.mark.parametrize("kind", KINDS)
def test_a_system_call_that_fails_loses_nothing(kind, known, injector):
    """Each kind of call meets some of the faults, once or for good: refused or gone on, nothing acknowledged is lost."""
    of_kind = [one for one in known if one.call == kind]
    for one in random.Random(kind).sample(of_kind, 2):
        injector.inject(one)


def test_every_kind_of_call_is_known(known):
    """The injections cover what the writer calls: a new kind of system call shows here."""
    assert {one.call for one in known} == set(KINDS)
    assert len(known) > 1_000
