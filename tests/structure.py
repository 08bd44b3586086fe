"""The structure of a tree in numbers, for docs/decisions/0020-front-door.md: ``python -m tests.structure [FOLDER]``.

Read from the source, nothing is imported: a tree of another release can be measured, too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
METHODS = {"dsn", "restored", "coconet", "latentgrid", "best"}
# Where files of a method lie, in the tree of today and in that of 0.2
HOMES = {
    "restored": ("methods/restored", "codecs/base", "codecs/restored", "codecs/halves"),
    "dsn": ("methods/dsn", "codecs/layer", "codecs/dsn", "quantise"),
    "coconet": (
        "methods/coconet",
        "codecs/coconet",
        "codecs/coordinates",
        "train/coconet",
        "train/compressing",
        "train/animation",
        "train/onnx_network",
        "train/soap",
    ),
    "latentgrid": (
        "methods/latentgrid",
        "codecs/latentgrid",
        "codecs/grids",
        "codecs/context",
        "backends/tablecoder",
        "fit",
        "kernels/arithmetic",
        "kernels/compiling",
        "kernels/fitting",
        "kernels/refining",
        "kernels/reading",
        "kernels/__init__",
        "train/starts",
        "train/start_files",
    ),
}
# Layers of both trees, in order; a module may import from its own and those before
LAYERS = (
    ("errors", "extras", "validation", "checks", "files", "writing", "processes", "pool"),
    ("container", "planes", "metrics", "kernels", "quantise"),
    ("entropy", "carriers", "backends", "networks", "weights", "inference", "picture_networks"),
    ("options",),
    ("methods", "codecs", "rate"),
    ("fit",),
    ("encoding", "decoding", "api"),
    ("processing", "restore", "extraction", "comparison"),
    ("batch", "folders", "remote", "cluster", "pillow_plugin", "bench"),
    ("train",),
    ("cli",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}


class Tree:
    """The modules of a package, parsed."""

    def __init__(self, root: Path) -> None:
        self.root, self.package = root, root / "dsncodec"
        self.modules = {
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
            for path in sorted(self.package.rglob("*.py"))
        }
        self.parsed = {name: ast.parse(path.read_text("utf-8")) for name, path in self.modules.items()}

    def imports(self, name: str) -> set[str]:
        """Modules of the package that one imports, anywhere in it, or names in a string on its way to an import."""
        own = name.split(".")
        package = own if self.modules[name].name == "__init__.py" else own[:-1]
        found = set()
        for node in ast.walk(self.parsed[name]):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*base, *([node.module] if node.module else [])])
                names = {f"{source}.{alias.name}" for alias in node.names}
                found |= {full if full in self.modules else source for full in names}
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("import_module", "extras.load")
            ):
                found |= self._named(node, package)
        return (found & set(self.modules)) - {name, "dsncodec"}

    def _named(self, call: ast.Call, package: list[str]) -> set[str]:
        """What a string in a call names; of f"dsncodec.train.{name}", any module of that folder."""
        if not call.args:
            return set()
        text = "".join(
            part.value if isinstance(part, ast.Constant) else "*"
            for part in (call.args[0].values if isinstance(call.args[0], ast.JoinedStr) else [call.args[0]])
            if not isinstance(part, ast.Constant) or isinstance(part.value, str)
        )
        if text.startswith("."):
            text = ".".join(package) + text
        pattern = re.escape(text).replace(r"\*", r"\w+")
        known = text.startswith("dsncodec.")
        return {name for name in self.modules if known and re.fullmatch(pattern, name)}

    def rooms(self) -> dict[str, set[str]]:
        """Folders and modules beside ``__init__``, each with those that it imports from."""
        found: dict[str, set[str]] = {}
        for name in self.modules:
            if "." in name:
                own = name.split(".")[1]
                found.setdefault(own, set()).update(
                    {other.split(".")[1] for other in self.imports(name)} - {own}
                )
        return found

    def functions(self) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        """All of them, with their module."""
        for name, tree in self.parsed.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield name, node


def length(node: ast.AST) -> int:
    """Lines."""
    return (node.end_lineno or 0) - node.lineno + 1  # type: ignore[attr-defined]


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """All but ``**settings``."""
    args = function.args
    return len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs)


def of_encode(tree: Tree) -> str:
    """Parameters of the public ``encode``."""
    (found,) = (
        node
        for name, node in tree.functions()
        if name in ("dsncodec.api", "dsncodec.encoding") and node.name == "encode"
    )
    return str(parameters(found)) + (", and `**settings`" if found.args.kwarg else "")


def comparisons(tree: Tree) -> int:
    """With a method's name, outside the methods, the container, the benchmark and training; ``model=`` names networks."""
    inside = tuple(
        f"dsncodec.{name}" for name in ("methods", "codecs", "container", "options", "bench", "train")
    )
    count = 0
    for name, parsed in tree.parsed.items():
        if name.startswith(inside):
            continue
        for node in ast.walk(parsed):
            if isinstance(node, ast.Compare):
                sides = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
                named = any(isinstance(part, ast.Constant) and part.value in METHODS for part in sides)
                what = ast.unparse(node)
                count += (
                    named and "model" not in what and "task" not in what and "upsampl" not in what.lower()
                )
    return count


def any_in_signatures(tree: Tree, layers: tuple[str, ...]) -> int:
    """Arguments and results annotated with ``Any``, but ``**settings``, in modules whose names begin so."""
    count = 0
    for name, node in tree.functions():
        if name.startswith(layers) and ".kernels" not in name:
            args = node.args
            given = [*args.posonlyargs, *args.args, *args.kwonlyargs]
            notes = [one.annotation for one in given] + [node.returns]
            count += sum(bool(note and re.search(r"\bAny\b", ast.unparse(note))) for note in notes)
    return count


def touched(tree: Tree, method: str) -> str:
    """Files and folders of a method."""
    files = [
        path
        for path in tree.modules.values()
        if any(
            (where := path.relative_to(tree.package).with_suffix("").as_posix()) == home
            or where.startswith(f"{home}/")
            for home in HOMES[method]
        )
    ]
    tops = {"/".join(path.relative_to(tree.package).parts[:-1][:2]) for path in files}
    return f"{len(files)} in {len(tops)}"


def circles(tree: Tree) -> list[str]:
    """Rooms that import from each other, in whichever way round."""
    arrows = tree.rooms()
    reach = {name: set(to) for name, to in arrows.items()}
    for _ in reach:
        for to in reach.values():
            to |= set().union(*(reach.get(other, set()) for other in to))
    groups = {
        frozenset(other for other in to if name in reach.get(other, set())) for name, to in reach.items()
    }
    return sorted(" <-> ".join(sorted(group)) for group in groups if len(group) > 1)


def upward(tree: Tree) -> list[str]:
    """Rooms that import from one of a later layer."""
    return sorted(
        f"{name} -> {other}"
        for name, to in tree.rooms().items()
        for other in to
        if name in LAYER and other in LAYER and LAYER[other] > LAYER[name]
    )


def bytes_of(folder: Path) -> int:
    """Of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def wheel(root: Path) -> int | None:
    """Bytes of the wheel that hatchling builds; None where it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        if subprocess.run(command, cwd=root, capture_output=True, check=False).returncode:
            return None
        (file,) = Path(folder).glob("*.whl")
        return file.stat().st_size


def measured(root: Path) -> dict[str, str]:
    """The rows of the table."""
    tree = Tree(root)
    modules = {name: len(path.read_text("utf-8").splitlines()) for name, path in tree.modules.items()}
    classes = {
        f"{name}.{node.name}": length(node)
        for name, parsed in tree.parsed.items()
        for node in ast.walk(parsed)
        if isinstance(node, ast.ClassDef)
    }
    functions = {f"{name}.{node.name}": length(node) for name, node in tree.functions()}
    most = max(
        (
            parameters(node) - (node.args.args[:1] != [] and node.args.args[0].arg == "self"),
            f"{name}.{node.name}",
        )
        for name, node in tree.functions()
    )
    public = ("dsncodec.api", "dsncodec.encoding", "dsncodec.decoding", "dsncodec.options")
    methods = ("dsncodec.methods", "dsncodec.codecs", "dsncodec.rate", "dsncodec.fit")
    found = {
        "parameters of `encode`": of_encode(tree),
        "most parameters of a function": f"{most[0]} (`{most[1].rsplit('.', 1)[1]}`)",
        "comparisons with method names outside the methods": str(comparisons(tree)),
        "`Any` in signatures: public face": str(any_in_signatures(tree, public)),
        "`Any` in signatures: methods, but for kernels": str(any_in_signatures(tree, methods)),
    }
    for method in HOMES:
        found[f"files of {method}, in folders"] = touched(tree, method)
    found |= {
        "import circles between folders": str(len(circles(tree))),
        "arrows that run upward": str(len(upward(tree))),
    }
    for what, sizes in (("module", modules), ("class", classes), ("function", functions)):
        name = max(sizes, key=sizes.__getitem__)
        found[f"longest {what}, lines"] = f"{sizes[name]} (`{name.removeprefix('dsncodec.')}`)"
    found["lines of README"] = str(len((root / "README.md").read_text("utf-8").splitlines()))
    found["bytes of bench/results"] = f"{bytes_of(root / 'bench' / 'results'):,}"
    size = wheel(root)
    found["bytes of the wheel"] = "-" if size is None else f"{size:,}"
    return found


def main(arguments: list[str]) -> int:
    """Print the table: of trees named, of this one without any."""
    roots = [Path(name).resolve() for name in arguments] or [ROOT]
    columns = [measured(root) for root in roots]
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(column[row] for column in columns) + " |")
    for root in roots:
        tree = Tree(root)
        print(f"\n{root}:", *(f"  circle: {circle}" for circle in circles(tree)), sep="\n")
        print(*(f"  upward: {arrow}" for arrow in upward(tree)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
