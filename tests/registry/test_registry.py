"""Names, specs and plugins: what is read, what is refused, and in which words."""

import hashlib
import json
import linecache
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.builtin.layers import dense, dropout, residual
from harness.errors import UsageError
from harness.registry import interactive, known
from harness.registry.known import ActivationSpec, LayerSpec, Scalar, find
from harness.registry.products import make
from harness.registry.specs import canonical, parse, text


def plugin(folder: Path, source: str, name: str = "mine.py") -> Path:
    file = folder / name
    file.write_text(source)
    return file


SQUARE = """
from harness.registry import activation

@activation({options})
def {name}({parameters}):
    "f(z) = z^2"
    def value(xp, z, out):
        xp.multiply(z, z, out=out)
    def pullback(xp, z, a, da):
        xp.multiply(da, 2.0 * z, out=da)
    return value, pullback
"""


def square(name: str = "squared", parameters: str = "", options: str = "inplace=True") -> str:
    return SQUARE.format(name=name, parameters=parameters, options=options)


# Specs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("relu", {"name": "relu"}),
        (" relu() ", {"name": "relu"}),
        ("dense(100)", {"name": "dense", "*": [100]}),
        ("dense(units=100, init=he)", {"name": "dense", "units": 100, "init": "he"}),
        ("leaky_relu(-0.1)", {"name": "leaky_relu", "*": [-0.1]}),
        (
            "csv(path='a, b(c).csv', label=\"y\")",
            {"name": "csv", "path": "a, b(c).csv", "label": "y"},
        ),
        ("step(0.1, at=[0.5, 0.75])", {"name": "step", "*": [0.1], "at": [0.5, 0.75]}),
        ("f(x=None, y=True, z=(1, 2))", {"name": "f", "x": None, "y": True, "z": [1, 2]}),
        (
            "residual(dense(64), tanh)",
            {"name": "residual", "*": [{"name": "dense", "*": [64]}, "tanh"]},
        ),
    ],
)
def test_parse(spec: str, parsed: dict[str, Any]) -> None:
    assert parse(spec) == parsed


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "dense(100",
        "dense 100",
        "'dense'",
        "100",
        "[dense(1)]",
        "dense(100).bind",
        "dense(**{})",
        "dense(*[1])",
        "dense(1 + 1)",
        "dense(lambda: 1)",
        "dense([i for i in x])",
        "os.system('true')",
        "f(name='g')",
        "relu; relu",
        "dense(units=1, units=2)",
        "(" * 500 + ")" * 500,
        "dense(" + "-" * 100_000 + "1)",
        "relu\0",
    ],
)
def test_what_is_no_spec_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="cannot read the spec"):
        parse(spec)


def test_specs_are_never_evaluated(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    for spec in (
        "__import__('os')",
        f"__import__('pathlib').Path({str(witness)!r}).touch()",
        f"open({str(witness)!r}, 'w')",
        f"dense(open({str(witness)!r}, 'w'))",
        "dense(__import__('os').system('true'))",
    ):
        with pytest.raises(UsageError):
            make("layer", spec)
    assert not witness.exists()
    with pytest.raises(UsageError, match="unknown layer '__import__'"):
        canonical("layer", "__import__('os')")


CANONICAL = [
    ("layer", "relu", {"name": "relu"}),
    ("layer", "dense(100)", {"name": "dense", "units": 100}),
    ("layer", {"name": "dense", "units": np.int64(100)}, {"name": "dense", "units": 100}),
    (
        "layer",
        dense(100, init="glorot"),
        {"name": "dense", "units": 100, "init": {"name": "glorot"}},
    ),
    ("layer", "dense(5, bias=False)", {"name": "dense", "units": 5, "bias": False}),
    ("layer", dropout(np.float64(0.25)), {"name": "dropout", "rate": 0.25}),
    (
        "layer",
        "residual(dense(64), tanh)",
        {"name": "residual", "layers": [{"name": "dense", "units": 64}, {"name": "tanh"}]},
    ),
    (
        "layer",
        residual(dense(64), "tanh"),
        {"name": "residual", "layers": [{"name": "dense", "units": 64}, {"name": "tanh"}]},
    ),
    (
        "update_rule",
        "sgd(cosine(0.1))",
        {"name": "sgd", "learning_rate": {"name": "cosine", "start": 0.1}},
    ),
    (
        "update_rule",
        "sgd('cosine(0.1)')",
        {"name": "sgd", "learning_rate": {"name": "cosine", "start": 0.1}},
    ),
    ("schedule", "step(0.1, at=(0.5, 0.75))", {"name": "step", "start": 0.1, "at": [0.5, 0.75]}),
    (
        "update_rule",
        "compose(clip_norm(1.0), compose(weight_decay(0.1), adam))",
        {
            "name": "compose",
            "rules": [
                {"name": "clip_norm", "limit": 1.0},
                {
                    "name": "compose",
                    "rules": [{"name": "weight_decay", "rate": 0.1}, {"name": "adam"}],
                },
            ],
        },
    ),
]


@pytest.mark.parametrize(("kind", "spec", "normal"), CANONICAL)
def test_canonical(kind: str, spec: Any, normal: dict[str, Any]) -> None:
    assert canonical(kind, spec) == normal
    assert canonical(kind, normal) == normal
    assert canonical(kind, json.loads(json.dumps(normal))) == normal
    assert canonical(kind, parse(text(normal))) == normal
    assert make(kind, spec).spec == normal


def test_text() -> None:
    assert (
        text(canonical("layer", "residual(dense(64, bias=False), tanh)"))
        == "residual(dense(units=64, bias=False), tanh)"
    )
    assert text(canonical("update_rule", "sgd(step(0.1, at=[0.5, 0.75]))")) == (
        "sgd(learning_rate=step(start=0.1, at=[0.5, 0.75]))"
    )
    assert text([{"name": "relu"}, {"name": "tanh"}]) == "relu, tanh"


def test_text_shows_six_digits_of_a_number() -> None:
    for value in (0.1, 0.123456, 1e-8, 2.5e300):
        spec = canonical("layer", dropout(0.5)) | {"rate": value}
        assert canonical("layer", text(spec)) == spec


def test_arguments_before_a_rest() -> None:
    """A factory with named arguments before its *layers, filled or left at their defaults, by every
    road.
    """

    @registry.layer("boxed")
    def boxed(units: int, gain: Scalar = 1.0, *layers: LayerSpec):
        def bind(ctx: Any, I: int) -> Any:
            raise NotImplementedError

        bind.got = units, gain, len(layers)
        return bind

    normal = {
        "name": "boxed",
        "units": 3,
        "gain": 2.0,
        "layers": [{"name": "tanh"}, {"name": "relu"}],
    }
    assert canonical("layer", "boxed(3, 2.0, tanh, relu)") == normal
    assert canonical("layer", normal) == normal
    assert canonical("layer", text(normal)) == normal
    assert make("layer", normal).got == (3, 2.0, 2)
    short = {"name": "boxed", "units": 3, "layers": [{"name": "tanh"}]}
    assert canonical("layer", short) == short
    assert make("layer", short).got == (3, 1.0, 1)
    assert make("layer", "boxed(3)").got == (3, 1.0, 0)
    with pytest.raises(UsageError, match="missing a required argument: 'units'"):
        canonical("layer", {"name": "boxed", "layers": []})


def test_factories_read_their_own_signature() -> None:
    entry = find("layer", "dense")
    assert entry.signature == "dense(units, init='glorot', bias='zeros')"
    assert entry.summary == "y = x @ W + b"
    assert entry.role("init") == "initializer"
    assert entry.role("units") is None
    assert find("layer", "residual").signature == "residual(*layers)"
    assert find("layer", "dropout").role("rate") == "scalar"


def test_products_carry_their_spec_and_names_build_them() -> None:
    product = dense(3)
    assert product.spec == {"name": "dense", "units": 3}
    assert make("layer", product) is product
    assert dense.__name__ == "dense"
    assert "units" in dense.__signature__.parameters


# Scalars of a population --------------------------------------------------------------------------


def test_shape_leaves_scalars_out() -> None:
    shape = registry.shape(
        "update_rule", canonical("update_rule", "compose(clip_norm(1.0), momentum(0.1, decay=0.5))")
    )
    assert shape == {"name": "compose", "rules": [{"name": "clip_norm"}, {"name": "momentum"}]}
    shape = registry.shape(
        "layer", canonical("layer", "residual(dense(5), leaky_relu(0.3), dropout(0.1))")
    )
    assert shape == {
        "name": "residual",
        "layers": [{"name": "dense", "units": 5}, {"name": "leaky_relu"}, {"name": "dropout"}],
    }


def test_merge_makes_lists_of_scalars() -> None:
    specs = [
        canonical("update_rule", f"compose(clip_norm, momentum({r}))")
        for r in ("0.1", "decay=0.5", "cosine(0.2)")
    ]
    assert registry.merge("update_rule", specs) == {
        "name": "compose",
        "rules": [
            {"name": "clip_norm"},
            {
                "name": "momentum",
                "learning_rate": [0.1, 0.1, {"name": "cosine", "start": 0.2}],
                "decay": [0.9, 0.5, 0.9],
            },
        ],
    }


# Wrong names and arguments ------------------------------------------------------------------------


DENSE = "layer dense(units, init='glorot', bias='zeros')"


@pytest.mark.parametrize(
    ("kind", "spec", "sentence"),
    [
        ("layer", "dens(10)", "unknown layer 'dens'; did you mean 'dense'"),
        ("layer", "rellu", "unknown layer 'rellu'; did you mean 'relu'"),
        (
            "layer",
            "dense(unit=3)",
            f"{DENSE} has no argument 'unit'; did you mean 'units' or 'init'?",
        ),
        (
            "activation",
            "relu(slope=1)",
            "activation relu() has no argument 'slope'; it takes no arguments",
        ),
        (
            "layer",
            "dense",
            f"{DENSE}: missing a required argument: 'units'; give the arguments as shown",
        ),
        (
            "layer",
            "dense(1, he, zeros, 4)",
            f"{DENSE}: too many positional arguments; give the arguments as shown",
        ),
        (
            "layer",
            "dense(1, units=2)",
            f"{DENSE}: multiple values for argument 'units'; give the arguments as shown",
        ),
        ("layer", "dense(5, init=hee)", "unknown initializer 'hee'; did you mean 'he'"),
        ("layer", "residual(dense(5), tanhh)", "unknown layer 'tanhh'; did you mean 'tanh'"),
        ("activation", "dense(3)", "unknown activation 'dense'; "),
        ("layer", 7, "layer must be a name, a spec or a product of its factory, got 7"),
        (
            "layer",
            {"units": 3},
            "layer must be a name, a spec or a product of its factory, got {'units': 3}",
        ),
        (
            "update_rule",
            None,
            "update rule must be a name, a spec or a product of its factory, got None",
        ),
    ],
)
def test_remedies(kind: str, spec: Any, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        canonical(kind, spec)
    assert str(caught.value).startswith(sentence)


def test_without_a_near_name_all_are_listed() -> None:
    with pytest.raises(UsageError) as caught:
        find("schedule", "xyzzy")
    names = ", ".join(e.name for e in registry.entries("schedule"))
    assert str(caught.value) == f"unknown schedule 'xyzzy'; there is {names}"


def test_a_list_that_nobody_reads_is_named() -> None:
    with pytest.raises(
        UsageError,
        match=r"^unknown update rule 'xyzzy'; `harness list update_rule` shows what "
        r"there is$",
    ):
        find("update_rule", "xyzzy")
    names = [f"column{k}" for k in range(784)]
    assert registry.suggest("xyzzy", names).endswith("column11, ... (784 in all)")
    assert registry.suggest("colum7", names).startswith("did you mean 'column7' or")


def test_make_refuses_what_is_neither_spec_nor_product() -> None:
    with pytest.raises(
        UsageError, match="layer must be a name, a spec or a product of its factory, got 3"
    ):
        make("layer", 3)


def test_a_name_must_be_an_identifier() -> None:
    with pytest.raises(
        UsageError, match="layer: a name must be a Python identifier, got 'my layer'"
    ):
        registry.layer("my layer")(lambda: None)


def test_an_argument_may_not_be_called_name() -> None:
    with pytest.raises(UsageError, match="must not have a parameter called 'name'"):

        @registry.schedule("called")
        def called(name: str = "x"):
            return lambda t: 0.0


def test_a_factory_must_return_something_that_carries_its_spec() -> None:
    @registry.layer("seven")
    def seven():
        return 7

    with pytest.raises(
        UsageError,
        match=r"the layer 'seven' must return a function bind\(ctx, I\), got int; see "
        r".*\.py",
    ):
        seven()


# Clashes and plugins ------------------------------------------------------------------------------


def test_a_plugin_file(tmp_path: Path) -> None:
    file = plugin(
        tmp_path, square(parameters="slope: Scalar = 2.0").replace("import", "import Scalar,")
    )
    registry.load_plugin(file)
    entry = find("activation", "squared")
    assert (entry.origin, entry.summary, entry.signature) == (
        str(file),
        "f(z) = z^2",
        "squared(slope=2.0)",
    )
    assert entry.role("slope") == "scalar"
    np.testing.assert_array_equal(make("activation", "squared")(np.array([3.0])), [9.0])
    assert registry.plugins()[str(file)] == hashlib.sha256(file.read_bytes()).hexdigest()
    registry.load_plugin(str(file))  # twice is once
    assert find("activation", "squared") is entry


def test_a_changed_plugin_file_is_loaded_anew(tmp_path: Path) -> None:
    file = plugin(tmp_path, square("first") + square("second"))
    registry.load_plugin(file)
    before = registry.plugins()[str(file)]
    plugin(tmp_path, square("second") + square("third"))
    registry.load_plugin(file)
    assert [e.name for e in registry.entries("activation") if e.origin == str(file)] == [
        "second",
        "third",
    ]
    assert registry.plugins()[str(file)] != before


def test_annotations_as_text(tmp_path: Path) -> None:
    source = "from __future__ import annotations\nimport harness.registry as r\n"
    source += "from harness.registry import LayerSpec, Scalar, layer\n"
    source += (
        "@layer()\ndef wrapped(*layers: LayerSpec, gain: Scalar = 1.0, gate: r.ActivationSpec = "
        "'tanh', n: int = 3):\n"
    )
    source += "    return lambda ctx, I: None\n"
    registry.load_plugin(plugin(tmp_path, source))
    entry = find("layer", "wrapped")
    assert [entry.role(k) for k in entry.parameters] == ["layer", "scalar", "activation", None]


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    home = find("activation", "relu").origin
    file = plugin(tmp_path, square("relu"))
    with pytest.raises(UsageError) as caught:
        registry.load_plugin(file)
    assert str(caught.value) == (
        f"the activation name 'relu' from {file} is taken by the activation from {home}; "
        "register yours under another name"
    )
    assert str(file) not in registry.plugins()
    # layers and activations share their names, because a layer may be named after an activation
    with pytest.raises(
        UsageError,
        match=r"the activation name 'dense' from .* is taken by the "
        r"layer from",
    ):
        registry.load_plugin(plugin(tmp_path, square("dense"), "other.py"))
    first = plugin(tmp_path, square("twin"), "a.py")
    second = plugin(tmp_path, square("twin"), "b.py")
    registry.load_plugin(first)
    with pytest.raises(UsageError, match=r"taken by the activation from .*a\.py"):
        registry.load_plugin(second)


def test_one_name_for_two_functions_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "copied.py"
    head = "import numpy as np\nfrom harness import activation\n"
    one, two = (
        f'@activation("copied")\ndef {name}(z):\n    return np.tanh(z)\n'
        for name in ("first", "second")
    )
    file.write_text(head + one + two)
    with pytest.raises(
        UsageError,
        match=r"'copied' is given twice in .*copied\.py, to first and to second; "
        r"register one",
    ):
        registry.load_plugin(file)
    assert ("activation", "copied") not in registry.table()
    # A function of another name in its place is a new version of the file
    for version in (one, two):
        file.write_text(head + version)
        registry.load_plugin(file)
    registry.unload_plugin(file)


@pytest.mark.parametrize("name", ["import", "None", 3, "my act"])
def test_names_that_no_spec_can_hold(name: Any) -> None:
    with pytest.raises(UsageError, match="a name must be a Python identifier, got"):

        @registry.activation(name)
        def f(z):
            return z


@pytest.mark.parametrize(("key", "value"), [("direction", "min"), ("task", "regresion")])
def test_a_metric_says_which_way_and_for_what(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"a metric's {key} must be '.*' or '.*', got '{value}'"):
        registry.metric("never", **{key: value})


@pytest.mark.parametrize(
    ("kind", "made", "form"),
    [
        ("update_rule", lambda u, arena, state: None, r"Rule\(init, update\), got function"),
        ("dataset", ([[1.0]], [0]), "a Dataset, such as harness.data.from_arrays makes, got tuple"),
        ("loss", (1, 2), r"a function bind\(ctx, O\), got tuple"),
        ("initializer", [1.0], r"a function draw\(rng, shape, fan_in, fan_out\), got list"),
    ],
)
def test_a_factory_must_return_what_its_kind_is(
    kind: str, made: Any, form: str, monkeypatch
) -> None:

    @getattr(registry, kind)("odd")
    def odd():
        return made

    with pytest.raises(
        UsageError,
        match=f"the {kind.replace('_', ' ')} 'odd' must return {form}; see .*test_registry",
    ):
        odd()


@pytest.mark.parametrize("reference", ["", ".", "..", "a b", "x."])
def test_what_is_neither_file_nor_module_is_no_plugin(reference: str) -> None:
    with pytest.raises(UsageError, match=r"a plugin must be a \.py file or"):
        registry.load_plugin(reference)


def test_cells_of_a_notebook_may_run_again() -> None:
    for cell in ("/tmp/cell_1.py", "/tmp/cell_2.py"):
        source = "from harness.registry import schedule\n@schedule()\ndef half():\n    return lambda t: 0.5\n"
        linecache.cache[cell] = (len(source), None, source.splitlines(keepends=True), cell)
        exec(compile(source, cell, "exec"), {"__name__": "__main__"})
    assert find("schedule", "half").origin == "/tmp/cell_2.py"
    with pytest.raises(UsageError, match=r"taken by the schedule from /tmp/cell_2\.py"):

        @registry.schedule("half")
        def half():
            return lambda t: 0.5


def test_a_plugin_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    file = plugin(tmp_path, square("early"))
    registry.load_plugin(file)
    before = registry.plugins()
    entry = find("activation", "early")
    plugin(tmp_path, square("late") + "\nraise ZeroDivisionError('mine')\n")
    with pytest.raises(ZeroDivisionError, match="mine"):
        registry.load_plugin(file)
    assert registry.plugins() == before
    assert find("activation", "early") is entry
    with pytest.raises(UsageError, match="unknown activation 'late'"):
        find("activation", "late")


def test_plugins_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"a plugin must be a .py file or a module, there is no "
        r"file 'nowhere/x.py'",
    ):
        registry.load_plugin("nowhere/x.py")
    with pytest.raises(UsageError, match=r"there is no module 'nowhere\.at\.all'"):
        registry.load_plugin("nowhere.at.all")


def test_a_dotted_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_lab_plugins"
    package.mkdir()
    plugin(package, "", "__init__.py")
    file = plugin(package, square("lab_square"), "shapes.py")
    plugin(package, "import numpy_that_is_missing\n", "broken.py")
    monkeypatch.syspath_prepend(tmp_path)
    registry.load_plugin("some_lab_plugins.shapes")
    assert find("activation", "lab_square").origin == str(file)
    assert (
        registry.plugins()["some_lab_plugins.shapes"]
        == hashlib.sha256(file.read_bytes()).hexdigest()
    )
    # The plugin's own mistake stays its own
    with pytest.raises(ModuleNotFoundError, match="numpy_that_is_missing"):
        registry.load_plugin("some_lab_plugins.broken")
    for name in [m for m in sys.modules if m.startswith("some_lab_plugins")]:
        monkeypatch.delitem(sys.modules, name)


def test_a_broken_entry_point_is_a_warning(tmp_path: Path) -> None:
    # What an installed package leaves behind, for a process that has loaded no entry points yet
    package = tmp_path / "lost-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: lost\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[harness.plugins]\nlost = no_such_module_anywhere\n")
    code = (
        "from harness import registry\n"
        "registry.load_entry_points()\n"
        "registry.load_entry_points()\n"
        "print(len(registry.entries('activation')))"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    said = "RuntimeWarning: the plugin 'lost' (no_such_module_anywhere) could not be loaded"
    assert done.stderr.count(said) == 1
    assert int(done.stdout) > 20


def test_entries_are_in_order() -> None:
    names = [(registry.KINDS.index(e.kind), e.name) for e in registry.entries()]
    assert names == sorted(names)
    assert {e.kind for e in registry.entries("loss")} == {"loss"}


def test_a_digest_knows_every_class_that_a_plugin_names() -> None:
    """Of what is typed at a prompt there is no file whose source would tell them apart."""
    source = """
class One:
    k = 1

class Two:
    k = {k}

def factory():
    return One, Two
"""
    digests = set()
    for k in range(3):
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(source.format(k=k), names)
        digests.add(interactive.digest(names["factory"]))
    assert len(digests) == 3


def test_activation_as_argument() -> None:
    @registry.layer("gated")
    def gated(gate: ActivationSpec = "sigmoid"):
        def bind(ctx: Any, I: int) -> Any:
            raise NotImplementedError

        return bind

    relu = make("activation", "relu")
    assert canonical("layer", {"name": "gated", "gate": relu}) == {
        "name": "gated",
        "gate": {"name": "relu"},
    }
    assert canonical("layer", "gated(leaky_relu(0.2))") == {
        "name": "gated",
        "gate": {"name": "leaky_relu", "slope": 0.2},
    }
    assert canonical("layer", "gated") == {"name": "gated"}


@pytest.mark.parametrize(
    "kind", ["activation", "layer", "update_rule", "loss", "initializer", "schedule", "metric"]
)
def test_a_decorator_without_parentheses_registers_too(kind: str) -> None:
    def bare(k: float = 1.0) -> None:
        """y = nothing"""

    try:
        call = getattr(registry, kind)(bare)
        assert registry.find(kind, "bare").factory is bare
        assert call.__name__ == "bare"
    finally:
        known.registered.pop((kind, "bare"), None)
