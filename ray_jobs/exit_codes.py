"""What the exit code of a command says; an error of ours may carry one as `exit_code`."""

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 3
"""STOPPED: on request, with a checkpoint; the same command goes on."""
INTERRUPTED, TERMINATED = 130, 143
"""By a second Ctrl-C, or one outside of a training; by SIGTERM, in a training with a checkpoint as well."""
