"""Movies where they lie: over HTTP and in an object store, read by this process and by workers."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import numpy as np
import pytest
import zarr

from emreel import engine
from emreel.io import ReaderError, open_movie
from emreel.movie import pixel_size_nm


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 999, (5, 16, 18), dtype=np.uint16)


@pytest.fixture(scope="module")
def bucket(frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an OME-Zarr below it."""
    folder = tmp_path_factory.mktemp("bucket")
    group = zarr.create_group(str(folder / "run 7" / "movie.zarr"))
    group.create_array("0", data=frames, chunks=(1, 16, 18))
    axes = [{"name": "t", "type": "time", "unit": "second"}]
    axes += [{"name": name, "type": "space", "unit": "nanometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [0.5, 0.04, 0.04]}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return folder


class Store(http.server.SimpleHTTPRequestHandler):
    """Files, as a web server gives them; and as an object store does: whole objects, and lists of names."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query, keep_blank_values=True)
        if "list-type" not in query:
            super().do_GET()
            return
        bucket = unquote(address.path).strip("/")
        root, prefix = Path(self.directory) / bucket, query.get("prefix", [""])[0]
        names = sorted(str(f.relative_to(root)) for f in root.rglob("*") if f.is_file())
        names = [name for name in names if name.startswith(prefix)]
        delimiter = query.get("delimiter", [""])[0]
        folders: set[str] = set()
        if delimiter:
            folders = {prefix + n[len(prefix) :].split("/")[0] + "/" for n in names if "/" in n[len(prefix) :]}
            names = [name for name in names if "/" not in name[len(prefix) :]]
        items = "".join(
            f"<Contents><Key>{escape(n)}</Key><Size>{(root / n).stat().st_size}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for n in names
        )
        groups = "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders))
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><KeyCount>{len(names) + len(folders)}</KeyCount><IsTruncated>false</IsTruncated>"
            f"{items}{groups}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def served(bucket: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Store, directory=bucket.parent)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["http", "s3"])
def address(request: pytest.FixtureRequest, served: str, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "http":
        return f"{served}/{bucket.name}/run%207/movie.zarr"
    monkeypatch.setenv("AWS_ENDPOINT_URL", served)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return f"s3://{bucket.name}/run 7/movie.zarr"


def test_a_movie_in_a_store(address: str, frames: np.ndarray) -> None:
    movie = open_movie(address)
    assert movie.shape == frames.shape and pixel_size_nm(movie) == pytest.approx(0.04)
    np.testing.assert_array_equal(movie.values, frames)
    cut = open_movie(address, frames=(2, 4), roi=((3, 9), (4, 12)))
    np.testing.assert_array_equal(cut.values, frames[2:4, 3:9, 4:12])


def test_workers_read_it_themselves(address: str, frames: np.ndarray) -> None:
    regions = [engine.Region(i, i + 1, engine.regions.Tile(0, 16, 0, 18)) for i in range(5)]
    with engine.local_workers(1):
        sums = engine.map_regions(open_movie(address), regions, lambda region: region, lambda pixels, _: pixels.sum())
    np.testing.assert_array_equal(sums, frames.sum(axis=(1, 2)))


def test_a_place_in_memory(frames: np.ndarray) -> None:
    zarr.create_array("memory://movies/m.zarr", data=frames, chunks=(1, 16, 18))
    np.testing.assert_array_equal(open_movie("memory://movies/m.zarr").values, frames)


def test_nothing_there(served: str) -> None:
    with pytest.raises(ReaderError, match="holds no zarr array or group"):
        open_movie(f"{served}/none.zarr")
