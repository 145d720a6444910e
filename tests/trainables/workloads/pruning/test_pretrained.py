"""Weights from files in the usual formats, and which are refused."""

import hashlib
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ray_jobs.runs.training import train
from tests.ray_jobs.command import fail
from tests.trainables.workloads.pruning.digit_rounds import make, rows_of
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network
from trainables.workloads.pruning.networks.normalisation import IMAGENET, PUBLISHED
from trainables.workloads.pruning.normalisation_choice import choose_normalisation
from trainables.workloads.pruning.pretrained import TRAINED_WITH, classifies, load_pretrained

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


MEASURED = ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
SMALL = build_network(RES20S, seed=7).state_dict()


def choose(path, caplog, *, matching=("conv1.weight",), **settings) -> tuple[Any, str]:
    config = PruningConfig.model_validate({"data": {"source": "cifar10"}, "pretrained": path, **settings})
    caplog.clear()
    chosen = choose_normalisation(config, matching, MEASURED)
    return chosen, "\n".join(record.getMessage() for record in caplog.records)


def test_weights_bring_their_own_normalisation(tmp_path, caplog):
    mean, std = [0.25, 0.5, 0.75], [0.5, 0.25, 0.125]
    given = {**SMALL, "normalize.mean": torch.tensor(mean), "normalize.std": torch.tensor(std)}
    torch.save(given, tmp_path / "own.pth")
    chosen, said = choose(tmp_path / "own.pth", caplog)
    assert chosen == (mean, std)
    assert said.endswith("own.pth was trained: mean 0.25, 0.5, 0.75, deviation 0.5, 0.25, 0.125")


def test_published_weights_are_known_by_the_digest_of_their_file(tmp_path, caplog, monkeypatch):
    path = tmp_path / "resnet20.th"
    torch.save({name: tensor for name, tensor in SMALL.items() if not name.startswith("normalize")}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sorted(TRAINED_WITH) == ["014dd654", "12fca82f", "4bfd9763", "d509ac18"]
    monkeypatch.setitem(TRAINED_WITH, digest[:8], IMAGENET)
    chosen, said = choose(path, caplog)
    assert chosen == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert "was trained: mean 0.485, 0.456, 0.406, deviation 0.229, 0.224, 0.225" in said
    assert choose(path, caplog, normalisation="dataset") == (PUBLISHED["cifar10"], "")


def test_an_unknown_normalisation_is_said_with_the_setting(tmp_path, caplog):
    path = tmp_path / "unknown.pth"
    torch.save({name: tensor for name, tensor in SMALL.items() if not name.startswith("normalize")}, path)
    chosen, said = choose(path, caplog)
    assert chosen == PUBLISHED["cifar10"] and len(caplog.records) == 1
    assert "unknown.pth was trained with is not known" in said
    assert "set `workload.normalisation` to imagenet or inception" in said
    assert choose(path, caplog, normalisation="imagenet") == (IMAGENET, "")
    assert choose(path, caplog, normalisation="inception") == (((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), "")
    # a first layer that is not taken learns the data's own; without weights there is nothing to say
    assert choose(path, caplog, matching=("fc.weight",)) == (PUBLISHED["cifar10"], "")
    assert choose(None, caplog, data={"source": "digits"}) == (MEASURED, "")


@pytest.mark.xdist_group("pruning rounds")
def test_given_weights_are_judged_before_they_are_trained(tmp_path):
    first = make(tmp_path, tmp_path / "digits", "first", pruning_times=1)
    train(first)
    source = first.folder.full("models/step_000000004/model.safetensors")
    pretrained = {"struct": "refill", "pretrained": source, "prune_type": "pt", "pruning_times": 2}
    second = make(tmp_path, tmp_path / "digits", "second", **pretrained)
    train(second)
    expected = {f"pretrained_{split}_accuracy": rows_of(first)[3][f"{split}_accuracy"] for split in ("val", "test")}
    evaluated = [row for row in rows_of(second) if "val_accuracy" in row]
    assert len(evaluated) == 4
    assert all(row[name] == value for row in evaluated for name, value in expected.items())
    (line,) = second.folder.read_json("pictures/eval/rounds/step_000000008.json")["rows"]
    assert line[-1] == expected["pretrained_test_accuracy"]
    log = second.folder.read("train.log").decode()
    val, test = expected.values()
    assert log.count(f"{val:.2f} % of the validation and {test:.2f} % of the test images right") == 1
    assert log.count("if they were trained on the validation images too") == 1


def test_weights_with_another_classifier_are_not_judged():
    assert classifies(["conv1.weight", "fc.weight"]) and not classifies(["conv1.weight"])
