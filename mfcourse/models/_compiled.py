"""numba where it is installed; elsewhere (in the browser) the plain engines run."""

from __future__ import annotations

import os
import warnings

import numpy as np

# Threads that wait shall sleep: on a busy machine, spinning costs more than the work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

try:
    from llvmlite import ir
    from numba import config, njit, prange, types
    from numba.core import cgutils
    from numba.extending import intrinsic
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


if njit is None or getattr(config, "DISABLE_JIT", False):  # pragma: no cover

    def _ask(rows, u, f):  # type: ignore[no-untyped-def]
        pass

else:  # pragma: no cover - runs in the compiler

    @intrinsic
    def _ask(typing, rows, u, f):  # type: ignore[no-untyped-def]
        """Ask for the piece of memory that holds rows[u, f]; do not wait for it."""

        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            array, number = signature.args[0], ir.IntType(32)
            data = context.make_array(array)(context, builder, args[0])
            at = cgutils.get_item_pointer(context, builder, array, data, args[1:])
            at = builder.bitcast(at, ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [at.type, number, number, number])
            prefetch = cgutils.get_or_insert_function(
                builder.module, kind, "llvm.prefetch.p0i8"
            )
            how = (1, 3, 1)  # to be written, wanted in the nearest cache, data
            builder.call(prefetch, [at, *(ir.Constant(number, x) for x in how)])
            return context.get_dummy_value()

        return types.void(rows, u, f), code


FAR = 4_000_000  # bytes: fewer stay near of themselves, and asking would cost time


@kernel
def fetch(rows, u):  # type: ignore[no-untyped-def]
    """Have row u brought into the cache meanwhile: it is needed soon.

    What is far apart in memory arrives late: a random row takes longer than the work on
    it. No number changes.

    Parameters
    ----------
    rows : array of shape (m, k)
    u : int
    """
    if rows.size * rows.itemsize < FAR:
        return
    per_line = np.intp(64 // rows.itemsize)  # memory comes in lines of 64 bytes
    for f in range(np.intp(0), np.intp(rows.shape[1]), per_line):
        _ask(rows, np.intp(u), f)


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
