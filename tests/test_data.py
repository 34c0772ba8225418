"""Data sets: what is shipped, what users bring, what is refused, the split, indicator rows and
scaling.
"""

import gzip
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import registry
from harness.builtin import datasets as builtin
from harness.data import Dataset, from_arrays, indicator, load, split
from harness.data.scaling import apply_scale, fit_scale
from harness.errors import UsageError

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def refusal(*words: str) -> "pytest.RaisesExc[UsageError]":
    """A UsageError of one line in which every word occurs."""
    return pytest.RaisesExc(
        UsageError, check=lambda e: "\n" not in str(e) and all(word in str(e) for word in words)
    )


# What is shipped ----------------------------------------------------------------------------------


def test_mnist_is_mnist():
    data = load("mnist")
    assert (data.x.shape, data.x.dtype, data.y.shape, data.y.dtype) == (
        (60000, 784),
        np.uint8,
        (60000,),
        np.int64,
    )
    assert data.x_test is not None
    assert data.y_test is not None
    assert (data.x_test.shape, data.y_test.shape) == ((10000, 784), (10000,))
    assert data.classes == tuple("0123456789")
    assert (data.shape, data.task) == ((28, 28), "classification")
    assert data.y[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert data.y_test[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    assert np.bincount(data.y).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    # The published mean and standard deviation of the training pixels are 0.1307 and 0.3081.
    mean = data.x.mean() / 255
    assert mean == pytest.approx(0.1307, abs=5e-5)
    squares = (
        np.bincount(data.x.ravel(), minlength=256) @ (np.arange(256.0) / 255) ** 2 / data.x.size
    )
    assert np.sqrt(squares - mean**2) == pytest.approx(0.3081, abs=5e-5)
    # The files as published, not as compressed here.
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    published = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    assert hashlib.sha256(header + data.x.tobytes()).hexdigest() == published
    assert data.digest == "7b3bf0dd4207df8c0966946cc9ae1be2edd7b754b2788d05d0b437712d6eab58"


def test_rows_of_mnist_are_its_first_rows():
    data, few = load("mnist"), load("mnist", rows=100)
    np.testing.assert_array_equal(few.x, data.x[:100])
    np.testing.assert_array_equal(few.y, data.y[:100])
    np.testing.assert_array_equal(few.y_test, data.y_test)
    for bad in (0, -1, 60001, 1.5, True, "all"):
        with refusal("in [1, 60000]", repr(bad)):
            load("mnist", rows=bad)


@pytest.mark.parametrize("file", sorted(builtin.SHA256))
def test_a_flipped_byte_is_refused(file, tmp_path, monkeypatch):
    shutil.copytree(builtin.FOLDER, tmp_path / "mnist")
    raw = bytearray((tmp_path / "mnist" / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "mnist" / file).write_bytes(raw)
    monkeypatch.setattr(builtin, "FOLDER", tmp_path / "mnist")
    with refusal(file, "SHA-256", "reinstall"):
        builtin.mnist()
    (tmp_path / "mnist" / file).unlink()
    with refusal(file, "reinstall"):
        builtin.mnist()


def test_mnist14_is_mnist_pooled():
    data, full = load("mnist14"), load("mnist")
    assert data.x_test is not None
    assert full.x_test is not None
    assert (data.x.shape, data.x_test.shape, data.shape) == ((2000, 196), (1000, 196), (14, 14))
    one = full.x[7].reshape(28, 28).astype(int)
    for r, c in ((3, 5), (7, 7), (10, 6)):
        mean = one[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean()
        assert data.x[7].reshape(14, 14)[r, c] == int(mean + 0.5)
    np.testing.assert_array_equal(data.y, full.y[:2000])


def test_friedman1_is_its_formula():
    data = load("friedman1(rows=4000, seed=3)")
    assert (data.x.shape, data.y.shape, data.x.dtype, data.y.dtype) == (
        (4000, 10),
        (4000, 1),
        np.float32,
        np.float32,
    )
    assert (data.task, data.classes) == ("regression", ())
    a, b, c, d, e = data.x.T[:5].astype(float)
    noise = data.y[:, 0] - (10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e)
    assert abs(noise.mean()) < 0.06
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert (
        builtin.friedman1(seed=3).digest
        == builtin.friedman1(seed=3).digest
        != builtin.friedman1(seed=4).digest
    )
    with refusal("seed", "-1"):
        builtin.friedman1(seed=-1)


# The Dataset --------------------------------------------------------------------------------------


def test_arrays_are_read_only_and_the_callers_stay_writeable():
    x = X.copy()
    data = Dataset("toy", x, Y, tuple("rst"), x_test=x, y_test=Y)
    for made in (data, from_arrays("toy", x, Y, x, Y), pickle.loads(pickle.dumps(data))):
        for array in (made.x, made.y, made.x_test, made.y_test):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    x[0, 0] = 5
    with pytest.raises(AttributeError):
        data.x = x  # type: ignore[misc]


def test_the_digest_knows_content_and_not_the_name():
    base = from_arrays("a", X, Y, X, Y, classes=["r", "s", "t"])
    assert base.digest == from_arrays("b", X.copy(), Y, X, Y, classes=["r", "s", "t"]).digest
    assert base.digest == pickle.loads(pickle.dumps(base)).digest
    other = X.copy()
    other[5, 3] = -1
    digests = {
        base.digest,
        from_arrays("a", other, Y, X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y[::-1], X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, other, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, X, Y[::-1], classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X, Y, X, Y, classes=["r", "s", "u"]).digest,
        from_arrays("a", X.astype(float), Y, X, Y, classes=["r", "s", "t"]).digest,
        from_arrays("a", X.reshape(6, 2, 2)[:, :, :1], Y).digest,
    }
    assert len(digests) == 9


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        ([7, -3, 7, 10, -3, 10], ("-3", "7", "10"), [1, 0, 1, 2, 0, 2]),
        (["b", "a", "b", "c", "a", "c"], ("a", "b", "c"), [1, 0, 1, 2, 0, 2]),
        ([2.0, 1.0, 2.0, 1.0, 1.0, 2.0], ("1", "2"), [1, 0, 1, 0, 0, 1]),
        ([True, False, True, False, False, True], ("False", "True"), [1, 0, 1, 0, 0, 1]),
        (np.array(["b", "a", "b", "a", "a", "b"], dtype=object), ("a", "b"), [1, 0, 1, 0, 0, 1]),
        (np.array([[1], [0], [1], [0], [0], [1]]), ("0", "1"), [1, 0, 1, 0, 0, 1]),
    ],
)
def test_labels_become_consecutive(y, classes, labels):
    data = from_arrays("toy", X, y, X[:2], np.asarray(y)[:2])
    assert (data.classes, data.y.tolist(), data.task) == (classes, labels, "classification")
    assert data.y_test is not None
    assert (data.y.dtype, data.y_test.dtype, data.y_test.tolist()) == (
        np.int64,
        np.int64,
        labels[:2],
    )


def test_fractions_are_a_regression():
    y = np.array([0.5, 1, 2, 3, 4, 5])
    data = from_arrays("toy", X, y)
    assert (data.task, data.y.shape, data.y.dtype, data.classes) == (
        "regression",
        (6, 1),
        np.float64,
        (),
    )
    assert from_arrays("toy", X, np.stack([y, y], 1).astype(np.float32)).y.shape == (6, 2)
    whole = from_arrays("toy", X, Y, task="regression")
    assert whole.y.tolist() == [[0], [1], [2], [0], [1], [2]]
    assert from_arrays("toy", X, [0.5, 1.5, 0.5, 1.5, 1.5, 0.5], task="classification").classes == (
        "0.5",
        "1.5",
    )


def test_features_keep_their_value_and_become_a_known_type():
    def kind(x: np.ndarray, **options: object) -> np.dtype:
        data = from_arrays("toy", x, Y, **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(data.x, x.reshape(6, -1))
        assert data.x.flags.c_contiguous
        return data.x.dtype

    whole = X.astype(np.int64)
    assert kind(X) == np.float32
    assert kind(X.astype(">f8")) == np.float64
    assert kind(X.astype(np.float16)) == np.float32
    assert kind(np.asfortranarray(X)) == np.float32
    assert kind(X.astype(np.uint8)) == np.uint8
    assert kind(whole) == np.float32
    assert kind(whole, shape=(2, 2)) == np.uint8
    assert kind(-whole, shape=(2, 2)) == np.float32
    # 2**24 + 1 is the first whole number that float32 lacks
    assert kind(whole + 2**24) == np.float64
    assert kind(whole > 3) == np.float32
    assert from_arrays("toy", whole.reshape(6, 2, 2), Y).shape == (2, 2)
    assert from_arrays("toy", whole.reshape(6, 2, 1, 2), Y).x.shape == (6, 4)


def spoiled(row: int, column: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, column] = value
    return x


@pytest.mark.parametrize(
    ("words", "make"),
    [
        (("nan", "row 4", "column 2"), lambda: from_arrays("toy", spoiled(4, 2, np.nan), Y)),
        (
            ("-inf", "row 1", "'size'"),
            lambda: from_arrays("toy", spoiled(1, 0, -np.inf), Y, features=["size", *"abc"]),
        ),
        (("x_test", "nan", "row 0"), lambda: from_arrays("toy", X, Y, spoiled(0, 0, np.nan), Y)),
        (("y", "nan", "row 2"), lambda: from_arrays("toy", X, [0, 1, np.nan, 0, 1, 2])),
        (("y", "inf", "row 2"), lambda: from_arrays("toy", X, [0.5, 1, np.inf, 0, 1, 2])),
        (("(rows, features)", "(6,)", "reshape"), lambda: from_arrays("toy", X[:, 0], Y)),
        (("6 rows", "5"), lambda: from_arrays("toy", X, Y[:5])),
        (("at least one row", "(0, 4)"), lambda: from_arrays("toy", X[:0], Y[:0])),
        (("at least one", "(6, 0)"), lambda: from_arrays("toy", X[:, :0], Y)),
        (("two classes", "'1'"), lambda: from_arrays("toy", X, np.ones(6, int))),
        (
            ("two classes", "'s'"),
            lambda: from_arrays("toy", X, np.ones(6, int), classes=["r", "s"]),
        ),
        (
            ("0..2", "-1", "row 3"),
            lambda: from_arrays("toy", X, [0, 1, 2, -1, 1, 2], classes=["r", "s", "t"]),
        ),
        (("0..1", "got 2", "row 2"), lambda: from_arrays("toy", X, Y, classes=["r", "s"])),
        (
            ("y_test", "0..2", "got 3"),
            lambda: from_arrays("toy", X, Y, X, Y + 1, classes=["r", "s", "t"]),
        ),
        (("differ",), lambda: from_arrays("toy", X, Y, classes=["r", "s", "s"])),
        (
            ("positions", "<U1"),
            lambda: from_arrays("toy", X, list("rstrst"), classes=["r", "s", "t"]),
        ),
        (
            ("classes of the training", "'9'", "test row 1"),
            lambda: from_arrays("toy", X, Y, X[:2], [0, 9]),
        ),
        (("(4,)", "(3,)"), lambda: from_arrays("toy", X, Y, X[:, :3], Y)),
        (("both x_test and y_test",), lambda: from_arrays("toy", X, Y, X)),
        (
            ("y_test", "(1,)", "(2,)"),
            lambda: from_arrays("toy", X, Y / 2, X, np.ones((6, 2)) / 2, task="regression"),
        ),
        (("shape (3, 3)", "4"), lambda: from_arrays("toy", X, Y, shape=(3, 3))),
        (("(rows, cols)", "7"), lambda: from_arrays("toy", X, Y, shape=7)),  # type: ignore[arg-type]
        (("4 features", "got 1"), lambda: from_arrays("toy", X, Y, features=["one"])),
        (("numbers", "<U1"), lambda: from_arrays("toy", np.array([list("abcd")] * 6), Y)),
        (("one length",), lambda: from_arrays("toy", [[1, 2], [3]], [0, 1])),
        (("argmax",), lambda: from_arrays("toy", X, np.eye(6, 3, dtype=int))),
        (
            ("regression needs numbers",),
            lambda: from_arrays("toy", X, list("rstrst"), task="regression"),
        ),
        (("task", "'sorting'"), lambda: from_arrays("toy", X, Y, task="sorting")),
        (
            ("60 different whole numbers", 'task="regression"'),
            lambda: from_arrays("toy", np.ones((60, 2)), np.arange(60)),
        ),
        (("int64", "float64"), lambda: Dataset("toy", X, Y.astype(float), ("r", "s", "t"))),
        (("int64", "int32"), lambda: Dataset("toy", X, Y.astype(np.int32), ("r", "s", "t"))),
        (
            ("uint8, float32 or float64", "int64"),
            lambda: Dataset("toy", X.astype(int), Y, ("r", "s", "t")),
        ),
    ],
)
def test_bad_arrays_are_refused(words: tuple[str, ...], make: Callable[[], Dataset]):
    with refusal("toy", *words):
        make()


# Files --------------------------------------------------------------------------------------------


def test_npz(tmp_path):
    path = tmp_path / "toy.npz"
    pictures = np.arange(54, dtype=np.uint8).reshape(6, 3, 3)
    np.savez(
        path, x=pictures, y=Y, x_test=pictures[:2], y_test=Y[:2], classes=np.array(["r", "s", "t"])
    )
    data = load(path)
    assert (data.name, data.shape, data.classes, data.x.dtype) == (
        "toy.npz",
        (3, 3),
        ("r", "s", "t"),
        np.uint8,
    )
    np.testing.assert_array_equal(data.x, pictures.reshape(6, 9))
    assert data.y_test is not None
    assert data.y_test.tolist() == [0, 1]
    np.savez_compressed(path, x=X, y=Y / 2)
    assert load(f'npz("{path}")').task == "regression"
    assert load(f'npz("{path}", task="classification", shape=(2, 2))').classes == ("0", "0.5", "1")


@pytest.mark.parametrize(
    ("words", "arrays"),
    [
        (("'y' is missing", "labels"), {"x": X, "labels": Y}),
        (("'x' is missing", "did you mean 'x1'"), {"x1": X, "y": Y}),
        (("count from 0", "got -1", "row 3"), {"x": X, "y": np.array([0, 1, 2, -1, 0, 1])}),
        (("0..1", "got 2"), {"x": X, "y": Y, "classes": np.array(["r", "s"])}),
        (
            ("plain arrays", "allow_pickle"),
            {"x": X, "y": np.array([*"abc", None, {}, 1], dtype=object)},
        ),
        (("nan", "row 0", "column 1"), {"x": spoiled(0, 1, np.nan), "y": Y}),
    ],
)
def test_bad_npz(words, arrays, tmp_path):
    path = tmp_path / "toy.npz"
    np.savez(path, **arrays)
    with refusal("toy.npz", *words):
        load(str(path))


def test_an_npz_that_is_none(tmp_path):
    path = tmp_path / "toy.npz"
    np.savez(path, x=X, y=Y)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[whole.index(X.tobytes()) + 5] ^= 1
    for content in (whole[: len(whole) // 2], b"", b"hello", bytes(damaged)):
        path.write_bytes(content)
        with refusal("toy.npz", "cannot be read"):
            load(path)
    with path.open("wb") as file:
        np.save(file, X)
    with refusal("toy.npz", "single array"):
        load(path)
    with refusal("no file", "nowhere.npz"):
        load("nowhere.npz")


FRAME = pd.DataFrame(
    {"a": [1, 2, 3, 4], "b": [0.5, 1.5, 2.5, 3.5], "kind": ["cat", "dog", "cat", "dog"]}
)


def save(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables(suffix, tmp_path):
    path = save(FRAME, tmp_path / f"pets.{suffix}")
    test = save(FRAME[["b", "kind", "a"]][1:3], tmp_path / f"more.{suffix}")
    data = load(path, label="kind", test=str(test))
    assert (data.name, data.classes, data.features) == (
        f"pets.{suffix}",
        ("cat", "dog"),
        ("a", "b"),
    )
    assert data.x.tolist() == [[1, 0.5], [2, 1.5], [3, 2.5], [4, 3.5]]
    assert data.y.tolist() == [0, 1, 0, 1]
    assert data.x_test is not None
    assert data.y_test is not None
    assert (data.x_test.tolist(), data.y_test.tolist()) == ([[2, 1.5], [3, 2.5]], [1, 0])
    assert load(path, label="b", drop=["kind"]).y.tolist() == [[0.5], [1.5], [2.5], [3.5]]
    assert load(path, label="a", drop="kind").classes == ("1", "2", "3", "4")
    assert load(path, label="a", drop="kind", task="regression").task == "regression"
    assert load(f'{suffix}("{path}", label=kind)').digest == load(path, label="kind").digest

    pixels = pd.DataFrame(np.arange(24).reshape(4, 6) * 11, columns=[f"p{k}" for k in range(6)])
    path = save(pixels.assign(digit=[3, 8, 3, 8]), tmp_path / f"pictures.{suffix}")
    data = load({"name": suffix, "path": str(path), "label": "digit", "shape": [2, 3]})
    assert (data.x.dtype, data.shape, data.classes) == (np.uint8, (2, 3), ("3", "8"))
    assert data.x.tolist() == (np.arange(24).reshape(4, 6) * 11).tolist()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("words", "change", "options"),
    [
        (("'knd'", "a, b, kind", "did you mean 'kind'"), {}, {"label": "knd"}),
        (("which column", 'label="kind"', "a, b, kind"), {}, {}),
        (("'c'", "a, b, kind"), {}, {"label": "kind", "drop": ["c"]}),
        (
            ("'b'", "'big'", "row 2"),
            {"b": ["1", "2", "big", "4"]},
            {"label": "kind", "max_texts": 3},
        ),
        (("nan", "row 3", "'b'"), {"b": [1, 2, 3, None]}, {"label": "kind"}),
        (("inf", "row 0", "'b'"), {"b": [np.inf, 2, 3, 4]}, {"label": "kind"}),
        (("label", "'kind'", "row 1"), {"kind": ["cat", None, "dog", "cat"]}, {"label": "kind"}),
        (("two classes", "'cat'"), {"kind": "cat"}, {"label": "kind"}),
        (("shape", "(3, 3)"), {}, {"label": "kind", "shape": [3, 3]}),
        (("regression needs numbers",), {}, {"label": "kind", "task": "regression"}),
    ],
)
def test_bad_tables(suffix, words, change, options, tmp_path):
    path = save(FRAME.assign(**change), tmp_path / f"pets.{suffix}")
    with refusal(f"pets.{suffix}", *words):
        load(path, **options)


def test_tables_of_odd_types(tmp_path):
    frame = FRAME.assign(a=pd.array([1, 2, 3, 4], dtype="Int64"), b=[True, False, True, True])
    path = save(frame, tmp_path / "pets.parquet")
    data = load(path, label="kind")
    assert (data.x.tolist(), data.x.dtype) == ([[1, 1], [2, 0], [3, 1], [4, 1]], np.float64)
    save(frame.assign(a=pd.array([1, None, 3, 4], dtype="Int64")), path)
    with refusal("nan", "row 1", "'a'"):
        load(path, label="kind")
    save(FRAME.assign(a=pd.date_range("2020-01-01", periods=4)), path)
    with refusal("'a'", "2020-01-01", "numbers"):
        load(path, label="kind")
    save(FRAME.assign(kind=FRAME["kind"].astype("category")), path)
    assert load(path, label="kind").classes == ("cat", "dog")
    save(FRAME.astype({"a": np.float32})[["a", "kind"]], path)
    assert load(path, label="kind").x.dtype == np.float32


def test_test_tables_must_fit(tmp_path):
    path, test = save(FRAME, tmp_path / "pets.csv"), tmp_path / "more.csv"
    for frame, words in (
        (FRAME.drop(columns="b"), ("more.csv", "'b'", "missing")),
        (FRAME.assign(c=1), ("more.csv", "'c'", "missing")),
        (FRAME.assign(kind="cow"), ("'cow'", "cat, dog")),
        (FRAME.drop(columns="kind"), ("more.csv", "'kind'", "no column")),
    ):
        save(frame, test)
        with refusal(*words):
            load(path, label="kind", test=str(test))
    with refusal("no file", "none.csv"):
        load(path, label="kind", test="none.csv")
    # In one file the labels are read as numbers, in the other as words.
    save(FRAME.assign(kind=["1", "x", "1", "x"]), path)
    save(FRAME.assign(kind=["1", "1", "1", "1"]), test)
    assert load(path, label="kind", test=str(test)).y_test.tolist() == [0, 0, 0, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "content",
    ["", "a,b,kind\n1,2,cat,4\n1,2,dog,4\n", 'a,b,kind\n1,2,"cat\n', "a,kind\n1,x\n1,2,3,4\n"],
)
def test_a_csv_that_is_none(content, tmp_path):
    path = tmp_path / "pets.csv"
    path.write_text(content)
    with refusal("pets.csv", "cannot be read as a table"):
        load(path, label="kind")


def test_other_refusals_of_tables(tmp_path):
    path = tmp_path / "pets.csv"
    path.write_text("a,b,kind\n")
    with refusal("pets.csv", "at least one row"):
        load(path, label="kind")
    path.write_text("a;b;kind\n1;2;x\n2;2;y\n")
    assert load(path, label="kind").notes == ("cells are separated by ';'",)
    assert load(path, label="kind", sep=";").x.tolist() == [[1, 2], [2, 2]]
    path.write_bytes(b"a,kind\n1,\xff\xfe\n")
    with refusal("text in UTF-8", "save it as UTF-8"):
        load(path, label="kind")
    (tmp_path / "pets.parquet").write_bytes(b"PAR1 not at all")
    with refusal("pets.parquet", "cannot be read as a table"):
        load(tmp_path / "pets.parquet", label="kind")


def test_every_column_has_a_name_of_its_own(tmp_path):
    path = tmp_path / "pets.csv"
    path.write_text(",a,kind\n0,1,x\n1,2,y\n")  # as pandas writes a table with its index
    with refusal("column 0 (counted from 0) has none", "drop=['Unnamed: 0']"):
        load(path, label="kind")
    assert load(path, label="kind", drop="Unnamed: 0").x.tolist() == [[1], [2]]
    # The second would be a feature that knows the answer
    path.write_text("a,kind,kind\n1,0,0\n2,1,1\n")
    with refusal("'kind' came twice"):
        load(path, label="kind")
    assert load(path, label="kind", drop="kind.1").x.tolist() == [[1], [2]]


def test_indicator_rows_are_no_regression():
    with refusal("indicator rows (6, 3)", "y.argmax(1)", 'task="regression"'):
        from_arrays("toy", X, indicator(Y, 3))
    assert from_arrays("toy", X, indicator(Y, 3), task="regression").y.shape == (6, 3)
    assert from_arrays("toy", X, indicator(Y, 3) * 2).task == "regression"


def test_scaled_features_are_finite():
    x = np.array([[1e39, 0.0], [0.0, 1.0]])
    with refusal("finite as float32", "1e+39"):
        apply_scale(x, *fit_scale("none", x))
    assert apply_scale(x, *fit_scale("none", x), np.float64)[0, 0] == 1e39
    assert np.abs(apply_scale(x, *fit_scale("standardize", x))).max() == 1
    with refusal("to be standardized"):
        fit_scale("standardize", x * 1e200)


def idx_bytes(array: np.ndarray) -> bytes:
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes((0, 0, 8, array.ndim)) + lengths + array.astype(np.uint8).tobytes()


def idx_folder(folder: Path, images: bytes, labels: bytes) -> Path:
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(images)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return folder


PICTURES = np.arange(36).reshape(6, 3, 2)


def test_idx(tmp_path):
    folder = idx_folder(tmp_path / "toy", idx_bytes(PICTURES), idx_bytes(Y * 2 + 1))
    data = load(folder)
    assert (data.name, data.shape, data.classes, data.x_test) == (
        "toy",
        (3, 2),
        ("1", "3", "5"),
        None,
    )
    assert (data.x.tolist(), data.y.tolist()) == (PICTURES.reshape(6, 6).tolist(), Y.tolist())
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(PICTURES[:2])))
    with refusal("both x_test and y_test"):
        load(folder)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([5, 1])))
    assert load(str(folder)).y_test.tolist() == [2, 0]  # type: ignore[union-attr]
    full = load(builtin.FOLDER)
    assert full.digest == load("mnist").digest


@pytest.mark.parametrize(
    ("words", "images", "labels"),
    [
        (("train-images", "00 00 08 03", "00 00 08 01"), idx_bytes(Y), idx_bytes(Y)),
        (("train-images", "00 00 08 03", "nothing"), b"", idx_bytes(Y)),
        (("train-labels", "00 00 08 01", "68 65 6c 6c"), idx_bytes(PICTURES), b"hello"),
        (("train-images", "36 bytes", "35", "truncated"), idx_bytes(PICTURES)[:-1], idx_bytes(Y)),
        (("train-images", "36 bytes", "more than 36"), idx_bytes(PICTURES) + b"x", idx_bytes(Y)),
        (("train-images", "truncated"), idx_bytes(PICTURES)[:10], idx_bytes(Y)),
        (("train-images", "damaged"), gzip.compress(idx_bytes(PICTURES))[:-12], idx_bytes(Y)),
        (("6 rows", "5"), idx_bytes(PICTURES), idx_bytes(Y[:5])),
    ],
    ids=["swapped", "empty", "text", "short", "long", "header", "gzip", "count"],
)
def test_bad_idx(words, images, labels, tmp_path):
    with refusal(*words):
        load(idx_folder(tmp_path / "toy", images, labels))


def test_a_folder_without_idx_files(tmp_path):
    with refusal("train-images-idx3-ubyte", "there is none"):
        load(tmp_path)


# load ---------------------------------------------------------------------------------------------


def test_load_caches_until_the_file_changes(tmp_path):
    assert load("mnist14") is load({"name": "mnist14"}) is load("mnist14()")
    assert load("mnist14") is load(load("mnist14"))
    path = tmp_path / "toy.npz"
    np.savez(path, x=X, y=Y)
    first = load(path)
    assert load(str(path)) is first is load(f'npz(path="{path}")')
    stat = path.stat()
    np.savez(path, x=X + 1, y=Y)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert load(path).x[0, 0] == 1


def test_relative_paths_belong_to_their_folder(tmp_path, monkeypatch):
    for name, x in (("one", X), ("two", X + 1)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "toy.npz", x=x, y=Y)
        os.utime(tmp_path / name / "toy.npz", ns=(10**18, 10**18))
        monkeypatch.chdir(tmp_path / name)
        assert load("toy.npz").x[0, 0] == x[0, 0]


def test_a_registered_name_wins_over_a_folder(tmp_path, monkeypatch):
    (tmp_path / "mnist14").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("mnist14").shape == (14, 14)


def test_load_refuses_what_it_does_not_know(tmp_path):
    (tmp_path / "toy.txt").write_text("1 2 3")
    for spec in (str(tmp_path / "toy.txt"), tmp_path / "toy.txt", "no/such/folder"):
        with refusal(".npz, .csv or .parquet", Path(spec).name):
            load(spec)
    with refusal("'mnits'", "did you mean 'mnist'"):
        load("mnits")
    with refusal("'row'", "did you mean 'rows'"):
        load("mnist(row=3)")
    with refusal("loaded already", "rows"):
        load(load("mnist14"), rows=3)
    with refusal("got 3"):
        load(3)


def test_a_registered_data_set(monkeypatch):
    registry.load_entry_points()  # once in a process: not into the copy that goes with this test

    @registry.dataset("toy")
    def toy(shift: float = 0.0) -> Dataset:
        return from_arrays("toy", X + shift, Y)

    @registry.dataset("broken")
    def broken() -> Callable[[], None]:
        return lambda: None

    assert load("toy(shift=2)").x[0, 0] == 2
    assert load("toy", shift=3).x[0, 0] == 3
    with refusal("'broken'", "must return", "from_arrays"):
        load("broken")


# The split ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("valid", [0.1, 0.3, 0.57, 0.5])
@pytest.mark.parametrize("rows", [301, 1000])
def test_the_split_is_stratified_and_whole(valid, rows):
    data = load("mnist14", rows=rows)
    train, held = split(data, valid, seed=1)
    assert (train.dtype, held.dtype) == (np.int64, np.int64)
    assert len(held) == round(valid * rows)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(rows))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()
    share = np.bincount(data.y[held], minlength=10) - valid * np.bincount(data.y)
    assert np.abs(share).max() < 1


def test_the_split_by_hand():
    # 7, 5 and 2 rows, a quarter held out: 1.75, 1.25 and 0.5 rows; round(3.5) = 4, so 1 + 1 + 0 and
    # the two largest remainders, 0.75 and 0.5, get one more: 2, 1, 1.
    y = np.repeat([0, 1, 2], [7, 5, 2])
    data = from_arrays("toy", np.ones((14, 1)), y)
    drawn = np.zeros(14)
    for seed in range(200):
        train, held = split(data, 0.25, seed)
        assert np.bincount(y[held]).tolist() == [2, 1, 1]
        assert np.bincount(y[train]).tolist() == [5, 4, 1]
        drawn[held] += 1
    # Every row of a class has the same chance: 2/7, 1/5, 1/2; four standard deviations of 200
    # draws.
    chance = np.repeat([2 / 7, 1 / 5, 1 / 2], [7, 5, 2])
    assert (np.abs(drawn - 200 * chance) < 4 * np.sqrt(200 * chance * (1 - chance))).all()


def test_the_split_depends_on_its_seed_alone():
    data = load("mnist")
    held = split(data, 0.3, seed=7)[1]
    np.random.default_rng(0).random(3)
    np.testing.assert_array_equal(held, split(data, 0.3, seed=7)[1])
    assert len(np.intersect1d(held, split(data, 0.3, seed=8)[1])) == pytest.approx(
        0.3 * 18000, rel=0.05
    )
    # Written down once: another NumPy, machine or version of this code must hold out the same rows.
    expected = "c41d12f5e3b9de18160400690f0352e9e4df9a89e0d7906f11172e8f255c7a56"
    assert hashlib.sha256(held.astype("<i8")).hexdigest() == expected


def test_the_split_of_a_regression():
    data = load("friedman1")
    train, held = split(data, 0.25, seed=1)
    assert (len(train), len(held), len(np.intersect1d(train, held))) == (750, 250, 0)
    assert held.mean() == pytest.approx(499.5, abs=60)


def test_no_validation_part():
    train, held = split(load("mnist14"), 0, seed=1)
    assert (train.tolist(), held.tolist(), held.dtype) == (list(range(2000)), [], np.int64)


def test_a_class_without_rows_is_no_obstacle():
    train, held = split(load("mnist", rows=10), 0.1, seed=1)  # the first ten digits hold no 6
    assert (len(train), len(held)) == (9, 1)


def test_splits_that_cannot_be():
    data = from_arrays("toy", X, Y)
    for valid in (1, 1.5, -0.1, np.nan, "0.3", True, None):
        with refusal("[0, 1)", repr(valid)):
            split(data, valid, seed=1)  # type: ignore[arg-type]
    with refusal("toy", "0 validation and 6 training"):
        split(data, 0.01, seed=1)
    with refusal("toy", "6 validation and 0 training"):
        split(from_arrays("toy", X, Y / 2), 0.95, seed=1)
    with refusal("class '0'", "takes 2"):
        split(data, 0.8, seed=1)
    for seed in (-1, 1.5, "1", None):
        with refusal("seed", repr(seed)):
            split(data, 0.3, seed)  # type: ignore[arg-type]


# Indicator rows and scales ------------------------------------------------------------------------


def test_indicator():
    rows = indicator([2, 0, 1, 2], 3)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert indicator(np.array([1], np.uint8), 2, np.float64).dtype == np.float64
    assert indicator([], 3).shape == (0, 3)
    for labels in ([0, 3], [-1, 0], [0.5, 1.0], [[0, 1]]):
        with refusal("labels must"):
            indicator(labels, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_divisions_are_exact(dtype):
    x = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(
        apply_scale(x, *fit_scale("/255", x), dtype), x.astype(dtype) / 255
    )
    np.testing.assert_array_equal(
        apply_scale(x, *fit_scale("/256", x), dtype), x.astype(dtype) / dtype(256)
    )
    np.testing.assert_array_equal(apply_scale(x, *fit_scale("none", x), dtype), x)
    assert (
        x.astype(np.float32) * np.float32(1 / 255) != x.astype(np.float32) / np.float32(255)
    ).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_standardize(dtype):
    x = np.random.default_rng(0).integers(0, 200, (1300, 401)).astype(dtype)
    x[:, 3] = 7
    shift, divisor = fit_scale("standardize", x[:1000])
    np.testing.assert_allclose(shift, x[:1000].astype(float).mean(0), rtol=1e-13)
    expected = x[:1000].astype(float).std(0)
    assert (expected[3], divisor[3], shift[3]) == (0, 1, 7)
    expected[3] = 1
    np.testing.assert_allclose(divisor, expected, rtol=1e-13)
    scaled = apply_scale(x, shift, divisor, np.float64)
    np.testing.assert_allclose(scaled, (x.astype(float) - shift) / divisor, rtol=1e-15)
    np.testing.assert_array_equal(apply_scale(x, shift, divisor), scaled.astype(np.float32))


def test_a_constant_that_rounds_and_a_large_mean():
    x = np.full((1000, 2), 0.1)
    x[:, 1] = 1.7e9 + np.arange(1000)  # seconds since 1970: float32 knows them to two minutes
    shift, divisor = fit_scale("standardize", x)
    scaled = apply_scale(x, shift, divisor)
    assert not scaled[:, 0].any()
    np.testing.assert_allclose(
        scaled[:, 1], (np.arange(1000) - 499.5) / np.arange(1000).std(), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["/255", "/256", "standardize", "none"])
def test_scaling_rows_apart_or_together(name):
    x = load("mnist14").x
    shift, divisor = fit_scale(name, x)
    whole = apply_scale(x, shift, divisor)
    assert whole.flags.c_contiguous
    rows = np.array([5, 1999, 3, 3])
    np.testing.assert_array_equal(apply_scale(x[rows], shift, divisor), whole[rows])
    out = np.empty((2, 2, 196), np.float32)
    assert apply_scale(x[rows].reshape(2, 2, 196), shift, divisor, out=out) is out
    np.testing.assert_array_equal(out.reshape(4, 196), whole[rows])
    np.testing.assert_array_equal(apply_scale(x[5], shift, divisor), whole[5])
    np.testing.assert_array_equal(apply_scale(np.asfortranarray(x), shift, divisor), whole)


def test_scaling_makes_no_large_temporary():
    import tracemalloc

    x = np.ones((20000, 196), np.uint8)
    out = np.empty(x.shape, np.float32)
    for name in ("/255", "standardize"):
        tracemalloc.start()
        apply_scale(x, *fit_scale(name, x), out=out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8e6  # x in float64 would be 31 MB


def test_scales_that_cannot_be():
    with refusal("'standardise'", "did you mean 'standardize'"):
        fit_scale("standardise", X)
    with refusal("training rows", "(0, 4)"):
        fit_scale("standardize", X[:0])
    shift, divisor = fit_scale("standardize", X)
    with refusal("4 features", "(6, 3)"):
        apply_scale(X[:, :3], shift, divisor)
    with refusal("out", "float64"):
        apply_scale(X, shift, divisor, out=np.empty((6, 4)))
