# SPDX-License-Identifier: Apache-2.0
"""The worst loops of an ordinary user, a few seconds each: another user meets no error, waits for no
operation without end and loses nothing, also when the worker is killed meanwhile; the mount ends and
comes back. How much slower the other one gets is measured by loops.py."""
import os
import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from security import loops
from security.loads import hashes, latency
from security.loads.victim import Victim
from support import mounted as m

m.need_fuse()
m.limit_time(280)
SPANS = loops.Spans(quiet=0.5, kill=2, attack=6, after=0.5, bare=0)


class Loops(unittest.TestCase):
    """A test for each is added below."""

    def check(self, name):
        report = loops.on_spillfs(name, loops.LOOPS[name], SPANS)
        loops.print_details(report)
        self.assertEqual(loops.summary(report.wrong()), [])
        self.assertGreater(len(report.spans["attack"].operations), 5, "the victim did nothing")


for loop in loops.LOOPS:
    setattr(Loops, f"test_{loop}", lambda self, name=loop: self.check(name))


class Measuring(unittest.TestCase):
    """What the loops are judged by can tell good from bad."""

    def work(self):
        """A victim's doing on whatever file system is here: its folder and outcome."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            victim = Victim(folder, loops.VICTIM, 500).start()
            self.addCleanup(victim.kill)
            victim.wait_until_it_works(m.PATIENCE * 30)
            self.assertTrue(victim.stop(m.PATIENCE * 30))
            yield pathlib.Path(victim.folder), *victim.outcome()

    def test_the_victim_notices_what_is_lost(self):
        for folder, operations, known in self.work():
            self.assertEqual([o.error for o in operations if o.error], [])
            self.assertEqual(known.lost(folder), [])
            removed, changed, *_ = known.files
            (folder / removed).unlink()
            data = bytearray((folder / changed).read_bytes())
            data[len(data) // 2] ^= 1
            (folder / changed).write_bytes(data)
            (folder / "again").write_bytes(b"")
            self.assertEqual(known.lost(folder),
                             ["again came back", f"{removed}: No such file or directory",
                              f"{changed} has other bytes"])

    def test_who_waits_long_counts_often(self):
        quick = [0.001] * 990
        self.assertEqual(latency.percentile(quick + [0.005] * 10, 0.99), 0.005)
        seen = latency.with_those_that_waited(quick + [1.0], 0.01)
        self.assertEqual(len(seen), 990 + 100)
        self.assertGreater(latency.percentile(seen, 0.99), 0.8)

    def test_offsets_that_give_a_key_away(self):
        key = random.Random(1).getrandbits(64)

        def offset(name):
            return hashes.shown(hashes.mix(hashes.as_number(name) ^ key, 8)) << 8
        known = {name: offset(name) for name in (b"learn000", b"learn001", b"learn002")}
        self.assertEqual(hashes.find_key(known), key)
        found = list(hashes.collisions(key, b"job.lock"))
        self.assertGreater(len(found), 300)
        self.assertEqual({offset(name) for name in found}, {offset(b"job.lock")})
        self.assertIsNone(hashes.find_key({name: at ^ 0x100 * number for number, (name, at)
                                           in enumerate(known.items())}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
