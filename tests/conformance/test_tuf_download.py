"""Targets and delegations: what is searched in which order, what is downloaded, and where it goes (TUF 1.0, 5.6, 5.7)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from tuf.api.metadata import TargetFile

from tests.conformance.suite import Client
from tests.simulator.tuf_repository import TufRepository


@dataclass(frozen=True)
class Graph:
    """Delegations `AB` from A to B, `ABt` terminating, `ABp` for *.py alone; T is targets. The order they are asked in."""

    edges: str
    order: str


GRAPHS = {
    "one": Graph("TA", "A"),
    "two": Graph("TA TB", "AB"),
    "two levels": Graph("TA TB BC", "ABC"),
    "depth first": Graph("TA TB AC AD", "ACDB"),
    "three levels, depth first": Graph("TA TB AC CD", "ACDB"),
    "a terminating one ends it": Graph("TA TB ACt AD", "AC"),
    "a terminating one has descendants": Graph("TA TB ACt CD", "ACD"),
    "a pattern that does not match": Graph("TAp TB AC", "B"),
    "a pattern that does not match, further down": Graph("TA TB ACp CD", "AB"),
    "a circle": Graph("TA TB BC CD DB", "ABCD"),
    "two ways": Graph("TA TB BC AC", "ACB"),
    "two ways, of which one matches": Graph("TA TB BC ACp", "ABC"),
}


def lay_out(repository: TufRepository, graph: Graph) -> None:
    for edge in graph.edges.split():
        parent = "targets" if edge[0] == "T" else edge[0]
        paths = ["*.py"] if "p" in edge else ["*"]
        repository.delegate(parent, edge[1], paths, terminating="t" in edge)
    repository.publish_all(root=False)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_roles_are_asked_in_order(repository: TufRepository, client: Client, graph: Graph) -> None:
    """Before the next, all that a role delegates to; each once."""
    lay_out(repository, graph)
    assert client.download("missing") == 1
    assert client.asked()[4:] == [f"1.{role}.json" for role in graph.order]


@pytest.mark.parametrize(
    ("path", "order", "found"),
    [
        ("file", "", True),
        ("README.md", "A", True),
        ("releases/x/x_v1", "BC", True),
        ("releases/y/y_v1.zip", "BD", True),
        ("releases/z/z_v1.zip", "B", False),
    ],
)
def test_a_pattern_matches_segment_by_segment(
    repository: TufRepository, client: Client, path: str, order: str, found: bool
) -> None:
    """And every role on the way must delegate the path."""
    repository.delegate("targets", "A", ["*.doc", "*.md"])
    repository.delegate("targets", "B", ["releases/*/*"])
    repository.delegate("B", "C", ["releases/x/*"])
    repository.delegate("B", "D", ["releases/y/*.zip"])
    repository.add_target("targets", "file", b"file")
    repository.add_target("A", "README.md", b"README.md")
    repository.add_target("C", "releases/x/x_v1", b"releases/x/x_v1")
    for file in ("releases/y/y_v1.zip", "releases/z/z_v1.zip"):
        repository.add_target("D", file, file.encode())
    repository.publish_all(root=False)
    assert client.download(path) == (0 if found else 1)
    assert client.asked()[4:] == [f"1.{role}.json" for role in order]
    assert client.downloaded() == ([path.encode()] if found else [])


@pytest.mark.parametrize("algorithms", [["sha256"], ["sha512"], ["sha256", "sha512"]])
def test_kinds_of_hashes(repository: TufRepository, client: Client, algorithms: list[str]) -> None:
    """The file is asked for once, by one of them."""
    target = TargetFile.from_data("file", b"content", algorithms)
    repository.targets.targets["file"] = target
    for digest in target.hashes.values():
        repository.files[f"targets/{digest}.file"] = b"content"
    repository.publish_all(root=False)
    assert client.download("file") == 0
    assert len(client.asked("targets")) == 1
    assert client.downloaded() == [b"content"]


def test_a_hash_that_nobody_knows_is_none(repository: TufRepository, client: Client) -> None:
    """What cannot be checked is not taken."""
    digest = hashlib.sha512(b"content").hexdigest()
    repository.targets.targets["file"] = TargetFile(7, {"unknown-hash": digest}, "file")
    repository.files[f"targets/{digest}.file"] = b"content"
    repository.publish_all(root=False)
    assert client.download("file") == 1
    assert client.downloaded() == []


@pytest.mark.parametrize("path", ["path/to/a/file.txt", "a b", "ü", "what?", "50%", "a#b", "../up", "/up"])
def test_a_target_of_any_name_stays_in_its_folder(
    repository: TufRepository, client: Client, path: str
) -> None:
    """Whatever stands in it; the folder is made where it is missing."""
    place = repository.add_target("targets", path, b"content")
    repository.files[quote(place)] = b"content"
    repository.publish_all(root=False)
    client.targets.rmdir()
    assert client.download(path) == 0
    found = [each for each in client.targets.parent.rglob("*") if each.is_file()]
    assert [each.parent for each in found if each.read_bytes() == b"content"] == [client.targets]


def test_a_target_follows_its_changes(repository: TufRepository, client: Client) -> None:
    """The newer one takes the place of the older; one that was not signed never does."""
    for number in range(4):
        place = repository.add_target("targets", "file", b"content %d" % number)
        repository.add_target("targets", f"new-{number}", b"new %d" % number)
        repository.publish_all(root=False)
        if number % 2:
            continue
        assert client.download("file") == client.download(f"new-{number}") == 0
        repository.files[place] = b"malicious"
        repository.publish_all(root=False)
        client.download("file")
        assert b"malicious" not in client.downloaded()
    assert sorted(client.downloaded()) == [b"content 2", b"new 0", b"new 2"]


def test_delegations_are_searched_depth_first(repository: TufRepository, client: Client) -> None:
    """In the order of the delegator, only where paths match, past cycles, and no further than a terminating one."""
    for parent, role, paths, terminating in (
        ("targets", "A", ["a*"], False),
        ("targets", "B", ["*"], False),
        ("B", "C", ["*"], False),
        ("C", "B", ["*"], False),
        ("B", "D", ["*"], True),
        ("targets", "E", ["*"], False),
    ):
        repository.delegate(parent, role, paths, terminating=terminating)
    repository.add_target("D", "found", b"by D")
    repository.publish_all(root=False)
    assert client.download("found") == 0
    assert [path for path in client.mirror.asked if path.startswith("metadata/")][4:] == [
        "metadata/1.B.json",
        "metadata/1.C.json",
        "metadata/1.D.json",
    ]
    assert client.download("missing") == 1
    assert "metadata/1.E.json" not in client.mirror.asked
    assert client.downloaded() == [b"by D"]


@pytest.mark.parametrize("role", ["?", "#", "/delegatedrole", "../delegatedrole", "角色", "a b"])
def test_strange_role_names_stay_in_their_place(repository: TufRepository, client: Client, role: str) -> None:
    """In the address and on disk."""
    repository.delegate("targets", role, ["*"])
    repository.publish_all(root=False)
    assert client.download("nothing") == 1
    assert len(client.versions()) == 5
    assert sum("delegatedrole" in path.name for path in client.metadata.parent.glob("*")) == 0


def test_targets_are_what_was_signed(repository: TufRepository, client: Client) -> None:
    """A file that was replaced is refused, one we have is not asked for again, a newer one takes its place."""
    place = repository.add_target("targets", "file", b"content")
    other = repository.add_target("targets", "other", b"other")
    repository.publish_all(root=False)
    assert client.download("file") == 0
    repository.files[place] = repository.files[other] = b"malicious and longer than it should be"
    asked = len(client.mirror.asked)
    assert client.download("file") == 0
    assert not any(path.startswith("targets/") for path in client.mirror.asked[asked:])
    assert client.download("other") == 1
    repository.files[other] = b"OTHER"
    assert client.download("other") == 1
    assert client.downloaded() == [b"content"]
    repository.add_target("targets", "file", b"newer")
    repository.publish_all(root=False)
    assert client.download("file") == 0
    assert client.downloaded() == [b"newer"]
