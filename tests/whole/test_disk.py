"""Disks that do not take what is written: one sentence with the file and what to do, exit code 2,
and all goes on.
"""

import ast
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.storage import files

HERE = Path(__file__).parents[1]

SCRIPT = """
from harness import Config, mlp
from harness import sweep

@sweep(name="disk", trials=3, sampler="RandomSampler", checkpoint=0)
def space(trial):
    rate = trial.suggest_float("lr", 0.05, 1.0, log=True)
    return Config(data="mnist14(rows=1000)", layers=mlp([196, 8, 10]), update=f"sgd({rate})", epochs=2, film=None)

if __name__ == "__main__":
    space.run()
"""
SWEEP = ["sweep", "disk.py"]
RUN = ["run", "--data", "mnist14(rows=1000)", "--sizes", "196-8-10", "--epochs", "1"]


@pytest.fixture(scope="module")
def faulty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes writing to some files fail, for LD_PRELOAD."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a C compiler on Linux is needed to make a disk that fails")
    library = tmp_path_factory.mktemp("disk") / "faulty_disk.so"
    made = [compiler, "-shared", "-fPIC", "-o", str(library), str(HERE / "faulty_disk.c"), "-ldl"]
    subprocess.run(made, check=True, capture_output=True, timeout=120)
    return library


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of two trials, to be copied."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "mlruns").mkdir()
    (folder / "disk.py").write_text(SCRIPT)
    done = harness(folder, *SWEEP, "--trials", "2")
    assert done.returncode == 0, done.stderr
    return folder


def harness(folder: Path, *words: str, **faults: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HARNESS_ROOT": str(folder),
        "PYTHONPATH": str(HERE.parent),
        **faults,
    }
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )


def one_sentence(done: subprocess.CompletedProcess[str], number: int, path: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert os.strerror(number) in line
    assert path in line
    assert "search space" not in line
    assert line.count(";") >= 1


FAULTS = [
    pytest.param(errno.ENOSPC, "journal.log", marks=pytest.mark.slow),
    pytest.param(errno.EIO, "journal.log", marks=pytest.mark.slow),
    pytest.param(errno.EDQUOT, "/spool", marks=pytest.mark.slow),
    pytest.param(errno.EIO, "record.json", marks=pytest.mark.slow),
    pytest.param(errno.EROFS, "/lock", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("number", "path"), FAULTS)
def test_a_disk_that_fails_in_a_sweep_is_one_sentence_and_it_goes_on(
    number: int, path: str, swept: Path, faulty_disk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "root"
    shutil.copytree(swept, folder)
    faults = {"LD_PRELOAD": str(faulty_disk), "FAULT_ERRNO": str(number), "FAULT_PATH": path}
    one_sentence(harness(folder, *SWEEP, "--trials", "3", **faults), number, path)
    done = harness(folder, *SWEEP, "--trials", "3")
    assert done.returncode == 0, done.stderr
    assert "all is well" in harness(folder, "doctor").stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("words", [SWEEP, RUN], ids=lambda words: words[0])
def test_a_disk_that_fails_while_the_store_is_made_is_one_sentence(
    words: list[str], number: int, faulty_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "disk.py").write_text(SCRIPT)
    faults = {"LD_PRELOAD": str(faulty_disk), "FAULT_ERRNO": str(number), "FAULT_PATH": "mlflow.db"}
    done = harness(tmp_path, *words, **faults)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if "mlflow.db" in line]) == 1
    assert len(done.stderr.splitlines()) < 5
    assert harness(tmp_path, *words).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_under_doctor_is_one_sentence(
    number: int, swept: Path, faulty_disk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "root"
    shutil.copytree(swept, folder)
    for mark in (folder / "mlruns/sweeps").glob("*/spool/*/logged"):
        mark.unlink()  # so that there is something to do
    faults = {"LD_PRELOAD": str(faulty_disk), "FAULT_ERRNO": str(number), "FAULT_PATH": "/spool/"}
    one_sentence(harness(folder, "doctor", **faults), number, "/spool/")
    assert harness(folder, "doctor").returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB that is nearly full: no store fits."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("words", [RUN, SWEEP], ids=["run", "sweep"])
def test_a_disk_that_is_really_full_is_one_sentence(words: list[str], small_disk: Path) -> None:
    (small_disk / "mlruns").mkdir()
    (small_disk / "disk.py").write_text(SCRIPT)
    done = harness(small_disk, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "full" in done.stderr or os.strerror(errno.ENOSPC) in done.stderr
    assert len(done.stderr.splitlines()) < 5
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    done = harness(small_disk, *words)
    assert done.returncode == 0, done.stderr


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(
        files.DiskError, match="File name too long; choose a shorter name"
    ) as caught:
        files.write_whole({tmp_path / ("x" * 300): b"x"})
    assert caught.value.errno == errno.ENAMETOOLONG
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(files.DiskError):
        files.write_whole({tmp_path / "a": b"new", tmp_path / ("x" * 300): b"x"})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


# One way to the disk ------------------------------------------------------------------------------

WRITERS = {
    *(
        "write_text",
        "write_bytes",
        "mkdir",
        "makedirs",
        "touch",
        "unlink",
        "rmdir",
        "rmtree",
        "copytree",
        "copyfile",
    ),
    *("truncate", "fsync", "removedirs", "symlink_to", "symlink", "hardlink_to"),
}


def writes(node: ast.AST) -> Iterator[int]:
    """The lines of calls that change what is on disk."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        called = isinstance(call.func, ast.Attribute)  # a bare name is a function of ours
        owner = (
            call.func.value.id if isinstance(getattr(call.func, "value", None), ast.Name) else ""
        )  # type: ignore[union-attr]
        modes = [
            a.value
            for a in [*call.args, *(k.value for k in call.keywords)]
            if isinstance(a, ast.Constant)
        ]
        opens = name == "open" and any(
            isinstance(m, str) and set(m) & set("wax+") and len(m) < 4 for m in modes
        )
        if (
            opens
            or (name in WRITERS and called and owner not in ("disk", "files"))
            or (owner == "os" and name in ("replace", "rename"))
        ):
            yield call.lineno


ELSEWHERE = {
    "inference.py",  # it runs where there is no harness, and writes into a temporary folder
    "compiled.py",  # what it writes is a cache of the machine, which anybody may delete
    "compiling.py",  # it leaves a note there while it compiles
    "events.py",  # it opens stdout, which is no file
    "template.py",  # it writes into a pipe
}


def test_only_storage_writes_to_disk() -> None:
    package = HERE.parent / "harness"
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.parent.name != "storage" and path.name not in ELSEWHERE:
            found += [
                f"{path.relative_to(package)}:{line}"
                for line in writes(ast.parse(path.read_text()))
            ]
    assert not found, "write through harness/storage/files.py: " + ", ".join(found)


def test_writing_is_seen() -> None:
    lines = [
        "open(p, 'w')",
        "p.open('xb')",
        "p.write_text('a')",
        "os.replace(a, b)",
        "shutil.rmtree(p)",
        "p.mkdir()",
    ]
    for line in lines:
        assert list(writes(ast.parse(line))) == [1]
    for line in [
        "open(p)",
        "p.open('rb')",
        "config.replace(a=1)",
        "disk.rename(a, b)",
        "text.replace('a', 'b')",
    ]:
        assert list(writes(ast.parse(line))) == []
