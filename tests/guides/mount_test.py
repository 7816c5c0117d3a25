# SPDX-License-Identifier: Apache-2.0
"""What several guides say of a mount, whatever runtime uses it."""
import errno
import os
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from bench import machine
from support import cases
from support import mounted as m

m.need_fuse()
m.limit_time(60)
KIB, MIB = 1 << 10, 1 << 20
LIMIT = 512 * KIB
WRITE = "import sys; open(sys.argv[1], 'wb').write(bytes(32 << 20))"


class Mount(cases.OnStores):
    def test_small_files_share_segments(self):
        """As the guides have the default, which is not given."""
        store = self.mounted("")
        for number in range(20):
            (store.path / f"small{number}").write_bytes(os.urandom(LIMIT))
        self.assertEqual(store.status()["cached_files"] + store.status()["passthrough_files"], 0)
        (store.path / "large").write_bytes(os.urandom(LIMIT + 1))
        status = store.status()
        self.assertEqual(status["cached_files"] + status["passthrough_files"], 1)
        goes_past = "passthrough" in status["kernel"].split("on: ")[1].split(", off:")[0].split()
        read = status["read_bytes"]
        fd = os.open(store.path / "large", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertEqual(len(os.pread(fd, MIB, 0)), LIMIT + 1)
        os.close(fd)
        if goes_past:
            self.assertEqual(store.status()["read_bytes"], read)
        self.ended_well(store)

    def test_df_says_the_quota(self):
        store = self.mounted("quota=64MiB,space_wait=0s")
        space = os.statvfs(store.path)
        self.assertEqual(space.f_blocks * space.f_frsize, 64 * MIB)
        with self.assertRaises(OSError) as raised:
            for number in range(65):
                (store.path / str(number)).write_bytes(bytes(MIB))
        self.assertEqual(raised.exception.errno, errno.ENOSPC)
        self.assertLess(m.free_bytes(store.path), MIB)
        self.ended_well(store)

    def test_everyone_may_write_a_new_root(self):
        store = self.mounted("")
        self.assertEqual(stat.S_IMODE(os.stat(store.path).st_mode), 0o1777)
        self.ended_well(store)

    def test_memory_that_is_tight(self):
        store = self.mounted("")
        subprocess.run([sys.executable, "-c", WRITE, store.path / "with plenty"], check=True)
        self.assertEqual(store.status()["direct_files"], 0)
        try:
            with machine.memory_cgroup(64 * MIB) as group:
                into = f"echo $$ >{group}/cgroup.procs && exec \"$@\""
                subprocess.run(["sh", "-c", into, "sh", sys.executable, "-c", WRITE,
                                store.path / "with little"], check=True)
        except machine.NoMemoryController as error:
            self.skipTest(str(error))
        self.assertEqual(store.status()["direct_files"], 1)
        self.assertEqual((store.path / "with little").stat().st_size, 32 * MIB)
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
