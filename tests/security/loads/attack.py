# SPDX-License-Identifier: Apache-2.0
"""What the loops of an ordinary user who means no good have in common, and the processes that run
them.

A nursery process forks one process for each slot of each attack and forks it again when it ends: an
attack may kill itself. All of them are one process group, which stop() kills wherever they are."""
import collections
import contextlib
import errno
import mmap
import os
import random
import resource
import signal
import struct
import sys
import threading
import time
import traceback

from support.users import die_with_parent

NICENESS = 10           # who burns CPU outside of the file system shall find nothing
BROKEN = 255            # in a tally, and as an exit code: the attack itself is wrong
# What neither a quota nor the loop's own doing explains.
ALARMING = (errno.EIO, errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.EUCLEAN)
PAUSE = 0.02            # before a process that ended is forked again


class Tally:
    """How often the calls of all processes succeeded (0) or had which errno."""

    def __init__(self):
        self.counts = mmap.mmap(-1, 256 * 8)  # shared with those that are forked

    def add(self, number):
        at = 8 * min(number, BROKEN)
        self.counts[at:at + 8] = struct.pack("q", struct.unpack_from("q", self.counts, at)[0] + 1)

    def all(self):
        counts = struct.unpack("256q", self.counts)
        return collections.Counter({n: count for n, count in enumerate(counts) if count})


class Attack:
    """One kind of loop. `threads` of each of `processes` processes repeat step()."""
    processes, threads = 2, 4
    on_any_file_system = True  # false: what it does is there on a spillfs alone

    def __init__(self, root, slot, tally, quota):
        self.root, self.slot, self.tally, self.quota = root, slot, tally, quota
        self.home = os.path.join(root, f"{type(self).__name__}-{slot}-{os.getpid()}")
        self.shared = os.path.join(root, type(self).__name__)
        self.random = random.Random(slot)

    def prepare(self):
        """Once in each process, before its threads."""

    def step(self, thread):
        raise NotImplementedError

    def do(self, call, *arguments, **named):
        """What the call returns, or true; None when it was refused; tallied."""
        try:
            result = call(*arguments, **named)
            self.tally.add(0)
            return True if result is None else result
        except OSError as error:
            self.tally.add(error.errno or BROKEN)
            if error.errno in ALARMING:
                print(f"{type(self).__name__}: {call.__name__}: {error}", file=sys.stderr)
            return None

    @contextlib.contextmanager
    def opened(self, path, flags, mode=0o644, **named):
        """None inside where it was refused."""
        fd = self.do(os.open, path, flags, mode, **named)
        try:
            yield fd
        finally:
            if fd is not None:
                self.do(os.close, fd)

    def path(self, *names):
        return os.path.join(self.home, *map(str, names))

    def put(self, path, data, flags=os.O_WRONLY | os.O_CREAT):
        with self.opened(path, flags) as fd:
            return fd is not None and self.do(os.write, fd, data)

    def run(self):
        for folder in (self.home, self.shared):
            self.do(os.makedirs, folder, exist_ok=True)
        self.prepare()
        for number in range(1, self.threads):
            threading.Thread(target=self._repeat, args=(number,), daemon=True).start()
        self._repeat(0)

    def _repeat(self, thread):
        try:
            while True:
                self.step(thread)
        except OSError as error:  # outside of do()
            self.tally.add(error.errno or BROKEN)
            os._exit(1)
        except BaseException:
            traceback.print_exc()
            self.tally.add(BROKEN)
            os._exit(BROKEN)


class Attackers:
    """Runs attacks in root/… as `uid`."""

    def __init__(self, attacks, root, uid, quota):
        self.attacks, self.root, self.uid, self.quota = attacks, str(root), uid, quota
        self.tally = Tally()
        self.group = None

    def start(self):
        parent = os.getpid()
        self.group = os.fork()
        if self.group == 0:
            try:
                die_with_parent(parent)
                self._nurse()
            finally:
                os._exit(1)
        with contextlib.suppress(PermissionError):
            os.setpgid(self.group, self.group)
        return self

    def _nurse(self):
        os.setpgid(0, 0)
        slots, running = [], {}
        for attack in self.attacks:
            slots += [(attack, number) for number in range(attack.processes)]
        while True:
            for slot in slots:
                if slot not in running.values():
                    running[self._fork(slot)] = slot
            ended, status = os.wait()
            slot = running.pop(ended, None)
            if os.waitstatus_to_exitcode(status) == BROKEN:
                slots.remove(slot)
            time.sleep(PAUSE)

    def _fork(self, slot):
        parent = os.getpid()
        child = os.fork()
        if child != 0:
            return child
        try:
            self._become_ordinary()
            die_with_parent(parent)
            attack, number = slot
            attack(self.root, number, self.tally, self.quota).run()
        except OSError as error:  # outside of do()
            self.tally.add(error.errno or BROKEN)
            os._exit(1)
        except BaseException:
            traceback.print_exc()
            self.tally.add(BROKEN)
        finally:
            os._exit(BROKEN)

    def _become_ordinary(self):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        os.nice(NICENESS)
        os.setgroups([])
        os.setgid(self.uid)
        os.setuid(self.uid)
        os.umask(0o022)

    def stop(self, seconds):
        """Kills all of them in the middle of what they do; False when some do not die."""
        if self.group is None:
            return True
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                os.killpg(self.group, signal.SIGKILL)
            except ProcessLookupError:
                self.group = None
                return True
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-self.group, os.WNOHANG)[0] != 0:
                    pass
            time.sleep(0.02)
        return False


def describe(tally):
    """For people: how many calls went well, and what the others were told."""
    told = [f"{errno.errorcode.get(number, number)} {count}"
            for number, count in tally.most_common() if number != 0]
    return f"{tally[0]} calls went well" + (f", {', '.join(told)}" if told else "")
