"""Movies by name: the shape of the file, what is refused, and downloads with a checked digest."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emreel.io import Catalog, CatalogError, load_catalog, open_movie
from emreel.io.catalog import CATALOG_FILE, find_entry
from emreel.movie import EmreelError, frame_times_s, pixel_size_nm
from emreel.synthetic import make_scene

ROOT = Path(__file__).parents[2]
LOCAL = """
sources:
  run7:
    driver: numpy
    description: a run
    args: {{path: "{path}"}}
    metadata: {{licence: CC0-1.0, doi: 10.1/x, pixel_size_nm: 0.05, frame_time_s: 0.5, shows: a front}}
"""


def write_catalog(folder: Path, text: str) -> Path:
    path = folder / "catalog.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def frames() -> Any:
    return np.random.default_rng(0).integers(0, 999, (5, 8, 9), dtype=np.uint16)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder served on the loopback, its address, and the paths that were asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def test_own_catalog_is_the_file_at_the_top() -> None:
    assert load_catalog().entries == load_catalog(ROOT / CATALOG_FILE).entries
    names = [entry.name for entry in load_catalog().entries]
    assert {"amorphous_front", "twin_lamella", "decahedron", "grain_growth", "order_disorder"} <= set(names)


@pytest.mark.parametrize("entry", load_catalog().entries, ids=lambda entry: entry.name)
def test_every_entry_opens_offline_and_lazily(entry: Any) -> None:
    assert entry.description and entry.licence and entry.shows and entry.driver == "synthetic"
    movie = open_movie(entry.name)
    scene = make_scene(**entry.args)
    assert movie.shape == (scene.n_frames, *scene.shape_yx) and movie.chunks is not None
    assert pixel_size_nm(movie) == entry.pixel_size_nm == scene.pixel_size_nm
    np.testing.assert_allclose(frame_times_s(movie), np.arange(scene.n_frames) * entry.frame_time_s)
    assert movie.attrs["source"] == entry.name
    np.testing.assert_array_equal(
        open_movie(entry.name, frames=(5, 6), roi=((10, 40), (7, 30)))[0], scene.frame(5)[10:40, 7:30]
    )
    assert entry.open().shape == movie.shape


def test_intake_opens_the_same_file() -> None:
    import intake

    catalog = intake.open_catalog(str(ROOT / CATALOG_FILE))
    assert list(catalog) == [entry.name for entry in load_catalog().entries]
    described = {name: catalog._entries[name].describe() for name in catalog}
    for entry in load_catalog().entries:
        assert " ".join(described[entry.name]["description"].split()) == entry.description
        assert described[entry.name]["metadata"]["pixel_size_nm"] == entry.pixel_size_nm
        assert described[entry.name]["args"] == entry.args


@pytest.mark.parametrize("path", ["run7.npy", "{{{{ CATALOG_DIR }}}}/run7.npy", "sub/../run7.npy"])
def test_local_entries(path: str, tmp_path: Path, frames: Any) -> None:
    np.save(tmp_path / "run7.npy", frames)
    (tmp_path / "sub").mkdir()
    text = LOCAL.format(path=path.format())
    if ".." in path:
        with pytest.raises(CatalogError, match="leaves the catalog's folder"):
            load_catalog(write_catalog(tmp_path, text))
        return
    catalog = load_catalog(write_catalog(tmp_path, text))
    assert isinstance(catalog, Catalog) and catalog["run7"].doi == "10.1/x"
    for movie in (catalog["run7"].open(), open_movie(f"{tmp_path}/catalog.yaml#run7")):
        np.testing.assert_array_equal(movie.values, frames)
        assert pixel_size_nm(movie) == 0.05
        np.testing.assert_allclose(frame_times_s(movie), np.arange(5) * 0.5)
    own = open_movie(f"{tmp_path}/catalog.yaml#run7", pixel_size_nm=0.2, frame_times_s=[0, 1, 4, 5, 9])
    assert pixel_size_nm(own) == 0.2 and frame_times_s(own).tolist() == [0, 1, 4, 5, 9]


def test_the_files_own_calibration_counts(tmp_path: Path, writers: Any) -> None:
    writers.write_mrc(tmp_path, writers.make_frames())
    path = write_catalog(tmp_path, LOCAL.format(path="m.mrc").replace("pixel_size_nm: 0.05", "pixel_size_nm: 7"))
    assert pixel_size_nm(open_movie(f"{path}#run7")) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x.npy", "a/../../x.npy", "~/x.npy", "C:/x.npy", "..\\\\x.npy", "{{ HOME }}/x.npy", ""]
)
def test_paths_that_leave_the_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="leaves the catalog's folder|wanted one file"):
        load_catalog(write_catalog(tmp_path, LOCAL.format(path=path)))


def test_links_that_leave_the_folder(tmp_path: Path, frames: Any) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    np.save(outside / "x.npy", frames)
    (home / "run7.npy").symlink_to(outside / "x.npy")
    with pytest.raises(CatalogError, match="leads out"):
        load_catalog(write_catalog(home, LOCAL.format(path="run7.npy")))["run7"].open()
    (home / "linked").symlink_to(outside)
    with pytest.raises(CatalogError, match="leads out"):
        load_catalog(write_catalog(home, LOCAL.format(path="linked/x.npy")))["run7"].open()
    (home / "folder").mkdir()
    (home / "folder" / "1.npy").symlink_to(outside / "x.npy")
    with pytest.raises(CatalogError, match="leads out"):
        load_catalog(write_catalog(home, LOCAL.format(path="folder")))["run7"].open()
    np.save(home / "real.npy", frames)
    (home / "inside.npy").symlink_to(home / "real.npy")
    assert load_catalog(write_catalog(home, LOCAL.format(path="inside.npy")))["run7"].open().shape == frames.shape


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no file 'amorphous_frnt'.*Did you mean 'amorphous_front'"):
        open_movie("amorphous_frnt")
    with pytest.raises(CatalogError, match="has no movie 'run8'.* 'run7'"):
        open_movie(f"{write_catalog(tmp_path, LOCAL.format(path='x.npy'))}#run8")
    with pytest.raises(CatalogError, match="does not exist"):
        open_movie(f"{tmp_path}/catalog.yaml#run7")
    with pytest.raises(CatalogError, match="cannot be read"):
        open_movie(f"{tmp_path}/none.yaml#run7")
    assert find_entry("movies/run7.mrc") is None and find_entry("run7.mrc") is None


BAD = {
    "tag": ("sources: !!python/object/apply:os.system ['touch sprung']", "tag"),
    "tag-new": ("sources: !!python/object/new:os.mkdir [sprung]", "tag"),
    "plain-tag": ("sources: !!map {}", "tag"),
    "aliases": ("a: &a [x, x]\nb: &b [*a, *a]\nsources: {}", "anchors"),
    "merge": ("sources:\n  a: &a {driver: synthetic}\n  b:\n    <<: *a", "anchors"),
    "deep": ("sources: " + "[" * 40 + "]" * 40, "deeper"),
    "twice": ("sources: {}\nsources: {}", "twice"),
    "entry-twice": ("sources:\n  a: {driver: synthetic}\n  a: {driver: synthetic}", "twice"),
    "two-documents": ("sources: {}\n---\nsources: {}", "second document"),
    "not-yaml": ("sources: [", "not YAML"),
    "number": ("7", "wanted keys"),
    "list": ("- a\n- b", "wanted keys"),
    "empty": ("", "wanted keys"),
    "no-sources": ("name: x", "no 'sources'"),
    "unknown-key": ("sources: {}\nsorces: {}", "unknown key 'sorces'. Did you mean 'sources'"),
    "number-key": ("sources: {7: {}}", "no text"),
    "entry-key": ("sources: {a: {drivr: synthetic}}", "Did you mean 'driver'"),
    "metadata-key": ("sources: {a: {driver: synthetic, args: {kind: front}, metadata: {license: x}}}", "'licence'"),
    "driver": ("sources: {a: {driver: csv}}", "unknown driver"),
    "no-kind": ("sources: {a: {driver: synthetic}}", "needs its kind"),
    "file-args": ("sources: {a: {driver: zarr, args: {urlpath: a.zarr, storage_options: {}}}}", "unknown key"),
    "two-files": ("sources: {a: {driver: zarr, args: {urlpath: a.zarr, path: b.zarr}}}", "wanted one file"),
    "name": ("sources: {../a: {driver: synthetic, args: {kind: front}}}", "names are made of"),
    "no-digest": ("sources: {a: {driver: numpy, args: {urlpath: 'https://x.org/a.npy'}}}", "sha256"),
    "digest": (
        "sources: {a: {driver: numpy, args: {urlpath: 'https://x.org/a.npy'}, metadata: {sha256: abc}}}",
        "64 hexadecimal",
    ),
    "scheme": ("sources: {a: {driver: numpy, args: {urlpath: 'file:///etc/passwd'}}}", "wanted http"),
    "pixel": ("sources: {a: {driver: synthetic, args: {kind: front}, metadata: {pixel_size_nm: -1}}}", "positive"),
    "huge": ("# " + "x" * 2**20, "larger than"),
    "binary": ("\x00\x01", "not YAML"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, words = BAD[case]
    with pytest.raises(CatalogError, match=words.replace("[", r"\[")) as caught:
        load_catalog(write_catalog(tmp_path, text))
    assert "catalog.yaml" in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_an_alias_bomb_is_not_unfolded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(CatalogError, match="anchors"):
        load_catalog(write_catalog(tmp_path, "\n".join(lines)))


def test_unknown_kinds_and_parameters_are_told(tmp_path: Path) -> None:
    catalog = load_catalog(
        write_catalog(
            tmp_path,
            "sources:\n  a: {driver: synthetic, args: {kind: frnt}}\n"
            "  b: {driver: synthetic, args: {kind: front, n_frame: 3}}",
        )
    )
    with pytest.raises(EmreelError, match="front"):
        catalog["a"].open()
    with pytest.raises(EmreelError, match="n_frames"):
        catalog["b"].open()


def _remote(address: str, sha256: str) -> str:
    return (
        f"sources:\n  far:\n    driver: numpy\n    args: {{urlpath: '{address}/run%207.npy'}}\n"
        f"    metadata: {{sha256: {sha256}, pixel_size_nm: 0.1}}\n"
    )


def test_remote_entries_are_fetched_once(
    served: Any, tmp_path: Path, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address, asked = served
    np.save(folder / "run 7.npy", frames)
    cache = tmp_path / "cache"
    monkeypatch.setenv("EMREEL_CACHE", str(cache))
    digest = hashlib.sha256((folder / "run 7.npy").read_bytes()).hexdigest()
    catalog = write_catalog(tmp_path, _remote(address, digest))
    assert not asked, "reading a catalog must not go to the network"
    for _ in range(3):
        movie = open_movie(f"{catalog}#far")
        np.testing.assert_array_equal(movie.values, frames)
        assert pixel_size_nm(movie) == 0.1
    assert len(asked) == 1 and len(list(cache.iterdir())) == 1
    next(cache.iterdir()).write_bytes(b"changed behind our back")
    np.testing.assert_array_equal(open_movie(f"{catalog}#far").values, frames)
    assert len(asked) == 2


def test_a_wrong_digest_leaves_nothing(
    served: Any, tmp_path: Path, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address, _ = served
    np.save(folder / "run 7.npy", frames)
    monkeypatch.setenv("EMREEL_CACHE", str(tmp_path / "cache"))
    catalog = write_catalog(tmp_path, _remote(address, "ab" * 32))
    with pytest.raises(CatalogError, match="not the file that was catalogued"):
        open_movie(f"{catalog}#far")
    assert not list((tmp_path / "cache").rglob("*")), "what was refused must not stay"
    (folder / "run 7.npy").unlink()
    with pytest.raises(CatalogError, match="cannot be downloaded"):
        open_movie(f"{catalog}#far")
    with pytest.raises(CatalogError, match="cannot be downloaded"):
        open_movie(f"{write_catalog(tmp_path, _remote('http://127.0.0.1:9', 'ab' * 32))}#far")
    assert not list((tmp_path / "cache").rglob("*"))
