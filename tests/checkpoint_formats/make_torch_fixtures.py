"""Makes fixtures/torch: files that torch.save wrote, and beside each of them, as NAME.safetensors, the tensors that
torch.load finds in it. Needs torch 2.4 or later and safetensors.

    python tests/checkpoint_formats/make_torch_fixtures.py
"""

import collections
import pathlib
import random

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).parent / "fixtures" / "torch"
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool]
# These have no storage class of their own: they are saved in another way (_rebuild_tensor_v3), and only as zip.
LATE_DTYPES = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]


def values(count, dtype, generator):
    """Random bytes, but no NaN among floats, so that files compare by value as well."""
    size = torch.empty(0, dtype=dtype).element_size()
    if dtype == torch.bool:
        return torch.randint(0, 2, (count,), generator=generator).bool()
    if dtype.is_floating_point and size > 1:
        return torch.randn(count, generator=generator, dtype=torch.float64).to(dtype)
    return torch.randint(0, 100, (count * size,), generator=generator, dtype=torch.uint8).view(dtype)


def all_dtypes(dtypes):
    generator = torch.Generator().manual_seed(1)
    return {str(dtype).removeprefix("torch."): values(24, dtype, generator).reshape(4, 6) for dtype in dtypes}


def random_views(dtypes, count):
    """Views of a few storages by slices, steps, transpositions, new and expanded axes, in every order."""
    rng = random.Random(2)
    generator = torch.Generator().manual_seed(2)
    storages = [values(rng.randrange(60, 400), rng.choice(dtypes), generator) for _ in range(12)]
    tensors = {}
    for index in range(count):
        base = rng.choice(storages)
        rank = rng.randrange(0, 5)
        shape = [rng.randrange(1, 6) for _ in range(rank)]
        while torch.Size(shape).numel() > base.numel():
            shape[shape.index(max(shape))] -= 1
        start = rng.randrange(0, base.numel() - torch.Size(shape).numel() + 1)
        view = base[start : start + torch.Size(shape).numel()].view(shape)
        for _ in range(rng.randrange(0, 4)):
            kind = rng.randrange(5)
            if kind == 0 and view.dim():
                axis = rng.randrange(view.dim())
                begin = rng.randrange(view.shape[axis] + 1)
                view = view.narrow(axis, begin, rng.randrange(view.shape[axis] - begin + 1))
            elif kind == 1 and view.dim():
                view = view[(slice(None),) * rng.randrange(view.dim()) + (slice(None, None, rng.randrange(1, 4)),)]
            elif kind == 2:
                view = view.permute(rng.sample(range(view.dim()), view.dim()))
            elif kind == 3:
                view = view.unsqueeze(rng.randrange(view.dim() + 1))
            elif kind == 4:
                view = view.expand([rng.randrange(1, 4) if size == 1 else size for size in view.shape])
        tensors[f"view{index:03}"] = view
    return tensors


class Reduced:
    """Pickled as a call of torch's own functions, as releases of torch have written it that are gone."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def odd_tensors():
    base = torch.arange(24.0).reshape(4, 6)
    tied = torch.arange(6.0).reshape(2, 3)
    with_attribute = torch.nn.Parameter(torch.full((3,), 7.0))
    with_attribute._is_hf_initialized = True
    state = collections.OrderedDict(
        view=base[1:3, 2:5], transposed=base.t(), base=base, scalar=torch.tensor(3.5), empty=torch.zeros(0, 4),
        empty_view=base[4:], parameter=torch.nn.Parameter(torch.ones(2, 2)), with_attribute=with_attribute, tied=tied,
        also_tied=tied, tied_transposed=tied.t(), same_storage=tied.view(-1), sized=base.new_zeros(torch.Size([2])))
    state["old style"] = Reduced(torch._utils._rebuild_tensor, tied._typed_storage(), 1, torch.Size([3]), (1,))
    state["größe"] = torch.tensor([1, 2])
    state["_extra_state"] = None
    state["version"] = 3
    state["history"] = [1.5, "text", b"bytes", (True, False), {"a": {1, 2}}, 2**40, -1, -(2**70)]
    state._metadata = {"": {"version": 1}}
    expected = {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    expected["old style"] = torch.tensor([1.0, 2.0, 3.0])
    return state, expected


def write(name, state, expected=None, **options):
    torch.save(state, ROOT / name, **options)
    expected = state if expected is None else expected
    save_file({key: tensor.detach().contiguous().clone() for key, tensor in expected.items()},
              ROOT / (name + ".safetensors"))


def main():
    ROOT.mkdir(parents=True, exist_ok=True)
    legacy = {"_use_new_zipfile_serialization": False}
    write("dtypes.bin", all_dtypes(DTYPES + LATE_DTYPES))
    write("dtypes.legacy.bin", all_dtypes(DTYPES), **legacy)
    write("views.bin", random_views(DTYPES + LATE_DTYPES, 150))
    write("views.legacy.bin", random_views(DTYPES, 100), **legacy)
    state, expected = odd_tensors()
    write("odd.bin", state, expected)
    write("odd.legacy.bin", state, expected, **legacy)
    write("protocol4.bin", all_dtypes(DTYPES), pickle_protocol=4)
    write("protocol5.legacy.bin", all_dtypes(DTYPES), pickle_protocol=5, **legacy)
    write("empty.bin", {})

    # What is refused, by name.
    refused = ROOT / "refused"
    refused.mkdir(exist_ok=True)
    torch.save({"a": torch.ones(2), "c": torch.ones(2, dtype=torch.complex64)}, refused / "complex.bin")
    torch.save({"q": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, refused / "quantized.bin")
    torch.save({"s": torch.eye(3).to_sparse()}, refused / "sparse.bin")
    torch.save({"m": torch.ones(2, device="meta")}, refused / "meta.bin")
    torch.save({"f": torch.ones(2).to(torch.float8_e4m3fnuz)}, refused / "float8_fnuz.bin")
    torch.save({"conjugated": torch.ones(2, dtype=torch.complex64).conj()}, refused / "conjugated.bin")
    torch.save({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, refused / "nested.bin")
    torch.save(torch.nn.Linear(2, 2), refused / "module.bin")
    torch.save(torch.nn.Linear(2, 2), refused / "module.legacy.bin", **legacy)
    torch.save([torch.ones(2)], refused / "list.bin")
    torch.save({"a": Reduced(eval, "1 + 1")}, refused / "call.bin")
    torch.save({"a": Reduced(eval, "1 + 1")}, refused / "call.legacy.bin", **legacy)
    torch.save({"a": pathlib.PurePosixPath("x")}, refused / "object.bin")
    torch.save({"a": torch.ones(1).expand(2**40)}, refused / "expanded.bin")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), refused / "torchscript.bin")


if __name__ == "__main__":
    main()
