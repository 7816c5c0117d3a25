# SPDX-License-Identifier: Apache-2.0
"""Tries with locks: flock(2), fcntl(2) and those of open file descriptions, between processes."""

import fcntl
import os
import signal
import struct
import time

from support.cases import opened
from tries.table import all_ended, got, in_child, make, start, tried

OFD_SETLK, OFD_SETLKW, OFD_GETLK = 37, 38, 36


def lock(kind, begin, length):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, begin, length, 0)


def tries_of(path, kinds=(fcntl.F_RDLCK, fcntl.F_WRLCK)):
    """What another process may lock of the first ten bytes."""
    results, result = os.pipe()

    def run():
        with opened(path, os.O_RDWR) as fd:
            seen = ""
            for kind in kinds:
                for at in range(0, 10, 3):
                    outcome = got(fcntl.fcntl, fd, fcntl.F_SETLK, lock(kind, at, 1))
                    seen += outcome if isinstance(outcome, str) else "+"
            os.write(result, seen.encode())

    in_child(run)
    os.close(result)
    with open(results, "rb") as file:
        return file.read()


@tried(
    "juicedata/juicefs#6770, juicedata/juicefs#2323",
    "fcntl locks of many processes end with EDEADLK",
)
def locking_at_once(top):
    seen = {}

    def work(kind):
        with opened(top / "count", os.O_RDWR) as fd:
            for _ in range(20):
                if kind == "flock":
                    fcntl.flock(fd, fcntl.LOCK_EX)
                else:
                    fcntl.fcntl(fd, kind, lock(fcntl.F_WRLCK, 0, 1))
                count = int(os.pread(fd, 10, 0))
                os.pwrite(fd, b"%-10d" % (count + 1), 0)
                if kind == "flock":
                    fcntl.flock(fd, fcntl.LOCK_UN)
                else:
                    fcntl.fcntl(fd, kind, lock(fcntl.F_UNLCK, 0, 1))

    for kind in ("flock", fcntl.F_SETLKW, OFD_SETLKW):
        make(top / "count", b"0         ")
        ended = all_ended([start(lambda kind=kind: work(kind)) for _ in range(8)])
        seen[kind] = (ended, (top / "count").read_bytes())
    return seen


@tried(
    "sloonz/rewritefs#13, bazil/fuse#297",
    "locks of open file descriptions stay, or go with another descriptor",
)
def locking_descriptions(top):
    make(top / "f", b"0123456789")
    one, other = os.open(top / "f", os.O_RDWR), os.open(top / "f", os.O_RDWR)
    again = os.dup(one)
    seen = {
        "lock": got(fcntl.fcntl, one, OFD_SETLK, lock(fcntl.F_WRLCK, 0, 5)) is not None,
        "other": got(fcntl.fcntl, other, OFD_SETLK, lock(fcntl.F_RDLCK, 4, 1)),
    }
    seen["get"] = struct.unpack(
        "hhqqi4x", got(fcntl.fcntl, other, OFD_GETLK, lock(fcntl.F_WRLCK, 0, 9))
    )
    seen["process"] = tries_of(top / "f")
    os.close(other)
    seen["after another's close"] = tries_of(top / "f")
    os.close(one)
    seen["a duplicate is left"] = tries_of(top / "f")
    os.close(again)
    seen["all closed"] = tries_of(top / "f")
    return seen


@tried("bazil/fuse#297, noobaa/noobaa-core#8174", "fcntl locks go with any close by their process")
def closing_another_descriptor(top):
    make(top / "f", b"0123456789")
    one = os.open(top / "f", os.O_RDWR)
    fcntl.fcntl(one, fcntl.F_SETLK, lock(fcntl.F_WRLCK, 0, 4))
    fcntl.fcntl(one, fcntl.F_SETLK, lock(fcntl.F_RDLCK, 6, 4))
    seen = {"held": tries_of(top / "f")}
    fcntl.fcntl(one, fcntl.F_SETLK, lock(fcntl.F_UNLCK, 0, 2))
    seen["split"] = tries_of(top / "f")
    os.close(os.open(top / "f", os.O_RDONLY))
    return {**seen, "after a close": tries_of(top / "f")}


@tried("moosefs/moosefs#21", "flock with flags that are unknown never ends")
def locking_with_flags(top):
    seen = {}
    with opened(make(top / "f"), os.O_RDONLY) as fd, opened(top / "f", os.O_WRONLY) as other:
        for flags in (
            0,
            fcntl.LOCK_SH,
            fcntl.LOCK_EX | fcntl.LOCK_NB,
            fcntl.LOCK_UN,
            fcntl.LOCK_SH | fcntl.LOCK_EX,
        ):
            seen[flags] = got(fcntl.flock, fd, flags)
        fcntl.flock(fd, fcntl.LOCK_EX)
        seen["held"] = [
            got(fcntl.flock, other, kind | fcntl.LOCK_NB) for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX)
        ]
        fcntl.flock(fd, fcntl.LOCK_SH)
        seen["shared"] = [
            got(fcntl.flock, other, kind | fcntl.LOCK_NB) for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX)
        ]
        seen["wrong"] = [
            got(fcntl.fcntl, fd, fcntl.F_SETLK, lock(fcntl.F_WRLCK, 0, 1)),
            got(fcntl.fcntl, other, fcntl.F_SETLK, lock(fcntl.F_RDLCK, 0, 1)),
            got(fcntl.fcntl, fd, fcntl.F_SETLK, lock(9, 0, 1)),
            got(fcntl.fcntl, fd, fcntl.F_SETLK, lock(fcntl.F_RDLCK, -5, 1)),
        ]
    return seen


@tried(
    "juicedata/juicefs#4504, juicedata/juicefs#4890",
    "waiting for a lock ends with an error nobody knows",
)
def interrupting_a_wait(top):
    make(top / "f")
    holder = os.open(top / "f", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    fcntl.fcntl(holder, fcntl.F_SETLK, lock(fcntl.F_WRLCK, 0, 1))
    seen = []
    for kind in ("flock", "fcntl"):
        results, result = os.pipe()

        def wait(kind=kind, result=result):
            def interrupt(*_):
                raise InterruptedError(4, "interrupted")

            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with opened(top / "f", os.O_RDWR) as fd:
                if kind == "flock":
                    outcome = got(fcntl.flock, fd, fcntl.LOCK_EX)
                else:
                    outcome = got(fcntl.fcntl, fd, fcntl.F_SETLKW, lock(fcntl.F_WRLCK, 0, 1))
            os.write(result, str(outcome).encode())

        seen.append((in_child(wait), os.read(results, 100)))
    killed = start(
        lambda: os.close(os.open(top / "f", os.O_RDWR))
        or fcntl.flock(os.open(top / "f", os.O_RDWR), fcntl.LOCK_EX)
    )
    time.sleep(0.1)
    os.kill(killed, signal.SIGKILL)
    return {"seen": seen, "killed": all_ended([killed])}


@tried(
    "dask/distributed#2113, dask/distributed#1693",
    "the lock of a worker's directory, whose holder is killed",
)
def locking_as_dask_does(top):
    def hold():
        fd = os.open(top / "worker.dirlock", os.O_CREAT | os.O_WRONLY)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (top / "held").touch()
        signal.pause()

    holder = start(hold)
    while not (top / "held").exists():
        time.sleep(0.01)
    with opened(top / "worker.dirlock", os.O_WRONLY) as fd:
        seen = {"held": got(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)}
        os.kill(holder, signal.SIGKILL)
        all_ended([holder])
        seen["gone"] = got(fcntl.flock, fd, fcntl.LOCK_EX)
        os.unlink(top / "worker.dirlock")
        seen["unlinked"] = (os.fstat(fd).st_nlink, got(fcntl.flock, fd, fcntl.LOCK_SH))
    return seen
