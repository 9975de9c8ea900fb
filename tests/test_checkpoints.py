"""What is read without running a checkpoint is what PyTorch makes of it."""

import argparse
import collections
import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from denoisers import checkpoints, pickled
from denoisers.errors import UsageError

BIG = torch.arange(600.0).reshape(20, 30)
OLD = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.complex128,
    torch.bool,
)
OLD += (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
NEW = (torch.float8_e4m3fn, torch.uint16, torch.uint32)  # without a storage of their own
TENSORS = {
    "transposed": BIG.t(),
    "a part": BIG[3:5, ::2],
    "the whole": BIG,
    "empty": torch.zeros(0, 3),
    "one value": torch.tensor(3.0),
    "expanded": torch.ones(1).expand(4, 5),
    "channels last": torch.arange(216.0).reshape(2, 3, 6, 6).to(memory_format=torch.channels_last),
    "a parameter": nn.Parameter(torch.ones(2)),
    "with gradient": torch.ones(2, requires_grad=True),
    **{str(dtype): (torch.arange(6) % 2).reshape(2, 3).to(dtype) for dtype in OLD},
}


def raw(tensor):
    """The bytes of a tensor, for comparison of types that have no equality, or NaN."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_of_torch(zipped, protocol, tmp_path):
    tensors = TENSORS | ({str(dtype): torch.ones(2).to(dtype) for dtype in NEW} if zipped else {})
    content = {
        "state": collections.OrderedDict(tensors),
        "epoch": 3,
        "names": ["a", None, True, 2.5, b"x"],
    }
    torch.save(
        content, tmp_path / "x", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol
    )
    theirs = torch.load(tmp_path / "x", weights_only=False)["state"]  # the test wrote it
    with checkpoints.opened(tmp_path / "x") as found:
        ours = found.read(found.value["state"])
        assert found.value["epoch"] == 3
        assert found.value["names"][:4] == ["a", None, True, 2.5]
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (expected.dtype, expected.shape), name
        assert ours[name].stride() == expected.stride(), name
        assert raw(ours[name]) == raw(expected), name
    assert ours["the whole"].data_ptr() == ours["transposed"].data_ptr()  # one storage is read once


def test_a_tensor_alone_and_in_a_list(tmp_path):
    for content in (BIG, [BIG, {"a": BIG}]):
        torch.save(content, tmp_path / "x")
        with checkpoints.opened(tmp_path / "x") as found:
            value = found.value if content is BIG else found.value[1]["a"]
            assert torch.equal(found.read({"a": value})["a"], BIG)


def test_safetensors_are_told_by_what_they_begin_with(tmp_path):
    save_file({"a": BIG}, tmp_path / "x.pt")
    with checkpoints.opened(tmp_path / "x.pt") as found:
        assert torch.equal(found.read(found.value)["a"], BIG)


def test_all_else_is_a_name(tmp_path):
    """No code of it runs, and nothing needs to be importable."""
    values = {
        "args": argparse.Namespace(a=1),
        "scalar": np.float64(3),
        "array": np.zeros(3),
        "default": collections.defaultdict(list, a=1),
        "path": Path("x"),
        "class": nn.Linear,
        "network": nn.Linear(1, 1),
    }
    torch.save(values | {"state": {"a": BIG}}, tmp_path / "x")
    with checkpoints.opened(tmp_path / "x") as found:
        names = {key: value.name for key, value in found.value.items() if key != "state"}
        assert torch.equal(found.read(found.value["state"])["a"], BIG)
    assert names == {
        "args": "argparse.Namespace",
        "scalar": "numpy._core.multiarray.scalar",
        "array": "numpy._core.multiarray._reconstruct",
        "default": "collections.defaultdict",
        "path": "pathlib.PosixPath",
        "class": "torch.nn.modules.linear.Linear",
        "network": "torch.nn.modules.linear.Linear",
    }


@pytest.mark.parametrize("protocol", [2, 4])
def test_python_s_own_containers(protocol, tmp_path):
    value = {
        "a": [1, (2, (3, 4, 5, 6)), {"b": {}}],
        7: None,
        1.5: ("x", "ü" * 300),
        True: [],
        "long": -(10**30),
    }
    value["itself"] = [value["a"], value["a"]]
    (tmp_path / "x").write_bytes(pickle.dumps(value, protocol))
    with open(tmp_path / "x", "rb") as file:
        found, storages = pickled.follow(file)
    assert found == value
    assert found["itself"][0] is found["itself"][1]
    assert not storages


def test_any_damaged_byte_ends_in_a_sentence_or_in_other_tensors(tmp_path):
    """Of both formats: whatever is raised is a UsageError."""
    path = tmp_path / "x"
    for zipped in (True, False):
        torch.save(
            {"a": torch.ones(3), "b": torch.zeros(2, 2)},
            path,
            _use_new_zipfile_serialization=zipped,
        )
        content = path.read_bytes()
        refused = 0
        places = itertools.chain(range(0, len(content), 7), range(len(content) - 30, len(content)))
        for place in places:
            for change in (0x01, 0x80, 0xFF):
                altered = bytearray(content)
                altered[place] ^= change
                path.write_bytes(altered)
                refused += not readable(path)
        assert refused > 20
        for length in range(1, len(content), 41):
            path.write_bytes(content[:length])
            assert not readable(path)


def readable(path):
    try:
        with checkpoints.opened(path) as found:
            if isinstance(found.value, dict):
                found.read(
                    {
                        k: v
                        for k, v in found.value.items()
                        if isinstance(v, pickled.Stored | torch.Tensor)
                    }
                )
    except UsageError as error:
        assert str(path) in str(error)
        return False
    return True


def test_the_length_of_a_header_may_begin_as_a_pickle_does(tmp_path):
    """Eight bytes say how long the header of a safetensors file is; that of a pickle begins with 0x80."""
    path = tmp_path / "x.safetensors"
    for letters in range(1, 100):
        save_file({"x" * letters: torch.arange(3.0)}, path)
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    with checkpoints.opened(path) as content:
        (tensor,) = content.read(content.value).values()
        assert torch.equal(tensor, torch.arange(3.0))
