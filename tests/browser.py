"""A real JupyterLab in a real browser, for tests and for looking at lessons.

    python -m tests.browser shots notebooks/00_utility_matrix.ipynb OUTDIR [--dark]

runs a notebook and writes pictures of it from top to bottom.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("MFCOURSE_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    "",
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "test"
ADDRESS = re.compile(r"http://127\.0\.0\.1:([1-9]\d*)/lab")
# JupyterLab leaves cells out of the page until they are scrolled to; we need them all.
TRACKER = {"windowingMode": "none", "recordTiming": False}
HIGH = 900

WIDGET = "window.jupyterapp.shell.currentWidget"
# The toolbar says idle before the kernel is connected; Run All would then be dropped.
READY = """() => {
    const w = window.jupyterapp?.shell?.currentWidget;
    return w?.sessionContext?.isReady && w.content?.widgets?.length
        && w.sessionContext.session?.kernel?.status === 'idle';
}"""
CELLS = f"""() => {WIDGET}.content.widgets
    .filter(cell => cell.model.type === 'code')
    .map(cell => ({{
        count: cell.model.executionCount,
        state: cell.model.executionState,
        outputs: cell.model.outputs.toJSON(),
        tags: cell.model.metadata.tags || [],
    }}))"""
FORGET = f"""() => {WIDGET}.content.widgets.forEach(cell => {{
    if (cell.model.type === 'code') cell.model.clearExecution();
}})"""
DONE = f"""() => {WIDGET}.sessionContext.session.kernel.status === 'idle'
    && ({CELLS})().every(cell => cell.count && cell.state === 'idle'
        || cell.tags.includes('nbval-skip'))"""
CLOSE = f"() => {WIDGET}.sessionContext.shutdown()"
THEME = """async name => {
    await window.jupyterapp.commands.execute('apputils:change-theme', {theme: name});
}"""


@contextlib.contextmanager
def lab(root: Path, home: Path, record: bool = False) -> Iterator[str]:
    """A JupyterLab that serves ``root`` and keeps all else in ``home``; its address."""
    settings = home / "settings" / "@jupyterlab"
    write_settings(settings / "notebook-extension" / "tracker", TRACKER)
    apps = settings / "apputils-extension"
    write_settings(apps / "notification", {"fetchNews": "false"})
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "MFCOURSE_HOME": str(home / "mfcourse"),
        "MFCOURSE_RECORD": str(int(record)),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--ServerApp.root_dir={root}", "--ServerApp.terminals_enabled=False"]
    command += ["--LabApp.news_url=", "--LabApp.extension_manager=readonly"]
    command += ["--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with (
        subprocess.Popen(
            command,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as server,
        _ended_with_us(server),
    ):
        said = []
        for line in server.stdout:
            said.append(line)
            if found := ADDRESS.search(line):
                break
        else:
            raise RuntimeError("JupyterLab did not start:\n" + "".join(said))
        # A full pipe would stop the server, so someone must go on reading it.
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield f"http://127.0.0.1:{found[1]}"


def write_settings(path: Path, settings: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".jupyterlab-settings").write_text(json.dumps(settings))


@contextlib.contextmanager
def _ended_with_us(server: subprocess.Popen) -> Iterator[None]:
    """End the server and its kernels on leaving, and when we are told to end."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


class Opened:
    """A notebook open in JupyterLab; what it asked other hosts for, and its cells."""

    def __init__(self, page: Any, url: str, progress: Path) -> None:
        self.page = page
        self.url = url
        self.name = ""
        self.progress = progress
        self.outside: set[str] = set()
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url))

    def _note(self, url: str) -> None:
        here = self.url.removeprefix("http")
        if not re.match(rf"(data|blob):|(http|ws){re.escape(here)}/", url):
            self.outside.add(url)

    def open(self, name: str) -> None:
        self.name = Path(name).stem
        self.page.goto(f"{self.url}/lab/tree/{name}?token={TOKEN}&reset")
        self.page.wait_for_function(READY, timeout=90_000)

    def paint(self, dark: bool) -> None:
        """Change to the dark theme, or to the light one."""
        self.page.evaluate(THEME, "JupyterLab Dark" if dark else "JupyterLab Light")
        said = f"document.body.dataset.jpThemeLight === '{str(not dark).lower()}'"
        self.page.wait_for_function(said)

    def run_all(self, timeout_s: float = 180) -> list[dict[str, Any]]:
        """Run every cell; wait; the code cells with count, state, outputs and tags."""
        self.page.evaluate(FORGET)  # stored counts would look like finished cells
        run = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }"
        self.page.evaluate(run)
        self.page.wait_for_function(DONE, timeout=1000 * timeout_s)
        return self.page.evaluate(CELLS)


class Served:
    """A JupyterLab and a Chromium that open one notebook after the other."""

    def __init__(self, browser: Any, url: str, root: Path, progress: Path) -> None:
        self.browser, self.url = browser, url
        self.root, self.progress = root, progress

    @contextlib.contextmanager
    def opened(self, notebook: Path, width: int = 1280) -> Iterator[Opened]:
        """Open a copy of a notebook, so that the reference stays as it is."""
        for file in [notebook, *notebook.parent.glob("*_checks.json")]:
            shutil.copy(file, self.root)
        page = self.browser.new_page(viewport={"width": width, "height": HIGH})
        try:
            here = Opened(page, self.url, self.progress)
            here.open(notebook.name)
            yield here
            page.evaluate(CLOSE)  # a kernel that nobody looks at takes memory
        finally:
            page.close()


@contextlib.contextmanager
def serve(record: bool = False) -> Iterator[Served]:
    """Start both; a test that needs them twice would wait twice.

    With ``record``, what is done there goes into a progress log of its own.
    """
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root, home = folder / "root", folder / "home"
        root.mkdir()
        home.mkdir()
        url = stack.enter_context(lab(root, home, record))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        stack.callback(browser.close)
        yield Served(browser, url, root, home / "mfcourse")


def shots(here: Opened, folder: Path) -> int:
    """Run a notebook and write it as pictures from top to bottom; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    here.run_all()
    page = here.page
    panel = page.locator(".jp-Notebook .jp-WindowedPanel-outer").first
    end, step = panel.evaluate(
        """p => [
            [...p.querySelectorAll('.jp-Cell')].at(-1).getBoundingClientRect().bottom
                - p.getBoundingClientRect().top + p.scrollTop,
            p.clientHeight - 40,
        ]"""
    )
    starts = range(0, int(end), int(step))
    for number, top in enumerate(starts):
        panel.evaluate("(p, top) => { p.scrollTop = top }", top)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        page.screenshot(path=folder / f"{here.name}_{number:02d}.png")
    return len(starts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("shots", help="run a notebook, write pictures of it")
    command.add_argument("notebook", type=Path)
    command.add_argument("folder", type=Path)
    command.add_argument("--dark", action="store_true", help="the dark theme")
    command.add_argument("--width", type=int, default=1280)
    given = parser.parse_args()
    if not CHROMIUM:
        parser.error("no Chromium found; install it, or name it in MFCOURSE_CHROMIUM")
    with serve() as served, served.opened(given.notebook, given.width) as here:
        here.paint(given.dark)
        count = shots(here, given.folder)
    print(f"{count} pictures in {given.folder}")


if __name__ == "__main__":
    main()
