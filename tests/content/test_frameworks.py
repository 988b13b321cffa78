"""ISO/IEC 27001:2022 as facts: whole, looked up by either edition's numbers, and in agreement with others' mappings."""

import shutil
import subprocess

import pytest
import yaml

from watchbill.core.errors import NotFoundError
from watchbill.engine.catalog import Catalog

# Where a published mapping of the two editions differs from the correspondence that the 2022 edition of ISO/IEC 27002
# itself prints (annex B), we follow the standard. Each difference, in our own words:
STANDARD_HAS_THEM_TOO = {
    ("A.6.1.3", "A.5.5"), ("A.6.1.4", "A.5.6"), ("A.6.1.5", "A.5.8"),  # contacts and projects kept their subject
    ("A.9.2.5", "A.5.18"), ("A.9.2.6", "A.5.18"),  # review and removal of access rights went into one control
    ("A.12.6.2", "A.8.19"), ("A.12.7.1", "A.8.34"),  # software installation; audit tests
    ("A.14.2.3", "A.8.32"), ("A.14.2.4", "A.8.32"),  # changes after platform changes and to packages are changes
    ("A.18.2.3", "A.8.8"),  # technical compliance review is partly vulnerability management
    ("A.13.2.1", "A.5.14"), ("A.13.2.2", "A.5.14"), ("A.13.2.3", "A.5.14"),  # transfer of information …
}  # fmt: skip
#: … which the mapping gives to redundancy of facilities instead: a slip of one number.
SLIPS = {("A.13.2.1", "A.8.14"), ("A.13.2.2", "A.8.14"), ("A.13.2.3", "A.8.14")}


@pytest.fixture(scope="module")
def framework():
    return Catalog.load("watchbill.content").framework("iso27001_2022")


def unzstd(path):
    if not shutil.which("zstdcat"):
        pytest.skip("zstdcat is not installed")
    return yaml.load(
        subprocess.run(["zstdcat", str(path)], check=True, capture_output=True).stdout, Loader=yaml.CSafeLoader
    )


def test_the_annex_is_whole(framework):
    """93 controls in four themes, in order, and the clauses 4 to 10."""
    sizes = {"A.5": 37, "A.6": 8, "A.7": 14, "A.8": 34}
    annex = [f"{theme}.{n}" for theme, size in sizes.items() for n in range(1, size + 1)]
    ids = [control.id for control in framework.controls]
    assert [i for i in ids if i.startswith("A.")] == annex
    clauses = [i for i in ids if not i.startswith("A.")]
    assert {int(i.split(".")[0]) for i in clauses} == set(range(4, 11))
    assert {"6.1.1", "6.1.2", "6.1.3", "6.3", "9.1", "9.2", "9.3", "10.1", "10.2"} <= set(clauses)


def test_every_control_says_what_to_watch(framework):
    """A sentence, evidence and an age each; a control that events speak for has a younger bound than a year."""
    for control in framework.controls:
        assert control.watch.endswith("."), control.id
        assert control.evidence, control.id
        assert control.max_age_ns > 0, control.id
    assert framework.control("A.8.15").max_age_ns < framework.control("A.5.1").max_age_ns


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("A.12.4", ["A.8.15", "A.8.17"]),
        ("A.12.4.1", ["A.8.15"]),
        ("A.12.4.4", ["A.8.17"]),
        ("A.8.15", ["A.8.15"]),
        ("A.8.2", ["A.8.2"]),
        ("2013:A.8.2", ["A.5.10", "A.5.12", "A.5.13"]),
        ("2013:10.1", ["10.2"]),
        ("10.1", ["10.1"]),
        ("6.1", ["6.1.1", "6.1.2", "6.1.3"]),
        (" A.16 ", ["A.5.24", "A.5.25", "A.5.26", "A.5.27", "A.5.28", "A.6.8"]),
        ("A.99", []),
        ("A.12.4.9", []),
        ("", []),
    ],
)
def test_numbers_of_both_editions_are_understood(framework, words, found):
    """What is in both means this edition, unless it is said otherwise."""
    assert [control.id for control in framework.find(words)] == found


def test_an_unknown_number_is_not_found(framework):
    """Exact look-up names what is missing."""
    with pytest.raises(NotFoundError, match=r"no 'A\.8\.35'"):
        framework.control("A.8.35")


def test_controls_new_in_2022_have_no_older_number(framework):
    """Eleven are new."""
    new = [c.id for c in framework.controls if c.id.startswith("A.") and not c.edition_2013]
    assert new == [
        "A.5.7", "A.5.23", "A.5.30", "A.7.4", "A.8.9", "A.8.10", "A.8.11", "A.8.12", "A.8.16", "A.8.23", "A.8.28",
    ]  # fmt: skip


def test_all_numbers_of_2013_went_somewhere(framework):
    """114 controls of the older edition, each at least once; none can be looked up in vain."""
    old = {number for c in framework.controls for number in c.edition_2013 if number.startswith("A.")}
    assert len(old) == 114
    assert all(framework.find(number) for number in old if number.count(".") == 3)


def test_the_ids_are_those_of_the_standards_outline(framework, shared_data):
    """An independent outline of the standard has exactly our annex, and every clause of ours."""
    outline = unzstd(shared_data / "ciso_assistant" / "iso27001-2022.yaml.zst")
    ids = {str(node.get("ref_id")) for node in outline["objects"]["framework"]["requirement_nodes"]}
    ours = {control.id for control in framework.controls}
    assert {i for i in ids if i.startswith("A.") and i.count(".") == 2} == {i for i in ours if i.startswith("A.")}
    assert {i for i in ours if not i.startswith("A.")} <= ids


def test_the_editions_correspond_as_others_say(framework, shared_data):
    """An independent mapping of the editions agrees pair by pair, but for the differences that are argued above."""
    mapping = unzstd(shared_data / "ciso_assistant" / "mapping-iso27001-2013-to-iso27001-2022.yaml.zst")
    ours_of_part = {"7.5": "7.5", "9.2": "9.2", "9.3": "9.3"}  # we keep these clauses whole

    def number(urn):
        text = urn.rpartition(":")[2].upper()
        return ours_of_part.get(text[:3], text)

    pairs = mapping["objects"]["requirement_mapping_set"]["requirement_mappings"]
    theirs = {(number(p["source_requirement_urn"]), number(p["target_requirement_urn"])) for p in pairs}
    ours = {(old, control.id) for control in framework.controls for old in control.edition_2013}
    assert ours - theirs == STANDARD_HAS_THEM_TOO
    assert theirs - ours == SLIPS
