"""The coder and the quantiser on NVIDIA GPUs: kernels in CUDA C++, launched through CuPy.

`batch_encoder.py` and `batch_decoder.py` work on a batch of packets in the memory of a device,
`kernels.py` offers the interface of the other implementations. Importing this package loads neither
CuPy nor a driver. `docs/cuda.md` describes the kernels.
"""

from .kernels import CudaKernels

__all__ = ["CudaKernels"]
