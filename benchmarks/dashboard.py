"""How long the dashboard takes from a moved slider to the painted frame, in a headless Chromium without a GPU.

    python -m benchmarks.dashboard                # 512, 1024, 2048 and 4096 px

The result is served by `emreel show`; the slider is moved in the page as a hand does, and the clock stops when the
frame is painted (two animation frames after it came). Movies are tiled
from one synthetic scene, with its truth as labels.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from emreel.result import (
    Record,
    acquire_lock,
    count_labels,
    create_store,
    open_ledger,
    plan_layout,
    write_block,
    write_frame_tables,
)
from emreel.synthetic import AmorphousFront

N_FRAMES, N_MOVES = 8, 40
COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MOVE = """async (target) => {
  const slider = Bokeh.documents[0].get_model_by_name("frame")
  const shown = Bokeh.documents[0].get_model_by_name("shown")
  const start = performance.now()
  slider.value = target
  while (shown.data.frame[0] != target) await new Promise((go) => setTimeout(go, 1))
  await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))
  return performance.now() - start
}"""


def write_movie(path: Path, side: int) -> None:
    """A result of ``N_FRAMES`` frames of side x side px."""
    scene = AmorphousFront(shape_yx=(512, 512), n_frames=N_FRAMES, seed=1)
    times = -(-side // 512)
    layout = plan_layout((N_FRAMES, side, side), 4, 4, frames_per_block=2, with_membership=False)
    identity = {"movie": "benchmark", "model": "truth"}
    create_store(path, layout, identity=identity, label_names=scene.classes, label_colors=COLORS, pixel_size_nm=0.04)
    factor = layout.preview_factor
    with acquire_lock(path) as lock:
        ledger = open_ledger(path, lock, identity=identity)
        for block in layout.blocks():
            frames = range(*block.frames)
            gray = np.stack([np.tile(scene.frame(i), (times, times))[:side, :side] for i in frames]).astype(np.uint8)
            label = np.stack([np.tile(scene.truth(i).labels + 1, (times, times))[:side, :side] for i in frames])
            label = label.astype(np.uint8)
            sums = write_block(path, layout, block, label=label, preview=gray[:, ::factor, ::factor].copy())
            counts = count_labels(label)
            rows = [{"frame": i, "status": "good", "label_px": px} for i, px in zip(frames, counts, strict=True)]
            ledger.append(Record(block=block, checksums=sums, rows=tuple(rows)))
    write_frame_tables(path)


def measure(path: Path, chromium: str, n_moves: int = N_MOVES) -> list[float]:
    """Milliseconds of each move of the slider, sorted."""
    command = [sys.executable, "-m", "emreel", "show", str(path), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 950})
        page.goto(address)
        page.get_by_role("slider").first.wait_for()
        took = [page.evaluate(MOVE, 1 + i % (N_FRAMES - 1)) for i in range(n_moves + 5)]
        browser.close()
        server.terminate()
    return sorted(float(ms) for ms in took[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048, 4096], help="px")
    parser.add_argument("--moves", type=int, default=N_MOVES)
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium here. Install it: apt-get install chromium")
    print("side px   median ms   90 % ms")
    for side in given.sides:
        with tempfile.TemporaryDirectory() as folder:
            write_movie(Path(folder) / "result", side)
            took = measure(Path(folder) / "result", chromium, given.moves)
        print(f"{side:7d}   {statistics.median(took):9.0f}   {took[int(0.9 * len(took))]:7.0f}")


if __name__ == "__main__":
    main()
