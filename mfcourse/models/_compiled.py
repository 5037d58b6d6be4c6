"""numba where it is installed; elsewhere (in the browser) the plain engines run."""

from __future__ import annotations

import os
import warnings

# Threads that wait shall sleep: on a busy machine, spinning costs more than the work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

try:
    from numba import njit, prange
except ImportError:  # pragma: no cover - tested in a process without numba
    njit = None  # type: ignore[assignment]
    prange = range  # type: ignore[misc]

_told = False


def kernel(function=None, /, **options):  # type: ignore[no-untyped-def]
    """Compile a loop over ratings, once a machine: the machine code is kept on disk.

    Parameters
    ----------
    function : callable
    **options
        Of numba's ``njit``.

    Returns
    -------
    callable
        The function itself where numba is missing.
    """
    if function is None:
        return lambda f: kernel(f, **options)
    if njit is None:
        return function
    return njit(cache=True, error_model="numpy", **options)(function)


def use_fast(engine: str) -> bool:
    """Whether to run the fast engine; says once that it is missing.

    Parameters
    ----------
    engine : {"fast", "plain"}

    Returns
    -------
    bool
    """
    global _told
    if engine == "fast" and njit is None:
        if not _told:
            _told = True
            message = "numba is not installed: the plain engines run, on small data"
            warnings.warn(message, stacklevel=3)
        return False
    return engine == "fast"
