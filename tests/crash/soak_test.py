# SPDX-License-Identifier: Apache-2.0
"""A load that goes on and on: the serving process's memory and descriptors stay flat. SPILLFS_SOAK says
for how many seconds; SPILLFS_SOAK_CSV names a file for what was sampled."""
import os
import statistics
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                os.path.dirname(os.path.abspath(__file__))]
import restart_load as load
from support import mounted as m

m.need_fuse()
SECONDS = float(os.environ.get("SPILLFS_SOAK", "15"))
CSV = os.environ.get("SPILLFS_SOAK_CSV")
m.limit_time(120 + int(SECONDS))
SAMPLES = 60
GROWTH_MIB = 32  # the memtables fill


def sample(store):
    worker = store.worker()
    status = store.status()
    return {"rss_mib": store.resident_mib(), "descriptors": len(os.listdir(f"/proc/{worker}/fd")),
            "charged_mib": status["charged_bytes"] >> 20, "dead_mib": status["dead_bytes"] >> 20,
            "inodes": status["inodes"], "handles": status["open_handles"]}


def watch(store, clients):
    samples = []
    for _ in range(SAMPLES):
        time.sleep(SECONDS / SAMPLES)
        samples.append(sample(store))
        load.check(clients)
    return samples


def check_flat(samples):
    """The last third against the middle one, which has everything that is filled once."""
    third = len(samples) // 3
    middle, last = samples[third:2 * third], samples[2 * third:]
    for name, room in (("rss_mib", GROWTH_MIB), ("descriptors", 40), ("handles", 40)):
        before, after = (statistics.median(s[name] for s in part) for part in (middle, last))
        print(f"{name}: {before:.0f}, then {after:.0f}")
        assert after <= before + room, f"{name} grows: {before} to {after}"


def main():
    with m.mounted("quota=2GiB,fuse_limit=1MiB,segment_size=8MiB,block_cache=4MiB") as store:
        folder = str(store.path)
        clients = [load.Files(folder, 1), load.Files(folder, 2), load.Names(folder, 3),
                   load.Mapped(folder, 4), load.Open(folder, 5)]
        with load.running(clients):
            samples = watch(store, clients)
        if CSV:
            with open(CSV, "w", encoding="utf-8") as file:
                file.write(",".join(samples[0]) + "\n")
                file.writelines(",".join(map(str, s.values())) + "\n" for s in samples)
        check_flat(samples)
        assert store.status()["restarts"] == 0, "a worker died"
    print(f"{sum(client.steps for client in clients)} steps in {SECONDS:.0f} s")


main()
