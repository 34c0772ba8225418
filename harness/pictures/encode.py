"""Frames -> files in memory, equal bytes for equal frames: GIF and PNG by Pillow, MP4 by
imageio-ffmpeg's ffmpeg.
"""

import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.pictures.tiles import check

# Levels of a GIF: half the bytes of 256, and the eye does not miss them in a picture of weights
GREYS = 64


def gif(frames: np.ndarray, fps: float = 10, max_frames: int = 60) -> bytes:
    """uint8 (T, H, W) -> an endless GIF of fps frames a second, 64 greys.

    Noisy pictures compress badly (about 70 kB for 280x280), so a longer film is thinned evenly to
    `max_frames`, first and last frame kept. It keeps its pace: with fewer frames it is over sooner.
    GIF counts in 1/100 s; the rounding does not add up. Equal neighbours are stored as one frame
    that lasts as long as both. Errors: UsageError for wrong frames, for fps above 50, for fewer
    than 2 frames.
    """
    from PIL import Image

    check(frames)
    if not (
        checks.is_real(fps) and 0 < fps <= 50 and checks.is_whole(max_frames) and max_frames >= 2
    ):
        raise UsageError(
            f"A GIF takes 0 < fps <= 50 and at least 2 frames, got fps={fps} and "
            f"max_frames={max_frames}."
        )
    count = len(frames)
    kept = np.unique(np.rint(np.linspace(0, count - 1, min(count, max_frames))).astype(int))
    ends = np.rint(np.arange(len(kept) + 1) * (100 / fps)).astype(int)
    palette = [level * 255 // (GREYS - 1) for level in range(GREYS) for _ in "rgb"]
    images = []
    for frame in frames[kept]:
        image = Image.frombytes("P", frame.shape[::-1], (frame // (256 // GREYS)).tobytes())
        image.putpalette(palette)
        images.append(image)
    file = io.BytesIO()
    images[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=[10 * int(hundredths) for hundredths in np.diff(ends)],
        loop=0,
        palette=bytes(palette),
    )
    return file.getvalue()


def mp4(frames: np.ndarray, fps: float = 10) -> bytes:
    """uint8 (T, H, W) -> an H.264 film of T frames (yuv420p, so browsers play it); an odd side is
    made even at its end.

    One encoder thread and no dates or versions in the file, so the bytes depend on the frames and
    the encoder's build alone. No frame depends on a later one and every 30th on none: a slider
    finds its frame at once. Errors: UsageError for wrong frames or fps, and where there is no
    ffmpeg.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    check(frames)
    fps = checks.real(
        "fps", fps, lambda rate: rate > 0, "must be positive", remedy="10 is a good film."
    )
    frames = np.pad(
        frames, [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2)], mode="edge"
    )
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", size, "-r", str(fps), "-i", "-"]
    coder = [
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "25",
        "-bf",
        "0",
        "-g",
        "30",
        "-pix_fmt",
        "yuv420p",
    ]
    same = [
        "-threads",
        "1",
        "-filter_threads",
        "1",
        "-fflags",
        "+bitexact",
        "-flags:v",
        "+bitexact",
    ]
    # The index goes to the front at the end, so no pipe
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        try:
            command = [
                get_ffmpeg_exe(),
                "-v",
                "error",
                *source,
                *coder,
                *same,
                "-movflags",
                "+faststart",
                str(path),
            ]
            done = subprocess.run(command, input=frames.tobytes(), capture_output=True)
        except (RuntimeError, OSError) as error:
            raise UsageError(
                f"An MP4 needs ffmpeg, got none ({error}); pip install imageio-ffmpeg."
            ) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise UsageError(
                f"ffmpeg could not encode {len(frames)} frames of {size}; it said: {said[0]}"
            )
        return path.read_bytes()


def png(frame: np.ndarray) -> bytes:
    """uint8 (H, W) -> a PNG, for instance of the last frame."""
    from PIL import Image

    check(frame[None])
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()
