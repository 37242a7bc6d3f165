# SPDX-License-Identifier: Apache-2.0
"""The handwritten digits as pictures, and their split: needs scikit-learn, not torch.

scikit-learn's ``load_digits`` holds 1,797 digits of 8x8 pixels with values 0..16. They become grey pictures of
32x32 bytes, white on black. The split is by position, not at random: neighbours in the file come from one writer,
so that a random split would test on hands that were trained on. The last 360 digits are the test images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 32
TEST_COUNT = 360
CALIBRATION_STEP = 7  # every 7th training image: 206 of 1,437


@dataclass(frozen=True)
class LabelledImages:
    """``images`` is uint8 [n][32][32][1]; ``labels`` int64 [n], the digit shown."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def load_all() -> LabelledImages:
    """All 1,797 digits in the order of the file: 0..16 stretched to 0..255, then 8x8 to 32x32 bilinearly."""
    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    large = [np.asarray(Image.fromarray(s).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for s in small]
    return LabelledImages(np.stack(large)[..., None], digits.target.astype(np.int64))


def training_images() -> LabelledImages:
    """The first 1,437 digits."""
    digits = load_all()
    return LabelledImages(digits.images[:-TEST_COUNT], digits.labels[:-TEST_COUNT])


def calibration_images() -> LabelledImages:
    """206 of the training images, from all over the file: what the quantizer may look at."""
    training = training_images()
    return LabelledImages(training.images[::CALIBRATION_STEP], training.labels[::CALIBRATION_STEP])


def test_images() -> LabelledImages:
    """The last 360 digits: neither training nor calibration sees them."""
    digits = load_all()
    return LabelledImages(digits.images[-TEST_COUNT:], digits.labels[-TEST_COUNT:])
