"""The shape of the house: which room may import which, who may import what from outside, and the
budgets.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "harness"

# A room is a folder or a module of harness/. It may import from its own rank and from those above
# it in this list.
RANKS: list[list[str]] = [
    ["escapes", "garbage", "threads", "version"],
    ["errors"],
    ["checks", "boundary", "storage"],
    ["ops", "registry"],
    ["expressions", "engine", "config"],
    ["data"],
    ["builtin"],
    ["training"],
    ["pictures"],
    ["recorders", "model"],
    ["tracking"],
    ["trials"],
    ["workers"],
    ["studies"],
    ["maintenance", "testing", "watching"],
    ["films"],
    # The doors: a user comes in by them, and no room imports them.
    ["cli", "__init__", "__main__"],
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}

# Narrower than the rank.
ONLY = {
    # Whoever wants to know what is on disk must not have to load anything else.
    "storage": {"storage", "errors", "escapes"},
    # The tracker knows records, and nothing of how they came about.
    "tracking": {"tracking", "storage", "errors", "escapes", "threads"},
}

# Each of these has one importer: a room, or a module
OWNERS = {
    "cupy": "ops",
    "mlflow": "tracking",
    "optuna": "studies",
    "dask": "workers",
    "distributed": "workers",
}

# What is imported under another name than it is installed, or comes with one that is
INSTALLED_AS = {"PIL": "pillow", "cupy": "cupy-cuda12x", "dask": "distributed"} | dict.fromkeys(
    ("alembic", "sqlalchemy", "yaml"), "mlflow"
)
# Never installed by us, and never needed: looked for where a user asks for what needs it
LOOKED_FOR = {"torch"}

HEAVY = ("mlflow", "optuna", "pandas", "distributed", "imageio", "matplotlib", "cupy")

TOP = {"harness", "experiments", "tests", "mlruns", "docs", ".ci", ".github"} | {
    *("tox.ini", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore"),
    *("CONTRIBUTING.md", "CITATION.cff", ".pre-commit-config.yaml"),
}

# Lines of code, one argument or field on each: what is bound, planned and laid out has named types.
ENGINE_BUDGET = 408
EXPERIMENT_BUDGET = 79  # lines of the file


class Import(NamedTuple):
    line: int
    name: str  # "harness.engine", "mlflow.entities"


# Reading the source -------------------------------------------------------------------------------


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def experiments() -> list[Path]:
    return sorted((ROOT / "experiments").glob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(path: Path) -> str:
    """The room that a file of harness/ belongs to: its folder there, or its own name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def show(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def imports(node: ast.AST, folder: tuple[str, ...]) -> Iterator[Import]:
    """Every import below a node, wherever it stands, as an absolute name; `folder` is the file's
    package.
    """
    for n in ast.walk(node):
        if isinstance(n, ast.Import):
            yield from (Import(n.lineno, alias.name) for alias in n.names)
        elif isinstance(n, ast.ImportFrom):
            above = folder[: len(folder) - n.level + 1] if n.level else ()
            base = ".".join([*above, *([n.module] if n.module else [])])
            # `from harness import engine` names a room, `from harness.engine import build`
            # something in it
            yield from (
                Import(n.lineno, f"{base}.{alias.name}" if base == "harness" else base)
                for alias in n.names
            )
        elif isinstance(n, ast.Call) and n.args and isinstance(n.args[0], ast.Constant):
            function = (
                n.func.attr if isinstance(n.func, ast.Attribute) else getattr(n.func, "id", "")
            )
            if function in ("import_module", "__import__") and isinstance(n.args[0].value, str):
                yield Import(n.lineno, n.args[0].value)


def imports_of(path: Path) -> list[Import]:
    return list(imports(tree(path), path.relative_to(ROOT).parent.parts))


def target(name: str) -> str | None:
    """The room that an imported name lies in; None outside harness; `__init__` for what `harness`
    itself offers.
    """
    first, *rest = name.split(".")
    if first != "harness":
        return None
    known = rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file())
    return rest[0] if known or (rest and rest[0] in RANK) else "__init__"


def code_lines(source: str) -> int:
    """Lines that hold code: not blank, not only a comment, not a docstring."""
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    rows: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            rows.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
        ):
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                rows.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(rows)


# Directions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    assert here in RANK, (
        f"harness/{here} has no rank: give it one in RANKS of {Path(__file__).name}"
    )
    wrong = []
    for line, name in imports_of(path):
        there = target(name)
        if there is None:
            continue
        assert there in RANK, (
            f"{show(path, line)} imports {name}, which has no rank in RANKS of "
            f"{Path(__file__).name}"
        )
        if RANK[there] > RANK[here]:
            wrong.append(
                f"{show(path, line)}: {here} (rank {RANK[here]}) imports {name} (rank "
                f"{RANK[there]})"
            )
        elif here in ONLY and there not in ONLY[here]:
            wrong.append(
                f"{show(path, line)}: {here} imports {name}, but may import only "
                f"{sorted(ONLY[here])}"
            )
    assert not wrong, "imports must point down:\n" + "\n".join(wrong)


@pytest.mark.parametrize("library", OWNERS)
def test_one_importer(library: str) -> None:
    owner = OWNERS[library]
    wrong = [
        f"{show(path, line)}: imports {name}"
        for path in modules()
        if room(path) != owner
        for line, name in imports_of(path)
        if name.split(".")[0] == library
    ]
    assert not wrong, f"only harness/{owner} may import {library}:\n" + "\n".join(wrong)


def test_imports_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [
        *project["dependencies"],
        *(need for extra in project["optional-dependencies"].values() for need in extra),
    ]
    declared = {match[0] for need in needs if (match := re.match(r"[\w-]+", need))}
    wrong = []
    for path in modules():
        for line, name in imports_of(path):
            top = name.split(".")[0]
            known = top == "harness" or top in LOOKED_FOR or top in sys.stdlib_module_names
            if not known and INSTALLED_AS.get(top, top.replace("_", "-")) not in declared:
                wrong.append(f"{show(path, line)}: imports {top}")
    assert not wrong, "not among the dependencies in pyproject.toml:\n" + "\n".join(wrong)


def test_the_oldest_versions_are_those_that_are_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = {}
    for need in project["dependencies"]:
        match = re.match(r"([\w-]+)>=([\d.]+)", need)
        assert match, f"{need!r} has no oldest version"
        promised[match[1]] = match[2]
    tested = {}
    for line in (ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"([\w-]+)[~=]=(\d+)(\.\d+)?(\.0|\.\*)", line):
            tested[match[1]] = match[2] + (match[3] or "")
    assert tested == promised


def test_importing_harness_is_light() -> None:
    script = f"import sys, harness; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], (
        "`import harness` must not load these; import them inside the functions that use them"
    )


# Safety -------------------------------------------------------------------------------------------

PICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def unsafe(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Where code could come in as data: picklers, eval and exec, and NumPy files that may hold
    objects.
    """
    for line, name in imports(node, ("harness",)):
        if name.split(".")[0] in PICKLERS:
            yield line, f"imports {name}"
    for n in ast.walk(node):
        if isinstance(n, ast.Name) and n.id in ("eval", "exec"):
            yield n.lineno, n.id
        elif isinstance(n, ast.Attribute) and (
            n.attr in ("eval", "exec") or n.attr.endswith("pickle")
        ):
            yield n.lineno, f".{n.attr}"
        elif (
            isinstance(n, ast.keyword)
            and n.arg == "allow_pickle"
            and ast.unparse(n.value) != "False"
        ):
            yield n.value.lineno, "allow_pickle"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_comes_in_as_data(path: Path) -> None:
    wrong = [f"{show(path, line)}: {what}" for line, what in unsafe(tree(path))]
    assert not wrong, "data must never be run:\n" + "\n".join(wrong)


# Budgets ------------------------------------------------------------------------------------------


def test_engine_budget() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (PACKAGE / "engine").glob("*.py")]
    lines = sum(map(code_lines, sources))
    assert lines <= ENGINE_BUDGET, (
        f"engine/ has {lines} lines of code, {ENGINE_BUDGET} at most: what can a plugin do?"
    )


# Longer than this, and a file holds more than one thing; with the reason for each that is.
FILE_BUDGET = 400
LONGER: dict[str, str] = {
    "model/estimator.py": "one class that a user reads with help(): docstrings",
}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_file_budget(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if str(path.relative_to(PACKAGE)) not in LONGER:
        assert lines <= FILE_BUDGET, (
            f"{path.relative_to(ROOT)} has {lines} lines, {FILE_BUDGET} at most: split it"
        )


def test_file_budget_of_pages() -> None:
    pages = [path for path in PACKAGE.rglob("*") if path.suffix in (".html", ".css", ".js")]
    assert len(pages) >= 5
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in pages}
    assert {name: count for name, count in lines.items() if count > FILE_BUDGET} == {}


def test_rooms_say_what_they_are_for() -> None:
    rooms = [path for path in modules() if path.name == "__init__.py"]
    assert [
        str(path.relative_to(ROOT)) for path in rooms if not ast.get_docstring(tree(path))
    ] == []


@pytest.mark.parametrize("path", experiments(), ids=lambda p: p.name)
def test_experiment_budget(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= EXPERIMENT_BUDGET, f"{path.name} has {lines} lines, {EXPERIMENT_BUDGET} at most"


def test_top_level() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if listed.returncode:
        pytest.skip(f"not a git checkout: {listed.stderr.strip()}")
    extra = {name.split("/")[0] for name in listed.stdout.split("\0") if name} - TOP
    assert not extra, (
        f"new at the top of the repository: {sorted(extra)}; put them into a folder that is there"
    )


# The readers above, on small examples: an import that they overlook would pass in silence ---------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import harness.sweep as s", ["harness.sweep"]),
        ("import os, mlflow.entities", ["os", "mlflow.entities"]),
        ("from harness import engine, ops", ["harness.engine", "harness.ops"]),
        ("from harness.studies.driver import Driver", ["harness.studies.driver"]),
        ("from . import tiles", ["harness.pictures"]),
        ("from .tiles import check", ["harness.pictures.tiles"]),
        ("from .. import train", ["harness.train"]),
        ("from ..train import segment", ["harness.train"]),
        ("def f():\n    from ..train import segment", ["harness.train"]),
        ("importlib.import_module('harness.sweep')", ["harness.sweep"]),
        ("importlib.import_module(name)", []),
    ],
)
def test_imports_are_found(line: str, expected: list[str]) -> None:
    assert [i.name for i in imports(ast.parse(line), ("harness", "pictures"))] == expected


def test_names_are_traced_to_rooms() -> None:
    assert target("harness.errors") == "errors"
    assert target("harness.studies.driver") == "studies"
    assert target("harness") == target("harness.results") == "__init__"
    assert target("numpy.random") is None


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import dump",
        "eval(text)",
        "exec(text)",
        "builtins.eval(text)",
        "frame.to_pickle(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
    ],
)
def test_unsafe_is_found(line: str) -> None:
    assert len(list(unsafe(ast.parse(line)))) == 1


def test_safe_is_let_through() -> None:
    source = "spec.loader.exec_module(m)\nnp.load(p, allow_pickle=False)\nast.literal_eval(t)\ns = 'eval(x)'  # exec"
    assert list(unsafe(ast.parse(source))) == []


def test_code_lines_counts_code() -> None:
    source = '''"""Docstring
of two lines."""

# a comment
x = 1  # code


def f():
    """Docstring."""
    text = """two
lines"""

    return (
        text
    )
'''
    assert code_lines(source) == 7  # x, def, two of text, three of return


def test_the_tests_mirror_the_rooms() -> None:
    """Each room has its tests in a folder of its name.

    What concerns all of them is in `whole`, and what is looked at in a browser in `browser`.
    """
    # What these files hold is tested with the rooms that use them.
    beside = {
        "__init__",
        "__main__",
        "escapes",
        "garbage",
        "threads",
        "version",
        "errors",
        "checks",
        "boundary",
    }
    rooms = {room for rank in RANKS for room in rank} - beside
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders == rooms | {"whole", "browser"}
