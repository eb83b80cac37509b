"""Movies in: `open_movie`, the readers behind it, and the catalog. No pixel is read before it is asked for."""

from emreel.io.catalog import Catalog, Entry, load_catalog
from emreel.io.errors import CatalogError, ReaderError
from emreel.io.opening import FrameSource, open_movie

__all__ = ["Catalog", "CatalogError", "Entry", "FrameSource", "ReaderError", "load_catalog", "open_movie"]
