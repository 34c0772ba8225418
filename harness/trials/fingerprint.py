"""What a result depends on besides its config.

That is versions, BLAS and its kernel, the processor, and the sources of plugins.
"""

import hashlib
import platform
import sys
from functools import cache
from typing import Any

import numpy as np

from harness import registry
from harness.expressions.backend import described
from harness.registry import interactive
from harness.version import version


def fingerprint(names: frozenset[str] = frozenset(), kernels: str | None = None) -> dict[str, Any]:
    """The environment of this process.

    Where two fingerprints are equal, equal configs and data give equal bytes. Where they are not,
    the bytes may still be equal, but nothing guarantees it.

    Parameters
    ----------
    names : frozenset of str
        The plugins that are meant, such as Config.names().
    kernels : str, optional
        The backend with which was trained; that of this process by default.

    Returns
    -------
    dict
        Short texts by name, and under "plugins" a SHA-256 for each source.
    """
    return {**_machine(), "kernels": described(kernels), "plugins": plugin_hashes(names)}


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Where two fingerprints differ, one phrase each: "numpy was 2.4.6, is 2.5.0"."""
    phrases = []
    for name in dict.fromkeys([*then, *now]):
        was = then.get(name, "not known")
        is_now = now.get(name, "not known")
        if name != "plugins" and was != is_now:
            phrases.append(f"{name} was {was}, is {is_now}")
    before = then.get("plugins", {})
    after = now.get("plugins", {})
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            phrases.append(f"plugin {name} was there, is not loaded")
        elif before.get(name, after[name]) != after[name]:
            phrases.append(f"plugin {name} was {before[name][:8]}, is {after[name][:8]} (SHA-256)")
    return phrases


@cache
def _machine() -> dict[str, str]:
    """What stays as it is while a process lives."""
    facts = np.show_config(mode="dicts")
    built: Any = facts.get("Build Dependencies", {}).get("blas", {})  # type: ignore[union-attr]
    simd: Any = facts.get("SIMD Extensions", {})  # type: ignore[union-attr]
    return {
        "harness": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        # Which ufunc loops are used
        "numpy_simd": " ".join([*simd.get("baseline", ()), *simd.get("found", ())]),
        "blas": f"{built.get('name', 'unknown')} {built.get('version', '')}".strip(),
        "blas_kernel": _kernel(),
        "system": platform.system(),
        "machine": platform.machine(),
        "byteorder": sys.byteorder,
        "processor": _processor(),
    }


def _kernel() -> str:
    """The processor that NumPy's BLAS has chosen its kernels for, such as SkylakeX."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    # SciPy brings a BLAS of its own, which comes second.
    pools.sort(key=lambda pool: "numpy" not in pool["filepath"])
    if not pools:
        return "unknown"
    return pools[0].get("architecture") or "unknown"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(
                line.split(":")[1].strip() for line in file if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# What was registered when sources were last read, and the SHA-256 of those by names
_known: list[Any] = [None, {}]


def plugin_hashes(names: frozenset[str]) -> dict[str, str]:
    """The SHA-256 of each source that registers one of these names.

    What such a source imports of the user's own counts too.
    """
    table = registry.table()
    if _known[0] != table:  # to read and hash them takes milliseconds
        _known[:] = table, {}
    if names not in _known[1]:
        found = registry.sources(names)
        _known[1][names] = {
            name: hashlib.sha256(source).hexdigest() for name, source in found.items()
        }
    # What lies in no file may use what other cells have defined, and may have no source at all
    loose = {f"{e.kind} {e.name}": interactive.digest(e.factory) for e in registry.loose(names)}
    return {**_known[1][names], **loose}
