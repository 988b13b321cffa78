"""The catalog: what lies in the folders is what there is, under its file's name, once."""

import subprocess
import sys
import textwrap

import pytest

from watchbill.core.errors import ContentError, NotFoundError
from watchbill.engine.catalog import Catalog, rule_name

CHECK = """
from watchbill.sdk import Check, Verdict, Outcome
CHECK = Check(id={id!r}, title="t", controls=(), rationale="r", mend="m", reads=(), examples=(),
              judge=lambda snapshot: Verdict(Outcome.UNKNOWN, "nothing"))
"""
RULE = "title: a\nname: {name}\nlogsource: {{product: linux}}\n"


@pytest.fixture
def package(tmp_path, monkeypatch, request):
    """A content package of the test's own, importable under a name that no other test has used."""
    name = f"content_of_{request.node.name.translate({ord(c): '_' for c in '[]-./'})}"
    folder = tmp_path / name
    for kind in ("checks", "rules", "frameworks"):
        (folder / kind).mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    return name, folder


def test_a_file_added_is_a_unit_added(package):
    """Nothing else has to be edited."""
    name, folder = package
    (folder / "checks" / "fresh.py").write_text(CHECK.format(id="fresh"))
    (folder / "checks" / "_shared.py").write_text("X = 1")
    (folder / "rules" / "new_rule.yml").write_text(RULE.format(name="new_rule"))
    catalog = Catalog.load(name, outside=False)
    assert [check.id for check in catalog.checks] == ["fresh"]
    assert catalog.rule_files == (folder / "rules" / "new_rule.yml",)
    assert catalog.parsers == ()


def test_a_unit_must_bear_its_files_name(package):
    """A check that calls itself otherwise is refused with its place."""
    name, folder = package
    (folder / "checks" / "mine.py").write_text(CHECK.format(id="yours"))
    with pytest.raises(ContentError, match=r"calls itself 'yours'.*mine\.py"):
        _ = Catalog.load(name, outside=False).checks


@pytest.mark.parametrize("body", ["", CHECK.format(id="odd") + "OTHER = CHECK._replace(title='x')"])
def test_a_file_holds_exactly_one_unit(package, body):
    """None or two are refused."""
    name, folder = package
    (folder / "checks" / "odd.py").write_text(body)
    with pytest.raises(ContentError, match="exactly one Check"):
        _ = Catalog.load(name, outside=False).checks


def test_a_unit_that_cannot_be_imported_is_named(package):
    """The reason and the file are both said."""
    name, folder = package
    (folder / "checks" / "broken.py").write_text("1 / 0")
    with pytest.raises(ContentError, match=r"broken\.py: importing it failed: ZeroDivisionError"):
        _ = Catalog.load(name, outside=False).checks


def test_the_same_name_twice_is_refused(package):
    """Two packages may not bring the same unit."""
    name, folder = package
    (folder / "checks" / "twin.py").write_text(CHECK.format(id="twin"))
    catalog = Catalog([(name, folder), (name, folder)])
    with pytest.raises(ContentError, match="is there already"):
        _ = catalog.checks


def test_a_shipped_rule_needs_its_name(package):
    """The last document's name is the file's."""
    name, folder = package
    (folder / "rules" / "a.yml").write_text("title: x\n")
    with pytest.raises(ContentError, match="has no name"):
        _ = Catalog.load(name, outside=False).rule_files


def test_the_last_document_names_a_rule(tmp_path):
    """Documents before it are what it correlates."""
    path = tmp_path / "r.yml"
    path.write_text("title: base\nname: base\n---\ntitle: alerting\nname: 'r' # the one\ncorrelation:\n  name: no\n")
    assert rule_name(path) == "r"


def test_an_installations_own_bad_rule_stops_nobody(package, tmp_path):
    """It is left out and named; its good rules, and Sigma rules without a name, are taken."""
    name, folder = package
    own = tmp_path / "own" / "deeper"
    own.mkdir(parents=True)
    (folder / "rules" / "taken.yml").write_text(RULE.format(name="taken"))
    (own / "taken.yml").write_text(RULE.format(name="taken"))
    (own / "other.yml").write_text(RULE.format(name="wrong"))
    (own / "from_sigmahq.yml").write_text("title: no name\n")
    catalog = Catalog.load(name, rule_folders=[tmp_path / "own", tmp_path / "absent"], outside=False)
    assert [path.stem for path in catalog.rule_files] == ["taken", "from_sigmahq"]
    assert len(catalog.problems) == 2
    assert all(problem.place is not None and problem.mend for problem in catalog.problems)


def test_a_framework_that_is_none_says_where(package):
    """The place is the file, and the line where YAML knows it."""
    name, folder = package
    path = folder / "frameworks" / "f.yml"
    path.write_text("id: f\ntitle: [\n")
    with pytest.raises(ContentError, match=r"f\.yml:\d+"):
        _ = Catalog.load(name, outside=False).frameworks
    path.write_text("id: f\ntitle: F\nedition: '1'\ncontrols:\n  - {id: A, title: t, theme: odd}\n")
    with pytest.raises(ContentError, match="no framework"):
        _ = Catalog.load(name, outside=False).frameworks


def test_an_unknown_package_or_unit_is_said(package):
    """Not a traceback from the import system."""
    with pytest.raises(ContentError, match="no content package"):
        Catalog.load("watchbill_nowhere.content", outside=False)
    with pytest.raises(NotFoundError, match="no notifier"):
        Catalog.load(package[0], outside=False).notifier("pigeon")


def test_what_is_not_asked_for_is_not_loaded():
    """Neither web nor receive pays for parsers, SMTP or HTTP by having a catalog; one notifier loads no other."""
    program = """
        import sys
        from watchbill.engine.catalog import Catalog
        catalog = Catalog.load("watchbill.content")
        assert not [m for m in sys.modules if m.startswith("watchbill.content.")], "loaded before it was asked for"
        catalog.notifier("webhook")
        assert "watchbill.content.notifiers.email" not in sys.modules
        assert "django" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_all_shipped_content_loads():
    """Every folder of our own content is as it must be."""
    catalog = Catalog.load("watchbill.content")
    assert catalog.rule_files
    assert catalog.problems == ()
    assert len(catalog.checks) >= 8
    assert {notifier.id for notifier in catalog.notifiers} == {"email", "webhook"}
    assert [framework.id for framework in catalog.frameworks] == ["iso27001_2022"]
