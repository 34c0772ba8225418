"""The film room: steps, scales, tiles, and files that are read back."""

import hashlib
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from statistics import NormalDist

import av
import imageio.v3 as iio
import numpy as np
import pytest
from imageio.plugins.pyav import PyAVPlugin
from matplotlib import colormaps
from PIL import Image

from harness.errors import UsageError
from harness.pictures import colours, film, grey
from harness.pictures.encode import mp4_of_levels
from harness.pictures.grey_films import GreyFilms
from harness.training.film_steps import steps


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def read_mp4(data):
    """What an MP4 says of itself, and its frames (T, H, W)."""
    frames = iio.imread(data, plugin="pyav", extension=".mp4", format="gray")
    return iio.immeta(data, plugin="pyav", extension=".mp4"), frames


# steps --------------------------------------------------------------------------------------------


def test_steps_by_hand():
    assert steps(12, frames=4) == (0, 4, 8, 12)
    assert steps(10, frames=4) == (0, 3, 7, 10)  # 3.33, 6.67
    assert steps(3, frames=30) == (0, 1, 2, 3)  # fewer steps than frames: all of them
    assert steps(10, every=4) == (0, 4, 8)
    assert steps(10, steps=[0, 2, 10]) == (0, 2, 10)
    assert steps(1000, frames=8, spacing="log") == (0, 1, 3, 10, 32, 100, 316, 1000)
    # 1, 1.8, 3.3, 6.0, 11.0, 20
    assert steps(20, frames=7, spacing="log") == (0, 1, 2, 3, 6, 11, 20)
    assert len(steps(1260)) == 30


@pytest.mark.parametrize("spacing", ["even", "log"])
def test_steps_are_distinct_and_as_many_as_asked(spacing):
    for total in [*range(1, 40), 420, 12_345]:
        for frames in range(2, 50):
            chosen = steps(total, frames=frames, spacing=spacing)
            assert len(chosen) == min(frames, total + 1)
            assert chosen[0] == 0
            assert chosen[-1] == total
            assert list(chosen) == sorted(set(chosen))
            assert all(type(step) is int for step in chosen)


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 0},
        {"total": 10.0},
        {"total": True},
        {"frames": 1},
        {"frames": "4"},
        {"every": 0},
        {"every": 2, "frames": 3},
        {"every": 2, "spacing": "log"},
        {"spacing": "cubic"},
        {"steps": []},
        {"steps": [0, 11]},
        {"steps": [3, 3]},
        {"steps": [-1, 3]},
        {"steps": [0.5]},
        {"steps": "03"},
        {"steps": 3},
    ],
)
def test_steps_refuse(wrong):
    with pytest.raises(UsageError):
        steps(**({"total": 10} | wrong))


# scales -------------------------------------------------------------------------------------------


def test_rank_grey_by_hand():
    # four weights: p = 1/8, 3/8, 5/8, 7/8, quantiles -1.1503, -0.3186, 0.3186, 1.1503, grey 127.5 +
    # 51 q
    assert film.rank_grey(np.array([3.0, -1.0, 0.5, 7.0])).tolist() == [144, 69, 111, 186]
    # ties share the mean rank: ranks 1, 2.5, 2.5, 4
    assert film.rank_grey(np.array([1.0, 2.0, 2.0, 3.0])).tolist() == [69, 128, 128, 186]
    assert film.rank_grey(np.full(7, 0.3, np.float32)).tolist() == [128] * 7


@pytest.mark.parametrize("count", [101, 20_000])
def test_rank_grey_is_the_clipped_normal_quantile(count):
    w = weights(count)
    rank = np.empty(count)
    rank[np.argsort(w)] = np.arange(1, count + 1)
    quantile = np.array([NormalDist().inv_cdf((i - 0.5) / count) for i in rank])
    expected = 127.5 + 127.5 * np.clip(quantile, -2.5, 2.5) / 2.5
    assert np.abs(film.rank_grey_exact(w) - expected).max() <= 0.5 + 1e-9
    assert film.rank_grey_exact(w).min() == 0
    assert film.rank_grey_exact(w).max() == 255


def test_ranks_by_counting_agree_with_sorting():
    def ranks(twice, group):
        return twice[group] / 2 + 0.5

    normal = weights(78_400)
    heavy = np.random.default_rng(2).standard_t(5, 78_400).astype(np.float32)
    # The largest difference in ranks
    for w, most in [(normal, 8), (normal / 1000 + 1, 8), (heavy, 16)]:
        counted = grey.ranks_by_counting(w)
        assert counted is not None
        exact = ranks(*grey.ranks_by_sorting(w))
        assert 0.5 <= np.abs(ranks(*counted) - exact).max() <= most
        fast = film.rank_grey(w).astype(int)
        slow = film.rank_grey_exact(w)
        assert np.abs(fast - slow).max() <= 1
        assert np.mean(fast != slow) < 0.02


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_counting_cannot_resolve_the_weights_they_are_sorted(dtype):
    outlier = weights(20_000).astype(dtype)
    outlier[3] = 1e9
    tiny = (weights(20_000) * 1e-40).astype(dtype)
    for w in (outlier, tiny, np.zeros(20_000, dtype)):
        assert grey.ranks_by_counting(w) is None
        np.testing.assert_array_equal(film.rank_grey(w), film.rank_grey_exact(w))
    assert len(np.unique(film.rank_grey(outlier))) == 256


def test_rank_grey_does_not_depend_on_the_order():
    w = np.round(weights(30_000), 2)  # many ties
    mix = np.random.default_rng(1).permutation(30_000)
    np.testing.assert_array_equal(film.rank_grey(w)[mix], film.rank_grey(w[mix]))


def test_symmetric_grey_by_hand():
    w = np.array([-2, -1, -0.5, 0, 0.5, 1, 9], np.float32)
    assert film.symmetric_grey(w, 1.0).tolist() == [0, 0, 64, 128, 191, 255, 255]
    assert film.symmetric_limit(np.arange(-1000.0, 1.0)) == 999.0
    assert film.symmetric_limit(np.zeros(5)) == 1.0


def test_root_grey_by_hand():
    w = np.array([-2, -1, -0.25, -0.01, 0, 0.01, 0.25, 1, 9], np.float32)
    assert grey.root_grey(w, 1.0).tolist() == [0, 0, 64, 115, 128, 140, 191, 255, 255]
    assert grey.root_grey(w.astype(float), 4.0).tolist()[:2] == [37, 64]
    for limit in (1e-45, 1e-300, 1e300):
        assert grey.root_grey(np.zeros(3, np.float32), limit).tolist() == [128] * 3
    # The limit is that of the last frame: 99.5 % of it stay below.
    snapshots = np.stack([np.full(1000, 50.0), np.arange(-999.0, 1.0)])
    assert grey.scale_limit("root", snapshots) == 994.0


@pytest.mark.parametrize("name", ["rank", "symmetric", "root"])
def test_a_diverged_film_can_be_drawn(name):
    w = weights(2, 784, 20)
    w[1, 0, :3] = np.nan, np.inf, -np.inf
    flat = film.frames(w, (28, 28), scaling=name, columns=20)
    assert flat[1, 0, [0, 28, 56]].tolist() == [pytest.approx(128, abs=2), 255, 0]
    assert np.unique(film.frames(np.full_like(w, np.nan), (28, 28), scaling=name)).tolist() == [128]


# tiles --------------------------------------------------------------------------------------------


def test_a_tile_is_the_image_of_its_unit():
    w = weights(3, 6 * 4, 7)
    picture = film.frames(w, (6, 4), scaling="symmetric", limit=2.0, columns=3, zoom=1)
    assert picture.shape == (3, 18, 12)
    for unit in range(7):
        top = 6 * (unit // 3)
        left = 4 * (unit % 3)
        expected = film.symmetric_grey(w[2, :, unit].reshape(6, 4), 2.0)
        np.testing.assert_array_equal(picture[2, top : top + 6, left : left + 4], expected)
    assert picture[:, 12:, 4:].max() == 0  # two empty places


@pytest.mark.parametrize("scaling", ["rank", "symmetric", "root"])
def test_many_small_frames_are_as_each_alone(scaling):
    w = weights(150, 8 * 4, 20)
    limit = None if scaling == "rank" else 2.0
    together = film.frames(w, (8, 4), scaling=scaling, limit=limit, zoom=1)
    for frame in (0, 1, 101, 102, 103, 149):
        (alone,) = film.frames(w[[frame]], (8, 4), scaling=scaling, limit=limit, zoom=1)
        np.testing.assert_array_equal(together[frame], alone)


def test_orders():
    def units(outputs, **how):
        return film.layout(1, outputs, (1, 1), **how).tolist()

    assert units(10, order="article") == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert units(10, order="article", columns=3) == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert units(5, order="article", columns=3) == [[1, 3, -1], [0, 2, 4]]
    assert units(10, order="digits") == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert units(10) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1]]
    assert units(3, order=[[2, None], [0, 1]]) == [[2, -1], [0, 1]]
    assert units(3, columns=2, gap=1) == [[0, -1, 1], [-1, -1, -1], [2, -1, -1]]
    hundred = np.array(units(400, order="article"))
    assert hundred.shape == (10, 10)
    assert hundred[:, 0].tolist() == list(range(9, -1, -1))
    assert hundred[9, 9] == 90
    assert np.array_equal(units(400), np.arange(100).reshape(10, 10))


def test_inputs_that_are_no_image_fill_a_nearly_square_tile():
    assert film.layout(13, 1).tolist() == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
        [12, -1, -1, -1],
    ]
    assert film.layout(2, 1).tolist() == [[0, 1]]
    assert film.layout(64, 1).shape == (8, 8)


@pytest.mark.parametrize("name", ["rank", "symmetric"])
def test_the_scale_is_made_from_the_tiles_that_are_shown(name):
    w = weights(1, 784, 10)
    square = film.frames(w, (28, 28), order="article", scaling=name)
    w[:, :, 9] = 1e3  # digit 9 is left out
    np.testing.assert_array_equal(film.frames(w, (28, 28), order="article", scaling=name), square)


def test_rank_scale_does_not_flicker_and_symmetric_scale_is_one_for_the_film():
    w = np.stack([weights(784, 20), 5 * weights(784, 20)])
    ranked = film.frames(w, (28, 28), columns=10)
    np.testing.assert_array_equal(ranked[0], ranked[1])
    fixed = film.frames(w, (28, 28), columns=10, scaling="symmetric")
    assert fixed[1].std() > 3 * fixed[0].std()


def test_a_film_shows_the_weights_or_what_they_have_changed_by():
    w = weights(3, 12, 4)
    plain = film.frames(w - w[:1], (3, 4), scaling="root", zoom=1)
    change = film.frames(w, (3, 4), scaling="root", zoom=1, show="change")
    np.testing.assert_array_equal(change, plain)
    assert np.unique(change[0]).tolist() == [128]
    w[2, 0, 0] = np.inf
    w[0, 0, 0] = np.inf
    assert film.frames(w, (3, 4), show="change").shape == (3, 150, 200)


def test_a_matrix_has_a_row_for_each_input():
    w = weights(2, 6, 4)
    matrix = film.frames(w, scaling="symmetric", limit=2.0, matrix=True, zoom=1)
    np.testing.assert_array_equal(matrix[1], film.symmetric_grey(w[1].ravel(), 2.0).reshape(6, 4))
    assert film.frames(w, matrix=True, units=3, zoom=1).shape == (2, 6, 3)
    assert film.frames(weights(1, 300, 2), matrix=True, zoom=1).shape == (1, 200, 2)


# colours ------------------------------------------------------------------------------------------


def test_the_colours_are_those_of_the_published_maps():
    for name, published, most in [("signed", "RdBu_r", 1), ("greys", "gray", 0)]:
        theirs = np.rint(255 * colormaps[published](np.arange(256))[:, :3])
        assert np.abs(colours.table(name) - theirs).max() <= most
    ours = colours.table("signed dark")
    if "berlin" in colormaps:  # since matplotlib 3.10
        theirs = np.rint(255 * colormaps["berlin"](np.arange(256))[:, :3])
        assert np.abs(ours - theirs).max() <= 6
    assert ours[128].max() < 40 < 160 < ours[0].max()


def test_a_film_in_colours_has_white_between_its_tiles():
    w = weights(2, 12, 3)
    levels = film.frames(w, (3, 4), columns=2, gap=1, zoom=1)
    painted = film.frames(w, (3, 4), columns=2, gap=1, zoom=1, colours="signed")
    assert painted.shape == (2, 7, 9, 3)
    np.testing.assert_array_equal(painted[:, :3, :4], colours.table("signed")[levels[:, :3, :4]])
    assert (painted[:, 3] == 255).all()
    assert (painted[:, :, 4] == 255).all()
    assert (painted[:, 4:, 5:] == 255).all()  # an empty place


def test_a_film_in_colours_reads_back():
    frames = film.frames(weights(4, 64, 9), (8, 8), colours="signed", gap=1, zoom=4)
    picture = Image.open(io.BytesIO(film.png(frames[-1])))
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), frames[-1])
    large = frames[-1].repeat(3, axis=0).repeat(3, axis=1)
    picture = Image.open(io.BytesIO(film.png(large)))
    assert picture.mode == "P"
    assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - large).max() <= 2
    image = Image.open(io.BytesIO(film.gif(frames)))
    assert image.n_frames == 4
    for t in range(4):
        image.seek(t)
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frames[t]).max() <= 7
    movie = film.mp4(frames)
    back = iio.imread(movie, plugin="pyav", extension=".mp4")
    assert back.shape == frames.shape
    # Each weight has 4 x 4 pixels, and one value of colour is for 2 x 2.
    assert np.abs(back.astype(int) - frames).mean() < 12  # on noise


def test_a_gif_has_256_colours_at_most():
    rich = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    image = Image.open(io.BytesIO(film.gif(rich)))
    off = np.abs(np.asarray(image.convert("RGB")).astype(int) - rich[0])
    assert 0 < off.mean() < 30


# tiles enlarged -----------------------------------------------------------------------------------


def test_zoom():
    w = weights(2, 12, 4)
    once, thrice = (film.frames(w, (3, 4), zoom=zoom) for zoom in (1, 3))
    assert once.shape == (2, 6, 8)
    np.testing.assert_array_equal(thrice, np.kron(once, np.ones((1, 3, 3), np.uint8)))
    # By itself: the longer side has at least 200 pixels
    assert film.frames(w, (3, 4)).shape == (2, 150, 200)
    assert film.frames(weights(1, 784, 100), (28, 28)).shape == (1, 280, 280)


def test_settings_by_name():
    w = weights(2, 784, 100)
    for name, size in [("article", 560), ("square", 168)]:
        chosen = film.settings(name)
        assert chosen.pop("every") == 4
        assert chosen.pop("caption") is False
        assert chosen.pop("fps") == 25
        assert film.frames(w if name == "article" else w[:, :, :10], (28, 28), **chosen).shape == (
            2,
            size,
            size,
        )
    film.settings("digits")["zoom"] = 9
    assert film.settings("digits")["zoom"] == 2
    with pytest.raises(UsageError, match="article, square, digits"):
        film.settings("artcle")


@pytest.mark.parametrize(
    "wrong",
    [
        {"snapshots": weights(12, 4)},
        {"snapshots": weights(0, 12, 4)},
        {"snapshots": np.zeros((2, 12, 4), int)},
        {"shape": (3, 5)},
        {"shape": (12,)},
        {"scaling": "log"},
        {"show": "growth"},
        {"colours": "red"},
        {"limit": 1.0},
        {"scaling": "root", "limit": 0.0},
        {"scaling": "symmetric", "limit": -1.0},
        {"columns": 0},
        {"columns": 2, "order": "digits"},
        {"order": "digits"},
        {"order": "rows"},
        {"order": [1, 2]},
        {"order": [[0, 4]]},
        {"order": [[0, 1], [2]]},
        {"order": []},
        {"units": 0},
        {"gap": -1},
        {"zoom": 1.5},
    ],
)
def test_frames_refuse(wrong):
    with pytest.raises(UsageError):
        film.frames(**({"snapshots": weights(2, 12, 4), "shape": (3, 4)} | wrong))


def test_everything_is_byte_identical_when_run_twice():
    def run():
        frames = film.frames(weights(5, 784, 100), (28, 28))
        movie = film.mp4(frames)
        return (
            frames.tobytes(),
            movie,
            film.gif(frames),
            film.png(frames[-1]),
            film.player(weights(5, 784, 100), film.Story(range(5)), (28, 28)),
        )

    assert run() == run()


# files --------------------------------------------------------------------------------------------


def test_gif_reads_back():
    frames = noise(7, 20, 30)
    image = Image.open(io.BytesIO(film.gif(frames, fps=30)))
    assert (image.n_frames, image.size, image.info["loop"]) == (7, (30, 20), 0)
    lengths = []
    for t in range(7):
        image.seek(t)
        lengths.append(image.info["duration"])
        np.testing.assert_array_equal(
            np.asarray(image.convert("L")), frames[t].astype(int) // 4 * 255 // 63
        )
    assert sum(lengths) == 230  # 7 / 30 s, in hundredths
    assert set(lengths) == {30, 40}


def test_gif_keeps_the_time_of_equal_frames_and_its_pace_where_frames_are_left_out():
    def total(data):
        image = Image.open(io.BytesIO(data))
        times = []
        for t in range(image.n_frames):
            image.seek(t)
            times.append(image.info["duration"])
        return len(times), sum(times)

    still = noise(6, 8, 8)
    still[2:5] = still[2]
    assert total(film.gif(still, fps=10)) == (4, 600)
    assert total(film.gif(np.repeat(still[:1], 6, axis=0), fps=10)) == (1, 600)
    long = noise(200, 8, 8)
    assert total(film.gif(long, fps=20)) == (60, 3000)
    assert total(film.gif(long, fps=20, max_frames=10)) == (10, 500)
    image = Image.open(io.BytesIO(film.gif(long, fps=20)))
    image.seek(59)
    np.testing.assert_array_equal(
        np.asarray(image.convert("L")), long[-1].astype(int) // 4 * 255 // 63
    )


def test_a_gif_of_equal_frames_lasts_as_long_as_one_frame_can():
    still = np.zeros((700, 8, 8), np.uint8)
    image = Image.open(io.BytesIO(film.gif(still[:60], fps=0.1)))
    assert (image.n_frames, image.info["duration"]) == (1, 600_000)
    with pytest.raises(UsageError, match=r"655 s, got 700 frames at fps=1\.0"):
        film.gif(still, fps=1, max_frames=700)


def test_mp4_reads_back():
    frames = film.frames(weights(12, 784, 100), (28, 28))
    data = film.mp4(frames, fps=12)
    about, back = read_mp4(data)
    assert back.shape == frames.shape
    assert (about["codec"], about["video_format"], about["fps"]) == ("h264", "yuv420p", 12.0)
    assert about["duration"] == 1.0
    assert np.abs(back.astype(int) - frames).mean() < 12  # grey levels, on noise
    made = data.index(b"mvhd") + 8
    assert data[made : made + 8] == bytes(8)  # no date of creation or change
    assert b"Lavf" not in data
    assert b" threads=1 " in data  # x264 writes its settings into the film
    assert b" bframes=0 " in data
    assert b" crf=25.0 " in data


@pytest.mark.parametrize("fps", [0.1, 10, 29.97, 1000])
@pytest.mark.parametrize("size", [(2, 2), (62, 30), (64, 80)])
def test_films_of_greys_are_those_of_imageio(size, fps):
    frames = noise(32, *size)

    def written(plugin):
        muxer = {"fflags": "+bitexact"}
        with iio.imopen("<bytes>", "w", plugin=plugin, extension=".mp4", options=muxer) as file:
            file.init_video_stream("libx264", fps=fps, pixel_format="yuv420p")
            return file.write(frames, in_pixel_format="gray")

    assert written(GreyFilms) == written(PyAVPlugin)


def test_a_small_film_of_levels_is_exact_and_a_large_one_has_few_bytes():
    w = weights(2, 784, 100)
    way = np.linspace(0, 1, 30, dtype=np.float32)[:, None, None]
    for units, error, most in [(10, 4, 35_000), (100, 7, 210_000)]:
        moving = w[:1, :, :units] + way * w[1:, :, :units]
        levels = film.frames(moving, (28, 28), scaling="root", zoom=1)
        movie = mp4_of_levels(levels)
        assert len(movie) < most
        _, back = read_mp4(movie)
        assert np.sqrt(np.mean(np.square(back.astype(float) - levels))) < error


def test_every_30th_frame_of_an_mp4_depends_on_no_other():
    data = film.mp4(np.zeros((70, 16, 16), np.uint8))
    with av.open(io.BytesIO(data)) as container:
        keys = [frame.key_frame for frame in container.decode(video=0)]
    assert len(keys) == 70
    assert [t for t in range(70) if keys[t]] == [0, 30, 60]


@pytest.mark.parametrize("fps", [0.1, 0.3, 12.5, 29.97, 1000])
def test_an_mp4_lasts_as_long_as_its_frames(fps):
    about, back = read_mp4(film.mp4(noise(6, 16, 16), fps=fps))
    assert len(back) == 6
    assert about["duration"] == pytest.approx(6 / fps, rel=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (17, 34), (28, 27)])
def test_odd_sides_are_made_even(size):
    _, back = read_mp4(film.mp4(np.full((3, *size), 200, np.uint8)))
    assert back.shape == (3, size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert np.abs(back.astype(int) - 200).max() <= 2


def test_no_other_process_writes_a_film_and_nothing_is_left_of_it():
    code = """if True:
        import gc, os, sys, threading
        import numpy as np
        from harness.pictures import film

        def refuse(event, arguments):
            assert event not in ("subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn"), event

        sys.addaudithook(refuse)
        frames = np.random.default_rng(0).integers(0, 256, (5, 20, 30), dtype=np.uint8)
        film.mp4(frames)
        threads, files = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            movie = film.mp4(frames)
        assert threads == len(os.listdir("/proc/self/task"))
        assert files == len(os.listdir("/proc/self/fd"))
        assert gc.get_freeze_count() == 0
        gc.freeze()
        assert film.mp4(frames) == movie
        assert gc.get_freeze_count() > 0

        # All objects of a worker have been set aside: to count them takes longer than a film.
        collections = []
        gc.callbacks.append(lambda phase, about: collections.append(about["generation"]))
        gc.get_freeze_count = None
        assert film.mp4(frames) == movie
        assert 2 not in collections
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_other_processes_and_threads_write_the_same_bytes():
    code = "import numpy as np, hashlib; from harness.pictures import film; from harness.pictures.film import *\n"
    code += "f = np.random.default_rng(3).integers(0, 256, (9, 33, 50), dtype=np.uint8)\n"
    code += (
        "print([hashlib.sha256(x).hexdigest() for x in (film.mp4(f), film.gif(f), film.png(f[0]))])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    frames = noise(9, 33, 50, seed=3)
    with ThreadPoolExecutor(4) as pool:
        movies = list(pool.map(lambda _: film.mp4(frames), range(8)))
    assert {hashlib.sha256(movie).hexdigest() for movie in movies} == {runs[0].stdout.split("'")[1]}


def test_png_reads_back():
    frame = noise(9, 13)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(film.png(frame)))), frame)
    large = noise(300, 300, 3)
    exact = Image.open(io.BytesIO(film.png(large, is_exact=True)))
    np.testing.assert_array_equal(np.asarray(exact), large)
    assert Image.open(io.BytesIO(film.png(large))).getcolors(256) is not None


@pytest.mark.parametrize(
    "frames", [noise(4, 4), noise(0, 4, 4), noise(2, 4, 4) / 255, [[[0]]], noise(2, 4, 4, 2)]
)
def test_encoders_refuse_what_is_no_film(frames):
    for encode in (film.gif, film.mp4):
        with pytest.raises(UsageError, match="uint8"):
            encode(frames)


@pytest.mark.parametrize("fps", [0, -1, 1e-9, 1001, float("nan"), float("inf"), "10"])
def test_encoders_refuse_fps(fps):
    for encode in (film.gif, film.mp4):
        with pytest.raises(UsageError, match="fps"):
            encode(noise(2, 4, 4), fps=fps)


# the room -----------------------------------------------------------------------------------------


def test_importing_the_film_room_is_light():
    code = "import sys, harness.pictures.film;print(sorted({'PIL', 'av', 'imageio', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_large_png_keeps_its_colours_up_to_256() -> None:
    """Beyond them the rarest become the nearest of the others, and nothing else changes."""
    ramp = np.arange(256, dtype=np.uint8)
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[..., 0] = ramp
    frame[..., 2] = 255 - ramp
    assert np.array_equal(iio.imread(film.png(frame)), frame)
    # One pixel of a colour that is nearest to that of column 7.
    frame[100, 200] = (7, 1, 248)
    shown = iio.imread(film.png(frame))
    assert shown[100, 200].tolist() == [7, 0, 248]
    frame[100, 200] = shown[100, 200]
    assert np.array_equal(shown, frame)
    assert film.png(frame) == film.png(frame.copy())
