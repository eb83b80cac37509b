"""Results on disk: the zarr's layout, safe writing, the ledger of finished blocks, the lock, tables, verifying."""

from emreel.result.alarm import tell_alarm
from emreel.result.compact import compact_result
from emreel.result.errors import LayoutError, LedgerError, LockError, ResultError, StorageError
from emreel.result.growing import GrowingStore
from emreel.result.handle import Result, open_result, write_frame_tables
from emreel.result.layout import ArraySpec, Block, Layout, fit_tile, plan_growing_layout, plan_layout
from emreel.result.ledger import Ledger, Record, check_identity, forget_blocks, open_ledger, read_ledger
from emreel.result.lock import Lock, acquire_lock
from emreel.result.missing import name_missing_frames, write_quarantine
from emreel.result.quality import drift_of, read_survey, write_survey
from emreel.result.regions import RegionWriter, has_regions
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
from emreel.result.tables import (
    TableWriter,
    class_fraction_table,
    count_labels,
    quality_table,
    read_table,
    region_table,
    write_table,
)
from emreel.result.verify import Damage, verify_block, verify_result

__all__ = [
    "INVALID",
    "NOT_COMPUTED",
    "UNKNOWN",
    "ArraySpec",
    "Block",
    "Damage",
    "GrowingStore",
    "Layout",
    "LayoutError",
    "Ledger",
    "LedgerError",
    "Lock",
    "LockError",
    "Record",
    "RegionWriter",
    "Result",
    "ResultError",
    "StorageError",
    "TableWriter",
    "acquire_lock",
    "check_identity",
    "class_fraction_table",
    "compact_result",
    "count_labels",
    "create_store",
    "drift_of",
    "fit_tile",
    "forget_blocks",
    "has_regions",
    "is_result",
    "name_missing_frames",
    "open_ledger",
    "open_result",
    "plan_growing_layout",
    "plan_layout",
    "prepare_folder",
    "quality_table",
    "read_facts",
    "read_layout",
    "read_ledger",
    "read_survey",
    "read_table",
    "region_table",
    "remove_partials",
    "shard_paths",
    "tell_alarm",
    "verify_block",
    "verify_result",
    "write_block",
    "write_frame_tables",
    "write_quarantine",
    "write_survey",
    "write_table",
]
