"""Makes fixtures/hdf5: files that h5py writes, with the arrays of the good ones as safetensors beside them, and files
that are refused. Needs h5py, numpy, safetensors.

    python tests/checkpoint_formats/make_hdf5_fixtures.py
"""

import pathlib

import h5py
import numpy
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).parent / "fixtures" / "hdf5"
TYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"]


def write_good(name, **options):
    """Groups within groups. In one of them so many members that its tree has several nodes, in the others at most
    eight, which libver="v108" does not index."""
    rng = numpy.random.default_rng(0)
    arrays = {f"types/{kind[0]}/{kind}": rng.integers(0, 100, (2, 3)).astype(kind) for kind in TYPES}
    arrays["shapes/scalar"] = numpy.array(3.5)
    arrays["shapes/empty"] = numpy.zeros((0, 4), "float32")
    arrays["shapes/deep/er/still"] = numpy.arange(24, dtype="int32").reshape(1, 2, 3, 4)
    arrays |= {f"many/member_._{index}:0": numpy.array([index], "int64") for index in range(options.pop("many"))}
    with h5py.File(ROOT / name, "w", **options) as file:
        for path, array in arrays.items():
            file.create_dataset(path, data=array)
        file.attrs["fixed"] = [b"a", b"bcd", "größe".encode()]
        file.attrs["variable"] = ["a", "bcd", "größe", ""]
        file.attrs["none"] = []
        file.attrs["one"] = "single"
        file.attrs["numbers"] = [1, 2]
        file.attrs["parts0"] = [b"x", b"y"]
        file.attrs["parts1"] = [b"z"]
    save_file(arrays, ROOT / (name + ".safetensors"))


def write_compact(name):
    with h5py.File(ROOT / name, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3,))
        dataset = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, properties)
        dataset.write(space, space, numpy.array([1, 2, 3], "float32"))
    save_file({"compact": numpy.array([1, 2, 3], "float32")}, ROOT / (name + ".safetensors"))


def refused(name, **options):
    directory = ROOT / "refused"
    directory.mkdir(exist_ok=True)
    return h5py.File(directory / name, "w", **options)


def main():
    ROOT.mkdir(parents=True, exist_ok=True)
    write_good("earliest.h5", many=300)
    write_good("v108.h5", many=5, libver="v108")
    write_compact("compact.h5")

    values = numpy.arange(6, dtype="float32")
    with refused("chunks.h5") as file:
        file.create_dataset("x", data=values, chunks=(2,))
    with refused("gzip.h5") as file:
        file.create_dataset("x", data=values, compression="gzip")
    with refused("big_endian.h5") as file:
        file.create_dataset("x", data=values.astype(">f4"))
    with refused("text.h5") as file:
        file.create_dataset("x", data=[b"text"])
    with refused("boolean.h5") as file:
        file.create_dataset("x", data=[True, False])
    with refused("unwritten.h5") as file:
        file.create_dataset("x", (4,), "float32")
    with refused("soft_link.h5") as file:
        file["x"] = h5py.SoftLink("/x")
    with refused("soft_link_v108.h5", libver="v108") as file:
        file["x"] = h5py.SoftLink("/x")
    with refused("external_link.h5") as file:
        file["x"] = h5py.ExternalLink("/etc/passwd", "/x")
    with refused("external_storage.h5") as file:
        file.create_dataset("x", (4,), "uint8", external=[("/etc/passwd", 0, 4)])
    with refused("virtual.h5", libver="latest") as file:
        layout = h5py.VirtualLayout((4,), "float32")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
        file.create_virtual_dataset("x", layout)
    with refused("committed_type.h5") as file:
        file["type"] = numpy.dtype("float32")
        file.create_dataset("x", data=values, dtype=file["type"])
    with refused("group.h5") as file:
        file.create_group("x")
    with refused("indexed.h5", libver="latest") as file:
        for index in range(20):
            file.create_dataset(f"x{index}", data=values)
            file.attrs[f"attribute{index}"] = ["a"]
    with refused("user_block.h5", userblock_size=512) as file:
        file.create_dataset("x", data=values)


if __name__ == "__main__":
    main()
