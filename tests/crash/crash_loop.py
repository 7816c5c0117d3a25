# SPDX-License-Identifier: Apache-2.0
"""SIGKILL under load, again and again: after each the next mount has every file whose close returned 0,
no deleted one, and check agrees. What was acknowledged is remembered outside the mount.

SPILLFS_CRASH_ROUNDS says how often.
"""
import hashlib
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
ROUNDS = int(os.environ.get("SPILLFS_CRASH_ROUNDS", "10"))
m.limit_time(60 + 20 * ROUNDS)
SIZES = (0, 1, 4000, 70_000, 1 << 20, 5 << 20, 9 << 20)


class Writer(threading.Thread):
    """Writes, replaces, renames and deletes files of its own until the mount is gone.

    `sure` holds what was acknowledged: name -> checksum. `unsure` holds what the operation under way may
    have left instead: name -> set of checksums, None for a file that is not there.
    """

    def __init__(self, path, number, seed, known):
        super().__init__()
        self.folder = os.path.join(path, f"w{number}")
        self.random = random.Random(seed)
        self.sure, self.unsure = known
        self.stop = False

    def run(self):
        try:
            while not self.stop:
                self.step()
        except OSError:
            pass  # the mount is gone

    def step(self):
        self.unsure = {}
        what = self.random.random()
        if what < 0.6 or not self.sure:
            return self.write(f"f{self.random.randrange(40)}")
        name = self.random.choice(sorted(self.sure))
        if what < 0.8:
            self.unsure = {name: {self.sure[name], None}}
            os.unlink(os.path.join(self.folder, name))
            del self.sure[name]
        else:
            other = f"f{self.random.randrange(40)}"
            if other == name:
                return None
            self.unsure = {name: {self.sure[name], None},
                           other: {self.sure.get(other), self.sure[name]}}
            os.rename(os.path.join(self.folder, name), os.path.join(self.folder, other))
            self.sure[other] = self.sure.pop(name)
        self.unsure = {}
        return None

    def write(self, name):
        """A file under a new name, then in its place: the old bytes or the new, nothing between."""
        data = self.random.randbytes(self.random.choice(SIZES))
        new = os.path.join(self.folder, "new")
        with open(new, "wb") as file:
            file.write(data)
        digest = hashlib.sha256(data).hexdigest()
        self.unsure = {name: {self.sure.get(name), digest}}
        os.replace(new, os.path.join(self.folder, name))
        self.sure[name] = digest
        self.unsure = {}

    def compare(self):
        found = {}
        for name in os.listdir(self.folder):
            if name != "new":
                with open(os.path.join(self.folder, name), "rb") as file:
                    found[name] = hashlib.sha256(file.read()).hexdigest()
        for name in {*self.sure, *found, *self.unsure}:
            allowed = self.unsure.get(name, {self.sure.get(name)})
            assert found.get(name) in allowed, (self.folder, name, found.get(name), allowed)
        self.sure, self.unsure = found, {}


def main():
    store = m.Mounted("fuse_limit=1MiB,segment_size=8MiB")
    chance = random.Random(1)
    known = [({}, {}) for _ in range(3)]
    operations = 0
    try:
        for number in range(ROUNDS):
            store.mount()
            writers = [Writer(str(store.path), n, number * 10 + n, known[n]) for n in range(3)]
            for writer in writers:
                os.makedirs(writer.folder, exist_ok=True)
                writer.compare()
                operations += len(writer.sure)
                writer.start()
            time.sleep(0.2 + chance.random() * 1.5)
            store.kill()
            for writer in writers:
                writer.stop = True
                writer.join(60)
                assert not writer.is_alive(), "a writer hangs"
            known = [(writer.sure, writer.unsure) for writer in writers]
            store.check()
            print(f"round {number}: {sum(len(sure) for sure, _ in known)} files", flush=True)
        store.mount()
        for n in range(3):
            Writer(str(store.path), n, 0, known[n]).compare()
        store.umount()
        store.check()
        store.check_log()
        assert operations > ROUNDS, "nothing was written"
    except BaseException:
        print(store.log()[-4000:], file=sys.stderr)
        raise
    finally:
        store.close()


main()
