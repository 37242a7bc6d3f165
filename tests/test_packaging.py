# SPDX-License-Identifier: Apache-2.0
"""The wheel holds what the compiler needs at run time, and the metadata says what it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("mbv2gen", "templates", "firmware", "examples")
FILES = ("pyproject.toml", "README.md", "LICENSE")
UNWANTED = ("__pycache__", ".*")


def source_files(folder: str, *suffixes: str) -> set[str]:
    """Files below a top-level folder, relative to it, none hidden; with one of the suffixes where any is given."""
    paths = (p.relative_to(ROOT / folder) for p in (ROOT / folder).rglob("*") if p.is_file())
    visible = {p for p in paths if not any(part == "__pycache__" or part.startswith(".") for part in p.parts)}
    return {p.as_posix() for p in visible if not suffixes or p.suffix in suffixes or p.name in suffixes}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy of the source: nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("packaging")
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns(*UNWANTED))
    for name in FILES:
        shutil.copy(ROOT / name, folder / "source" / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(folder / "source")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_wheel_holds_every_module_of_the_package(names: set[str]) -> None:
    expected = {f"mbv2gen/{name}" for name in source_files("mbv2gen", ".py")}
    assert "mbv2gen/errors.py" in expected
    assert expected <= names


def test_wheel_says_that_it_is_typed(names: set[str]) -> None:
    assert "mbv2gen/py.typed" in names


@pytest.mark.parametrize("folder", ["templates", "firmware"])
def test_wheel_holds_every_template_and_firmware_file_beside_the_package(names: set[str], folder: str) -> None:
    prefix = f"mbv2gen/{folder}/"
    found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    assert found
    assert found == source_files(folder)


def test_wheel_holds_the_example_with_its_attribution_but_not_its_training(names: set[str]) -> None:
    prefix = "mbv2gen/examples/"
    found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    assert found == source_files("examples", ".onnx", ".toml", ".npz", "README.md")
    assert {"digits/digits.onnx", "digits/digits.toml", "digits/digits_test.npz", "digits/README.md"} <= found


def test_wheel_holds_no_tests_and_nothing_beside_the_package(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mbv2gen"}


def test_installed_wheel_finds_its_own_templates_firmware_and_examples(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "from mbv2gen import resources as r; print(r.templates_dir(), r.firmware_dir(), r.examples_dir(), sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    package = tmp_path.resolve() / "mbv2gen"
    assert [Path(line) for line in result.stdout.splitlines()] == [
        package / n for n in ("templates", "firmware", "examples")
    ]


def test_wheel_metadata_states_version_licence_and_command(wheel: Path, names: set[str]) -> None:
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    with zipfile.ZipFile(wheel) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        licence = archive.read(f"{info}/licenses/LICENSE").decode()
    assert f'__version__ = "{metadata["Version"]}"' in (ROOT / "mbv2gen" / "__init__.py").read_text()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in licence
    assert "mbv2gen = mbv2gen.__main__:main" in entry_points


def test_installed_wheel_does_not_need_the_extras(wheel: Path, names: set[str]) -> None:
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    with zipfile.ZipFile(wheel) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
    plain = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert plain
    assert not [line for line in plain if line.startswith(("torch", "pytest", "scikit-learn", "onnxruntime", "tflite"))]


def test_the_wheel_installed_in_an_empty_environment_compiles_the_example(wheel: Path, tmp_path: Path) -> None:
    """By pip, outside the checkout; what mbv2gen depends on is lent by this environment, mbv2gen itself is not."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    def run(*words: str | Path) -> str:
        ended = subprocess.run(words, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install")
    run(*pip, "--no-deps", "--no-index", "--disable-pip-version-check", "--quiet", wheel)
    site = Path(run(programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")  # a path alone: no editable installation
    used = run(programs / "python", "-c", "import mbv2gen; print(mbv2gen.__file__)").strip()
    assert Path(used).resolve() == (site / "mbv2gen" / "__init__.py").resolve()
    digits = site / "mbv2gen" / "examples" / "digits"
    words = ("--calibration", digits / "digits_calibration.npz", "--effort", "0", "--package", "cmake", "-o", "out")
    run(programs / "mbv2gen", "compile", digits / "digits.onnx", *words)
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert {"digits.c", "digits.h", "report.html", "packages/cmake/CMakeLists.txt"} <= made
