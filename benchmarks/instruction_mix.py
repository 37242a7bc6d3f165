# SPDX-License-Identifier: Apache-2.0
"""What the executed instructions of the dsp kernels are for, body by body, on the emulated Cortex-M7 ->
docs/instruction_mix.md. A plugin (count_addresses.c) has QEMU count how often each address is executed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import rich_click as click
import tables
from measurement import written
from networks import ROOT, Loaded, Seeded, load, trained_nets

from mbv2gen import compiler
from mbv2gen.compiler import Options
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import boards, firmware, runner, toolchain

BOARD = "mps2-an500"
TRAINED = ("digits", "flowers_w035_r96")
KINDS = {  # of instructions, by how their names begin
    "multiply": ("smla", "smua", "smulb", "mla", "mul"),
    "load": ("ldr", "ldm", "pop"),
    "store": ("str", "stm", "push"),
    "unpack": ("sxt", "uxt", "pkh"),
    "requantize": ("smm", "usat", "ssat"),
    "branch": ("b", "cmp", "cmn", "cbz", "cbnz", "it"),
}  # the rest is arithmetic on addresses, biases and packed sums
LEAST_SHARE = 0.005  # of all instructions, for a row of its own


def kind_of(mnemonic: str) -> str:
    if mnemonic.startswith("bic"):
        return "other"
    return next((kind for kind, starts in KINDS.items() if mnemonic.startswith(starts)), "other")


def functions(elf: Path) -> dict[int, tuple[str, str]]:
    """Address -> (function, mnemonic)."""
    objdump = str(toolchain.require_arm_compiler()).replace("gcc", "objdump")
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", elf], capture_output=True, text=True, check=True).stdout
    found, name = {}, ""
    for line in text.splitlines():
        if head := re.fullmatch(r"[0-9a-f]+ <(\S+)>:", line):
            name = head[1]
        elif part := re.match(r"\s*([0-9a-f]+):\s+(\S+)", line):
            found[int(part[1], 16)] = (name, part[2])
    return found


def executed(loaded: Loaded, work: Path) -> dict[str, dict[str, int]]:
    """Function -> kind -> instructions of one inference; what stands around it is no function of the network's."""
    board = boards.load(BOARD)
    known, options = ranges(loaded.quantized), Options(target=board.core)
    planned = compiler.plan_network(loaded.quantized, options, known)
    complete = compiler.complete_program(loaded.quantized, planned, options, known)
    folder = written(loaded, planned, complete, work / f"{loaded.name}-mix")
    elf = firmware.build_board(folder.path, folder.name, board, folder.builds)
    plugin, counts = work / "count_addresses.so", work / f"{loaded.name}-mix.txt"
    source = Path(__file__).with_name("count_addresses.c")
    subprocess.run([toolchain.require_host_compiler(), "-O2", "-shared", "-fPIC", source, "-o", plugin], check=True)
    x = np.zeros((1, *loaded.quantized.shape(loaded.quantized.inputs[0])), np.int8)
    words = ("-plugin", f"file={plugin.resolve()},out={counts.resolve()}")
    runner.run(elf, x, board=board, title=loaded.name, timeout_seconds=900, emulator_words=words)
    at = functions(elf)
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in counts.read_text().splitlines():
        address, count = line.split()
        name, mnemonic = at.get(int(address, 16), ("", ""))
        sums[name][kind_of(mnemonic)] += int(count)
    ours = ("mbv2_", f"{folder.name}_", "run_unit")
    return {name: kinds for name, kinds in sums.items() if name.startswith(ours)}


def rows_of(loaded: Loaded, work: Path) -> list[list[object]]:
    """A row a body, the costliest first; what is left, C around the bodies, in one."""
    spent = executed(loaded, work)
    whole = sum(sum(kinds.values()) for kinds in spent.values())
    drivers: dict[str, int] = defaultdict(int)
    rows: list[list[object]] = []
    for name, kinds in sorted(spent.items(), key=lambda item: -sum(item[1].values())):
        if name.endswith("_dsp") and "_s8_dsp" not in name and sum(kinds.values()) >= LEAST_SHARE * whole:
            rows.append(_row(loaded, f"`{name}`", kinds, whole))
        else:
            for kind, count in kinds.items():
                drivers[kind] += count
    return [*rows, _row(loaded, "all else: C around them, small bodies", drivers, whole)]


def _row(loaded: Loaded, name: str, kinds: dict[str, int], whole: int) -> list[object]:
    total = sum(kinds.values())
    shares = [f"{100 * kinds.get(kind, 0) / total:.0f} %" for kind in (*KINDS, "other")]
    return [loaded.net.title, name, total, f"{100 * total / whole:.1f} %", *shares]


@click.command()
@click.option("--quick", is_flag=True, help="The digits alone.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "instruction_mix.md")
@click.option("--work", type=click.Path(path_type=Path), default=ROOT / "build" / "mix", metavar="FOLDER")
def main(quick: bool, out: Path, work: Path) -> None:
    """Count what the executed instructions are for and write the table."""
    nets = [net for net in trained_nets() if net.title in TRAINED]
    try:
        toolchain.require_qemu()
        work.mkdir(parents=True, exist_ok=True)
        chosen = nets[:1] if quick else [Seeded(0.35, 96), *nets]
        rows = [row for net in chosen for row in rows_of(load(net), work)]
    except Mbv2genError as error:
        click.echo(f"instruction_mix: error: {error}", err=True)
        sys.exit(error.exit_code)
    heads = ("net", "body", "instructions", "of all", *KINDS, "other")
    tables.write(
        out,
        [
            "# What instructions are for",
            "Made by `make mix`; do not edit. Executed instructions of one inference on the emulated Cortex-M7, "
            "counted at every address by a plugin of QEMU, by body and by what they do. A multiplication does two MACs "
            "(SMLAD) or one; a body at the floor of 0.5 instructions per MAC would multiply alone.",
            tables.table(heads, rows),
        ],
    )
    click.echo(f"written: {out.name}")


if __name__ == "__main__":
    main()
