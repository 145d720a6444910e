"""Settings of the phonocardiograms that both heart-sound stages read."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config, FolderUri, OnBadFile, RawPath
from data_pipelines.heart_sounds.tasks import PLAIN, TASKS, HeartTask, TaskName


class Synthetic(Config):
    """Synthetic phonocardiograms; used when no path of real ones is given."""

    num_subjects: int = Field(default=60, ge=6)
    """Subjects."""
    recordings_per_subject: int = Field(default=2, ge=1)
    """Recordings of each subject."""
    duration_s: float = Field(default=8.0, ge=2, le=120)
    """Seconds of a recording."""
    murmur_ratio: float = Field(default=0.4, gt=0, lt=1)
    """Share of the subjects with a systolic murmur."""
    seed: int = Field(default=0, ge=0)
    """Of the recordings."""


Share = Annotated[float, Field(ge=0, le=1)]
HalfShare = Annotated[float, Field(ge=0, le=0.5)]
Change = Annotated[float, Field(ge=0, lt=1)]
"""Change of a factor, from 1 up or down."""


class Augmentation(Config):
    """Random changes of one cycle, in this order; a probability of 0 leaves one out.

    The defaults, for fine-tuning, are light.
    """

    shift_probability: Share = 0.5
    """Of a shift in time."""
    shift_ratio: HalfShare = 0.05
    """Circular, up to this share of the cycle in either direction."""
    stretch_probability: Share = 0.0
    """Of a stretch in time."""
    stretch_ratio: Change = 0.1
    """Around the middle, by a factor up to this far from 1; the ends are cut or filled with zeros."""
    amplitude_probability: Share = 0.5
    """Of another loudness."""
    amplitude_ratio: Change = 0.1
    """By a factor up to this far from 1."""
    noise_probability: Share = 0.3
    """Of added noise."""
    noise_snr_db: tuple[float, float] = (25.0, 40.0)
    """White noise, with a signal-to-noise ratio between these two."""
    time_mask_probability: Share = 0.0
    """Of silenced spans of time."""
    num_time_masks: int = Field(default=2, ge=0)
    """Spans that are silenced."""
    time_mask_ratio: HalfShare = 0.0375
    """Largest share of the cycle that one mask silences."""
    frequency_mask_probability: Share = 0.0
    """Of a removed band."""
    frequency_mask_ratio: Share = 0.15
    """Largest share of the pass band that the one mask removes; the mask lies inside the pass band."""

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        if self.noise_snr_db[0] > self.noise_snr_db[1]:
            raise ValueError(f"`noise_snr_db` is {self.noise_snr_db}; give the smaller ratio first")
        return self


class StrongAugmentation(Augmentation):
    """Random changes of one cycle, as for a task, with the defaults of pretraining: all of them, and stronger."""

    shift_probability: Share = 0.8
    shift_ratio: HalfShare = 0.1
    stretch_probability: Share = 0.5
    amplitude_probability: Share = 0.8
    amplitude_ratio: Change = 0.2
    noise_probability: Share = 0.5
    noise_snr_db: tuple[float, float] = (20.0, 40.0)
    time_mask_probability: Share = 0.5
    frequency_mask_probability: Share = 0.3


class HeartData(Config):
    """Settings of the phonocardiograms: which to read, how they are cut, and how their subjects are split.

    A task reads its own data set; pretraining joins all that are given. Without any path the recordings are synthetic.
    """

    circor: RawPath | None = None
    """CirCor DigiScope 2022: the folder of `training_data`, or the one above it."""
    physionet2016: RawPath | None = None
    """PhysioNet/CinC 2016: the folder that holds `training-a` to `training-f`."""
    pascal: RawPath | None = None
    """PASCAL 2011: the folder that holds `set_a` and `set_b`."""
    folder: RawPath | None = None
    """Any folder of sound files, for pretraining and for the task `labelled`; without `labels` each file counts as a
    subject of its own."""
    labels: RawPath | None = None
    """Table of the files in `folder`, a CSV with the columns file, subject and label."""
    classes: tuple[str, ...] = ()
    """Labels in that table, in the order of the classes; the last one is the clinical positive."""
    subgroups: tuple[str, ...] = ()
    """Further columns of that table, such as sex or ward: `evaluate` gives the scores of each of their values, too."""
    synthetic: Synthetic = Synthetic()
    prepared: FolderUri | None = None
    """Folder or URI of the prepared Parquet shards; by default made under the storage path."""
    on_bad_file: OnBadFile = "refuse"
    """Damaged recordings: `refuse` names all of them, `skip` leaves them out, and counts and names them."""
    pascal_sets: tuple[Literal["a", "b"], ...] = Field(default=("b",), min_length=1)
    """Set A was recorded by phone and set B by a stethoscope; they are joined only when both are named."""
    sample_rate: int = Field(default=5000, ge=1000, le=48_000)
    """Hz; recordings of any rate are resampled to it."""
    band_hz: tuple[float, float] = (25.0, 400.0)
    """Pass band; murmurs lie inside it."""
    unit: Literal["cycle", "window"] = "cycle"
    """A sample is a heart cycle resampled to `num_samples`, or a window of fixed length."""
    num_samples: int = Field(default=4000, ge=64, le=100_000)
    """Values of one sample."""
    window_s: float = Field(default=2.0, gt=0)
    """Seconds of a window."""
    hop_s: float = Field(default=1.0, gt=0)
    """Seconds between the starts of two windows."""
    split_seed: int = Field(default=42, ge=0)
    """Seed of the choice of subjects for validation, testing, folds and `shot_ratio`."""
    val_ratio: float = Field(default=0.15, ge=0, lt=1)
    """Share of the subjects to validate on."""
    test_ratio: float = Field(default=0.15, ge=0, lt=1)
    """Share of the subjects to test on, stratified by their labels; it and `split_seed` alone decide the test subjects.
    Pretraining has no test split; of its `withheld_tasks` the subjects of this share are left out."""
    held_out_database: Literal["a", "b", "c", "d", "e", "f"] | None = None
    """physionet2016 only: test on all of this database and on nothing else."""
    tests_all: bool = False
    """Test on every subject, for `evaluate` alone: of data that the model has not learnt from (external validation)."""
    num_folds: int | None = Field(default=None, ge=2)
    """Folds of a cross-validation; see `fold`."""
    fold: int | None = Field(default=None, ge=1)
    """Cross-validation: subjects are dealt to `num_folds` folds, those of number `fold` are tested on, and `test_ratio`
    does not count."""
    shot_ratio: float = Field(default=1.0, gt=0, le=1)
    """Few-shot: share of the training subjects of every stratum that is used, at least one of each."""
    cycles_per_bag: int = Field(default=1, ge=1, le=1024)
    """Fine-tuning with `pooling.cycles` attention only: a training sample is a recording, once in an epoch, of which so
    many cycles (or windows) are drawn. 1: a sample is a cycle."""
    balances_classes: bool = False
    """Training recordings of rarer classes are repeated, up to tenfold, so that classes weigh about the same."""
    inaudible: Literal["patient", "heard", "left_out"] = "patient"
    """circor_murmur only: what recordings are trained as whose patient has a murmur, from places where none was heard:
    as their patient, by what is heard in them (Absent), or not at all. They are always tested on, as their patient."""
    uses_poor_quality: bool = True
    """physionet2016 only: train on recordings that are marked as of poor quality; they are always tested on."""
    filters_cycles: bool = False
    """Drop cycles that are mostly silent or one spike; only for pretraining, as it may drop a class."""
    withheld_tasks: tuple[TaskName, ...] = ()
    """Pretraining only: leave out the subjects that these tasks test on, so that their test sets stay unseen;
    `test_ratio` and `split_seed` must be those of the tasks."""
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        low, high = self.band_hz
        if not 0 < low < high < self.sample_rate / 2:
            raise ValueError(
                f"`band_hz` is {self.band_hz}; it must rise and lie below half of `sample_rate` ({self.sample_rate})"
            )
        if self.val_ratio + self.test_ratio >= 1:
            raise ValueError("`val_ratio` and `test_ratio` together must be below 1, or nothing is left to train on")
        if (self.fold is None) != (self.num_folds is None) or (self.fold or 0) > (self.num_folds or 0):
            raise ValueError(f"`fold` is {self.fold} and `num_folds` {self.num_folds}; give both, `fold` from 1 on")
        if self.fold is not None and self.held_out_database is not None:
            raise ValueError("`fold` and `held_out_database` both choose the test subjects; give one of them")
        if self.num_folds is not None and self.val_ratio + 1 / self.num_folds >= 1:
            raise ValueError(
                "`val_ratio` and the share of a fold together must be below 1, or nothing is left to train on"
            )
        if self.labels is not None and (len(self.classes) < 2 or self.folder is None):
            raise ValueError("`labels` needs `folder`, its sound files, and `classes`, at least two: [normal, murmur]")
        if self.subgroups and self.labels is None:
            raise ValueError("`subgroups` are columns of `labels`, which is not given")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"`classes` are {list(self.classes)}; name each once")
        if not self.synthetic.duration_s >= 2 * self.window_s and self.unit == "window":
            raise ValueError("`window_s` must be at most half of `synthetic.duration_s`")
        return self

    def describe_task(self, task: TaskName) -> HeartTask:
        """Return a task; `labelled` has the classes of these settings."""
        if task != "labelled":
            return TASKS[task]
        return HeartTask("folder", self.classes, len(self.classes) - 1, "recording", PLAIN)


class PretrainData(HeartData):
    """Settings of the phonocardiograms, with other defaults for pretraining than for a task."""

    val_ratio: float = Field(default=0.1, ge=0, lt=1)
    filters_cycles: bool = True
    augmentation: StrongAugmentation = StrongAugmentation()
