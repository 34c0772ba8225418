"""The documentation runs: every example of README.md and of docs/, page by page, in an empty
folder.

    python tests/whole/test_docs.py docs/plugins.md [--slow]      # one page, in the current folder

A fenced block is run by the words behind its fence, in the order of the page:

python    with a first line `# name.py`: written to that file, which is imported at the end of the page
          any other: executed; a page is one namespace
console   a line that begins with `$ ` goes through the shell. What follows it must appear in its output, in that order:
          `...` stands for anything, a number with a fraction for one near it. The command must
          succeed, unless one of these lines begins with `Error:`.
slow      as a second word: the block takes long, and only the tests marked slow run it

Blocks with other words, or none, are only shown. A command or a block that warns has failed.
"""

import faulthandler
import importlib
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# How a command begins that is shown but not run, and why
SKIPPED = {
    "harness ui": "it serves until somebody ends it; tests/tracking/test_tracking.py starts it",
    "harness watch": "it serves until somebody ends it; tests/watching starts its application",
    "pip install": "it needs a package index; tox -e wheel installs",
    "tox": "it runs these tests",
    "python3 -m tox": "it runs these tests",
}
NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")
# Of a shown number: other processors round otherwise, which a few examples in a hundred show
NEAR = 0.05


class Block(NamedTuple):
    """One fenced block: the line of its first text in the page, the words behind the fence, and its
    text.
    """

    line: int
    words: list[str]
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    begun = 0
    words = [""]
    inside = False
    lines = page.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if inside:
                yield Block(begun, words, "\n".join(lines[begun - 1 : number - 1]))
            begun = number + 1
            words = line[3:].split() or [""]
            inside = not inside
    assert not inside, f"{page.name}: the block that begins in line {begun} is not closed"


# Running a page: in a process of its own, which a test starts -------------------------------------


def run_page(page: Path, slow: bool) -> None:
    """Runs the examples of a page in the current folder; AssertionError, or an example's own error,
    if one fails.
    """
    sys.path.insert(0, os.getcwd())
    namespace: dict[str, Any] = {"__name__": "__main__"}
    files = []
    for block in blocks(page):
        if "slow" in block.words and not slow:
            continue
        name = re.match(r"# ([\w-]+\.py)\n", block.text)
        if block.words[0] == "python" and name:
            Path(name[1]).write_text(block.text + "\n", encoding="utf-8")
            files.append(name[1])
        elif block.words[0] == "python":
            _execute(page, block, namespace)
        elif block.words[0] == "console":
            for line, command, expected in commands(block):
                _command(f"{page.name}, line {line}", command, expected)
    for file in files:
        importlib.import_module(Path(file).stem)


def _execute(page: Path, block: Block, namespace: dict[str, Any]) -> None:
    print(f"--- {page.name}, line {block.line}", flush=True)
    # with the page as its file and its own line numbers, a traceback shows the line of the page
    exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)


def commands(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    """The commands of a console block, each with its line and the lines that are expected of it."""
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.text.split("\n"), block.line):
        if found and found[-1][1].endswith("\\"):  # a long command goes on in the next line
            found[-1] = (found[-1][0], found[-1][1][:-1] + line.lstrip(), [])
        elif line.startswith("$ "):
            found.append((number, line[2:], []))
        elif line.strip():
            assert found, (
                f"line {number}: a console block must begin with a line '$ command', got {line!r}"
            )
            found[-1][2].append(line)
    yield from found


def _command(where: str, command: str, expected: list[str]) -> None:
    print(f"--- {where}: $ {command}", flush=True)
    if any(command.startswith(start) for start in SKIPPED):
        return
    done = subprocess.run(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout, flush=True)
    codes = (1, 2) if any(line.startswith("Error:") for line in expected) else (0,)
    assert done.returncode in codes, (
        f"{where}: exit code {done.returncode}, expected {' or '.join(map(str, codes))}"
    )
    assert "Warning" not in done.stdout, f"{where}: it warns"
    missing = first_missing(expected, done.stdout)
    assert missing is None, f"{where}: its output must have {missing!r}, after the lines before it"


def first_missing(expected: list[str], output: str) -> str | None:
    """The first expected line that is not in the output behind those before it; None if all are
    there.
    """
    output = " ".join(output.split())
    at = 0
    for line in expected:
        numbers = [float(number) for number in NUMBER.findall(line)]
        known = [
            re.escape(part.strip())
            for part in " ".join(NUMBER.sub("\0", line).split()).split("...")
        ]
        pattern = re.compile(".*?".join(known).replace(re.escape("\0"), f"({NUMBER.pattern})"))
        for match in pattern.finditer(output, at):
            if all(
                math.isclose(float(a), b, abs_tol=NEAR)
                for a, b in zip(match.groups(), numbers, strict=True)
            ):
                at = match.end()
                break
        else:
            return line
    return None


# The tests ----------------------------------------------------------------------------------------


def run(
    page: Path, folder: Path, *options: str, most_s: float = 300
) -> subprocess.CompletedProcess[str]:
    """Runs a page in a folder, with this environment's commands first on the path, for at most
    `most_s`.
    """
    # A page may take longer than a test, and has this limit of its own
    faulthandler.cancel_dump_traceback_later()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        [sys.executable, str(HERE), str(page), *options],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=most_s,
    )  # fmt: skip


def succeed(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    assert "Warning" not in done.stderr, done.stderr


# Pages that take more than a quarter of a minute, which `tox -e slow` runs with their slow examples.
LONG = (
    *("README", "clusters", "comparisons", "data", "films", "first_activation", "models"),
    *("plugins", "reproducibility", "runs", "servers", "sweeps", "watching"),
)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in LONG], ids=lambda page: page.stem
)
def test_the_examples_run(page: Path, root: Path) -> None:
    succeed(run(page, root))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.stem in LONG or any("slow" in b.words for b in blocks(page))],
    ids=lambda page: page.stem,
)
def test_the_slow_examples_run(page: Path, root: Path) -> None:
    succeed(run(page, root, "--slow", most_s=1100))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(
        r"\]\((?!https?://)([^)#]+)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    )
    assert not [target for target in targets if not (page.parent / target).exists()]


# Each with one mistake, and a word of what must be said of it
BROKEN = {
    "an exception": (
        "```python\na = 1\n```\n\n```python\nb = a / 0\n```",
        "page.md",
        "line 6",
        "ZeroDivisionError",
    ),
    "a file that does not import": (
        "```python\n# f.py\nimport nothing_of_that_name\n```",
        "nothing_of_that_name",
    ),
    "an exit code": ("```console\n$ python -c 'raise SystemExit(3)'\n```", "line 2", "exit code 3"),
    "no error": ("```console\n$ echo Error: none\nError: none\n```", "line 2", "exit code 0"),
    "other output": ("```console\n$ echo one two\none\nthree\n```", "line 2", "'three'"),
    "another order": ("```console\n$ echo one two\ntwo\none\n```", "'one'"),
    "another number": ("```console\n$ echo accuracy 0.31\naccuracy 0.9124\n```", "accuracy 0.9124"),
    "a warning": (
        "```console\n$ python -W always -c 'import warnings; warnings.warn(str(1))'\n```",
        "it warns",
    ),
    "a block left open": ("```python\na = 1", "is not closed"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_wrong_example_is_found(mistake: str, root: Path) -> None:
    text, *said = BROKEN[mistake]
    (root / "page.md").write_text(text + "\n")
    done = run(root / "page.md", root)
    assert done.returncode != 0
    assert [word for word in said if word not in done.stderr] == []


def test_a_right_example_is_accepted(root: Path) -> None:
    text = """
```python
# double.py
def double(x):
    return 2 * x
```
```python
from double import double
```
```console
$ python -c "from double import double; print('it is', double(0.45), 'of many')"
it is 0.91 ... many
$ harness ui --port 1
```
```python slow
raise SystemExit("slow")
```
```text
nothing
```
```python
assert double(2) == 4
```
"""
    (root / "page.md").write_text(text)
    succeed(run(root / "page.md", root))
    assert run(root / "page.md", root, "--slow").returncode == 1


def test_what_is_expected_may_be_near() -> None:
    said = "a   1  0.9012\nb   2  0.8000  3.1 s\n"
    assert first_missing(["a 1 0.9100", "b 2 0.8100 ... s"], said) is None
    assert first_missing(["b 2 0.9100"], said) == "b 2 0.9100"
    assert first_missing(["0.8000"], said) is None  # a later number fits


if __name__ == "__main__":
    run_page(Path(sys.argv[1]).resolve(), "--slow" in sys.argv[2:])
