"""Results on disk: the zarr's layout, safe writing, the ledger of finished blocks, the lock, tables, verifying."""

from emreel.result.errors import LayoutError, LedgerError, LockError, ResultError, StorageError
from emreel.result.layout import ArraySpec, Block, Layout, fit_tile, plan_layout
from emreel.result.ledger import Ledger, Record, check_identity, forget_blocks, open_ledger, read_ledger
from emreel.result.lock import Lock, acquire_lock
from emreel.result.store import (
    INVALID,
    NOT_COMPUTED,
    UNKNOWN,
    create_store,
    is_result,
    prepare_folder,
    read_facts,
    read_layout,
    remove_partials,
    shard_paths,
    write_block,
)

__all__ = [
    "INVALID",
    "NOT_COMPUTED",
    "UNKNOWN",
    "ArraySpec",
    "Block",
    "Layout",
    "LayoutError",
    "Ledger",
    "LedgerError",
    "Lock",
    "LockError",
    "Record",
    "ResultError",
    "StorageError",
    "acquire_lock",
    "check_identity",
    "create_store",
    "fit_tile",
    "forget_blocks",
    "is_result",
    "open_ledger",
    "plan_layout",
    "prepare_folder",
    "read_facts",
    "read_layout",
    "read_ledger",
    "remove_partials",
    "shard_paths",
    "write_block",
]
