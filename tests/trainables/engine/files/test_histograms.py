"""Histograms only look, and count every finite value once."""

import numpy as np
import pytest
import torch
from torch import nn

from data_pipelines.storage.folder import Folder
from trainables.engine.files.histograms import NUM_BINS, Watch, Watcher, take_histogram


@pytest.mark.parametrize("shape", [(1000,), (7, 5, 3), ()])
def test_a_histogram_is_numpy_s(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    counts, edges = take_histogram(values)
    assert counts.sum() == values.numel() and len(edges) == NUM_BINS + 1
    expected, _ = np.histogram(values.numpy(), bins=edges.double().numpy())
    assert np.abs(counts.numpy() - expected).sum() <= 2  # a value on an edge may fall on either side


@pytest.mark.parametrize("values", [torch.full((5,), 3.0), torch.zeros(0), torch.tensor([float("nan"), float("inf")])])
def test_constant_missing_and_non_finite_values_make_a_histogram(values):
    counts, edges = take_histogram(values)
    assert counts.sum() == torch.isfinite(values).sum() and torch.isfinite(edges).all()
    assert (edges[1:] > edges[:-1]).all()


@pytest.mark.parametrize(
    ("gradients", "parameters", "keys"),
    [
        (True, False, {"watch/gradients/weight", "watch/gradients/bias"}),
        (False, True, {"watch/parameters/weight", "watch/parameters/bias"}),
    ],
)
def test_what_is_asked_for_is_seen_at_the_steps_that_are_due(tmp_path, gradients, parameters, keys):
    folder, module = Folder(str(tmp_path)), nn.Linear(3, 2)
    module(torch.ones(1, 3)).sum().backward()
    before = {name: (p.detach().clone(), p.grad.clone()) for name, p in module.named_parameters() if p.grad is not None}
    watcher = Watcher(Watch(gradients, parameters, every_steps=2))
    for step in (1, 2, 3, 4):
        watcher.on_gradients(module, step)
    files = watcher.save(folder, epoch=1)
    assert files == ["pictures/watch/step_000000002.json", "pictures/watch/step_000000004.json"]
    assert watcher.save(folder, epoch=1) == []
    saved = folder.read_json(files[0])
    assert set(saved["histograms"]) == keys and saved["step"] == 2
    assert sum(saved["histograms"][sorted(keys)[-1]]["counts"]) == 6
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name][0]) and torch.equal(parameter.grad, before[name][1])  # pyright: ignore


@pytest.mark.parametrize(("watch", "is_writer"), [(None, True), (Watch(True, True, every_steps=1), False)])
def test_without_a_watch_or_on_other_ranks_nothing_is_seen(tmp_path, watch, is_writer):
    watcher = Watcher(watch, is_writer=is_writer)
    watcher.on_gradients(nn.Linear(3, 2), 1)
    assert watcher.save(Folder(str(tmp_path)), epoch=1) == []
