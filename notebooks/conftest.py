"""Let ``pytest --nbval notebooks`` see what a reader in JupyterLab sees.

nbval 0.11.0 runs a cell and compares its messages with the stored outputs. Three things
that ordinary cells do, it does not follow; they are mended here:

- it runs cells outside the history, where a trailing ``;``, ``_`` and ``Out[1]`` fail;
- it collects messages, but takes nothing back: ``clear_output`` and a display that is
  updated in place; and what an ``Output`` widget captures belongs to the widget;
- it compares stderr, where warnings name process ids and progress bars tell the time.

The kernel also gets ``MFCOURSE_RECORD=0``: a test must not count as a learner's work.
"""

import functools
import os

import nbformat
from nbval import kernel, plugin

OUTPUTS = ("stream", "display_data", "execute_result", "error")
HANDLED = "comm_handled"  # nbval passes over message types that begin with "comm"

_start_new_kernel = kernel.start_new_kernel
_get_kernel_message = plugin.IPyNbFile.get_kernel_message
_runtest = plugin.IPyNbCell.runtest


@functools.wraps(_start_new_kernel)
def start_new_kernel(*args, **kwargs):
    env = {**os.environ, "MFCOURSE_RECORD": "0"}
    return _start_new_kernel(*args, env=env, **kwargs)


def execute_cell_input(self, source, allow_stdin=None):
    """Run in the history, where IPython looks for the ``;`` and keeps ``_``."""
    return self.kc.execute(
        source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
    )


def runtest(self):
    self.parent.cell = self
    self.parent.clear_next = False
    _runtest(self)


def get_kernel_message(self, timeout=None, stream="iopub"):
    """The next message, after doing what a front end would do about it."""
    message = _get_kernel_message(self, timeout, stream)
    kind, content = message["msg_type"], message["content"]
    cell = getattr(self, "cell", None)
    if cell is None or cell.test_outputs is None:
        return message
    if kind == "comm_msg":
        state = content["data"].get("state", {})
        if "msg_id" in state:  # an Output widget begins or, with "", ends capturing
            captured = self.__dict__.setdefault("captured", {})
            captured[content["comm_id"]] = state["msg_id"]
    elif kind in (*OUTPUTS, "clear_output") and _is_captured(self, message):
        message["msg_type"] = HANDLED
    elif kind == "clear_output":
        self.clear_next = content.get("wait", False)
        if not self.clear_next:
            cell.test_outputs.clear()
        message["msg_type"] = HANDLED
    elif kind == "update_display_data":
        for output in cell.test_outputs:
            if _display_id(output.get("metadata", {})) == _display_id(content):
                output["data"] = nbformat.from_dict(content["data"])
        message["msg_type"] = HANDLED
    elif kind in OUTPUTS:
        if self.clear_next:
            cell.test_outputs.clear()
            self.clear_next = False
        if _display_id(content):  # nbval keeps the metadata, and drops the rest
            content["metadata"] = {**content["metadata"], **_transient(content)}
    return message


def _is_captured(self, message):
    parent = message["parent_header"].get("msg_id")
    return parent in self.__dict__.get("captured", {}).values()


def _transient(content):
    return {"transient": content.get("transient", {})}


def _display_id(content):
    return content.get("transient", {}).get("display_id")


kernel.start_new_kernel = start_new_kernel
kernel.RunningKernel.execute_cell_input = execute_cell_input
plugin.IPyNbFile.get_kernel_message = get_kernel_message
plugin.IPyNbCell.runtest = runtest


def pytest_collectstart(collector):
    if isinstance(collector, plugin.IPyNbFile):
        collector.skip_compare += ("stderr",)
