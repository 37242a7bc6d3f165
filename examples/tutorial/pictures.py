# SPDX-License-Identifier: Apache-2.0
"""Writes coloured pictures of handwritten digits as PNG files, in folders by class: needs scikit-learn, not torch.

    python examples/tutorial/pictures.py build/tutorial/pictures

A stand-in for photographs of one's own. scikit-learn's ``load_digits`` holds 1,797 digits of 8x8 pixels in the order
in which their writers wrote them. Each becomes a picture 80 pixels wide and 60 high: the digit in a warm colour
somewhere near the middle, the background dark blue, both differing from picture to picture, and noise over all of it.
The last 360 are the test pictures, by other writers than the rest (as in examples/digits); every twelfth of the others
is written a second time, for calibration.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

WIDTH, HEIGHT = 80, 60
DIGIT = 40  # pixels of its side
TEST_COUNT = 360
CALIBRATION_STEP = 12
INK, PAPER = np.array([245.0, 170.0, 60.0]), np.array([25.0, 45.0, 95.0])  # red, green, blue
SHADES, NOISE = 25.0, 8.0  # standard deviations: of either colour from picture to picture, of a pixel
SHIFT = 4  # pixels at most, from the middle


def picture(small: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.uint8]:
    """A digit of 8x8 values 0..16 as uint8 [60][80][3]."""
    large = Image.fromarray(np.rint(small * (255 / 16)).astype(np.uint8)).resize((DIGIT, DIGIT))
    cover = np.zeros((HEIGHT, WIDTH, 1))
    top, left = ((side - DIGIT) // 2 + int(random.integers(-SHIFT, SHIFT + 1)) for side in (HEIGHT, WIDTH))
    cover[top : top + DIGIT, left : left + DIGIT, 0] = np.asarray(large) / 255
    ink, paper = (colour + random.normal(0, SHADES, 3) for colour in (INK, PAPER))
    values = cover * ink + (1 - cover) * paper + random.normal(0, NOISE, (HEIGHT, WIDTH, 3))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def write(
    folder: Path, digits: NDArray[np.float64], labels: NDArray[np.int64], test_count: int = TEST_COUNT
) -> dict[str, int]:
    """train/CLASS/*.png, calibration/CLASS/*.png and test/CLASS/*.png; how many there are of each."""
    random = np.random.default_rng(0)
    first_test = len(digits) - test_count
    counts = {"train": 0, "calibration": 0, "test": 0}
    for index, (small, label) in enumerate(zip(digits, labels, strict=True)):
        parts = ["test" if index >= first_test else "train"]
        if index < first_test and index % CALIBRATION_STEP == 0:
            parts.append("calibration")
        made = Image.fromarray(picture(small, random))
        for part in parts:
            file = folder / part / str(label) / f"{index:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            made.save(file)
            counts[part] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the tutorial's pictures.")
    parser.add_argument("folder", type=Path, help="folder to write to")
    data = load_digits()
    counts = write(parser.parse_args().folder, data.images, data.target)
    print(", ".join(f"{count} pictures in {part}/" for part, count in counts.items()))


if __name__ == "__main__":
    main()
