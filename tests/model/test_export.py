"""A network that is exported answers with the harness's own bits, where there is no harness."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from siblings import quick

from harness import Model, load_model, load_plugin, mlp, registry
from harness.model.export import Label, exported
from harness.model.inference import ServedNetwork
from harness.storage.bundle import unpack


@pytest.fixture(autouse=True)
def _passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exported network runs passes of NumPy, and has the bits of a harness that does so too."""
    monkeypatch.setenv("HARNESS_KERNELS", "numpy")


# How a layer that needs arguments, or others around it, is tried.
LAYERS = {
    "activate": ["activate(tanh)", "dense(3)"],
    "dense": ["dense(5)", "dense(3, bias=False)"],
    "dropconnect": ["dropconnect(4)", "dense(3)"],
    "frozen": ["frozen(dense(4), batch_norm, relu)", "dense(3)"],
    "geglu": ["geglu(4)", "dense(3)"],
    "glu": ["glu(4, gate='tanh')", "dense(3)"],
    "highway": ["highway(dense(6), relu)", "dense(3)"],
    "maxout": ["maxout(4)", "dense(3)"],
    "residual": ["residual(dense(6), relu)", "residual(dense(4))", "dense(3)"],
    "swiglu": ["swiglu(4)", "dense(3)"],
}
# Losses whose link is no softmax, and what they need.
LOSSES = {
    "binary_cross_entropy": ["dense(3)"],
    "focal": ["dense(3)"],
    "hinge": ["dense(3)"],
    "softmax_cross_entropy(0.1)": ["dense(3)"],
    "squared_error": ["dense(3)"],
}

# Nothing of the harness can be imported, and the code comes from the file of the network.
BARE = """
import importlib.abc, json, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("harness", *sys.argv[2:]):
            raise ModuleNotFoundError(f"{name} is hidden")
sys.meta_path.insert(0, Hidden())
import numpy as np
answers = {}
for name, path, rows in json.load(open(sys.argv[1])):
    with np.load(path) as file:
        code = json.loads(file["about"].tobytes())["code"]
    room = {"__name__": "network_model"}
    exec(code, room)
    columns = room["ServedNetwork"](path).predict(np.load(rows))
    answers[name] = {key: column.tolist() for key, column in columns.items()}
assert not any(name.partition(".")[0] == "harness" for name in sys.modules)
print(json.dumps(answers))
"""


def points(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.standard_normal((n, 6))
    return x, np.array(["low", "mid", "top"])[(x[:, 0] > 0).astype(int) + (x[:, 1] > 0)]


def trained(layers: Any, **changes: Any) -> Model:
    options = {"batch": 20, "epochs": 2, "film": None, "update": "sgd(0.05)", "eval_batch": 16}
    return Model(layers=layers, **{**options, **changes}).fit(*points())


def export(net: Model, path: Path, **sources: str) -> dict[str, Any]:
    """Writes the exported network, and returns what its file says of it."""
    data = exported(net, sources, Label("record", "digest"))
    path.write_bytes(data)
    return unpack("network", data, path).about


def bare(networks: list[Any], folder: Path, *hidden: str) -> dict[str, dict[str, list[Any]]]:
    """What networks [name, file, file of rows] answer in a process without the harness."""
    (folder / "asked.json").write_text(json.dumps([[n, str(p), str(r)] for n, p, r in networks]))
    command = [sys.executable, "-c", textwrap.dedent(BARE), str(folder / "asked.json"), *hidden]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, dict[str, list[Any]]] = json.loads(done.stdout)
    return answers


# Every built-in ------------------------------------------------------------------------------------


def built_in(kind: str) -> list[registry.Entry]:
    """What the harness brings; other tests of this process may have registered more."""
    home = Path(registry.__file__).parents[1]
    return [e for e in registry.entries(kind) if Path(e.origin).is_relative_to(home)]


def stacks() -> dict[str, Any]:
    """For each layer, activation and loss a network that has it: its layers and its loss."""
    made: dict[str, Any] = {}
    for entry in built_in("layer"):
        layers = LAYERS.get(entry.name, [entry.name, "dense(3)"])
        made[f"layer {entry.name}"] = layers, "softmax_cross_entropy"
    for entry in built_in("activation"):
        layers = ["dense(5)", entry.name, "dense(3)"]
        made[f"activation {entry.name}"] = layers, "softmax_cross_entropy"
    for loss, layers in LOSSES.items():
        made[f"loss {loss}"] = layers, loss
    return made


@pytest.mark.parametrize("dtype", quick(["float32", "float64"], ["float32"]))
def test_every_built_in_answers_with_the_same_bits_without_the_harness(
    tmp_path: Path, dtype: str
) -> None:
    x, _ = points()
    np.save(tmp_path / "x.npy", x[:37])  # no multiple of the rows of a batch
    wanted = {}
    networks = []
    for k, (name, (layers, loss)) in enumerate(stacks().items()):
        net = trained(layers, loss=loss, dtype=dtype)
        about = export(net, tmp_path / f"{k}.npz")
        assert about["program"] is not None, name
        networks.append((name, tmp_path / f"{k}.npz", tmp_path / "x.npy"))
        wanted[name] = net.predict_proba(x[:37]), net.predict(x[:37]).tolist()
    answers = bare(networks, tmp_path, "mlflow", "pandas")
    assert len(answers) >= 60
    for name, (probabilities, labels) in wanted.items():
        prediction, *columns = answers[name].values()
        assert list(answers[name]) == ["prediction", "low", "mid", "top"]
        assert prediction == labels, name
        # JSON keeps every bit of a number.
        np.testing.assert_array_equal(np.array(columns, dtype).T, probabilities, err_msg=name)


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("update", ["sgd(0.05)", "schedule_free_sgd(0.05)", "adam"])
def test_the_weights_are_those_that_predict(tmp_path: Path, update: str, select: str) -> None:
    net = trained(["dense(5)", "batch_norm", "relu", "dense(3)"], update=update, select=select)
    export(net, tmp_path / "net.npz")
    x, _ = points()
    table = ServedNetwork(tmp_path / "net.npz").predict(x)
    np.testing.assert_array_equal(np.stack([*table.values()][1:], 1), net.predict_proba(x))
    # The file is that of a saved model too, and trains on.
    again = load_model(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.predict_proba(x), net.predict_proba(x))
    x, y = points()
    assert again.fit(x, y, epochs=1).epoch == 3


# Rows ---------------------------------------------------------------------------------------------


def pets(n: int = 200) -> pandas.DataFrame:
    random = np.random.default_rng(1)
    table = pandas.DataFrame(
        {
            "size": random.normal(3, 2, n),
            "legs": random.integers(0, 5, n),
            "color": random.choice(["red", "green", "7"], n),
        }
    )
    table["kind"] = np.where(
        table.legs > 2, "cat", np.where(table["size"] > 3, "dog", "prediction")
    )
    return table


def test_a_table_is_read_by_names_with_texts_and_holes(tmp_path: Path) -> None:
    table = pets()
    table.loc[[3, 9], "size"] = np.nan
    table.loc[[4, 9], "color"] = None
    net = Model(layers=mlp([7, 8, 3]), epochs=5, batch=20, missing="mean", film=None)
    net.fit(table.drop(columns="kind"), table.kind)
    about = export(net, tmp_path / "net.npz")
    assert about["example"]["texts"] == [False, False, True]
    served = ServedNetwork(tmp_path / "net.npz")
    rows = table[["color", "kind", "legs", "size"]].copy()  # another order, and a column too many
    rows.loc[5, "color"] = "unheard of"
    answers = served.predict(rows)
    assert list(answers) == ["predicted class", "cat", "dog", "prediction"]
    assert answers["predicted class"].tolist() == net.predict(rows).tolist()
    np.testing.assert_array_equal(np.stack([*answers.values()][1:], 1), net.predict_proba(rows))
    with pytest.raises(ValueError, match="must have the columns color"):
        served.predict(rows.drop(columns="color"))
    rows["legs"] = "many"
    with pytest.raises(ValueError, match="column 'legs' must hold numbers"):
        served.predict(rows)


@pytest.mark.parametrize("scale", ["auto", "standardize", "none", "/256"])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_arrays_are_scaled_as_by_the_harness(tmp_path: Path, scale: str, dtype: str) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 200, (50, 3, 2)).astype(dtype)
    y = random.integers(0, 2, 50)
    net = Model(layers=mlp([6, 5, 2]), update="sgd(0.001)", epochs=2, batch=10, scale=scale)
    net.fit(x, y)
    export(net, tmp_path / "net.npz")
    answers = ServedNetwork(tmp_path / "net.npz").predict(x)
    assert answers["prediction"].dtype == np.int64
    np.testing.assert_array_equal(np.stack([*answers.values()][1:], 1), net.predict_proba(x))


@pytest.mark.parametrize("columns", [1, 2])
def test_a_regression_answers_with_its_values(tmp_path: Path, columns: int) -> None:
    x, _ = points()
    y = x[:, :columns] * 2 + 1
    net = Model(
        layers=mlp([6, 8, columns]), loss="squared_error", metric="rmse", epochs=3, batch=20
    ).fit(x, y)
    export(net, tmp_path / "net.npz")
    answers = ServedNetwork(tmp_path / "net.npz").predict(x)
    names = ["prediction"] if columns == 1 else ["prediction_0", "prediction_1"]
    assert list(answers) == names
    np.testing.assert_array_equal(np.stack([*answers.values()], 1), net.predict(x))


def test_two_classes_by_one_output(tmp_path: Path) -> None:
    x, y = points()
    net = Model(layers=mlp([6, 4, 1]), loss="binary_cross_entropy", epochs=2, batch=20)
    net.fit(x, y == "low")
    export(net, tmp_path / "net.npz")
    answers = ServedNetwork(tmp_path / "net.npz").predict(x)
    assert list(answers) == ["prediction", "False", "True"]
    np.testing.assert_array_equal(np.stack([*answers.values()][1:], 1), net.predict_proba(x))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.zeros((2, 5)), "must have 6 features, got 5"),
        (np.zeros(6), "must be numbers"),
        (np.full((1, 6), np.nan), "must be finite"),
        (np.array([["a"] * 6], object), "must hold numbers"),
    ],
)
def test_rows_of_another_kind_are_refused(tmp_path: Path, rows: Any, words: str) -> None:
    export(trained(["dense(3)"]), tmp_path / "net.npz")
    with pytest.raises(ValueError, match=words):
        ServedNetwork(tmp_path / "net.npz").predict(rows)


# Plugins ------------------------------------------------------------------------------------------

WAVY = """
import numpy as np
import harness

@harness.activation()
def wavy(z, width: harness.Scalar = 0.5):
    return z + width * np.sin(z) / (1 + np.exp(-z))
"""

# Plain NumPy on buffers of its own, in a layer that nobody has prepared for recording.
MIXED = """
import numpy as np
import harness

@harness.layer()
def mixed():
    def bind(ctx, I):
        y = ctx.empty(I)
        def backward(dy):
            return dy
        def forward(x, train):
            spread = np.abs(x).max(axis=-1, keepdims=True) + 1.0
            y[...] = np.concatenate([x[..., 1:], x[..., :1]], axis=-1) / spread
            return y, backward
        return forward, I
    return bind
"""

# What comes out depends on the values by an `if`: no list of calls says that.
FORKED = """
import numpy as np
import harness

@harness.layer()
def forked():
    def bind(ctx, I):
        y = ctx.empty(I)
        def backward(dy):
            return dy
        def forward(x, train):
            np.multiply(x, 2.0 if x[0, 0] > 0 else 3.0, out=y)
            return y, backward
        return forward, I
    return bind
"""


@pytest.mark.parametrize(("name", "source"), [("wavy", WAVY), ("mixed", MIXED)])
def test_a_plugin_in_numpy_needs_no_harness(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / f"{name}.py").write_text(source)
    load_plugin(str(tmp_path / f"{name}.py"))
    net = trained(["dense(5)", name, "dense(3)"])
    about = export(net, tmp_path / "net.npz", **{f"{name}.py": source})
    assert about["program"] is not None
    assert about["sources"] == {f"{name}.py": source}
    x, _ = points()
    np.save(tmp_path / "x.npy", x)
    answers = bare([("net", tmp_path / "net.npz", tmp_path / "x.npy")], tmp_path)["net"]
    columns = [*answers.values()][1:]
    np.testing.assert_array_equal(np.array(columns, np.float32).T, net.predict_proba(x))


def test_what_no_program_can_say_is_run_by_the_harness(tmp_path: Path) -> None:
    (tmp_path / "forked.py").write_text(FORKED)
    load_plugin(str(tmp_path / "forked.py"))
    net = trained(["dense(5)", "forked", "dense(3)"])
    about = export(net, tmp_path / "net.npz", **{"forked.py": FORKED})
    assert about["program"] is None
    assert any(line.startswith("harness==") for line in about["requirements"])
    x, _ = points()
    answers = ServedNetwork(tmp_path / "net.npz").predict(x)
    np.testing.assert_array_equal(np.stack([*answers.values()][1:], 1), net.predict_proba(x))
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(
        AssertionError, match="can only be run by 'harness', which is not installed"
    ):
        bare([("net", tmp_path / "net.npz", tmp_path / "x.npy")], tmp_path)


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [("float32", 1e-5, 1e-6), ("float64", 1e-13, 1e-15)]
)
def test_answers_of_compiled_loops_differ_in_the_last_digits_alone(
    tmp_path: Path, dtype: str, rtol: float, atol: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums have another order in a loop, and in float32 the functions are others."""
    layers = ["dense(9)", "gelu", "dense(7)", "layer_norm", "tanh", "dense(3)"]
    net = trained(layers, dtype=dtype)
    export(net, tmp_path / "net.npz")
    x, _ = points()
    np.save(tmp_path / "x.npy", x)
    answers = bare([("net", tmp_path / "net.npz", tmp_path / "x.npy")], tmp_path)["net"]
    monkeypatch.delenv("HARNESS_KERNELS")
    saved = net.save(tmp_path / "saved")
    expected = load_model(saved).predict_proba(x)
    columns = [*answers.values()][1:]
    np.testing.assert_allclose(np.array(columns, dtype).T, expected, rtol=rtol, atol=atol)
