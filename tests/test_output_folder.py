# SPDX-License-Identifier: Apache-2.0
"""The output folder: whole or not at all, nothing of anybody else's touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mbv2gen import output_folder
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.output_folder import check_unchanged, check_writable, open_folder, write_folder

FIRST = {"net.c": b"int first;\n", "report.json": b'{"schema": 1}\n'}
SECOND = {"net.c": b"int second;\n", "other.c": b"int more;\n", "report.json": b'{"schema": 1}\n'}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for what is hidden in it, and every link's target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path.relative_to(folder).as_posix()] = b"-> " + os.readlink(path).encode()
        elif path.is_file():
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def test_folder_holds_the_given_files_and_is_opened_by_name(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "out", "net", FIRST)
    folder = open_folder(tmp_path / "deep" / "out")
    assert folder.name == "net"
    assert contents(folder.path).items() >= FIRST.items()
    assert os.listdir(tmp_path / "deep") == ["out"]


def test_second_compile_replaces_generated_files_and_keeps_the_users(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", "net", SECOND)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "mine").mkdir()
    (tmp_path / "out" / "mine" / "a").write_text("a")
    write_folder(tmp_path / "out", "net", FIRST)
    assert set(contents(tmp_path / "out")) == {".mbv2gen.json", "net.c", "report.json", "notes.txt", "mine/a"}
    assert (tmp_path / "out" / "net.c").read_bytes() == FIRST["net.c"]
    assert os.listdir(tmp_path) == ["out"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", "net", FIRST)
    assert open_folder(tmp_path / "out").name == "net"


@pytest.mark.parametrize("marker", [None, "", "[]", '{"name": 3}', "not json"])
def test_a_folder_of_somebody_else_is_refused_and_untouched(tmp_path: Path, marker: str | None) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "net.c").write_text("precious")
    if marker is not None:
        (tmp_path / "out" / ".mbv2gen.json").write_text(marker)
    before = contents(tmp_path)
    with pytest.raises(Mbv2genError, match="was not written by mbv2gen"):
        write_folder(tmp_path / "out", "net", FIRST)
    assert contents(tmp_path) == before


def test_a_generated_file_that_was_edited_is_refused_and_untouched(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", "net", FIRST)
    (tmp_path / "out" / "net.c").write_text("int edited;\n")
    before = contents(tmp_path)
    with pytest.raises(Mbv2genError, match=r"net\.c: was changed since it was generated"):
        write_folder(tmp_path / "out", "net", SECOND)
    assert contents(tmp_path) == before


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", "net", FIRST)
    (tmp_path / "out").symlink_to("real")
    before = contents(tmp_path)
    with pytest.raises(Mbv2genError, match="symbolic link"):
        write_folder(tmp_path / "out", "net", SECOND)
    assert contents(tmp_path) == before


def test_a_link_in_the_place_of_a_generated_file_is_not_followed(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", "net", FIRST)
    (tmp_path / "secret.c").write_bytes(FIRST["net.c"])
    (tmp_path / "out" / "net.c").unlink()
    (tmp_path / "out" / "net.c").symlink_to(tmp_path / "secret.c")
    before = contents(tmp_path)
    with pytest.raises(Mbv2genError, match=r"net\.c: was changed"):
        write_folder(tmp_path / "out", "net", SECOND)
    assert contents(tmp_path) == before


def test_a_link_in_the_place_of_the_marker_is_no_marker(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", "net", FIRST)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".mbv2gen.json").symlink_to(tmp_path / "real" / ".mbv2gen.json")
    with pytest.raises(Mbv2genError, match="was not written by mbv2gen"):
        check_writable(tmp_path / "out")


def test_a_file_in_the_place_of_the_folder_or_of_its_parent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    with pytest.raises(Mbv2genError, match="is a file"):
        check_writable(tmp_path / "file")
    with pytest.raises(Mbv2genError, match="not a writable folder"):
        check_writable(tmp_path / "file" / "out")


@pytest.mark.parametrize("failing", ["new", "both"])
def test_the_old_output_stays_where_the_new_cannot_be_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    write_folder(tmp_path / "out", "net", FIRST)
    before = contents(tmp_path)
    rename = os.rename

    def fails(source: Path, target: Path) -> None:
        if failing == "both" or Path(source).name == "new":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(output_folder.os, "rename", fails)
    with pytest.raises(Mbv2genError, match="No space left on device"):
        write_folder(tmp_path / "out", "net", SECOND)
    assert contents(tmp_path) == before


def test_files_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(Mbv2genError, match="cannot be written"):
        write_folder(tmp_path / "out", "net", {"a" * 300 + ".c": b""})
    assert os.listdir(tmp_path) == []


def test_an_unchanged_folder_passes_even_where_its_report_has_grown(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out", "net", FIRST)
    folder.write_report({**folder.report(), "accuracy": 1})
    check_unchanged(folder)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == {"schema": 1, "accuracy": 1}
    assert sorted(os.listdir(tmp_path / "out")) == [".mbv2gen.json", "net.c", "report.json"]


def test_a_changed_file_and_a_missing_one_are_told_by_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out", "net", FIRST)
    (tmp_path / "out" / "net.c").write_text("int edited;\n")
    with pytest.raises(CheckFailed, match=r"net\.c: was changed"):
        check_unchanged(folder)
    (tmp_path / "out" / "net.c").unlink()
    with pytest.raises(CheckFailed, match=r"net\.c: is missing"):
        check_unchanged(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_damaged_report_is_told_by_name(tmp_path: Path, text: str) -> None:
    folder = write_folder(tmp_path / "out", "net", FIRST)
    (tmp_path / "out" / "report.json").write_text(text)
    with pytest.raises(Mbv2genError, match=r"report\.json: .*compile again"):
        folder.report()
