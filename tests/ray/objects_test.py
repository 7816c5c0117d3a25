# SPDX-License-Identifier: Apache-2.0
"""Ray's objects one by one under .spillfs/objects, and the segments under .spillfs/segments."""
import errno
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.run_with_ray()
m.limit_time(120)

from ray._private.external_storage import FileSystemStorage
from support.ray_worker import new_ref, with_worker

SIZES = (0, 1, 100_000, 3 << 20, (5 << 20) + 1)
NOBODY = 65534


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == code, errno.errorcode[error.errno]
    else:
        raise AssertionError(f"{call.__name__}{arguments} was not refused")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def as_nobody(*command):
    return subprocess.run(command, capture_output=True, check=False, user=NOBODY, group=NOBODY)


def record(owner, metadata, data):
    lengths = (len(owner), len(metadata), len(data))
    return b"".join(n.to_bytes(8, "little") for n in lengths) + owner + metadata + data


def spill(root, sizes):
    """Spills with Ray's own class; the file's path in the mount, the buffers, the urls."""
    storage = with_worker(FileSystemStorage("node", root))
    refs = [new_ref() for _ in sizes]
    buffers = [os.urandom(size) for size in sizes]
    for ref, buffer in zip(refs, buffers):
        storage.core_worker.objects[ref.binary()] = (memoryview(buffer), b"PYTHON", None)
    urls = storage.spill_objects(refs, [f"owner {n}".encode() for n in range(len(sizes))])
    return os.path.relpath(urls[0].decode().split("?")[0], root), buffers, urls


def test_objects_of_a_file_of_rays(root, objects):
    for sizes in [*([size] for size in SIZES), SIZES, SIZES * 60]:
        name, buffers, urls = spill(root, sizes)
        folder = os.path.join(objects, name)
        assert sorted(os.listdir(folder), key=int) == [str(n) for n in range(len(sizes))]
        for n, (buffer, url) in enumerate(zip(buffers, urls)):
            path = os.path.join(folder, str(n))
            found = os.stat(path)
            assert found.st_size == len(buffer)
            assert found.st_mtime_ns == os.stat(os.path.join(root, name)).st_mtime_ns
            assert read(path) == buffer
            assert os.getxattr(path, "user.spill.owner_address") == f"owner {n}".encode()
            assert os.getxattr(path, "user.spill.metadata") == b"PYTHON"
            assert os.getxattr(path, "user.spill.url") == url
            assert not os.listxattr(path), "they are asked for by name"
        refused(errno.ENOENT, os.stat, os.path.join(folder, str(len(sizes))))
        refused(errno.ENOENT, os.stat, os.path.join(folder, "01"))
        listed = subprocess.run(["ls", "-l", folder], capture_output=True, text=True, check=True)
        assert len(listed.stdout.splitlines()) == 1 + len(sizes)
        os.rename(os.path.join(root, name), os.path.join(root, "moved"))
        moved = os.getxattr(os.path.join(objects, "moved/0"), "user.spill.url")
        assert moved.startswith(f"{root}/moved?offset=0&".encode()), moved
        refused(errno.ENOENT, os.stat, folder)
        os.unlink(os.path.join(root, "moved"))
        refused(errno.ENOENT, os.stat, os.path.join(objects, "moved"))


def test_an_object_is_listed_when_it_is_complete(root, objects):
    """…and while the file is still being written."""
    first, second = record(b"o", b"m", b"1" * (6 << 20)), record(b"", b"", b"2" * 500)
    with open(os.path.join(root, "growing"), "wb", buffering=0) as file:
        file.write(first[:-1])
        refused(errno.ENOENT, os.listdir, os.path.join(objects, "growing"))
        file.write(first[-1:] + second[:100])
        assert os.listdir(os.path.join(objects, "growing")) == ["0"]
        assert read(os.path.join(objects, "growing/0")) == b"1" * (6 << 20)
        file.write(second[100:])
        assert len(os.listdir(os.path.join(objects, "growing"))) == 2
        file.write(b"cut short")
    refused(errno.ENOENT, os.listdir, os.path.join(objects, "growing"))


def test_a_file_that_leaves_the_format_is_listed_no_more(root, objects):
    for size in (1000, 8 << 20):
        path = os.path.join(root, "changing")
        with open(path, "wb") as file:
            file.write(record(b"owner", b"meta", b"x" * size))
        assert os.listdir(os.path.join(objects, "changing")) == ["0"]
        with open(path, "r+b") as file:
            file.write(b"no header")
        refused(errno.ENOENT, os.listdir, os.path.join(objects, "changing"))
        with open(path, "r+b") as file:
            file.write(record(b"owner", b"meta", b"x" * size))
        assert os.listdir(os.path.join(objects, "changing")) == ["0"], "it is in the format again"
        with open(path, "ab") as file:
            file.write(record(b"another", b"meta", b"y"))
        assert read(os.path.join(objects, "changing/1")) == b"y"
        os.truncate(path, 50)
        refused(errno.ENOENT, os.listdir, os.path.join(objects, "changing"))


def test_other_files_are_not_listed(root, objects):
    for name, content in (("text", b"just a text, long enough for a header"), ("zeros", bytes(9999)),
                          ("empty", b""), ("short", b"abc")):
        with open(os.path.join(root, name), "wb") as file:
            file.write(content)
        refused(errno.ENOENT, os.stat, os.path.join(objects, name))
    os.symlink("text", os.path.join(root, "link"))
    os.mkdir(os.path.join(root, "folder"))
    assert os.listdir(objects) == ["folder"]


def test_nobody_sees_what_is_not_theirs(root, objects):
    os.mkdir(os.path.join(root, "private"), 0o700)
    for name in ("private/file", "open", "closed"):
        with open(os.path.join(root, name), "wb") as file:
            file.write(record(b"o", b"m", b"secret"))
    os.chmod(os.path.join(root, "closed"), 0o600)
    assert as_nobody("cat", f"{objects}/open/0").stdout == b"secret"
    for path in ("private", "private/file", "private/file/0", "closed", "closed/0"):
        full = os.path.join(objects, path)
        assert as_nobody("ls", full).returncode != 0 or path.endswith("0"), path
        assert b"secret" not in as_nobody("cat", full).stdout, path
        assert as_nobody("getfattr", "-n", "user.spill.metadata", full).returncode != 0, path
    assert as_nobody("ls", f"{root}/.spillfs/segments").returncode != 0
    for path in (f"{objects}/open/0", f"{objects}/open", objects, f"{root}/.spillfs/segments"):
        refused(errno.EPERM, os.rename, path, f"{root}/x")
        refused(errno.EPERM, os.chmod, path, 0o777)
    refused(errno.EPERM, os.unlink, f"{objects}/open/0")
    refused(errno.EPERM, os.mkdir, f"{objects}/new")


def test_segments(root, backing):
    with open(os.path.join(root, "large"), "wb") as file:
        file.write(os.urandom(9 << 20))
    folder = os.path.join(root, ".spillfs/segments")
    names = os.listdir(folder)
    assert any(name.endswith(".fused") for name in names), names
    assert any(name.endswith(".private") for name in names), names
    for name in names:
        path = os.path.join(folder, name)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o400
        assert read(path) == read(os.path.join(backing, "segments", name)), name
        refused(errno.EPERM, os.open, path, os.O_WRONLY)
    refused(errno.ENOENT, os.stat, os.path.join(folder, "9999.fused"))
    refused(errno.ENOENT, os.stat, os.path.join(folder, names[0] + "x"))


if __name__ == "__main__":
    with m.mounted() as store:
        root = str(store.path)
        objects = os.path.join(root, ".spillfs/objects")
        test_objects_of_a_file_of_rays(root, objects)
        subprocess.run(["rm", "-rf", *(os.path.join(root, name) for name in os.listdir(root))],
                       check=True)
        test_an_object_is_listed_when_it_is_complete(root, objects)
        test_a_file_that_leaves_the_format_is_listed_no_more(root, objects)
        test_other_files_are_not_listed(root, objects)
        test_nobody_sees_what_is_not_theirs(root, objects)
        test_segments(root, str(store.store))
    print("objects_test: all passed")
