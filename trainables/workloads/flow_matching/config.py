"""Settings of the flow-matching workload; torch-free, so that an experiment is checked in milliseconds."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from data_pipelines.contract.config import Config, FolderUri, InputPath, ModelPath
from data_pipelines.images.config import ImageData
from trainables.contract.workload_config import Mode, WorkloadConfig
from trainables.workloads.flow_matching.path_config import AnyPath, AnyTimes, Straight, UniformTimes

Solver = Literal["euler", "midpoint", "heun", "rk4", "dopri5"]
CALLS_PER_STEP: dict[str, int] = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
"""Evaluations of the ODE's right-hand side in one step of each fixed-step solver."""


class Sampling(Config):
    """Settings of the solver and the guidance that draw samples from the trained flow."""

    solver: Solver = "euler"
    """Of the flow's ODE."""
    nfe: int | None = Field(default=50, ge=1, le=100_000)
    """Evaluations of the right-hand side, so that solvers are compared at equal cost; null for the adaptive dopri5."""
    tolerance: float = Field(default=1e-5, ge=1e-9, lt=1)
    """dopri5 only: absolute and relative tolerance. What float32 cannot meet costs more and more evaluations: images
    of the digits took some 2,400 with 1e-9, and no number of them is enough a few powers of ten below."""
    guidance: float = Field(default=2.0, ge=0)
    """Weight w of classifier-free guidance, v = v_null + w (v_label - v_null). 1 means none, and 0 that labels are
    ignored; any other value doubles the network calls."""
    shift: float = Field(default=1.0, ge=0.01, le=100)
    """Steps end at t / (shift - (shift - 1) t) in place of even times t (Esser et al. 2024, eq. 23): above 1 they are
    finer near the noise. Not for dopri5."""

    @model_validator(mode="after")
    def _nfe_fits_the_solver(self) -> Self:
        calls = CALLS_PER_STEP.get(self.solver)
        if calls is None and self.nfe is not None:
            raise ValueError("`nfe` must be null with solver: dopri5, which chooses its own steps; set `tolerance`")
        if calls is None and self.shift != 1:
            raise ValueError("`shift` must be 1 with solver: dopri5, which chooses its own steps")
        if calls is not None and (self.nfe is None or self.nfe % calls):
            raise ValueError(f"`nfe` is {self.nfe}; with solver: {self.solver} it must be a multiple of {calls}")
        return self

    @property
    def edges(self) -> list[float]:
        """Times at which the steps of a fixed-step solver begin and end, from 0 to 1."""
        even = [index / self.num_steps for index in range(self.num_steps + 1)]
        return [t / (self.shift - (self.shift - 1) * t) for t in even] if self.shift != 1 else even

    @property
    def num_steps(self) -> int:
        """Steps of a fixed-step solver."""
        assert self.nfe is not None, "dopri5 chooses its own steps"
        return self.nfe // CALLS_PER_STEP[self.solver]


class Network(Config):
    """The U-Net's size. base_channels 128, 64, 32 give 27,147,651, 6,799,043, 1,705,827 parameters on CIFAR-10."""

    base_channels: int = Field(default=128, ge=8, le=1024)
    """Channels of the uppermost level."""
    channel_multipliers: tuple[int, ...] = Field(default=(1, 2, 2, 2), min_length=1, max_length=8)
    """Channels of each level, from the uppermost down, over `base_channels`."""
    num_res_blocks: int = Field(default=2, ge=1, le=8)
    """Residual blocks of each level."""
    num_heads: int = Field(default=4, ge=1)
    """Heads of the attention."""
    num_groups: int = Field(default=32, ge=1)
    """Groups of each GroupNorm; must divide every channel count."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """In each residual block."""

    @model_validator(mode="after")
    def _channels_divide(self) -> Self:
        if self.base_channels % self.num_groups:
            raise ValueError(f"`num_groups` ({self.num_groups}) must divide `base_channels` ({self.base_channels})")
        if self.base_channels * self.channel_multipliers[-1] % self.num_heads:
            raise ValueError(f"`num_heads` ({self.num_heads}) must divide the channels of the lowest level")
        return self


class Pictures(Config):
    """Settings of the pictures, drawn at the picture cadence from the same noise."""

    num_per_class: int = Field(default=8, ge=1, le=100)
    """Samples of each class."""
    max_classes: int = Field(default=10, ge=1, le=100)
    """Classes that are drawn."""
    sampling: Sampling = Sampling()
    comparisons: tuple[Sampling, ...] = (
        Sampling(solver="euler", nfe=20),
        Sampling(solver="midpoint", nfe=20),
        Sampling(solver="heun", nfe=20),
        Sampling(solver="rk4", nfe=20),
        Sampling(solver="euler", nfe=100),
        Sampling(solver="dopri5", nfe=None),
    )
    """Rows of `eval/samples_table`."""


class Evaluation(Config):
    """Settings of the evaluation of generated images."""

    num_samples: int = Field(default=10_000, ge=2)
    """The published protocol uses 50,000; fewer samples bias the Frechet distance upwards."""
    metric: Literal["fid", "is", "both", "all"] = "fid"
    """all: also the distance to the test images, KID, precision and recall, and all of these between two halves of the
    training images. KID, precision and recall are of at most 10,000 images, whose features are kept with the model."""
    sampling: Sampling = Sampling(guidance=1.0)
    nfe_curve: tuple[PositiveInt, ...] = ()
    """Numbers of evaluations, such as 1, 2, 5, 10: the same samples are drawn and scored with each of them too."""
    batch_size: int = Field(default=256, ge=1)
    """Samples that are drawn at a time. It changes no score but in the last digits, except with dopri5, which chooses
    its steps for all samples of a batch."""
    num_likelihoods: int = Field(default=0, ge=0)
    """Test images whose log-likelihood is computed, for `eval/bits_per_dim`: by dopri5, each about a hundred
    evaluations with the gradients of eight random directions."""
    inception_weights: InputPath | None = None
    """The standard FID weights file, pt_inception-2015-12-05-6726825d.pth. Without it a small network is trained on
    the run's own training data, and the results are called `eval/fid_local` and `eval/inception_score_local_*`."""

    @model_validator(mode="after")
    def _curve_fits_the_solver(self) -> Self:
        calls = CALLS_PER_STEP.get(self.sampling.solver)
        if self.nfe_curve and calls is None:
            raise ValueError("`nfe_curve` needs a solver of fixed steps, and dopri5 chooses its own")
        wrong = [nfe for nfe in self.nfe_curve if calls and nfe % calls]
        if wrong:
            raise ValueError(
                f"`nfe_curve` holds {wrong[0]}; with solver: {self.sampling.solver} all must be multiples of {calls}"
            )
        return self


class Reflow(Config):
    """Settings of the second stage: straight paths from (noise, image) pairs of a trained model."""

    teacher: ModelPath
    """A flow-matching run, by its name or folder, or the folder of one of its models."""
    num_pairs: int = Field(default=1_000_000, ge=1)
    """Pairs generated by `prepare`, or at the start of a run by one process of the machine where the command runs."""
    sampling: Sampling = Sampling(solver="dopri5", nfe=None, guidance=1.0)
    prepared: FolderUri | None = None
    """Folder or URI of the pairs; by default made under the storage path."""


class FlowMatchingConfig(WorkloadConfig):
    """Rectified flow (Liu et al. 2022) and minibatch OT coupling (Tong et al. 2023) on labelled images."""

    name: Literal["flow_matching"] = "flow_matching"
    data: ImageData = ImageData()
    network: Network = Network()
    coupling: Literal["independent", "optimal_transport"] = "independent"
    """How noise and images of a batch are paired: as drawn, or by optimal transport within each worker's part."""
    path: AnyPath = Straight()
    """Path from noise to image along which the velocity is trained."""
    times: AnyTimes = UniformTimes()
    """Times of the path that training draws."""
    label_drop_ratio: float = Field(default=0.1, ge=0, le=1)
    """Share of training samples whose label becomes the null class, for classifier-free guidance. With 0 all
    `guidance` must be 1; with 1 no label is trained, and it must be 0."""
    pictures: Pictures = Pictures()
    evaluation: Evaluation = Evaluation()
    reflow: Reflow | None = None

    @model_validator(mode="after")
    def _reflow_has_its_pairs(self) -> Self:
        if self.reflow is not None and self.coupling != "independent":
            raise ValueError(f"`coupling` is {self.coupling}, but `reflow` gives the pairs; leave it independent")
        if self.reflow is not None and self.evaluation.num_likelihoods:
            raise ValueError("`evaluation.num_likelihoods` needs test images, and the pairs of `reflow` hold none")
        if self.reflow is not None and self.path.name != "straight":
            raise ValueError(f"`path.name` is {self.path.name}, but `reflow` straightens paths; leave it straight")
        if self.reflow is not None and (self.data.horizontal_flip or self.data.crop_padding):
            raise ValueError(
                "`data.horizontal_flip` and `data.crop_padding` change images, and a changed one is not what the "
                "teacher makes of the noise; leave both out with `reflow`"
            )
        return self

    @model_validator(mode="after")
    def _guidance_uses_what_is_learnt(self) -> Self:
        possible = self.only_guidance
        if possible is None:
            return self
        drawn = {"evaluation.sampling": self.evaluation.sampling, "pictures.sampling": self.pictures.sampling}
        drawn |= {f"pictures.comparisons.{index}": each for index, each in enumerate(self.pictures.comparisons)}
        wrong = [name for name, sampling in drawn.items() if sampling.guidance != possible]
        if wrong:
            never, other = (
                ("the null class of guidance is never", "above 0") if possible else ("no label is ever", "below 1")
            )
            raise ValueError(
                f"`label_drop_ratio` is {self.label_drop_ratio:g}, so {never} learnt; set "
                f"`guidance: {possible}` in {', '.join(wrong)}, or a ratio {other}"
            )
        return self

    evaluation_options: ClassVar[dict[str, str]] = {
        "num-samples": "workload.evaluation.num_samples",
        "metric": "workload.evaluation.metric",
        "solver": "workload.evaluation.sampling.solver",
        "nfe": "workload.evaluation.sampling.nfe",
        "nfe-curve": "workload.evaluation.nfe_curve",
        "num-likelihoods": "workload.evaluation.num_likelihoods",
        "tolerance": "workload.evaluation.sampling.tolerance",
        "guidance": "workload.evaluation.sampling.guidance",
        "inception-weights": "workload.evaluation.inception_weights",
    }

    @property
    def only_guidance(self) -> float | None:
        """The one guidance that the training allows: 1 without a null class, 0 without labels; None: any.

        A reflow's teacher may have been trained on the rest.
        """
        return None if self.reflow is not None else {0.0: 1.0, 1.0: 0.0}.get(self.label_drop_ratio)

    @property
    def run_name_parts(self) -> tuple[str, ...]:
        """For example `flow_matching`, `cifar10`, `optimal_transport`, `ch128`."""
        pairing = "reflow" if self.reflow else self.coupling
        path = () if self.path.name == "straight" else (self.path.name,)
        return (self.name, self.data.source, pairing, *path, f"ch{self.network.base_channels}")

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """The Frechet distance, or the inception score when that alone is evaluated."""
        is_local = self.evaluation.inception_weights is None
        distance: dict[str, Mode] = {"eval/fid_local" if is_local else "eval/fid_score": "min"}
        score: dict[str, Mode] = {f"eval/inception_score{'_local' if is_local else ''}_mean": "max"}
        likelihood: dict[str, Mode] = {"eval/bits_per_dim": "min"} if self.evaluation.num_likelihoods else {}
        if self.evaluation.metric == "all":
            ending = "_local" if is_local else ""
            names: dict[str, Mode] = {"kid": "min", "precision": "max", "recall": "max"}
            more: dict[str, Mode] = {f"eval/{name}{ending}": mode for name, mode in names.items()}
            return distance | score | more | likelihood
        return (score | distance if self.evaluation.metric == "is" else distance | score) | likelihood
