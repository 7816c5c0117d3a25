# SPDX-License-Identifier: Apache-2.0
"""Loss of power: a store on an ext4 whose disk writes down what reaches it, flush by flush. The log
is replayed up to many points; there fsck, check, mount on another boot, and everything is compared
with what was promised. A run whose process syncs nothing must fail.

SPILLFS_POWER_LOSS_POINTS says how often power is lost.
"""
import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import random
import shutil
import sys
import tempfile
import traceback

from disk import FLUSH, PAGE, SECTOR, Log, RecordingDisk, Replay, file_system, m
from disk import make_file_system, run as run_command, unshare_mounts
from history import History
from load import make_folders, work
from verify import Verifier, end, is_expected

POINTS = int(os.environ.get("SPILLFS_POWER_LOSS_POINTS", "30"))
RECORDING_DISK = os.environ.get("RECORDING_DISK", "build/tests/recording_disk")
NO_SYNC = os.environ.get("NO_SYNC", "build/tests/libno_sync.so")
POINTS_OF_A_RUN = 50
WRITERS = 3
LINES_OF_A_CLASS = 6
OPTIONS = "fuse_limit=256KiB,segment_size=4MiB,index_reserve=8MiB,pool=32MiB,staging=16MiB"


@dataclasses.dataclass
class Run:
    """One load, and losses of power at points of it."""

    name: str
    seed: int
    points: int
    journal: bool = True
    synced: bool = True  # False: the negative control
    seconds: float = 8  # of load: the sums of changed files are made anew after 5


def record(run, folder):
    """Runs the load; the history, and the positions in the log between which it was."""
    disk = RecordingDisk(RECORDING_DISK, folder)
    try:
        make_file_system(disk.disk, run.journal)
        options = "commit=1" if run.journal else "rw"
        with file_system(disk.disk, folder / "ext4", options) as ext4:
            store = m.Mounted(OPTIONS, folder)
            store.store = ext4 / "store"
            history = History()
            preload = () if run.synced else ("env", f"LD_PRELOAD={NO_SYNC}")
            try:
                store.mount(prefix=preload)
                make_folders(store.path, history, WRITERS)
                run_command("sync", "--file-system", ext4)
                start = disk.position()
                work(store.path, history, disk.position, run.seconds, run.seed)
                stop = disk.position()
                store.umount()
                store.check_log()
            finally:
                end(store)
    finally:
        disk.close()
    return history, start, stop


def choose_points(log, records, count, chance):
    """How many records are written when power is lost: at the end, at any time, just before a
    flush, just after one."""
    flushes = [number for number in records if log.records[number][0] == FLUSH]
    points = [records[-1] + 1]
    for number in range(1, count):
        flush = chance.choice(flushes) if flushes else chance.choice(records)
        time = chance.uniform(log.times[records[0]], log.times[records[-1]])
        points.append((log.before(time), flush, flush + 1)[number % 3])
    return sorted(points)


def lose_power(run):
    """Counts of what was found at all points, by class, and lines about what is not expected."""
    m.limit_time(120 + 10 * run.points)
    chance = random.Random(run.seed)
    shm = "/dev/shm"  # images are copied often
    where = shm if os.path.isdir(shm) and m.free_bytes(shm) > 4 << 30 else None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-power-", dir=where))
    try:
        history, start, stop = record(run, folder)
        log = Log(folder / "log")
        replay = Replay(log, folder)
        verifier = Verifier(history, OPTIONS, folder, run.journal)
        counts, lines = collections.Counter(), []
        counts["records"] = len(log.records)
        counts["flushes"] = sum(record[0] == FLUSH for record in log.records)
        for point in choose_points(log, log.between(start, stop), run.points, chance):
            lost = replay.lose_power_after(point, chance, chance.choice((SECTOR, PAGE)))
            found = verifier.verify(replay.image, log.ends[point - 1])
            counts["points"] += 1
            counts["points with an unsynced write"] += lost != 0
            counts["broken points"] += any(not is_expected(what) for what, _ in found)
            for what, text in found:
                counts[what] += 1
                if not is_expected(what) and counts[what] <= LINES_OF_A_CLASS:
                    lines.append(f"{run.name} after record {point}: {what}: {text}")
        counts["files"] = len(verifier.files)
        counts["syncs"] = len(history.syncs)
        return counts, lines
    except BaseException:
        log = folder / "spillfs.log"
        print(log.read_text()[-4000:] if log.exists() else "", traceback.format_exc(), flush=True)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def need_loop_devices():
    """Skips where an image cannot be mounted."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-power-"))
    try:
        with open(folder / "image", "wb") as image:
            image.truncate(16 << 20)
        make_file_system(folder / "image", True)
        with file_system(folder / "image", folder / "ext4"):
            pass
    except (AssertionError, OSError) as why:
        m.skip(f"no ext4 on a loop device: {why}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def runs():
    """The control first: whether the test can fail."""
    yield Run("control", 1, 6, synced=False, seconds=4)
    left, seed = POINTS, 1
    while left > 0:
        points = min(POINTS_OF_A_RUN, -(-left // 2) if seed % 2 else left)
        name = "ext4" if seed % 2 else "ext4 without a journal"
        yield Run(f"{name}, seed {seed}", seed, points, journal=seed % 2 == 1)
        left, seed = left - points, seed + 1


def main():
    m.need_fuse()
    need_loop_devices()
    broken = 0
    workers = concurrent.futures.ProcessPoolExecutor(3, multiprocessing.get_context("spawn"),
                                                     unshare_mounts)
    with workers:
        waiting = [(run, workers.submit(lose_power, run)) for run in runs()]
        for run, result in waiting:
            counts, lines = result.result()
            print(run.name, dict(counts), flush=True)
            if run.synced:
                print("".join(f"  {line}\n" for line in lines), end="", flush=True)
                broken += counts["broken points"]
            else:
                assert counts["broken points"], "without any sync nothing was lost"
    sys.exit(f"promises are broken at {broken} points" if broken else 0)


if __name__ == "__main__":
    main()
