"""One writer a result: a lock file that names its holder.

The file holds host, pid, the process's start time (a pid may be used again) and the time of taking, and appears
with its whole content at once. A second living writer is refused. A holder that died on this host is taken over;
a lock of another host is only broken when asked, because from here nobody can tell whether it lives.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from emreel.result.errors import LockError, explain_os_error
from emreel.result.files import create_file, partial_path
from emreel.result.store import LOCK, prepare_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock. Machine, boot and process namespace (containers) are empty where a system tells none."""

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: str
    time: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.time}"


@dataclass(frozen=True)
class Lock:
    """A held lock."""

    path: Path
    holder: Holder

    def check(self) -> None:
        """Raise LockError unless the lock is still ours."""
        holder = read_holder(self.path)
        if holder != self.holder:
            raise LockError(
                f"the lock {self.path} was lost: it now names {holder or 'nobody'}. "
                "Stopped, so that two runs do not write one result."
            )


@contextlib.contextmanager
def acquire_lock(result_path: str | os.PathLike[str], *, break_foreign: bool = False) -> Iterator[Lock]:
    """Be the one writer of a result while the context lasts; its folder is made if it is missing.

    Parameters
    ----------
    break_foreign : take a lock that names another host, or that cannot be read (``--break-lock``).

    Raises
    ------
    LockError : a living process holds it, or one on another host.
    ResultError : the folder is not a result's, see `emreel.result.store.prepare_folder`.
    StorageError : the place cannot be written.
    """
    existed = Path(result_path).exists()
    folder = prepare_folder(result_path)
    lock = Lock(folder / LOCK, _this_process())
    try:
        _take(lock, break_foreign)
    except OSError as error:
        _remove_if_empty(folder, existed)
        raise explain_os_error(error, lock.path) from error
    try:
        yield lock
    finally:
        with contextlib.suppress(OSError):
            if read_holder(lock.path) == lock.holder:
                lock.path.unlink(missing_ok=True)
        _remove_if_empty(folder, existed)


def read_holder(path: Path) -> Holder | None:
    """Who a lock file names; None when there is no file or it cannot be understood."""
    try:
        values = json.loads(path.read_bytes())
        return Holder(**{field.name: values[field.name] for field in fields(Holder)})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_alive(holder: Holder) -> bool | None:
    """Whether a holder lives; None when that cannot be told from here (another host, another container)."""
    here = _this_process()
    if (holder.host, holder.machine) != (here.host, here.machine):
        return None
    if holder.boot != here.boot:  # this machine was started anew since, unless it has no name of its own
        return False if holder.machine and holder.boot else None
    if holder.namespace != here.namespace:
        return None
    started = process_start(holder.pid)
    return None if "" in (started, holder.started) else started == holder.started


def process_start(pid: int) -> str | None:
    """When a process of this host started, in the system's own words; None: no such process; "": cannot be told."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError:
            return ""
        state, *rest = stat.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    ps = shutil.which("ps")
    if os.name != "posix" or ps is None:
        return ""
    listed = subprocess.run([ps, "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def _this_process() -> Holder:
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return Holder(
        host=socket.gethostname(),
        machine=_read_word("/etc/machine-id"),
        boot=_read_word("/proc/sys/kernel/random/boot_id"),
        namespace=namespace,
        pid=os.getpid(),
        started=process_start(os.getpid()) or "",
        time=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        token=uuid.uuid4().hex,
    )


def _read_word(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _take(lock: Lock, break_foreign: bool) -> None:
    content = json.dumps(asdict(lock.holder)).encode()
    for _ in range(100):  # each round another process was quicker; it lives, so this ends
        if _create(lock.path, content):
            return
        with _guard(lock.path) as guarded:
            if not guarded:
                time.sleep(0.01)
                continue
            _refuse_or_say(lock.path, break_foreign)
            partial = partial_path(lock.path)
            create_file(partial, content)
            os.replace(partial, lock.path)
            return
    raise LockError(f"{lock.path} changes hands without end. Is another program touching it? Run again.")


def _create(path: Path, content: bytes) -> bool:
    """Make the lock file with its content in one step; False when one is there."""
    partial = partial_path(path)
    try:
        create_file(partial, content)
        try:
            os.link(partial, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            try:
                create_file(path, content)
            except FileExistsError:
                return False
        return True
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _guard(path: Path) -> Iterator[bool]:
    """Hold the right to replace this very lock file; False when it has been replaced or removed meanwhile.

    Of several processes that find a dead lock, one gets the right and the others then find the new file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock_inode(descriptor) and _is_file(descriptor, path)
    finally:
        os.close(descriptor)


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _lock_inode(descriptor: int) -> bool:
    """Lock an open file against other processes; False when another has it. True where there are no such locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        logger.debug("no file locks here: two runs that take over one dead lock at one moment are not told apart")
    return True


def _refuse_or_say(path: Path, break_foreign: bool) -> None:
    holder = read_holder(path)
    folder = path.parent
    alive = None if holder is None else is_alive(holder)
    if alive:
        raise LockError(f"{folder} is being written by {holder}. Wait for it, stop it, or choose another folder.")
    if alive is False:
        logger.warning("took over the lock of %s: %s is gone", folder, holder)
    elif break_foreign:
        logger.warning("broke the lock of %s, held by %s", folder, holder or "somebody unknown")
    else:
        who = holder or "somebody unknown: the lock file cannot be read"
        raise LockError(
            f"{folder} is locked by {who}; from here it cannot be told whether that run still lives. "
            "When you are sure that it ended, run again with --break-lock."
        )


def _remove_if_empty(folder: Path, existed: bool) -> None:
    if not existed:
        with contextlib.suppress(OSError):
            folder.rmdir()
