# SPDX-License-Identifier: Apache-2.0
"""A mount's processes have given up what they do not need (docs/SECURITY.md), each of them, however
it came to be. What the worker may not do any more tests/unit/fs/rights/sandbox_test.cc tries."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases, machine
from support import mounted as m
from support.users import as_user

m.need_fuse()
m.limit_time(200)
machine.own_mounts()
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ALICE = 4001
NOBODY = 65534  # fusermount3 wants a user with a name

DAC_OVERRIDE, SYS_PTRACE, SYS_ADMIN, LEASE = (1 << number for number in (1, 19, 21, 28))
SUPERVISOR = SYS_ADMIN | DAC_OVERRIDE | SYS_PTRACE | LEASE
WORKER = SYS_ADMIN
NAMES = {"CAP_DAC_OVERRIDE": DAC_OVERRIDE, "CAP_SYS_PTRACE": SYS_PTRACE,
         "CAP_SYS_ADMIN": SYS_ADMIN, "CAP_LEASE": LEASE}
FILTER = 2  # Seccomp: of proc(5)


def rights(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = {key: int(value, 16) for key, value in re.findall(r"^(Cap\w+):\s+(\w+)$", text, re.M)}
    found |= {key: int(value) for key, value in
              re.findall(r"^(NoNewPrivs|Seccomp):\s+(\d+)$", text, re.M)}
    return found | {"oom": int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())}


def children(pid):
    return [int(child) for child in
            pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Rights(cases.OnStores):
    @classmethod
    def setUpClass(cls):
        features = m.spillfs("--version").stdout.split("off:")[0]
        if "passthrough" not in features:
            global WORKER
            WORKER = 0

    def check(self, store, worker=WORKER, seccomp=FILTER):
        status = store.status()
        supervisor = rights(status["supervisor_pid"])
        serving = rights(status["worker_pid"])
        for process, kept in ((supervisor, SUPERVISOR & BOUNDS), (serving, worker)):
            for kind in ("CapPrm", "CapEff"):
                self.assertEqual(process[kind], kept, kind)
            for kind in ("CapInh", "CapAmb"):
                self.assertEqual(process[kind], 0, kind)
            self.assertEqual(process["CapBnd"], SUPERVISOR & BOUNDS)
            self.assertEqual(process["NoNewPrivs"], 1)
        self.assertEqual((supervisor["Seccomp"], serving["Seccomp"]), (0, seccomp))
        if LOWER_SCORES:
            self.assertEqual((supervisor["oom"], serving["oom"]), (-900, -500))
        self.check_what_is_shown(status, supervisor, serving)
        self.check_helpers(status["worker_pid"])
        for task in pathlib.Path(f"/proc/{status['worker_pid']}/task").iterdir():
            thread = rights(task.name)
            self.assertEqual((thread["CapEff"], thread["Seccomp"]), (worker, seccomp), "each thread")

    def check_what_is_shown(self, status, *processes):
        for name, process in zip(("supervisor", "worker"), processes):
            shown = status["rights"][name]
            self.assertEqual(sum(NAMES[each] for each in shown["capabilities"]), process["CapEff"])
            self.assertEqual(shown["no_new_privileges"], process["NoNewPrivs"] == 1)
            self.assertEqual(shown["seccomp"], process["Seccomp"] == FILTER)
            self.assertEqual(shown["oom_score_adj"], process["oom"])

    def check_helpers(self, worker):
        """They have what the worker has not, and nothing else."""
        kept = {rights(helper)["CapEff"] for helper in children(worker)}
        self.assertEqual(kept - {SYS_PTRACE & BOUNDS, DAC_OVERRIDE & BOUNDS}, set())
        for helper in children(worker):
            self.assertEqual(rights(helper)["NoNewPrivs"], 1)
            files = [os.readlink(f"/proc/{helper}/fd/{fd}") for fd in os.listdir(f"/proc/{helper}/fd")]
            self.assertEqual([file for file in files if "fuse" in file or "lock" in file], [])

    def test_of_each_worker_and_each_supervisor(self):
        program = self.folder() / "spillfs"
        shutil.copy(m.PROGRAM, program)
        store = self.mounted_by(program, "reap=1h")
        self.check(store)
        if not store.goes_on():
            self.skipTest("no worker goes on for another")
        store.kill_worker()
        self.check(store)
        (store.path / "file").write_bytes(b"x" * 100)
        worker = store.status()["worker_pid"]
        upgraded = m.spillfs("upgrade", store.path, program=program)
        self.assertEqual(upgraded.returncode, 0, upgraded.stderr)
        m.wait_until(lambda: store.status()["upgrades"] == 1, 30, "the upgrade")
        self.assertNotEqual(store.status()["worker_pid"], worker)
        self.check(store)
        store.kill_worker()
        self.check(store)
        self.assertEqual((store.path / "file").read_bytes(), b"x" * 100)
        self.ended_well(store)

    def folder(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-rights-"))
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def mounted_by(self, program, options):
        was, m.PROGRAM = m.PROGRAM, program
        try:
            return self.mounted(options)
        finally:
            m.PROGRAM = was

    def test_the_supervisors_memory_is_out_of_the_workers_reach(self):
        """A process with the worker's rights can't open it."""
        store = self.mounted("")
        opened = ["sh", "-c", f"exec 3<>/proc/{store.process.pid}/mem"]
        self.assertEqual(subprocess.run(opened, check=False).returncode, 0)
        kept = rights(store.worker())["CapEff"]
        names = ["-all", *(f"+cap_{number}" for number in range(64) if kept >> number & 1)]
        done = subprocess.run(
            ["setpriv", f"--bounding-set={','.join(names)}", "--inh-caps=-all", *opened],
            stderr=subprocess.DEVNULL, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.ended_well(store)

    def test_files_that_are_another_users(self):
        """Are changed by the daemon all the same, where they are admitted."""
        store = m.Mounted()
        self.addCleanup(store.close)
        store.store.mkdir(mode=0o700)
        os.chown(store.store, ALICE, ALICE)
        store.options = "foreign_store=yes"
        store.mount()
        self.check(store, worker=(SYS_ADMIN | DAC_OVERRIDE | LEASE) & BOUNDS)
        (store.path / "file").write_bytes(b"x" * (8 << 20))
        self.assertEqual((store.path / "file").read_bytes(), b"x" * (8 << 20))
        store.umount()
        checked = m.spillfs("check", store.store, "--foreign-store")
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_without_passthrough(self):
        store = self.mounted("without=passthrough")
        self.check(store, worker=0)
        (store.path / "file").write_bytes(b"x" * (8 << 20))
        self.assertEqual((store.path / "file").read_bytes(), b"x" * (8 << 20))
        self.ended_well(store)

    def test_without_the_filter(self):
        store = self.mounted("sandbox=no")
        self.check(store, seccomp=0)
        self.assertEqual(store.status()["sandbox"], "off: sandbox=no")
        found = m.spillfs("doctor", store.path).stdout
        self.assertRegex(found, r"(?m)^WARN  rights +the worker has CAP_SYS_ADMIN, no new .*sandbox=no")
        self.ended_well(store)

    def test_what_is_shown(self):
        store = self.mounted("")
        self.assertEqual(store.status()["sandbox"], "on")
        found = m.spillfs("doctor", store.path).stdout
        self.assertRegex(found, r"(?m)^OK    rights +the worker has CAP_SYS_ADMIN, no new privileges, "
                                r"system call filter on, OOM score -?\d+$")
        text = m.spillfs("status", store.path).stdout
        self.assertRegex(text, r"(?m)^  worker +CAP_SYS_ADMIN; no new privileges; system calls filtered;")
        self.assertRegex(text, r"(?m)^  supervisor +CAP_\S+ .*; system calls not filtered;")
        self.assertRegex(text, r"(?m)^  sandbox +on$")
        self.ended_well(store)

    def test_of_an_ordinary_user(self):
        """Has no rights to give up but to start programs; unmounts through fusermount3."""
        machine.put_fuse_for_everyone(self, self.folder() / "devices")
        folder = self.folder()
        os.chown(folder, NOBODY, NOBODY)
        program = shutil.copy(m.PROGRAM, folder)
        for name in ("store", "mnt"):
            (folder / name).mkdir()
            os.chown(folder / name, NOBODY, NOBODY)

        def mount():
            return m.spillfs("mount", folder / "store", folder / "mnt", program=program)
        done = as_user(NOBODY, mount)
        if done.returncode != 0:
            self.skipTest(f"ordinary users can't mount here: {done.stderr}")
        try:
            text = as_user(NOBODY, (folder / "mnt/.spillfs/status").read_text)
            status = json.loads(text)
            supervisor, worker = rights(status["supervisor_pid"]), rights(status["worker_pid"])
            self.assertEqual((supervisor["CapEff"], worker["CapEff"]), (0, 0))
            self.assertEqual((supervisor["NoNewPrivs"], worker["NoNewPrivs"]), (0, 1))
            self.assertEqual((supervisor["Seccomp"], worker["Seccomp"]), (0, FILTER))
        finally:
            done = as_user(NOBODY, lambda: m.spillfs("umount", folder / "mnt", program=program))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(m.is_mounted(folder / "mnt"))

    def test_the_document(self):
        """docs/SECURITY.md names for each process the capabilities that it is left with here."""
        text = (ROOT / "docs/SECURITY.md").read_text()
        for process, kept in (("supervisor", SUPERVISOR), ("worker", WORKER),
                              ("witness", SYS_PTRACE), ("reaper", DAC_OVERRIDE)):
            row = re.search(rf"(?m)^\| {process} \| (.*?) \|", text)[1]
            named = re.findall(r"CAP_\w+", row)
            self.assertEqual(sum(NAMES[each] for each in named), kept, process)


BOUNDS = rights(os.getpid())["CapBnd"]
LOWER_SCORES = BOUNDS >> 24 & 1  # CAP_SYS_RESOURCE

if __name__ == "__main__":
    unittest.main(verbosity=2)
