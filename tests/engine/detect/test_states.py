"""How groups are stored: what is restored is what was held, and what is written follows what came."""

from watchbill.core.clock import SECOND
from watchbill.core.values import Criticality
from watchbill.engine.detect.groups import Group
from watchbill.engine.detect.states import States
from watchbill.engine.detect.windows import Entry


class Store:
    """What a caller stores, and the groups that are held meanwhile."""

    def __init__(self, groups: int, pace: int) -> None:
        self.states = States(pace)
        self.rows: dict[str, bytes] = {}
        self.groups = {f"g{number}": self._group(f"g{number}") for number in range(groups)}
        self.position = 0
        self.written: list[int] = []

    @staticmethod
    def _group(name: str) -> Group:
        return Group("rule", "version", Criticality.MEDIUM, (name,))

    def batch(self) -> None:
        """Each group gains an event."""
        for group in self.groups.values():
            self.position += 1
            entry = Entry(self.position * SECOND, 0, self.position, message="x" * 100)
            self.states.gained(group, group.add([entry]).fresh)
        self.save()

    def save(self) -> None:
        rows = self.states.take()
        for key, blob in rows:
            if blob is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = blob
        self.written.append(sum(len(blob or b"") for _, blob in rows))

    def restored(self) -> dict[str, list[int]]:
        return {
            group.key[0]: [entry.position for entry in group.entries] for group in States().restore(self.rows.items())
        }

    def held(self) -> dict[str, list[int]]:
        return {name: [entry.position for entry in group.entries] for name, group in self.groups.items()}


def test_what_is_written_does_not_grow_with_what_is_held():
    """After three hundred batches a batch costs as much as after thirty, and all of it is there."""
    store = Store(groups=40, pace=10)
    for _ in range(300):
        store.batch()
    assert store.restored() == store.held()
    assert sum(store.written[-50:]) < 2 * sum(store.written[30:80])
    additions = [blob for key, blob in store.rows.items() if key.startswith("added-")]
    assert additions
    assert sum(map(len, additions)) < sum(map(len, store.rows.values()))


def test_a_group_that_ended_is_not_restored_from_its_additions():
    """Nor is what a new group of the same name holds mixed with what the old one held."""
    store = Store(groups=3, pace=-1_000)
    store.batch()
    store.batch()
    store.states.ended(store.groups["g0"])
    store.states.ended(store.groups["g1"])
    del store.groups["g0"]
    store.groups["g1"] = store._group("g1")
    store.save()
    assert store.restored() == {"g2": store.held()["g2"]}
    store.batch()
    assert store.restored() == store.held()


def test_rows_of_additions_go_when_all_groups_are_written_whole():
    """Nothing is stored twice for longer than the pace allows."""
    store = Store(groups=5, pace=-1_000)
    for _ in range(20):
        store.batch()
    for group in store.groups.values():
        store.states.changed(group)
    store.save()
    assert len(store.rows) == 5
    assert store.restored() == store.held()
