"""The example workload of the documentation with kill switches, for tests of faults and resumption."""

from trainables.workloads import Workload

TOY = Workload(
    config="tests.toy_workload.config:ToyConfig",
    pipeline="tests.toy_workload.pipeline:ToyPipeline",
    task="tests.toy_workload.task:ToyTask",
)
