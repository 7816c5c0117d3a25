# SPDX-License-Identifier: Apache-2.0
"""Tries with the bytes of files: writing, appending, truncating, holes."""

import os
import resource
import signal
import socket
import subprocess

from support.cases import opened
from support.system_calls import fallocate
from tries.table import all_ended, got, in_child, make, start, tried

WRITE_NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC


@tried("juicedata/juicefs#5663", "attributes of a file that is unlinked and open can not be set")
def setting_what_is_unlinked(top):
    with opened(make(top / "f", b"test data"), os.O_RDWR) as fd:
        os.unlink(top / "f")
        seen = {
            "truncate": got(os.ftruncate, fd, 16384),
            "chmod": got(os.fchmod, fd, 0o640),
            "chown": got(os.fchown, fd, 4001, 4002),
            "times": got(os.utime, fd, ns=(10**18, 10**18)),
            "xattr": got(os.setxattr, fd, "user.a", b"b"),
        }
        at = os.fstat(fd)
        seen["stat"] = (at.st_mode, at.st_nlink, at.st_uid, at.st_gid, at.st_size, at.st_mtime_ns)
        seen["bytes"] = os.pread(fd, 20000, 0)
        return seen


@tried("seaweedfs/seaweedfs#10982", "ftruncate of an empty unlinked file is ENOENT")
def truncating_what_is_unlinked(top):
    make(top / "f")
    with opened(top / "f", os.O_RDWR) as fd:
        os.unlink(top / "f")
        return {
            "grow": got(os.ftruncate, fd, 5000),
            "write": got(os.pwrite, fd, b"x", 4999),
            "read": got(os.pread, fd, 10, 4995),
            "nlink": os.fstat(fd).st_nlink,
            "cut": got(os.ftruncate, fd, 1),
            "fsync": got(os.fsync, fd),
        }


@tried("GoogleCloudPlatform/gcsfuse#2890", "fsync and close of a file that is unlinked fail")
def syncing_what_is_unlinked(top):
    fd = os.open(top / "f", WRITE_NEW)
    os.write(fd, b"x" * 100_000)
    os.unlink(top / "f")
    seen = {"fsync": got(os.fsync, fd), "fdatasync": got(os.fdatasync, fd)}
    os.write(fd, b"y")
    seen["size"] = os.fstat(fd).st_size
    seen["close"] = got(os.close, fd)
    seen["names"] = os.listdir(top)
    return seen


@tried("juicedata/juicefs#6545", "appends through two names of one file overwrite each other")
def appending_in_turns(top):
    make(top / "a")
    os.link(top / "a", top / "b")
    for number in range(200):
        with open(top / "ab"[number % 2], "a", encoding="ascii") as file:
            file.write(f"line {number}\n")
    with opened(top / "a", os.O_WRONLY | os.O_APPEND) as one, opened(
        top / "b", os.O_WRONLY | os.O_APPEND
    ) as other:
        for number in range(200):
            os.write((one, other)[number % 2], b"handle %d\n" % number)
    return {"bytes": (top / "a").read_bytes()}


@tried("juicedata/juicefs#6596", "two processes with O_APPEND overwrite each other")
def appending_at_once(top):
    def append(letter):
        with opened(top / "f", os.O_WRONLY | os.O_APPEND | os.O_CREAT) as fd:
            for _ in range(300):
                os.write(fd, letter * 79 + b"\n")

    all_ended([start(lambda letter=letter: append(letter)) for letter in (b"a", b"b", b"c")])
    lines = (top / "f").read_bytes().split(b"\n")
    return {"lines": sorted(lines)}


@tried(
    "s3fs-fuse/s3fs-fuse#1919",
    "reading a file that was cut short and not flushed gives its old size",
)
def reading_after_a_cut(top):
    with opened(make(top / "f", b"x" * 1000), os.O_RDWR) as fd:
        os.ftruncate(fd, 10)
        seen = {"read": os.pread(fd, 2000, 0), "size": os.stat(top / "f").st_size}
        os.ftruncate(fd, 20)
        seen["again"] = os.pread(fd, 2000, 0)
        seen["other"] = (top / "f").read_bytes()
        return seen


@tried(
    "s3fs-fuse/s3fs-fuse#1811",
    "truncating a file to nothing by name while it is open and modified fails",
)
def emptying_what_is_open(top):
    with opened(make(top / "f", b"old" * 1000), os.O_RDWR) as fd:
        os.pwrite(fd, b"new" * 2000, 0)
        seen = {"truncate": got(os.truncate, top / "f", 0), "size": os.fstat(fd).st_size}
        os.pwrite(fd, b"end", 4000)
        seen["bytes"] = (top / "f").read_bytes()
        return seen


@tried("s3fs-fuse/s3fs-fuse#1776", "dd with count=0 and seek=100000 is an I/O error")
def making_100_gb_of_nothing(top):
    done = subprocess.run(
        ["dd", "if=/dev/zero", f"of={top}/f", "bs=1M", "count=0", "seek=100000", "status=none"],
        check=False,
    )
    at = os.stat(top / "f")
    return {"exit": done.returncode, "size": at.st_size, "blocks": at.st_blocks // 16}


@tried(
    "s3fs-fuse/s3fs-fuse#1022",
    "a file written in pieces by handles of their own is cut at the wrong place",
)
def writing_in_pieces(top):
    make(top / "f")
    for number in (3, 0, 5, 2, 4, 1):
        with opened(top / "f", os.O_WRONLY) as fd:
            os.pwrite(fd, bytes([number]) * 300_000, number * 300_000)
    return {"right": (top / "f").read_bytes() == b"".join(bytes([n]) * 300_000 for n in range(6))}


@tried("rclone/rclone#3843", "echo >> to a new file is an I/O error")
def appending_to_what_is_new(top):
    done = subprocess.run(f"echo foo >> {top}/f; echo bar >> {top}/f", shell=True, check=False)
    with opened(top / "f", os.O_RDWR | os.O_APPEND) as fd:
        seen = {"pwrite": got(os.pwrite, fd, b"end", 0), "offset": os.lseek(fd, 0, os.SEEK_CUR)}
        os.ftruncate(fd, 2)
        os.write(fd, b"x")
        seen["after"] = os.lseek(fd, 0, os.SEEK_CUR)
    return {**seen, "exit": done.returncode, "bytes": (top / "f").read_bytes()}


@tried("go-git/go-billy#29", "O_TRUNC with O_APPEND leaves the offset of the old end")
def truncating_and_appending(top):
    make(top / "f", b"123456")
    with opened(top / "f", os.O_WRONLY | os.O_TRUNC | os.O_APPEND) as fd:
        os.write(fd, b"abc")
    return {"bytes": (top / "f").read_bytes()}


@tried("juicedata/juicefs#2633", "O_TRUNC is not done by the open")
def truncating_by_open(top):
    make(top / "f", b"123456")
    with opened(top / "f", os.O_RDONLY) as reader:
        os.close(os.open(top / "f", os.O_RDONLY | os.O_TRUNC))
        seen = {"read": os.pread(reader, 10, 0), "size": os.fstat(reader).st_size}
    make(top / "g", b"123")
    os.chmod(top / "g", 0o444)
    seen["twice"] = got(os.open, top / "f", os.O_CREAT | os.O_EXCL | os.O_TRUNC)
    return seen


@tried("ceph/ceph#38031", "a file that is open to read only can be truncated")
def truncating_without_right(top):
    with opened(make(top / "f", b"123"), os.O_RDONLY) as fd:
        seen = {"read only": got(os.ftruncate, fd, 0), "negative": got(os.truncate, top / "f", -1)}
    seen["directory"] = got(os.truncate, top, 0)
    seen["huge"] = got(os.truncate, top / "f", (1 << 63) - 1)
    seen["missing"] = got(os.truncate, top / "nothing", 0)
    return seen


@tried("juicedata/juicefs#172", "copy_file_range is not supported")
def copying_ranges(top):
    make(top / "from", bytes(range(256)) * 1000)
    make(top / "to", b"z" * 1000)
    with opened(top / "from", os.O_RDWR) as one, opened(top / "to", os.O_RDWR) as other, opened(
        top / "to", os.O_RDWR | os.O_APPEND
    ) as end, opened(top / "to", os.O_RDONLY) as no:
        seen = {
            "beyond the end": got(os.copy_file_range, one, other, 100, 256000, 0),
            "across it": got(os.copy_file_range, one, other, 100, 255990, 500),
            "odd": got(os.copy_file_range, one, other, 5000, 7, 3),
            "overlapping": got(os.copy_file_range, one, one, 1000, 0, 500),
            "in one": got(os.copy_file_range, one, one, 1000, 0, 100_000),
            "to append": got(os.copy_file_range, one, end, 10, 0, 0),
            "no writer": got(os.copy_file_range, one, no, 10, 0, 0),
            "nothing": got(os.copy_file_range, one, other, 0, 0, 0),
        }
        with opened(top, os.O_RDONLY) as directory:
            seen["directory"] = got(os.copy_file_range, directory, other, 10, 0, 0)
    seen["bytes"] = ((top / "from").read_bytes(), (top / "to").read_bytes())
    return seen


@tried("trapexit/mergerfs#950, LMCache/LMCache#1522", "dd with oflag=direct is EINVAL")
def writing_direct(top):
    def dd(*words):
        return subprocess.run(
            ["dd", f"of={top}/f", "oflag=direct", "status=none", "if=/dev/zero", *words],
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode

    return {
        "aligned": (dd("bs=8M", "count=1"), os.stat(top / "f").st_size),
        "small": (dd("bs=4k", "count=10", "conv=notrunc", "seek=3"), os.stat(top / "f").st_size),
        "unaligned": (dd("bs=1000", "count=1"), os.stat(top / "f").st_size),
        "append": (
            dd("bs=4k", "count=2", "conv=notrunc", "oflag=append"),
            os.stat(top / "f").st_size,
        ),
    }


@tried("GoogleCloudPlatform/gcsfuse#295", "dd with oflag=dsync is an I/O error")
def writing_in_sync(top):
    done = subprocess.run(
        ["dd", "if=/dev/zero", f"of={top}/f", "bs=4096", "count=5", "oflag=dsync", "status=none"],
        check=False,
    )
    return {"exit": done.returncode, "size": os.stat(top / "f").st_size}


@tried("apache/spark#1678", "shuffle output is cut back to the last commit and appended to")
def reverting_partial_writes(top):
    with open(top / "f", "ab") as file:
        file.write(b"committed" * 1000)
        file.flush()
        committed = file.tell()
        file.write(b"partial" * 5000)
    with open(top / "f", "ab") as file:
        file.truncate(committed)
    with open(top / "f", "ab") as file:
        seen = {"position": file.tell()}
        file.write(b"next")
    seen["bytes"] = (top / "f").read_bytes()
    return seen


@tried("palantir/spark#535", "FileChannel.transferTo (sendfile) to a file, also one that appends")
def sending_files(top):
    make(top / "from", b"0123456789" * 10_000)
    with opened(top / "from", os.O_RDONLY) as one, opened(top / "to", WRITE_NEW) as other, opened(
        top / "to", os.O_WRONLY | os.O_APPEND
    ) as end:
        seen = {
            "file": got(os.sendfile, other, one, 0, 50_000),
            "past the end": got(os.sendfile, other, one, 100_000, 10),
            "append": got(os.sendfile, end, one, 0, 10),
        }
        near, far = socket.socketpair()
        with near, far:
            seen["socket"] = (got(os.sendfile, near.fileno(), one, 5, 1000), far.recv(2000))
    seen["bytes"] = (top / "to").read_bytes()
    return seen


@tried("uutils/coreutils#9609", "splice from a mount gives nothing")
def splicing(top):
    make(top / "from", b"abc" * 1000)
    out, into = os.pipe()
    with opened(top / "from", os.O_RDONLY) as one, opened(top / "to", WRITE_NEW) as other, opened(
        top / "to", os.O_WRONLY | os.O_APPEND
    ) as end:
        seen = {
            "out": got(os.splice, one, into, 3000),
            "in": got(os.splice, out, other, 3000),
            "at the end": got(os.splice, one, into, 10),
        }
        os.write(into, b"x")
        seen["append"] = got(os.splice, out, end, 1)
    return {**seen, "bytes": (top / "to").read_bytes()}


@tried(
    "tokio-rs/tokio-uring#326, google/gvisor#2601",
    "the flags of preadv2 and pwritev2",
    now="ENOTSUP",
)
def reading_and_writing_with_flags(top):
    make(top / "f", b"0123456789")
    with opened(top / "f", os.O_RDWR) as fd:
        seen = {
            "append": got(os.pwritev, fd, [b"end"], 0, os.RWF_APPEND),
            "dsync": got(os.pwritev, fd, [b"A", b"B"], 0, os.RWF_DSYNC),
            "sync": got(os.pwritev, fd, [b"C"], 2, os.RWF_SYNC),
            "unknown": got(os.pwritev, fd, [b"x"], 0, 0x4000_0000),
        }
        buffers = [bytearray(4), bytearray(100)]
        seen["read"] = (got(os.preadv, fd, buffers, 1), bytes(buffers[0]), bytes(buffers[1][:9]))
        seen["beyond"] = got(os.preadv, fd, [bytearray(4)], 1000)
        now = got(os.preadv, fd, [bytearray(4)], 0, os.RWF_NOWAIT)
        seen["now"] = "cached or not" if now in (4, "EAGAIN") else now
        seen["too many"] = got(os.writev, fd, [b"x"] * 1025)
    return {**seen, "bytes": (top / "f").read_bytes()}


@tried(
    "duckdb/duckdb#25672",
    "a spill that fails half way (RLIMIT_FSIZE) leaves a file of the wrong size",
)
def reaching_the_file_size_limit(top):
    report = top / "report"

    def write():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with opened(top / "f", WRITE_NEW) as fd:
            seen = [
                got(os.write, fd, b"x" * 8000),
                got(os.write, fd, b"y" * 8000),
                got(os.write, fd, b"z"),
                got(os.ftruncate, fd, 10_001),
                got(os.ftruncate, fd, 1),
                got(fallocate, fd, 0, 0, 20_000),
                os.fstat(fd).st_size,
            ]
        report.write_text(repr(seen))

    def die():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        with opened(top / "g", WRITE_NEW) as fd:
            os.pwrite(fd, b"x", 10_000)

    return {"ignored": in_child(write), "seen": report.read_text(), "killed": in_child(die)}


@tried(
    "ray-project/ray#26395", "a spill file is deleted and made again while another still reads it"
)
def reading_what_is_made_again(top):
    with opened(make(top / "f", b"old" * 10_000), os.O_RDONLY) as fd:
        os.unlink(top / "f")
        make(top / "f", b"new" * 20_000)
        with opened(top / "f", os.O_RDONLY) as again:
            return {
                "old": os.pread(fd, 60_000, 0),
                "new": os.pread(again, 60_000, 0),
                "sizes": (os.fstat(fd).st_size, os.fstat(again).st_size),
                "one inode": os.fstat(fd).st_ino == os.fstat(again).st_ino,
                "name": os.readlink(f"/proc/self/fd/{fd}").endswith("/f (deleted)"),
            }


@tried(
    "ray-project/ray#43016, dask/distributed#5529",
    "free space as statvfs shows it decides whether to spill",
)
def asking_for_space(top):
    before = os.statvfs(top)
    make(top / "f", b"x" * (64 << 20))
    with opened(top / "f", os.O_RDONLY) as fd:
        os.fsync(fd)
        after = os.fstatvfs(fd)
    # How much is free then others on the disk change as well.
    return {
        "names": before.f_namemax,
        "block": before.f_bsize,
        "fragment": before.f_frsize,
        "in order": before.f_bavail <= before.f_bfree <= before.f_blocks,
        "same afterwards": (after.f_blocks, after.f_frsize) == (before.f_blocks, before.f_frsize),
        "read only": before.f_flag & os.ST_RDONLY,
    }
