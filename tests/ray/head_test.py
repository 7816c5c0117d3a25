# SPDX-License-Identifier: Apache-2.0
"""A Ray head whose spill directory is the mount: ten times the object store is put, read back and
dropped; plasma's fallback allocation runs there too; files and space go within 10 s. Meanwhile the
serving process is killed again and again."""
import os
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.run_with_ray()
m.limit_time(300)

from support.ray_objects import OBJECT, STORE, digest, make, spilled_files

import ray

COUNT = 10 * STORE // OBJECT


def main(store, temporary):
    path = str(store.path)
    free_before = m.free_bytes(path)
    ray.init(num_cpus=1, object_store_memory=STORE, object_spilling_directory=path,
             include_dashboard=False, _temp_dir=temporary, log_to_driver=False)
    print("== put", COUNT, "objects", flush=True)
    sums, refs = [], []
    for number in range(COUNT):
        array = make(number)
        sums.append(digest(array))
        refs.append(ray.put(array))
    files = spilled_files(path)
    assert files, "Ray spilled nothing to the mount"
    spilled = sum(os.stat(file).st_size for file in files)
    print(f"== {len(files)} files hold {spilled >> 20} MiB", flush=True)
    assert spilled > (COUNT * OBJECT - STORE) * 0.9, spilled
    for number, ref in enumerate(refs):
        assert digest(ray.get(ref, timeout=60)) == sums[number], f"object {number} differs"
    print("== all objects are what was put", flush=True)

    pinned = [ray.get(ref, timeout=60) for ref in refs[: 2 * STORE // OBJECT]]
    for number, array in enumerate(pinned):
        assert digest(array) == sums[number], f"pinned object {number} differs"
    deleted = sum(1 for line in os.popen("cat /proc/[0-9]*/maps 2>/dev/null")
                  if path in line and "plasma" in line)
    print(f"== {2 * STORE >> 20} MiB pinned, {deleted} mappings of plasma's files", flush=True)
    assert deleted > 0, "plasma did not fall back to the mount"

    del pinned, refs, ref, array
    m.wait_until(lambda: not spilled_files(path), 30, "the files vanish")
    m.wait_until(lambda: m.free_bytes(path) > free_before - (64 << 20), 30, "the space comes back")
    ray.shutdown()
    print("== files gone, space back", flush=True)


class Killer(threading.Thread):
    """Kills the worker every two seconds, which nobody may notice."""

    def __init__(self, store):
        super().__init__(daemon=True)
        self.store, self.stop, self.kills = store, threading.Event(), 0

    def run(self):
        while not self.stop.wait(2):
            self.store.kill_worker()
            self.kills += 1


def main_with_kills(store, temporary):
    killer = Killer(store)
    if store.goes_on():
        killer.start()
    try:
        main(store, temporary)
    finally:
        killer.stop.set()
        if killer.is_alive():
            killer.join()
        ray.shutdown()
    assert killer.kills == store.status()["restarts"], "a worker died by itself"
    print(f"== {killer.kills} kills", flush=True)


if __name__ == "__main__":
    with m.mounted() as store, tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as temporary:
        main_with_kills(store, temporary)
