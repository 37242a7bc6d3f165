# SPDX-License-Identifier: Apache-2.0
"""Amalgamation: one header and one source, whatever kernels a network has; no name of one file meets another's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from four_bits import with_four_bits
from mobilenets import mobilenet_v2, one_block
from planned import planned_tight
from processes import successful
from small_models import write_network, write_program
from test_channel_groups import in_groups
from test_packages import STRICT
from test_recomputing import names, recomputing
from toy_network import needs_host_compiler

from mbv2gen.output_folder import OutputFolder
from mbv2gen.packages import amalgamation, kinds, package
from mbv2gen.packages.contents import Contents, PackedNetwork


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[OutputFolder]:
    """Networks that bring sources of all families: plain ones, weights of 8 and 4 bits in one, few bodies, columns,
    windows, planes of channels in groups."""
    place = tmp_path_factory.mktemp("networks")
    network = mobilenet_v2(0.35, 32, 10, padding="same")
    pointwise = [operator.name for operator in network.operators if operator.kind == "pointwise"]
    mixed = with_four_bits(network, lambda operator: operator.name in pointwise[::2])
    return [
        write_network(network, place / "plain", target="cortex-m0", feed="rows"),
        write_network(mixed, place / "mixed"),
        write_network(mixed, place / "few", optimize="size"),
        write_program(planned_tight(mixed, names(mixed), feed="rows"), place / "columns"),
        write_program(recomputing(mixed, feed="rows"), place / "windows"),
        write_program(in_groups(one_block((6, 6), 1, "torch", residual=True), 2), place / "groups"),
    ]


def test_the_networks_of_these_tests_bring_sources_of_all_families(folders: list[OutputFolder]) -> None:
    names = {path.name for folder in folders for path in folder.path.glob("mbv2_*.[ch]")}
    wanted = {
        "mbv2_dsp_four_bits_twins.c",
        "mbv2_dsp_four_bits_few.h",
        "mbv2_columns_s8_dsp.c",
        "mbv2_windows_s8_dsp.c",
        "mbv2_planes_s8_dsp.c",
        "mbv2_plane_groups_s8_dsp.c",
        "mbv2_conv_1x1_partial_s8_dsp.c",
    }
    assert {*wanted, "mbv2_conv_1x1_s8.c", "mbv2_dsp_twins.c"} <= names


@needs_host_compiler
@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++", "arm-none-eabi-gcc"])
def test_it_is_one_header_and_one_source_for_every_compiler(
    folders: list[OutputFolder], tmp_path: Path, compiler: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    for folder in folders:
        where = tmp_path / folder.path.name
        package.write([folder], kinds.find("single-file"), where, None)
        assert not re.search(r'^#include "(?!\w+_config\.h)', (where / f"{folder.name}.h").read_text(), re.MULTILINE)
        own = re.findall(r'^#include "([^"]*)"', (where / f"{folder.name}.c").read_text(), re.MULTILINE)
        assert set(own) <= {f"{folder.name}.h", "mbv2_config.h"}
        language = ("-x", "c++", "-std=c++20", *STRICT[1:]) if compiler == "g++" else STRICT
        options = ("-mcpu=cortex-m7", "-mthumb") if compiler.startswith("arm") else ()
        successful(compiler, *language, *options, "-c", where / f"{folder.name}.c", "-o", tmp_path / "one.o")


@needs_host_compiler
@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++"])
def test_sources_keep_their_names_and_macros_to_themselves(tmp_path: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    inner = "int mbv2_a(int x);\nint mbv2_b(int x);\nstatic inline int unused(void) { return 7; }\n"
    kernel = (
        '#include "mbv2_a.h"\n#define STEP {}\nenum {{ NONE, MORE = 1000 * STEP }};\n'
        "typedef struct mbv2_own {{ int x{}; }} mbv2_own;\n"
        "static int times(int x) {{ const mbv2_own own = {{x}}; return own.x{} * STEP + MORE; }}\n"
    )
    files = {
        "mbv2_a.c": kernel.format(2, 0, 0) + "int mbv2_a(int x) { return times(x); }\n",
        "mbv2_a.h": inner,
        "mbv2_b.c": kernel.format(3, 1, 1) + "int mbv2_b(int x) { return times(x); }\n",
        "net.c": '#include "net.h"\n#include "mbv2_a.h"\nint net(void) { return mbv2_a(10) + mbv2_b(100); }\n',
        "net.h": "#ifndef NET_H\n#define NET_H\nint net(void);\n#endif\n",
    }
    packed = Contents(
        "net", (PackedNetwork("net", "host", False, False),), tuple((f, t.encode()) for f, t in files.items())
    )
    made = dict(amalgamation.amalgamate(packed).files)
    assert set(made) == {"net.c", "net.h"}
    for file, data in made.items():
        (tmp_path / file).write_bytes(data)
    (tmp_path / "main.c").write_text('#include "net.h"\nint main(void) { return net() == 5320 ? 0 : 1; }\n')
    language = ("-x", "c++", "-std=c++17", *STRICT[1:]) if compiler == "g++" else STRICT
    successful(compiler, *language, "main.c", "net.c", "-o", "program", where=tmp_path)
    successful(tmp_path / "program")
