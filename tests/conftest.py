"""What all tests share: one BLAS thread, a root of their own for `mlruns/`, and GPU tests that skip
with a reason.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before a test module imports NumPy, and inherited by every process that a test starts.
for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR"):
    os.environ[f"{name}_NUM_THREADS"] = "1"
os.environ["VECLIB_MAXIMUM_THREADS"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


# As a shell starts what runs in the background
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Most sweeps of the tests are small, and drawing takes seconds; who tests pictures asks for them.
os.environ.setdefault("HARNESS_REPORT", "0")


# The rooms whose tests are about how trials are kept, shown and sent: which backend trains them is
# nothing to them, and each of the many processes that they start would import Numba for a second.
_OF_BOOKS = [
    "cli",
    "maintenance",
    "storage",
    "studies",
    "tracking",
    "trials",
    "watching",
    "workers",
]


@pytest.fixture(scope="module", autouse=True)
def _kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests of the books train with passes of NumPy, all others with loops."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name in _OF_BOOKS:
            patch.setenv("HARNESS_KERNELS", "numpy")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_power_cuts() -> Iterator[None]:
    """This process does not wait for its disk: what is written outlives it, if not the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that are loaded from here on; loops are compiled whatever the environment says."""
    from harness.expressions import compiled

    monkeypatch.setenv("HARNESS_KERNELS", "numba")
    sources: list[str] = []
    load = compiled.load

    def noted(source: str, function: str) -> Any:
        sources.append(source)
        return load(source, function)

    monkeypatch.setattr(compiled, "load", noted)
    monkeypatch.setattr(compiled, "loaded", {})
    monkeypatch.setattr(compiled, "ready", {})
    return sources


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of the plugins that a test loads are not searched after it."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(autouse=True)
def own_store() -> Iterator[None]:
    """Where a test has told MLflow to write, later tests do not."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if os.environ.get("MLFLOW_TRACKING_URI") != before:
        import mlflow

        # It sets the variable, too.
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module", autouse=True)
def _what_is_there_stays() -> None:
    """Modules and tests are no garbage: what looks for some, as imageio after each film, passes
    over them.
    """
    gc.collect(1)
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _entries_of_the_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Plugins of other files of tests are unknown, or each sweep would read and keep them all."""
    from harness.registry import known

    known.load_all()
    own = request.module.__name__
    entries = {
        key: entry
        for key, entry in known.registered.items()
        if entry.module == own or not entry.module.startswith("test_")
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "registered", entries)
        yield


@pytest.fixture(autouse=True)
def own_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers or loads is gone after it."""
    from harness.registry import known

    monkeypatch.setattr(known, "registered", dict(known.registered))
    monkeypatch.setattr(known, "loaded_plugins", dict(known.loaded_plugins))


@pytest.fixture(scope="session", autouse=True)
def _inline_writers() -> Iterator[Callable[..., Any]]:
    """Sweeps of this process are written to MLflow by it, which has imported that once for all."""
    from inline_writer import InlineWriter

    from harness.studies import books, writing

    original = books.start_writer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "warm_up", lambda: None)
        patch.setattr(books, "start_writer", lambda *given: InlineWriter(*given, writing.say))
        yield original


@pytest.fixture(scope="session", autouse=True)
def _copied_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Stores that this process makes are copies of one; other processes make theirs themselves."""
    from stores import copying

    from harness.tracking import new_store

    folder = tmp_path_factory.mktemp("empty_store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_store, "create", copying(new_store.create, folder))
        yield


@pytest.fixture
def own_writer(_inline_writers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps of this test are written to MLflow by a process of their own, as those of users."""
    from harness.studies import books, writing
    from harness.tracking.writer_process import warm_up

    monkeypatch.setattr(books, "start_writer", _inline_writers)
    monkeypatch.setattr(writing, "warm_up", warm_up)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that holds `mlruns/`; nothing of the caller's MLflow settings gets in."""
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with an empty store, to be copied for each process that a test forks."""
    from forks import empty_store

    home = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        empty_store(home)
        yield home


@pytest.fixture
def fresh(template: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes roots, each with an empty store; the one before goes."""
    from forks import copy_of

    return lambda: copy_of(template, tmp_path / "root")


def no_gpu() -> str:
    """Why the tests marked `gpu` cannot run here; empty where they can."""
    try:
        import cupy

        cupy.zeros(1).sum().item()
    except Exception as error:
        # No CuPy, driver, device or CUDA library: each raises a type of its own
        return f"no GPU that CuPy can use: {type(error).__name__}: {error}"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Pages of the docs come first: some take a minute, and no worker shall begin one at the end.
    items.sort(key=lambda item: item.path.name != "test_docs.py")
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and (reason := no_gpu()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))
