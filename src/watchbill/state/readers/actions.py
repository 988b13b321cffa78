"""Saving a reader's progress. No trail entries: this is bookkeeping, not anybody's act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import transaction

from watchbill.core.errors import ConflictError
from watchbill.state.readers.models import GroupState, Position, SeenHead


@transaction.atomic
def save(name: str, positions: Mapping[int, int], states: Iterable[tuple[str, bytes | None]] = ()) -> None:
    """Store the next position to read of each shard, and the group states that changed (None deletes one).

    Call it inside the transaction that stores the results. A position never goes back: that would judge events
    twice, and raises ConflictError (two engines run on one installation).
    """
    known = dict(Position.objects.filter(name=name).values_list("shard", "position"))
    for shard, position in positions.items():
        if position < known.get(shard, 0):
            raise ConflictError(
                f"reader {name} of shard {shard} stands at {known[shard]} and cannot go back to {position}",
                mend="stop the second engine process of this installation",
            )
    Position.objects.bulk_create(
        [Position(name=name, shard=shard, position=position) for shard, position in positions.items()],
        update_conflicts=True,
        unique_fields=["name", "shard"],
        update_fields=["position"],
    )
    save_states(states)


@transaction.atomic
def save_states(states: Iterable[tuple[str, bytes | None]]) -> None:
    """Store group states by key; the last one of a key counts, None deletes it."""
    latest = dict(states)
    kept = [GroupState(key=key, blob=blob) for key, blob in latest.items() if blob is not None]
    GroupState.objects.bulk_create(
        kept, batch_size=400, update_conflicts=True, unique_fields=["key"], update_fields=["blob"]
    )
    gone = [key for key, blob in latest.items() if blob is None]
    for start in range(0, len(gone), 400):
        GroupState.objects.filter(key__in=gone[start : start + 400]).delete()


@transaction.atomic
def forget(name: str) -> None:
    """Let a reader begin anew: its positions go (and with "detect" all group states and the statistics' positions,
    which may not be ahead of it), results stay.
    """
    names = {name, "statistics"} if name == "detect" else {name}
    Position.objects.filter(name__in=names).delete()
    if name == "detect":
        GroupState.objects.all().delete()


def remember_head(shard: int, origin: str, size: int, root: str, at: int) -> None:
    """Keep the head of a shard's log (``root`` in hex), so that a log which went back is noticed."""
    values = {"origin": origin, "size": size, "root": root, "at": at}
    SeenHead.objects.update_or_create(shard=shard, defaults=values)
