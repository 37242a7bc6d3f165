# SPDX-License-Identifier: Apache-2.0
"""Documents that hold: every command in them runs, every example compiles, every link leads somewhere.

A command runs in the order of its document, in a folder that holds what the documents name: stand-ins of the same
inputs and outputs as the real files, so small that all documents together take seconds.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import documents
import numpy as np
import pytest
import rich_click as click
from c_libraries import STRICT, library
from command_line import command
from documents import ROOT, Command
from onnx_models import Builder, build, saved
from PIL import Image
from sklearn.datasets import load_digits
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import int8_reference, output_folder
from mbv2gen.commands import cli
from mbv2gen.pixels.network_inputs import from_pixels

Capture = pytest.CaptureFixture[str]

DIGITS, TUTORIAL = ROOT / "examples" / "digits", ROOT / "examples" / "tutorial"
PICTURES = 32  # of each set; fewer for calibration bring a warning

# Not run, only checked against the options that the command has: what it needs, and the words that need it.
NOT_RUN = (
    ("a probe and a board", ("flash",)),
    ("a board at a serial line", ("--on", "serial:")),
    ("a Dask cluster", ("--backend", "dask")),
    ("half a minute for its many plans; tests/test_fit.py runs it on fewer", ("fit",)),
)

# No later command wants what these make. Each is run once with the same options; where it stands again, for another
# folder, that must be there.
LEAVES = frozenset({"boards", "evaluate", "firmware", "inspect", "pareto", "profile", "targets", "verify"})

# What a document leaves to its reader, and what the test puts there.
LEFT_TO_THE_READER = {"OUT": "build/digits"}

# Documents with Python, and who runs it.
PYTHON = {"docs/python.md": "test_api.py", "docs/adding-a-kernel.md": "test_adding.py"}


def why_not_run(words: tuple[str, ...]) -> str | None:
    """What a command needs that no test has."""
    for need, first_words in NOT_RUN:
        for start in range(len(words) - len(first_words) + 1):
            if all(word.startswith(first) for word, first in zip(words[start:], first_words, strict=False)):
                return need
    return None


def with_commands() -> list[Path]:
    return [document for document in documents.documents() if documents.commands(document)]


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def classifier(channels: int, size: int) -> object:
    """A float network of one inverted residual and ten classes, float32 [1][channels][size][size]."""

    def layers(b: Builder, x: str) -> str:
        x = b.relu6(b.conv(x, channels, 8, 3, strides=[2, 2], pads=[1, 1, 1, 1]))
        y = b.relu6(b.conv(x, 8, 16))
        y = b.relu6(b.conv(y, 16, 16, 3, group=16, pads=[1, 1, 1, 1]))
        x = b.relu6(b.conv(b("Add", x, b.conv(y, 16, 8)), 8, 16))
        x = b("Flatten", b("GlobalAveragePool", x))
        return b("Gemm", x, b.random(10, 16), b.random(10), transB=1)

    return build(layers, (1, channels, size, size))


def loaded(path: Path) -> ModuleType:
    """A script of the examples, as a module."""
    specification = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write_stand_ins(folder: Path) -> None:
    """The files that documents name, but for build/digits."""
    digits = folder / "examples" / "digits"
    digits.mkdir(parents=True)
    saved(classifier(1, 32), digits, "digits.onnx")
    shutil.copy(DIGITS / "digits.toml", digits)
    shutil.copytree(DIGITS / "pictures", digits / "pictures")
    for part in ("calibration", "test"):
        with np.load(DIGITS / f"digits_{part}.npz", allow_pickle=False) as file:
            np.savez(digits / f"digits_{part}.npz", images=file["images"][:PICTURES], labels=file["labels"][:PICTURES])
    shutil.copy(digits / "digits.onnx", folder / "model.onnx")
    shutil.copy(digits / "digits.toml", folder / "model.toml")
    shutil.copytree(DIGITS / "pictures", folder / "pictures")
    three = next((DIGITS / "pictures" / "3").iterdir())
    shutil.copy(three, folder / "digit.png")
    with Image.open(three) as picture:
        picture.save(folder / "what_was_there.jpg")
        (folder / "dump.bin").write_bytes(picture.tobytes())  # uint8: the zero point was missed
    tutorial = folder / "build" / "tutorial"
    data = load_digits()
    scripts = loaded(TUTORIAL / "pictures.py")
    scripts.write(tutorial / "pictures", data.images[::20], data.target[::20], test_count=PICTURES)
    saved(classifier(3, 48), tutorial, "colours.onnx")


def run_compile(folder: Path, *words: str) -> None:
    """mbv2gen compile, in a process of its own: fixtures that outlive a test cannot capture what it says."""
    result = subprocess.run(
        [sys.executable, "-m", "mbv2gen", "compile", *words, "--quiet"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a document may take for granted, build/digits included, compiled once."""
    folder = tmp_path_factory.mktemp("documents")
    write_stand_ins(folder)
    words = ("--calibration", "examples/digits/digits_calibration.npz", "--emit", "qdq", "-o", "build/digits")
    run_compile(folder, "examples/digits/digits.onnx", *words)
    shutil.copy(folder / "build" / "digits" / "digits_qdq.onnx", folder / "model_qdq.onnx")
    return folder


@pytest.fixture
def workplace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for one document, the current folder of the test."""
    shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(scope="session")
def seen() -> set[tuple[str, ...]]:
    """Commands of LEAVES that have been run, without their paths."""
    return set()


def options_of(words: tuple[str, ...]) -> click.Command:
    """The command that words name; a test fails where there is none."""
    assert words[1] in cli.cli.commands, f"there is no command {words[1]}"
    return cli.cli.commands[words[1]]


def check_usage(words: tuple[str, ...]) -> None:
    """The words are those that the command takes; nothing is run."""
    try:
        options_of(words).make_context(words[1], list(words[2:]))
    except click.UsageError as error:
        pytest.fail(error.format_message())


@needs_host_compiler
@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("document", with_commands(), ids=name)
def test_every_command_of_a_document_runs(
    document: Path, workplace: Path, seen: set[tuple[str, ...]], capsys: Capture
) -> None:
    assert workplace.is_dir()
    for written in documents.commands(document):
        words = tuple(LEFT_TO_THE_READER.get(word, word) for word in written.words)
        if why_not_run(words):
            check_usage(words)
            continue
        kind = tuple("PATH" if "/" in word else word for word in words)
        if kind in seen:
            check_usage(words)
            for folder in (word for word in words[2:3] if "/" in word):
                assert Path(folder).exists(), f"{name(document)}, {written}: nothing has made {folder}"
            continue
        ended = command(capsys, *words[1:])
        assert ended.code == written.exit_code, f"{name(document)}, {written}: {ended.err}"
        if words[1] in LEAVES:
            seen.add(kind)


@pytest.mark.parametrize("document", documents.documents(), ids=name)
def test_commands_in_running_text_exist_with_their_options(document: Path) -> None:
    for written in documents.inline_commands(document):
        known = {option for parameter in options_of(written.words).params for option in parameter.opts} | {"--help"}
        used = {word.split("=")[0] for word in written.words if word.startswith("-")}
        assert used <= known, f"{name(document)}, {written}: has no {', '.join(sorted(used - known))}"


def test_what_is_not_run_is_checked_all_the_same() -> None:
    with pytest.raises(pytest.fail.Exception, match="No such option"):
        check_usage(("mbv2gen", "flash", "build/digits", "--bord", "pico2"))
    with pytest.raises(AssertionError, match="there is no command"):
        check_usage(("mbv2gen", "burn", "build/digits"))


def test_commands_are_read_as_a_shell_reads_them(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "Text: mbv2gen boards\n\n    $ mbv2gen compile a.onnx \\\n          -o 'b c'   # exit code 2\n    said\n"
        "    mbv2gen: error: said\n\n```c\n    mbv2gen targets\n```\n\n    mbv2gen boards\n"
    )
    assert documents.commands(document) == [
        Command(3, ("mbv2gen", "compile", "a.onnx", "-o", "b c"), 2),
        Command(12, ("mbv2gen", "boards")),
    ]


def test_python_in_documents_is_run_by_a_test() -> None:
    assert {name(document) for document in documents.documents() if documents.fenced(document, "python")} == set(PYTHON)
    for document, test in PYTHON.items():
        assert Path(document).name in (ROOT / "tests" / test).read_text(encoding="utf-8")


@needs_host_compiler
def test_the_readmes_function_classifies_as_numpy_does(workplace: Path, tmp_path: Path) -> None:
    example = documents.fenced(ROOT / "README.md", "c")[0]
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "example.c").write_text(example.text)
    folder = output_folder.open_folder(workplace / "build" / "digits")
    built = library([folder.path, tmp_path / "example"], tmp_path)
    with np.load("examples/digits/digits_test.npz", allow_pickle=False) as file:
        images = file["images"]
    network = folder.network()
    output = int8_reference.run_outputs(network, from_pixels(network, images)).reshape(len(images), -1)
    assert [built.classify(image.ctypes.data_as(ctypes.c_void_p)) for image in images] == output.argmax(axis=1).tolist()


@pytest.fixture(scope="session")
def examples(prepared: Path) -> tuple[tuple[str, Path], ...]:
    """The C of README and tutorial, and the folders it is for."""
    rows, colours = prepared / "build" / "rows", prepared / "build" / "colours"
    run_compile(prepared, "examples/digits/digits.onnx", "--feed", "rows", "--effort", "0", "-o", str(rows))
    run_compile(prepared, "build/tutorial/colours.onnx", "--effort", "0", "-o", str(colours))
    frame, fed = (code.text for code in documents.fenced(ROOT / "README.md", "c"))
    (tutorial,) = (code.text for code in documents.fenced(ROOT / "docs" / "tutorial.md", "c"))
    return (frame, prepared / "build" / "digits"), (f'#include "digits.h"\n{fed}', rows), (tutorial, colours)


@needs_host_compiler
@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc"])
def test_c_in_readme_and_tutorial_compiles_without_a_warning(
    examples: tuple[tuple[str, Path], ...], tmp_path: Path, compiler: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    for code, folder in examples:
        (tmp_path / "example.c").write_text(code)
        options = ["-std=c11", *STRICT, "-fsyntax-only", "-I", str(folder), str(tmp_path / "example.c")]
        result = subprocess.run([compiler, *options], capture_output=True, text=True, check=False)
        assert result.stderr == ""


@pytest.mark.parametrize("document", documents.documents(), ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for line, target in documents.links(document):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{name(document)}, line {line}: there is no {path}"
        assert ROOT in file.parents, f"{name(document)}, line {line}: {path} is outside the repository"
        if anchor:
            assert anchor in documents.anchors(file), f"{name(document)}, line {line}: {path} has no heading #{anchor}"


def test_the_readme_lists_every_document() -> None:
    linked = {target.partition("#")[0] for _, target in documents.links(ROOT / "README.md")}
    assert {name(document) for document in ROOT.glob("docs/*.md")} <= linked
