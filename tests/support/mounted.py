# SPDX-License-Identifier: Apache-2.0
"""A store and its mount for a test: made in a private directory, gone afterwards.

SPILLFS names the program; SPILLFS_MOUNT_OPTIONS are options for every mount, before a test's own. A
test that the machine can't run calls skip(), which ctest reports.
"""
import contextlib
import faulthandler
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
PROGRAM = os.environ.get("SPILLFS", "build/spillfs")
LEAKS = pathlib.Path(__file__).resolve().with_name("leaks.txt")
# Its end is ours: a test that is killed leaves no mount behind.
DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM")
# Of the services and proxies that this machine has, mounts are to know nothing.
for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"):
    os.environ.pop(name, None)
os.environ["no_proxy"] = ",".join(filter(None, (os.environ.get("no_proxy"), "127.0.0.1,localhost")))
os.environ.setdefault("LSAN_OPTIONS", f"suppressions={LEAKS}:print_suppressions=0")
PATIENCE = 3  # a slow or busy machine takes so much longer than what is waited for here
SUSPICIOUS = ("[error]", "[critical]", "Sanitizer", "runtime error:")


def skip(why):
    print(f"SKIP: {why}", flush=True)
    sys.exit(SKIPPED)


def need_fuse():
    if not os.path.exists("/dev/fuse"):
        skip("this machine has no /dev/fuse")
    if os.geteuid() != 0:
        skip("needs root; run 'sudo scripts/test'")


def limit_time(seconds):
    """Ends the process with a trace of every thread when the test takes longer, times PATIENCE."""
    faulthandler.dump_traceback_later(seconds * PATIENCE, exit=True)


def run_with_ray():
    """Goes on in the Python of build/venv, where ray is."""
    python = pathlib.Path(PROGRAM).resolve().parent / "venv/bin/python"
    if not python.exists():
        skip("no ray package; run 'scripts/venv'")
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0",
                      RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    if pathlib.Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])


def wait_until(condition, seconds, what, pause=0.05):
    """Fails after seconds * PATIENCE."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what}")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def mounts():
    """Mountpoint and the whole line of each that this process sees."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return [(line.split()[4], line) for line in lines]


def is_mounted(path):
    return any(mountpoint == str(path) for mountpoint, _ in mounts())


def free_bytes(path):
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def spillfs_mounts():
    return [mountpoint for mountpoint, line in mounts() if " - fuse.spillfs " in line]


def spillfs(*arguments, program=PROGRAM, timeout=120, **options):
    """Runs a verb; never raises. Its output is text."""
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, check=False, **options)


class Mounted:
    """A store that can be mounted, killed, mounted again."""

    pause = 0.05  # seconds between two looks whether it serves

    def __init__(self, options="", directory=None):
        self.root = pathlib.Path(directory or tempfile.mkdtemp(prefix="spillfs-"))
        os.chmod(self.root, 0o755)
        self.store = self.root / "store"
        self.path = self.root / "mnt"
        self.path.mkdir(exist_ok=True)
        self.options = options
        self.process = None
        self.log_lines_allowed = ()

    def log_path(self):
        return self.root / "spillfs.log"

    def mount(self, *more, prefix=(), log=None):
        """`log`: a descriptor for what it prints, else log_path()."""
        both = ",".join(filter(None, (os.environ.get("SPILLFS_MOUNT_OPTIONS"), self.options)))
        options = ["-o", both] if both else []
        with open(self.log_path(), "ab") as own:
            log = own if log is None else log
            self.process = subprocess.Popen(
                [*prefix, *DIES_WITH_US, PROGRAM, "mount", str(self.store), str(self.path), "-f",
                 *options, *more],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: is_mounted(self.path) and self.serves() or self.ended(), 30, "mounted",
                   self.pause)
        if self.ended():
            raise AssertionError(f"mount ended with {self.process.returncode}:\n{self.log()}")
        return self

    def serves(self):
        """Whether it is this process that answers: a dead mount still does from the kernel's cache."""
        try:
            return self.status()["supervisor_pid"] == self.process.pid
        except OSError:
            return False

    def ended(self):
        return self.process.poll() is not None

    def log(self):
        return self.log_path().read_text(encoding="utf-8", errors="replace")

    def worker(self):
        """The serving process's id."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def status(self):
        return json.loads((self.path / ".spillfs/status").read_text())

    def goes_on(self):
        """Whether another worker goes on when one dies."""
        return self.status()["when_the_worker_dies"] == "another goes on"

    def kill_worker(self):
        """SIGKILL for the worker alone, and another has come."""
        worker = self.status()["worker_pid"]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: self.status()["worker_pid"] != worker, 30, "another worker", self.pause)

    def resident_mib(self):
        """The serving process's memory."""
        status = pathlib.Path(f"/proc/{self.worker()}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) >> 10

    def kill(self):
        """SIGKILL for supervisor and worker, as the OOM killer or a power button would."""
        pids = [self.process.pid, self.worker()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        wait_until(lambda: not any(alive(pid) for pid in pids), 30, "the daemon's end")

    def umount(self):
        done = spillfs("umount", self.path)
        assert done.returncode == 0, done.stderr
        assert self.process.wait(60) == 0, self.log()
        assert not is_mounted(self.path)

    def check(self):
        done = spillfs("check", self.store)
        assert done.returncode == 0, done.stdout + done.stderr

    def check_log(self):
        for line in self.log().splitlines():
            if any(word in line for word in SUSPICIOUS):
                assert any(text in line for text in self.log_lines_allowed), line

    def close(self):
        """Ends whatever still runs, without judging it."""
        if self.process is not None and not self.ended():
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        if is_mounted(self.path):
            subprocess.run(["umount", "-l", self.path], check=False)
        shutil.rmtree(self.root, ignore_errors=True)


def alive(pid):
    """Whether any thread runs: as long as one does, all files stay open."""
    for thread in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if thread.read_text().rsplit(")", 1)[1].split()[0] != "Z":
                return True
    return False


@contextlib.contextmanager
def mounted(options=""):
    """A mount for the time of a test; at its end the store has to be in order."""
    store = Mounted(options)
    try:
        store.mount()
        yield store
        store.umount()
        store.check()
        store.check_log()
    except BaseException:
        print(store.log(), file=sys.stderr)
        raise
    finally:
        store.close()
