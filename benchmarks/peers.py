"""Builds the peers that need an environment of their own, once, under ``benchmarks/.peers``; and talks to them.

pySTEM 0.0.26 (GPL-3) links FFTW and is built by numpy.distutils, which is gone: its headers are taken from the Debian
package libfftw3-dev, unpacked without root, and its setup.py is replaced by one for setuptools. Nothing of it is
kept in this repository.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
HOME = HERE / ".peers"
PYSTEM = "pystem==0.0.26"
ENVIRONMENT = ("numpy==1.26.4", "scipy==1.13.1", "scikit-learn==1.5.2", "setuptools<70", "wheel")

SETUP_PY = """
import os
import numpy
from setuptools import Extension, setup

def extension(name, *sources, libraries=()):
    return Extension(
        name,
        [f"pystem/{source}" for source in sources],
        include_dirs=[numpy.get_include(), os.environ["FFTW_INCLUDE"]],
        library_dirs=[os.environ["FFTW_LIB"]],
        runtime_library_dirs=[os.environ["FFTW_LIB"]],
        libraries=[*libraries, "gomp"],
        extra_compile_args=["-fopenmp"],
    )

setup(
    name="pystem",
    version="0.0.26",
    packages=["pystem"],
    ext_modules=[
        extension("_stemdescriptor", "_stemdescriptor.c", "calculate_descriptor.c"),
        extension("_preselectedtranslations", "_preselectedtranslations.c", "preselected_translations.c"),
        extension("stemdescriptor2", "stemdescriptor2.cpp", "FftCorr.cpp", libraries=["fftw3"]),
    ],
)
"""


def _run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def _unpack_fftw(home: Path) -> tuple[Path, Path]:
    """FFTW's headers and library out of the Debian packages, without root."""
    root = home / "fftw"
    if not root.exists():
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            _run("apt-get", "download", "libfftw3-dev", "libfftw3-double3", cwd=Path(scratch))
            for package in Path(scratch).glob("*.deb"):
                _run("dpkg", "-x", package, root, cwd=home)
    library = next(root.glob("usr/lib/**/libfftw3.so")).parent
    return root / "usr/include", library


def pystem_python() -> Path:
    """The interpreter that has pySTEM; builds it the first time (needs gcc and the network)."""
    home = HOME / "pystem"
    python, ready = home / "bin/python", home / "ready"
    if ready.exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    HOME.mkdir(exist_ok=True)
    include, library = _unpack_fftw(HOME)
    venv.create(home, with_pip=True)
    # numpy 1.26 still has numpy.distutils: pip runs the original setup.py once, for the name of what it downloads
    _run(python, "-m", "pip", "install", *ENVIRONMENT, cwd=home)
    source = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    _run(python, "-m", "pip", "download", *source, PYSTEM, cwd=home)
    with tarfile.open(next(home.glob("pystem-*.tar.gz"))) as archive:
        archive.extractall(home, filter="data")
    package = next(path for path in home.glob("pystem-*") if path.is_dir())
    (package / "setup.py").write_text(SETUP_PY)
    env = {**os.environ, "FFTW_INCLUDE": str(include), "FFTW_LIB": str(library)}
    _run(python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", ".", cwd=package, env=env)
    ready.touch()
    return python


class PeerProcess:
    """A peer in a process of its own: frames in and outputs back as .npy files, its CPU time with them."""

    def __init__(self, python: Path, script: Path) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [str(python), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def ask(self, frame: npt.NDArray[Any], **options: Any) -> tuple[float, npt.NDArray[Any]]:
        """CPU seconds and output for a frame, shape (y, x)."""
        assert self._process.stdin is not None and self._process.stdout is not None
        given, made = Path(self._scratch.name) / "frame.npy", Path(self._scratch.name) / "output.npy"
        np.save(given, frame)
        self._process.stdin.write(json.dumps({"frame": str(given), "output": str(made), **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the peer's process has ended; its message is above.")
        return float(json.loads(line)["cpu_s"]), np.load(made)

    def close(self) -> None:
        """End the peer's process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
        self._scratch.cleanup()


if __name__ == "__main__":
    print(pystem_python(), file=sys.stderr)
