"""Frames as files in memory, equal bytes for equal frames.

Pillow writes GIF and PNG; the ffmpeg that comes with imageio-ffmpeg writes MP4.
"""

import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.pictures.tiles import check_film

# The greys of a GIF: half the bytes of 256, and the eye does not miss the others in a picture of
# weights.
GREYS = 64

_CODER = "-c:v libx264 -preset veryfast -crf 25 -bf 0 -g 30 -pix_fmt yuv420p -movflags +faststart"
_REPRODUCIBLE = "-threads 1 -filter_threads 1 -fflags +bitexact -flags:v +bitexact"


def gif(frames: np.ndarray, fps: float = 10, max_frames: int = 60) -> bytes:
    """An endless GIF of 64 greys.

    Noisy pictures compress badly (about 70 kB for 280x280), so a longer film is thinned evenly. It
    keeps its pace: with fewer frames it is over sooner. Equal neighbours are stored as one frame
    that lasts as long as both.

    Parameters
    ----------
    frames
        uint8 (T, H, W).
    fps
        Frames a second, at most 50. GIF counts in 1/100 s; the rounding does not add up.
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
    from PIL import Image

    check_film(frames)
    good_pace = checks.is_real(fps) and 0 < fps <= 50
    if not (good_pace and checks.is_whole(max_frames) and max_frames >= 2):
        raise UsageError(
            f"A GIF takes 0 < fps <= 50 and at least 2 frames, got fps={fps} and "
            f"max_frames={max_frames}."
        )
    kept = _evenly(len(frames), max_frames)
    # Rounding when each frame ends, and not how long it lasts, keeps the pace.
    ends = np.rint(np.arange(len(kept) + 1) * (100 / fps)).astype(int)
    palette = bytes(level * 255 // (GREYS - 1) for level in range(GREYS) for _ in "rgb")
    images = []
    for frame in frames[kept]:
        image = Image.frombytes("P", frame.shape[::-1], (frame // (256 // GREYS)).tobytes())
        image.putpalette(list(palette))
        images.append(image)
    file = io.BytesIO()
    images[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=[10 * int(hundredths) for hundredths in np.diff(ends)],
        loop=0,
        palette=palette,
    )
    return file.getvalue()


def mp4(frames: np.ndarray, fps: float = 10) -> bytes:
    """An H.264 film (yuv420p, so browsers play it).

    One encoder thread and no dates or versions in the file, so the bytes depend on the frames and
    the encoder's build alone. No frame depends on a later one and every 30th on none: a slider
    finds its frame at once. An odd side is made even at its end.

    Parameters
    ----------
    frames
        uint8 (T, H, W).
    fps
        Frames a second, above 0.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    UsageError
        For wrong frames or fps, and where there is no ffmpeg.
    """
    check_film(frames)
    fps = checks.real(
        "fps", fps, lambda rate: rate > 0, "must be positive", remedy="10 is a good film."
    )
    _, height, width = frames.shape
    frames = np.pad(frames, [(0, 0), (0, height % 2), (0, width % 2)], mode="edge")
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    source = f"-f rawvideo -pix_fmt gray -s {size} -r {fps} -i -"
    # With the option faststart ffmpeg writes the index in front of the pictures, for which it goes
    # back in the file: that is not possible in a pipe.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        arguments = [*source.split(), *_CODER.split(), *_REPRODUCIBLE.split(), str(path)]
        done = _ffmpeg(arguments, frames.tobytes())
        if done.returncode:
            errors = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise UsageError(
                f"ffmpeg could not encode {len(frames)} frames of {size}; it said: {errors[0]}"
            )
        return path.read_bytes()


def png(frame: np.ndarray) -> bytes:
    """A PNG of one frame, uint8 (H, W), for instance of the last one."""
    from PIL import Image

    check_film(frame[None])
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many places of a film, evenly spread, the first and the last among them."""
    places = np.linspace(0, count - 1, min(count, most))
    return np.unique(np.rint(places).astype(int))


def _ffmpeg(arguments: list[str], frames: bytes) -> subprocess.CompletedProcess[bytes]:
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        command = [get_ffmpeg_exe(), "-v", "error", *arguments]
        return subprocess.run(command, input=frames, capture_output=True, check=False)
    except (RuntimeError, OSError) as error:
        raise UsageError(
            f"An MP4 needs ffmpeg, got none ({error}); pip install imageio-ffmpeg."
        ) from error
