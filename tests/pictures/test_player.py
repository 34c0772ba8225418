"""The page that plays a film, and the large film with its caption."""

import base64
import io
import json
import re

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from harness.errors import UsageError
from harness.pictures import film
from harness.pictures.captioned import captioned, large_zoom
from harness.pictures.files import write
from harness.pictures.moved import moved
from harness.pictures.story import Curve, Story, curve_of


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def learning(steps, inputs, units):
    """Weights that start at random and move smoothly from there."""
    way = np.linspace(0, 1, steps, dtype=np.float32)[:, None, None]
    return weights(1, inputs, units) + way * weights(1, inputs, units, seed=1)


def said(page):
    """What the script of a page knows of its film."""
    return json.loads(re.search(r"const film = (.*);\n", page.decode())[1])


def levels(page):
    """The levels (T, H, W) that a page holds as a video."""
    video = re.search(r'atob\("([^"]*)"\)', page.decode())[1]
    movie = base64.b64decode(video)
    return iio.imread(movie, plugin="pyav", extension=".mp4", format="gray")


STORY = Story(
    steps=[0, 40, 80, 120],
    epoch_steps=40,
    curve=Curve("accuracy", [40, 80, 120], [0.5, 0.75, 0.875]),
    title="A film",
    dead=[2],
    dead_words="the same output for 9 examples",
)


def test_a_page_holds_the_levels_of_its_film():
    w = learning(4, 48, 6)
    page = film.player(w, STORY, (6, 8), columns=3)
    expected = film.frames(w, (6, 8), show="change", scaling="root", columns=3, zoom=1)
    back = levels(page)
    assert back.shape == expected.shape == (4, 12, 24)
    assert np.abs(back.astype(int) - expected).mean() < 12  # on noise
    about = said(page)
    (panel,) = about["panels"]
    assert panel["grid"] == [[0, 1, 2], [3, 4, 5]]
    assert (panel["tile"], about["gap"], panel["matrix"]) == ([6, 8], 1, False)
    assert about["steps"] == panel["steps"] == [0, 40, 80, 120]
    assert panel["curve"] == {
        "name": "accuracy",
        "steps": [40, 80, 120],
        "values": [0.5, 0.75, 0.875],
    }
    assert panel["dead"] == [2]
    limit = float(about["ends"][1])
    assert limit == pytest.approx(about["limit"], rel=0.05)
    assert np.mean(np.abs(w[-1] - w[0]) <= limit * 1.05) >= 0.99


def test_a_page_says_how_far_units_have_moved():
    w = np.zeros((3, 2, 2), np.float32)
    w[0] = [[3, 1], [4, 0]]
    w[1] = [[3, 1], [4, 1]]
    w[2] = [[0, 1], [0, 2]]
    (about,) = said(film.player(w, Story([0, 1, 2])))["panels"]
    assert about["relative"] is True
    assert about["moved"] == {"0": [0.0, 0.0, 1.0], "1": [0.0, 1.0, 2.0]}
    w[0, :, 1] = 0
    (about,) = said(film.player(w, Story([0, 1, 2])))["panels"]
    assert about["relative"] is False
    assert about["moved"]["0"] == [0.0, 0.0, 5.0]
    w[1] = np.inf
    assert said(film.player(w, Story([0, 1, 2])))["panels"][0]["moved"]["0"][1] == 1e30


@pytest.mark.parametrize("begins", [0, 1])
def test_how_far_units_have_moved_has_three_digits(begins):
    sizes = np.float32(10) ** np.arange(-15, 5, dtype=np.float32)
    w = weights(5, 30, 20) * sizes
    w[0] *= begins
    how_far, is_relative = moved(w, [0, 7, 19])
    assert is_relative is bool(begins)
    for unit, far in how_far.items():
        length = np.linalg.norm(w[:, :, unit] - w[0, :, unit], axis=1)
        if is_relative:
            length /= np.linalg.norm(w[0, :, unit])
        assert far == pytest.approx(length.tolist(), rel=0.006)
        assert max(len(repr(number)) for number in far) <= 8


def test_a_page_asks_nobody_and_no_text_breaks_it():
    story = Story(
        [0, 1],
        title="<b>relu & co</b> @video@",
        subtitle="</script><script>alert(1)</script>",
        units=["</script>", 'a "b"'],
        features=["<i>"] * 12,
    )
    page = film.player(learning(2, 12, 2), story, matrix=True).decode()
    assert page.count("<script>") == page.count("</script>") == 1
    assert page.count("&lt;b&gt;relu &amp; co&lt;/b&gt; @video@") == 2
    (panel,) = said(page.encode())["panels"]
    assert panel["units"] == ["</script>", 'a "b"']
    assert panel["features"] == ["<i>"] * 12
    plain = re.sub(r'atob\("[^"]*"\)', "", page)
    assert not any(
        word in plain
        for word in ("http", "//cdn", "localStorage", "cookie", "import(", " src=", "fetch(")
    )


def test_a_page_of_the_articles_settings():
    settings = film.settings("article")
    for name in ("every", "zoom", "caption", "fps"):
        settings.pop(name)
    about = said(film.player(weights(2, 784, 100), Story([0, 4]), (28, 28), **settings))
    assert about["panels"][0]["grid"][9][:2] == [0, 10]
    assert (about["gap"], about["ends"]) == (0, ["lowest", "highest"])
    assert len(about["colours"]) == 1
    assert about["colours"][0].startswith("000000010101")


@pytest.mark.parametrize(("shape", "most"), [((784, 100, 28), 300_000), ((64, 32, 8), 50_000)])
def test_a_page_is_small(shape, most):
    inputs, units, side = shape
    w = learning(30, inputs, units)
    # Weights of pixels that are always 0 only decay, which a video keeps badly.
    w[:, : inputs // 3] *= 0.95 ** np.arange(30, dtype=np.float32)[:, None, None]
    assert len(film.player(w, Story(range(30)), (side, side))) < most


def test_steps_are_as_many_as_frames():
    with pytest.raises(UsageError, match="3 for 4 frames"):
        film.player(weights(4, 12, 3), Story([1, 2, 3]))


# captions -----------------------------------------------------------------------------------------


def test_captions():
    assert [STORY.caption(frame) for frame in range(4)] == [
        "step 0 · epoch 0.0",
        "step 40 · epoch 1.0 · accuracy 0.5",
        "step 80 · epoch 2.0 · accuracy 0.75",
        "step 120 · epoch 3.0 · accuracy 0.875",
    ]
    assert Story([1200]).caption(0) == "step 1,200"


def test_the_curve_is_that_of_the_metric():
    epochs = [
        {"epoch": 1, "step": 4, "train/loss": 2.0, "valid/loss": 1.5, "valid/accuracy": 0.25},
        {"epoch": 2, "step": 8, "train/loss": 1.0, "valid/loss": np.nan, "valid/accuracy": 0.5},
    ]
    assert curve_of(epochs) == Curve("accuracy", [4, 8], [0.25, 0.5])
    for epoch in epochs:
        del epoch["valid/accuracy"]
    assert curve_of(epochs) == Curve("loss", [4], [1.5])
    for epoch in epochs:
        del epoch["valid/loss"]
    assert curve_of(epochs) == Curve("training loss", [4, 8], [2.0, 1.0])
    assert curve_of([{"epoch": 1, "step": 4}]) is None
    assert curve_of([]) is None


def test_a_large_film_has_its_caption_below():
    assert [large_zoom(side, side) for side in (10, 289, 300, 700)] == [58, 2, 2, 2]
    frames = film.frames(learning(4, 48, 6), (6, 8), columns=3, gap=1, zoom=1, colours="signed")
    page = captioned(frames, STORY, 2)
    high = 2 * 13
    wide = 2 * 26
    assert page.shape == (4, high + 16 + 96, wide + 32, 3)
    tiles = page[:, 16 : 16 + high, 16 : 16 + wide]
    np.testing.assert_array_equal(tiles, frames.repeat(2, axis=1).repeat(2, axis=2))
    bars = page[:, 16 + high :].min(axis=3)
    # The mark of the last value runs along the curve, from left to right and here upwards.
    curve = bars[:, :60]
    marks = [np.argwhere(curve[frame] < 60).mean(axis=0) for frame in (1, 2, 3)]
    assert marks[0][1] < marks[1][1] < marks[2][1]
    assert marks[0][0] > marks[1][0] > marks[2][0]
    assert not (curve[0] < 60).any()
    assert (bars[:, 66:] < 60).any(axis=(1, 2)).all()
    grey = captioned(film.frames(weights(4, 48, 6), (6, 8), zoom=1), STORY, 2)
    assert grey[:, -96:].mean() < 40


def test_files_of_a_film():
    w = learning(4, 196, 20)
    movie = write("mp4", w, STORY, (14, 14), {})
    back = iio.imread(movie, plugin="pyav", extension=".mp4")
    assert max(back.shape[1:3]) >= 600
    assert len(back) == 4
    picture = Image.open(io.BytesIO(write("png", w, STORY, (14, 14), {"zoom": 1})))
    assert picture.size == (5 * 15 - 1, 4 * 15 - 1)
    last = film.frames(w, (14, 14), show="change", scaling="root", gap=1, colours="signed", zoom=1)[
        -1
    ]
    shown = np.asarray(picture.convert("RGB")).astype(int)
    assert (shown[14] == 255).all()
    assert np.abs(shown - last).max() <= 5  # the lowest two levels are one
    assert (shown == last).all(axis=2).mean() > 0.95
    large = Image.open(io.BytesIO(write("png", w, STORY, (14, 14), {"zoom": 3})))
    np.testing.assert_array_equal(np.asarray(large.convert("RGB"))[1::3, 1::3], shown)
    plain = write("mp4", w, STORY, (14, 14), film.settings("article") | {"every": None})
    article = {
        k: v for k, v in film.settings("article").items() if k not in ("every", "caption", "fps")
    }
    assert plain == film.mp4(film.frames(w, (14, 14), **article), fps=25)
    # A table is drawn as a matrix, unless tiles are asked for.
    table = Image.open(io.BytesIO(write("png", w[:, :13], STORY, None, {"zoom": 1})))
    assert table.size == (20, 13)
    tiles = Image.open(
        io.BytesIO(write("png", w[:, :13], STORY, None, {"zoom": 1, "matrix": False}))
    )
    assert tiles.size == (5 * 5 - 1, 4 * 5 - 1)


def test_the_rows_of_a_table_have_their_names_in_the_large_film():
    features = ["age", "sepal length in the middle of May (cm)", "x3"]
    frames = film.frames(learning(4, 3, 20), scaling="root", matrix=True, zoom=1, colours="signed")
    assert frames.shape == (4, 3, 20, 3)
    page = captioned(frames, STORY, 30, features)
    bare = captioned(frames, STORY, 30)
    names = page.shape[2] - bare.shape[2]
    assert 120 < names < 24 * 14
    np.testing.assert_array_equal(page[:, :106, 16 + names :], bare[:, :106, 16:])
    # Each row has ink in the middle of its height, and as much as its name is long.
    ink = (page[0, 16:106, 16 : 16 + names] < 128).any(axis=2).reshape(3, 30, names)
    assert ink.any(axis=(1, 2)).all()
    assert not ink[:, :4].any()
    assert ink[2].sum() < ink[0].sum() < ink[1].sum()
    # Rows that are lower than a letter are made higher, as long as all have room.
    assert captioned(frames, STORY, 4, features).shape[1] == 3 * 12 + 16 + 96
    many = film.frames(learning(2, 61, 5), scaling="root", matrix=True, zoom=1, colours="signed")
    story = Story([0, 1])
    names = [f"x{k}" for k in range(61)]
    assert captioned(many, story, 4, names).shape == (2, 61 * 4 + 16 + 96, 5 * 4 + 32, 3)
    movie = write("mp4", learning(4, 3, 20), Story([0, 1, 2, 3], features=features), None, {})
    plain = write("mp4", learning(4, 3, 20), Story([0, 1, 2, 3]), None, {})
    widths = [iio.imread(each, plugin="pyav", extension=".mp4").shape[2] for each in (movie, plain)]
    assert widths[0] - widths[1] > 120


def test_a_page_brings_its_style_and_its_script():
    page = film.player(learning(4, 48, 6), STORY, (6, 8)).decode()
    assert page.count("<style>") == page.count("<script>") == 1
    assert "image-rendering: pixelated" in page
    assert "async function readAll()" in page
    assert re.findall(r"@\w+@|<link|<script src|url\(", page) == []
    # All but the film.
    assert len(re.sub(r"const film = .*|atob\(\"[^\"]*", "", page)) < 26_000
