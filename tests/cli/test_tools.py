"""The tools for plugin authors: check, new, show, the catalogue; plugins in every process and every
record.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness import registry
from harness.cli import catalogue, main
from harness.cli.templates import KINDS, write
from harness.config import Config
from harness.data import load
from harness.pictures.descent import CURVATURE, START, bowl, descending, path_of
from harness.pictures.plugins import curve, draw
from harness.storage.root import find_root
from harness.studies.compare import compare
from harness.studies.plugin_files import plugin_files
from harness.testing.conformance import check
from harness.trials.job import Job, Trial
from harness.trials.work import work
from harness.workers.pool import engine

HERE = Path(__file__).parents[1]
ROOT = HERE.parent
SMALL = ["--data", "mnist14(rows=500)", "--epochs", "1", "--film", "none"]


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder with one mlruns/ for all tests here: making a store takes a second."""
    root = tmp_path_factory.mktemp("tools")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(root))
        patch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        )
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "TOX_ENV_DIR"):
            patch.delenv(name, raising=False)
        yield root


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in a folder of its own; what it registers is forgotten, and not imported from there
    again.
    """
    registry.load_entry_points()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())


def call(*arguments: str) -> Result:
    """Runs a command in this process. What it does not catch is raised."""
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def good(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str) -> str:
    """The one line of stderr of a command that ends with 2."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    return line


def process(*arguments: str) -> str:
    """The output of `python -m harness` in a process of its own."""
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# check --------------------------------------------------------------------------------------------

BAD = """
from harness import activation

@activation()
def cube():
    "f(z) = z^3"
    return lambda z: z**3, lambda z, a: 3.1 * z**2
"""


def test_check_has_a_line_for_each_check_and_fails_with_a_number() -> None:
    Path("bad.py").write_text(BAD)
    result = call("check", "bad.py")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "activation cube()"
    assert max(map(len, lines)) <= 100
    text = " ".join(result.stdout.split())
    found = re.search(
        r"FAIL slope at ordinary inputs: (\S+), at most 1e-06 expected; the pullback must multiply "
        r"da by the",
        text,
    )
    assert found
    assert re.search(
        r"those of its two sides; at z = -?[\d.]+ it is [\d.]+ and should be [\d.]+ ", text
    )
    # at most |3.1 - 3| z^2 / (1 + 2 * 3 z^2), which is nearly 1/60 far out
    assert float(found[1]) == pytest.approx(1 / 60, rel=0.01)
    outcomes = check("activation", "cube")
    marks = [line.split()[0] for line in lines if re.match(r"  (ok|FAIL) ", line)]
    assert marks == ["ok" if each.ok else "FAIL" for each in outcomes]
    assert re.fullmatch(
        rf"{marks.count('FAIL')} of {len(outcomes)} checks failed, \d+\.\d s", lines[-1]
    )


@pytest.mark.parametrize(
    ("what", "heads"),
    [
        ("tanh", ["activation tanh()"]),
        ("leaky_relu(slope=0.5)", ["activation leaky_relu(slope=0.5)"]),
        ("constant", ["initializer constant(value=0.0)", "schedule constant(value)"]),
        ("harness.builtin.layers.scale", ["layer scale(init=1.0, bias=False)"]),
        ("mine.py", ["schedule sawtooth(teeth=3)"]),
        ("mine", ["schedule sawtooth(teeth=3)"]),
        ("friedman1", ["dataset friedman1(rows=1000, seed=0)"]),
        ("history", ["recorder history()"]),
    ],
)
def test_check_takes_names_modules_and_files(what: str, heads: list[str]) -> None:
    text = "import harness\n@harness.schedule()\ndef sawtooth(teeth: int = 3):\n    return lambda t: t * teeth % 1\n"
    Path("mine.py").write_text(text)
    sys.modules.pop("mine", None)
    lines = good("check", what).splitlines()
    assert [line for line in lines[:-1] if not line.startswith("  ")] == heads
    assert re.fullmatch(r"all \d+ checks passed, \d+\.\d s", lines[-1])


def test_check_goes_on_where_it_has_no_example() -> None:
    text = "from harness import schedule\n"
    for name, arguments in {"after": "", "before": "shape"}.items():
        text += f"@schedule()\ndef {name}({arguments}):\n    return lambda t: 1.0\n"
    Path("some.py").write_text(text.replace("def before(shape)", "def aa_before(shape)"))
    result = call("check", "some.py")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[:3] == ["schedule aa_before(shape)", "  not checked", "schedule after()"]
    assert lines[-1].startswith("all ")
    assert "no example for argument 'shape' of schedule aa_before(shape)" in result.stderr


def test_check_checks_the_arguments_that_are_given() -> None:
    Path("bad.py").write_text(BAD.replace("cube():", "cube(k=3.0):").replace("3.1", "k"))
    good("check", "cube", "--plugin", "bad.py")
    assert call("check", "cube(k=3.1)").exit_code == 1


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("rleu", "there is no plugin, file or module 'rleu'; did you mean 'relu'"),
        ("none.py", "there is no file 'none.py'"),
        ("no.such.module", "there is no module 'no.such.module'"),
        ("harness.errors", "must register something to check"),
        ("csv", "no example for argument 'path'"),
        ("tanh(", "cannot read the spec 'tanh('"),
    ],
)
def test_check_refuses(what: str, said: str) -> None:
    assert said in refused("check", what)


DATASETS = {
    "good": "return from_arrays('d', np.arange(60.0).reshape(30, 2), np.arange(30) % 3)",
    "can be made": "return lambda: 1",
    "the same each time": "return from_arrays('d', np.random.random((30, 2)), np.arange(30) % 3)",
    "a network trains on it": "return from_arrays('d', np.zeros((2, 2)), ['a', 'b'])",
}


@pytest.mark.parametrize("mistake", DATASETS)
def test_a_bad_dataset_is_caught(mistake: str) -> None:
    head = "import numpy as np\nfrom harness import dataset\nfrom harness.data import from_arrays\n"
    Path("d.py").write_text(f"{head}@dataset()\ndef points():\n    {DATASETS[mistake]}\n")
    failed = re.findall(r"FAIL  ([\w ]+):", call("check", "d.py").stdout)
    assert failed[:1] == ([] if mistake == "good" else [mistake])


RECORDERS = {
    "good": "Report({'a': 1.0}, {'a/b.txt': b''})",
    "is a Report": "Report({'a': 1.0}, {'../b.txt': b''})",
    "finite numbers": "Report({'a': float('nan')}, {})",
    "training is not written": "Report({'a': float(np.add(t.state['theta'], 1, "
    "out=t.state['theta'])[0])}, {})",
}


@pytest.mark.parametrize("mistake", RECORDERS)
def test_a_bad_recorder_is_caught(mistake: str) -> None:
    head = (
        "import numpy as np\nfrom harness import recorder\nfrom harness.recorders import Report\n"
    )
    Path("r.py").write_text(
        f"{head}@recorder()\ndef said():\n    return lambda t: {RECORDERS[mistake]}\n"
    )
    failed = re.findall(r"FAIL  ([\w ]+):", call("check", "r.py").stdout)
    assert failed == ([] if mistake == "good" else [mistake])


# new ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_new_writes_a_file_that_passes_check(kind: str) -> None:
    out = good("new", kind, f"fresh_{kind}")
    assert out.startswith(f"fresh_{kind}.py works as it stands")
    text = Path(f"fresh_{kind}.py").read_text()
    assert "my_name" not in text
    assert text.count(" # ") >= 3
    checked = good("check", f"fresh_{kind}.py")
    assert checked.startswith(f"{kind.replace('_', ' ')} fresh_{kind}(")
    assert "FAIL" not in checked


def test_what_new_writes_trains() -> None:
    kinds = {"bend": "activation", "gain": "layer", "average": "update-rule", "rings": "dataset"}
    for name, kind in kinds.items():
        good("new", kind, name, "--dir", "plugins")
    plugins = [word for name in kinds for word in ("--plugin", f"plugins/{name}.py")]
    layers = [
        word
        for layer in ("dense(20)", "gain", "bend(2.0)", "dense(2)")
        for word in ("--layer", layer)
    ]
    more = [
        "--data",
        "rings",
        "--update",
        "average(0.5)",
        "--batch",
        "20",
        "--epochs",
        "20",
        "--film",
        "none",
    ]
    out = good("run", *plugins, *layers, *more, "--no-log")
    assert float(re.search(r"valid accuracy (\d\.\d+)", out)[1]) > 0.9  # type: ignore[index]


def test_new_refuses() -> None:
    Path("mine.py").write_text("x = 1\n")
    for words, said in {
        "activation relu": "'relu' is taken by the activation",
        "layer tanh": "'tanh' is taken by the activation",
        "activation mine": "mine.py is there already and is not overwritten",
        "loss a-b": "must be a Python identifier, got 'a-b'",
        "loss lambda": "must be a Python identifier, got 'lambda'",
        "loss random": "would hide the Python module 'random'",
        "loss numpy": "would hide the Python module 'numpy'",
        "metric mine": "there is a template for activation, layer, update_rule, loss, dataset, got "
        "'metric'",
        "metrix mine": "unknown kind of plugin 'metrix'",
    }.items():
        assert said in refused("new", *words.split())
    assert "that can be written, but" in refused("new", "loss", "l", "--dir", "mine.py")
    assert Path("mine.py").read_text() == "x = 1\n"
    assert sorted(os.listdir()) == ["mine.py"]
    write("update_rule", "tanh", "a/b")  # another kind
    assert Path("a/b/tanh.py").is_file()


# show ---------------------------------------------------------------------------------------------


def test_curve_has_value_and_slope() -> None:
    z, a, slope = curve(registry.canonical("activation", "tanh"), reach=2.0, points=5)
    np.testing.assert_array_equal(z, [-2, -1, 0, 1, 2])
    np.testing.assert_allclose(a, np.tanh(z), rtol=1e-15)
    np.testing.assert_allclose(slope, 1 / np.cosh(z) ** 2, rtol=1e-14)


def test_path_by_hand() -> None:
    """sgd multiplies w by 1 - learning_rate * (1, 10); momentum's second step has 0.9 of the first
    in it.
    """
    path = path_of("sgd(0.05)", 3)
    np.testing.assert_allclose(
        path, [np.array(START) * [0.95**k, 0.5**k] for k in range(4)], rtol=1e-14
    )
    w0, w1, w2 = path_of("momentum(0.05)", 2)
    np.testing.assert_allclose(w1, w0 - 0.05 * CURVATURE * w0, rtol=1e-14)
    np.testing.assert_allclose(w2, w1 + 0.9 * (w1 - w0) - 0.05 * CURVATURE * w1, rtol=1e-14)
    assert bowl(np.array([3.0, 1.0])) == 9.5
    # w2 is multiplied by 1 - 3 * 10 = -29 at each step: 0.5, -14.5, 420.5, and then more than 1000
    assert len(path_of("sgd(3.0)")) == 3


def test_path_follows_schedules_and_averages() -> None:
    half = path_of("sgd(step(0.05, factor=0.5, at=[0.5]))", 4)
    assert half[-1, 0] == pytest.approx(START[0] * 0.95**2 * 0.975**2, rel=1e-14)
    ema = {"name": "compose", "rules": ["sgd(0.05)", "ema"]}
    assert np.abs(path_of(ema, 20)[-1] - path_of(ema, 20, averages=False)[-1]).max() > 0.01


@pytest.mark.parametrize(
    ("spec", "drawn"),
    [
        ("adam", "adam"),
        ("sgd(warmup(0.1))", "sgd(learning_rate=warmup(after=0.1))"),  # its first step is empty
        ("clip_norm(2.0)", "compose(clip_norm(limit=2.0), scale(factor=-0.1))"),
        ("lookahead", "compose(scale(factor=-0.1), lookahead)"),
    ],
)
def test_ingredients_are_drawn_with_a_scale(spec: str, drawn: str) -> None:
    assert registry.text(descending(registry.canonical("update_rule", spec))) == drawn


def test_every_update_rule_has_a_path() -> None:
    for entry in catalogue.built_in():
        if entry.kind == "update_rule":
            path = path_of(descending(catalogue.examples(entry, {})[0]), 200)
            assert len(path) == 201, entry.name
            assert bowl(path[-1]) < bowl(path[0]), entry.name


def test_show_draws_and_says_where() -> None:
    Path("bad.py").write_text(
        BAD.replace('"f(z) = z^3"', '"""f(z) = z^3\n\n    More of it.\n    """')
    )
    out = good("show", "cube", "--plugin", "bad.py")
    assert (
        out
        == "cube()\nactivation, bad.py\n\nf(z) = z^3\n\nMore of it.\n\ncube is drawn in cube.png\n"
    )
    assert Path("cube.png").read_bytes().startswith(b"\x89PNG")
    for what, more in {
        "adam(0.01)": [],
        "cosine(0.5)": [],
        "he": ["--out", "he.pdf"],
        "constant": ["--kind", "schedule"],
        "relu": ["--out", "relu.svg"],
    }.items():
        file = good("show", what, *more).splitlines()[-1].rpartition(" is drawn in ")[2]
        assert Path(file).stat().st_size > 2000
    label = {text.text for text in ET.parse("relu.svg").iter("{http://www.w3.org/2000/svg}text")}
    assert {"value f(z)", "slope f'(z)", "relu"} <= label


def test_a_picture_has_the_same_bytes_each_time() -> None:
    files = [draw("activation", {"name": "tanh"}, f"{k}.svg").read_bytes() for k in range(2)]
    assert files[0] == files[1]


def test_show_explains_what_it_cannot_draw() -> None:
    out = good("show", "squared_error")
    entry = registry.find("loss", "squared_error")
    assert out == f"squared_error()\nloss, built-in\n\n{entry.doc}\n"
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rleu", "there is no plugin 'rleu'; did you mean 'relu'"),
        (
            "constant",
            "several plugins called 'constant' (initializer, schedule); say which with --kind",
        ),
        ("relu --kind layer", "there is no layer 'relu'"),
        ("relu --kind lawyer", "unknown kind of plugin 'lawyer'"),
        ("relu --out relu.doc", "must end with .png, .svg or .pdf, got 'relu.doc'"),
        (
            "relu --out no/relu.png",
            "no/relu.png must be a file that can be written, but: No such file",
        ),
        ("accuracy --out a.png", "--out is for what can be drawn, but 'accuracy' is a metric"),
        ("relu(3)", "activation relu(): too many positional arguments"),
    ],
)
def test_show_refuses(words: str, said: str) -> None:
    assert said in refused("show", *words.split())


# Plugins in every process -------------------------------------------------------------------------


def config(hidden: str) -> Config:
    """Of a network with one layer between its two dense ones."""
    return Config(
        layers=["dense(8)", hidden, "dense(10)"], data="mnist14(rows=500)", epochs=1, film=None
    )


@pytest.fixture
def package() -> None:
    """The package of tests/plugin_package must be installed."""
    if "packaged" not in {point.name for point in entry_points(group="harness.plugins")}:
        pytest.skip(
            "tests/plugin_package is not installed; tox -e py installs it and runs this test"
        )
    import packaged_plugins

    installed = Path(packaged_plugins.__file__).read_text()
    assert installed == (HERE / "plugin_package" / "packaged_plugins.py").read_text(), (
        "it is old: tox -r -e py"
    )


@pytest.mark.usefixtures("package")
def test_an_installed_package_is_found_in_the_driver_and_in_workers() -> None:
    listed = good("list", "activation")
    assert re.search(
        r"^  packaged_bend\(width=1\.0\) +f\(z\) = z / sqrt.*packaged_plugins\.py$", listed, re.M
    )
    good("check", "packaged_plugins")
    configs = [config("packaged_bend"), config("packaged_half")]
    here = [work(Job([Trial(k, each)]))[0] for k, each in enumerate(configs)]
    with engine(2) as pool:
        for k, each in enumerate(configs):
            pool.submit(Job([Trial(k, each)]))
        there = sorted(
            (outcome for _ in configs for outcome in pool.next()), key=lambda o: o.number
        )
    for a, b in zip(here, there, strict=True):
        assert (a.error, a.refused, b.error, b.refused) == ("", "", "", "")
        np.testing.assert_array_equal(a.state["theta"], b.state["theta"])  # type: ignore[index]


BEND = """
import harness

@harness.activation()
def bend_{name}(z, k=0.1):
    "f(z) = z / (1 + k z^2)"
    return z / (1 + k * z * z)
"""
SWEEP = """
from harness import Config, activation, mlp
from harness import sweep

@activation()
def of_the_script(z):
    return z / (1 + abs(z))

@sweep(name="reach", trials=3, workers=2, sampler="GridSampler({'a': [0, 1, 2]})", film="none")
def space(trial):
    name = ["of_the_script", "bend_reach", "tanh"][trial.suggest_int("a", 0, 2)]
    return Config(layers=mlp([196, 8, 10], activation=name), data="mnist14(rows=500)", epochs=1)
"""


def logged(name: str) -> tuple[dict[str, str], Path]:
    """The tags of the newest parent of a name, and the folder of its artifacts."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{find_root()}/mlruns/mlflow.db")
    ids = [each.experiment_id for each in client.search_experiments()]
    run = next(iter(client.search_runs(ids, f"attributes.run_name = '{name}'")))
    return run.data.tags, Path(run.info.artifact_uri.removeprefix("file://"))


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_files_and_decorators_reach_workers_and_the_record_of_a_sweep() -> None:
    Path("bend.py").write_text(BEND.format(name="reach"))
    Path("script.py").write_text(SWEEP)
    out = good("sweep", "script.py", "--plugin", "bend.py")
    assert "reach: 3 trials (3 complete)" in out
    tags, folder = logged("reach")
    names = {file.name: sha256(file) for file in (folder / "plugins").iterdir()}
    assert names == json.loads(tags["harness.plugins"])
    assert {name: names[name] for name in ("bend.py", "script.py")} == {
        name: sha256(name) for name in ("bend.py", "script.py")
    }


def test_a_plugin_that_is_registered_anew_is_used_anew() -> None:
    text = "import numpy as np\nfrom harness import dataset\nfrom harness.data import from_arrays\n"
    text += "@dataset()\ndef column():\n    return from_arrays('c', np.full((6, 1), 1.0), np.arange(6) % 2)\n"
    for number in (1, 2):
        Path("column.py").write_text(text.replace("1.0", f"{number}.0"))
        registry.load_plugin("column.py")
        assert load("column").x[0, 0] == number
        assert load("column") is load("column")


# Plugins in the record ----------------------------------------------------------------------------


def arrays(model: str) -> dict[str, np.ndarray]:
    with np.load(f"{model}.npz", allow_pickle=False) as file:
        return dict(file)


def test_a_run_is_repeated_from_its_record() -> None:
    Path("own.py").write_text(BEND.format(name="own"))
    words = [
        "--activation",
        "bend_own(k=0.3)",
        "--sizes",
        "196-12-10",
        "--update",
        "adam(0.01)",
        "--seed",
        "5",
    ]
    good("run", *SMALL, *words, "--plugin", "own.py", "--name", "to repeat", "--save", "first")
    tags, folder = logged("to repeat")
    assert (
        json.loads(tags["harness.plugins"])["own.py"]
        == sha256("own.py")
        == sha256(folder / "plugins" / "own.py")
    )
    Path("own.py").unlink()
    again = [
        "--config",
        str(folder / "config.json"),
        "--plugin",
        str(folder / "plugins" / "own.py"),
    ]
    process("run", *again, "--no-log", "--save", "second")
    first = arrays("first")
    second = arrays("second")
    assert list(first) == list(second)
    assert first["theta"].size == 196 * 12 + 12 + 12 * 10 + 10
    for key in first:
        # The rest is JSON, which has the seconds and the path of the plugin.
        if key != "about":
            np.testing.assert_array_equal(first[key], second[key])


def test_what_a_plugin_imports_from_its_folder_is_kept_too() -> None:
    """A module beside it, one in a package, which imports a third; nothing that is installed."""
    files = {
        "helped.py": "import numpy as np\nfrom harness import activation\nfrom helped_by import "
        "FACTOR\n"
        "from helped_tools.maths import wave\n\n\n@activation()\ndef helped(z):\n    return FACTOR "
        "* wave(z)\n",
        "helped_by.py": "FACTOR = 0.5\n",
        "helped_tools/__init__.py": "",
        "helped_tools/maths.py": "from .inner import sin\n\n\ndef wave(z):\n    return z + sin(z)\n",
        "helped_tools/inner.py": "import scipy.special\nfrom numpy import sin\n",
    }
    for name, text in files.items():
        Path("here", name).parent.mkdir(parents=True, exist_ok=True)
        Path("here", name).write_text(text)
    words = ["--activation", "helped", "--sizes", "196-12-10", "--save", "first"]
    process("run", *SMALL, *words, "--plugin", "here/helped.py", "--name", "to repeat with help")
    tags, folder = logged("to repeat with help")
    kept = {
        str(f.relative_to(folder / "plugins")): f.read_text()
        for f in (folder / "plugins").rglob("*.py")
    }
    assert {name: text for name, text in kept.items() if name != "packaged_plugins.py"} == files
    assert set(files) <= set(json.loads(tags["harness.plugins"]))
    shutil.rmtree("here")
    again = [
        "--config",
        str(folder / "config.json"),
        "--plugin",
        str(folder / "plugins" / "helped.py"),
    ]
    process("run", *again, "--no-log", "--save", "second")
    np.testing.assert_array_equal(arrays("first")["theta"], arrays("second")["theta"])


def test_a_comparison_keeps_the_plugins_too() -> None:
    Path("arm.py").write_text(BEND.format(name="arm"))
    registry.load_plugin("arm.py")
    compare("of plugins", {"bend": config("bend_arm"), "tanh": config("tanh")}, seeds=1)
    tags, folder = logged("of plugins")
    assert (
        json.loads(tags["harness.plugins"])["arm.py"]
        == sha256("arm.py")
        == sha256(folder / "plugins" / "arm.py")
    )


def test_a_changed_plugin_is_kept_beside_the_old_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(BEND.format(name="mine"))
    registry.load_plugin("mine.py")
    files, tags = plugin_files({})
    old = sha256("mine.py")
    assert files["plugins/mine.py"] == Path("mine.py").read_bytes()
    assert json.loads(tags["harness.plugins"])["mine.py"] == old
    assert plugin_files(tags) == (files, tags)
    assert capsys.readouterr().err == ""
    Path("mine.py").write_text(BEND.format(name="mine").replace("0.1", "0.2"))
    new = sha256("mine.py")
    after, later = plugin_files(tags)
    assert json.loads(later["harness.plugins"]) == {
        **json.loads(tags["harness.plugins"]),
        f"mine-{new[:8]}.py": new,
    }
    assert after[f"plugins/mine-{new[:8]}.py"] == Path("mine.py").read_bytes()
    assert "the plugin mine.py has changed since this began" in capsys.readouterr().err
    assert plugin_files(later) == (after, later)  # said once
    assert capsys.readouterr().err == ""


def test_sources_are_of_what_is_not_built_in() -> None:
    before = registry.sources()
    assert "harness.builtin.activations.smooth.py" not in before
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "same.py").write_text(BEND.format(name=folder))
        registry.load_plugin(f"{folder}/same.py")
    found = registry.sources()
    assert len(found) == len(before) + 2
    name = next(each for each in found if re.fullmatch(r"same-[0-9a-f]{8}\.py", each))
    assert {found["same.py"], found[name]} == {BEND.format(name=folder).encode() for folder in "ab"}


# The catalogue ------------------------------------------------------------------------------------

COMMAND = "make it anew: python -m harness.cli.catalogue docs/catalogue.md"


def test_the_catalogue_is_that_of_the_code() -> None:
    page = ROOT / "docs" / "catalogue.md"
    assert page.is_file(), COMMAND
    assert page.read_text(encoding="utf-8") == catalogue.page(), COMMAND
    activations = {f"{e.name}.svg" for e in catalogue.built_in() if e.kind == "activation"}
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert {file.name for file in pictures} == activations, COMMAND
    assert sum(file.stat().st_size for file in pictures) < 1_000_000


def test_the_catalogue_has_everything_that_is_built_in() -> None:
    text = catalogue.page()
    found = catalogue.built_in()
    assert re.findall(r"^### (\w+)$", text, re.M) == [entry.name for entry in found]
    for entry in found:
        assert f"\n{entry.signature}\n\n{entry.summary}\n" in text
    headings = re.findall(r"^###? (.+)$", text, re.M)
    taken: dict[str, int] = {}
    anchors = set()
    for heading in (each.lower().replace(" ", "-") for each in headings):  # as GitHub names them
        anchors.add(f"{heading}-{taken[heading]}" if heading in taken else heading)
        taken[heading] = taken.get(heading, 0) + 1
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


def test_the_catalogue_splits_formula_options_and_reference() -> None:
    section = re.search(r"### leaky_relu\n(.*?)\n### ", catalogue.page(), re.S)
    assert section
    assert "![value and slope of leaky_relu](pictures/leaky_relu.svg)" in section[1]
    assert "- `slope`: number, default `0.01`\n" in section[1]
    assert re.search(r"^Reference: \w", section[1], re.M)
    assert "- `learning_rate`: number or schedule, default `0.1`\n" in catalogue.page()


def test_every_activation_has_a_curve() -> None:
    for entry in catalogue.built_in():
        if entry.kind == "activation":
            z, a, slope = curve(catalogue.examples(entry, {})[0])
            assert z.shape == a.shape == slope.shape == (321,)
            assert np.isfinite([a, slope]).all(), entry.name
            step = 8 / 320
            if np.abs(np.diff(a)).max() > 1.5 * step * np.abs(slope).max():
                continue  # it jumps, as hardshrink does
            # the mean slope over the whole range is what the value has gained; a kink costs at most
            # half a step
            assert abs(np.mean(slope) * 8 - (a[-1] - a[0])) < 0.2 + np.ptp(slope) * step, entry.name
