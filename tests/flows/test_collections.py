"""Other people's rules come in whole, run unmodified and go out whole; nothing hostile in them reaches the disk."""

import os
import subprocess
import zipfile

import pytest

from watchbill.core.clock import DAY, SystemClock
from watchbill.core.config import Config
from watchbill.core.errors import ConflictError, ContentError, NotFoundError
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.flows import collections, content

CLOCK = SystemClock()
RULE = (
    "title: {0}\nid: {1}\nlogsource: {{product: windows}}\ndetection: {{s: {{EventID: 1}}, condition: s}}\nlevel: low\n"
)
IDS = [f"0000000{number}-0000-4000-8000-000000000000" for number in range(4)]


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path / "data")


@pytest.fixture
def theirs(tmp_path):
    """A folder as such collections are: rules in folders, of one name at two places, and much else."""
    root = tmp_path / "Their Rules"
    for folder, name, number in (("a", "x", 0), ("b", "x", 1), ("b", "y", 2)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{name}.yml").write_text(RULE.format(name, IDS[number]))
    (root / "b" / "old.yml").write_text(RULE.format("old", IDS[3]) + "status: deprecated\n")
    (root / "b" / "broken.yml").write_text("title: broken\ndetection: {s: {a: 1}}\n")
    (root / "ci.yml").write_text("jobs: {}\n")
    (root / ".github").mkdir()
    (root / ".github" / "z.yml").write_text(RULE.format("z", IDS[0]))
    (root / "LICENSE").write_text("Detection Rule License (DRL) 1.1\n")
    (root / "run.sh").write_text("exit 1\n")
    return root


def running(data):
    ruleset = content.rules(content.installed(data, Config()))
    return {rule.title for rule in ruleset.rules if rule.id in IDS}, ruleset.problems


def packed(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_collection_runs_unmodified(data, theirs, tmp_path, form):
    """Its rules run beside ours, whatever they are called; each that does not is named; the rest stays where it was."""
    source = theirs if form == "folder" else packed(theirs, tmp_path / "their-rules.zip")
    would = collections.add(data, str(source), CLOCK, dry_run=True)
    assert collections.collections(data) == []
    added = collections.add(data, str(source), CLOCK)
    assert (would.rules, would.problems, added.rules) == (added.rules, added.problems, 3)
    assert added.collection.name == "their-rules"
    assert added.collection.licence == "Detection Rule License"
    assert [problem.partition(":")[0].rpartition("/")[2] for problem in sorted(added.problems)] == [
        "broken.yml",
        "old.yml",
    ]
    assert running(data)[0] == {"x", "y"}
    ids = {rule.id for rule in content.rules(content.installed(data, Config())).rules}
    assert set(IDS[:3]) <= ids
    names = {path.name for path in (data.root / "rules").rglob("*") if path.is_file()}
    assert names == {"x.yml", "y.yml", "old.yml", "broken.yml", "LICENSE", "collection.json"}
    assert {str(one.reason) for one in running(data)[1]} >= {"its authors have deprecated it"}


@pytest.mark.parametrize("form", ["loose", "packed", "archive", "none", "hostile"])
def test_a_collection_keeps_its_commit(data, theirs, tmp_path, form):
    """Of a checkout, by a loose or a packed reference, or of an archive by its comment; git itself is not asked."""
    commit, source = "0123456789abcdef" * 2 + "01234567", theirs
    git = theirs / ".git"
    if form in {"loose", "packed", "hostile"}:
        (git / "refs" / "heads").mkdir(parents=True)
        (git / "HEAD").write_text("ref: refs/heads/main\n" if form != "hostile" else "ref: refs/../../LICENSE\n")
    if form == "loose":
        (git / "refs" / "heads" / "main").write_text(f"{commit}\n")
    elif form == "packed":
        (git / "packed-refs").write_text(
            f"# pack-refs with: peeled\n{'f' * 40} refs/heads/other\n{commit} refs/heads/main\n"
        )
    elif form == "archive":
        source = packed(theirs, tmp_path / "their-rules.zip")
        with zipfile.ZipFile(source, "a") as archive:
            archive.comment = commit.encode()
    added = collections.add(data, str(source), CLOCK)
    assert added.collection.version == ("" if form in {"none", "hostile"} else commit)
    assert collections.collections(data) == [added.collection]


def test_names_of_other_rules_are_refused(data, theirs):
    """What is shipped and what is one's own stay apart from what others wrote."""
    for name in ("own", "watchbill"):
        with pytest.raises(ContentError, match="choose another"):
            collections.add(data, str(theirs), CLOCK, name=name)


def test_the_same_again_replaces(data, theirs):
    """What is no longer there is gone; a removed collection leaves nothing, and own rules are nobody's collection."""
    collections.add(data, str(theirs), CLOCK)
    (theirs / "b" / "y.yml").unlink()
    assert collections.update(data, "their-rules", CLOCK).replaced
    assert running(data)[0] == {"x"}
    collections.remove(data, "their-rules")
    assert running(data)[0] == set()
    assert [path.name for path in data.root.iterdir()] == ["rules"]
    (data.root / "rules" / "mine").mkdir()
    with pytest.raises(ConflictError):
        collections.add(data, str(theirs), CLOCK, name="mine")
    with pytest.raises(NotFoundError, match="there is: none"):
        collections.remove(data, "their-rules")


def test_a_running_engine_sees_it(data, theirs):
    """What an engine looks at to know that there are other rules changes with each step."""
    folders = content.RuleFolders(data, Config())
    seen = [folders.fingerprint()]
    collections.add(data, str(theirs), CLOCK)
    seen.append(folders.fingerprint())
    collections.remove(data, "their-rules")
    seen.append(folders.fingerprint())
    assert seen[0] != seen[1] != seen[2]


def test_a_filter_that_is_over_is_a_change_too(data, monkeypatch):
    """Nobody has to touch a file for an exception to end."""
    mine = data.create().root / "rules"
    mine.mkdir()
    (mine / "archive.yml").write_text(RULE.format("Archive", IDS[0]))
    tomorrow = rfc3339(CLOCK.now() + DAY)[:10]
    (mine / "filter.yml").write_text(
        "title: F\nlogsource: {product: windows}\nfilter: {rules: [archive], selection: {EventID: 1}, condition: not selection}\n"
        f"watchbill: {{expires: {tomorrow}, reason: the migration}}\n"
    )
    folders = content.RuleFolders(data, Config())
    loaded = folders.load()
    assert [problem.reason for problem in loaded.problems] == []
    assert folders.fingerprint() == folders.loaded
    monkeypatch.setattr(content.time, "time_ns", lambda: loaded.ends)
    assert folders.fingerprint() != folders.loaded


def test_placeholders_of_the_installation(data, theirs):
    """A rule that asks for one's own names runs once rules/placeholders.yml has them."""
    named = RULE.format("named", IDS[3]).replace("EventID: 1", "Computer|expand: '%servers%'")
    (theirs / "b" / "old.yml").write_text(named)
    added = collections.add(data, str(theirs), CLOCK)
    assert any("no values are known for the placeholder" in problem for problem in added.problems)
    (data.root / "rules" / "placeholders.yml").write_text("servers: [srv-01, srv-02]\n")
    assert "named" in running(data)[0]
    (data.root / "rules" / "placeholders.yml").write_text("servers: {a: b}\n")
    assert any("servers must be a value" in problem.reason for problem in running(data)[1])


@pytest.mark.parametrize(
    "name", ["../out.yml", "a/../../out.yml", "/out.yml", "a//out.yml", "a/./out.yml", "a\\..\\out.yml"]
)
def test_a_zip_cannot_write_beside(data, tmp_path, name):
    """Names that lead elsewhere are refused whole."""
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(name, RULE.format("x", IDS[0]))
    with pytest.raises(ContentError, match="names a file"):
        collections.add(data, str(tmp_path / "z.zip"), CLOCK)
    assert not list(tmp_path.rglob("out.yml"))


def test_a_bomb_and_links_are_refused(data, theirs, tmp_path):
    """A file that unfolds beyond a rule's size stops it; links of a folder are not followed."""
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.yml", "detection: x\n" * 1_000_000)
    with pytest.raises(ContentError, match="too large"):
        collections.add(data, str(tmp_path / "z.zip"), CLOCK)
    secret = tmp_path / "secret.yml"
    secret.write_text(RULE.format("secret", IDS[3]))
    (theirs / "link.yml").symlink_to(secret)
    collections.add(data, str(theirs), CLOCK)
    assert not list((data.root / "rules").rglob("link.yml"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://example.com/r.zip", "https alone"),
        ("file:///etc", "https alone"),
        ("ssh://git@example.com/r", "https alone"),
        ("nowhere", "there is no nowhere"),
    ],
)
def test_sources_that_are_not_taken(data, source, said):
    """Nothing is fetched in the clear, and a mistake is a sentence."""
    with pytest.raises((ContentError, NotFoundError), match=said):
        collections.add(data, source, CLOCK)


def test_names_are_made_of_the_source(data, theirs):
    """And an own one must be plain."""
    assert collections._name_of("https://github.com/SigmaHQ/sigma.git") == "sigmahq-sigma"
    assert collections._name_of("https://example.com/a/Rules_2026.zip") == "rules-2026"
    with pytest.raises(ContentError, match="no name for a collection"):
        collections.add(data, str(theirs), CLOCK, name="../x")


def test_a_git_checkout_is_a_folder(data, theirs):
    """Its own bookkeeping stays out."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "init", "-q"], cwd=theirs, check=True, env=environment)
    assert collections.add(data, str(theirs), CLOCK).rules == 3
    assert not list((data.root / "rules").rglob(".git"))
