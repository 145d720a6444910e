"""Generator of reflow's pairs of noise and image, by the teacher."""

import logging

import torch

from trainables.contract.seeding import seeded_generator
from trainables.workloads.flow_matching.config import Reflow
from trainables.workloads.flow_matching.flow.guidance import generate
from trainables.workloads.flow_matching.flow.network import VelocityNetwork
from trainables.workloads.flow_matching.reference.reference_statistics import RealData
from trainables.workloads.flow_matching.reflow.batch import ReflowBatch
from trainables.workloads.flow_matching.reflow.teacher import TeacherCard, load_task_state, load_weights

MANY_PAIRS = 10_000
"""More pairs take hours on a CPU, except with networks as small as those of tests and demonstrations."""

logger = logging.getLogger(__name__)


class PairSource:
    """The teacher in eval mode, on an accelerator when there is one; close it after use."""

    def __init__(self, settings: Reflow, card: TeacherCard) -> None:
        data_spec = card.data_spec
        self._settings = settings
        self._shape = (data_spec["channels"], data_spec["height"], data_spec["width"])
        self._null_label = len(data_spec["class_names"])
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[]):
            self._network = VelocityNetwork(card.config.network, channels=self._shape[0], num_classes=self._null_label)
        self._network.load_state_dict(load_weights(settings.teacher))
        self._network.to(self._device).eval()
        if self._device.type == "cpu" and settings.num_pairs > MANY_PAIRS:
            logger.warning(
                "no GPU is seen here: the teacher makes %d pairs on the CPU; run `prepare` on a machine with one, or "
                "lower workload.reflow.num_pairs",
                settings.num_pairs,
            )
        real = RealData(self._shape, self._null_label)
        real.load_state_dict(load_task_state(settings.teacher))
        self._class_ratios = torch.tensor(real.class_ratios())

    def make(self, chunk_index: int, num_pairs: int) -> ReflowBatch:
        """Generate one chunk on the CPU: labels at the class frequencies of the teacher's data, images in [-1, 1].

        Images are clamped. Noise and labels depend on the index alone. Raises ValueError for images that are not
        finite.
        """
        generator = seeded_generator(0, "reflow", chunk_index)
        noise = torch.randn(num_pairs, *self._shape, generator=generator)
        label = torch.multinomial(self._class_ratios, num_pairs, replacement=True, generator=generator)
        samples = generate(
            self._network,
            noise.to(self._device),
            label.to(self._device),
            null_label=self._null_label,
            sampling=self._settings.sampling,
        )
        image = samples.images.cpu()
        if not image.isfinite().all():
            raise ValueError(
                f"the teacher {self._settings.teacher} made images that are not finite (chunk {chunk_index})"
            )
        return {"image": image.clamp(-1, 1), "noise": noise, "label": label}

    def close(self) -> None:
        """Free the accelerator's memory, which a training worker on this machine needs."""
        self._network.cpu()
        torch.cuda.empty_cache()
