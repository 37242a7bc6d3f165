# SPDX-License-Identifier: Apache-2.0
"""SoCs: the addresses that soc_*.c write are those of the vendors' SVD files, as far as pyOCD brings them along."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mbv2gen.hardware import boards
from mbv2gen.hardware.board import Board
from mbv2gen.resources import firmware_dir

DEFINE = re.compile(r"#define ([A-Z0-9]+_[A-Z0-9_]+) (0x[0-9A-F]{8})u\b")


def registers(svd: str) -> dict[str, int]:
    """{PERIPHERAL_REGISTER: address} of an SVD file, and {PERIPHERAL: base}."""
    pyocd = pytest.importorskip("pyocd")
    with zipfile.ZipFile(Path(pyocd.__file__).parent / "debug" / "svd" / "svd_data.zip") as data:
        root = ElementTree.fromstring(data.read(svd))
    return dict(_registers(root))


def _registers(root: ElementTree.Element) -> Iterator[tuple[str, int]]:
    for peripheral in root.iter("peripheral"):
        name, base = str(peripheral.findtext("name")), int(str(peripheral.findtext("baseAddress")), 0)
        yield name, base
        for register in peripheral.iter("register"):
            yield f"{name}_{register.findtext('name')}", base + int(str(register.findtext("addressOffset")), 0)


@pytest.mark.parametrize(
    ("source", "svd", "count"),
    [("soc_stm32f4_f7.c", "STM32F429x.svd", 8), ("soc_nrf52840.c", "nrf52840.svd", 3)],
)
def test_registers_stand_where_the_vendor_says(source: str, svd: str, count: int) -> None:
    known = registers(svd)
    written = DEFINE.findall((firmware_dir() / source).read_text(encoding="utf-8"))
    assert len(written) == count
    assert {name: int(address, 16) for name, address in written} == {name: known[name] for name, _ in written}


@pytest.mark.parametrize(
    ("board", "svd", "usart", "enable"),
    [
        ("netduinoplus2", "STM32F429x.svd", "USART6", "RCC_APB2ENR"),
        ("nucleo-f446re", "STM32F429x.svd", "USART2", "RCC_APB1ENR"),
        ("stm32f746g-disco", "STM32F429x.svd", "USART1", "RCC_APB2ENR"),
    ],
)
def test_the_consoles_are_where_the_vendor_says(board: str, svd: str, usart: str, enable: str) -> None:
    """The F7 has them where the F4 does."""
    known, console = registers(svd), boards.load(board).console
    assert console is not None
    assert console.base == known[usart]
    assert dict(boards.load(board).settings)["usart_enr"] == known[enable]


@pytest.mark.parametrize("board", [b for b in boards.all_boards() if b.soc], ids=lambda board: board.name)
def test_the_clock_is_what_the_plls_settings_make(board: Board) -> None:
    """HSE / M * N / P, the crystals of the boards' schematics; the console's clock is a whole part of it."""
    crystal = {
        "netduinoplus2": 25, "nucleo-f446re": 8, "stm32f746g-disco": 25, "nucleo-h743zi": 8, "arduino-nano33ble": 64,
        "pico2": 12,
    }[board.name]  # fmt: skip
    settings = dict(board.settings)
    if "pll_m" in settings:
        assert (
            crystal * 1_000_000 // settings["pll_m"] * settings["pll_n"] // settings.get("pll_p", 2) == board.clock_hz
        )
        assert crystal / settings["pll_m"] in (1, 2)  # MHz into the PLL
    assert board.console is not None
    assert board.clock_hz % board.console.clock_hz == 0
    assert (
        abs(board.console.clock_hz / round(board.console.clock_hz / board.console.baud) / board.console.baud - 1) < 0.02
    )
