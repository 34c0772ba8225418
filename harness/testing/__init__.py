"""The conformance suite: what every plugin must do, by kind."""

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
