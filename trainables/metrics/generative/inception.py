"""The Inception-v3 features of the published FID and inception score, from a weights file given by the user."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from data_pipelines.storage.checksums import hash_file

WEIGHTS_NAME = "pt_inception-2015-12-05-6726825d.pth"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""The TensorFlow graph of 2015-12-05 as PyTorch weights; pytorch-fid and torch-fidelity publish the same file."""


class InceptionFeatures(nn.Module):
    """Network from images to the 2048 features of the last pooling (FID) and the 1008 logits (inception score).

    The logits are those without the bias, as in the code of the paper that introduced the score.
    Needs the package torch-fidelity, which holds the graph's architecture and its resizing to 299 pixels.
    """

    feature_dim = 2048
    num_classes = 1008

    def __init__(self, weights: Path) -> None:
        super().__init__()
        _check_weights(weights)
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ImportError(
                "Inception features need the package torch-fidelity; install it with: pip install quintet[fid]"
            ) from error
        self.network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
        )

    @torch.no_grad()
    def forward(
        self, images: UInt8[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]:
        """Return features and logits of images of any size, values 0 to 255; grey is repeated to three channels."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        features, logits = self.network(images)
        return features, logits


def _check_weights(weights: Path) -> None:
    """Raise ValueError for other weights, whose score must not carry the name of the published one."""
    if not weights.is_file():
        raise ValueError(f"no Inception weights at {weights}; give the path of the file {WEIGHTS_NAME}")
    digest = hash_file(weights)
    if digest != WEIGHTS_SHA256:
        raise ValueError(
            f"{weights} is not the standard FID weights file {WEIGHTS_NAME}: its SHA-256 begins with {digest[:8]}, "
            f"the standard file's with {WEIGHTS_SHA256[:8]}"
        )
