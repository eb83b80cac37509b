"""Addresses of movies elsewhere: the kinds that lead to data and to nothing else."""

from __future__ import annotations

from urllib.parse import urlsplit

from emreel.io.errors import ReaderError

#: What fsspec reads for emreel. Others of its kinds run commands, open archives, or follow files to further addresses.
PROTOCOLS = ("http", "https", "s3", "gs", "gcs", "abfs", "az", "memory")


def is_address(path: str) -> bool:
    """Whether a text is an address, ``kind://...``, and no path of this machine."""
    return "://" in path


def check_address(address: str) -> None:
    """Refuse what must not be opened.

    Raises
    ------
    ReaderError : another kind than `PROTOCOLS`, a chain of several (``zip://...::https://...``), or a password in it,
        which every result would keep.
    """
    kind = address.split("://")[0].lower()
    if "::" in address or kind not in PROTOCOLS:
        known = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise ReaderError(f"{address} is no address that emreel reads. Wanted one of {known}; or copy the file here.")
    if urlsplit(address).password is not None:
        raise ReaderError(
            f"the {kind} address has a password in it, which results would keep. Leave it out, and put it where fsspec "
            "looks for it (its configuration, or the variables of the store)."
        )
