"""Framing of byte streams into records."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.engine.collect.framing import Cut, Framer

message = st.binary(min_size=1, max_size=40).map(
    lambda tail: b"<13>" + tail.replace(b"\n", b" ").rstrip(b"\r\0 ") + b"."
)
framed = st.lists(st.tuples(st.booleans(), message), max_size=12)


def chunks(data, cuts):
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(framed, st.lists(st.integers(0, 2000), max_size=30))
def test_mixed_framing_survives_any_chunking(frames, cuts):
    """Octet-counted and LF frames in one stream come out as they went in, however the network cuts them."""
    stream = b"".join(b"%d %b" % (len(body), body) if counted else body + b"\n" for counted, body in frames)
    framer = Framer()
    got = [frame for chunk in chunks(stream, cuts) for frame in framer.feed(chunk)] + framer.finish()
    assert got == [body for _, body in frames]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20), st.integers(1, 50))
def test_any_bytes_are_kept_or_declared(data, cuts, limit):
    """Without counting, every byte comes out once (line ends aside), and what is cut is declared with its digest."""
    framer = Framer(limit, counted=False)
    got = [frame for chunk in chunks(data, cuts) for frame in framer.feed(chunk)] + framer.finish()
    lines = data.split(b"\n")
    assert got == [kept for line in lines if (kept := line[:limit].rstrip(b"\r\n\0"))]
    long = [line for line in lines if len(line) > limit]
    assert framer.cuts == [Cut(len(line), limit, hashlib.sha256(line).hexdigest()) for line in long]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20))
def test_chunking_never_changes_the_outcome(data, cuts):
    """Rubbish on a counted stream is split the same way whether it comes at once or in pieces."""
    whole, pieces = Framer(64), Framer(64)
    assert whole.feed(data) + whole.finish() == (
        [frame for chunk in chunks(data, cuts) for frame in pieces.feed(chunk)] + pieces.finish()
    )
    assert whole.cuts == pieces.cuts


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (b"<13>a\r\n<13>b\0\n", [b"<13>a", b"<13>b"]),
        (b"9 <13>a\nb\r\n<13>c\n", [b"<13>a\nb", b"<13>c"]),
        (b"\n\n<13>a\n\n", [b"<13>a"]),
        (b"2026-03-04 no priority\n12 things\n", [b"2026-03-04 no priority", b"12 things"]),
        (b"99999999999999 <13>x\n", [b"99999999999999 <13>x"]),
    ],
)
def test_what_senders_do(stream, frames):
    """Trailers go, empty lines are nothing, LF inside a counted frame stays, digits alone are no count."""
    assert Framer().feed(stream) == frames


def test_partial_frames_end_with_the_connection():
    """A counted frame that never became whole is kept as far as it came."""
    framer = Framer()
    assert framer.feed(b"100 <13>half") == []
    assert framer.finish() == [b"<13>half"]


def test_a_long_counted_frame_holds_the_limit_only():
    """Ten megabytes in one frame cost the limit in memory and are declared."""
    framer = Framer(1000)
    body = b"<13>" + b"x" * 9_999_996
    stream = b"%d %b" % (len(body), body)
    got = []
    for at in range(0, len(stream), 65536):
        got += framer.feed(stream[at : at + 65536])
        assert framer.pending <= 1000
    assert got == [body[:1000]]
    assert framer.cuts == [Cut(len(body), 1000, hashlib.sha256(body).hexdigest())]
