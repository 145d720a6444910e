"""Export of a velocity network, and of the words and code by which it is stepped from noise to pictures."""

from collections.abc import Mapping
from typing import Any

import torch

from trainables.contract.export import BATCH, ExportSpec, Graph, GraphInput, GraphOutput
from trainables.workloads.flow_matching.config import FlowMatchingConfig, Sampling
from trainables.workloads.flow_matching.flow.network import VelocityNetwork

STEPS = {
    "euler": ["x = x + h * v(t, x)"],
    "midpoint": ["x = x + h * v(t + h / 2, x + h / 2 * v(t, x))"],
    "heun": ["k_1 = v(t, x)", "x = x + h / 2 * (k_1 + v(t + h, x + h * k_1))"],
    "rk4": [
        "k_1 = v(t, x)",
        "k_2 = v(t + h / 2, x + h / 2 * k_1)",
        "k_3 = v(t + h / 2, x + h / 2 * k_2)",
        "k_4 = v(t + h, x + h * k_3)",
        "x = x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)",
    ],
}
"""One step of each solver from t to t + h, which is code in Python too."""
IN_PLACE_OF_DOPRI5 = Sampling(solver="heun", nfe=100, guidance=1.0)
"""Steps that can be written down, for a model that was evaluated with adaptive ones."""
_BUILD = """
from trainables.workloads.flow_matching.config import Network
from trainables.workloads.flow_matching.flow.network import VelocityNetwork

made = card["architecture"]
module = weights_of = VelocityNetwork(
    Network(**made["network"]), channels=made["channels"], num_classes=len(card["classes"])
)
"""
_USE = """
sampler = card["sampler"]
label = np.array([0, 1])  # yours: numbers of classes, one for each picture
x = rng.standard_normal((len(label), {shape})).astype(np.float32)


def v(t, x):
    time = np.full(len(x), t, np.float32)
    v_label = network(x, time, label)
    if sampler["guidance"] == 1:
        return v_label
    v_null = network(x, time, np.full_like(label, sampler["null_label"]))
    return v_null + sampler["guidance"] * (v_label - v_null)


{times}
    {step}
pictures = (x.clip(-1, 1) * 127.5 + 127.5).round().astype(np.uint8)
print(pictures.shape)
"""
_EVEN = """h = 1 / sampler["num_steps"]
for i in range(sampler["num_steps"]):
    t = i * h"""
_UNEVEN = """for t, end in zip(sampler["edges"], sampler["edges"][1:]):
    h = end - t"""


def describe_network(network: VelocityNetwork, config: FlowMatchingConfig, data_spec: Mapping[str, Any]) -> ExportSpec:
    """Describe a velocity network for its export, with the sampler of its evaluation."""
    names = list(data_spec["class_names"])
    shape = (data_spec["channels"], data_spec["height"], data_spec["width"])
    inputs = [
        GraphInput("x", (BATCH, *shape), "the pictures on their way, at t = 0 noise from N(0, I)"),
        GraphInput("t", (BATCH,), "the time, from 0 (noise) to 1 (pictures)", range=(0, 1)),
        GraphInput("label", (BATCH,), f"the class; {len(names)} means none", torch.int64, (0, len(names))),
    ]
    output = GraphOutput("velocity", ("batch", *shape), "the velocity d x / d t")
    sampler = describe_sampler(config.evaluation.sampling, len(names))
    return ExportSpec(
        "A network that generates pictures of a class from noise (flow matching).",
        network,
        [Graph(network, inputs, output)],
        architecture={"network": config.network.model_dump(mode="json"), "channels": shape[0]},
        class_names=names,
        sampler=sampler,
        data={"source": config.data.source, **{name: data_spec[name] for name in ("channels", "height", "width")}},
        limits=[
            "One call is one step: pictures need all steps of the sampler.",
            f"It generates pictures of {shape[2]}x{shape[1]} pixels and of the classes that it knows.",
            *_on_metrics(config.evaluation.sampling),
        ],
        tags=["flow-matching", "rectified-flow"],
        pipeline_tag="unconditional-image-generation",
        build_code=_BUILD,
        use_code=_USE.format(
            shape=", ".join(map(str, shape)),
            times=_UNEVEN if "edges" in sampler else _EVEN,
            step="\n    ".join(sampler["step"]),
        ),
    )


def describe_sampler(sampling: Sampling, null_label: int) -> dict[str, Any]:
    """Return how pictures are drawn; for dopri5, which chooses its own steps, fixed steps in its place."""
    fixed = (
        sampling if sampling.solver in STEPS else IN_PLACE_OF_DOPRI5.model_copy(update={"guidance": sampling.guidance})
    )
    return {
        "equation": "d x / d t = v(t, x), from noise x ~ N(0, I) at t = 0 to pictures at t = 1",
        "solver": fixed.solver,
        "num_steps": fixed.num_steps,
        **_times(fixed),
        "step": STEPS[fixed.solver],
        "v": "v(t, x) = v_null + guidance * (v_label - v_null), where v_label is the network's output for the class "
        "and v_null that for null_label; guidance 1 needs v_label alone",
        "guidance": fixed.guidance,
        "null_label": null_label,
        "result": "x at t = 1: clamped to -1..1, times 127.5, plus 127.5, rounded: pixels from 0 to 255",
    }


def _times(sampling: Sampling) -> dict[str, Any]:
    if sampling.shift == 1:
        return {"times": "h = 1 / num_steps; step i of num_steps begins at t = i * h"}
    words = "step i of num_steps goes from t = edges[i] to edges[i + 1], and h is the time between them"
    return {"times": words, "edges": sampling.edges}


def _on_metrics(sampling: Sampling) -> list[str]:
    if sampling.solver in STEPS:
        return []
    return [f"The evaluation took {sampling.solver} with a tolerance of {sampling.tolerance:g}, no fixed steps."]
