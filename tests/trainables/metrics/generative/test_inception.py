import builtins
import hashlib
from pathlib import Path

import pytest
import torch

from trainables.metrics.generative import inception
from trainables.metrics.generative.inception import InceptionFeatures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the architecture; the constructor of torch-fidelity always loads some, so it is bypassed."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network_class = module.FeatureExtractorInceptionV3
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(network_class, "load_state_dict", lambda self, state: None)
        network = network_class("random", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def network(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> InceptionFeatures:
    digest = hashlib.sha256(random_weights.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "WEIGHTS_SHA256", digest)
    return InceptionFeatures(random_weights)


def test_features_and_unbiased_logits_have_published_sizes(network: InceptionFeatures):
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features, logits = network(images)
    assert features.shape == (2, network.feature_dim) == (2, 2048)
    assert logits.shape == (2, network.num_classes) == (2, 1008)
    assert torch.allclose(logits, features @ network.network.fc.weight.T, atol=1e-5)
    assert not torch.allclose(features[0], features[1])


def test_grey_images_give_the_features_of_equal_channels(network: InceptionFeatures):
    grey = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(grey)[0], network(grey.repeat(1, 3, 1, 1))[0])


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no Inception weights at .*absent\.pth"):
        InceptionFeatures(tmp_path / "absent.pth")


def test_a_weights_file_other_than_the_published_one_is_refused(tmp_path: Path):
    path = tmp_path / "other.pth"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"other\.pth is not the standard FID weights file"):
        InceptionFeatures(path)


def test_without_torch_fidelity_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"")
    monkeypatch.setattr(inception, "WEIGHTS_SHA256", hashlib.sha256(b"").hexdigest())
    real_import = builtins.__import__

    def refusing_import(name: str, *args, **kwargs):
        if name.startswith("torch_fidelity"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refusing_import)
    with pytest.raises(ImportError, match=r"pip install quintet\[fid\]"):
        InceptionFeatures(path)
