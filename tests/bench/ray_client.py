# SPDX-License-Identifier: Apache-2.0
"""One round of Ray's own FileSystemStorage on a directory, as a process of its own, so that a
memory cgroup may hold it alone. Prints what it measured as JSON."""
import argparse
import contextlib
import json
import mmap
import os
import resource
import time

from ray._private.external_storage import FileSystemStorage
from ray._raylet import ObjectRef

import machine

TOUCHED = 640 << 20  # fits into the cgroup


class CoreWorker:
    """Stands in for the owner of Ray's object store: one buffer that all objects are, one that
    takes what is restored."""

    def __init__(self, size):
        self.buffer = memoryview(os.urandom(size))
        self.sink = bytearray(b"\1") * size

    def get_if_local(self, refs):
        return [(self.buffer, b"PYTHON", None)] * len(refs)

    def put_file_like_object(self, metadata, size, file, ref, owner):
        into, done = memoryview(self.sink)[:size], 0
        while done < size:
            got = file.readinto(into[done:])
            if not got:
                raise EOFError(f"{done} of {size} bytes")
            done += got

    def check(self):
        """What was restored last is what was spilled; the next one has to be restored anew."""
        assert self.sink == self.buffer, "restored bytes differ"
        self.sink[::4096] = bytes(len(self.sink) // 4096)


class Meter:
    """Seconds and CPU seconds, of the client with its daemon and of the whole machine."""

    def __init__(self, pids, gigabytes):
        self.pids, self.gigabytes, self.values = pids, gigabytes, {}

    def now(self):
        own = resource.getrusage(resource.RUSAGE_SELF)
        return (time.perf_counter(), own.ru_utime + own.ru_stime + machine.cpu_of(self.pids),
                machine.busy_seconds())

    @contextlib.contextmanager
    def measure(self, what):
        before = self.now()
        yield
        took, cpu, machine_cpu = (b - a for a, b in zip(before, self.now()))
        self.values[f"{what} GB/s"] = self.gigabytes / took
        self.values[f"{what} CPU s/GB"] = cpu / self.gigabytes
        self.values[f"{what} machine CPU s/GB"] = machine_cpu / self.gigabytes


def touch_memory(size):
    """Below a virtual machine the host gives memory at its first use, which is slower than the disk:
    whoever comes first would pay for the page cache of the others."""
    with mmap.mmap(-1, size) as memory:
        memory[::mmap.PAGESIZE] = b"\1" * -(-size // mmap.PAGESIZE)


def round_trip(asked, meter, worker):
    storage = FileSystemStorage("benchmark", asked.directory)
    storage._core_worker = worker
    files = [[ObjectRef(os.urandom(28)) for _ in range(asked.count // asked.files)]
             for _ in range(asked.files)]
    touch_memory(min(asked.size * asked.count, TOUCHED))
    with meter.measure("spill"):
        urls = [storage.spill_objects(refs, [b"o" * 72] * len(refs)) for refs in files]

    for what in ("restore", "restore cold"):
        if what == "restore cold" and not machine.drop_caches("1"):
            continue
        with meter.measure(what):
            for refs, places in zip(files, urls):
                storage.restore_spilled_objects(refs, places)
        worker.check()
    start = time.perf_counter()
    for places in urls:
        storage.delete_spilled_objects(places)
    meter.values["delete ms"] = (time.perf_counter() - start) * 1e3
    storage.destroy_external_storage()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--cgroup")
    parser.add_argument("--pids", default="", help="the daemon's processes")
    asked = parser.parse_args()
    if asked.cgroup:
        with open(os.path.join(asked.cgroup, "cgroup.procs"), "w", encoding="ascii") as group:
            group.write(str(os.getpid()))
    pids = [int(pid) for pid in asked.pids.split(",") if pid]
    meter = Meter(pids, asked.size * asked.count / 1e9)
    round_trip(asked, meter, CoreWorker(asked.size))
    print(json.dumps(meter.values))


if __name__ == "__main__":
    main()
