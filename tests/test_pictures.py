# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import ModelInput
from mbv2gen.pixels.image import fit
from mbv2gen.pixels.pictures import Pictures, open_pictures
from mbv2gen.pixels.preprocessing import Preprocessing

NCHW = ModelInput("x", "NCHW", "float32")
UNIT = Preprocessing((0.0,) * 3, (255.0,) * 3)
CROP = Preprocessing((0.0,) * 3, (255.0,) * 3, resize="crop")
GREY = Preprocessing((0.0,), (255.0,), colour="GREY")
SHAPE = (6, 8, 3)


def picture(seed: int, *size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def opened(path: Path | str, preprocessing: Preprocessing = UNIT, shape: tuple[int, int, int] = SHAPE) -> Pictures:
    return open_pictures(str(path), shape, preprocessing, NCHW)


def all_pixels(pictures: Pictures, size: int = 2) -> np.ndarray:
    return np.concatenate(list(pictures.pixels(size)))


def write_classes(folder: Path) -> dict[str, np.ndarray]:
    made = {}
    for index, name in enumerate(["rose/b.png", "daisy/z.png", "daisy/a.bmp"]):
        (folder / name).parent.mkdir(exist_ok=True)
        made[name] = picture(index, 6, 8, 3)
        Image.fromarray(made[name]).save(folder / name)
    (folder / "split.csv").write_text("file\n")
    (folder / "LICENSE").write_text("MIT\n")
    (folder / ".hidden.png").write_text("no image\n")
    return made


def test_class_folders_become_labels_in_sorted_order(tmp_path: Path) -> None:
    made = write_classes(tmp_path)
    pictures = opened(tmp_path)
    assert pictures.names == ("daisy/a.bmp", "daisy/z.png", "rose/b.png")
    assert pictures.labels is not None
    assert pictures.labels.tolist() == [0, 0, 1]
    assert pictures.class_names == ("daisy", "rose")
    assert np.array_equal(all_pixels(pictures), [made[name] for name in pictures.names])


def test_an_empty_class_folder_keeps_its_place_among_the_labels(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / "lily").mkdir()
    pictures = opened(tmp_path)
    assert pictures.labels is not None
    assert pictures.labels.tolist() == [0, 0, 2]


def test_batches_are_normalised_and_of_the_size_asked_for(tmp_path: Path) -> None:
    made = write_classes(tmp_path)
    batches = list(opened(tmp_path).batches(2))
    assert [len(batch) for batch in batches] == [2, 1]
    assert np.allclose(batches[1][0], made["rose/b.png"] / 255, atol=1e-7)
    assert batches[0].dtype == np.float32


def test_a_subset_keeps_names_labels_and_pixels_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=picture(0, 5, 6, 8, 3), y=np.arange(5))
    whole = opened(tmp_path / "a.npz:x")
    part = whole.subset([1, 3]).subset([1])
    assert part.names == (whole.names[3],)
    assert part.labels is not None
    assert part.labels.tolist() == [3]
    assert np.array_equal(all_pixels(part)[0], all_pixels(whole)[3])


def test_npz_labels_files_and_classes_go_with_their_key(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "a.npz",
        x_test=picture(0, 3, 6, 8, 3),
        y_test=np.array([[2], [0], [1]], np.uint8),
        files_test=np.array(["a", "b", "c"]),
        x_calib=picture(1, 2, 6, 8, 3),
        y_calib=np.array([1, 1]),
        classes=np.array(["p", "q", "r"]),
    )
    test, calib = opened(tmp_path / "a.npz:x_test"), opened(tmp_path / "a.npz:x_calib")
    assert test.labels is not None
    assert calib.labels is not None
    assert (test.labels.tolist(), test.names, test.class_names) == ([2, 0, 1], ("a", "b", "c"), ("p", "q", "r"))
    assert (calib.labels.tolist(), calib.names[1]) == ([1, 1], "x_calib[1]")
    with pytest.raises(Mbv2genError, match="KEY"):
        opened(tmp_path / "a.npz")


@pytest.mark.parametrize("names", [["images", "others"], ["only"]])
def test_npz_without_key_takes_images_or_the_only_array(names: list[str], tmp_path: Path) -> None:
    arrays = {name: picture(index, 2, 6, 8, 3) for index, name in enumerate(names)}
    np.savez(tmp_path / "a.npz", **arrays)
    assert np.array_equal(all_pixels(opened(tmp_path / "a.npz")), arrays[names[0]])


@pytest.mark.parametrize("is_npz", [False, True])
def test_float_arrays_are_the_models_own_input_unchanged(is_npz: bool, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 3, 6, 8))
    if is_npz:
        np.savez(tmp_path / "a.npz", input=values.astype(np.float32), output=np.zeros((5, 4)))
    else:
        np.save(tmp_path / "a.npy", values.astype(">f8"))
    pictures = opened(tmp_path / ("a.npz" if is_npz else "a.npy"))
    found = np.concatenate(list(pictures.batches(3)))
    assert np.array_equal(found, values.transpose(0, 2, 3, 1).astype(np.float32))
    with pytest.raises(Mbv2genError, match="not pictures"):
        next(pictures.pixels(1))


def test_float_arrays_pass_the_graphs_own_normalisation(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((1, 2, 2, 1), 51.0, np.float32))
    entry = ModelInput("x", "NHWC", "uint8", mean=(0.0,), std=(255.0,))
    pictures = open_pictures(str(tmp_path / "a.npy"), (2, 2, 1), GREY, entry)
    assert next(pictures.batches(1)) == pytest.approx(0.2)


def test_grey_planes_are_spread_over_a_colour_model(tmp_path: Path) -> None:
    planes = picture(0, 2, 6, 8)
    np.save(tmp_path / "a.npy", planes)
    assert np.array_equal(all_pixels(opened(tmp_path / "a.npy")), np.repeat(planes[..., None], 3, axis=3))


def test_colour_pictures_become_grey_by_luma() -> None:
    colour = picture(0, 6, 8, 3)
    expected = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(fit(colour, (6, 8, 1), GREY)[:, :, 0] - expected).max() <= 1


def test_bgr_models_get_blue_first(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (200, 100, 50)).save(tmp_path / "a.png")
    preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3, colour="BGR")
    assert all_pixels(opened(tmp_path, preprocessing))[0, 0, 0].tolist() == [50, 100, 200]


def test_squash_is_pillows_bilinear_resize(tmp_path: Path) -> None:
    source = picture(0, 1, 31, 17, 3)
    np.save(tmp_path / "a.npy", source)
    expected = Image.fromarray(source[0]).resize((8, 6), Image.Resampling.BILINEAR)
    assert np.array_equal(all_pixels(opened(tmp_path / "a.npy"))[0], np.asarray(expected))


@given(h=st.integers(4, 70), w=st.integers(4, 70), size=st.integers(1, 24))
def test_crop_is_resizing_the_short_side_and_cutting_the_centre(h: int, w: int, size: int) -> None:
    source = picture(h * 100 + w, h, w, 3)
    new_h, new_w = (size, max(size, int(size * w / h))) if h <= w else (max(size, int(size * h / w)), size)
    resized = Image.fromarray(source).resize((new_w, new_h), Image.Resampling.BILINEAR)
    left, top = round((new_w - size) / 2), round((new_h - size) / 2)
    expected = np.asarray(resized.crop((left, top, left + size, top + size))).astype(int)
    found = fit(source, (size, size, 3), CROP)
    assert found.shape == (size, size, 3)
    assert np.abs(found - expected).max() <= 1


def test_an_image_that_is_a_thread_is_cropped_in_little_memory() -> None:
    assert fit(picture(0, 2, 200_000, 1), (64, 64, 1), Preprocessing((0.0,), (1.0,), "crop", "GREY")).shape == (
        64,
        64,
        1,
    )


def test_a_header_that_promises_too_much_is_refused_unread(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 6, 8, 3)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(1000))
    with pytest.raises(Mbv2genError, match=r"a\.npz"):
        opened(tmp_path / "a.npz")


def bad_sources(folder: Path) -> dict[str, Path]:
    """One source for each way in which a user's data can be wrong; the text is what the message must hold."""
    (folder / "empty").mkdir()
    (folder / "text").mkdir()
    (folder / "text" / "a.jpg").write_text("this is no image")
    (folder / "cut").mkdir()
    encoded = io.BytesIO()
    Image.fromarray(picture(0, 64, 64, 3)).save(encoded, "PNG")
    (folder / "cut" / "b.png").write_bytes(encoded.getvalue()[:2000])
    (folder / "deep").mkdir()
    Image.fromarray(picture(0, 8, 8).astype(np.float32)).save(folder / "deep" / "c.tif")
    np.save(folder / "shape.npy", picture(0, 2, 6, 8, 5))
    np.save(folder / "layout.npy", np.zeros((2, 6, 8, 3), np.float32))
    np.save(folder / "nan.npy", np.full((1, 3, 6, 8), np.nan, np.float32))
    np.save(folder / "none.npy", picture(0, 0, 6, 8, 3))
    np.save(folder / "dtype.npy", np.zeros((2, 6, 8, 3), np.int64))
    np.save(folder / "pickle.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(folder / "short.npy", picture(0, 2, 6, 8, 3))
    (folder / "short.npy").write_bytes((folder / "short.npy").read_bytes()[:300])
    (folder / "fake.npz").write_text("this is no archive")
    (folder / "fake.npy").write_text("this is no array")
    (folder / "a.txt").write_text("")
    return {
        "empty": folder / "empty",
        "a.jpg": folder / "text",
        "b.png": folder / "cut",
        "c.tif": folder / "deep",
        **{f"{path.name}": path for path in folder.iterdir() if path.is_file()},
        "missing": folder / "missing",
    }


def test_every_bad_source_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    for text, path in bad_sources(tmp_path).items():
        with pytest.raises(Mbv2genError) as caught:
            list(opened(path).batches(4))
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    for limit in (100 * 100 - 1, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(Mbv2genError, match=r"a\.png.*pixels"):
            all_pixels(opened(tmp_path))


def test_flower_photos_squashed_to_96_are_the_npz(shared_data: Path) -> None:
    images = shared_data / "images"
    photos = opened(images / "flowers160" / "calib", shape=(96, 96, 3))
    array = opened(f"{images / 'flowers96_test_calib.npz'}:x_calib", shape=(96, 96, 3))
    assert array.labels is not None
    assert photos.labels is not None
    place = {name: index for index, name in enumerate(array.names)}
    chosen = range(0, len(photos), 20)
    order = [place[photos.names[index]] for index in chosen]
    assert [array.labels[index] for index in order] == [photos.labels[index] for index in chosen]
    assert np.array_equal(all_pixels(photos.subset(chosen)), all_pixels(array)[order])
