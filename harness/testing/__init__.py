"""The conformance suite: what every plugin must do, by kind.

`check` makes the checks of one registered name, `check_module` those of a file, and
`assert_conforms` is for tests. Each kind has a module here with its table of checks.
"""

from harness.testing.conformance import assert_conforms, check, check_module, registered_by
from harness.testing.device import device_distance
from harness.testing.samples import examples
from harness.testing.suite import Outcome

__all__ = [
    "Outcome",
    "assert_conforms",
    "check",
    "check_module",
    "device_distance",
    "examples",
    "registered_by",
]
