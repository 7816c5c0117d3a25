# SPDX-License-Identifier: Apache-2.0
"""Ray's own FileSystemStorage on directories that take turns, as a process of its own, so that a
memory cgroup may hold it alone. Prints what it measured as JSON: {label: {metric: [values]}}."""
import argparse
import collections
import contextlib
import json
import os
import resource
import time

from ray._private.external_storage import FileSystemStorage
from ray._raylet import ObjectRef

import machine

TRIPS = 3  # a round


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
        self.pids, self.gigabytes = list(pids), gigabytes
        self.values = collections.defaultdict(list)

    def now(self):
        own = resource.getrusage(resource.RUSAGE_SELF)
        return (time.perf_counter(), own.ru_utime + own.ru_stime + machine.cpu_of(self.pids),
                machine.busy_seconds())

    @contextlib.contextmanager
    def measure(self, what):
        before = self.now()
        yield
        took, cpu, machine_cpu = (b - a for a, b in zip(before, self.now()))
        self.values[f"{what} GB/s"].append(self.gigabytes / took)
        self.values[f"{what} CPU s/GB"].append(cpu / self.gigabytes)
        self.values[f"{what} machine CPU s/GB"].append(machine_cpu / self.gigabytes)

    @contextlib.contextmanager
    def time(self, what, units):
        start = time.perf_counter()
        yield
        self.values[what].append((time.perf_counter() - start) * units)


class RayFiles:
    """What Ray does with a number of objects in a number of files, one after the other."""

    def __init__(self, directory, asked, worker):
        self.storage = FileSystemStorage("benchmark", directory)
        self.storage._core_worker = worker
        self.files = [[ObjectRef(os.urandom(28)) for _ in range(asked.count // asked.files)]
                      for _ in range(asked.files)]
        self.urls = []

    def spill(self):
        self.urls = [self.storage.spill_objects(refs, [b"o" * 72] * len(refs))
                     for refs in self.files]

    def restore(self):
        for refs, places in zip(self.files, self.urls):
            self.storage.restore_spilled_objects(refs, places)

    def delete(self):
        for places in self.urls:
            self.storage.delete_spilled_objects(places)


class Target:
    """A directory, and what was measured there."""

    def __init__(self, words, asked, worker):
        self.label, directory, *pids = words
        self.meter = Meter(map(int, pids), asked.size * asked.count / 1e9)
        self.worker = worker
        self.ray = RayFiles(directory, asked, worker)

    def warm_trip(self):
        with self.meter.measure("spill"):
            self.ray.spill()
        with self.meter.measure("restore"):
            self.ray.restore()
        self.worker.check()
        with self.meter.time("delete ms", 1e3):
            self.ray.delete()
        os.sync()  # what one has left to write back is not the next one's burden

    def cold_trip(self):
        self.ray.spill()
        if machine.drop_caches("1"):
            with self.meter.measure("restore cold"):
                self.ray.restore()
            self.worker.check()
        self.ray.delete()
        os.sync()


def measure(targets, rounds):
    """Below a virtual machine the host gives memory at its first use, which takes longer than the
    disk, and takes back what is free: a trip alone would measure that. So all take turns in one
    process, many times, and the page cache is dropped only when the warm trips are over."""
    for target in targets:
        target.warm_trip()
        target.meter.values.clear()
    for _ in range(rounds * TRIPS):
        for target in targets:
            target.warm_trip()
    for _ in range(rounds):
        for target in targets:
            target.cold_trip()
    for target in targets:
        target.ray.storage.destroy_external_storage()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", nargs="+", action="append", required=True,
                        metavar="LABEL DIRECTORY PID", help="PIDs: those of its daemon")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--cgroup")
    asked = parser.parse_args()
    if asked.cgroup:
        with open(os.path.join(asked.cgroup, "cgroup.procs"), "w", encoding="ascii") as group:
            group.write(str(os.getpid()))
    worker = CoreWorker(asked.size)
    targets = [Target(words, asked, worker) for words in asked.target]
    measure(targets, asked.rounds)
    print(json.dumps({target.label: target.meter.values for target in targets}))


if __name__ == "__main__":
    main()
