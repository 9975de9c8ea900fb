"""A device without float64, as the GPU of a Mac, acted by the CPU: its tensors compute there, and refuse float64.

They say that they are on `meta`, since of `mps` PyTorch asks a library that is on a Mac only.
"""

from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from denoisers import precision

DEVICE = "meta"


class OnMac(torch.Tensor):
    """A tensor of that device; its values lie in `inner`, on the CPU."""

    @staticmethod
    def __new__(cls, inner):
        if inner.dtype is torch.float64:
            raise TypeError("the MPS framework doesn't support float64")
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, **layout, dtype=inner.dtype, device=DEVICE
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return act(func, args, kwargs or {})

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, **options):
        raise TypeError("can't convert mps:0 device type tensor to numpy")


class Dispatch(TorchDispatchMode):
    """Inside, what is made on the device is an OnMac."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return act(func, args, kwargs or {})


class Function(TorchFunctionMode):
    """Inside, what makes tensors of numbers makes them on the CPU first: it is not dispatched."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.new_tensor:
            return torch.tensor(args[1], dtype=args[0].dtype).to(args[0].device)
        if func not in (torch.tensor, torch.as_tensor) or "device" not in kwargs:
            return func(*args, **kwargs)
        device = kwargs.pop("device")
        return func(*args, **kwargs).to(device)


@contextmanager
def mac():
    """Inside, there is the device; without gradients."""
    # Else parameters keep their type.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            patch.object(precision, "WITHOUT", (DEVICE,)),
            # Which knows mps, but not meta.
            patch.object(torch, "autocast", lambda *args, **kwargs: nullcontext()),
            torch.no_grad(),
            Function(),
            Dispatch(),
        ):
            yield DEVICE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


MIXED = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default, torch.ops.aten.index.Tensor)


def act(func, args, kwargs):
    """Call an operator with what its tensors hold; wrap what it returns, where that lies on the device.

    Raises RuntimeError if tensors of both devices meet, as PyTorch does: those of one number may
    lie on the CPU.
    """
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    there = [t for t in tensors if isinstance(t, OnMac)]
    if there and func not in MIXED and any(t.ndim for t in tensors if not isinstance(t, OnMac)):
        raise RuntimeError(
            f"{func}: expected all tensors to be on the same device, but found mps and cpu"
        )
    asked = kwargs.get("device")
    on_device = bool(there) if asked is None else torch.device(asked).type == DEVICE
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    inner_args, inner_kwargs = tree_map_only(OnMac, lambda t: t.inner, (args, kwargs))
    found = func(*inner_args, **inner_kwargs)
    if func._schema.is_mutable:
        return args[0]
    return tree_map_only(torch.Tensor, OnMac, found) if on_device else found
