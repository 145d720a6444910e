"""Console lines in the form that users of EDSR-like super-resolution code expect."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING

from data_pipelines.storage.uri import last_name
from trainables.contract.progress_snapshot import ProgressSnapshot
from trainables.workloads.super_resolution.loss_grammar import parse_loss

if TYPE_CHECKING:
    from trainables.workloads.super_resolution.config import SuperResolutionConfig

_TITLES = {"uc_merced": "UCMerced", "div2k": "DIV2K", "photographs": "Photographs"}


def format_lines(config: "SuperResolutionConfig", moment: ProgressSnapshot) -> list[str]:
    """Format steps, then an evaluation if there was one, then the head of the epoch that begins."""
    lines: list[str] = []
    if moment.row is not None:
        lines.append(_format_steps(config, moment))
        lines += _format_evaluation(config, moment.row)
    if moment.evaluation_s:
        lines.append(f"Total time: {moment.evaluation_s:.2f}s")
    if moment.starts_epoch:
        lines.append(f"[Epoch {moment.epoch}]\tLearning rate: {_scientific(moment.learning_rate)}")
    return lines


def _format_steps(config: "SuperResolutionConfig", moment: ProgressSnapshot) -> str:
    """Format samples, means of the epoch, computing and waiting time: `[80/945]  [L1: 0.0957]  4.2+0.1s`."""
    terms = parse_loss(config.loss)
    means = moment.epoch_means
    losses = "".join(f"[{term.type}: {means.get(f'train/{term.metric}', float('nan')):.4f}]" for term in terms)
    if len(terms) > 1:
        losses += f"[Total: {means.get('train/loss', float('nan')):.4f}]"
    done = f"[{moment.samples_done}/{moment.samples_per_epoch}]"
    return f"{done}\t{losses}\t{moment.computing_s:.1f}+{moment.waiting_s:.1f}s"


def _format_evaluation(config: "SuperResolutionConfig", row: Mapping[str, float]) -> Iterator[str]:
    """Yield one line for each benchmark and scale.

    For example `[UCMerced x4]  psnr: 26.100 (Best: 26.100 @epoch 1)  bicubic: 25.123`.
    """
    for place, (index, scale) in product(config.measured, enumerate(config.data.scales)):
        name = f"{place}/psnr" if index == 0 else f"{place}/x{scale}/psnr"
        if name not in row:
            continue
        best = ""
        if index == 0 and f"{place}/best_psnr" in row:
            best = f" (Best: {row[f'{place}/best_psnr']:.3f} @epoch {row[f'{place}/best_epoch']:.0f})"
        title = place if config.evaluation.benchmark else _title(config)
        yield f"[{title} x{scale}]\tpsnr: {row[name]:.3f}{best}\tbicubic: {row[f'baseline/{name}']:.3f}"


def _title(config: "SuperResolutionConfig") -> str:
    if config.data.source in _TITLES:
        return _TITLES[config.data.source]
    folder = config.data.path or config.data.prepared
    return last_name(str(folder)) if folder else config.data.source


def _scientific(value: float) -> str:
    """Format as `2.00e-4`, without the zero that Python writes before one digit of an exponent."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
