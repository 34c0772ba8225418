"""The public face: what may be imported, that it is documented, and that nothing else is used."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ROOMS = ("harness", "harness.data", "harness.testing")


def listed(room: str) -> list[str]:
    """The names that the page lists for a room."""
    section = PAGE.split(f"## `{room}`\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)


@pytest.mark.parametrize("room", ROOMS)
def test_each_public_name_is_there_and_has_a_line(room: str) -> None:
    module = importlib.import_module(room)
    assert sorted(listed(room)) == sorted(module.__all__)
    for name in module.__all__:
        public = getattr(module, name)
        # An annotation such as Scalar has none of its own.
        if callable(public) and not hasattr(public, "__metadata__"):
            assert public.__doc__, f"{room}.{name} has no docstring"
    assert set(module.__all__) <= set(dir(module))


def public_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """The public functions, and the public methods of the public classes, by their names."""
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{room}.{name}", value
            elif inspect.isclass(value):
                for own, method in inspect.getmembers(value, inspect.isroutine):
                    of_harness = (getattr(method, "__module__", "") or "").startswith("harness")
                    if of_harness and not own.startswith("_"):
                        yield f"{room}.{name}.{own}", method


@pytest.mark.parametrize(
    ("name", "function"), [pytest.param(*each, id=each[0]) for each in public_functions()]
)
def test_arguments_are_listed_one_by_one(name: str, function: Callable[..., object]) -> None:
    page = inspect.getdoc(function) or ""
    arguments = [each for each in inspect.signature(function).parameters if each != "self"]
    if arguments:
        assert "Parameters\n----------\n" in page, f"{name} lists no arguments"
        section = page.split("Parameters\n----------\n")[1].split("\n\n")[0]
        heads = [line for line in section.splitlines() if not line.startswith(" ")]
        listed = re.findall(r"\w+", " ".join(head.split(" : ")[0] for head in heads))
        assert [each for each in arguments if each not in listed] == []


def test_a_submodule_hides_no_function() -> None:
    code = (
        "import harness, harness.studies.sweep, harness.studies.compare, harness.tracking.ui\n"
        "print(*(callable(getattr(harness, name)) for name in ('sweep', 'compare', 'results')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 3


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'swep'"):
        _ = harness.swep


def test_windows_is_refused_in_a_sentence() -> None:
    code = "import sys; sys.platform = 'win32'; import harness"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: harness runs on Linux and macOS, but this is Windows; use it in WSL, the "
        "Windows Subsystem for Linux"
    )


# Tests name what is public, and touch nothing that is private ---------------------------------------


def parsed_tests() -> dict[str, ast.Module]:
    """The tests by their paths; this file, which names everything, left out."""
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in files
    }


def public_names() -> Iterator[str]:
    """What users may import, and the public methods, properties and fields of its classes."""
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            yield name
            value = getattr(module, name)
            # What an exception or a named tuple has from Python is tested there.
            own = [
                vars(cls)
                for cls in inspect.getmro(value if inspect.isclass(value) else type(None))
                if cls.__module__.split(".")[0] == "harness"
            ]
            fields = getattr(value, "__dataclass_fields__", {})
            yield from (each for each in {*fields, *chain(*own)} if not each.startswith("_"))


def test_every_public_name_is_named_in_a_test() -> None:
    named = set()
    for tree in parsed_tests().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                named.add(node.id)
            elif isinstance(node, ast.Attribute):
                named.add(node.attr)
            elif isinstance(node, ast.alias):
                named.add(node.name)
            elif isinstance(node, ast.keyword):
                named.add(node.arg)
            elif isinstance(node, ast.Dict):
                # Arguments that a test passes on as a dict
                named |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
    untested = sorted({name for name in public_names() if name not in named})
    assert untested == [], f"no test uses what is public: {untested}"


# What is left of private names, and why. The stand-in for CuPy has private names of its own.
PRIVATE = {
    # MLflow offers no public way to its connections, which a moved or damaged store needs closed.
    ("tests/stores.py", "_tracking_client"),
    # To find out its own schema takes MLflow longer than all else that it does to open a store.
    ("tests/stores.py", "_get_latest_schema_revision"),
}
# Python says that these, of os and of named tuples, are public; notebooks ask objects for the others.
DOCUMENTED = {"_exit", "_replace", "_repr_html_", "_repr_png_"}


def test_tests_touch_no_private_names() -> None:
    touched = set()
    for file, tree in parsed_tests().items():
        if file.startswith("tests/stand_in/"):
            continue
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Attribute):
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom):
                names = [*(node.module or "").split("."), *(each.name for each in node.names)]
            elif isinstance(node, ast.Call):
                # monkeypatch.setattr(module, "_name", ...) and getattr(thing, "_name")
                called = ast.unparse(node.func).split(".")[-1]
                if called in ("setattr", "delattr", "getattr", "setitem"):
                    names = [
                        each.value.split(".")[-1]
                        for each in node.args
                        if isinstance(each, ast.Constant) and isinstance(each.value, str)
                    ]
            touched |= {
                (file, name)
                for name in names
                if name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED
            }
    assert touched == PRIVATE


# What readers see uses nothing else -----------------------------------------------------------------


def examples() -> Iterator[tuple[str, str]]:
    """Where, and a piece of Python that readers see."""
    for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        blocks = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for number, block in enumerate(blocks, 1):
            yield f"{path.name}, block {number}", block
    for folder in ("experiments", "harness/cli/templates"):
        for path in (ROOT / folder).glob("*.py"):
            if path.name != "__init__.py":
                yield f"{folder}/{path.name}", path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("where", "source"), [pytest.param(*e, id=e[0]) for e in examples()])
def test_readers_are_shown_public_names_alone(where: str, source: str) -> None:
    private = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            if node.module not in ROOMS:
                private.append(node.module)
                continue
            public = importlib.import_module(node.module).__all__
            private += [a.name for a in node.names if a.name not in (*public, "data", "testing")]
        elif isinstance(node, ast.Import):
            private += [
                a.name for a in node.names if a.name.startswith("harness.") and a.name not in ROOMS
            ]
    assert private == [], f"{where} imports what is private: {private}"
