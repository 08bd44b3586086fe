"""What a fresh interpreter loads, who imports whom, and what is public."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsncodec

from .conftest import METHODS, picture

PACKAGE = Path(dsncodec.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"onnxruntime", "torch", "numba", "imagecodecs", "py7zr", "onnx", "glymur"}


def fresh(code: str, *arguments: str) -> str:
    """What a new interpreter prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after(code: str, *arguments: str) -> set[str]:
    shown = fresh(f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})", *arguments)
    return set(shown.split())


@pytest.fixture(scope="module", params=METHODS)
def small_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("doors") / "small.dsn"
    path.write_bytes(dsncodec.encode(picture("RGBA", 9, 7), request.param, effort=0, threads=1))
    return path


# --- light doors


def test_import_is_light() -> None:
    loaded = loaded_after("import dsncodec")
    assert not loaded & (HEAVY | {"numpy", "PIL"})


def test_read_info_is_light(small_file: Path) -> None:
    code = "import sys, dsncodec; assert dsncodec.read_info(sys.argv[1]).size == (9, 7)"
    assert not loaded_after(code, str(small_file)) & HEAVY


def test_errors_and_container_load_the_standard_library_only() -> None:
    allowed = set(sys.stdlib_module_names) | {"dsncodec", "__main__"}
    for module in ("errors", "container"):
        before = loaded_after("pass")  # what this installation loads at every start
        assert loaded_after(f"import dsncodec.{module}") - before <= allowed


def test_a_thumbnail_needs_no_inference_runtime(small_file: Path) -> None:
    code = "import sys, dsncodec; dsncodec.decode(sys.argv[1], reduce=True)"
    assert not loaded_after(code, str(small_file)) & {"onnxruntime", "torch"}


# --- who imports whom


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    """Full names of all that a module imports, wherever in it; `from a import b` gives a and a.b."""
    name = module_name(path)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def importers(name: str) -> set[str]:
    return {
        module_name(p) for p in MODULES if any(i == name or i.startswith(f"{name}.") for i in imports_of(p))
    }


def test_one_module_knows_the_inference_runtime() -> None:
    assert importers("onnxruntime") == {"dsncodec.inference"}


def test_only_the_kernels_know_numba() -> None:
    assert all(name.startswith("dsncodec.kernels.") for name in importers("numba"))
    for name in ("dsncodec.kernels.fitting", "dsncodec.kernels.arithmetic"):
        assert all(other.startswith(("dsncodec.fit.", "dsncodec.kernels.")) for other in importers(name))
    own = ("dsncodec.fit.", "dsncodec.train.starts")  # all others reach it by its name only
    assert all(name.startswith(own) for name in importers("dsncodec.fit"))


def test_an_encoder_loads_numba_when_it_fits() -> None:
    for method in ("latentgrid", "restored"):
        assert "numba" not in loaded_after(f"import dsncodec.codecs; dsncodec.codecs.load('{method}')")


def test_only_train_knows_torch() -> None:
    for package in ("torch", "onnx"):
        assert all(name.startswith("dsncodec.train.") for name in importers(package))


def test_what_a_batch_needs_of_others_has_one_importer() -> None:
    assert importers("fsspec") == {"dsncodec.remote"}
    assert importers("distributed") == {"dsncodec.cluster"}


def test_codec_libraries_stay_in_the_backends_and_the_peers() -> None:
    # train.coded: pictures as no backend codes them yet, to train on
    homes = ("dsncodec.backends.", "dsncodec.bench.peers.", "dsncodec.train.coded")
    for package in ("imagecodecs", "py7zr"):
        assert all(name.startswith(homes) for name in importers(package))


def test_nothing_knows_the_bench_or_the_tests() -> None:
    assert not importers("bench") | importers("tests")
    assert all(name.startswith("dsncodec.bench") for name in importers("dsncodec.bench"))


def test_the_library_knows_no_command() -> None:
    assert {name.split(".")[1] for name in importers("dsncodec.cli")} <= {"cli", "__main__"}


ABOVE = {  # layers in the order of STYLE.md; a module may import from its own line and those before
    "dsncodec.errors": 0, "dsncodec.writing": 0, "dsncodec.pool": 0, "dsncodec.folders": 1, "dsncodec.container": 1, "dsncodec.planes": 1, "dsncodec.quantise": 1,
    "dsncodec.metrics": 1, "dsncodec.kernels": 1, "dsncodec.backends": 2, "dsncodec.weights": 2, "dsncodec.inference": 3,
    "dsncodec.codecs": 4, "dsncodec.rate": 3, "dsncodec.api": 6, "dsncodec.restore": 6,
    "dsncodec.extraction": 7, "dsncodec.jp2": 1, "dsncodec.batch": 7, "dsncodec.cli": 7, "dsncodec.pillow_plugin": 7,
}  # fmt: skip


def layer_of(name: str) -> int | None:
    parts = name.split(".")
    return ABOVE.get(".".join(parts[:2]))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_arrows_never_turn_round(path: Path) -> None:
    own = layer_of(module_name(path))
    if own is None:
        return  # the package itself, which is lazy, and train, which stands beside
    for name in imports_of(path):
        other = layer_of(name)
        assert other is None or other <= own, f"{module_name(path)} imports {name}"


def test_container_imports_the_standard_library_and_errors() -> None:
    for name in imports_of(PACKAGE / "container.py"):
        assert name.split(".")[0] in sys.stdlib_module_names or name.startswith("dsncodec.errors")


# --- what is public


def test_all_is_what_is_public() -> None:
    assert list(dsncodec.__all__) == sorted(dsncodec.__all__)
    assert set(dsncodec.__all__) == set(dsncodec._MODULE_OF)
    for name in dsncodec.__all__:
        home = importlib.import_module(f"dsncodec.{dsncodec._MODULE_OF[name]}")
        assert getattr(dsncodec, name) is getattr(home, name)
        assert getattr(dsncodec, name).__doc__
    assert set(dsncodec.__all__) <= set(dir(dsncodec))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dsncodec.no_such_name


def test_type_checkers_see_the_same_names() -> None:
    block = next(
        node
        for node in ast.parse((PACKAGE / "__init__.py").read_text("utf-8")).body
        if isinstance(node, ast.If)
    )
    names = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names == set(dsncodec.__all__)
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    source = path.read_text("utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source))


def test_readme_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md here")
    blocks = re.findall(r"^```python\n(.*?)^```", readme.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    for name in set(re.findall(r"[\w.-]+\.(?:png|jpg|jpeg|webp)", "\n".join(blocks))):
        picture("RGB", 320, 240).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(readme), "exec"), names)
