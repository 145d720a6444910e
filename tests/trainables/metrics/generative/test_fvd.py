"""The video distance against NumPy and SciPy, and the I3D features against loops; with random weights."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from tests.ranks import run_ranks, solo
from trainables.metrics.generative.fvd import ClipDistances
from trainables.metrics.generative.i3d import SIDE, I3d, I3dFeatures, pad_same, pool_same, to_input

CPU = torch.device("cpu")


class TinyFeatures(nn.Module):
    """Five random projections of a clip of 3 frames of 4x4 grey pixels, through a sine."""

    feature_dim = 5

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.randn(48, 5, generator=torch.Generator().manual_seed(0))

    def forward(self, clips: Tensor) -> Tensor:
        return (clips.flatten(1).float() / 255 @ self.matrix).sin()


def clips(count: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def naive_distance(first: np.ndarray, second: np.ndarray) -> float:
    root = scipy.linalg.sqrtm(np.cov(first, rowvar=False) @ np.cov(second, rowvar=False))
    traces = np.trace(np.cov(first, rowvar=False)) + np.trace(np.cov(second, rowvar=False))
    return float(np.square(first.mean(0) - second.mean(0)).sum() + traces - 2 * np.trace(root).real)


def test_fvd_is_the_feature_distance_of_all_clips_over_ranks():
    features, true, ours = TinyFeatures(), clips(40, 1), clips(40, 2)

    def body(ranks):
        distances = ClipDistances(features, ("ours", "same"), CPU)
        for start in range(10 * ranks.rank, 40, 10 * ranks.world_size):
            part = slice(start, start + 10)
            distances.add(true[part], ours=ours[part], same=true[part])
        return distances.compute(ranks.sum)

    expected = naive_distance(features(true).double().numpy(), features(ours).double().numpy())
    for result in [*run_ranks(1, body), *run_ranks(2, body)]:
        assert result["clips"] == 40 and result["ours"] == pytest.approx(expected, rel=1e-6)
        assert result["same"] == pytest.approx(0, abs=1e-9) and expected > 0.01


def test_one_clip_has_no_distance():
    distances = ClipDistances(TinyFeatures(), ("ours",), CPU)
    distances.add(clips(1, 0), ours=clips(1, 1))
    with pytest.raises(ValueError, match="at least 2 clips, but 1 was"):
        distances.compute(solo().sum)


class Script(nn.Module):
    """What a script of the published form gives: here the mean of each channel, after its own scaling."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert rescale and resize and return_features
        return (x / 255 * 2 - 1).mean(dim=[2, 3, 4])


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_script_gets_levels_with_time_behind_the_colours(tmp_path):
    torch.jit.script(Script()).save(tmp_path / "i3d_torchscript.pt")
    features = I3dFeatures(tmp_path / "i3d_torchscript.pt")
    colours = torch.randint(0, 256, (2, 9, 3, 6, 5), dtype=torch.uint8)
    torch.testing.assert_close(features(colours), colours.float().mean(dim=(1, 3, 4)) / 127.5 - 1)
    assert features(colours[:, :, :1]).shape == (2, 3)


def test_the_network_has_the_published_size_and_names():
    with torch.device("meta"):
        network = I3d()
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_697_264
    names = network.state_dict()
    assert names["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    assert names["Mixed_4f.b2b.bn.running_var"].shape == (128,)
    assert names["Mixed_5c.b3b.conv3d.weight"].shape == (128, 832, 1, 1, 1)
    assert names["logits.conv3d.bias"].shape == (400,)


@pytest.mark.slow
def test_i3d_gives_400_logits_and_needs_nine_frames(tmp_path):
    state = I3d().state_dict()
    torch.save({name: state[name] for name in state if "num_batches" not in name}, tmp_path / "rgb_imagenet.pt")
    features = I3dFeatures(tmp_path / "rgb_imagenet.pt")
    colours = torch.randint(0, 256, (1, 9, 3, 6, 5), dtype=torch.uint8)
    logits = features(colours)
    assert logits.shape == (1, features.feature_dim) and logits.std() > 0
    with pytest.raises(RuntimeError, match="smaller than kernel size"):
        features(colours[:, :8])


def test_frames_are_resized_and_scaled():
    colours = torch.randint(0, 256, (1, 2, 3, SIDE, SIDE), dtype=torch.uint8)
    torch.testing.assert_close(to_input(colours)[0, :, 1], colours[0, 1].float() / 127.5 - 1)
    assert to_input(colours[..., :7, :5]).shape == (1, 3, 2, SIDE, SIDE)


@pytest.mark.parametrize(
    ("length", "size", "stride"), [(9, 3, 2), (8, 3, 2), (7, 2, 2), (5, 7, 2), (6, 3, 1), (4, 1, 1)]
)
def test_padding_is_that_of_a_loop_over_windows(length, size, stride):
    values = torch.rand(length, generator=torch.Generator().manual_seed(length))
    count = -(-length // stride)
    before = max((count - 1) * stride + size - length, 0) // 2
    expected = [
        max([values[place].item() for place in range(first, first + size) if 0 <= place < length])
        for first in range(-before, count * stride - before, stride)
    ]
    maps = values.view(1, 1, length, 1, 1)
    assert pool_same(maps, (size, 1, 1), (stride, 1, 1)).flatten().tolist() == pytest.approx(expected)
    assert pad_same(maps, (size, 1, 1), (stride, 1, 1)).shape[2:] == (max((count - 1) * stride + size, length), 1, 1)


def test_files_that_are_no_weights_are_named(tmp_path):
    file = tmp_path / "i3d.pt"
    with pytest.raises(ValueError, match=r"no I3D weights at .*i3d\.pt; give i3d_torchscript\.pt"):
        I3dFeatures(file)
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"i3d\.pt: is no file of weights: it is of an unknown kind"):
        I3dFeatures(file)
    torch.save({"odd": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"i3d\.pt: is no i3d_torchscript.*bn\.bias is missing; .* and \d+ more"):
        I3dFeatures(file)
