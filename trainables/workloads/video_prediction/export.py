"""Export of a network that predicts frames, and of the words and code by which a diffusion is stepped to them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from trainables.contract.export import BATCH, ExportSpec, Graph, GraphInput, GraphOutput
from trainables.workloads.video_prediction.config import VideoPredictionConfig
from trainables.workloads.video_prediction.diffusion.process import Process
from trainables.workloads.video_prediction.diffusion.sampling import choose_timesteps
from trainables.workloads.video_prediction.network_config import DiT
from trainables.workloads.video_prediction.spaces.frame_spaces import Space

ESTIMATES = {
    "eps": ["eps = output", "x_0 = (x_t - (1 - a_t) ** 0.5 * output) / a_t**0.5"],
    "x0": ["x_0 = output", "eps = (x_t - a_t**0.5 * output) / (1 - a_t) ** 0.5"],
    "v": ["x_0 = a_t**0.5 * x_t - (1 - a_t) ** 0.5 * output", "eps = (1 - a_t) ** 0.5 * x_t + a_t**0.5 * output"],
}
"""The two parts of x_t by what the network predicts; code in Python too, as all that follows."""
CLAMP = ["x_0 = x_0.clip(-1, 1)", "eps = (x_t - a_t**0.5 * x_0) / (1 - a_t) ** 0.5"]
VARIANCE = "variance = (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)"
UPDATES = {
    "ddim": ["x_t = a_s**0.5 * x_0 + (1 - a_s - eta**2 * variance) ** 0.5 * eps + eta * variance**0.5 * z"],
    "ddpm": [
        "mean = a_s**0.5 * (1 - a_t / a_s) / (1 - a_t) * x_0",
        "x_t = mean + (a_t / a_s) ** 0.5 * (1 - a_s) / (1 - a_t) * x_t + variance**0.5 * z",
    ],
}
_BUILD_DIT = """
from trainables.workloads.video_prediction.network_config import DiT
from trainables.workloads.video_prediction.networks.dit import VideoDiT

made = dict(card["architecture"])
made.pop("num_past")
module = weights_of = VideoDiT(DiT(**made.pop("network")), **made)
"""
_BUILD_SIMVP = """
from trainables.workloads.video_prediction.network_config import ConvolutionalBaseline
from trainables.workloads.video_prediction.networks.simvp import SimVP

made = card["architecture"]
sizes = {name: made[name] for name in ("channels", "num_past", "num_future")}
module = weights_of = SimVP(ConvolutionalBaseline(**made["network"]), **sizes)
"""
_USE = """
sampler = card["sampler"]
past = rng.uniform(-1, 1, (1, {num_past}, {frame})).astype(np.float32)  # yours: the past frames
x_t = rng.standard_normal((1, {num_future}, {frame})).astype(np.float32)
eta, alpha_bars = sampler["eta"], sampler["alpha_bars"]
for number, t in enumerate(sampler["timesteps"]):
    a_t, a_s = alpha_bars[number], alpha_bars[number + 1]
    output = network(x_t, np.full(len(x_t), t), past)
    z = rng.standard_normal(x_t.shape).astype(np.float32)
    {step}
print(x_t.shape)
"""


def describe_network(
    network: nn.Module, config: VideoPredictionConfig, space: Space, data_spec: Mapping[str, Any]
) -> ExportSpec:
    """Describe a network for its export, with the sampler of its evaluation."""
    data, frame = config.data, (space.channels, space.height, space.width)
    kind = "pixels divided by 127.5, minus 1" if config.latents is None else "scaled latents"
    words, bounds = f"past frames, the oldest first: {kind}", (-1, 1) if space.is_bounded else None
    past = GraphInput("past", (BATCH, data.num_past, *frame), words, range=bounds)
    output = GraphOutput("output", ("batch", data.num_future, *frame), "the future frames in the form of the past ones")
    shared = {
        "architecture": {
            "network": config.network.model_dump(mode="json"),
            **dict(zip(("channels", "height", "width"), frame, strict=True)),
            "num_past": data.num_past,
            "num_future": data.num_future,
        },
        "preprocessing": _preprocessing(config),
        "data": {"source": config.data.source, "frames_apart": config.data.sample_interval, **data_spec},
        "tags": ["video-prediction", config.network.name],
        "pipeline_tag": "video-to-video",
    }
    limits = [f"It takes {data.num_past} frames of one size and predicts {data.num_future}."]
    if not isinstance(config.network, DiT):
        summary = f"A network that predicts {data.num_future} frames of a video from {data.num_past} in one call."
        graphs = [Graph(network, [past], output)]
        return ExportSpec(summary, network, graphs, limits=limits, build_code=_BUILD_SIMVP, **shared)
    sampler = describe_sampler(config, is_bounded=space.is_bounded)
    return ExportSpec(
        f"A diffusion that predicts {data.num_future} frames of a video from {data.num_past}.",
        network,
        [_diffusion_graph(network, config, past)],
        sampler=sampler,
        limits=[*limits, "One call is one step: frames need all steps of the sampler."],
        build_code=_BUILD_DIT,
        use_code=_USE.format(
            num_past=data.num_past,
            num_future=data.num_future,
            frame=", ".join(map(str, frame)),
            step="\n    ".join(sampler["step"]),
        ),
        **shared,
    )


def describe_sampler(config: VideoPredictionConfig, *, is_bounded: bool) -> dict[str, Any]:
    """Return how future frames are drawn: timesteps, constants, and the lines of one step."""
    sampling, process = config.evaluation.sampling, Process(config.diffusion)
    times = choose_timesteps(sampling.num_steps, process.num_timesteps)
    clamp = CLAMP if is_bounded and sampling.clamps_x0 else []
    return {
        "equation": "x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps, from noise x_t ~ N(0, I) to frames x_0",
        "prediction": config.diffusion.prediction,
        "method": sampling.method,
        "eta": sampling.eta if sampling.method == "ddim" else 1.0,
        "timesteps": times,
        "alpha_bars": [*(float(process.alpha_bars[t]) for t in times), 1.0],
        "a_t, a_s": "step n of the timesteps t has a_t = alpha_bars[n] and a_s = alpha_bars[n + 1]",
        "output": "the network's output for x_t, the timestep t of each sample, and the past frames",
        "z": "noise from N(0, I), drawn anew in each step; its factor is 0 where sampling is deterministic",
        "step": [*ESTIMATES[config.diffusion.prediction], *clamp, VARIANCE, *UPDATES[sampling.method]],
        "result": "x_t after the last step" + (": (x_t + 1) / 2 is from 0 to 1" if is_bounded else ", scaled latents"),
    }


def _diffusion_graph(network: nn.Module, config: VideoPredictionConfig, past: GraphInput) -> Graph:
    shape = (BATCH, config.data.num_future, *past.shape[2:])
    inputs = [
        GraphInput("x_t", shape, "the future frames on their way, at first noise from N(0, I)"),
        GraphInput("t", (BATCH,), "the timestep", torch.int64, (0, config.diffusion.num_timesteps - 1)),
        past,
    ]
    words = {"eps": "the noise", "x0": "the clean frames", "v": "v = sqrt(a_t) eps - sqrt(1 - a_t) x_0"}
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    return Graph(network, inputs, GraphOutput("output", ("batch", *sizes), words[config.diffusion.prediction]))


def _preprocessing(config: VideoPredictionConfig) -> dict[str, Any]:
    pixels = "frames of 8 bits divided by 127.5, minus 1"
    if config.latents is None:
        return {"frames": pixels}
    return {
        "frames": f"{pixels}, then encoded by the Stable-Diffusion autoencoder of the training, which is not part of "
        "the export: the means of its latents, times `scale`",
        "scale": config.latents.scale,
        "result": "divided by `scale`, decoded by the same autoencoder",
    }
