# SPDX-License-Identifier: Apache-2.0
"""A machine for a test: systemd as process 1 of a container (systemd-nspawn) over a copy of this
machine's root that takes changes in memory. Gone when the test ends, whatever happens."""
import contextlib
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

from support import mounted as m

INSIDE = "SPILLFS_TEST_INSIDE"


def own_mounts(*programs, also=()):
    """Goes on in a mount namespace of its own, so that nothing that is mounted is left behind and
    no other spillfs is there; `also` are further words for unshare(1). Skips where one of the
    programs is missing."""
    for program in ("unshare", *programs):
        if shutil.which(program) is None:
            m.skip(f"this machine has no {program}")
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "yes"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *also,
                              sys.executable, *sys.argv])
    # Tests beside this one end theirs, which may take ours away meanwhile.
    m.wait_until(lambda: not [subprocess.run(["umount", "--lazy", path], check=False,
                                             capture_output=True) for path in m.spillfs_mounts()],
                 20, "no other mounts")


def put(test, place, *what):
    """mount(8) over what is there, until the test ends. Only after own_mounts()."""
    subprocess.run(["mount", *what, place], check=True)
    test.addCleanup(subprocess.run, ["umount", "--lazy", place], check=True)


def put_fuse_for_everyone(test, folder):
    """/dev/fuse as distributions have it; skips where no user could mount with it. The folder is
    made."""
    if not os.stat(shutil.which("fusermount3") or "/").st_mode & stat.S_ISUID:
        test.skipTest("no fusermount3, or it is not set-uid")
    folder.mkdir()
    put(test, folder, "-t", "tmpfs", "tmpfs")
    os.mknod(folder / "fuse", stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
    (folder / "fuse").chmod(0o666)
    put(test, "/dev/fuse", "--bind", folder / "fuse")


def _cgroup2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        if words[words.index("-") + 1] == "cgroup2":
            return pathlib.Path(words[4])
    return None


class Machine:
    """The test's own files are in `folder`, which both sides see under the same name."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-machine-"))
        self.process = self.pid = self.group = None
        memory = self.folder / "memory"
        memory.mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", memory)
        for name in ("upper", "work", "root"):
            (memory / name).mkdir()
        self.root = memory / "root"
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                               f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work",
                               self.root], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self._remove()
            m.skip(f"this machine has no overlay: {done.stderr}")
        (self.root / "etc/machine-id").unlink(missing_ok=True)
        (self.root / "etc/machine-id").write_text("")
        (self.root / "etc/fstab").unlink(missing_ok=True)

    def boot(self, *bound, copied=None):
        """Skips where the machine can't. `bound` folders are this side's own, what happens to the
        `copied` one stays in the machine's memory. Both are seen wherever they are here, also
        below /tmp, which is the machine's own."""
        self._join_group()
        words = ["systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", "--register=no",
                 "--keep-unit", "--private-network", "--link-journal=no", "--console=pipe",
                 f"--machine=spillfs-{os.getpid()}", "--bind=/dev/fuse"]
        words += [f"--bind={path}" for path in bound]
        if copied is not None:
            upper = self.folder / "memory/copied"
            upper.mkdir()
            words.append(f"--overlay={copied}:{upper}:{copied}")
        with open(self.folder / "console", "wb") as log:
            self.process = subprocess.Popen(
                [*words, "systemd.unit=basic.target"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                preexec_fn=self._enter)
        with contextlib.suppress(AssertionError):
            m.wait_until(self._is_up, 30, "the machine is up")
        if self.pid is None or self.process.poll() is not None:
            why = (self.folder / "console").read_text(errors="replace")
            self.close()
            m.skip(f"systemd does not start in a container here: {why}")

    def _join_group(self):
        parent = _cgroup2()
        if parent is None:
            m.skip("this machine has no cgroup2")
        self.group = parent / self.folder.name
        self.group.mkdir()

    def _enter(self):
        (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def _is_up(self):
        if self.process.poll() is not None:
            return True
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = children.read_text().split()
        if not pids:
            return False
        self.pid = int(pids[0])
        return self.run("systemctl", "is-active", "basic.target", check=False).stdout == "active\n"

    def run(self, *words, check=True, **options):
        """A program in the machine, with its output as text."""
        done = subprocess.run(["nsenter", "--target", str(self.pid), "--all", *map(str, words)],
                              capture_output=True, text=True, check=False, timeout=120, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{words}: {done.stdout}{done.stderr}")
        return done

    def inside(self, path):
        """A path in the machine, as this side sees it."""
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)
        if self.group is not None:
            m.wait_until(self._empty, 30, "the machine's end")
        self._remove()

    def _remove(self):
        for path in (self.root, self.root.parent):
            subprocess.run(["umount", "--lazy", path], check=False)
        if not m.is_mounted(self.root) and not m.is_mounted(self.root.parent):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _empty(self):
        kill = self.group / "cgroup.kill"
        if kill.exists():
            kill.write_text("1")
        for folder, _, _ in os.walk(self.group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                return False
        return True


def run(*words):
    subprocess.run([*map(str, words)], check=True)
