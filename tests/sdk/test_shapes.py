"""A record is read by its shape: constants first, then the roots, then what is derived."""

from watchbill.sdk import Derived, Kind, LogSource, Shape

KIND = Kind(
    LogSource("windows", "security", "process_creation"),
    {"EventID": 4688},
    {
        "Image": Derived(("Event.EventData.NewProcessName",)),
        "Computer": Derived(("Event.System.Host", "Event.System.Computer")),
        "User": Derived(("Event.EventData.Domain", "Event.EventData.Name"), lambda *parts: "\\".join(map(str, parts))),
        "Nothing": Derived(("Event.EventData.Name",), lambda _: None),
    },
)
SHAPE = Shape(
    ("Event.System.EventID",),
    lambda header: KIND if header == (4688,) else None,
    ("Event.EventData", "Event.UserData.*"),
    text="#text",
)


def record(event_id, data, user_data=None):
    system = {"EventID": event_id, "Computer": "ws-01"}
    return {"Event": {"System": system, "EventData": data, "UserData": user_data or {}}}


def test_fields_come_from_all_places():
    """A member of the data wins over what is derived; what neither has is not there."""
    data = {"NewProcessName": "a.exe", "Domain": "EX", "Name": "ana", "Deep": {"Er": 1}, "EventID": 7}
    kind, native = SHAPE.read(
        record({"#text": 4688, "#attributes": {"Q": 0}}, data, {"Any": {"Note": "x", "Name": "y"}})
    )
    assert kind is KIND
    assert native == {
        "EventID": 4688, "NewProcessName": "a.exe", "Domain": "EX", "Name": "ana", "Deep.Er": 1, "Note": "x",
        "Image": "a.exe", "Computer": "ws-01", "User": "EX\\ana",
    }  # fmt: skip


def test_texts_with_attributes_are_texts():
    """XML written as JSON: what has attributes still is its text, also in lists."""
    _, native = SHAPE.read(record(4688, {"Data": {"#text": ["a", "b"]}, "More": [{"#text": "c"}, 1]}))
    assert native["Data"] == ["a", "b"]
    assert native["More"] == ["c", 1]


def test_other_records_are_of_no_shape():
    """A header of another kind, a nested one and none at all."""
    assert SHAPE.read(record(1, {})) is None
    assert SHAPE.read(record([4688], {})) is None
    assert SHAPE.read({"Event": "text"}) is None
