# SPDX-License-Identifier: Apache-2.0
"""Labels of image files: by table, by folder, by array."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import ModelInput
from mbv2gen.pixels import image_files
from mbv2gen.pixels.pictures import Pictures, open_pictures
from mbv2gen.pixels.preprocessing import Preprocessing

UNIT = Preprocessing((0.0,) * 3, (255.0,) * 3)


def opened(spec: object, labels: Path | None = None) -> Pictures:
    return open_pictures(str(spec), (6, 8, 3), UNIT, ModelInput("x", "NCHW", "float32"), labels)


def written(folder: Path, *names: str) -> None:
    """Pictures of one grey each: 10, 20, 30 ..."""
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (10 * index + 10,) * 3).save(folder / name)


def labels_of(pictures: Pictures) -> dict[str, str]:
    assert pictures.labels is not None
    assert pictures.class_names is not None
    names = [pictures.class_names[label] for label in pictures.labels]
    return dict(zip(pictures.names, names, strict=True))


def table(folder: Path, text: str) -> Path:
    (folder / "labels.csv").write_text(text)
    return folder / "labels.csv"


def test_a_table_names_files_beside_it_in_its_own_order(tmp_path: Path) -> None:
    written(tmp_path, "b.png", "sub/a.png")
    path = table(tmp_path, "file,label\nsub/a.png,rose\nb.png,daisy\n")
    pictures = opened(path)
    assert labels_of(pictures) == {"sub/a.png": "rose", "b.png": "daisy"}
    assert pictures.class_names == ("daisy", "rose")
    assert [int(picture.max()) for picture in pictures] == [20, 10]


def test_splits_are_named_behind_the_table(tmp_path: Path) -> None:
    written(tmp_path, "a.png", "b.png", "c.png")
    path = table(tmp_path, "file,label,split\na.png,x,train\nb.png,y,test\nc.png,x,calib\n")
    assert labels_of(opened(f"{path}:test")) == {"b.png": "y"}
    assert list(labels_of(opened(f"{path}:calib,train"))) == ["a.png", "c.png"]
    with pytest.raises(Mbv2genError, match=r"no split 'dev'; it holds calib, test, train"):
        opened(f"{path}:dev")


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffile,label\r\na.png,x\r\n\r\nb.png,y\r\n",  # as spreadsheets write it
        "image;class;width\nb.png;y;8\na.png;x;8\n",
        "Label\tFilename\nx\ta.png\n y \t b.png\n",
        'path,label\n"a.png","x"\n"b.png",y\n',
    ],
)
def test_tables_come_in_several_dialects(text: str, tmp_path: Path) -> None:
    written(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8", newline="")
    assert labels_of(opened(tmp_path / "labels.csv")) == {"a.png": "x", "b.png": "y"}


def test_a_table_without_labels_gives_pictures_without_labels(tmp_path: Path) -> None:
    written(tmp_path, "a.png")
    pictures = opened(table(tmp_path, "file\na.png\n"))
    assert (pictures.labels, pictures.class_names, len(pictures)) == (None, None, 1)


@pytest.mark.parametrize("base", ["", "pictures/"])
def test_a_folder_takes_its_labels_from_a_table(base: str, tmp_path: Path) -> None:
    """Names are relative to the table or to the folder; rows of other pictures are passed over."""
    written(tmp_path / "pictures", "a.png", "b.png")
    path = table(tmp_path, f"file,label\n{base}b.png,y\n{base}a.png,x\nelsewhere.png,z\n")
    pictures = opened(tmp_path / "pictures", path)
    assert labels_of(pictures) == {"a.png": "x", "b.png": "y"}
    assert pictures.class_names == ("x", "y")


def refused(tmp_path: Path) -> dict[str, tuple[object, Path | None]]:
    """By a part of the message: (what is opened, a table of labels)."""
    written(tmp_path / "pictures", "a.png", "b.png")
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 6, 8, 3), np.uint8), y=np.zeros((2, 2)), images=np.zeros(1))
    texts = {
        "must name the columns": "a.png,x\n",
        "lists no file": "file,label\n",
        "line 3 has no label": "file,label\na.png,x\nb.png\n",
        "line 2 has no file": "file,label\n ,x\n",
        "has no column 'split'": "file,label\na.png,x\n",
        "cannot be read as CSV": "file,label\na.png,\udcff\n",
        "which is one of the pictures": "file,label\na.png,x\n",
        "has no column 'label'": "file\na.png\n",
    }
    cases: dict[str, tuple[object, Path | None]] = {
        "brings its own": (f"{tmp_path / 'a.npz'}:x", tmp_path / "labels.csv"),
        "has no array 'z'": (f"{tmp_path / 'a.npz'}:x:z", None),
        "labels must be 2 integers or names": (f"{tmp_path / 'a.npz'}:x:y", None),
        "no such file": (tmp_path / "none.csv", None),
    }
    for index, (message, text) in enumerate(texts.items()):
        path = tmp_path / f"{index}.csv"
        path.write_bytes(text.encode(errors="surrogateescape"))
        split = ":test" if "split" in message else ""
        is_for_a_folder = "pictures" in message or "'label'" in message
        cases[message] = (tmp_path / "pictures", path) if is_for_a_folder else (f"{path}{split}", None)
    return cases


def test_every_bad_table_is_refused_in_one_line(tmp_path: Path) -> None:
    for message, (spec, labels) in refused(tmp_path).items():
        with pytest.raises(Mbv2genError) as caught:
            opened(spec, labels)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_that_the_table_invents_is_named_when_it_is_read(tmp_path: Path) -> None:
    written(tmp_path, "a.png")
    pictures = opened(table(tmp_path, "file,label\na.png,x\nno.png,y\n"))
    with pytest.raises(Mbv2genError, match=r"no\.png"):
        list(pictures)


def test_labels_of_an_array_may_be_named_and_may_be_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 6, 8, 3), np.uint8), y=[0, 0, 0], kinds=["pea", "bean", "pea"])
    pictures = opened(f"{tmp_path / 'a.npz'}:x:kinds")
    assert labels_of(pictures) == {"x[0]": "pea", "x[1]": "bean", "x[2]": "pea"}
    assert pictures.class_names == ("bean", "pea")


def test_parts_are_the_whole_in_its_order(tmp_path: Path) -> None:
    written(tmp_path, *(f"{index}.png" for index in range(5)))
    np.savez_compressed(
        tmp_path / "a.npz", x=np.arange(5, dtype=np.uint8)[:, None, None, None] + np.zeros((5, 9, 7, 3), np.uint8)
    )
    for whole in (
        opened(table(tmp_path, "file\n" + "".join(f"{i}.png\n" for i in range(5)))),
        opened(tmp_path / "a.npz"),
    ):
        parts = list(whole.parts(2))
        assert [len(part) for part in parts] == [2, 2, 1]
        assert [name for part in parts for name in part.names] == list(whole.names)
        assert np.array_equal(list(whole), [picture for part in parts for picture in part])


def test_rubbish_by_its_split_table(shared_data: Path) -> None:
    folder = shared_data / "images" / "rubbish4"
    with (folder / "split.csv").open(newline="") as stream:
        rows = {row["file"]: row["label"] for row in csv.DictReader(stream) if row["split"] != "calib"}
    files = image_files.in_table(folder / "split.csv", ("test", "train"))
    assert len(files.paths) == len(rows) == 636
    assert files.labels is not None
    assert files.class_names is not None
    assert {name: files.class_names[label] for name, label in zip(files.names, files.labels, strict=True)} == rows
    assert all(path.is_file() for path in files.paths)
