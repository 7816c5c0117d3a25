# SPDX-License-Identifier: Apache-2.0
"""What is measured. A scenario takes one target through one round and returns {metric: value}, or all
of them through all rounds and returns {label: {metric: [values]}}; a metric's name ends with its
unit."""
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import machine
from support import mounted as m
from targets import PROGRAMS

HERE = pathlib.Path(__file__).resolve().parent
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
CGROUP_LIMIT = 1_200_000_000


class Skip(Exception):
    """Why a scenario can't run on this machine."""


class Failed(Exception):
    """A target could not do it."""


@dataclasses.dataclass
class Size:
    smoke: bool = False  # as little as shows that it works
    long: bool = False

    def pick(self, usual, smoke):
        return smoke if self.smoke else usual


@dataclasses.dataclass
class Scenario:
    name: str
    what: str
    run: Callable
    kinds: tuple = ("disk", "spillfs", "other")
    repeat: bool = True  # False: one round is enough
    mounts: bool = True  # False: starts its target by itself
    together: bool = False  # takes all targets, which take turns in one process
    programs: tuple = ()  # of the build's tests, that it runs
    packages: tuple = ()  # of build/venv


def run_child(*command):
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{pathlib.Path(command[0]).name} ended with {done.returncode}")
    return json.loads(done.stdout)


def run_ray(targets, rounds, size, count, files=1, cgroup=None):
    words = [word for target in targets
             for word in ("--target", target.label, target.path, *target.pids())]
    inside = ["--cgroup", cgroup] if cgroup else []
    return run_child(sys.executable, HERE / "ray_client.py", *words, "--rounds", rounds, "--size",
                     size, "--count", count, "--files", files, *inside)


def ray_64m(targets, rounds, size):
    return run_ray(targets, rounds, size.pick(64 * MIB, MIB), 8)


def ray_1m(targets, rounds, size):
    return run_ray(targets, rounds, size.pick(MIB, 64 * KIB), size.pick(256, 16))


def ray_cgroup(targets, rounds, size):
    try:
        with machine.memory_cgroup(CGROUP_LIMIT) as group:
            return run_ray(targets, rounds, size.pick(64 * MIB, MIB), 32, 4, group)
    except machine.NoMemoryController as why:
        raise Skip(str(why)) from why


def load(directory, size, count, threads, *phases):
    return run_child(PROGRAMS / "file_load", directory, size, count, threads, *phases)


def small(target, size):
    values = {}
    for name, length, count in (("4K", 4 * KIB, 4000), ("100K", 100 * KIB, 1200),
                                ("1M", MIB, 200)):
        for threads in (1, 4):
            count_now = size.pick(count, 8)
            directory = target.path / f"{name}-{threads}"
            directory.mkdir()
            took = load(directory, length, count_now, threads, "create", "read", "read", "unlink")
            directory.rmdir()
            for phase, seconds in zip(("create", "read", "read again", "unlink"), took):
                values[f"{name} {threads} thr. {phase} 1/s"] = count_now / seconds
    return values


def unlink_64m(target, size):
    data = os.urandom(size.pick(64 * MIB, MIB))
    paths = [target.path / f"file-{n}" for n in range(4)]
    for path in paths:
        path.write_bytes(data)
    times = []
    for path in paths:
        start = time.perf_counter()
        path.unlink()
        times.append((time.perf_counter() - start) * 1e3)
    return {"unlink ms": statistics.median(times)}


def wait_for_reclaim(store):
    """Until what is dead does not change for a second."""
    seen, since, end = None, time.monotonic(), time.monotonic() + 60
    while time.monotonic() < end and time.monotonic() - since < 1:
        dead = json.loads((store.path / ".spillfs/status").read_text())["dead_bytes"]
        if dead != seen:
            seen, since = dead, time.monotonic()
        time.sleep(0.1)


class Churn:
    """Files of random sizes; the same ones in every run."""

    def __init__(self, path):
        self.path, self.random = path, random.Random(1)
        self.data = os.urandom(512 * KIB)
        self.files, self.live, self.written = [], 0, 0

    def create(self):
        length = self.random.randint(16 * KIB, 512 * KIB)
        name = self.path / f"file-{self.written}"
        with open(name, "wb", buffering=0) as file:
            file.write(memoryview(self.data)[:length])
        self.files.append((name, length))
        self.live += length
        self.written += length

    def delete(self):
        at = self.random.randrange(len(self.files))
        self.files[at], self.files[-1] = self.files[-1], self.files[at]
        name, length = self.files.pop()
        name.unlink()
        self.live -= length


def reclaim(target, size, root):
    quota = size.pick(2 * GIB, 64 * MIB)
    target.start(root, f"quota={quota}" + size.pick("", ",segment_size=4MiB"))
    churn = Churn(target.path)
    while churn.live < quota * 8 // 10:
        churn.create()
    wait_for_reclaim(target)
    filled, before = churn.written, machine.written_bytes(target.mounted.worker())
    start = time.perf_counter()
    while churn.written - filled < 2 * quota:
        while churn.live >= quota * 8 // 10:
            churn.delete()
        churn.create()
    took = time.perf_counter() - start
    wait_for_reclaim(target)
    amount = churn.written - filled
    written = machine.written_bytes(target.mounted.worker()) - before
    return {"write amplification x": written / amount, "client writes MB/s": amount / took / 1e6}


def timed_mount(store):
    start = time.perf_counter()
    store.mount()
    return time.perf_counter() - start


def remount_one(target, count, root):
    target.start(root)
    store = target.mounted
    load(target.path, KIB, count, 4, "create")
    store.umount()
    values = {"mount after umount s": timed_mount(store)}
    store.kill()
    values["mount after SIGKILL s"] = timed_mount(store)
    values["RSS mounted MiB"] = machine.resident_mib(store.worker())
    load(target.path, KIB, count, 4, "list")
    values["RSS after list MiB"] = machine.resident_mib(store.worker())
    machine.drop_caches("2")
    took = load(target.path, KIB, count, 4, "stat")
    values["stat 1/s"] = count / took[0]
    values["RSS after stat MiB"] = machine.resident_mib(store.worker())
    return {f"{count} files: {name}": value for name, value in values.items()}


def remount(target, size, root):
    values = {}
    counts = (1_000_000, 10_000_000) if size.long else (size.pick(100_000, 1000),)
    for count in counts:
        with contextlib.ExitStack() as stack:
            stack.callback(target.stop)
            values.update(remount_one(target, count, root / str(count)))
    return values


ALL = (
    Scenario("ray-64m", "Ray's FileSystemStorage, 8 objects of 64 MiB in a file", ray_64m, together=True,
             packages=("ray",)),
    Scenario("ray-1m", "the same, 256 objects of 1 MiB in a file", ray_1m, together=True,
             packages=("ray",)),
    Scenario("ray-64m-cgroup", "32 objects of 64 MiB in 4 files, the client in 1.2 GB of memory",
             ray_cgroup, together=True, packages=("ray",)),
    Scenario("small", "a file per object: 4 KiB, 100 KiB, 1 MiB; 1 and 4 threads", small,
             kinds=("disk", "spillfs", "null", "other"), programs=("file_load",)),
    Scenario("unlink-64m", "unlink of a 64 MiB file", unlink_64m),
    Scenario("reclaim", "random deletes at 80 % of the quota", reclaim, kinds=("spillfs",),
             repeat=False, mounts=False),
    Scenario("remount", "a store of many files: start-up and memory", remount, kinds=("spillfs",),
             repeat=False, mounts=False, programs=("file_load",)),
)
