"""What the workers' side of a driver says on a terminal."""

import sys


def say(sentence: str) -> None:
    """Writes a sentence above the bar, if there is one."""
    from tqdm import tqdm

    tqdm.write(sentence, file=sys.stderr)
