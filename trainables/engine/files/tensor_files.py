"""Tensors as safetensors files, as a stream of bytes; many or large ones are split into files of bounded size.

The format is that of the safetensors library, which reads every file: the length of a header as 8 bytes, the header
in JSON, then the tensors' bytes.
"""

import json
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

MAX_PART_BYTES = 2**30
"""Most bytes of the tensors in one file."""
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of the types in a header."""
CUT = "cut"
"""Entry of a header's metadata: of each piece of a tensor that was too large its tensor's name, start and shape."""


@dataclass(frozen=True)
class Shard:
    """Part of a tensor that a rank has: consecutive elements of the flattened tensor."""

    part: Tensor
    """Flat."""
    start: int
    """Place of its first element."""
    shape: list[int]
    """Shape of the complete tensor."""


def is_plain(tensor: Tensor) -> bool:
    """Return whether the format has tensors of this kind: dense ones of the types above."""
    return tensor.layout == torch.strided and not tensor.is_quantized and tensor.dtype in DTYPES


@dataclass
class Part:
    """Content of one file."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    cut: dict[str, tuple[str, int, list[int]]] = field(default_factory=dict)
    """Of each entry that is a piece of a flattened tensor: the tensor's name, the piece's start, the tensor's shape."""
    num_bytes: int = 0

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes of the file. Raises ValueError for a type of tensors that the format does not have."""
        # larger types first, so that every tensor lies at a multiple of its type's size
        ordered = sorted(self.tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
        header, end = {}, 0
        for name, tensor in ordered:
            if tensor.dtype not in DTYPES:
                known = ", ".join(str(dtype) for dtype in DTYPES)
                raise ValueError(f"the tensor {name} is of {tensor.dtype}, which is not saved; allowed are {known}")
            start, end = end, end + tensor.nbytes
            header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        metadata = {"__metadata__": {CUT: json.dumps(self.cut)}} if self.cut else {}
        text = json.dumps({**metadata, **header}, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        yield struct.pack("<Q", len(text)) + text
        for _, tensor in ordered:
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            yield flat.view(torch.uint8).numpy().data


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors of any size into one file; tied tensors are written once for each name."""
    with file.open("wb") as stream:
        stream.writelines(Part(dict(tensors)).chunks())


def split_tensors(group: str, tensors: Mapping[str, Tensor | Shard], rank: int = 0) -> dict[str, Part]:
    """Return the files of the tensors that a rank writes, by name.

    `group` is what they are, such as `model`; the first file of rank 0 is `model.safetensors`. The names are unique
    over the ranks, but for shards of one tensor.
    """
    parts = [Part()]
    for name, value in tensors.items():
        for key, piece, cut in _pieces(name, value):
            if parts[-1].num_bytes + piece.nbytes > MAX_PART_BYTES:
                parts.append(Part())
            parts[-1].tensors[key] = piece
            parts[-1].num_bytes += piece.nbytes
            if cut:
                parts[-1].cut[key] = cut
    parts = [part for part in parts if part.tensors] or parts[:1]
    names = [f"{group}.rank_{rank}_part_{number}.safetensors" for number in range(1, len(parts) + 1)]
    if rank == 0:
        names[0] = f"{group}.safetensors"
    return dict(zip(names, parts, strict=True))


def _pieces(name: str, value: Tensor | Shard) -> Iterator[tuple[str, Tensor, tuple[str, int, list[int]] | None]]:
    """Yield what is written of a tensor: the key, the piece, and its entry of `Part.cut` unless it is all."""
    if isinstance(value, Tensor):
        if value.nbytes <= MAX_PART_BYTES:
            yield name, value, None
            return
        value = Shard(value.detach().reshape(-1), 0, list(value.shape))
    step = MAX_PART_BYTES // value.part.element_size()
    for offset in range(0, len(value.part) or 1, step):
        start = value.start + offset
        yield f"{name}[{start}:]", value.part[offset : offset + step], (name, start, value.shape)


def load_tensors(folder: Path, group: str, prefix: str = "", files: Collection[str] | None = None) -> dict[str, Tensor]:
    """Read the tensors of a group whose names begin with `prefix` from its files in a folder, those of all ranks.

    `group` is as it was given to `split_tensors`, and `prefix` begins the names that are wanted. Other files than
    `files`, such as those of a writer that was cut off, are left alone.
    """
    tensors: dict[str, Tensor] = {}
    others = [file for file in sorted(folder.glob(f"{group}.rank_*.safetensors")) if not files or file.name in files]
    for file in [folder / f"{group}.safetensors", *others]:
        with safe_open(file, "pt") as part:
            cut = json.loads((part.metadata() or {}).get(CUT, "{}"))
            for key in part.keys():  # noqa: SIM118 - it is no mapping
                name, start, shape = cut.get(key, (key, 0, None))
                if not name.startswith(prefix):
                    continue
                found = part.get_tensor(key)
                if shape is None:
                    tensors[name] = found
                    continue
                if name not in tensors:
                    tensors[name] = torch.empty(shape, dtype=found.dtype)
                tensors[name].view(-1)[start : start + len(found)] = found
    return tensors
