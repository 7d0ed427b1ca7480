"""What the machine at hand is good at."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..core.errors import InputError
from ..core.machine import cores, keep_memory

if TYPE_CHECKING:
    from ..config import Trainer


def choose_accelerator(wanted: str) -> str:
    """``gpu`` where there is one, else ``cpu``, for which the process is prepared; a GPU that was asked for and isn't there is refused."""
    if wanted == "gpu" and not torch.cuda.is_available():
        raise InputError(
            "trainer.accelerator is gpu, but no GPU is visible here", valid="auto, cpu", next_step="ask the cluster for a GPU, or use auto"
        )
    chosen = wanted if wanted != "auto" else "gpu" if torch.cuda.is_available() else "cpu"
    if chosen == "cpu":
        keep_memory()
    return chosen


def choose_precision(wanted: str, accelerator: str) -> str:
    """bf16 where the hardware multiplies it fast, 16-mixed on older GPUs, 32 bits elsewhere."""
    if wanted != "auto":
        return wanted
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"
    return "bf16-mixed" if is_bf16_fast() else "32-true"


@functools.cache
def is_bf16_fast() -> bool:
    """Whether this CPU has bf16 dot products (AVX512-BF16 or AMX): there bf16 with channels-last is 2 to 3 times faster."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


class Computing(NamedTuple):
    """Where trained networks compute, and in which precision: ``32-true``, ``16-mixed`` or ``bf16-mixed``.

    ``sample_on``: the device on which tiles of a mosaic are sampled, None: by the host's own sampler.
    """

    device: torch.device
    precision: str
    sample_on: torch.device | None = None

    @classmethod
    def of(cls, options: Trainer | None = None) -> Computing:
        """As a configuration asks for the training; None: what fits the machine."""
        accelerator = choose_accelerator(options.accelerator if options else "auto")
        precision = choose_precision(options.precision if options else "auto", accelerator)
        device, where = torch.device("cuda" if accelerator == "gpu" else "cpu"), options.sample_on if options else "auto"
        return cls(device, precision, device if where == "device" or (where == "auto" and accelerator == "gpu") else None)

    def autocast(self) -> torch.autocast:
        """The context of a forward pass. CPUs know one kind of 16 bits."""
        kind = torch.float16 if self.precision == "16-mixed" and self.device.type == "cuda" else torch.bfloat16
        return torch.autocast(self.device.type, kind, enabled=self.precision != "32-true")


def free_bytes(device: torch.device) -> int:
    """Memory that nobody uses: the GPU's, or this machine's."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


BACKEND = "inductor"
"""What torch.compile makes of a network."""


def compiled(network: torch.nn.Module) -> None:
    """Have a network compiled at its first call, for each shape of its input; names in its state stay."""
    network.compile(backend=BACKEND)


def loader_workers(wanted: int | str) -> int:
    """Loader processes: none on small machines, where starting them costs more than they bring; a few on larger ones."""
    if wanted != "auto":
        return int(wanted)
    return 0 if cores() <= 4 else min(8, cores() // 2)


class GpuLoad:
    """Load and memory of the GPU at work, by NVML, asked at most every few seconds; nothing where there is none or NVML doesn't answer."""

    EVERY_S = 5.0

    def __init__(self, device: torch.device):
        self._handle: Any = None
        self._last: dict[str, Any] = {}
        self._asked = 0.0
        if device.type == "cuda":
            with contextlib.suppress(Exception):  # no driver's library, no rights, another vendor: then nobody knows
                import pynvml

                pynvml.nvmlInit()
                uuid = str(torch.cuda.get_device_properties(device).uuid)
                self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")

    def now(self) -> dict[str, Any]:
        """``gpu`` [%] and ``gpu_gb``."""
        if self._handle is not None and time.monotonic() - self._asked > self.EVERY_S:
            self._asked = time.monotonic()
            with contextlib.suppress(Exception):
                import pynvml

                used = pynvml.nvmlDeviceGetMemoryInfo(self._handle).used
                self._last = {"gpu": int(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu), "gpu_gb": round(used / 1e9, 1)}
        return self._last
