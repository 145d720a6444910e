"""The lines on the terminal, character by character."""

from typing import Any

import pytest

from tests.trainables.workloads.super_resolution.conftest import tiny_config
from trainables.contract.progress_snapshot import ProgressSnapshot
from trainables.workloads import console_lines

ROW = {
    "train/l1": 0.5,
    "val/psnr": 26.1,
    "val/best_psnr": 26.25,
    "val/best_epoch": 1,
    "baseline/val/psnr": 25.65,
}


def moment(**changes: Any) -> ProgressSnapshot:
    settings: dict[str, Any] = {
        "epoch": 1,
        "starts_epoch": False,
        "learning_rate": 2e-4,
        "row": {"train/l1": 0.5},
        "samples_done": 80,
        "samples_per_epoch": 945,
        "epoch_means": {"train/loss": 0.0957, "train/l1": 0.0957},
        "computing_s": 4.23,
        "waiting_s": 0.06,
        "evaluation_s": 0.0,
    }
    return ProgressSnapshot(**(settings | changes))


UC_MERCED = {"source": "uc_merced", "scales": [4]}


def lines(data: Any = None, loss: str = "1*L1", evaluation: Any = None, **changes: Any) -> list[str]:
    config = tiny_config(data=data or UC_MERCED, loss=loss, evaluation=evaluation or {})
    return list(console_lines(config, moment(**changes)) or ())


def test_an_epoch_begins_with_its_number_and_learning_rate():
    assert lines(row=None, starts_epoch=True) == ["[Epoch 1]\tLearning rate: 2.00e-4"]
    assert lines(row=None, starts_epoch=True, learning_rate=1.2345e-10)[0].endswith("1.23e-10")


def test_steps_tell_samples_running_means_and_seconds():
    assert lines() == ["[80/945]\t[L1: 0.0957]\t4.2+0.1s"]


def test_several_terms_have_a_bracket_each_and_a_total():
    means = {"train/loss": 0.75, "train/l1": 0.5, "train/fft": 0.25}
    assert lines(loss="1*L1+0.1*FFT", epoch_means=means) == [
        "[80/945]\t[L1: 0.5000][FFT: 0.2500][Total: 0.7500]\t4.2+0.1s"
    ]


def test_an_evaluation_prints_psnr_best_bicubic_and_time():
    found = lines(row=ROW, epoch=3, starts_epoch=True, evaluation_s=1.789)
    assert found[1:] == [
        "[UCMerced x4]\tpsnr: 26.100 (Best: 26.250 @epoch 1)\tbicubic: 25.650",
        "Total time: 1.79s",
        "[Epoch 3]\tLearning rate: 2.00e-4",
    ]


def test_further_scales_have_a_line_each():
    row = {**ROW, "val/x2/psnr": 33.0, "baseline/val/x2/psnr": 30.76}
    found = lines({"source": "uc_merced", "scales": [4, 2]}, row=row)
    assert found[2] == "[UCMerced x2]\tpsnr: 33.000\tbicubic: 30.760"


def test_each_benchmark_has_its_own_line():
    row = {name.replace("val/", "Set5/"): value for name, value in ROW.items()}
    row |= {"B100/psnr": 25.5, "baseline/B100/psnr": 25.25}
    found = lines(evaluation={"benchmark": ["/some/Set5", "/some/B100"]}, row=row)
    assert found[1:] == [
        "[Set5 x4]\tpsnr: 26.100 (Best: 26.250 @epoch 1)\tbicubic: 25.650",
        "[B100 x4]\tpsnr: 25.500\tbicubic: 25.250",
    ]


@pytest.mark.parametrize(
    ("data", "title"),
    [
        ({"source": "div2k"}, "DIV2K"),
        ({"source": "folder", "path": "/some/Fields"}, "Fields"),
        ({"source": "pairs"}, "pairs"),
    ],
)
def test_the_data_have_a_title(data, title):
    assert lines(data, row=ROW)[1].startswith(f"[{title} x4]")
