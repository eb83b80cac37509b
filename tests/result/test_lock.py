"""One living writer a result."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import emreel
from emreel.result import LockError, ResultError, acquire_lock
from emreel.result import lock as lock_module
from emreel.result.lock import Holder, is_alive, process_start, read_holder

HOLD = """
import sys
from emreel.result import LockError, acquire_lock
sys.stdin.readline()
try:
    with acquire_lock(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.readline()
except LockError as error:
    print("refused", error, flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def holders(path: Path, count: int = 1) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that try to take the lock when they get a line, and give it back at the next."""
    env = os.environ | {"PYTHONPATH": str(Path(emreel.__file__).parents[1])}
    with contextlib.ExitStack() as stack:
        started = []
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-c", HOLD, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=env,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            started.append(process)
        yield started


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def leave_lock(path: Path, **changes: Any) -> Holder:
    """A lock as this process would have left it, with changes."""
    with acquire_lock(path) as lock:
        holder = dataclasses.replace(lock.holder, **changes)
    (path / "lock").write_text(json.dumps(dataclasses.asdict(holder)))
    return holder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def test_a_lock_names_its_holder_and_goes_away(folder: Path) -> None:
    with acquire_lock(folder) as lock:
        holder = read_holder(folder / "lock")
        assert holder == lock.holder
        assert holder is not None and holder.pid == os.getpid() and holder.started == process_start(os.getpid())
        assert is_alive(holder) is True
        lock.check()
    assert list(folder.iterdir()) == []
    with pytest.raises(LockError, match="names nobody"):
        lock.check()


def test_it_goes_away_when_the_run_fails(folder: Path) -> None:
    with pytest.raises(KeyError), acquire_lock(folder):
        raise KeyError
    with acquire_lock(folder):
        pass
    assert list(folder.iterdir()) == []


def test_a_folder_made_for_nothing_goes_away_too(tmp_path: Path) -> None:
    with acquire_lock(tmp_path / "run"):
        assert (tmp_path / "run" / "lock").exists()
    assert not (tmp_path / "run").exists()


def test_this_process_is_refused_the_second_time(folder: Path) -> None:
    with acquire_lock(folder) as lock:
        for broken in (False, True):
            with (
                pytest.raises(LockError, match=f"being written by process {os.getpid()} on"),
                acquire_lock(folder, break_foreign=broken),
            ):
                pass
        lock.check()


def test_a_living_writer_is_refused_and_a_killed_one_taken_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holders(folder) as [process]:
        go(process)
        assert answer(process) == "held"
        said = rf"being written by process {process.pid} on .* since 20"
        with pytest.raises(LockError, match=said) as caught, acquire_lock(folder):
            pass
        assert "Wait for it, stop it, or choose another folder" in str(caught.value)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (folder / "lock").exists()
        with caplog.at_level(logging.INFO), acquire_lock(folder) as lock:
            lock.check()
        [said] = caplog.messages
        assert said.startswith("took over the lock of") and f"process {process.pid} on" in said
    assert list(folder.iterdir()) == []


def test_a_killed_process_that_nobody_waited_for_is_dead(folder: Path) -> None:
    with holders(folder) as [process]:
        go(process)
        assert answer(process) == "held"
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(process.pid) is None, "a zombie holds no lock"


def test_a_pid_used_again_is_another_process(folder: Path) -> None:
    holder = leave_lock(folder, pid=os.getppid(), started="12345")
    assert process_start(os.getppid()) is not None
    assert is_alive(holder) is False
    with acquire_lock(folder):
        pass
    leave_lock(folder, pid=os.getppid(), started=process_start(os.getppid()))
    with pytest.raises(LockError, match="being written"), acquire_lock(folder):
        pass


@pytest.mark.parametrize(
    "changes", [{"host": "elsewhere"}, {"machine": "other"}, {"namespace": "pid:[1]"}, {"machine": "", "boot": "b"}]
)
def test_a_lock_of_another_host_is_broken_only_when_asked(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    if changes.get("machine") == "":
        real = lock_module._read_word
        monkeypatch.setattr(lock_module, "_read_word", lambda path: "" if "machine" in path else real(path))
    holder = leave_lock(folder, pid=2**30, **changes)
    before = (folder / "lock").read_bytes()
    assert is_alive(holder) is None
    with pytest.raises(LockError, match=r"--break-lock") as caught, acquire_lock(folder):
        pass
    assert f"locked by process {2**30} on {holder.host}" in str(caught.value)
    assert (folder / "lock").read_bytes() == before
    with acquire_lock(folder, break_foreign=True):
        pass
    assert len(caplog.messages) == 1 and "broke the lock" in caplog.messages[0]
    assert list(folder.iterdir()) == []


def test_a_lock_from_before_a_restart_of_this_machine_is_dead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = lock_module._read_word
    monkeypatch.setattr(lock_module, "_read_word", lambda path: "m" if "machine" in path else real(path))
    holder = leave_lock(folder, pid=os.getpid(), boot="an earlier one")
    assert is_alive(holder) is False
    with acquire_lock(folder):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"host": "h"}'])
def test_a_lock_that_cannot_be_read_is_broken_only_when_asked(folder: Path, content: bytes) -> None:
    (folder / "lock").write_bytes(content)
    with pytest.raises(LockError, match=r"cannot be read.*--break-lock"), acquire_lock(folder):
        pass
    assert (folder / "lock").read_bytes() == content
    with acquire_lock(folder, break_foreign=True):
        pass


def test_where_life_cannot_be_told_the_flag_is_wanted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_lock(folder, pid=os.getppid())
    monkeypatch.setattr(lock_module, "process_start", lambda pid: "")
    with pytest.raises(LockError, match="--break-lock"), acquire_lock(folder):
        pass


def test_of_many_that_find_a_dead_lock_one_gets_it(folder: Path) -> None:
    leave_lock(folder, pid=2**30)
    with holders(folder, 3) as processes:
        for process in processes:
            go(process)
        answers = [answer(process) for process in processes]
        assert sorted(text.split()[0] for text in answers) == ["held"] + ["refused"] * 2
        winner = processes[answers.index("held")]
        holder = read_holder(folder / "lock")
        assert holder is not None and holder.pid == winner.pid
        assert {text.split("written by process ")[1].split()[0] for text in answers if text != "held"} == {
            str(winner.pid)
        }
        for process in processes:
            go(process)
        assert [process.wait() for process in processes] == [0] * 3
    assert list(folder.iterdir()) == []


def test_while_one_takes_over_no_other_can(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_lock(folder, pid=2**30)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    real, refused = lock_module._refuse_or_say, []

    def interrupted(path: Path, break_foreign: bool) -> None:
        real(path, break_foreign)
        if not refused:
            refused.append(True)
            with pytest.raises(LockError, match="changes hands"), acquire_lock(folder):
                pass

    monkeypatch.setattr(lock_module, "_refuse_or_say", interrupted)
    with acquire_lock(folder) as lock:
        lock.check()
    assert refused


def test_who_comes_late_to_a_dead_lock_sees_the_new_holder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = leave_lock(folder, pid=2**30)
    living = dataclasses.replace(dead, pid=os.getppid(), started=process_start(os.getppid()), token="new")

    def overtaken(descriptor: int) -> bool:
        if read_holder(folder / "lock") == dead:
            (folder / "new").write_text(json.dumps(dataclasses.asdict(living)))
            (folder / "new").replace(folder / "lock")
        return True

    monkeypatch.setattr(lock_module, "_lock_inode", overtaken)
    with pytest.raises(LockError, match=f"being written by process {os.getppid()}"), acquire_lock(folder):
        pass
    assert read_holder(folder / "lock") == living


def test_who_comes_late_to_a_lock_given_back_gets_a_new_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_lock(folder, pid=2**30)
    gone = []

    def overtaken(descriptor: int) -> bool:
        if not gone:
            gone.append((folder / "lock").unlink())
        return True

    monkeypatch.setattr(lock_module, "_lock_inode", overtaken)
    with acquire_lock(folder) as lock:
        lock.check()
    assert gone


def test_a_lock_that_another_broke_is_not_removed(folder: Path) -> None:
    with acquire_lock(folder) as lock:
        other = dataclasses.replace(lock.holder, host="elsewhere", token="x")
        (folder / "lock").write_text(json.dumps(dataclasses.asdict(other)))
        with pytest.raises(LockError, match=r"was lost: it now names process \d+ on elsewhere"):
            lock.check()
    assert read_holder(folder / "lock") == other


def test_without_hard_links_the_lock_still_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    with acquire_lock(folder), pytest.raises(LockError, match="being written"), acquire_lock(folder):
        pass
    assert list(folder.iterdir()) == []


def test_a_foreign_folder_gets_no_lock(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_bytes(b"precious")
    with pytest.raises(ResultError, match="not a result"), acquire_lock(tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]
