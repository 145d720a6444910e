"""The verbs of the command line, one file each.

A verb has `SUMMARY`, a line for the list of verbs, `DESCRIPTION` and `EXAMPLE`, a command line. `add_arguments(parser)`
adds its own arguments; `run(options)` does it and returns what `--json` prints. One whose options depend on the
experiment has `add_workload_options(parser, words)` as well. What is slow to import is imported when it is run.
"""
