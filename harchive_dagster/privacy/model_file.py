"""Model files: where an installed distribution keeps one, which weights it holds, and a session that runs it.

What a model is fed and what its numbers mean is for the detectors.
"""

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

CPU = "CPUExecutionProvider"

_GRAPHICS = ("CUDAExecutionProvider", "MIGraphXExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider")
"""What ONNX Runtime offers where a graphics card and the package for it are there, fastest first. TensorRT is left out:
it compiles for minutes at every start."""


_FIRST_BYTES = 512 << 20
"""Of address space, in one piece. What a network needs at its first run lies in pieces, all later ones want it in one:
a store that grows bit by bit holds both, half as much again, and fresh pages cost more than what is put in them."""

_FIRST_SESSION = Lock()
"""`cache` lets two threads in at once, and there is one store for a process."""


def bundled_model(distribution: str, relative: str) -> Path | None:
    """A model file inside an installed package, which is not imported for it; None where either is missing."""
    spec = importlib.util.find_spec(distribution)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / relative).is_file():
            return path
    return None


@cache
def weights_version(*paths: Path) -> str:
    """Twelve hex digits of the SHA-256 over all files together: which weights these are.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()[:12]


def best_providers() -> list[str]:
    """The execution providers to try, best first; the CPU is always the last."""
    import onnxruntime

    offered = onnxruntime.get_available_providers()
    return [*(provider for provider in _GRAPHICS if provider in offered), CPU]


def inference_session(
    model: bytes | str, providers: Sequence[str] = (CPU,), *, shape: Mapping[str, int] | None = None
) -> Any:
    """A session on one thread.

    Args:
        model: the serialized model, or its path where weights lie in files beside it.
        providers: execution providers, best first.
        shape: of the model's open dimensions, by name; ONNX Runtime takes longer where it must expect any.
    """
    import onnxruntime

    with _FIRST_SESSION:
        _share_memory()
    options = onnxruntime.SessionOptions()
    # A second thread spins while it waits: twice the CPU and slower wherever sessions run side by side.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 3  # files list weights that nothing uses, each worth a warning
    for name, length in (shape or {}).items():
        options.add_free_dimension_override_by_name(name, length)
    return onnxruntime.InferenceSession(model, options, providers=list(providers))


@cache
def _share_memory() -> None:
    """One store of working memory for all sessions of the process, which mostly run in turns."""
    import onnxruntime as ort

    of_cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    no_limit = default = -1
    # Until 1.22 a second store is an error: then some other code of the process has made one, which does as well.
    with suppress(RuntimeError):
        ort.create_and_register_allocator(of_cpu, ort.OrtArenaCfg(0, default, _FIRST_BYTES, no_limit))
