"""Frames as files in memory, equal bytes for equal frames.

imageio writes them all: GIF and PNG with Pillow, MP4 with PyAV, which holds the encoder x264. No
file and no other process is needed.
"""

import io
from typing import Any
from zlib import Z_RLE

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.garbage import quick_collection
from harness.pictures import colours as maps
from harness.pictures.tiles import check_film

# The greys of a GIF: half the bytes of 256, and the eye does not miss the others in a picture of
# weights.
GREYS = 64

# Frames a second. A GIF counts in hundredths of a second, and browsers slow down what lasts one;
# beyond 1000 an MP4 no longer has the rate that was asked for.
SLOWEST = 0.1
FASTEST = 1000
FASTEST_GIF = 50

# Seconds. Equal frames are stored as one, and a frame of a GIF lasts 655.35 s at most.
LONGEST_GIF = 655

# Settings of the encoder x264: no frame depends on a later one, and the number of threads, which
# the file names, is not that of the machine's cores.
_X264 = {
    **{"preset": "superfast", "bf": "0", "threads": "1"},
    # What of the preset costs a fifth of the time and saves a hundredth of the bytes of weights,
    # which have neither cuts nor fades; without the filter of blocks their pixels stay sharp.
    "x264-params": "subme=0:scenecut=0:weightp=0:no-deblock=1",
}

# Bytes of a picture in colours. To find a palette takes longer than to write a smaller one.
_WORTH_A_PALETTE = 150_000

# Of zlib. A large picture is written in less than half of the time with 3, and has 6 % more bytes.
_LEVEL = 6
_LEVEL_OF_EXACT = 3
_LEVEL_OF_ENLARGED = 1  # where each pixel is repeated

_KEY_FRAME_EVERY = 30  # frames; a slider then decodes at most so many to show one

# Of the levels of a page: weights do not move about, and one quantizer for all their pixels saves
# the encoder a first look at each frame.
_X264_OF_LEVELS = {
    **_X264,
    "x264-params": f"{_X264['x264-params']}:partitions=none:merange=4",
}

# The quantizer of x264; 6 more halve the exactness. A page of 784 x 100 weights that move at random
# (weight decay does that) still has 0.27 MB, and a small film may be more exact.
_QUANTIZER = 26
_QUANTIZER_OF_SMALL = 22
_SMALL = 10_000  # pixels of a frame


def gif(frames: np.ndarray, fps: float = 10, max_frames: int = 60) -> bytes:
    """An endless GIF of 64 greys; of a film in colours as many colours as a GIF can have.

    Noisy pictures compress badly (about 70 kB for 280x280), so a longer film is thinned evenly. It
    keeps its pace: with fewer frames it is over sooner. Equal neighbours are stored as one frame
    that lasts as long as both.

    Parameters
    ----------
    frames
        uint8 (T, H, W), in colours (T, H, W, 3).
    fps
        Frames a second, from 0.1 to 50. GIF counts in 1/100 s; the rounding does not add up.
    max_frames
        How many frames to keep, at least 2; the first and the last are among them.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    UsageError
        For wrong frames and wrong numbers.
    """
    import imageio.v3 as iio

    check_film(frames)
    fps = _checked_pace(fps, FASTEST_GIF)
    max_frames = checks.whole("max_frames", max_frames, 2, remedy="60 make a good film.")
    kept = _evenly(len(frames), max_frames)
    if len(kept) / fps > LONGEST_GIF:
        raise UsageError(
            f"A GIF lasts at most {LONGEST_GIF} s, got {len(kept)} frames at fps={fps}; make it "
            f"faster, or lower max_frames."
        )
    # Rounding when each frame ends, and not how long it lasts, keeps the pace.
    ends = np.rint(np.arange(len(kept) + 1) * (100 / fps)).astype(int)
    places, palette = _palette(frames[kept])
    return iio.imwrite(
        "<bytes>",
        places,
        plugin="pillow",
        extension=".gif",
        is_batch=True,
        palette=palette,
        duration=[10 * int(hundredths) for hundredths in np.diff(ends)],
        loop=0,
    )


def mp4(frames: np.ndarray, fps: float = 10, crf: int = 25) -> bytes:
    """An H.264 film (yuv420p, so browsers play it).

    One encoder thread and no dates or versions in the file, so the bytes depend on the frames and
    the encoder's build alone. No frame depends on a later one and every 30th on none: a slider
    finds its frame at once. An odd side is made even at its end.

    Parameters
    ----------
    frames
        uint8 (T, H, W), in colours (T, H, W, 3).
    fps
        Frames a second, from 0.1 to 1000.
    crf
        The constant rate factor of x264: 3 more makes a film a quarter smaller, and coarser.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    UsageError
        For wrong frames or fps.
    """
    return _mp4(frames, fps, {**_X264, "crf": str(crf)})


def mp4_of_levels(levels: np.ndarray, fps: float = 10) -> bytes:
    """The same for a page that enlarges and colours the frames itself.

    Parameters
    ----------
    levels
        uint8 (T, H, W).
    fps
        Frames a second, from 0.1 to 1000.
    """
    quantizer = _QUANTIZER
    if levels[0].size < _SMALL:
        quantizer = _QUANTIZER_OF_SMALL
    return _mp4(levels, fps, {**_X264_OF_LEVELS, "qp": str(quantizer)})


def png(frame: np.ndarray, *, is_exact: bool = False) -> bytes:
    """A PNG of one frame, for instance of the last one.

    Parameters
    ----------
    frame
        uint8 (H, W) or (H, W, 3).
    is_exact
        Whether a large frame in colours, too, keeps each of them. Otherwise it has 256, which are
        all that a film without a caption has.
    """
    import imageio.v3 as iio

    check_film(frame[None])
    if frame.ndim == 3 and frame.size > _WORTH_A_PALETTE and not is_exact:
        # A map of ours has 256 colours, and with a palette of them the file is half as large.
        return _png_of_few_colours(frame)
    return iio.imwrite(
        "<bytes>",
        frame,
        plugin="pillow",
        extension=".png",
        is_batch=False,
        compress_level=_LEVEL_OF_EXACT if is_exact else _LEVEL,
    )


def png_of_levels(levels: np.ndarray, is_empty: np.ndarray, colours: str, zoom: int) -> bytes:
    """A PNG of one frame of a film, whose palette is the colour map.

    Parameters
    ----------
    levels
        uint8 (H, W).
    is_empty
        bool (H, W), true where no weight is.
    colours
        Of the film; see `frames`.
    zoom
        Each pixel becomes so many pixels high and wide.
    """
    from PIL import Image

    # The lowest two levels share a colour, which leaves a place for what stands between tiles.
    places = np.maximum(levels, 1)
    places[is_empty] = 0
    palette = maps.table(colours).copy()
    palette[0] = maps.between(colours)
    image = Image.fromarray(places.repeat(zoom, axis=0).repeat(zoom, axis=1))
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    # imageio looks for packages of other formats each time, which takes as long as a small picture.
    if zoom > 1:
        image.save(file, "png", compress_level=_LEVEL_OF_ENLARGED)
    else:
        # Weights have nothing that comes again but runs, and to look for no more takes half the
        # time.
        image.save(file, "png", compress_type=Z_RLE)
    return file.getvalue()


def _checked_pace(fps: float, fastest: float) -> float:
    return checks.real(
        "fps",
        fps,
        lambda rate: SLOWEST <= rate <= fastest,
        f"must lie in [{SLOWEST}, {fastest}]",
        remedy="10 is a good film.",
    )


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many places of a film, evenly spread, the first and the last among them."""
    places = np.linspace(0, count - 1, min(count, most))
    return np.unique(np.rint(places).astype(int))


def _png_of_few_colours(frame: np.ndarray) -> bytes:
    """A PNG with a palette: beyond 256 the rarest colours become the nearest of the others."""
    from PIL import Image

    channel = frame.astype(np.uint32)
    codes = channel[..., 0] << 16 | channel[..., 1] << 8 | channel[..., 2]
    colours, counts = np.unique(codes, return_counts=True)
    channels = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(int)
    kept = np.sort(np.argsort(-counts, kind="stable")[:256])
    place = np.zeros(1 << 24, np.uint8)
    place[colours[kept]] = np.arange(len(kept))
    for rare in np.setdiff1d(np.arange(len(colours)), kept):
        apart = np.square(channels[kept] - channels[rare]).sum(axis=1)
        place[colours[rare]] = np.argmin(apart)
    # imageio lets Pillow look for a palette, which takes ten times as long.
    image = Image.fromarray(place[codes])
    image.putpalette(channels[kept].astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def _palette(frames: np.ndarray) -> tuple[np.ndarray, bytes]:
    """The place (T, H, W) of each pixel in a palette, and the palette, 3 bytes for each place."""
    if frames.ndim == 3:
        greys = np.arange(GREYS) * 255 // (GREYS - 1)
        return frames // (256 // GREYS), np.repeat(greys, 3).astype(np.uint8).tobytes()
    # Of each channel five bits are kept, which leaves about a hundred colours of a map of ours.
    five = (frames >> 3).astype(np.uint16)
    codes = five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]
    counts = np.bincount(codes.ravel(), minlength=1 << 15)
    # Beyond 256 the rarest colours become the nearest of the others.
    kept = np.sort(np.argsort(-counts, kind="stable")[: min(256, np.count_nonzero(counts))])
    channels = np.stack([kept >> 10, kept >> 5 & 31, kept & 31], axis=1)
    place = np.zeros(1 << 15, np.uint8)
    for code in np.flatnonzero(counts):
        channel = np.array([code >> 10, code >> 5 & 31, code & 31])
        place[code] = np.argmin(np.square(channels - channel).sum(axis=1))
    return place[codes], (channels << 3 | channels >> 2).astype(np.uint8).tobytes()


def _mp4(frames: np.ndarray, fps: float, settings: dict[str, str]) -> bytes:
    """Frames as an MP4 with these settings of the encoder."""
    check_film(frames)
    fps = _checked_pace(fps, FASTEST)
    height, width = frames.shape[1:3]
    # With one value of colour for four pixels (yuv420p) both sides have to be even.
    if height % 2 or width % 2:
        padding = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
        frames = np.pad(frames, padding[: frames.ndim], mode="edge")
    from harness.pictures.grey_films import GreyFilms

    if frames.ndim == 3:
        return _h264(frames, fps, settings, GreyFilms)
    from imageio.plugins.pyav import PyAVPlugin

    # The plugin collects garbage when it is closed, and once more when it is forgotten.
    with quick_collection():
        return _h264(frames, fps, settings, PyAVPlugin)


def _h264(frames: np.ndarray, fps: float, settings: dict[str, str], plugin: Any) -> bytes:
    """Frames with even sides as an MP4 by this plugin of imageio."""
    import imageio.v3 as iio

    # The muxer then writes neither a date nor its version.
    muxer = {"fflags": "+bitexact"}
    with iio.imopen("<bytes>", "w", plugin=plugin, extension=".mp4", options=muxer) as file:
        file.init_video_stream(
            "libx264", fps=fps, pixel_format="yuv420p", max_keyframe_interval=_KEY_FRAME_EVERY
        )
        # imageio has no argument for the encoder's settings and hands out its stream instead.
        file._video_stream.options = settings
        return file.write(frames)
