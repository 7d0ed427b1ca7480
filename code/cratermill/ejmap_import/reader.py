"""Takes the weights out of a pickled checkpoint: ``python reader.py CHECKPOINT OUT``, run as a process of its own and never imported.

Of the file's classes only tensors and plain containers are made; every other name becomes a stand-in that does nothing.
Writes ``OUT/weights.safetensors`` (what lies under ``state_dict``) and ``OUT/facts.json``.
"""

import json
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file

REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")


class StandIn:
    """In the place of any class or function that the file names."""

    def __new__(cls, *_, **__):
        return object.__new__(cls)

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, _state):
        pass

    def __setitem__(self, _key, _value):
        pass

    def __call__(self, *_, **__):
        return StandIn()

    def append(self, *_):
        pass

    extend = add = update = append


met: set[str] = set()


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in REBUILD:
            return getattr(torch._utils, name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if (module, name) == ("torch", "Size"):
            return torch.Size
        met.add(f"{module}.{name}")
        return StandIn


def main(checkpoint: Path, out: Path) -> None:
    tools = SimpleNamespace(Unpickler=Unpickler, load=lambda file, **options: Unpickler(file, **options).load(), __name__="reader")
    content = torch.load(checkpoint, map_location="cpu", pickle_module=tools, weights_only=False)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        sys.exit("it holds no state_dict")
    # Tensors that share memory must each have their own for safetensors.
    save_file(
        {name: value.detach().clone().contiguous() for name, value in state.items() if torch.is_tensor(value)}, out / "weights.safetensors"
    )
    epoch = content.get("epoch")
    facts = {"epoch": epoch if isinstance(epoch, int) else -1, "stand_ins": sorted(met)}
    (out / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
