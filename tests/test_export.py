"""A checkpoint -> ONNX files that compute the same, and a manifest row that names them."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest

from dsncodec.errors import SettingError
from dsncodec.methods.dsn.colours import chroma_latent, luma_latent
from dsncodec.networks import registry
from dsncodec.networks.inference import Network

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")

from dsncodec.train.export.onnx import export, load_nets
from dsncodec.train.nets.sampling import SamplingConfig, SamplingNets, UpGradient
from dsncodec.train.tasks.sampling import SamplingRecipe, SamplingTask
from dsncodec.train.trainer import OptimSettings, Trainer

SCALE = 2
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


def checkpoint_of(folder: Path, name: str = "tiny", seed: int = 1) -> Path:
    model = SamplingConfig(scale=SCALE, width=8, blocks=2, chroma_width=8)
    recipe = SamplingRecipe(name=name, model=model, optim=OptimSettings(seed=seed))
    trainer = Trainer(SamplingTask(recipe), folder, "cpu")
    trainer.save()
    return trainer.checkpoint


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[SamplingNets, Path]:
    folder = tmp_path_factory.mktemp("export")
    checkpoint = checkpoint_of(folder / "run")
    export(checkpoint, folder / "models")
    return load_nets(checkpoint)[0], folder / "models"


@pytest.mark.parametrize("part", registry.PARTS)
def test_onnx_computes_what_torch_does(part: str, exported: tuple[SamplingNets, Path]) -> None:
    nets, folder = exported
    net = Network(folder / f"tiny-{part}.onnx", 1)
    for rows, columns in ((3, 4), (6, 2), (1, 1)):  # in chroma symbols: the graph is free of any size
        step = 2 * SCALE
        shapes = {
            "down": [(1, rows * step, columns * step)],
            "up": [(1, 2 * rows, 2 * columns)],
            "up_gradient": [(1, 2 * rows, 2 * columns), (1, rows * step, columns * step)],
            "chroma_down": [(2, rows * step, columns * step)],
            "chroma_up": [(2, rows, columns), (1, rows * step, columns * step)],
        }[part]
        rng = np.random.default_rng(rows)
        planes = [rng.random(shape, np.float32) for shape in shapes]
        with torch.no_grad():
            torch_net = UpGradient(nets.up) if part == "up_gradient" else getattr(nets, part)
            expected = torch_net(*(torch.from_numpy(p)[None] for p in planes))[0].numpy()
        result = net(*planes)
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def test_the_manifest_row(exported: tuple[SamplingNets, Path]) -> None:
    _, folder = exported
    (row,) = tomllib.loads((folder / "manifest.toml").read_text("utf-8"))["model"]
    assert (row["name"], row["steps"], row["seed"]) == ("tiny", 0, 1)
    assert row["config"] == {"scale": SCALE, "width": 8, "blocks": 2, "chroma_width": 8}
    sha256 = {part: row["files"][part]["sha256"] for part in registry.PARTS}
    for part in registry.PARTS:
        data = (folder / row["files"][part]["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256[part]
    assert bytes.fromhex(row["wire_id"]) == registry.wire_id_of(sha256)
    shapes = {name: np.shape(values) for name, values in row["layer_map"].items()}
    assert shapes == {"luma": (17,), "neutral": (2,), "cb": (9,), "cr": (9,), "edges": (8, 6)}


def test_a_new_models_layer_map_undoes_its_colours(tmp_path: Path) -> None:
    """Untrained networks pool; with their biases moved, every colour is another, and the map brings it back."""
    checkpoint = checkpoint_of(tmp_path / "run")
    state = torch.load(checkpoint, weights_only=True)
    for part, change in (("down.shrink.bias", [-0.02]), ("chroma_down.tail.bias", [0.08, -0.03])):
        state["ema"][part] = torch.tensor(change)
    torch.save(state, checkpoint)
    export(checkpoint, tmp_path / "models")
    (row,) = tomllib.loads((tmp_path / "models" / "manifest.toml").read_text("utf-8"))["model"]
    colours = registry.LayerMap(**row["layer_map"])
    assert np.abs(luma_latent(np.array([0.4], np.float32), colours) - 0.38).max() < 0.005
    shown = np.full((2, 1, 1), 0.6, np.float32)
    assert np.abs(chroma_latent(np.tile(shown, (1, 5, 5)), colours)[:, 2, 2] - [0.68, 0.57]).max() < 0.005


def test_the_library_reads_the_manifest(
    exported: tuple[SamplingNets, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "folder", lambda: exported[1])
    registry.manifest.cache_clear()
    try:
        model = registry.for_scale(SCALE)
        assert model.name == "tiny"
        for part in registry.PARTS:
            assert registry.checked_path(model, part).exists()
    finally:
        registry.manifest.cache_clear()


def names_in(folder: Path) -> dict[str, str]:
    rows = tomllib.loads((folder / "manifest.toml").read_text("utf-8"))["model"]
    return {row["name"]: row["wire_id"] for row in rows}


def test_rows_are_added_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    first, second = (checkpoint_of(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    export(first, folder, "one")
    export(first, folder, "two")
    before = names_in(folder)
    assert list(before) == ["one", "two"] and before["one"] == before["two"]
    row = export(second, folder, "one")
    after = names_in(folder)
    assert set(after) == {"one", "two"} and after["two"] == before["two"] != after["one"]
    assert tomllib.loads(row)["model"][0]["wire_id"] == after["one"]


def test_same_files_twice(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path / "run")
    assert export(checkpoint, tmp_path / "a") == export(checkpoint, tmp_path / "b")


def test_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"absent\.pt"):
        export(tmp_path / "absent.pt", tmp_path)
    junk = tmp_path / "junk.pt"
    other = tmp_path / "other.pt"
    junk.write_bytes(b"no checkpoint at all")
    torch.save({"ema": {}}, other)
    for path in (junk, other):
        with pytest.raises(SettingError, match="not a checkpoint of dsncodec"):
            export(path, tmp_path / "models")
    assert not (tmp_path / "models").exists()
