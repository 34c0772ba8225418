"""Tables and labels of every type, on every way in: what is missing, what is text, what a label is,
what is decided.
"""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from refusals import refusal

from harness import Config, Model, load_model, mlp
from harness.cli import main
from harness.data import from_arrays, load, scaling
from harness.data.fitted import fit
from harness.data.labels import Places, in_order
from harness.data.scaling import resolve_scale
from harness.errors import UsageError
from harness.training.prepare import prepare, resolved
from harness.trials.identity import identity

X = np.arange(8.0).reshape(8, 1)
ONE: dict[str, Any] = {"batch": 2, "film": None, "valid": 0.0, "epochs": 1}


def net(outputs: int = 2, **more: Any) -> Model:
    return Model(layers=[f"dense({outputs})"], **{**ONE, **more})


def people(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    """A table as people have them: an id, texts, holes, a truth value, a date."""
    random = np.random.default_rng(seed)
    sex = random.choice(["male", "female"], rows)
    age = np.where(random.random(rows) < 0.2, np.nan, random.integers(1, 80, rows))
    return pd.DataFrame(
        {
            "id": [f"no {k}" for k in range(rows)],
            "sex": sex,
            "age": age,
            "port": np.where(random.random(rows) < 0.05, None, random.choice(list("CQS"), rows)),
            "alone": random.random(rows) < 0.5,
            "boarded": pd.date_range("1912-04-01", periods=rows).strftime("%Y-%m-%d"),
            "survived": np.where(random.random(rows) < 0.1, sex == "male", sex == "female").astype(
                int
            ),
        }
    )


# What is missing ----------------------------------------------------------------------------------

HOLES = {
    "list": ["a", "b", np.nan, "a"] * 2,
    "None": ["a", "b", None, "a"] * 2,
    "text of NumPy": np.array(["a", "b", np.nan, "a"] * 2),
    "str": pd.Series(["a", "b", None, "a"] * 2),
    "category": pd.Series(["a", "b", None, "a"] * 2, dtype="category"),
    "object": pd.Series(["a", "b", pd.NA, "a"] * 2, dtype=object),
    "text of pandas": pd.Series(["a", "b", np.nan, "a"] * 2, dtype=object).astype("U3"),
    "StringDType": np.array(["a", "b", np.nan, "a"] * 2, np.dtypes.StringDType(na_object=np.nan)),
    "Int64": pd.Series([0, 1, None, 0] * 2, dtype="Int64"),
    "Float64": pd.Series([0, 1, None, 0] * 2, dtype="Float64"),
    "boolean": pd.Series([True, False, None, True] * 2, dtype="boolean"),
    "float": np.array([0, 1, np.nan, 0] * 2),
    "masked": np.ma.masked_equal([0, 1, 9, 0] * 2, 9),
    "dates": pd.to_datetime(["2020-01-01", "2020-01-02", None, "2020-01-01"] * 2),
}


@pytest.mark.parametrize("kind", HOLES)
def test_a_missing_label_is_refused_on_every_way_in(kind):
    y = HOLES[kind]
    whole = net(2).fit(X, [0, 1] * 4)
    for way in (
        lambda: net(3).fit(X, y),
        lambda: net(3).partial_fit(X, y, classes=["a", "b"]),
        lambda: from_arrays("own", X, y),
        lambda: from_arrays("own", X, [0, 1] * 4, X, y),
        lambda: whole.score(X, y),
    ):
        with refusal("needs a label", "row 2"):
            way()


def test_a_missing_target_of_a_regression_is_refused():
    with refusal("needs a label", "row 1"):
        net(1, loss="squared_error", metric="rmse").fit(X, [0.5, None] * 4)
    with refusal("needs a label", "row 3"):
        from_arrays("own", X, pd.DataFrame({"a": [1.5] * 8, "b": [1, 2, 3, None] * 2}))


HOLED = {
    "NaN": np.where(X == 3, np.nan, X),
    "masked": np.ma.masked_equal(X, 3),
    "masked whole numbers": np.ma.masked_equal(X.astype(int), 3),
    "None": [[None if v == 3 else v] for v in X[:, 0].tolist()],
    "Int64": pd.DataFrame(
        {"a": pd.array([None if v == 3 else int(v) for v in X[:, 0]], dtype="Int64")}
    ),
    "boolean": pd.DataFrame(
        {"a": pd.array([None if v == 3 else v > 4 for v in X[:, 0]], dtype="boolean")}
    ),
    "object": pd.DataFrame({"a": [None if v == 3 else v for v in X[:, 0]]}, dtype=object),
    "texts": pd.DataFrame({"a": [None if v == 3 else "uv"[int(v) % 2] for v in X[:, 0]]}),
    "category": pd.DataFrame(
        {"a": pd.Categorical([None if v == 3 else "uv"[int(v) % 2] for v in X[:, 0]])}
    ),
}


@pytest.mark.parametrize("kind", HOLED)
def test_a_missing_value_is_refused_or_filled_on_every_way_in(kind):
    x = HOLED[kind]
    y = [0, 1] * 4
    with refusal("row 3", "missing"):
        net().fit(x, y)
    text = kind in ("texts", "category")
    if not text:  # of texts a training part decides
        for way in (lambda: from_arrays("own", x, y), lambda: net().partial_fit(x, y, classes=y)):
            with refusal("row 3", "nan"):
                way()
    filled = net(missing="mean").fit(x, y)
    assert filled["0/W"].shape[0] == (3 if text else 2)  # with a feature that says where
    assert filled.predict(x).shape == (8,)


def test_rows_with_holes_are_refused_by_a_network_that_learned_without():
    whole = net().fit(pd.DataFrame({"a": X[:, 0]}), [0, 1] * 4)
    for kind in ("NaN", "masked", "None", "Int64", "object"):
        for use in (whole.predict, whole.predict_proba, lambda x: whole.score(x, [0, 1] * 4)):
            with refusal("row 3", "nan"):
                use(HOLED[kind])


def test_the_mean_is_that_of_the_training_part_and_holes_are_marked():
    x = pd.DataFrame({"a": [1.0, 3.0, np.nan, 8.0], "b": [0.0, 1.0, 0.5, 0.0]})
    data = from_arrays("own", x, [0, 1, 0, 1], missing="mean")
    fitted, features = fit(data, np.array([0, 1, 2]), "none")
    assert fitted.encoding is not None
    assert fitted.encoding.features == ("a", "a missing", "b")
    assert features.tolist() == [[1, 0, 0], [3, 0, 1], [2, 1, 0.5]]
    assert fitted.features(data.table()).tolist()[3] == [8, 0, 0]


# What is text -------------------------------------------------------------------------------------

TYPES = {
    "bool": pd.Series([True, False] * 4),
    "str": pd.Series(["u", "v"] * 4),
    "object": pd.Series(["u", "v"] * 4, dtype=object),
    "category": pd.Series(["u", "v"] * 4, dtype="category"),
    "category of numbers": pd.Series([3, 5] * 4, dtype="category"),
    "string": pd.Series(["u", "v"] * 4, dtype="string"),
    "Int64": pd.Series(range(8), dtype="Int64"),
    "Float64": pd.Series(np.arange(8.0), dtype="Float64"),
    "boolean": pd.Series([True, False] * 4, dtype="boolean"),
    "uint8": pd.Series(range(8), dtype="uint8"),
    "float16": pd.Series(np.arange(8.0), dtype="float16"),
    "objects that are numbers": pd.Series(range(8), dtype=object),
    "numbers and words": pd.Series([1, "one"] * 4, dtype=object),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_column_of_every_type_is_read_alike_from_memory_and_from_files(kind, tmp_path):
    frame = pd.DataFrame({"n": np.arange(8.0), "c": TYPES[kind]})
    y = ["a", "b"] * 4
    own = net().fit(frame, y)
    assert own.predict(frame).shape == (8,)
    answers = own.predict_proba(frame)
    np.testing.assert_array_equal(own.predict_proba(frame[["c", "n"]]), answers)
    if kind == "numbers and words":
        return  # Parquet has no such column
    frame.assign(y=y).to_parquet(tmp_path / "t.parquet")
    frame.assign(y=y).to_csv(tmp_path / "t.csv", index=False)
    kinds = {load(tmp_path / f"t.{end}", label="y").x.shape for end in ("csv", "parquet")}
    assert kinds == {(8, 2)}
    saved = load_model(own.save(tmp_path / "net"))
    np.testing.assert_array_equal(saved.predict_proba(frame), answers)
    read = net(data={"name": "csv", "path": str(tmp_path / "t.csv"), "label": "y"}).fit()
    if kind != "category of numbers":  # which a CSV cannot tell from numbers
        assert read.predict(pd.read_csv(tmp_path / "t.csv")).shape == (8,)
        np.testing.assert_allclose(read.predict_proba(frame), answers, rtol=1e-5)


def test_texts_become_features_of_the_training_part_alone():
    x = pd.DataFrame({"c": ["u", "v", "u", "w"], "n": [1.0, 2.0, 3.0, 4.0]})
    data = from_arrays("own", x, [0, 1, 0, 1])
    fitted, features = fit(data, np.array([0, 1, 2]), "auto")
    assert fitted.encoding is not None
    assert fitted.encoding.features == ("c=u", "c=v", "n")
    assert features.tolist() == [[1, 0, 1], [0, 1, 2], [1, 0, 3]]
    assert fitted.features(data.table()).tolist()[3] == [0, 0, 4]  # "w" is not known
    assert fitted.scale == "standardize"
    np.testing.assert_allclose(fitted.scaling[0], [0, 0, 2])  # texts are never scaled
    np.testing.assert_allclose(fitted.scaling[1], [1, 1, np.std([1, 2, 3])])


def test_a_table_of_people_trains_and_predicts_raw(tmp_path):
    frame = people()
    x = frame.drop(columns=["id", "boarded", "survived"])
    y = frame["survived"]
    one = Model(
        layers=mlp([None, 8, 2]), missing="mean", film=None, update="sgd(0.1)", batch=10, epochs=20
    ).fit(x, y)
    assert one.text_columns == ("sex", "port")
    assert one.score(x, y) > 0.8
    new = people(50, seed=1).drop(columns="survived").sample(frac=1, axis=1, random_state=2)
    new.loc[0, "port"] = "Z"
    again = load_model(one.save(tmp_path / "net"))
    np.testing.assert_array_equal(again.predict_proba(new), one.predict_proba(new))
    with refusal("'age'", "missing"):
        one.predict(new.drop(columns="age"))
    with refusal("'age'", "numbers", "'old'"):
        one.predict(new.assign(age="old"))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([f"no {k}" for k in range(200)], ("200 different texts", "100")),
        (pd.date_range("2020", periods=200), ("dates",)),
        (pd.date_range("2020", periods=200).strftime("%d.%m.%Y"), ("dates", "'01.01.2020'")),
        (pd.to_timedelta(range(200), unit="s"), ("times",)),
        ([*map(str, range(199)), "old"], ("'old' in row 199",)),
        (["1,5", "2,25"] * 100, ("'1,5' in row 0", "decimal", "thousands")),
        ([[1], [2]] * 100, ("list in row 0",)),
        ([1j] * 200, ("complex",)),
    ],
)
def test_columns_that_are_no_features_are_refused_with_the_way_out(column, words):
    frame = pd.DataFrame({"a": np.arange(200.0), "c": column})
    with refusal("'c'", "leave out", *words):
        from_arrays("own", frame, [0, 1] * 100)


# Labels -------------------------------------------------------------------------------------------


def written(path: Path, labels: list[str]) -> Path:
    path.write_text("n,y\n" + "".join(f"{k},{label}\n" for k, label in enumerate(labels)))
    return path


@pytest.mark.parametrize(
    ("train", "test", "classes", "places"),
    [
        (["00501", "501", "10001"], ["501", "00501"], ("00501", "10001", "501"), [2, 0]),
        (["01", "02", "x"], ["01", "02"], ("01", "02", "x"), [0, 1]),
        (["1.0", "2.0", "x"], ["2.0", "1.0"], ("1.0", "2.0", "x"), [1, 0]),
        (["10", "9", "2"], ["9", "2"], ("2", "9", "10"), [1, 0]),
        (["1.0", "2.0"], ["2", "1"], ("1.0", "2.0"), [1, 0]),
        (["True", "False"], ["False", "True"], ("False", "True"), [0, 1]),
        (["1e3", "1000"], ["1000", "1e3"], ("1000", "1e3"), [0, 1]),
    ],
)
def test_a_label_is_the_text_as_written(train, test, classes, places, tmp_path):
    data = load(
        written(tmp_path / "a.csv", train * 2),
        label="y",
        test=str(written(tmp_path / "b.csv", test)),
    )
    assert data.classes == classes
    assert data.y_test is not None
    assert data.y_test.tolist() == places
    assert [data.classes[k] for k in data.y] == train * 2


def test_a_label_is_found_by_its_value_only_where_all_are_numbers():
    assert [Places(["1", "2"]).of(label) for label in (1, 1.0, "1", "1.0", np.int8(2), "01")] == [
        0,
        0,
        0,
        0,
        1,
        None,
    ]
    assert [Places(["01", "1"]).of(label) for label in ("01", 1, "1.0")] == [0, 1, None]
    assert in_order(["10", "9"]) == ("9", "10")
    assert in_order(["10", "09"]) == ("09", "10")


def test_labels_of_a_table_that_is_predicted_are_read_as_where_it_learned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.csv", ["01", "02"] * 20)
    run(
        "run",
        "--data",
        "a.csv",
        "--label",
        "y",
        "--batch",
        "4",
        "--epochs",
        "1",
        "--no-log",
        "--save",
        "net",
    )
    assert "on 40 examples" in run("predict", "net", "a.csv").stderr
    written(tmp_path / "b.csv", ["1", "2"])
    assert "'1' in row 0" in run("predict", "net", "b.csv", code=2).stderr


def test_texts_of_numpy_are_labels():
    y = np.array(["a", "b"] * 4, np.dtypes.StringDType())
    assert set(net().fit(X, y).predict(X)) <= {"a", "b"}
    assert from_arrays("own", X, y).classes == ("a", "b")


# Files --------------------------------------------------------------------------------------------


def run(*words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code, result.output
    return result


def test_natural_commands_train_on_a_table_of_people(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people(300).to_csv("people.csv", index=False)
    people(50, seed=1).sample(frac=1, axis=1, random_state=0).to_csv("new.csv", index=False)
    said = run("run", "--data", "people.csv", "--label", "survived", "--no-log", code=2).stderr
    assert "--drop id,boarded" in said
    assert "drop=" not in said
    words = ["--data", "people.csv", "--label", "survived", "--drop", "id,boarded", "--no-log"]
    assert "--missing mean" in run("run", *words, code=2).stderr
    shown = run("run", *words, "--missing", "mean", "--batch", "10", "--save", "net").output
    assert "2 text columns become 5 features; " in shown
    assert " of 240 values of age filled" in shown
    assert "on 50 examples" in run("predict", "net", "new.csv").stderr


def test_how_a_table_is_written_is_guessed_and_said_or_given(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b;y\n1,5;1.000;u\n2,5;2.500;v\n")
    with refusal("'1,5' in row 0", 'decimal=","'):
        load(path, label="y")
    data = load(path, label="y", decimal=",", thousands=".")
    assert data.x.tolist() == [[1.5, 1000], [2.5, 2500]]
    assert data.notes == ("cells are separated by ';'",)
    with refusal("there is no column 'y'", 'sep=";"'):
        load(path, label="y", sep="tab")
    for bad in ("abc", "", 3):
        with refusal("sep must be one character", repr(bad)):
            load(path, label="y", sep=bad)
    with refusal("decimal and sep must differ"):
        load(path, label="y", sep=",", decimal=",")
    packed = tmp_path / "b.tsv.gz"
    packed.write_bytes(gzip.compress("größe\ty\n1\tu\n2\tv\n".encode("latin-1")))
    with refusal("UTF-8", 'encoding="latin-1"'):
        load(packed, label="y")
    assert load(packed, label="y", encoding="latin-1").features == ("größe",)
    with refusal("no encoding 'klingon'"):
        load(packed, label="y", encoding="klingon")


def test_columns_left_out_need_not_be_in_the_test_part(tmp_path):
    frame = pd.DataFrame({"id": range(4), "a": range(4), "y": list("uvuv")})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.drop(columns="id").to_csv(tmp_path / "b.csv", index=False)
    data = load(tmp_path / "a.csv", label="y", drop=["id"], test=str(tmp_path / "b.csv"))
    assert data.x_test is not None
    assert data.x_test.tolist() == data.x.tolist()


def test_an_empty_cell_in_a_column_of_truth_values(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("b,y\nTrue,u\n,v\nFalse,u\nTrue,v\n")
    with refusal("row 1", "'b'", "missing"):
        load(path, label="y")
    np.testing.assert_array_equal(load(path, label="y", missing="mean").x[:, 0], [1, np.nan, 0, 1])


def test_paths_that_can_be_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for spec in ("csv(path=1)", "npz(path=[1])", "a\0b.csv", "a" * 5000 + ".csv", "b/" * 4000):
        with pytest.raises(UsageError):
            load(spec)
    net().fit(X, [0, 1] * 4).save("net")
    for data in ("a\0b", "a\0b.csv", "a" * 5000, "a" * 5000 + ".csv"):
        assert run("predict", "net", data, code=2).stderr.startswith("Error: ")


def test_an_idx_file_is_not_unpacked_beyond_its_header(tmp_path):
    import tracemalloc

    folder = tmp_path / "toy"
    folder.mkdir()
    header = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (4, 2, 2))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(50_000_000)))
    (folder / "train-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 0, 1)))
    tracemalloc.start()
    with refusal("promises 16 bytes", "more than 16"):
        load(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6
    huge = bytes((0, 0, 8, 3)) + b"\xff" * 12
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(huge + bytes(100)))
    with refusal("cannot hold"):
        load(folder)


# Scale and identity -------------------------------------------------------------------------------


def test_the_scale_auto_is_decided_on_the_training_part():
    small = np.array([[0.5, -1.0], [1.0, 0.0]])
    large = np.array([[0.5, -1.0], [16.0, 0.0]])
    assert resolve_scale("auto", small.astype(np.uint8)) == "/255"
    assert resolve_scale("auto", small) == "none"
    assert resolve_scale("auto", large) == "standardize"
    assert resolve_scale("auto", large, np.array([False, True])) == "none"
    assert resolve_scale("/256", large) == "/256"
    assert [
        prepare(Config(layers=["dense(10)"], data=d, metric=m, loss=loss)).fitted.scale
        for d, m, loss in (
            ("mnist14", "accuracy", "softmax_cross_entropy"),
            ("friedman1", "rmse", "squared_error"),
        )
    ] == ["/255", "none"]
    data = from_arrays("own", np.array([[0.5], [1.0], [0.25], [99.0]]), [0, 1, 0, 1])
    assert [fit(data, rows, "auto")[0].scale for rows in ([0, 1, 2], [0, 3])] == [
        "none",
        "standardize",
    ]


def test_a_table_of_large_numbers_learns_as_it_is(capsys):
    random = np.random.default_rng(0)
    k = random.integers(0, 2, 300)
    x = np.stack([1000 + 100 * k + random.normal(0, 20, 300), random.normal(0, 1e-3, 300)], 1)
    learned = Model(layers=mlp([2, 8, 2]), film=None, update="sgd(0.1)", batch=10, epochs=5).fit(
        x, k
    )
    assert learned.score(x, k) > 0.95
    assert capsys.readouterr().err.count("standardized") == 1


def test_identity_is_of_resolved_settings_and_leaves_defaults_out(tmp_path):
    base = Config(layers=["dense(10)"], data="mnist14", film=None)
    assert (
        identity(base) == identity(base.replace(scale="/255")) == identity(base.replace(inputs=196))
    )
    assert identity(base) != identity(base.replace(scale="/256"))
    assert identity(base) == identity(base.replace(data="mnist14(rows=2000)"))
    assert identity(base) != identity(base.replace(data="mnist14(rows=1000)"))
    assert set(base.settings()) == {"layers", "data", "film"}
    assert resolved(base)["scale"] == "/255"
    path = tmp_path / "people.csv"
    people().to_csv(path, index=False)
    spec = {"name": "csv", "path": str(path), "label": "survived", "drop": ["id", "boarded"]}
    table = Config(layers=["dense(2)"], data={**spec, "missing": "mean"}, film=None)
    assert identity(table) == identity(table.replace(data=spec, missing="mean"))
    less = {**spec, "missing": "mean", "drop": ["id", "boarded", "port"]}
    others = [table.replace(scale="none"), table.replace(split_seed=1), table.replace(data=less)]
    assert len({identity(each) for each in [table, *others]}) == 4


IDENTITY = """
from harness import Config
from harness.data import scaling
from harness.trials.identity import identity

scaling.SMALL = {small}
config = Config(
    layers=["dense(1)"], data="friedman1", metric="rmse", loss="squared_error", film=None
)
print(identity(config))
"""


def test_a_rule_of_auto_that_changes_makes_another_identity():
    # Each in a process of its own, because a process keeps what it has decided of a data set.
    identities = []
    for small in (scaling.SMALL, scaling.SMALL, 0.5):
        command = [sys.executable, "-c", IDENTITY.format(small=small)]
        identities.append(subprocess.run(command, capture_output=True, check=True).stdout)
    assert identities[0] == identities[1] != identities[2]
