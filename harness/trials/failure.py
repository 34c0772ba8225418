"""How trials fail: what an error makes of a trial, and why, in one sentence."""

import errno

from harness.errors import in_words, place_of
from harness.storage.result import TrialState
from harness.trials.deadline import TimedOut


def failure_of(error: Exception, timeout: float | None) -> tuple[TrialState, str]:
    """The state of a trial that raised an error, and why.

    Parameters
    ----------
    error : Exception
        What was raised.
    timeout : float or None
        The seconds that the trial had.

    Returns
    -------
    state : TrialState
        How the trial has ended.
    reason : str
        One sentence: what was raised, and in whose file and line.
    """
    if isinstance(error, TimedOut):
        return TrialState.TIMED_OUT, f"timed out after {timeout:g} s"
    sentence = in_words(error)
    # Where no file of the user has a part in it, the engine's note says in which layer it was.
    notes = list(getattr(error, "__notes__", ()))
    place = place_of(error) or "; ".join(notes[:1])
    if place:
        sentence = f"{sentence} ({place})"
    if isinstance(error, MemoryError):
        return TrialState.OUT_OF_MEMORY, f"out of memory: {sentence}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return TrialState.DISK_FULL, f"the disk is full: {sentence}"
    return TrialState.FAILED, sentence
