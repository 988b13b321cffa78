"""``watchbill ledger repair``: a dry run that changes nothing, the repair, and what tells of it afterwards."""

from __future__ import annotations


def test_a_damaged_volume(filled):
    """What is wrong is said first; then it is mended, once, and the verifier tells of the loss."""
    (path,) = (filled.place.data.ledger / "shard-0000" / "events").iterdir()
    assert "Nothing is damaged" in filled.run("ledger", "repair").stdout
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (said,) = filled.rows("ledger", "repair", "--dry-run")
    assert path.read_bytes() == data
    assert (said["shard"], said["sealed"] > 0, said["unsealed"]) == (0, True, 0)
    assert "Nothing was changed" in filled.run("ledger", "repair", "--dry-run").stdout
    assert filled.rows("ledger", "repair", "--shard", "0") == [said]
    assert (filled.place.data.ledger / "shard-0000" / said["aside"]).read_bytes() == data
    assert filled.rows("ledger", "repair") == []
    assert "declares a loss" in filled.run("verify").stdout


def test_while_it_is_written(filled):
    """The writer is to be stopped first; a shard that is not there is said."""
    from watchbill.ledger import Writer

    data = filled.place.data
    with Writer.open(data.ledger, shard=0, keys=data.keys, clock=filled.place.clock):
        assert "stop Watchbill first" in filled.refused("ledger", "repair", "--shard", "0")
    assert "no shard 7" in filled.refused("ledger", "repair", "--shard", "7")
