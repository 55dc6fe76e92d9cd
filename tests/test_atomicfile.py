"""Files written in one step: what was there stays until all is written, and after a failure."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fcmrt.atomicfile import replace_file, replacing


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_is_there_when_all_is_written(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_after_the_replacement_is_raised_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "file"
    real_replace = os.replace

    def replace_and_stop(source: str, target: str) -> None:
        real_replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_stop)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_permissions(tmp_path):
    path, plain = tmp_path / "file", tmp_path / "plain"
    plain.touch()
    with replacing(path):
        pass
    assert permissions(path) == permissions(plain)
    path.chmod(0o640)
    with replacing(path):
        pass
    assert permissions(path) == 0o640
    replace_file(path, b"", mode=0o600)
    assert permissions(path) == 0o600


def test_links_are_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    link.symlink_to(Path("elsewhere") / "file")
    for content in (b"the link leads nowhere yet", b"and now to a file"):
        replace_file(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_a_pipe_is_written_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(pipe, b"through the pipe")
        assert os.read(reader, 100) == b"through the pipe"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_errors_name_the_file_that_was_wanted(tmp_path):
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as raised:
        replace_file(path, b"")
    assert raised.value.filename == str(path)
    with pytest.raises(IsADirectoryError) as raised:
        replace_file(tmp_path, b"")
    assert raised.value.filename == str(tmp_path)


def test_errors_of_writing_name_the_file(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            replace_file(tmp_path / "file", bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())
