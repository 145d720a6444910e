"""Weights from files in the usual formats, and which are refused."""

import pytest
import torch
from safetensors.torch import save_file

from tests.ray_jobs.command import fail
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network
from trainables.workloads.pruning.pretrained import load_pretrained

pytestmark = pytest.mark.slow


def timm_vit(dim: int = 384, depth: int = 12, std: float = 0.06) -> dict[str, torch.Tensor]:
    """The names and shapes of timm's vit_*_patch16_224."""
    generator = torch.Generator().manual_seed(0)

    def tensor(*shape: int) -> torch.Tensor:
        return std * torch.randn(*shape, generator=generator)

    state = {
        "cls_token": tensor(1, 1, dim),
        "pos_embed": tensor(1, 197, dim),
        "patch_embed.proj.weight": tensor(dim, 3, 16, 16),
        "patch_embed.proj.bias": tensor(dim),
        "norm.weight": tensor(dim),
        "norm.bias": tensor(dim),
        "head.weight": tensor(1000, dim),
        "head.bias": tensor(1000),
    }
    shapes = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
    for index in range(depth):
        for name in ("norm1", "norm2"):
            state |= {f"blocks.{index}.{name}.{part}": tensor(dim) for part in ("weight", "bias")}
        for name, shape in shapes.items():
            state |= {f"blocks.{index}.{name}.weight": tensor(*shape), f"blocks.{index}.{name}.bias": tensor(shape[0])}
    return state


VIT_SMALL = Blueprint("vit_small", 3, 32, 32, 10)
RES20S = Blueprint("res20s", 3, 32, 32, 10)


@pytest.fixture(scope="module")
def vit_small():
    return timm_vit()


@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_every_vit_tensor_of_matching_name_and_shape_is_loaded(tmp_path, vit_small, form):
    path = tmp_path / f"vit.{form}"
    save_file(vit_small, path) if form == "safetensors" else torch.save(vit_small, path)
    network = build_network(VIT_SMALL)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    matching = load_pretrained(network, path)
    assert len(matching) == 148
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, vit_small[name] if name in matching else before[name])
    changed = {"pos_embed", "patch_embed.proj.weight", "head.weight", "head.bias", "normalize.mean", "normalize.std"}
    assert set(before) - set(matching) == changed


def test_resnet_weights_load_from_a_wrapped_file_with_prefixes(tmp_path):
    given = build_network(RES20S, seed=7).state_dict()
    names = {name: name.replace("fc.", "linear.") for name in given if not name.startswith("normalize")}
    wrapped = {"best_prec1": 91.7, "state_dict": {f"module.{names[name]}": given[name] for name in names}}
    torch.save(wrapped, tmp_path / "resnet20.th")
    network = build_network(RES20S)
    load_pretrained(network, tmp_path / "resnet20.th")
    assert all(torch.equal(network.state_dict()[name], given[name]) for name in names)
    other = build_network(Blueprint("res20s", 3, 32, 32, 100))
    assert not {"fc.weight", "fc.bias"} & set(load_pretrained(other, tmp_path / "resnet20.th"))


def refuse(path, blueprint: Blueprint) -> str:
    with pytest.raises(ValueError, match=r"`workload.pretrained` .*" + path.name) as caught:
        load_pretrained(build_network(blueprint), path)
    return str(caught.value)


def test_weights_of_another_width_are_refused_with_their_shapes(tmp_path):
    torch.save(timm_vit(dim=192), tmp_path / "tiny.pth")
    message = refuse(tmp_path / "tiny.pth", VIT_SMALL)
    assert "does not fit the network: 0 of 154 tensors match" in message
    assert "blocks.0.norm1.weight: (192,) there, (384,) here" in message


def test_weights_of_another_depth_are_refused(tmp_path, vit_small):
    shallow = {name: tensor for name, tensor in vit_small.items() if not name.startswith("blocks.11.")}
    torch.save(shallow, tmp_path / "shallow.pth")
    assert "blocks.11.norm1.weight: none there, (384,) here" in refuse(tmp_path / "shallow.pth", VIT_SMALL)
    torch.save({**vit_small, "blocks.12.norm1.weight": torch.ones(384)}, tmp_path / "deep.pth")
    assert "blocks.12.norm1.weight: (384,) there, none here" in refuse(tmp_path / "deep.pth", VIT_SMALL)


def test_a_random_initialisation_does_not_pass_as_pretrained(tmp_path):
    torch.save(timm_vit(std=0.02), tmp_path / "random.pth")
    assert "standard deviation of 0.020, that of a random initialisation" in refuse(tmp_path / "random.pth", VIT_SMALL)


def test_when_nothing_matches_the_names_of_the_file_are_listed(tmp_path):
    torch.save({"a.weight": torch.zeros(2), "b": torch.ones(1)}, tmp_path / "other.pth")
    message = refuse(tmp_path / "other.pth", RES20S)
    assert "0 of 118 tensors match" in message and "the file's names begin with a.weight, b" in message


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors", "missing.pth", "missing.safetensors"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"no weights at all")
    fault = "is no file of weights" if name.startswith("broken") else "is missing; put it back"
    assert fault in refuse(tmp_path / name, RES20S)


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"epoch": 3}}])
def test_a_file_without_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "empty.pth")
    assert "holds no weights by name" in refuse(tmp_path / "empty.pth", RES20S)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"weight": test_a_file_without_tensors_is_refused}, tmp_path / "code.pth")
    assert "holds Python objects beside weights" in refuse(tmp_path / "code.pth", RES20S)


def test_a_bad_file_is_refused_before_the_run_has_a_folder(tmp_path, capsys):
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")
    changes = {"workload.pretrained": tmp_path / "page.pth", "storage.path": tmp_path / "out", "scaling.num_workers": 0}
    words = [word for name, value in changes.items() for word in ("--set", f"{name}={value}")]
    code, message = fail(capsys, "train", "pruning_refill_res20s_cifar10", *words)
    assert code == 2 and message.startswith(
        f"`workload.pretrained` {tmp_path}/page.pth: is no file of weights: it is a"
    )
    assert not (tmp_path / "out").exists()
