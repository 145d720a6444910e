"""The command line: `quintet VERB EXPERIMENT [--set section.field=value ...] [--json]`.

`python -m ray_jobs VERB ...` is the same. Each verb is a module of `ray_jobs/commands`; `ray_jobs/exit_codes.py` has
what an exit code says.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from data_pipelines.contract.did_you_mean import suggest
from ray_jobs.arguments import VerbParser, load_target
from ray_jobs.commands import predict
from ray_jobs.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED, TERMINATED
from ray_jobs.terminal import prepare_streams, print_text

NAMES = (
    *("list", "show", "prepare", "train", "repeat", "sweep", "evaluate", "predict"),
    *("app", "export", "report", "sync", "submit", "check", "clean"),
)
VERBS = {name: import_module(f"ray_jobs.commands.{name}") for name in NAMES}
"""The modules of the verbs, in the order of the help; `ray_jobs/commands/__init__.py` says what each has."""
NOT_FOR_JOBS = {"submit", "report", "list", "export", "app", "clean"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        try:
            _import_from_working_folder()
        except FileNotFoundError:
            print_text("error: the working folder was removed; change into one that is there", is_error=True)
            return BAD_INPUT
    prepare_streams()
    os.environ.pop("MPLBACKEND", None)  # a notebook's, which may not be installed here; we draw to files alone
    has_json = "--json" in arguments
    try:
        options = parse(arguments)
        summary = VERBS[options.verb].run(options)
    except ValueError as error:
        return _fail(error, BAD_INPUT, has_json)
    except (RuntimeError, OSError) as error:
        code = BAD_INPUT if getattr(error, "is_bad_input", False) else getattr(error, "exit_code", FAILED)
        return _fail(error, code, has_json)
    except KeyboardInterrupt:
        print_text("interrupted; the same command goes on from the last checkpoint", is_error=True)
        return INTERRUPTED
    except SystemExit as ending:
        if ending.code != signal.SIGTERM:
            raise
        return TERMINATED  # outside of a training Ray answers the signal, with another code
    if has_json and summary:
        print_text(json.dumps(summary))
    return DONE


def _import_from_working_folder() -> None:
    """Put the working folder in front of the paths of imports, where `python -m` has it and a script has not.

    A workload of one's own, `workload.name: package.module:NAME`, is imported from there.
    """
    here = os.getcwd()
    if sys.path[0] not in ("", here):
        sys.path.insert(0, here)


def _fail(error: Exception, code: int, has_json: bool) -> int:
    print_text(f"error: {error}", is_error=True)
    if has_json:
        print_text(json.dumps({"error": str(error)}))
    return code


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line, among them its `verb`.

    Raises ValueError for what is no verb and for arguments that the verb does not have; ends the process after --help.
    """
    parser, parsers = _build_parsers()
    if not words or words[0] in ("-h", "--help"):
        parser.print_help(sys.stdout if words else sys.stderr)
        raise SystemExit(DONE if words else BAD_INPUT)
    # options may stand before the verb, too
    verb = words[0] if not words[0].startswith("-") else next((word for word in words if word in VERBS), words[0])
    if verb not in VERBS:
        raise ValueError(f"{verb!r} is not a verb; {suggest(verb, VERBS)}")
    words = list(words)
    words.remove(verb)
    own = parsers[verb]
    if add_options := getattr(VERBS[verb], "add_workload_options", None):
        add_options(own, words)
    options, rest = own.parse_known_args(words)
    if verb == "submit":  # the rest is another verb's
        options.command, options.check_command = rest, check_words
    else:
        own.refuse(rest)
    options.verb = verb
    return options


def _build_parsers() -> tuple[argparse.ArgumentParser, dict[str, VerbParser]]:
    """Return the parser of the whole command line, which has its help, and those of the verbs."""
    parser = argparse.ArgumentParser(
        prog="quintet",
        usage="quintet VERB [EXPERIMENT] [options]",
        description="Train, evaluate and inspect the experiments of five workloads on Ray.",
        epilog="`quintet VERB --help` has a verb's options and an example.\nstart with: quintet list",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", parser_class=VerbParser)
    parsers: dict[str, VerbParser] = {}
    for name, verb in VERBS.items():
        parsers[name] = verbs.add_parser(
            name,
            prog=f"quintet {name}",
            help=verb.SUMMARY,
            description=verb.DESCRIPTION,
            epilog=f"example:\n  {verb.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verb.add_arguments(parsers[name])
        parsers[name].add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    return parser, parsers


def check_words(words: Sequence[str]) -> Path:
    """Check the words of a command that is to run as a job; returns its experiment or model as it is given.

    Raises ValueError when the command would be refused.
    """
    from ray_jobs.settings.experiment import check_experiment

    if words[0] == "predict":
        return predict.check_job(words, parse)
    options = parse(words)
    jobs = VERBS.keys() - NOT_FOR_JOBS
    if options.verb not in jobs:
        raise ValueError(f"{options.verb!r} is not a verb for a job; {suggest(options.verb, jobs)}")
    if options.experiment is None:
        raise ValueError(f"{options.verb} needs an experiment when it runs as a job; add its file or its name")
    load_target(options, check_experiment)
    return Path(options.experiment)
