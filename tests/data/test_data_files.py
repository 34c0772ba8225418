"""Data sets in files: NumPy archives, tables, folders of IDX files, and how each may be wrong."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refusal

from harness.builtin import datasets as builtin
from harness.data import load

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def spoiled(row: int, column: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, column] = value
    return x


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


@pytest.mark.parametrize("decimal", [".", ","])
def test_numbers_of_a_csv_are_the_floats_nearest_to_what_is_written(decimal, tmp_path):
    # pandas before 3.1 reads about every fifth of these another way, unless it is told not to.
    random = np.random.default_rng(0)
    numbers = random.normal(size=(1000, 2)) * 10.0 ** random.uniform(-20, 20, (1000, 2))
    rows = [
        f"{a!r};{b!r};{k % 2}".replace(".", decimal) for k, (a, b) in enumerate(numbers.tolist())
    ]
    path = tmp_path / "exact.csv"
    path.write_text("\n".join(["a;b;kind", *rows]))
    data = load(path, label="kind", sep=";", decimal=decimal)
    np.testing.assert_array_equal(data.x, numbers)


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
    path = save(FRAME, tmp_path / "pets.csv")
    test = tmp_path / "more.csv"
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
