"""Code that is not ours: whatever it raises, returns or is called, nothing of it ends a process or
changes a result.
"""

import linecache
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import prepare

from harness import Config, Model, mlp, registry
from harness.boundary import foreign
from harness.errors import PluginError, UsageError, in_words, place_of
from harness.testing.conformance import check, registered_by
from harness.trials.fingerprint import plugin_hashes
from harness.trials.identity import identity
from harness.trials.job import Job, Trial
from harness.trials.work import work
from harness.workers.pool import engine


class Private(BaseException):
    """An exception of a plugin's own that is no Exception."""


class Unspeakable(Exception):
    """An exception whose text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


EXITS = [
    SystemExit(5),
    SystemExit(0),
    KeyboardInterrupt(),
    GeneratorExit(),
    Private("x"),
    BaseException(),
]
ERRORS = [
    ValueError("\udcff"),
    Unspeakable(),
    StopIteration(),
    MemoryError(),
    RecursionError(),
    UnicodeError("\ud800"),
]


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in a folder of its own; what it registers is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))


def named(error: BaseException) -> str:
    return f"{type(error).__name__}-{error.args!a}"


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def config(**changes: Any) -> Config:
    small: dict[str, Any] = {
        "layers": mlp([196, 4, 10]),
        "data": "mnist14(rows=200)",
        "epochs": 1,
        "film": None,
    }
    return Config(**{**small, **changes})


# What crosses the boundary ------------------------------------------------------------------------


def test_the_place_of_an_error_is_the_line_of_the_user(tmp_path: Path) -> None:
    """NumPy, which is called there, may lie in the packages of a virtual environment."""
    file = tmp_path / "calls_numpy.py"
    file.write_text("import numpy as np\n\nnp.linalg.inv(np.zeros((2, 2)))\n")
    with pytest.raises(np.linalg.LinAlgError) as raised:
        runpy.run_path(str(file))
    assert place_of(raised.value) == f"{file}, line 3"


@pytest.mark.parametrize("error", EXITS, ids=named)
def test_an_exit_becomes_an_error_that_keeps_its_traceback(error: BaseException) -> None:
    with (
        pytest.raises(
            PluginError, match=r"^the metric must not end the process, but it raised "
        ) as caught,
        foreign("the metric"),
    ):
        raising(error)()
    assert caught.value.__cause__ is error
    assert f"({__file__}, line " in str(caught.value)


@pytest.mark.parametrize("error", ERRORS, ids=named)
def test_an_exception_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, foreign("the metric"):
        raising(error)()
    assert caught.value is error


@pytest.mark.parametrize("swallow", [True, False])
def test_the_stop_of_the_user_passes_whatever_the_plugin_makes_of_it(swallow: bool) -> None:
    @foreign("the metric")
    @foreign("what it calls")
    def run() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if not swallow:
                raise ValueError("of the plugin") from None

    with pytest.raises(KeyboardInterrupt):
        run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_has_no_stop_of_the_user() -> None:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            with foreign("the metric"):
                raise KeyboardInterrupt
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert isinstance(caught[0], PluginError)


# Where plugins run --------------------------------------------------------------------------------


def of_a_kind(kind: str, error: BaseException) -> Config:
    """A config with a plugin that raises when it is used: its factory where the kind begins with
    made_.
    """
    fail = raising(error)
    late = {
        "made_layer": ("layer", lambda: fail()),
        "bind": ("layer", lambda: fail),
        "forward": ("layer", lambda: lambda ctx, I: (fail, I)),
        "backward": ("layer", lambda: lambda ctx, I: (lambda x, train: (x, fail), I)),
        "activation": ("activation", lambda: (lambda z: z, fail)),
        "loss": ("loss", lambda: fail),
        "init": ("update_rule", lambda: _Rule(fail)),
        "initializer": ("initializer", lambda: fail),
        "schedule": ("schedule", lambda: fail),
        "metric": ("metric", lambda: fail),
        "recorder": ("recorder", lambda: fail),
        "dataset": ("dataset", lambda: fail()),
    }
    what, factory = late[kind]
    getattr(registry, what)("raises")(factory)
    uses: dict[str, dict[str, Any]] = {
        "layer": {"layers": ["dense(4)", "raises", "dense(10)"]},
        "activation": {"layers": ["dense(4)", "raises", "dense(10)"]},
        "loss": {"loss": "raises"},
        "update_rule": {"update": "raises"},
        "initializer": {"layers": ["dense(4, init=raises)", "dense(10)"]},
        "schedule": {"update": "sgd(raises)"},
        "metric": {"metric": "raises"},
        "recorder": {"recorders": ["raises"]},
        "dataset": {"data": "raises"},
    }
    return config(**uses[what])


class _Rule:
    """An update rule without a function that works."""

    def __init__(self, fail: Callable[..., Any]) -> None:
        self.init = fail
        self.update = fail
        self.project = None
        self.evaluate = None


KINDS = [
    "made_layer",
    "bind",
    "forward",
    "backward",
    "activation",
    "loss",
    "init",
    "initializer",
    "schedule",
]
KINDS += ["metric", "recorder", "dataset"]


@pytest.mark.parametrize(
    "error", [SystemExit(5), KeyboardInterrupt(), ValueError("\udcff")], ids=named
)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_plugin_raises_fails_its_trial_alone(kind: str, error: BaseException) -> None:
    broken = of_a_kind(kind, error)
    identity(broken)  # which the driver asks for
    (outcome,) = work(Job([Trial(1, broken)]))
    assert outcome.ended
    assert outcome.failure == "FAILED"
    assert type(error).__name__ in outcome.reason
    assert f"in {raising.__name__}" not in outcome.reason
    assert "test_boundary.py" in outcome.error
    for text in (outcome.error, outcome.reason):
        text.encode()
    assert work(Job([Trial(2, config())]))[0].value is not None


@pytest.mark.parametrize("error", [*EXITS, *ERRORS], ids=named)
def test_the_words_of_a_failure_can_be_printed(error: BaseException) -> None:
    (outcome,) = work(Job([Trial(1, of_a_kind("metric", error))]))
    (outcome.error + outcome.reason).encode()
    assert outcome.failure == ("OUT_OF_MEMORY" if isinstance(error, MemoryError) else "FAILED")
    in_words(error).encode()


def test_a_model_is_stopped_by_no_plugin() -> None:
    net = Model(layers=["dense(2)"], batch=4, valid=0.5, epochs=1, film=None)
    x = np.arange(32.0).reshape(16, 2)
    y = [0, 1] * 8
    net.fit(x, y)
    registry.metric("quits")(lambda: raising(SystemExit(0)))
    with pytest.raises(PluginError, match=r"must not end the process, but it raised SystemExit: 0"):
        net.score(x, y, metric="quits")
    with pytest.raises(PluginError, match="must not end the process"):
        Model(layers=["dense(2)"], batch=4, valid=0.5, epochs=1, film=None, metric="quits").fit(
            x, y
        )


@pytest.mark.parametrize("kind", ["made_layer", "forward", "metric"])
def test_a_check_is_ended_by_no_plugin(kind: str) -> None:
    of_a_kind(kind, SystemExit(3))
    failed = [
        each for each in check("layer" if kind != "metric" else "metric", "raises") if not each.ok
    ]
    assert failed
    assert "SystemExit: 3" in failed[0].raised


# Recorders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (({}, {"/tmp/x.txt": b"x"}), "'/tmp/x.txt'"),
        (({}, {"../x.txt": b"x"}), "'../x.txt'"),
        (({}, {"a": b"", "a/b": b""}), "'a/b' where there is 'a' already"),
        (({}, {"a//b": b"", "a/b": b""}), "where there is 'a//b' already"),
        (({}, {"history.npz": b""}), "where there is 'history.npz' already"),
        (({}, {"config.json": b""}), "where there is 'config.json' already"),
        (({}, {"x" * 300: b""}), "too long for a file"),
        (({}, {"\udcff.txt": b""}), "which no file can have"),
        (({"valid/accuracy": 1.0}, {}), "there is a metric 'valid/accuracy' already"),
        (({"time/train_s": 1.0}, {}), "there is a metric 'time/train_s' already"),
        (({"\udcff": 1.0}, {}), "a metric is called"),
        (({"": 1.0}, {}), "a metric is called ''"),
        (({"x": "1"}, {}), "the metric 'x' is a str"),
        (({"x": 10**400}, {}), "the metric 'x' is a int"),
        ([1, 2], r"got \[1, 2\]"),
    ],
)
def test_what_a_recorder_may_not_return_fails_its_trial_and_names_it(
    returned: Any, said: str
) -> None:
    registry.recorder("odd")(lambda: lambda trained: returned)
    (outcome,) = work(Job([Trial(0, config(recorders=["odd"]))]))
    assert outcome.failure == "FAILED"
    assert not outcome.refused  # which would stop a sweep at its first trial
    assert re.search(rf"the recorder 'odd'.*{said}", outcome.reason)


def test_numbers_of_a_recorder_are_plain() -> None:
    found = {"a": np.longdouble(1.5), "b": np.float32(2.0), "c": True, "d": np.int64(3)}
    registry.recorder("numbers")(lambda: lambda trained: (found, {}))
    (outcome,) = work(Job([Trial(0, config(recorders=["numbers"]))]))
    assert [(type(outcome.metrics[key]), outcome.metrics[key]) for key in found] == [
        (float, value) for value in (1.5, 2.0, 1.0, 3.0)
    ]


# Loading ------------------------------------------------------------------------------------------


def harness(*words: str, source: str | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m harness` in a process of its own; with a source `python -`."""
    command = [sys.executable, *(("-",) if source else ("-m", "harness")), *words]
    return subprocess.run(
        command, input=source, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize("words", [("list", "--plugin"), ("check",), ("sweep",)], ids=" ".join)
def test_a_file_that_ends_the_process_is_one_sentence(words: tuple[str, ...]) -> None:
    Path("ends.py").write_text("import sys\nsys.exit(0)\n")
    done = harness(*words, "ends.py")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert re.match(
        r"Error: what ends.py runs when it is loaded must not end the process, but it raised "
        r"SystemExit: 0 "
        r"\(.*ends.py, line 2\); put what is to run below if __name__ == '__main__':",
        line,
    )


@pytest.mark.parametrize(
    "raised", ["KeyboardInterrupt", "GeneratorExit", "click.exceptions.Exit(0)"]
)
def test_what_a_file_raises_is_not_taken_for_ours(raised: str) -> None:
    Path("ends.py").write_text(f"import click\nraise {raised}\n")
    with pytest.raises(
        UsageError,
        match=rf"must not end the process, but it raised "
        rf".*{raised.split('(')[0]}",
    ):
        registry.load_plugin("ends.py")
    with pytest.raises(UsageError, match="must not end the process"):
        registry.load_plugin("ends")


SWEEP = """
from harness import Config, metric, mlp
from harness import sweep
from harness.builtin.metrics import accuracy

@metric()
def fussy(k=0):
    inner = accuracy()
    def score(p, y):
        if k == 1:
            {raised}
        return inner(p, y)
    return score

@sweep(name="s", trials=4, sampler="GridSampler({{'k': [0, 1, 2, 3]}})", film="none")
def space(trial):
    k = trial.suggest_int("k", 0, 3)
    return Config(layers=mlp([196, 8, 10]), data="mnist14(rows=200)", epochs=1, metric={{"name": "fussy", "k": k}})
"""


@pytest.mark.parametrize(
    "raised",
    [
        "raise SystemExit(5)",
        pytest.param("raise KeyboardInterrupt", marks=pytest.mark.slow),
        pytest.param(r"raise ValueError('\udcff')", marks=pytest.mark.slow),
    ],
)
def test_a_sweep_goes_on_after_whatever_a_plugin_raises(raised: str) -> None:
    Path("s.py").write_text(SWEEP.format(raised=raised))
    prepare(Path.cwd())
    done = harness("sweep", "s.py")
    assert done.returncode == 0, done.stderr
    assert "s: 4 trials (3 complete, 1 failed)" in done.stdout
    assert raised.split("(")[0].split()[1] in done.stderr
    again = harness("sweep", "s.py")
    assert again.returncode == 0, again.stderr


def test_a_worker_outlives_whatever_a_plugin_raises() -> None:
    Path("m.py").write_text(SWEEP.format(raised="raise SystemExit(5)"))
    registry.load_plugin("m.py")
    path = str(Path("m.py").resolve())
    with engine(2) as pool:
        for k in (1, 0):
            pool.submit(Job([Trial(k, config(metric={"name": "fussy", "k": k}))], plugins=[path]))
        found = {o.number: o for _ in range(2) for o in pool.next()}
    assert found[1].failure == "FAILED"
    assert "SystemExit: 5" in found[1].reason
    assert found[0].value is not None


def test_a_search_space_that_ends_the_process_is_one_sentence() -> None:
    text = SWEEP.format(raised="pass").replace(
        "    k = trial", "    raise SystemExit(0)\n    k = trial"
    )
    Path("s.py").write_text(text)
    done = harness("sweep", "s.py")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "Error: the search space must not end the process, but it raised SystemExit: 0 ("
    )


# Identity -----------------------------------------------------------------------------------------


def write(kind: str, name: str, body: str, file: str = "mine.py") -> None:
    head = "import numpy as np\nimport harness\nfrom harness import registry\nfrom harness import Rule\n"
    Path(file).write_text(f"{head}\n@harness.{kind}({name!r})\n{body}\n", encoding="utf-8")


ACT = "def f(z, k=1.0):\n    return np.tanh(z) * k"
LAYER = "def f():\n    return lambda ctx, I: (lambda x, train: (x, lambda dy: dy), I)"
RULE = "def f():\n    return registry.make('update_rule', 'sgd')"
SCHEDULE = "def f(k=0.1):\n    return lambda t: k"
INIT = "def f():\n    return registry.make('initializer', 'he')"
LOSS = "def f():\n    return registry.make('loss', 'squared_error')"
METRIC = "def f():\n    return registry.make('metric', 'accuracy')"
RECORDER = "def f():\n    return lambda trained: ({}, {})"
DATASET = "def f():\n    from harness.data import load\n    return load('mnist14(rows=200)')"


@pytest.mark.parametrize(
    ("kind", "body", "uses"),
    [
        ("activation", ACT, {"layers": mlp([196, 4, 10], "relu")}),
        ("activation", ACT, {"layers": ["dense(4)", "NAME", "dense(10)"]}),
        ("activation", ACT, {"layers": ["residual(residual(dense(4), NAME(k=0.5)))", "dense(10)"]}),
        ("layer", LAYER, {"layers": ["dense(4)", "residual(NAME)", "dense(10)"]}),
        ("update_rule", RULE, {"update": "compose(clip_norm(1.0), compose(NAME))"}),
        ("schedule", SCHEDULE, {"update": "compose(clip_norm(1.0), sgd(NAME))"}),
        ("schedule", SCHEDULE, {"update": "sgd(warmup(NAME))"}),
        ("initializer", INIT, {"layers": ["residual(dense(4, init=NAME))", "dense(10)"]}),
        ("loss", LOSS, {"loss": "NAME"}),
        ("metric", METRIC, {"metric": "NAME"}),
        ("recorder", RECORDER, {"recorders": ["NAME"]}),
        ("dataset", DATASET, {"data": "NAME"}),
    ],
)
@pytest.mark.parametrize("name", ["plain", "größe", "ﬁlter", "平滑"])
def test_an_edited_plugin_changes_the_identity(
    kind: str, body: str, uses: dict[str, Any], name: str
) -> None:
    def text(value: Any) -> Any:
        return [text(v) for v in value] if isinstance(value, list) else value.replace("NAME", name)

    used = "NAME" in str(uses)
    write(kind, name, body)
    registry.load_plugin("mine.py")
    before = config(**{k: text(v) if used else v for k, v in uses.items()})
    was = identity(before)
    write(kind, name, body + "\n# edited")
    registry.load_plugin("mine.py")
    assert (identity(before) != was) is used  # and a plugin that it does not use has no part in it


HELPED = """
import harness
from {helper} import inner

@harness.activation()
def helped(z):
    return inner(z)
"""


@pytest.mark.parametrize("helper", ["größen", "tools.maths"])
def test_an_edited_helper_changes_the_identity(
    helper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(*helper.split(".")).with_suffix(".py")
    file.parent.mkdir(exist_ok=True)
    file.write_text("import numpy as np\ndef inner(z):\n    return np.tanh(z)\n")
    Path("helped.py").write_text(HELPED.format(helper=helper), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.load_plugin("helped.py")
    used = config(layers=mlp([196, 4, 10], "helped"))
    was = identity(used)
    file.write_text("import numpy as np\ndef inner(z):\n    return np.sin(z)\n")
    # Sources are read anew once something else is registered
    registry.activation("another")(np.tanh)
    assert identity(used) != was
    sys.modules.pop(helper)


def test_a_file_that_registers_the_function_of_another_is_in_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("shapes.py").write_text(
        "import numpy as np\ndef one(z):\n    return np.tanh(z)\ndef two(z):\n    return "
        "np.sin(z)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = set()
    for name in ("one", "two"):
        Path("chooses.py").write_text(
            f"import harness, shapes\nharness.activation('chosen')(shapes.{name})\n"
        )
        registry.load_plugin("chooses.py")
        found.add(identity(config(layers=mlp([196, 4, 10], "chosen"))))
    assert len(found) == 2
    assert [entry.name for entry in registered_by("chooses.py")] == ["chosen"]
    sys.modules.pop("shapes")


def test_a_plugin_that_others_use_changes_their_identity() -> None:
    """By a default argument, and by its name within their code."""
    head = "import harness\nfrom harness import registry\nfrom harness.registry import ActivationSpec\n"
    write("activation", "inner", ACT)
    Path("outer.py").write_text(
        f"{head}@harness.layer()\ndef block(units, act: ActivationSpec = 'inner'):\n"
        "    return registry.make('layer', {'name': 'dense', 'units': units})\n"
        "@harness.layer()\ndef hidden(units):\n"
        "    return registry.make('layer', {'name': 'residual', 'layers': ['inner']})\n"
    )
    registry.load_plugin("mine.py")
    registry.load_plugin("outer.py")
    configs = [
        config(layers=["dense(4)", f"{name}(4)", "dense(10)"]) for name in ("block", "hidden")
    ]
    was = [identity(each) for each in configs]
    write("activation", "inner", ACT + "\n# edited")
    registry.load_plugin("mine.py")
    assert all(a != b for a, b in zip(was, map(identity, configs), strict=True))


# What is registered -------------------------------------------------------------------------------

CALLABLES = """
import functools
import math
import numpy as np
from harness import activation

def scaled(z, k=1.0):
    return np.tanh(z) * k

class Bump:
    "f(z) = tanh z"
    scale = 1.0
    def __call__(self, z, k=1.0):
        return np.tanh(z) * k
    def method(self, z):
        return np.tanh(z)

activation("a_partial")(functools.partial(scaled, k=1.0))
activation("a_partial_of_it")(functools.partial(functools.partial(scaled), k=1.0))
activation("an_object")(Bump())
activation("a_ufunc")(np.tanh)
activation("a_method")(Bump().method)
activation("a_lambda")(lambda z: np.tanh(z))
"""


@pytest.mark.parametrize("name", re.findall(r'"(an?_\w+)"', CALLABLES))
def test_whatever_can_be_called_can_be_registered(name: str) -> None:
    Path("callables.py").write_text(CALLABLES)
    registry.load_plugin("callables.py")
    z = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(registry.make("activation", name)(z), np.tanh(z), rtol=1e-6)
    assert all(each.ok for each in check("activation", name))
    used = config(layers=mlp([196, 4, 10], name))
    assert "callables.py" in plugin_hashes(used.names())
    was = identity(used)
    Path("callables.py").write_text(CALLABLES + "# edited\n")
    registry.load_plugin("callables.py")
    assert identity(used) != was


@pytest.mark.parametrize(
    ("register", "said"),
    [
        ("activation()(functools.partial(scaled, k=2.0))", "has no name of its own; give it one"),
        ("activation()(Bump())", "has no name of its own; give it one"),
        ("activation('x')(np.maximum)", "put a function of your own around it"),
        ("activation('x')(max)", "whose arguments Python can see"),
        ("activation('x')(math.hypot)", "whose arguments Python can see"),
        ("activation('x')(3)", "must be a function, got a int"),
        ("activation('x')(lambda z, k, /: z)", "by position only"),
    ],
)
def test_what_cannot_be_registered_is_one_sentence(register: str, said: str) -> None:
    Path("callables.py").write_text(f"{CALLABLES}\n{register}\n")
    with pytest.raises(UsageError, match=said):
        registry.load_plugin("callables.py")


def test_a_check_says_first_what_was_raised() -> None:
    Path("m.py").write_text(
        "import math\nfrom harness import activation\nactivation('e')(math.exp)\n"
    )
    registry.load_plugin("m.py")
    line = str(check("activation", "e")[0])
    assert line.startswith(
        "FAIL  can be made: an expression must consist of operations with a known slope"
    )
    assert line.index("use the function of numpy") < line.index(
        "the factory must take these arguments"
    )
    assert "inf" not in line


def test_what_is_shown_is_what_was_asked_for() -> None:
    Path("swishy.py").write_text(
        "import harness\n@harness.activation()\ndef swishy(z, beta=1.0, c=3):\n    return z\n"
    )
    shown = harness("show", "swishy(beta=2)", "--plugin", "swishy.py").stdout.splitlines()
    assert shown[0] == "swishy(beta=2, c=3)"
    checked = harness("check", "swishy(beta=2)", "--plugin", "swishy.py").stdout.splitlines()
    assert checked[0] == "activation swishy(beta=2, c=3)"


def test_seconds_of_an_epoch_and_of_a_run_have_names_of_their_own() -> None:
    net = Model(layers=["dense(2)"], batch=4, valid=0.0, epochs=2, film=None)
    net.fit(np.arange(32.0).reshape(16, 2), [0, 1] * 8)
    assert all(
        "time/epoch_train_s" in epoch and "time/train_s" not in epoch for epoch in net.history
    )


# Defined in no file -------------------------------------------------------------------------------

SESSION = """
import functools
import numpy as np
from harness import Config, activation, mlp
from harness import sweep

K = 2.0

def helper(z):
    return np.tanh(K * z)

@activation()
def of_a_cell(z, k=1.0):
    return helper(z) * k

class Bump:
    def __call__(self, z):
        return helper(z)

activation("an_object_of_a_cell")(Bump())
activation("a_partial_of_a_cell")(functools.partial(of_a_cell.__wrapped__, k=3.0))
NAMES = ["of_a_cell", "an_object_of_a_cell", "a_partial_of_a_cell"]
EXTRA

def space(trial):
    name = trial.suggest_categorical("a", NAMES)
    return Config(layers=mlp([196, 8, 10], name), data="mnist14(rows=200)", epochs=1, film=None)

made = sweep(space, name="session", trials=3, sampler=f"GridSampler({{'a': {NAMES}}})", workers=WORKERS)
found = made.run()
for trial in sorted(found.trials, key=lambda t: t.result.params["a"]):
    print(trial.result.state, trial.result.values, trial.result.identity)
"""


def session(workers: int, extra: str = "", way: str = "stdin") -> subprocess.CompletedProcess[str]:
    """The session as a script on stdin or with `python -c`."""
    source = SESSION.replace("WORKERS", str(workers)).replace("EXTRA", extra)
    command = [sys.executable, "-"] if way == "stdin" else [sys.executable, "-c", source]
    given = source if way == "stdin" else None
    prepare(Path(os.environ["HARNESS_ROOT"]))
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=400, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stdin", "-c"])
def test_what_a_session_defines_trains_in_workers_as_here(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        monkeypatch.setenv("HARNESS_ROOT", str(tmp_path / str(workers)))
        done = session(workers, way=way)
        assert done.returncode == 0, done.stderr
        found.append(
            [line.rpartition(" ")[0 if way == "-c" else 2] for line in done.stdout.splitlines()]
        )
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_what_cannot_travel_is_refused_before_the_first_trial() -> None:
    extra = "import threading\nheld = threading.Lock()\nactivation('holds')(lambda z: z if held else -z)\n"
    extra += "NAMES[:] = ['holds']"
    done = session(2, extra)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert re.search(
        r"the activation 'holds' of <stdin> must travel to the workers, but TypeError: cannot "
        r"pickle",
        last,
    )
    assert "put it into a .py file and load that with plugins=" in last
    assert done.stdout == ""


CELL = "@activation()\ndef cell(z, k=1.0):\n    return helper(z) * k\n"


def cells(monkeypatch: pytest.MonkeyPatch, *sources: str) -> None:
    """Runs cells as a notebook does: each is a file of its own name, whose text only linecache
    has.
    """
    space = vars(sys.modules["__main__"])
    for k, source in enumerate(("import numpy as np\nfrom harness import activation\n", *sources)):
        name = f"<ipython-input-{k}-{abs(hash(source))}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        before = dict(space)
        exec(compile(source, name, "exec"), space)
        for key in set(space) - set(before):
            monkeypatch.setitem(space, key, space.pop(key))


def test_what_other_cells_define_is_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    cells(monkeypatch, "K = 2.0\ndef helper(z):\n    return np.tanh(K * z)\n", CELL)
    used = config(layers=mlp([196, 4, 10], "cell"))
    was = identity(used)
    assert identity(used) == was
    cells(monkeypatch, "K = 3.0\n")
    other = identity(used)
    assert other != was
    cells(monkeypatch, "def helper(z):\n    return np.sin(K * z)\n")
    assert identity(used) not in (was, other)
    cells(monkeypatch, "def helper(z):\n    return np.tanh(K * z)\n", "K = 2.0\n")
    assert identity(used) == was


LAYERS = '{"name": "residual", "layers": [' * 90 + '"tanh"' + "]}" * 90


@pytest.mark.parametrize(
    "source", ['{"layers": ' + "[" * 100_000, f'{{"layers": [{LAYERS}]}}'], ids=["JSON", "specs"]
)
def test_deep_nesting_is_one_sentence(source: str) -> None:
    with pytest.raises(UsageError, match="nested at most 60 levels deep"):
        Config.from_json(source)


def test_nesting_that_nobody_minds_is_let_through() -> None:
    spec: Any = "dense(4)"
    for _ in range(25):
        spec = {"name": "residual", "layers": [spec]}
    assert (
        Config.from_json(config(layers=[spec, "dense(10)"]).to_json()).layers[0]["name"]
        == "residual"
    )
