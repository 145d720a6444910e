"""The command line with the toy workload in the register: `python -m tests.toy_workload VERB EXPERIMENT.yaml`."""

from ray_jobs.cli import main
from tests.toy_workload import TOY
from trainables.workloads import WORKLOADS

WORKLOADS["toy"] = TOY
raise SystemExit(main())
