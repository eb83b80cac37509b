"""The page in a real Chromium: what is seen changes with the frame, plays, is clicked, is edited, grows; nothing leaves
the machine and nothing is complained of."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import sync_playwright

from emreel.label import label_movie
from emreel.model import Model
from emreel.result import open_result
from emreel.stream import Replay, watch
from emreel.view.export import export_result
from emreel.view.pictures import Pictures

pytestmark = pytest.mark.browser
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOWN = "() => Bokeh.documents[0].get_model_by_name('shown').data.frame[0]"


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Seen:
    """A page, and all that it asked for and said."""

    page: BrowserPage
    hosts: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(address)
        self.page.get_by_role("slider").first.wait_for()
        self.page.wait_for_function("() => window.emreelKeys !== undefined")
        self.page.wait_for_load_state("networkidle")

    def _note(self, request: Any) -> None:
        where = urlparse(request.url)
        if where.scheme not in ("data", "blob"):
            self.hosts.add(str(where.hostname))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    @property
    def slider(self) -> Any:
        return self.page.get_by_role("slider").first

    def wait_frame(self, frame: int) -> None:
        self.page.wait_for_function(f"(frame) => ({SHOWN})() == frame", arg=frame)
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")

    @property
    def frame(self) -> int:
        return int(self.page.evaluate(SHOWN))

    def picture(self, pane: int) -> bytes:
        """What the movie (0) or the overlay (1) looks like, but for its edge."""
        shot = Image.open(io.BytesIO(self.page.locator(".bk-Figure").nth(pane).screenshot()))
        return shot.crop((8, 8, shot.width - 8, shot.height - 8)).tobytes()


@pytest.fixture
def seen(browser: Any) -> Iterator[Seen]:
    page = browser.new_page(viewport={"width": 1400, "height": 950})
    page.set_default_timeout(20_000)
    seen = Seen(page)
    yield seen
    page.close()
    assert seen.said == []
    assert seen.hosts in ({"127.0.0.1"}, {"None"})  # the server, or a file alone


@pytest.fixture(scope="module")
def labelled(front_movie: xr.DataArray, front_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dashboard") / "heating"
    label_movie(front_movie, front_model, path)
    return path


@contextlib.contextmanager
def show(path: Path) -> Iterator[str]:
    """The command line's server; its address."""
    command = [sys.executable, "-m", "emreel", "show", str(path), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
    assert server.returncode == 0


@pytest.fixture(scope="module")
def address(labelled: Path) -> Iterator[str]:
    with show(labelled) as address:
        yield address


def test_the_slider_is_the_first_and_moves_the_pictures(address: str, seen: Seen) -> None:
    seen.open(address)
    assert seen.page.get_by_text("frame:").first.is_visible()
    seen.wait_frame(0)
    before = [seen.picture(pane) for pane in (0, 1)]
    seen.slider.focus()
    for _ in range(7):
        seen.page.keyboard.press("ArrowRight")
    seen.wait_frame(7)
    after = [seen.picture(pane) for pane in (0, 1)]
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert seen.page.get_by_text("of 10 frames").inner_text().startswith("7 s")


def test_what_is_shown_is_what_is_stored(address: str, labelled: Path, seen: Seen) -> None:
    seen.open(address)
    seen.page.keyboard.press("End")
    seen.wait_frame(9)
    sent = seen.page.evaluate(
        "() => { const d = Bokeh.documents[0].get_model_by_name('shown').data;"
        "return {gray: Array.from(d.gray[0]), code: Array.from(d.code[0]), shape: d.code[0].shape} }"
    )
    result = open_result(labelled, chunks=None)
    assert tuple(sent["shape"]) == (128, 144)
    np.testing.assert_array_equal(sent["gray"], result.preview[9].values.ravel())
    known = result.label[9].values.ravel() <= 4
    np.testing.assert_array_equal(np.array(sent["code"])[known], result.label[9].values.ravel()[known])


def test_it_plays_and_stops_at_a_key(address: str, seen: Seen) -> None:
    seen.open(address)
    seen.page.get_by_text("▶ Play", exact=True).click()
    for frame in (1, 2, 3):
        seen.page.wait_for_function(f"(frame) => ({SHOWN})() >= frame", arg=frame)
    seen.page.locator("body").click(position={"x": 2, "y": 2})
    seen.page.keyboard.press(" ")
    seen.page.get_by_text("▶ Play", exact=True).wait_for()
    stopped = seen.page.evaluate("() => Bokeh.documents[0].get_model_by_name('frame').value")
    seen.wait_frame(stopped)


def test_a_click_tells_of_the_pixel(address: str, seen: Seen) -> None:
    seen.open(address)
    box = seen.page.locator(".bk-Figure").nth(1).bounding_box()
    assert box is not None
    seen.page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.9)
    words = seen.page.get_by_text("row 11").inner_text()
    assert "column 7" in words
    assert "phase 3" in words or "phase 4" in words
    assert "membership" in words


def test_opacity_and_layers_change_the_overlay_alone(address: str, seen: Seen) -> None:
    seen.open(address)
    seen.wait_frame(0)
    movie, overlay = seen.picture(0), seen.picture(1)
    seen.page.keyboard.press("o")
    seen.page.wait_for_timeout(300)
    assert seen.picture(1) != overlay
    seen.page.keyboard.press("o")
    seen.page.keyboard.press("l")
    seen.page.keyboard.press("l")
    seen.page.wait_for_function("() => Bokeh.documents[0].get_model_by_name('shown').data.code[0].shape[0] == 32")
    seen.page.wait_for_timeout(300)
    assert seen.picture(1) != overlay
    assert seen.picture(0) == movie


def test_zooming_asks_for_what_is_seen(address: str, seen: Seen) -> None:
    seen.open(address)
    box = seen.page.locator(".bk-Figure").nth(0).bounding_box()
    assert box is not None
    seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(12):
        seen.page.mouse.wheel(0, -300)
    seen.page.wait_for_function("() => Bokeh.documents[0].get_model_by_name('shown').data.code[0].shape[0] < 100")


def test_a_name_is_kept_beside_the_result(address: str, labelled: Path, seen: Seen) -> None:
    seen.open(address)
    name = seen.page.locator("input[type=text]").nth(1)
    name.fill("amorphous <b>film</b>")
    name.press("Enter")
    seen.page.wait_for_function(
        "() => Bokeh.documents[0].get_model_by_name('layer').options.some((name) => name.includes('amorphous'))"
    )
    saved = json.loads((labelled / "appearance.json").read_text())
    assert saved["classes"][1]["name"] == "amorphous <b>film</b>"
    assert open_result(labelled).label_names[1] == "amorphous <b>film</b>"
    assert len(Pictures(open_result(labelled)).colors) == 4


def test_a_chart_jumps_to_the_frame_under_the_click(address: str, seen: Seen) -> None:
    seen.open(address)
    box = seen.page.locator(".bk-Figure").nth(3).bounding_box()  # the third, of orientations, is hidden
    assert box is not None
    seen.page.mouse.click(box["x"] + box["width"] * 0.97, box["y"] + box["height"] * 0.4)
    seen.wait_frame(9)


def test_a_kymograph_is_read_when_asked_for(address: str, seen: Seen) -> None:
    seen.open(address)
    seen.page.get_by_text("kymograph through").click()
    seen.page.wait_for_function("() => Bokeh.documents[0].get_model_by_name('kymograph').data.code.length == 1")
    seen.page.wait_for_function(
        "() => Array.from(Bokeh.documents[0].get_model_by_name('kymograph').data.code[0]).every((code) => code > 0)"
    )


def test_a_page_without_a_server_shows_the_same(labelled: Path, tmp_path: Path, seen: Seen) -> None:
    result = open_result(labelled, chunks=None)
    page = export_result(result, "html", tmp_path / "still.html")
    seen.open(page.as_uri())
    before = [seen.picture(pane) for pane in (0, 1)]
    for _ in range(6):
        seen.page.keyboard.press("ArrowRight")
    seen.wait_frame(6)
    assert all(seen.picture(pane) != before[pane] for pane in (0, 1))
    code = seen.page.evaluate("() => Array.from(Bokeh.documents[0].get_model_by_name('shown').data.code[0])")
    label = result.label[6].values.ravel()
    np.testing.assert_array_equal(np.array(code)[label <= 4], label[label <= 4])
    seen.page.keyboard.press(" ")
    seen.page.wait_for_function(f"() => ({SHOWN})() >= 8")


def test_frames_come_while_it_is_watched(
    front_movie: xr.DataArray, front_model: Model, tmp_path: Path, seen: Seen
) -> None:
    """Frames come once the page is open, and the page shows them by itself."""
    go_on = threading.Event()

    def hold(event: object) -> None:
        if getattr(event, "n_done", 0) >= 3:
            go_on.wait(60)

    watching = threading.Thread(
        target=watch,
        args=(Replay(front_movie, speed=float("inf")), front_model, tmp_path / "live"),
        kwargs={"progress": hold},
    )
    watching.start()
    while not (tmp_path / "live" / "model.zarr").exists():
        time.sleep(0.05)
    try:
        with show(tmp_path / "live") as address:
            seen.open(address)
            assert seen.frame < 5
            go_on.set()
            watching.join()
            seen.wait_frame(9)
            assert seen.page.evaluate("() => Bokeh.documents[0].get_model_by_name('frame').end") == 9
            seen.page.goto("about:blank")
    finally:
        go_on.set()
        watching.join()
