"""The command line with the toy workload in the register: `python -m tests.toy_workload VERB EXPERIMENT.yaml`."""

from ray_jobs.cli import main
from trainables.workloads import WORKLOADS

WORKLOADS["toy"] = "tests.toy_workload.config:ToyConfig"
raise SystemExit(main())
