"""Which commit a script is of, in temporary repositories."""

import subprocess
from pathlib import Path

import pytest

from harness.studies.origin import code_tags, origin_tags, without_origin

COMMIT = "mlflow.source.git.commit"
DIRTY = "harness.git.dirty"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script in a folder of a repository, committed."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "trunk")
    script = tmp_path / "experiments" / "a sweep.py"
    script.parent.mkdir()
    script.write_text("1\n")
    (tmp_path / "other.py").write_text("2\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return script


def test_a_script_has_its_commit(script: Path) -> None:
    assert origin_tags(script) == {
        "mlflow.source.name": "a sweep.py",
        COMMIT: git(script.parent, "rev-parse", "HEAD"),
        "mlflow.source.git.branch": "trunk",
        DIRTY: "false",
    }


def test_what_differs_from_the_commit_is_dirty(script: Path) -> None:
    (script.parent / "notes.txt").write_text("untracked")
    assert origin_tags(script)[DIRTY] == "false"
    other = script.parents[1] / "other.py"
    other.write_text("3\n")
    assert origin_tags(script)[DIRTY] == "true"
    git(script.parent, "checkout", "--quiet", str(other))
    assert origin_tags(script)[DIRTY] == "false"


def test_a_script_that_was_never_added_is_dirty(script: Path) -> None:
    new = script.with_name("new.py")
    new.write_text("4\n")
    assert origin_tags(new)[DIRTY] == "true"
    git(script.parent, "add", str(new))
    git(script.parent, "commit", "--quiet", "--message", "second")
    assert origin_tags(new)[DIRTY] == "false"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:s3cret-token@example.org/ann/x.git", "https://example.org/ann/x.git"),
        ("https://s3cret-token@example.org:8443/x", "https://example.org:8443/x"),
        ("ssh://git@example.org/x.git", "ssh://example.org/x.git"),
        ("git@example.org:ann/x.git", "git@example.org:ann/x.git"),
        ("/home/ann/x.git", None),
        ("file:///home/ann/x.git", None),
    ],
)
def test_the_address_has_no_credentials_and_no_path_of_the_machine(
    script: Path, address: str, shown: str | None
) -> None:
    git(script.parent, "remote", "add", "backup", "https://example.org/backup")
    git(script.parent, "remote", "add", "origin", address)
    assert origin_tags(script).get("mlflow.source.git.repoURL") == shown


def test_nothing_is_said_without_a_repository_or_a_commit(tmp_path: Path) -> None:
    script = tmp_path / "sweep.py"
    script.write_text("1\n")
    name = {"mlflow.source.name": "sweep.py"}
    assert origin_tags(script) == name
    git(tmp_path, "init", "--quiet")
    assert origin_tags(script) == name


def test_nothing_is_said_without_git(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(script.parent))
    assert origin_tags(script) == {"mlflow.source.name": "a sweep.py"}


def test_a_detached_head_has_no_branch(script: Path) -> None:
    git(script.parent, "checkout", "--quiet", "--detach")
    tags = origin_tags(script)
    assert "mlflow.source.git.branch" not in tags
    assert len(tags[COMMIT]) == 40


def test_a_hook_of_another_repository_does_not_answer(
    script: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = origin_tags(script)
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert origin_tags(script) == expected


def test_what_was_typed_is_of_the_repository_of_the_folder(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(script.parent)
    tags = origin_tags(None)
    assert tags[COMMIT] == git(script.parent, "rev-parse", "HEAD")
    assert tags[DIRTY] == "false"


def test_asking_leaves_the_repository_as_it_was(script: Path) -> None:
    index = script.parents[1] / ".git" / "index"
    (script.parents[1] / "other.py").touch()
    before = index.read_bytes()
    origin_tags(script)
    assert index.read_bytes() == before


def test_trials_have_the_code_of_their_sweep(script: Path) -> None:
    tags = {**origin_tags(script), "harness.arms": "[]", "paper": "figure 3"}
    assert set(code_tags(tags)) == {"mlflow.source.name", COMMIT, DIRTY}
    assert without_origin(tags) == {"harness.arms": "[]", "paper": "figure 3"}
