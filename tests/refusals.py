"""How tests expect a UsageError: one line, in which words occur."""

import pytest

from harness.errors import UsageError


def refusal(*words: str) -> "pytest.RaisesExc[UsageError]":
    """Expects a UsageError of one line in which every word occurs."""
    return pytest.RaisesExc(
        UsageError, check=lambda e: "\n" not in str(e) and all(word in str(e) for word in words)
    )
