"""Settings of the pruning workload: names of runs, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.settings.experiment import check_settings
from tests.settings import problems_of
from trainables.workloads import config_class
from trainables.workloads.pruning.config import PruningConfig

EXPERIMENTS = Path(__file__).resolve().parents[4] / "ray_jobs/experiments"


def build(**settings: Any) -> PruningConfig:
    return PruningConfig.model_validate({"pretrained": "weights.pth", **settings})


def test_run_names_are_made_of_the_parts_of_the_contract():
    rsst = build(
        struct="rsst",
        arch="vit_small",
        data={"source": "cifar100"},
        regularisation={"schedule": "exp_custom_exponents", "reg_granularity_prune": 0.5, "exponents": 3},
        criteria="l1",
        rate=0.15,
    )
    expected = "rsst_vit_small_cifar100_sched_exp_custom_exponents_reg_0.5_exp3_crit_l1_rate_0.15_pretrained"
    assert "_".join(rsst.run_name_parts) == expected
    refill = build(
        struct="refill",
        arch="vit_small",
        data={"source": "cifar100"},
        fillback_rate=0.1,
        criteria="magnitude",
        rate=0.2,
    )
    assert "_".join(refill.run_name_parts) == "refill_vit_small_cifar100_fill_0.1_crit_magnitude_rate_0.2_pretrained"


@pytest.mark.parametrize("schedule", ["x", "x^2", "x^3", "exp", "exp_custom"])
def test_exponents_are_named_for_their_schedule_alone(schedule):
    config = build(
        arch="res20s", pretrained=None, regularisation={"schedule": schedule, "reg_granularity_prune": 1}, criteria="l2"
    )
    assert config.run_name_parts == ("rsst", "res20s", "digits", f"sched_{schedule}", "reg_1.0", "crit_l2", "rate_0.2")


def test_the_usual_exponent_of_a_resnet_is_not_named():
    usual, other = (
        build(arch="res20s", pretrained=None, regularisation={"exponents": exponents}) for exponents in (4, 3)
    )
    assert usual.run_name_parts[3:5] == ("sched_exp_custom_exponents", "reg_1.0")
    assert not any(part.startswith("exp") for part in usual.run_name_parts) and "exp3" in other.run_name_parts


@pytest.mark.parametrize("arch", ["res20s", "res32s", "res44s", "res56s", "res18"])
def test_a_resnets_run_has_the_documents_form_of_name(arch):
    config = build(arch=arch, pretrained=None, data={"source": "cifar100"})
    name = f"rsst_{arch}_cifar100_sched_exp_custom_exponents_reg_1.0_crit_l1_rate_0.2"
    assert "_".join(config.run_name_parts) == name


def test_a_target_stands_in_the_name_in_place_of_the_rate():
    config = build(arch="res56s", pretrained=None, struct="refill", target_macs=0.5, criteria="group_l2")
    assert config.rate is None and config.run_name_parts[-2:] == ("crit_group_l2", "macs_0.5")
    assert PruningConfig.model_validate(config.model_dump()) == config


def test_a_target_in_latency_stands_in_the_name_too():
    config = build(arch="res56s", pretrained=None, struct="refill", target_latency=0.5)
    assert config.rate is None and config.run_name_parts[-1] == "latency_0.5"
    assert PruningConfig.model_validate(config.model_dump()) == config


def test_without_given_weights_pixels_are_normalised_as_before():
    assert build(pretrained=None).normalisation == "dataset" and build().normalisation is None
    assert build(pretrained=None, normalisation="imagenet").normalisation == "imagenet"


def test_equal_factors_lead_to_the_target():
    config = build(target_macs=0.25, pruning_times=3)
    assert [config.allowed_share(number) for number in range(3)] == pytest.approx([1, 0.5, 0.25])
    by_latency = build(target_latency=0.25, pruning_times=3)
    assert [by_latency.allowed_share(number) for number in range(3)] == pytest.approx([1, 0.5, 0.25])
    assert build().allowed_share(1) is None


def test_refill_without_fillback_prints_it_as_a_float():
    config = build(struct="refill", pretrained=None)
    assert config.run_name_parts == ("refill", "res20s", "digits", "fill_0.0", "crit_l1", "rate_0.2")


def test_other_workloads_have_their_own_data_spec():
    other: type[Any] = config_class("flow_matching")
    assert other().run_name_parts == ("flow_matching", "digits", "independent", "ch128")


@pytest.mark.parametrize(
    ("workload", "key", "words"),
    [
        ({"rate": 0.0}, "workload.rate", "must lie between 0 and 1"),
        ({"rate": 1.0}, "workload.rate", "must lie between 0 and 1"),
        ({"rate": -0.2}, "workload.rate", "must lie between 0 and 1"),
        ({"rate": "0.2"}, "workload.rate", "valid number"),
        ({"criteria": "l3"}, "workload.criteria", "'saliency', 'taylor', 'hessian', 'group_l2' or 'bn_scale'"),
        ({"arch": "res110s"}, "workload.arch", "'res20s', 'res32s', 'res44s', 'res56s' or 'res18'"),
        ({"arch": "vit_tiny", "criteria": "bn_scale"}, "workload", "`criteria: bn_scale` needs batch norms"),
        ({"target_macs": 1.0}, "workload.target_macs", "less than 1"),
        ({"rate": None}, "workload", "`target_macs` is None, `target_latency` is None; give exactly one"),
        (
            {"rate": 0.2, "target_macs": 0.5},
            "workload",
            "`rate` is 0.2, `target_macs` is 0.5, `target_latency` is None",
        ),
        ({"rate": 0.2, "target_latency": 0.5}, "workload", "`target_latency` is 0.5; give exactly one of them"),
        (
            {"target_macs": 0.4, "target_latency": 0.5},
            "workload",
            "`rate` is None, `target_macs` is 0.4, `target_latency` is 0.5; give exactly one of them",
        ),
        ({"target_latency": 1.0}, "workload.target_latency", "less than 1"),
        ({"target_latency": 0.5, "latency_batch_size": 0}, "workload.latency_batch_size", "greater than or equal to 1"),
        ({"target_latency": 0.5, "pruning_times": 1}, "workload", "`target_latency` is given, but `pruning_times: 1`"),
        ({"target_latency": 0.5, "criteria": "remain"}, "workload", "take another with `target_latency`"),
        ({"target_macs": 0.5, "pruning_times": 1}, "workload", "is the dense round alone; set 2 or more"),
        ({"target_macs": 0.5, "criteria": "remain"}, "workload", "counts what a given `rate` leaves"),
        (
            {"target_macs": 0.5, "struct": "refill", "fillback_rate": 0.1},
            "workload",
            "`fillback_rate` keeps units that `target_macs` would remove",
        ),
        (
            {"target_macs": 0.5, "arch": "vit_tiny", "target": "both", "mlp_prune_ratio": 0.3},
            "workload",
            "`mlp_prune_ratio` is a rate, which `target_macs` finds",
        ),
        ({"regularisation": {"schedule": "linear"}}, "workload.regularisation.schedule", "'exp_custom_exponents'"),
        ({"regularisation": {"exponents": 0}}, "workload.regularisation.exponents", "greater than or equal to 1"),
        ({"regularisation": {"hold_ratio": 1.0}}, "workload.regularisation.hold_ratio", "less than 1"),
        ({"target": "head"}, "workload", "`target` is head, but res20s has neither heads nor an MLP"),
        ({"mlp_prune_ratio": 0.3}, "workload", "`mlp_prune_ratio` is given, but res20s has no MLP"),
        ({"arch": "vit_tiny", "mlp_prune_ratio": 0.3}, "workload", "`target` leaves the MLP alone"),
        ({"arch": "vit_tiny", "prunes_residual": True}, "workload", "vit_tiny keeps its residual stream"),
        ({"arch": "vit_tiny", "sorting_mode": "uniform"}, "workload", "layer-wise is the same in vit_tiny"),
        ({"fillback_rate": 0.1}, "workload", "`fillback_rate` is for struct: refill"),
        ({"prune_type": "rewind_lt"}, "workload", "rewind_lt needs it"),
        ({"rewind_epoch": 2}, "workload", "`rewind_epoch` is 2 with prune_type: lt"),
        ({"prune_type": "pt"}, "workload", "rewinds to pretrained weights; give `pretrained`"),
        ({"prune_type": "finetune", "rewind_epoch": 1}, "workload", "`rewind_epoch` is 1 with prune_type: finetune"),
        ({"data": {"validation_ratio": 0}}, "workload.data.validation_ratio", "greater than 0"),
        ({"pruning_times": 0}, "workload.pruning_times", "greater than or equal to 1"),
    ],
)
def test_bad_settings_are_refused_by_name(workload, key, words):
    (problem,) = problems_of({"workload": {"name": "pruning", **workload}, "training": {"epochs": 3}})
    assert problem.startswith(f"{key}: ") and words in problem


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"epochs": 1}, "`workload.rewind_epoch` is 2, but a round has `training.epochs` = 1"),
        ({"max_steps": 100}, "give `training.epochs`, the epochs of one stage"),
        ({"epochs": 2, "evaluate_every": None}, "`training.evaluate_every` is null"),
        ({"epochs": 2, "ema": {}}, "`training.ema` is given, but with struct: rsst"),
    ],
)
def test_a_training_that_does_not_fit_the_rounds_is_refused(training, words):
    workload = {"name": "pruning", "prune_type": "rewind_lt", "rewind_epoch": 2}
    (problem,) = problems_of({"workload": workload, "training": training})
    assert words in problem


@pytest.mark.parametrize(
    ("arch", "target", "kinds"),
    [
        ("vit_tiny", None, ("head",)),
        ("vit_tiny", "mlp", ("neuron",)),
        ("vit_tiny", "both", ("head", "neuron")),
        ("res18", None, ("channel",)),
    ],
)
def test_the_target_says_which_units_are_pruned(arch, target, kinds):
    assert build(arch=arch, target=target).kinds == kinds
    if arch == "res18":
        assert build(arch=arch, prunes_residual=True).kinds == ("channel", "residual")


def test_a_round_is_a_stage_and_the_experiments_are_valid():
    for name in ("rsst_vit_small_cifar100", "refill_vit_small_cifar100", "refill_res20s_cifar10"):
        experiment = load_experiment(EXPERIMENTS / f"pruning_{name}.yaml")
        assert experiment.workload.num_stages > 1
        assert "_".join(experiment.workload.run_name_parts).startswith(name)
    demo = check_settings({"workload": {"name": "pruning", "pruning_times": 1}, "training": {"max_steps": 3}}, "here")
    assert demo.workload.num_stages == 1


def test_rounds_of_rsst_are_not_sharded():
    with pytest.raises(ValueError, match=r"`workload.struct: rsst` regularises .* take struct: refill"):
        build(struct="rsst").check_sharding()
    build(struct="refill").check_sharding()
    build(struct="rsst", pruning_times=1).check_sharding()
