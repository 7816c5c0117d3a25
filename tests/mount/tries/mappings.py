# SPDX-License-Identifier: Apache-2.0
"""Tries with mapped files."""

import mmap
import os
import resource
import signal

from support.cases import opened
from tries.table import got, in_child, make, tried

PAGE = mmap.PAGESIZE


@tried("numpy/numpy#9894, onedata/oneclient#9", "numpy.memmap in the modes r, r+ and c is ENODEV")
def mapping_as_numpy_does(top):
    make(top / "f", b"0" * 3 * PAGE)
    seen = {}
    with open(top / "f", "r+b") as file:
        for mode, access in (
            ("r", mmap.ACCESS_READ),
            ("c", mmap.ACCESS_COPY),
            ("r+", mmap.ACCESS_WRITE),
        ):
            with mmap.mmap(file.fileno(), 2 * PAGE, access=access, offset=PAGE) as view:
                if access != mmap.ACCESS_READ:
                    view[5:8] = b"abc"
                seen[mode] = (view[0:10], os.pread(file.fileno(), 10, PAGE))
    return {**seen, "bytes": (top / "f").read_bytes()}


@tried("numpy/numpy#29126", "a memmap is replaced by os.replace while it is mapped")
def replacing_what_is_mapped(top):
    make(top / "f", b"old" * PAGE)
    make(top / "new", b"new" * PAGE)
    with open(top / "f", "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        os.replace(top / "new", top / "f")
        seen = {"view": view[0:6], "nlink": os.fstat(file.fileno()).st_nlink}
        view[0:3] = b"OLD"
        view.flush()
        seen["handle"] = os.pread(file.fileno(), 6, 0)
    return {**seen, "bytes": (top / "f").read_bytes()}


@tried(
    "jacobsa/fuse#82, redbo/cloudfuse#74",
    "shared mappings are EACCES or ENODEV, of readers and of writers",
)
def mapping_by_rights(top):
    make(top / "f", b"x" * PAGE)
    seen = {}
    for name, flags in (("reader", os.O_RDONLY), ("writer", os.O_WRONLY), ("both", os.O_RDWR)):
        with opened(top / "f", flags) as fd:
            for prot in (mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_READ | mmap.PROT_EXEC):
                for kind in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
                    view = got(mmap.mmap, fd, PAGE, flags=kind, prot=prot)
                    seen[f"{name} {prot} {kind}"] = view if isinstance(view, str) else "mapped"
    with opened(top, os.O_RDONLY) as fd:
        seen["directory"] = got(mmap.mmap, fd, PAGE, prot=mmap.PROT_READ)
    return seen


@tried("ceph/ceph#43286", "a truncation does not reach what is mapped, nor what is read behind it")
def truncating_what_is_mapped(top):
    with open(make(top / "f", b"x" * 3 * PAGE), "r+b") as file:
        fd = file.fileno()
        with mmap.mmap(fd, 3 * PAGE) as view:
            os.ftruncate(fd, 100)
            os.ftruncate(fd, 3 * PAGE)
            seen = {"in the page": view[95:105], "behind": view[2 * PAGE : 2 * PAGE + 5]}
            view[2 * PAGE : 2 * PAGE + 3] = b"new"
            seen["read"] = os.pread(fd, 5, 2 * PAGE)
            os.truncate(top / "f", 2 * PAGE + 1)
            seen["last"] = view[2 * PAGE : 2 * PAGE + 4]
        return {**seen, "bytes": (top / "f").read_bytes()}


@tried(
    "google/gvisor#14395", "what touches a mapping behind the end of its file is killed by SIGBUS"
)
def touching_behind_the_end(top):
    def touch(place, length):
        def run():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            with open(top / "f", "r+b") as file, mmap.mmap(file.fileno(), 4 * PAGE) as view:
                os.ftruncate(file.fileno(), length)
                view[place] = 1

        return run

    seen = {}
    for place, length in ((0, 0), (PAGE, PAGE), (PAGE - 1, 1), (2 * PAGE, PAGE)):
        make(top / "f", b"x" * 4 * PAGE)
        seen[f"{place} of {length}"] = in_child(touch(place, length))
    return {**seen, "size": os.stat(top / "f").st_size}


@tried("nanvix/nanvix#3116", "CPython's mmap grows a mapping by resize")
def resizing_a_mapping(top):
    with open(make(top / "f", b"abc"), "r+b") as file, mmap.mmap(file.fileno(), 3) as view:
        view.resize(3 * PAGE)
        view[3 * PAGE - 1] = 7
        view.flush()
        seen = {"size": os.fstat(file.fileno()).st_size}
        view.resize(10)
        seen["smaller"] = (os.fstat(file.fileno()).st_size, view[0:10])
    return {**seen, "bytes": (top / "f").read_bytes()}


@tried("trapexit/mergerfs#606", "writes and a mapping of one file do not see each other")
def writing_what_is_mapped(top):
    with open(make(top / "f", b"x" * 2 * PAGE), "r+b") as file:
        fd = file.fileno()
        with mmap.mmap(fd, 0) as view:
            os.pwrite(fd, b"written", PAGE - 3)
            seen = {"view": view[PAGE - 5 : PAGE + 6]}
            view[10:16] = b"mapped"
            seen["read"] = os.pread(fd, 8, 9)
            with opened(top / "f", os.O_RDONLY) as other:
                seen["another"] = os.pread(other, 8, 9)
            copied = got(os.copy_file_range, fd, fd, 6, 10, PAGE)
            seen["copied"] = (copied, view[PAGE : PAGE + 6])
        return {**seen, "bytes": (top / "f").read_bytes()}
