"""Settings of the weights of the perceptual metrics of images."""

from data_pipelines.contract.config import Config, InputPath


class PerceptualWeights(Config):
    """Files of the networks in which `lpips` and `dists` compare images; none of them comes with the package."""

    lpips: InputPath | None = None
    """Linear layers of LPIPS, `alex.pth` or `vgg.pth` (version 0.1) of its official repository; they decide whether it
    is measured in AlexNet or in VGG-16."""
    dists: InputPath | None = None
    """`weights.pt` of the official repository of DISTS, which is measured in VGG-16."""
    alexnet: InputPath | None = None
    """torchvision's AlexNet, `alexnet-owt-7be5be79.pth`."""
    vgg16: InputPath | None = None
    """torchvision's VGG-16, `vgg16-397923af.pth`."""
