# SPDX-License-Identifier: Apache-2.0
"""Random operations on a mount and on an ext4 directory; every result, errno and byte must agree.

SPILLFS_OPERATIONS sets how many, SPILLFS_SEED which. Every few thousand the store is unmounted,
checked, and mounted with other options, all of them such that every path is short.
"""
import contextlib
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from model import trees
from model.operations import Operations
from support import mounted as m

OPERATIONS = int(os.environ.get("SPILLFS_OPERATIONS", "20000"))
SEED = int(os.environ.get("SPILLFS_SEED", "1"))
ALL_BUT_ACLS = "large_requests:parallel_dirops:readdirplus:killpriv:direct_mmap:passthrough:resend"
COMPARE_EVERY, RESTART_EVERY, SHOWN = 1000, 5000, 100


def run(operations, pair, store):
    operations.start(pair)
    for number in range(1, OPERATIONS + 1):
        pair.history.append(f"operation {number}:")
        operations.step()
        if number % RESTART_EVERY == 0:
            restart(operations, pair, store)
        if number % COMPARE_EVERY == 0:
            compare(operations, pair)
    restart(operations, pair, store)
    compare(operations, pair)


def compare(operations, pair):
    operations.agree_on_open_files()
    pair.compare(operations.random.choice([0, os.O_DIRECT]))  # the kernel's pages or the daemon's


def restart(operations, pair, store):
    operations.close_all()
    store.umount()
    store.check()
    store.options = options(operations.random)
    pair.history.append(f"mount with {store.options}:")
    store.mount()


def options(chooser):
    return ",".join(f"{name}={chooser.choice(values)}" for name, values in (
        ("fuse_limit", ("0", "64KiB", "1MiB", "4MiB", "4MiB")), ("segment_size", ("1MiB", "8MiB")),
        ("staging", ("1MiB", "1MiB", "8MiB")), ("pool", ("0", "8MiB")),
        ("write", ("cached", "direct")),
        ("without", ("none", "none", "passthrough", "direct_mmap:passthrough", ALL_BUT_ACLS))))


@contextlib.contextmanager
def ext4_directory():
    """A directory on ext4, if need be in an image."""
    with tempfile.TemporaryDirectory(prefix="spillfs-model-") as root:
        kind = subprocess.run(["stat", "-f", "-c", "%T", root], capture_output=True, text=True,
                              check=True).stdout
        if kind.strip() == "ext2/ext3":  # and 4
            yield root
            return
        image, disk = os.path.join(root, "image"), os.path.join(root, "disk")
        os.mkdir(disk)
        with open(image, "wb") as file:
            file.truncate(4 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        done = subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            m.skip(f"no ext4 to compare with: {done.stderr}")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


def main():
    m.need_fuse()
    m.limit_time(580)
    start = time.monotonic()
    print(f"SPILLFS_SEED={SEED} SPILLFS_OPERATIONS={OPERATIONS}", flush=True)
    operations = Operations(SEED)
    with ext4_directory() as root:
        tempfile.tempdir = root  # for the store as well: not every file system has ZERO_RANGE
        plain = tempfile.mkdtemp(prefix="plain-")
        with m.mounted(options(operations.random)) as store:
            pair = trees.Pair(trees.Tree(plain, operations.data),
                              trees.Tree(store.path, operations.data), SHOWN)
            try:
                run(operations, pair, store)
            except BaseException:
                print("\n".join(pair.history), flush=True)
                raise
    print(f"{OPERATIONS} operations in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
