"""Films beside each other: one axis of steps, one scale, and pages that are read back."""

import json
import re

import imageio.v3 as iio
import numpy as np
import pytest

from harness.errors import UsageError
from harness.pictures import colours, film
from harness.pictures.encode import mp4
from harness.pictures.grey import root_grey
from harness.pictures.reel import Reel, levels_of, numbers_of, reel_of, reels_in
from harness.pictures.sheet import Sheet, Shot
from harness.pictures.story import Curve, Story
from harness.pictures.tiles import enlarge
from harness.pictures.together import (
    Settings,
    Together,
    columns_for,
    common_steps,
    frames_at,
)


def learning(steps: int, inputs: int, units: int, size: float = 1.0, seed: int = 0) -> np.ndarray:
    """Weights that move smoothly from their start by numbers of some size."""
    rng = np.random.default_rng(seed)
    way = np.linspace(0, 1, steps, dtype=np.float32)[:, None, None]
    start = rng.standard_normal((1, inputs, units)).astype(np.float32)
    return start + way * np.float32(size) * rng.uniform(-1, 1, (1, inputs, units))


def reel(name: str, steps: list[int], size: float = 1.0, units: int = 6, **settings) -> Reel:
    epochs = steps[1:]
    values = [0.5 + 0.1 * k for k in range(len(epochs))]
    story = Story(steps, 10, Curve("accuracy", epochs, values), subtitle=f"data · {name}")
    weights = learning(len(steps), 48, units, size).astype(np.float32)
    return reel_of(name, weights, story, (6, 8), **settings)


SHORT = reel("short", [0, 10, 20])
LONG = reel("long", [0, 5, 20, 40], size=4.0)


def said(page: bytes) -> dict:
    return json.loads(re.search(r"const film = (.*);\n", page.decode())[1])


def test_the_axis_has_each_step_of_all() -> None:
    together = Together([SHORT, LONG])
    assert together.steps == common_steps([LONG, SHORT]) == [0, 5, 10, 20, 40]
    # The last frame until then, and after its end the last one.
    assert frames_at([0, 10, 20], together.steps).tolist() == [0, 0, 1, 2, 2]
    assert frames_at([0, 5, 20, 40], together.steps).tolist() == [0, 1, 1, 2, 3]
    assert frames_at([10, 20], [0, 10]).tolist() == [0, 0]
    about = said(together.to_page())
    assert about["steps"] == [0, 5, 10, 20, 40]
    assert [panel["steps"] for panel in about["panels"]] == [[0, 10, 20], [0, 5, 20, 40]]
    first = about["panels"][0]["moved"]["0"]
    assert len(first) == 5
    assert first[0] == first[1] == 0
    assert first[3] == first[4] > first[2]


def test_the_scale_is_that_of_the_largest() -> None:
    together = Together([SHORT, LONG])
    assert pytest.approx(4 * SHORT.limit, rel=1e-5) == LONG.limit
    assert together.limit == LONG.limit
    # What is a quarter as large has half of the way on a scale of roots.
    small = SHORT.levels(together.limit)[-1].astype(int) - 128
    large = LONG.levels(together.limit)[-1].astype(int) - 128
    moved = np.abs(large) > 20
    assert np.abs(small[moved] - large[moved] / 2).max() <= 1
    assert Together([SHORT, LONG], Settings(limit=0.5)).limit == 0.5
    about = said(together.to_page())
    assert (about["limit"], about["show"], about["scaling"]) == (LONG.limit, "change", "root")


def test_each_film_has_its_part_of_a_frame() -> None:
    together = Together([SHORT, LONG])
    frames = together.to_frames()
    assert frames.dtype == np.uint8
    assert len(frames) == 5
    # Six tiles as three by two with a gap, each weight 18 x 18: as near to 474 pixels as even goes.
    assert together.zoom(max(2 * 7 - 1, 3 * 9 - 1)) == 18
    high = 18 * (2 * 7 - 1)
    wide = 18 * (3 * 9 - 1)
    top = 12 + 30
    left = 24
    assert frames.shape[2] == 24 + 2 * (wide + 24)
    part = frames[:, top : top + high : 18, left : left + wide : 18]
    levels = SHORT.levels(together.limit)
    expected = colours.table("signed")[levels[[0, 0, 1, 2, 2]]]
    for unit in range(6):
        y = unit // 3 * 7
        x = unit % 3 * 9
        np.testing.assert_array_equal(part[:, y : y + 6, x : x + 8], expected[:, unit])
    assert (part[:, 6] == 255).all()
    # The caption of the one that has ended is longer, and the mark of the step has gone on.
    captions = frames[:, top + high : top + high + 28, left : left + wide]
    ink = (captions < 200).any(axis=(1, 3)).sum(axis=1)
    assert ink[4] > ink[3]
    np.testing.assert_array_equal(frames[-1], together.to_frames(last_only=True)[0])


def test_equal_films_are_equal_bytes() -> None:
    first, second = (Together([SHORT, LONG]) for _ in range(2))
    assert first.to_page() == second.to_page()
    assert mp4(first.to_frames()) == mp4(second.to_frames())
    back = iio.imread(mp4(first.to_frames()), plugin="pyav", extension=".mp4")
    assert back.shape == first.to_frames().shape


def test_one_film_alone_is_the_large_film_and_its_page() -> None:
    weights = learning(4, 48, 6)
    story = Story([0, 10, 20, 30], 10, Curve("accuracy", [10, 20, 30], [0.5, 0.6, 0.7]))
    alone = Together([reel_of("alone", weights, story, (6, 8))])
    from harness.pictures.files import write

    assert mp4(alone.to_frames()) == write("mp4", weights, story, (6, 8), {})
    assert max(alone.to_frames().shape[1:3]) >= 600
    own = said(write("html", weights, story, (6, 8), {}))
    about = said(alone.to_page())
    for panel in (own["panels"][0], about["panels"][0]):
        panel["name"] = ""
    assert own["panels"] == about["panels"]
    assert own["limit"] == pytest.approx(about["limit"])


# reading back -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("show", "scaling"), [("change", "root"), ("weights", "symmetric"), ("weights", "rank")]
)
def test_a_page_is_read_back(show: str, scaling: str) -> None:
    ours = [
        reel("a", [0, 10, 20], show=show, scaling=scaling),
        reel("b", [0, 5, 40], 2.0, 9, show=show, scaling=scaling),
    ]
    together = Together(ours)
    back = reels_in(together.to_page(), "the page")
    for one, other in zip(ours, back, strict=True):
        assert other.name == one.name
        assert list(other.story.steps) == one.story.steps
        assert other.story.curve == one.story.curve
        assert (other.show, other.scaling, other.units) == (show, scaling, one.units)
        assert other.limit == together.limit
        assert other.moved == one.moved
        levels = one.levels(together.limit).astype(int)
        assert np.abs(other.levels(together.limit) - levels).mean() < 12  # on noise
        assert np.corrcoef(other.tiles.ravel(), one.tiles.ravel())[0, 1] > 0.9


def test_levels_read_back_are_those_that_were_written() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(root_grey(numbers_of(levels, "root", 0.3), 0.3), levels)
    # On a scale that ends at four times the size they are half as far from the middle.
    half = root_grey(numbers_of(levels, "root", 0.3), 1.2).astype(int)
    assert np.abs(half - 128 - (levels.astype(int) - 128) / 2).max() <= 1


def test_a_page_of_a_matrix_is_read_back() -> None:
    story = Story([0, 1], features=[f"f{k}" for k in range(12)])
    weights = learning(2, 12, 5)
    page = film.player(weights, story, matrix=True)
    (back,) = reels_in(page, "it")
    assert (back.is_matrix, back.tiles.shape, back.units) == (True, (2, 1, 12, 5), list(range(5)))
    assert back.story.features[:2] == ["f0", "f1"]
    panels = said(Together([back, back]).to_page())["panels"]
    assert panels[1]["features"] == [f"f{k}" for k in range(12)]
    assert panels[1]["at"] == [0, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"<html>a page</html>",
        b"\xff\x00",
        b'const film = {"panels":1};\natob("AAAA")',
        b'const film = {"panels":[{}],"steps":[]};\natob("AAAA")',
    ],
)
def test_what_is_no_page_is_refused(wrong: bytes) -> None:
    with pytest.raises(UsageError, match="mine must be a page that plays a film"):
        reels_in(wrong, "mine")


# layout -------------------------------------------------------------------------------------------


def test_as_many_units_as_have_room() -> None:
    counts = []
    for count in (1, 2, 3, 4, 9):
        w = np.zeros((1, 784, 100), np.float32)
        w[0, 0] = 1
        some = [reel_of(str(k), w, Story([0]), (28, 28), show="weights") for k in range(count)]
        grid = said(Together(some).to_page())["panels"][0]["grid"]
        counts.append((len(grid), len(grid[0])))
    assert counts == [(10, 10), (8, 8), (5, 5), (4, 4), (4, 4)]
    few = said(Together([SHORT, LONG], Settings(units=4)).to_page())["panels"][1]
    assert few["grid"] == [[0, 1], [2, 3]]
    assert list(few["moved"]) == ["0", "1", "2", "3"]


def test_columns() -> None:
    assert [columns_for(count) for count in (1, 2, 4, 5, 7, 9, 12, 25)] == [1, 2, 4, 3, 4, 4, 4, 5]
    frames = Together([SHORT] * 3, Settings(columns=1)).to_frames(last_only=True)
    assert frames.shape[1] > frames.shape[2] == 2 * 24 + 18 * 26


def test_names_that_begin_alike_have_a_second_line() -> None:
    picture = np.zeros((2, 4, 4, 3), np.uint8)
    names = [f"#{k} leaky_relu(slope=0.01) rate=0.{k}" for k in (1, 2)]

    def titles(name: str, other: str) -> tuple[int, np.ndarray]:
        shots = [Shot(each, SHORT.story, picture, 50, [0, 0, 1]) for each in (name, other)]
        page = Sheet(shots, 2, 20).pages([0, 0, 0])[0]
        return page.shape[0], page[12:60, 24 + 26 : 24 + 200]

    short, _ = titles("a", "b")
    high, first = titles(*names)
    _, second = titles(*reversed(names))
    assert high == short + 18
    # They differ in the second line too, where one line would have been cut before.
    assert (first[24:] != second[24:]).any()


def test_a_sheet_shows_at_each_step_what_is_known() -> None:
    picture = np.zeros((2, 4, 4, 3), np.uint8)
    shots = [Shot(f"network {k}", SHORT.story, picture, 20, [0, 0, 1]) for k in range(8)]
    sheet = Sheet(shots, 4, 20)
    assert sheet.size[0] % 2 == sheet.size[1] % 2 == 0
    pages = sheet.pages([0, 10, 20])
    assert pages.shape == (3, *sheet.size, 3)
    # Curves are drawn in colours as far as they are known.
    curves = [page[-120:].astype(int) for page in pages]
    coloured = [(np.ptp(part, axis=2) > 60).sum() for part in curves]
    assert coloured[0] == 0 < coloured[1] < coloured[2]


def test_a_page_is_read_as_imageio_reads_it() -> None:
    levels = np.arange(4 * 16 * 48, dtype=np.uint32).reshape(4, 16, 48) * 2654435761 >> 12
    video = mp4(levels.astype(np.uint8))
    expected = iio.imread(video, plugin="pyav", extension=".mp4", format="gray")
    assert np.array_equal(levels_of(video), expected)
    assert len(np.unique(expected)) > 200


def test_frames_are_enlarged_into_a_part_of_others() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 3), dtype=np.uint8)
    pages = np.zeros((2, 20, 20, 3), np.uint8)
    enlarge(frames, 4, 2, pages[:, 5:17, 6:14])
    assert np.array_equal(pages[:, 5:17, 6:14], frames.repeat(4, axis=1).repeat(2, axis=2))
    assert pages.sum() == 8 * frames.sum(dtype=np.uint64)


def test_wrong_films_are_refused() -> None:
    with pytest.raises(UsageError, match="1 to 40 films, got 0"):
        Together([])
    with pytest.raises(UsageError, match="1 to 40 films, got 41"):
        Together([SHORT] * 41)
    with pytest.raises(UsageError, match="must show the same"):
        Together([SHORT, reel("other", [0, 1], show="weights")])
    ranks = reel("ranks", [0, 1], scaling="rank")
    with pytest.raises(UsageError, match="limit has no meaning"):
        Together([ranks], Settings(limit=1.0))
    for settings in (Settings(units=0), Settings(columns=0), Settings(limit=-1.0)):
        with pytest.raises(UsageError, match="got"):
            Together([SHORT], settings)
    with pytest.raises(UsageError, match="colours"):
        Together([SHORT], Settings(colours="red"))
    with pytest.raises(UsageError, match="scaling"):
        reel("a", [0, 1], scaling="log")
