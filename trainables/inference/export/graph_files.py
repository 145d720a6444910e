"""Graphs as files: programs of torch.export (`.pt2`) and ONNX, each compared with the network it was made from."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from trainables.contract.export import Axis, Graph

TOLERANCE = 1e-4
"""Largest difference to the network, for outputs up to 1 in size; relative to the largest output above that."""
MAX_ONNX_FILE = 1_500_000_000
"""Bytes of weights beyond which they lie in a file of their own; ONNX's format ends at 2 GB."""

Run = Callable[[Sequence[Tensor]], Tensor]


def trace(graph: Graph) -> ExportedProgram:
    """Trace a graph of which the named dimensions stay free; the module is in eval mode, on the CPU."""
    dims = {axis.name: Dim(axis.name, min=axis.minimum) for axis in free_axes(graph)}
    shapes = tuple(
        {place: dims[axis.name] for place, axis in enumerate(each.shape) if isinstance(axis, Axis)}
        for each in graph.inputs
    )
    with torch.no_grad():
        # what follows from sizes is then checked when the program runs, where it cannot be proved now
        return torch.export.export(
            graph.module,
            tuple(draw_inputs(graph, {})),
            dynamic_shapes=shapes,
            prefer_deferred_runtime_asserts_over_guards=True,
        )


def write_pt2(program: ExportedProgram, graph: Graph, folder: Path) -> float:
    """Write `<name>.pt2`; returns the largest difference of its outputs to those of the network.

    Raises RuntimeError when it is above `TOLERANCE`.
    """
    file = folder / f"{graph.name}.pt2"
    torch.export.save(program, file)
    module = torch.export.load(file).module()
    return _compare(graph, lambda inputs: module(*inputs), file)


def write_onnx(program: ExportedProgram, graph: Graph, folder: Path) -> float:
    """Write `<name>.onnx`; returns and raises as `write_pt2`, computing with onnxruntime on the CPU."""
    import onnxruntime

    file = folder / f"{graph.name}.onnx"
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    torch.onnx.export(
        program,
        f=file,
        input_names=[each.name for each in graph.inputs],
        output_names=[graph.output.name],
        external_data=num_bytes > MAX_ONNX_FILE,
        verbose=False,
    )
    _name_axes(file, graph)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(inputs: Sequence[Tensor]) -> Tensor:
        names = [each.name for each in graph.inputs]
        [output] = session.run(None, {name: each.numpy() for name, each in zip(names, inputs, strict=True)})
        return torch.from_numpy(output)

    return _compare(graph, run, file)


def free_axes(graph: Graph) -> list[Axis]:
    """Return the free dimensions of a graph, each once."""
    return list(dict.fromkeys(axis for each in graph.inputs for axis in each.shape if isinstance(axis, Axis)))


def draw_inputs(graph: Graph, sizes: Mapping[str, int]) -> list[Tensor]:
    """Draw inputs with the sizes given, and those of the examples else; always the same for the same sizes."""
    generator = torch.Generator().manual_seed(0)
    examples = {axis.name: axis.example for axis in free_axes(graph)}
    return [each.draw({**examples, **sizes}, generator) for each in graph.inputs]


def _compare(graph: Graph, run: Run, file: Path) -> float:
    """Return the largest difference over several sizes of the free dimensions, smallest and larger ones."""
    smallest = {axis.name: axis.minimum for axis in free_axes(graph)}
    larger = {axis.name: 2 * axis.example + 1 for axis in free_axes(graph)}
    largest = 0.0
    for sizes in (smallest, {}, larger):
        inputs = draw_inputs(graph, sizes)
        with torch.no_grad():
            expected = graph.module(*inputs)
            found = run(inputs)
        difference = float((found - expected).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise RuntimeError(
                f"{file.name} gives other outputs than the network: {difference:.3g} apart for inputs of the shapes "
                f"{[list(each.shape) for each in inputs]}; it is not written"
            )
        largest = max(largest, difference)
    return largest


def _name_axes(file: Path, graph: Graph) -> None:
    """Give the free dimensions in an ONNX file their names, which tracing has replaced by symbols."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    names: dict[str, str] = {}
    for described, stored in zip(graph.inputs, model.graph.input, strict=True):
        for axis, size in zip(described.shape, stored.type.tensor_type.shape.dim, strict=True):
            if isinstance(axis, Axis):
                names[size.dim_param] = axis.name
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), size.dim_param)
    onnx.save(model, file)
