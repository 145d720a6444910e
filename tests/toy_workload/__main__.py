"""The command line with the toy workload in the register: `python -m tests.toy_workload VERB EXPERIMENT.yaml`."""

from ray_jobs.cli import main
from trainables.workloads import WORKLOADS, Workload

WORKLOADS["toy"] = Workload(
    config="tests.toy_workload.config:ToyConfig",
    pipeline="tests.toy_workload.pipeline:ToyPipeline",
    task="tests.toy_workload.task:ToyTask",
)
raise SystemExit(main())
