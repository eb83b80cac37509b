"""Tables as CSV."""

from __future__ import annotations

from pathlib import Path

from emreel.result import Result
from emreel.result.tables import TABLES
from emreel.view.errors import ExportError
from emreel.view.files import check_free, replacing
from emreel.view.pictures import Pictures

#: The table that every result has.
MAIN_TABLE = "class_fraction"


def write_csv(result: Result, path: Path, *, overwrite: bool) -> None:
    """Write every table into a folder, or one where ``path`` ends in .csv; see `emreel.view.export_result`.

    Columns keep their names, and with them their units; what is unknown is left empty.

    Raises
    ------
    ExportError : the result has no table, or a file is in the way.
    """
    Pictures(result).warn_unfinished()
    names = sorted(file.stem for file in (result.path / TABLES).glob("*.parquet"))
    if not names:
        raise ExportError(f"{result.path} has no tables yet. Finish it with 'emreel run'.")
    if path.suffix.lower() == ".csv":
        _write_table(result, path.stem if path.stem in names else MAIN_TABLE, path, overwrite)
        return
    if path.exists() and not path.is_dir():
        raise ExportError(f"{path} is a file, wanted a folder for the tables {', '.join(names)}.")
    files = {name: path / f"{name}.csv" for name in names}
    for file in files.values():
        check_free(file, overwrite=overwrite)
    for name, file in files.items():
        _write_table(result, name, file, overwrite)


def _write_table(result: Result, name: str, path: Path, overwrite: bool) -> None:
    table = result.table(name)
    with replacing(path, overwrite=overwrite) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
