"""Pictures of the same noise and the same labels at every epoch, to show progress."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from trainables.contract.panels import ImagePanel, Panel, TablePanel, zoom_of
from trainables.contract.seeding import seeded_generator
from trainables.contract.train_context import Progress
from trainables.pictures.line_charts import Curve, draw_chart
from trainables.workloads.flow_matching.config import Pictures, Sampling
from trainables.workloads.flow_matching.flow.guidance import generate
from trainables.workloads.flow_matching.pixels import to_uint8

_COSTS = ("eval/nfe_ode", "eval/nfe_net")


class SamplePlots:
    """Pictures from fixed noise; one row for each class, one column for each noise."""

    def __init__(
        self,
        settings: Pictures,
        *,
        class_names: Sequence[str],
        shape: tuple[int, int, int],
        seed: int,
        chunk_size: int,
    ) -> None:
        num_classes = min(len(class_names), settings.max_classes)
        num_columns = settings.num_per_class
        self._settings = settings
        self._names = list(class_names)
        self._chunk_size = chunk_size
        self.labels: Int64[Tensor, " pictures"] = torch.arange(num_classes).repeat_interleave(num_columns)
        self.noise = torch.randn(len(self.labels), *shape, generator=seeded_generator(seed, "pictures"))

    def grid(self, module: nn.Module, device: torch.device) -> ImagePanel:
        """Draw `eval/generated_samples`."""
        images, _ = self._images(module, device, self._settings.sampling, every=1)
        captions = [self._names[int(label)] for label in self.labels]
        columns = self._settings.num_per_class
        return ImagePanel(
            "eval/generated_samples",
            images,
            captions,
            columns=columns,
            zoom=zoom_of(images),
            row_names=captions[::columns],
        )

    def table(self, module: nn.Module, progress: Progress, device: torch.device) -> TablePanel:
        """Draw `eval/samples_table`: solvers from the same noise.

        NFE counts network evaluations, so guidance doubles it.
        """
        rows: list[list[float | int | str | Tensor]] = []
        for sampling in self._settings.comparisons:
            images, nfe = self._images(module, device, sampling, every=self._settings.num_per_class)
            rows.append([progress.epoch, progress.step, sampling.solver, nfe, strip(images)])
        return TablePanel("eval/samples_table", ["Epoch", "Step", "Solver", "NFE", "Image"], rows)

    def _images(
        self, module: nn.Module, device: torch.device, sampling: Sampling, *, every: int
    ) -> tuple[UInt8[Tensor, "batch channels height width"], int]:
        """Generate pictures of every `every`-th noise, on the CPU.

        Returns them and the most network evaluations of a chunk.
        """
        images: list[Tensor] = []
        nfe = 0
        noises, labels = self.noise[::every].split(self._chunk_size), self.labels[::every].split(self._chunk_size)
        for noise, label in zip(noises, labels, strict=True):
            samples = generate(
                module, noise.to(device), label.to(device), null_label=len(self._names), sampling=sampling
            )
            images.append(to_uint8(samples.images).cpu())
            nfe = max(nfe, samples.nfe_net)
        return torch.cat(images), nfe


def strip(
    images: UInt8[Tensor, "batch channels height width"],
) -> UInt8[Tensor, "channels strip_height strip_width"]:
    """Join pictures side by side, enlarged until they are visible."""
    zoom = zoom_of(images)
    row = torch.cat(list(images), dim=2)
    return row.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2)


def draw_curve(scores: Mapping[int, Mapping[str, float]], solver: str) -> list[Panel]:
    """Draw `eval/nfe_table` and `eval/nfe_chart`, whose line is the first of the scores; nothing for no numbers.

    `scores` has, by the number of evaluations of the right-hand side, the scores and costs by name.
    """
    if not scores:
        return []
    names = [name for name in next(iter(scores.values())) if name not in _COSTS]
    columns = ["Solver", "NFE", "Network calls", *(name.removeprefix("eval/") for name in names)]
    rows = [
        [solver, nfe, found["eval/nfe_net"], *(found[name] for name in names)] for nfe, found in sorted(scores.items())
    ]
    name = names[0]
    line = Curve(solver, [(nfe, found[name]) for nfe, found in sorted(scores.items())], has_markers=True)
    chart = draw_chart(f"{name} over the number of function evaluations", "NFE", name, [line])
    return [TablePanel("eval/nfe_table", columns, rows), ImagePanel("eval/nfe_chart", chart[None], columns=1)]
