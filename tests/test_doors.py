"""What a fresh interpreter loads, who imports whom, and what is public."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
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
    code = "import sys, dsncodec; dsncodec.decode(sys.argv[1], preview=True)"
    assert not loaded_after(code, str(small_file)) & {"onnxruntime", "torch"}


# --- who imports whom


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    """Full names of all that a module imports, wherever in it; `from a import b` gives a and a.b."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
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
    assert importers("onnxruntime") == {"dsncodec.networks.inference"}


KERNELS = "dsncodec.methods.latentgrid.kernels"


def test_only_the_kernels_know_numba() -> None:
    assert all(name.startswith((f"{KERNELS}.", "dsncodec.kernels.")) for name in importers("numba"))
    fit = (
        "dsncodec.methods.latentgrid.fit",
        "dsncodec.methods.latentgrid.objective",
        "dsncodec.methods.latentgrid.weights",
    )
    for name in (f"{KERNELS}.objective", f"{KERNELS}.matmul", f"{KERNELS}.rdoq"):
        assert all(
            other.startswith((f"{KERNELS}.", "dsncodec.methods.latentgrid.")) for other in importers(name)
        )
    # all others reach the fit by its name only
    # the encoder names its types
    own = (
        *fit,
        "dsncodec.train.tasks.latentgrid_init",
        "dsncodec.methods.latentgrid.encoder",
        "dsncodec.methods.latentgrid.soap",
    )
    for name in fit:
        assert importers(name) <= set(own), name


def test_an_encoder_loads_numba_when_it_fits() -> None:
    for method in ("latentgrid", "restored"):
        assert "numba" not in loaded_after(f"import dsncodec.methods; dsncodec.methods.parser('{method}')")


def test_only_fits_and_training_know_torch() -> None:
    fits = {
        *(
            f"dsncodec.methods.coconet.{name}"
            for name in ("compress", "fit", "guard", "onnx_export", "preview", "soap")
        ),
        *(
            f"dsncodec.processing.{name}"
            for name in (
                "blind_spot",
                "coordinate_network",
                "local_network",
                "style_optimisation",
                "zero_shot_sr",
            )
        ),
        "dsncodec.bench.perceptual",
    }
    for package in ("torch", "onnx"):
        assert {name for name in importers(package) if not name.startswith("dsncodec.train.")} <= fits


def test_what_a_batch_needs_of_others_has_one_importer() -> None:
    assert importers("fsspec") == {"dsncodec.batch.remote"}
    assert importers("distributed") == {"dsncodec.batch.dask"}


def test_codec_libraries_stay_in_the_backends_and_the_peers() -> None:
    # train.coded: pictures as no backend codes them yet, to train on
    homes = ("dsncodec.carriers.", "dsncodec.bench.peers.", "dsncodec.train.data.coded_pairs")
    for package in ("imagecodecs", "py7zr"):
        assert all(name.startswith(homes) for name in importers(package))


def test_nothing_knows_the_bench_or_the_tests() -> None:
    assert not importers("bench") | importers("tests")
    assert all(name.startswith("dsncodec.bench") for name in importers("dsncodec.bench"))


def test_the_suite_needs_no_study() -> None:
    """Only tests of studies know them; what the suite shares, fuzzing too, is its own."""
    of_studies = {"test_enhance", "test_style"}
    for path in Path(__file__).parent.rglob("*.py"):
        known = [name for name in imports_of(path) if name.split(".")[0] == "bench"]
        assert not known or path.stem.startswith("test_bench") or path.stem in of_studies, (path.name, known)


def test_the_library_knows_no_command() -> None:
    assert {name.split(".")[1] for name in importers("dsncodec.cli")} <= {"cli", "__main__"}


# Layers in the order of docs/architecture.md: a module may import from its own layer and those before. The longest name counts;
# train stands beside them.
ABOVE = {
    "dsncodec.errors": 0,
    "dsncodec.budget": 0,
    "dsncodec.extras": 0,
    "dsncodec.validation": 0,
    "dsncodec.files": 0,
    "dsncodec.processes": 0,
    "dsncodec.container": 1,
    "dsncodec.colour_profiles": 1,
    "dsncodec.metadata": 1,
    "dsncodec.planes": 1,
    "dsncodec.reading": 2,
    "dsncodec.kernels": 1,
    "dsncodec.metrics": 1,
    "dsncodec.entropy": 2,
    "dsncodec.carriers": 2,
    "dsncodec.networks": 2,
    "dsncodec.options": 3,
    "dsncodec.methods": 4,
    "dsncodec.about": 5,
    "dsncodec.encoding": 5,
    "dsncodec.decoding": 5,
    "dsncodec.processing": 6,
    "dsncodec.comparison": 6,
    "dsncodec.extraction": 6,
    "dsncodec.batch": 7,
    "dsncodec.pillow_plugin": 7,
    "dsncodec.bench": 7,
    "dsncodec.cli": 8,
}


def layer_of(name: str) -> int | None:
    return ABOVE.get(".".join(name.split(".")[:2]))


def test_every_module_has_a_layer() -> None:
    beside = {"dsncodec.train", "dsncodec.__main__"}
    for path in MODULES:
        name = ".".join(module_name(path).split(".")[:2])
        assert name == "dsncodec" or name in ABOVE or name in beside, name


def test_methods_do_not_know_each_other() -> None:
    """But "best", which is made of two."""
    folders = {
        path.name for path in (PACKAGE / "methods").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    for path in MODULES:
        own = module_name(path).split(".")
        if own[1:2] == ["methods"] and own[2:3] and own[2] in folders:
            for name in imports_of(path):
                parts = name.split(".")
                known = parts[:2] == ["dsncodec", "methods"] and len(parts) > 2 and parts[2] in folders
                assert not known or parts[2] == own[2], f"{module_name(path)} imports {name}"


def test_no_method_is_named_outside_the_methods() -> None:
    """Nothing compares a method's name but the methods' own tables."""
    methods = {"dsn", "restored", "coconet", "latentgrid", "best"}
    allowed = (
        "dsncodec.methods",
        "dsncodec.container",
        "dsncodec.options",
        "dsncodec.bench",
        "dsncodec.train",
    )
    for path in MODULES:
        if module_name(path).startswith(allowed):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare):
                for part in (node.left, *node.comparators):
                    constants = part.elts if isinstance(part, ast.Tuple | ast.List | ast.Set) else [part]
                    named = {c.value for c in constants if isinstance(c, ast.Constant)} & methods
                    who = ast.unparse(node)
                    assert not named or "model" in who or "task" in who or "upsampl" in who.lower(), (
                        f"{path.name}: {who}"
                    )


def test_imports_by_name_are_listed() -> None:
    """Strings that name modules of ours: each is a module that there is, and stands in one of the tables."""
    tables = {"__init__", "extras", "common"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"dsncodec(\.[a-z_0-9]+)+", node.value)
            ):
                assert importlib.util.find_spec(node.value) is not None, f"{path}: {node.value}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
                assert path.stem in tables, f"{path} imports by name"


def test_methods_of_numpy_alone_decode_without_the_runtime() -> None:
    """A fresh interpreter shows files of latentgrid and coconet, whole, with neither ONNX Runtime nor torch."""
    golden = Path(__file__).parent / "golden"
    for name in ("0.2.0-rgb-latentgrid-2e-3.dsn", "0.2.0-rgb-coconet-paper.dsn"):
        loaded = loaded_after(f"import dsncodec; dsncodec.decode({str(golden / name)!r}).load()")
        assert not loaded & {"onnxruntime", "torch", "onnx"}, name


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
