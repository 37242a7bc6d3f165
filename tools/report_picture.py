# SPDX-License-Identifier: Apache-2.0
"""Writes a picture of the digits' report.html, head, layers and arena, as a PNG: docs/report.png."""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from browser import browser  # noqa: E402 - tests/ is put on the path first

import mbv2gen  # noqa: E402 - tests/ is put on the path first

PARTS = ("header", "#memory .memories", "#layers", "#arena .arena")
WIDTH, MARGIN = 1100, 28


def pictures(path: Path) -> list[Image.Image]:
    with browser() as engine:
        view = engine.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        view.goto(path.as_uri())
        return [Image.open(BytesIO(view.locator(part).screenshot())) for part in PARTS]


def main() -> None:
    digits = ROOT / "examples" / "digits" / "digits"
    with tempfile.TemporaryDirectory() as work:
        made = mbv2gen.compile(f"{digits}.onnx", calibration=f"{digits}_calibration.npz", output=Path(work) / "out")
        mbv2gen.profile(made)
        mbv2gen.evaluate(made, f"{digits}_test.npz", model=f"{digits}.onnx")
        parts = pictures(Path(work) / "out" / "report.html")
    height = sum(part.height for part in parts) + MARGIN * (len(parts) + 1)
    whole = Image.new("RGB", (WIDTH, height), parts[0].convert("RGB").getpixel((0, 0)))
    top = MARGIN
    for part in parts:
        whole.paste(part, ((WIDTH - part.width) // 2, top))
        top += part.height + MARGIN
    whole.quantize(128, dither=Image.Dither.NONE).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
