"""Copies to a folder and to an S3-compatible store: continuous, told when they fail, verified, restored from."""

import subprocess
import sys
import time

import boto3
import httpx
import pytest

from ports import free_port
from watchbill.core.clock import HOUR, MINUTE
from watchbill.core.errors import ConfigError, LedgerError
from watchbill.core.paths import DataDir
from watchbill.flows import copies, stores
from watchbill.flows.restore import restore_from
from watchbill.ledger import Reader, verify_ledger
from watchbill.ledger.keys import fingerprint, open_root_public
from watchbill.state.copies import actions, queries
from watchbill.state.trail import queries as trail

KEY, SECRET = "AKIAEXAMPLE", "a-secret-that-nobody-may-see"


def answers(address):
    try:
        return httpx.get(address, timeout=60)
    except httpx.HTTPError:
        return None


@pytest.fixture(scope="module")
def s3():
    """A local S3 server with one bucket."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 100
    while not answers(address):
        assert server.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    client.create_bucket(Bucket="copies")
    client.close()
    yield {"bucket": "copies", "endpoint": address, "access_key_id": KEY, "secret_access_key": SECRET}
    server.terminate()
    server.wait()


@pytest.fixture(params=["folder", "s3"])
def where(request, tmp_path):
    """A kind and its settings."""
    if request.param == "folder":
        (tmp_path / "copy").mkdir()
        return "folder", {"path": str(tmp_path / "copy")}
    return "s3", request.getfixturevalue("s3") | {"prefix": f"{tmp_path.name}/deep"}


def told(action):
    return [entry for entry in trail.entries() if entry.action == action]


def content(ledger):
    reader = Reader(ledger, 0)
    try:
        return reader.read(0, 1 << 20)
    finally:
        reader.close()


def test_a_copy_follows_verifies_and_becomes_an_installation(place, where, tmp_path, caplog):
    """Whatever the place: what is received is there a step later, and a new installation is made of it."""
    place.receive(*[f"line {n}" for n in range(50)])
    copies.add(place.data, "offsite", *where, by="admin", at=place.clock.now())
    following = copies.Following(place.data, place.clock)
    following.step()
    place.receive("one more")
    following.step()
    seen = queries.copy("offsite")
    assert (seen.upto, seen.error, seen.behind_since) == ({"0": place.head()}, "", 0)
    report = copies.verify(place.data, place.clock, "offsite", by="admin")
    assert report.ok, report.findings
    assert report.events == place.head()
    fresh = DataDir(tmp_path / "fresh").create()
    root = fingerprint(open_root_public(place.data.keys).key)
    restore_from(*where, fresh, root_fingerprint=root)
    assert content(fresh.ledger) == content(place.data.ledger)
    assert verify_ledger(fresh.ledger, root_fingerprint=root).ok
    with pytest.raises(LedgerError, match="has a ledger"):
        restore_from(*where, fresh, root_fingerprint=root)
    shown = repr(queries.copies()) + repr([entry.detail for entry in trail.entries()]) + caplog.text
    assert SECRET not in shown
    assert SECRET.encode() not in place.data.database.read_bytes()


def test_a_copy_that_fails_is_told_when_it_is_behind_and_when_it_has_caught_up(place, tmp_path):
    """A missing mount: nothing is made in its place; after a quarter of an hour one event, then one when it is back."""
    folder = tmp_path / "mount"
    folder.mkdir()
    place.receive("a")
    copies.add(place.data, "disk", "folder", {"path": str(folder)}, by="admin", at=place.clock.now())
    following = copies.Following(place.data, place.clock)
    following.step()
    folder.rename(tmp_path / "away")
    place.receive("b")
    following.step()
    assert "not there" in queries.copy("disk").error
    assert told("copy.behind") == []
    for _ in range(3):
        place.clock.advance(16 * MINUTE)
        following.step()
    assert len(told("copy.behind")) == 1
    assert not folder.exists()
    (tmp_path / "away").rename(folder)
    following.step()
    assert len(told("copy.caught_up")) == 1
    assert (queries.copy("disk").error, queries.copy("disk").behind_since) == ("", 0)
    actions.remove_copy("disk", by="admin", at=1)
    following.step()
    assert queries.copies() == ()
    assert list(folder.iterdir())


def test_damage_is_told_at_once_and_restoring_it_is_refused(place, tmp_path):
    """The ledger is cut back: the copy refuses its head. The copy is altered: its verification says where."""
    import shutil

    folder = tmp_path / "copy"
    folder.mkdir()
    place.receive("a", "b")
    shutil.copytree(place.data.ledger, tmp_path / "earlier")
    place.receive("the third record")
    copies.add(place.data, "disk", "folder", {"path": str(folder)}, by="admin", at=place.clock.now())
    copies.Following(place.data, place.clock).step()
    (part,) = [one for one in (folder / "shard-0000/tail").rglob("*") if one.is_file()]
    data = bytearray(part.read_bytes())
    data[data.index(b"third")] ^= 1
    good = part.read_bytes()
    part.write_bytes(data)
    report = copies.verify(place.data, place.clock, "disk", by="auditor")
    assert not report.ok
    assert len(told("copy.damaged")) == 1
    with pytest.raises(LedgerError, match="does not verify"):
        restore_from("folder", {"path": str(folder)}, DataDir(tmp_path / "x").create(), root_fingerprint=None)
    part.write_bytes(good)
    shutil.rmtree(place.data.ledger)
    shutil.move(tmp_path / "earlier", place.data.ledger)
    place.clock.advance(HOUR)
    for _ in range(2):
        copies.Following(place.data, place.clock).step()
    assert len(told("copy.damaged")) == 2
    assert "does not extend" in queries.copy("disk").error


@pytest.mark.parametrize(
    ("kind", "config", "what"),
    [
        ("ftp", {}, "no kind"),
        ("folder", {"path": "relative"}, "whole path"),
        ("folder", {"path": "/nowhere/at/all"}, "cannot be used"),
        ("folder", {"paths": "/x"}, "no setting"),
        ("s3", {}, "bucket"),
        ("s3", {"bucket": "b", "endpoint": "http://storage.example"}, "in clear"),
    ],
    ids=["kind", "relative", "missing", "setting", "bucket", "clear"],
)
def test_places_that_make_no_sense_are_refused(place, kind, config, what):
    """With the mend, before anything is stored."""
    with pytest.raises(ConfigError, match=what):
        copies.add(place.data, "x", kind, config, by="admin", at=1)
    assert queries.copies() == ()


def test_a_store_that_refuses_says_so_without_its_key(s3):
    """A wrong bucket or a dead endpoint is an OSError in one line."""
    store = stores.open_store("s3", s3 | {"bucket": "nobodys"})
    with pytest.raises(OSError, match=r"s3://nobodys/|nothing of this name") as error:
        store.put("x", b"y")
    assert SECRET not in str(error.value)


def test_the_command_restores_into_an_empty_folder_and_compares_the_root(place, tmp_path):
    """As somebody does whose machine is gone: exit code 0 and the records, or 2 and nothing in place."""
    folder = tmp_path / "copy"
    folder.mkdir()
    place.receive("a", "b")
    copies.add(place.data, "disk", "folder", {"path": str(folder)}, by="admin", at=place.clock.now())
    copies.Following(place.data, place.clock).step()
    root = fingerprint(open_root_public(place.data.keys).key)
    for stated, code in (("00" * 32, 2), (root, 0)):
        fresh = tmp_path / f"fresh-{code}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "watchbill", "copies", "restore", "--folder", str(folder)),
                *("--root-fpr", stated, "--data", str(fresh)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert (fresh / "ledger/shard-0000/head").exists() == (code == 0)
    assert content(tmp_path / "fresh-0/ledger") == content(place.data.ledger)
    assert "keys/log.key is not here" in done.stderr


def test_a_copy_inside_of_the_installation_is_refused(place):
    """It would be lost with it, and grow with itself."""
    with pytest.raises(ConfigError, match="saves nothing"):
        copies.add(place.data, "x", "folder", {"path": str(place.data.run)}, by="admin", at=1)
