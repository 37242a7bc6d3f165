# SPDX-License-Identifier: Apache-2.0
"""Packages: laid out for build systems, built by the real ones; two networks in one image."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from board_images import flags, link
from command_line import assert_refused, command
from dsp_programs import HARNESS, run_on_board
from processes import successful
from random_networks import random_images, random_network
from small_models import save_small_model, write_network
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import int8_reference
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, toolchain
from mbv2gen.output_folder import OutputFolder, open_folder
from mbv2gen.packages import kinds, package

OWN = Path(__file__).parent / "package_harness"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
BOARD = "mps2-an500"
CASES = 3
ALL_KINDS = pytest.mark.parametrize("kind", kinds.NAMES)


def needs(tool: str, how: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} not found; install it ({how})")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[OutputFolder]:
    """Two networks with kernels in common and of their own, dsp bodies too: one takes a frame, one rows."""
    made = []
    for seed, (name, feed) in enumerate((("first", "frame"), ("second", "rows"))):
        rng = np.random.default_rng([5, seed])
        network = random_network(rng, size=(8, 8), channels=3, blocks=1, max_channels=6, classes=3, name=name)
        made.append(write_network(network, tmp_path_factory.mktemp("networks") / name, feed=feed))
    return made


def written(folders: list[OutputFolder], kind: str, path: Path) -> Path:
    package.write(folders, kinds.find(kind), path, "vision" if len(folders) > 1 else None)
    return path


def write_cases(folders: list[OutputFolder], path: Path) -> None:
    """What in_turn.c feeds, and what NumPy makes of it."""
    lines = ["#include <stdint.h>", f"enum {{ CASES = {CASES} }};"]
    for folder in folders:
        network = folder.network()
        inputs = random_images(np.random.default_rng(1), network.shape(network.inputs[0]), CASES)
        for what, values in (("inputs", inputs), ("outputs", int8_reference.run_outputs(network, inputs))):
            rows = [",".join(map(str, row)) for row in values.reshape(CASES, -1).tolist()]
            size = values.size // CASES
            lines.append(f"static const int8_t {folder.name}_{what}[CASES][{size}] = {{{{{'},{'.join(rows)}}}}};")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def bodies(folder: OutputFolder) -> set[str]:
    return set(re.findall(r"begin_body (mbv2_\w+)", (folder.path / f"{folder.name}_dsp_bodies.S").read_text()))


def test_the_networks_of_these_tests_share_some_kernels_and_bodies_and_not_others(folders: list[OutputFolder]) -> None:
    first, second = (bodies(folder) for folder in folders)
    assert first & second
    assert first - second
    assert second - first
    names = [{path.name for path in folder.path.glob("mbv2_*.c")} for folder in folders]
    assert names[0] & names[1]
    assert names[1] - names[0]


@needs_host_compiler
def test_two_networks_run_by_turns_in_one_arena_on_the_host(folders: list[OutputFolder], tmp_path: Path) -> None:
    where = written(folders, "make", tmp_path / "vision")
    write_cases(folders, tmp_path / "cases.h")
    compiler = toolchain.require_host_compiler()
    successful("make", "-C", where, f"CC={compiler}", "CFLAGS=-O1 -Wno-psabi")
    includes = (f"-I{where / 'src'}", f"-I{HARNESS}", f"-I{tmp_path}")
    sources = (OWN / "in_turn.c", where / "libvision.a")
    successful(compiler, *STRICT, *includes, *sources, "-o", tmp_path / "program")
    assert successful(tmp_path / "program") == "both are right\n"


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("libraries", [1, 2], ids=["one package", "two libraries"])
def test_two_networks_run_by_turns_in_one_arena_on_the_board(
    folders: list[OutputFolder], tmp_path: Path, libraries: int
) -> None:
    """In one package, and as the libraries that each folder's own Makefile builds, kernels and bodies in both."""
    board = boards.load(BOARD)
    arm = str(toolchain.require_arm_compiler())
    places = [written(folders, "make", tmp_path / "vision")]
    if libraries == 2:
        places = [Path(shutil.copytree(folder.path, tmp_path / folder.name)) for folder in folders]
    tools = (f"CC={arm}", f"AR={arm.removesuffix('gcc')}ar", f"CFLAGS={' '.join(flags(board))} -Os")
    for place in places:
        successful("make", "-C", place, *tools)
    write_cases(folders, tmp_path / "cases.h")
    includes = [f"-I{place / 'src' if libraries == 1 else place}" for place in places]
    archives = [next(place.glob("lib*.a")) for place in places]
    elf = link(board, tmp_path, [*includes, f"-I{HARNESS}", OWN / "in_turn.c", *archives])
    ended = run_on_board(board, elf)
    assert (ended.returncode, ended.stderr) == (0, "both are right\n")
    symbols = [line.split()[-1] for line in successful(f"{arm.removesuffix('gcc')}nm", elf).splitlines()]
    shared = [name for name in symbols if name.startswith("mbv2_") and name.endswith("_dsp")]
    assert len(shared) == len(set(shared)) > len(bodies(folders[0]) & bodies(folders[1]))


@needs_arm_compiler
@pytest.mark.parametrize("compiler", ["arm-none-eabi-gcc", "clang"])
def test_a_config_puts_weights_network_and_kernels_into_sections(
    folders: list[OutputFolder], tmp_path: Path, compiler: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    section = '__attribute__((section("{}")))'.format
    (tmp_path / "first_config.h").write_text(
        f"#define FIRST_WEIGHTS_ATTRIBUTE {section('.qspi')}\n#define FIRST_CODE_ATTRIBUTE {section('.network')}\n"
    )
    (tmp_path / "mbv2_config.h").write_text(
        f'#define MBV2_CODE_ATTRIBUTE {section(".itcm")}\n#define MBV2_ASSEMBLY_SECTION ".itcm"\n'
    )
    target = ("--target=arm-none-eabi", "-nostdlibinc") if compiler == "clang" else ()
    newlib = Path("/usr/include/newlib")
    options = (*target, "-mcpu=cortex-m7", "-mthumb", "-Os", f"-I{tmp_path}")
    sources = sorted(path for path in folders[0].path.iterdir() if path.suffix in (".c", ".S"))
    if compiler == "clang":
        if not newlib.is_dir():
            pytest.skip("clang needs newlib's headers in /usr/include/newlib")
        options += ("-isystem", str(newlib))
    for source in sources:
        strict = STRICT if source.suffix == ".c" else ()
        successful(compiler, *options, *strict, "-c", source, "-o", tmp_path / f"{source.name}.o")
    objects = sorted(tmp_path.glob("*.o"))
    starts = {".qspi": 0x90000000, ".network": 0x20000, ".itcm": 0x10000}
    addresses = [f"-Wl,--section-start={name}=0x{start:x}" for name, start in starts.items()]
    successful(
        "arm-none-eabi-gcc", "-mcpu=cortex-m7", "-mthumb", "-nostdlib", *objects, *addresses, "-Wl,-e,first_run",
        "-Wl,--unresolved-symbols=ignore-all", "-Wl,-Map=map", "-o", "image.elf", where=tmp_path,
    )  # fmt: skip
    table = [line.split() for line in successful("arm-none-eabi-objdump", "-t", tmp_path / "image.elf").splitlines()]
    placed = {words[-1]: next(word for word in words if word.startswith(".")) for words in table if len(words) > 4 and
              any(word.startswith(".") for word in words)}  # fmt: skip
    assert {placed[name] for name in placed if re.match(r"first_(weights|bias|stream|multiplier)", name)} == {".qspi"}
    assert {placed[name] for name in ("first_init", "first_step", "first_run", "first_pixels")} == {".network"}
    kernels = {name for name in placed if re.fullmatch(r"mbv2_\w+_s8(_dsp)?", name)} | bodies(folders[0])
    assert len(kernels) > 5
    assert {placed[name] for name in kernels} == {".itcm"}


@needs_host_compiler
def test_a_config_of_another_name_is_named_to_the_compiler(folders: list[OutputFolder], tmp_path: Path) -> None:
    (tmp_path / "ours.h").write_text('#define FIRST_WEIGHTS_ATTRIBUTE __attribute__((section("ours")))\n')
    options = ('-DFIRST_CONFIG_FILE="ours.h"', f"-I{tmp_path}")
    source = folders[0].path / "first_weights.c"
    successful(toolchain.require_host_compiler(), *STRICT, *options, "-S", source, "-o", tmp_path / "weights.s")
    assert re.search(r'\.section\s+"?ours', (tmp_path / "weights.s").read_text())


@ALL_KINDS
def test_a_package_holds_the_very_files_of_the_networks(folders: list[OutputFolder], kind: str, tmp_path: Path) -> None:
    chosen = folders[:1] if kind == "single-file" else folders
    where = written(chosen, kind, tmp_path / "made")
    wanted = {p.name: p.read_bytes() for f in chosen for p in f.path.iterdir() if p.suffix in (".c", ".h", ".S")}
    found = {p.name: p for p in where.rglob("*") if p.suffix in (".c", ".h", ".S") and p.name != "example.c"}
    if kind == "single-file":
        assert set(found) == {"first.c", "first.h", "first_dsp_bodies.S"}
    else:
        assert {name: path.read_bytes() for name, path in found.items()} == wanted
    assert {"README.md", "LICENSE"} < {path.name for path in where.iterdir()}
    again = written(chosen, kind, tmp_path / "again")
    files = [
        {p.relative_to(w): p.read_bytes() for w in [x] for p in w.rglob("*") if p.is_file()} for x in (where, again)
    ]
    assert files[0] == files[1]


@needs_host_compiler
@ALL_KINDS
def test_the_example_of_each_package_compiles_without_a_warning(
    folders: list[OutputFolder], kind: str, tmp_path: Path
) -> None:
    where = written(folders[:1] if kind == "single-file" else folders, kind, tmp_path / "made")
    includes = [f"-I{where}", f"-I{where / 'src'}", f"-I{where / 'Inc'}"]
    sketches = list(where.rglob("*.ino"))
    if not sketches:
        compiler = toolchain.require_host_compiler()
        successful(compiler, *STRICT, *includes, "-c", where / "example.c", "-o", tmp_path / "example.o")
        return
    (tmp_path / "Arduino.h").write_text(
        "struct Port { void begin(long) {} void println(int) {} };\nstatic Port Serial;\n"
    )
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    strict = ("-std=c++17", *STRICT[1:])  # as Arduino does it: C++, Arduino.h in front
    options = ("-x", "c++", "-include", tmp_path / "Arduino.h")
    successful("g++", *strict, *includes, *options, "-c", sketches[0], "-o", tmp_path / "sketch.o")


@needs("cmake", "Debian: apt-get install cmake")
def test_cmake_builds_a_program_with_the_package(folders: list[OutputFolder], tmp_path: Path) -> None:
    written(folders, "cmake", tmp_path / "vision")
    write_cases(folders, tmp_path / "cases.h")
    shutil.copy(OWN / "in_turn.c", tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(firmware C)\nadd_executable(firmware in_turn.c)\n"
        f'target_include_directories(firmware PRIVATE . "{HARNESS}")\n'
        "add_subdirectory(vision)\ntarget_link_libraries(firmware PRIVATE vision)\n"
    )
    assert cmake_program(tmp_path, "firmware") == "both are right\n"


def cmake_program(folder: Path, name: str) -> str:
    """Configures and builds with -Wall -Wextra -Werror; what the program says."""
    options = ("-DCMAKE_C_FLAGS=-Wall -Wextra -Werror", "-DCMAKE_BUILD_TYPE=MinSizeRel")
    successful("cmake", "-S", folder, "-B", folder / "build", *options)
    successful("cmake", "--build", folder / "build")
    return successful(folder / "build" / name)


@needs("cmake", "Debian: apt-get install cmake")
@pytest.mark.parametrize("selected", [True, False])
def test_the_zephyr_module_builds_where_it_is_selected(
    folders: list[OutputFolder], tmp_path: Path, selected: bool
) -> None:
    """By CMake, with stand-ins for the three functions of Zephyr that it calls."""
    written(folders, "zephyr", tmp_path / "vision")
    write_cases(folders, tmp_path / "cases.h")
    shutil.copy(OWN / "in_turn.c", tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(app C ASM)\n"
        "function(zephyr_include_directories)\nforeach(d ${ARGN})\nget_filename_component(a ${d} ABSOLUTE)\n"
        "set_property(GLOBAL APPEND PROPERTY dirs ${a})\nendforeach()\nendfunction()\n"
        "macro(zephyr_library_named name)\nadd_library(${name} STATIC)\nset(current ${name})\n"
        "get_property(dirs GLOBAL PROPERTY dirs)\ntarget_include_directories(${name} PUBLIC ${dirs})\nendmacro()\n"
        "function(zephyr_library_sources)\ntarget_sources(${current} PRIVATE ${ARGN})\nendfunction()\n"
        f"set(CONFIG_VISION {'y' if selected else 'n'})\nadd_subdirectory(vision/zephyr)\n"
        f'if(TARGET vision)\nadd_executable(app in_turn.c)\ntarget_include_directories(app PRIVATE . "{HARNESS}")\n'
        "target_link_libraries(app PRIVATE vision)\nendif()\n"
    )
    if selected:
        assert cmake_program(tmp_path, "app") == "both are right\n"
    else:
        successful("cmake", "-S", tmp_path, "-B", tmp_path / "build")
        successful("cmake", "--build", tmp_path / "build")
    assert bool(list((tmp_path / "build").rglob("libvision*"))) == selected
    yaml = (tmp_path / "vision" / "zephyr" / "module.yml").read_text()
    assert yaml == "name: vision\nbuild:\n  cmake: zephyr\n  kconfig: zephyr/Kconfig\n"
    assert "config VISION\n\tbool " in (tmp_path / "vision" / "zephyr" / "Kconfig").read_text()


@needs_arm_compiler
def test_the_makefile_of_stm32cubemx_takes_the_package(folders: list[OutputFolder], tmp_path: Path) -> None:
    """The part of it that matters: its lists of sources, and how it makes objects of them."""
    written(folders, "stm32cube", tmp_path / "Middlewares" / "vision")
    (tmp_path / "Makefile").write_text(
        "C_SOURCES = main.c\nASMM_SOURCES =\nC_INCLUDES =\ninclude Middlewares/vision/vision.mk\n"
        "CFLAGS = -mcpu=cortex-m7 -mthumb -Os -Wall -Wextra -Werror $(C_INCLUDES)\n"
        "OBJECTS = $(addprefix build/,$(notdir $(C_SOURCES:.c=.o)))\nvpath %.c $(sort $(dir $(C_SOURCES)))\n"
        "OBJECTS += $(addprefix build/,$(notdir $(ASMM_SOURCES:.S=.o)))\nvpath %.S $(sort $(dir $(ASMM_SOURCES)))\n"
        "all: $(OBJECTS)\nbuild/%.o: %.c | build\n\tarm-none-eabi-gcc -c $(CFLAGS) $< -o $@\n"
        "build/%.o: %.S | build\n\tarm-none-eabi-gcc -x assembler-with-cpp -c $(CFLAGS) $< -o $@\nbuild:\n\tmkdir $@\n"
    )
    (tmp_path / "main.c").write_text('#include "first.h"\n#include "second.h"\nint main(void) { return 0; }\n')
    successful("make", "-C", tmp_path)
    sources = (tmp_path / "Middlewares" / "vision" / "Src").iterdir()
    assert {path.stem for path in (tmp_path / "build").iterdir()} == {path.stem for path in sources} | {"main"}


@needs("cmake", "Debian: apt-get install cmake")
def test_the_cmake_project_of_stm32cubemx_takes_the_package(folders: list[OutputFolder], tmp_path: Path) -> None:
    written(folders, "stm32cube", tmp_path / "vision")
    write_cases(folders, tmp_path / "cases.h")
    shutil.copy(OWN / "in_turn.c", tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(app LANGUAGES C ASM)\nadd_executable(app in_turn.c)\n"
        f'target_include_directories(app PRIVATE . "{HARNESS}")\nadd_subdirectory(vision)\n'
        "target_link_libraries(app vision)\n"
    )
    assert cmake_program(tmp_path, "app") == "both are right\n"


def test_platformio_packs_the_library(folders: list[OutputFolder], tmp_path: Path) -> None:
    pytest.importorskip("platformio", reason="platformio not found; pip install platformio")
    where = written(folders, "platformio", tmp_path / "vision")
    manifest = json.loads((where / "library.json").read_text())
    assert manifest.pop("license") == "0BSD"  # platformio looks it up in a list that it would download
    (where / "library.json").write_text(json.dumps(manifest))
    words = (sys.executable, "-m", "platformio", "pkg", "pack", where, "-o", tmp_path / "vision.tar.gz")
    settings = (f"PLATFORMIO_CORE_DIR={tmp_path / 'core'}", "PLATFORMIO_SETTING_ENABLE_TELEMETRY=no")
    successful("env", *settings, *words)
    with tarfile.open(tmp_path / "vision.tar.gz") as archive:
        packed = {Path(member.name).name for member in archive if member.isfile()}
    assert {path.name for path in (where / "src").iterdir()} < packed


def test_the_arduino_manifest_has_every_field_that_the_specification_requires(
    folders: list[OutputFolder], tmp_path: Path
) -> None:
    where = written(folders, "arduino", tmp_path / "vision")
    lines = (where / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert required <= set(fields)
    assert fields["name"] == "vision"
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["version"])
    assert fields["includes"].split(",") == ["first.h", "second.h"]
    assert all((where / "src" / header).is_file() for header in fields["includes"].split(","))
    assert (where / "examples" / "vision" / "vision.ino").is_file()


def test_the_pack_description_names_every_file_once(folders: list[OutputFolder], tmp_path: Path) -> None:
    """Its form was held against PACK.xsd 1.7.36 when it was written; no registry has that."""
    where = written(folders, "cmsis-pack", tmp_path / "vision")
    (component,) = ElementTree.parse(where / "mbv2gen.vision.pdsc").getroot().iter("component")
    named = [(file.get("category"), str(file.get("name"))) for file in component.iter("file")]
    categories = {".c": "sourceC", ".S": "sourceAsm", ".h": "header"}
    wanted = {(categories[path.suffix], f"src/{path.name}") for path in (where / "src").iterdir()}
    assert sorted(named) == sorted(wanted | {("doc", "README.md"), ("include", "src/")})


@needs_host_compiler
def test_a_single_file_computes_what_the_many_do(folders: list[OutputFolder], tmp_path: Path) -> None:
    """The frame network alone: in_turn.c runs it by turns with the other, which comes in many."""
    where = written(folders[:1], "single-file", tmp_path / "one")
    write_cases(folders, tmp_path / "cases.h")
    compiler = toolchain.require_host_compiler()
    successful(compiler, *STRICT, "-c", where / "first.c", "-o", tmp_path / "first.o")
    successful("make", "-C", Path(shutil.copytree(folders[1].path, tmp_path / "two")), "CFLAGS=-O1")
    includes = [f"-I{path}" for path in (where, tmp_path / "two", tmp_path, HARNESS)]
    sources = [OWN / "in_turn.c", tmp_path / "first.o", tmp_path / "two" / "libsecond.a"]
    successful(compiler, *includes, *sources, "-Wl,--allow-multiple-definition", "-o", tmp_path / "program")
    assert successful(tmp_path / "program") == "both are right\n"


def test_networks_that_do_not_go_together_are_refused(folders: list[OutputFolder], tmp_path: Path) -> None:
    first, second = folders
    make = kinds.find("make")
    with pytest.raises(Mbv2genError, match=r"is named 'first' as another is; compile it with another --name"):
        package.write([first, first], make, tmp_path / "out")
    with pytest.raises(Mbv2genError, match=r"single-file: takes one network"):
        package.write(folders, kinds.find("single-file"), tmp_path / "out")
    other = open_folder(Path(shutil.copytree(second.path, tmp_path / "second")))
    (other.path / "mbv2_pipeline.c").write_text("/* older */\n")
    with pytest.raises(CheckFailed, match=r"mbv2_pipeline\.c: was changed"):
        package.write([first, other], make, tmp_path / "out")
    marker = json.loads((other.path / ".mbv2gen.json").read_text())
    marker["files"]["mbv2_pipeline.c"] = hashlib.sha256(b"/* older */\n").hexdigest()  # as if another version wrote it
    (other.path / ".mbv2gen.json").write_text(json.dumps(marker))
    with pytest.raises(Mbv2genError, match=r"its mbv2_pipeline\.c is not that of .*first: compile both with one"):
        package.write([first, other], make, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_packing_again_keeps_what_the_user_put_beside_the_sources(folders: list[OutputFolder], tmp_path: Path) -> None:
    where = written(folders, "cmake", tmp_path / "vision")
    own = where / "src" / "first_config.h", where / "config" / "mbv2_config.h"
    for file in own:
        file.parent.mkdir(exist_ok=True)
        file.write_text("/* mine */\n")
    package.write(folders[:1], kinds.find("cmake"), where)
    assert [file.read_text() for file in own] == ["/* mine */\n"] * 2
    assert not (where / "src" / "second.c").exists()
    (where / "src" / "first.c").write_text("changed")
    with pytest.raises(Mbv2genError, match=r"src/first\.c: was changed since it was generated"):
        package.write(folders[:1], kinds.find("cmake"), where)


def test_the_commands_package_what_they_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ("compile", save_small_model(tmp_path), "-o", out, "--effort", "0")
    ended = command(capsys, *words, "--package", "cmake", "--package", "single-file", "--quiet")
    assert ended.code == 0, ended.err
    for kind in ("cmake", "single-file"):
        assert (out / "packages" / kind / "README.md").is_file()
        ended = command(capsys, "package", out, "--as", kind, "-o", tmp_path / kind, "--json")
        assert json.loads(ended.out)["kind"] == kind
        pairs = itertools.product([tmp_path / kind], json.loads(ended.out)["files"])
        assert all((to / file).read_bytes() == (out / "packages" / kind / file).read_bytes() for to, file in pairs)
    assert_refused(command(capsys, "package", tmp_path, "--as", "make", "-o", tmp_path / "x"), "not written by mbv2gen")
    assert_refused(command(capsys, "package", out, "--as", "bazel", "-o", tmp_path / "x"), "bazel", "stm32cube")
