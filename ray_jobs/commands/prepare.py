"""The `prepare` verb: raw data become Parquet shards."""

import argparse
from typing import Any

from ray_jobs.arguments import add_experiment, load_target
from ray_jobs.terminal import print_text

SUMMARY = "turn raw data into Parquet shards; resumable"
DESCRIPTION = """Turn the raw data of an experiment into Parquet shards with a manifest. Where settings only choose
rows, or parts of them, the rows lie in a folder beside, which all such settings share.

An interrupted preparation is resumed by the same command. `train` prepares by itself what is not prepared yet. After a
change of the raw data `--again` writes everything anew."""
EXAMPLE = "quintet prepare flow_matching_cifar10 --set workload.data.path=/data/cifar-10-batches-py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument(
        "--processes",
        metavar="N",
        type=int,
        help="processes at work here; by default as many as CPUs, or the cluster of RAY_ADDRESS, when it pays",
    )
    parser.add_argument("--again", action="store_true", help="write all shards anew, also when they are complete")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Prepare the data of an experiment; returns where they are and how many rows each split has."""
    from data_pipelines.prepared.raw.file_counts import describe_files
    from ray_jobs.console import format_counts
    from ray_jobs.progress_bar import progress_bar
    from ray_jobs.runs.planning import prepare_data

    experiment = load_target(options)
    with progress_bar() as bar:
        folder, manifest = prepare_data(experiment, bar.show_rows, again=options.again, num_processes=options.processes)
    rows = {split: sum(shard.num_rows for shard in shards) for split, shards in manifest.splits.items()}
    print_text(f"prepared in {folder}: {', '.join(f'{count:,} {split} rows' for split, count in rows.items())}")
    stores = [(str(folder.sibling(each.folder)), each.num_rows) for each in manifest.stores]
    for place, count in stores:
        print_text(f"chosen from the {count:,} rows in {place}, which other settings share")
    print_text("\n".join(format_counts(manifest.counts)), end="\n" if manifest.counts else "")
    if manifest.files is not None:
        print_text(describe_files(manifest.files))
    return {
        "folder": str(folder),
        "rows": rows,
        **({"stores": [{"folder": place, "rows": count} for place, count in stores]} if stores else {}),
        **({"files": manifest.files.model_dump()} if manifest.files else {}),
        **({"counts": manifest.counts} if manifest.counts else {}),
    }
