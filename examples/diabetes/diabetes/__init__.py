"""Progression of diabetes after a year, from ten measurements: a workload of its own package."""

from trainables.workloads import Workload

DIABETES = Workload(
    config="diabetes.config:DiabetesConfig",
    pipeline="diabetes.data:build_pipeline",
    task="diabetes.task:DiabetesTask",
)
