# SPDX-License-Identifier: Apache-2.0
"""CSources: the text of the C; a tiny network's stands in tests/golden (``pytest --update-golden`` rewrites it)."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_builder import NONE, POINTWISE, RELU6, NetworkBuilder
from planned import planned
from random_networks import TORCH_S2, random_network
from toy_network import needs_host_compiler

from mbv2gen import csources
from mbv2gen.hardware import toolchain
from mbv2gen.network import ModelOutput
from mbv2gen.planning.kernels import PLAIN
from mbv2gen.program import Program
from mbv2gen.quantized_network import QuantizedNetwork

GOLDEN = Path(__file__).parent / "golden"
VARIANTS = [
    ("frame", "softmax"),
    ("rows", "none"),
    ("layer_by_layer", "sigmoid"),
    ("rows", "softmax"),
    ("frame", "none"),
]
COMMAND = "mbv2gen compile tiny.onnx --target host --name tiny"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
KERNEL = re.compile(r"^(?!mbv2_(pipeline|tap|kernels|arithmetic|dot)\b)(mbv2_\w+)\.c$")


def tiny_network() -> QuantizedNetwork:
    """A stem, an expansion in planar lines, its depthwise, pool and classifier; every number is written here."""
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.input((4, 4, 1), zero_point=-128, scale=1 / 64)
    fixed = {"scale": 1 / 32, "zero_point": -128}
    x = b.conv(x, "stem", 2, TORCH_S2, RELU6, weights=ramp(2, 3, 3, 1), bias=[40, -40], multiplier=[0.02, 0.5], **fixed)
    b.block("stem", "Stem", "conv")
    x = b.conv(x, "expand", 3, POINTWISE, RELU6, weights=ramp(3, 1, 1, 2), bias=7, multiplier=0.01, **fixed)
    x = b.depthwise(x, "depthwise", TORCH_S2, RELU6, weights=ramp(3, 3, 3), bias=-7, multiplier=0.03, **fixed)
    fixed = {"scale": 1 / 16, "zero_point": 5}
    x = b.conv(x, "project", 2, POINTWISE, NONE, weights=ramp(2, 1, 1, 3), bias=0, multiplier=0.004, **fixed)
    b.block("block", "InvertedResidual", "expand", "depthwise", "project")
    x = b.mean(x, "pool", **fixed)
    b.fully_connected(x, "classifier", 2, weights=ramp(2, 2), bias=[100, -100], multiplier=0.01, **fixed)
    b.block("head", "Head", "pool", "classifier")
    return replace(b.network("tiny", "classifier"), pixel_input=None)


def ramp(*shape: int) -> np.ndarray:
    return (np.arange(np.prod(shape)) * 37 % 255 - 127).reshape(shape)


@functools.cache
def programs() -> dict[str, Program]:
    """Frame and rows, every tail, tables of pixels and none, and every plain kernel in one or the other."""
    made = {}
    for seed, (mode, tail) in enumerate(VARIANTS):
        network = random_network(np.random.default_rng([11, seed]), size=(7, 8), blocks=2, max_channels=6)
        network = replace(network, model_output=ModelOutput("output", tail, network.model_output.shape))
        made[f"{mode}_{tail}"] = planned(network, mode)[1]
    return made


PROGRAMS = pytest.mark.parametrize("which", [f"{mode}_{tail}" for mode, tail in VARIANTS])


def write(files: dict[str, str], folder: Path) -> Path:
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_generated_c_of_the_tiny_network_is_the_golden_one(request: pytest.FixtureRequest) -> None:
    files = csources.render(planned(tiny_network(), "frame")[1], "tiny", COMMAND)
    own = {file: text for file, text in files.items() if not file.startswith("mbv2_")}
    if request.config.getoption("--update-golden"):
        shutil.rmtree(GOLDEN)
        GOLDEN.mkdir()
        write(own, GOLDEN)
    golden = {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.iterdir()}
    assert sorted(own) == sorted(golden)
    for file, text in own.items():
        assert text == golden[file], f"{file} differs; if that is meant: pytest --update-golden"


@PROGRAMS
def test_the_same_program_gives_the_same_text(which: str) -> None:
    program = programs()[which]
    assert csources.render(program, "net", COMMAND) == csources.render(program, "net", COMMAND)


@PROGRAMS
def test_only_the_kernels_that_calls_name_are_there(which: str) -> None:
    program = programs()[which]
    files = csources.render(program, "net", COMMAND)
    kernels = {match.group(2) for match in map(KERNEL.match, files) if match}
    called = set(re.findall(r"case \d+: (mbv2_\w+)\(", files["net.c"]))
    assert kernels == called
    assert len(called) < len(PLAIN)


def test_the_programs_of_these_tests_use_every_plain_kernel_but_the_rare_ones() -> None:
    used = {body for program in programs().values() for body in program.bodies}
    four_bits = {c.body for c in PLAIN if c.body.endswith("_s4")}  # tests/test_four_bits.py
    assert {c.body for c in PLAIN} - used <= {"activation_s8", "depthwise_conv_s8", *four_bits}


@needs_host_compiler
@PROGRAMS
def test_objects_have_prefixed_symbols_and_no_data_that_changes(which: str, tmp_path: Path) -> None:
    files = csources.render(programs()[which], "net", COMMAND)
    write(files, tmp_path)
    sources = sorted(file for file in files if file.endswith(".c"))
    # no position independence: addresses in const tables would otherwise be relocated, and stand in .data.rel.ro
    run(toolchain.require_host_compiler(), *WARNINGS, "-O1", "-fno-pic", "-fno-pie", "-c", *sources, cwd=tmp_path)
    lines = [line.split() for line in run("nm", "-A", *sorted(tmp_path.glob("*.o")), cwd=tmp_path).splitlines()]
    symbols = {(line[-1], line[-2]) for line in lines}
    foreign = {s for s, kind in symbols if (kind.isupper() or kind == "U") and not s.startswith(("net_", "mbv2_"))}
    assert foreign - {"memcpy", "memset", "memmove", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"} == set()
    assert {kind for _, kind in symbols} <= set("TtRrU")  # code, constants, undefined: no D, B, C
    defined = {s for s, kind in symbols if kind in "TR"}
    assert {s for s, kind in symbols if kind == "U"} <= defined | {"memcpy", "memset", "memmove", "__stack_chk_fail"}


def code_of(text: str) -> str:
    """C without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


@PROGRAMS
def test_there_is_no_heap_no_stdio_no_libm_and_float_only_behind_the_network(which: str) -> None:
    files = csources.render(programs()[which], "net", COMMAND)
    for file, text in files.items():
        if not file.endswith((".c", ".h")):
            continue
        code = code_of(text)
        includes = set(re.findall(r"#include <([^>]*)>", code))
        assert includes <= {"stdint.h", "stddef.h", "string.h"}, file
        assert not re.search(r"\b(malloc|calloc|realloc|free|alloca|printf|puts|exit|abort|longjmp)\b", code), file
        if file not in ("net_softmax.c", "net_sigmoid.c"):
            code = re.sub(r"void net_(softmax|sigmoid)\(float \*to, [^;]*;", "", code)  # its declaration in the header
            assert not re.search(r"\b(float|double)\b|\b\d+\.\d*f\b", code), file


@PROGRAMS
def test_no_text_holds_a_path_or_a_line_beyond_ascii(which: str) -> None:
    for file, text in csources.render(programs()[which], "net", COMMAND).items():
        assert str(Path(__file__).parents[1]) not in text, file
        assert text.isascii(), file
        assert text.endswith("\n"), file


def test_hostile_names_of_models_and_layers_stay_in_their_comments() -> None:
    network = tiny_network()
    evil = "*/ #error escaped /* \\\n??/ \u2028é"
    rename = {operator.name: f"{evil}{i}" for i, operator in enumerate(network.operators)}
    operators = tuple(replace(operator, name=rename[operator.name]) for operator in network.operators)
    blocks = tuple(
        replace(b, name=evil + b.name, roles=tuple((role, rename[name]) for role, name in b.roles))
        for b in network.blocks
    )
    source = replace(network.source, file=f"{evil}.onnx")
    evil_network = replace(network, operators=operators, blocks=blocks, source=source)
    good = csources.render(planned(network, "frame")[1], "tiny", COMMAND)
    bad = csources.render(planned(evil_network, "frame")[1], "tiny", COMMAND + evil)
    for file, text in good.items():
        if file.endswith((".c", ".h")):
            assert code_of(bad[file]) == code_of(text), file
            assert bad[file].isascii()
    assert bad["Makefile"] == good["Makefile"]


INTEGERS = [np.array([-128, 127, 0, -1] * 7, np.int8), np.array([-(2**31), 2**31 - 1, 0, -1, 7] * 3, np.int32)]
FLOATS = [0.0, 1.0, -1.0, 0.1, 1e-45, 1.1754944e-38, 3.4028235e38, 16777216.0, 1e10, 1 / 3, -2.5e-7, 123456.0]


@needs_host_compiler
def test_tables_and_floats_read_back_as_they_were_int32_min_included(tmp_path: Path) -> None:
    arrays = "".join(
        f"static const {name}_t t{i}[] = {{\n{csources.table(values)}\n}};\n"
        for i, (name, values) in enumerate(zip(("int8", "int32"), INTEGERS, strict=True))
    )
    arrays += f"static const float f[] = {{{', '.join(map(csources.c_float, FLOATS))}}};\n"
    loops = "".join(
        f'for (unsigned i = 0; i < sizeof {a} / sizeof {a}[0]; i++) printf("{form}\\n", {cast}{a}[i]);'
        for a, form, cast in (("t0", "%d", ""), ("t1", "%d", ""), ("f", "%.9g", "(double)"))
    )
    source = f"#include <stdint.h>\n#include <stdio.h>\n{arrays}int main(void) {{ {loops} return 0; }}\n"
    (tmp_path / "t.c").write_text(source, encoding="utf-8")
    run(toolchain.require_host_compiler(), *WARNINGS, "t.c", "-o", "t", cwd=tmp_path)
    printed = run(tmp_path / "t", cwd=tmp_path).split()
    wanted = np.concatenate(INTEGERS).tolist()
    assert [int(text) for text in printed[: len(wanted)]] == wanted
    assert [np.float32(text) for text in printed[len(wanted) :]] == [np.float32(value) for value in FLOATS]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_c_float_is_a_float_literal_of_the_same_value(value: float) -> None:
    text = csources.c_float(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[-+]\d+)?f", text)
    assert "." in text or "e" in text  # an integer with f is no C
    assert np.float32(float(text[:-1])) == np.float32(value)


def test_tables_stand_in_right_aligned_rows() -> None:
    assert csources.table(np.array([1, -128], np.int8)) == "       1, -128,"
    assert csources.table(np.arange(13).astype(np.int8)).splitlines()[1] == "      12,"
    assert len(csources.table(np.arange(24).astype(np.int8)).splitlines()) == 2
