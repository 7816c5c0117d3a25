# SPDX-License-Identifier: Apache-2.0
"""Tries with attributes: times, modes, owners, xattrs."""

import os
import subprocess
import time

from support.cases import opened
from support.system_calls import fallocate, link_open, rename2
from support.users import as_user
from tries.table import ALICE, BOB, got, make, moved, tried


@tried(
    "s3fs-fuse/s3fs-fuse#2733",
    "which calls change mtime and ctime",
    same_xattr=(["ctime"],),
    chown_nothing=([],),
)
def changing_times(top):
    f, g = make(top / "f", b"x" * 5000), top / "g"
    fd = os.open(f, os.O_RDWR)
    seen = {
        "write": moved(lambda: os.write(fd, b"y") and None, f),
        "nothing": moved(lambda: os.write(fd, b"") and None, f),
        "same size": moved(lambda: os.ftruncate(fd, 5000), f),
        "same size by name": moved(lambda: os.truncate(f, 5000), f),
        "grow": moved(lambda: os.ftruncate(fd, 6000), f),
        "allocate": moved(lambda: fallocate(fd, 0, 0, 8192), f),
        "keep size": moved(lambda: fallocate(fd, 1, 0, 16384), f),
        "punch": moved(lambda: fallocate(fd, 3, 0, 4096), f),
        "chmod": moved(lambda: os.chmod(f, 0o600), f),
        "same mode": moved(lambda: os.chmod(f, 0o600), f),
        "chown": moved(lambda: os.chown(f, ALICE, -1), f),
        "chown_nothing": moved(lambda: os.chown(f, -1, -1), f),
        "link": moved(lambda: os.link(f, g), f, top),
        "unlink": moved(lambda: os.unlink(g), f, top),
        "rename": moved(lambda: os.rename(f, g), top),
        "read": moved(lambda: os.pread(fd, 9, 0) and None, g),
        "xattr": moved(lambda: os.setxattr(g, "user.a", b"b"), g),
        "same_xattr": moved(lambda: os.setxattr(g, "user.a", b"b"), g),
        "no xattr": moved(lambda: os.removexattr(g, "user.a"), g),
        "fsync": moved(lambda: os.fsync(fd), g),
        "close": moved(lambda: os.close(fd), g),
        "cut by open": moved(lambda: os.close(os.open(g, os.O_WRONLY | os.O_TRUNC)), g),
        "cut again": moved(lambda: os.close(os.open(g, os.O_WRONLY | os.O_TRUNC)), g),
    }
    return seen


@tried(
    "rclone/rclone#7005, rclone/rclone#6335",
    "a directory's times when names in it come, go and move",
)
def changing_times_of_directories(top):
    a, b = top / "a", top / "b"
    a.mkdir()
    b.mkdir()
    seen = {
        "create": moved(lambda: os.close(os.open(a / "f", os.O_CREAT)), a),
        "open": moved(lambda: os.close(os.open(a / "f", os.O_CREAT)), a),
        "write": moved(lambda: (a / "f").write_bytes(b"x") and None, a),
        "chmod": moved(lambda: os.chmod(a / "f", 0o600), a),
        "mkdir": moved(lambda: os.mkdir(a / "d"), a),
        "symlink": moved(lambda: os.symlink("x", a / "s"), a),
        "mkfifo": moved(lambda: os.mkfifo(a / "p"), a),
        "failed": moved(lambda: os.mkdir(a / "d"), a),
        "within": moved(lambda: os.rename(a / "f", a / "g"), a, b),
        "across": moved(lambda: os.rename(a / "g", b / "g"), a, b, top),
        "directory": moved(lambda: os.rename(a / "d", b / "d"), a, b),
        "over": moved(lambda: os.rename(a / "s", b / "g"), a, b),
        "link": moved(lambda: os.link(b / "g", a / "l"), a, b),
        "exchange": moved(lambda: rename2(a / "l", b / "d", 2), a, b),
        "unlink": moved(lambda: os.unlink(a / "p"), a),
        "rmdir": moved(lambda: os.rmdir(a / "l"), a),
        "links": (os.stat(a).st_nlink, os.stat(b).st_nlink, os.stat(top).st_nlink),
    }
    return seen


@tried("libfuse/sshfs#386, cryfs/cryfs#567, s3fs-fuse/s3fs-fuse#1868", "UTIME_OMIT and UTIME_NOW")
def setting_some_times(top):
    make(top / "f")
    seen = {}
    for words in ("-a", "-m", "-am", "-ad@5", "-md@6", "-h", "-cr/"):
        os.utime(top / "f", ns=(10**18, 2 * 10**18))
        before = os.stat(top / "f")
        time.sleep(0.02)
        code = subprocess.run(["touch", words, top / "f"], check=False).returncode
        after = os.stat(top / "f")
        now = [abs(value - time.time()) < 10 for value in (after.st_atime, after.st_mtime)]
        kept = [after.st_atime_ns == before.st_atime_ns, after.st_mtime_ns == before.st_mtime_ns]
        seen[words] = (code, now, kept, after.st_ctime_ns != before.st_ctime_ns)
    return seen


@tried(
    "juicedata/juicefs#3204, s3fs-fuse/s3fs-fuse#299, rclone/rclone#4070",
    "cp -p does not keep mtime",
)
def keeping_times(top):
    os.utime(make(top / "f", b"x" * 100_000), ns=(10**18 + 1, 10**18 + 123456789))
    code = subprocess.run(["cp", "-p", top / "f", top / "g"], check=False).returncode
    with opened(top / "h", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"x" * 10_000)
        os.utime(fd, ns=(3, 4))
    with opened(top / "i", os.O_WRONLY | os.O_CREAT) as fd:
        os.utime(top / "i", ns=(3, 4))
        seen = {"open": os.fstat(fd).st_mtime_ns}
    return {
        **seen,
        "code": code,
        **{name: os.stat(top / name).st_mtime_ns for name in ("g", "h", "i")},
    }


@tried(
    "rclone/rclone#9637, rclone/rclone#2021",
    "a write after the time was set, and touch of a file that is open",
)
def writing_after_a_time_was_set(top):
    with opened(top / "f", os.O_WRONLY | os.O_CREAT) as fd:
        os.utime(top / "f", ns=(5, 6))
        os.write(fd, b"x" * 100)
        seen = {"moved": os.fstat(fd).st_mtime_ns > 10**18}
        subprocess.run(["touch", "-d", "@77", top / "f"], check=True)
        seen["size"] = os.stat(top / "f").st_size
        os.fsync(fd)
        seen["synced"] = os.stat(top / "f").st_mtime_ns
    return {**seen, "closed": os.stat(top / "f").st_mtime_ns}


@tried(
    "s3fs-fuse/s3fs-fuse#1881",
    "times before 1970, and far away",
    year_3058=(None, 2**35 * 10**9 + 7, 2**35 * 10**9 + 999_999_999),
)
def setting_far_times(top):
    make(top / "f")
    seen = {}
    for seconds in (0, -1, -(2**31) + 9, 2**31, 2**32 + 5, 2**33, 2**35):
        outcome = got(os.utime, top / "f", ns=(seconds * 10**9 + 7, seconds * 10**9 + 999_999_999))
        at = os.stat(top / "f")
        label = "year_3058" if seconds == 2**35 else seconds
        seen[label] = (outcome, at.st_atime_ns, at.st_mtime_ns)
    return seen


@tried("trapexit/mergerfs#395", "who may set which times")
def setting_times_by_right(top):
    os.chmod(top, 0o755)
    for name, mode in (("mine", 0o600), ("writable", 0o666), ("readable", 0o644)):
        make(top / name, b"", mode)
    os.chown(top / "mine", ALICE, ALICE)

    def run():
        return {
            (name, now): got(os.utime, top / name, **({} if now else {"ns": (1, 2)}))
            for name in ("mine", "writable", "readable")
            for now in (True, False)
        }

    return as_user(ALICE, run)


@tried(
    "GoogleCloudPlatform/gcsfuse#2227",
    "the access time is not tracked",
    read=False,
    directory=False,
)
def reading_moves_the_access_time(top):
    make(top / "f", b"x")
    (top / "d").mkdir()
    for name in ("f", "d"):
        os.utime(top / name, ns=(1, os.stat(top / name).st_mtime_ns))
    (top / "f").read_bytes()
    os.listdir(top / "d")
    return {
        "read": os.stat(top / "f").st_atime_ns != 1,
        "directory": os.stat(top / "d").st_atime_ns != 1,
    }


@tried(
    "juicedata/juicefs#472, juicedata/juicefs#7459, xtreemfs/xtreemfs#18",
    "who may rename and delete in a sticky directory",
)
def using_sticky_directories(top):
    os.chmod(top, 0o755)
    sticky = top / "sticky"
    sticky.mkdir()
    os.chown(sticky, BOB, BOB)
    os.chmod(sticky, 0o1777)
    (sticky / "dir").mkdir(mode=0o777)
    for name in ("root's", "alice's", "alice's too"):
        os.chown(make(sticky / name), ALICE if "alice" in name else 0, -1)
    os.symlink("dir", sticky / "link")

    def as_alice():
        return [
            got(os.unlink, sticky / "root's"),
            got(os.rename, sticky / "root's", sticky / "x"),
            got(os.rename, sticky / "alice's", sticky / "root's"),
            got(os.rename, sticky / "link", sticky / "dir"),
            got(os.rmdir, sticky / "dir"),
            got(os.rename, sticky / "alice's", sticky / "alice's own"),
            got(os.unlink, sticky / "alice's own"),
            got(rename2, sticky / "alice's too", sticky / "root's", 2),
        ]

    def as_bob():
        return [
            got(os.rename, sticky / "root's", sticky / "bob's now"),
            got(os.unlink, sticky / "bob's now"),
            got(os.unlink, sticky / "alice's too"),
        ]

    return {
        "alice": as_user(ALICE, as_alice),
        "bob": as_user(BOB, as_bob),
        "left": sorted(os.listdir(sticky)),
    }


@tried("juicedata/juicefs#4419", "set-gid directories, and the bits that chown and chmod clear")
def using_set_gid_directories(top):
    os.chmod(top, 0o755)
    shared = top / "shared"
    shared.mkdir()
    os.chown(shared, ALICE, BOB)
    os.chmod(shared, 0o2777)

    def as_alice(in_group):
        name = "in" if in_group else "out"
        os.mkdir(shared / f"d-{name}")
        os.mkfifo(shared / f"p-{name}", 0o2755)
        os.close(os.open(shared / f"f-{name}", os.O_CREAT | os.O_WRONLY, 0o2755))
        os.close(os.open(shared / f"g-{name}", os.O_CREAT | os.O_WRONLY, 0o2745))
        make(shared / f"h-{name}", b"", 0o755)
        return [
            got(os.chmod, shared / f"h-{name}", 0o6755),
            got(os.chown, shared / f"h-{name}", -1, BOB),
            got(os.chown, shared / f"h-{name}", BOB, -1),
            got(os.chmod, shared / f"d-{name}", 0o2770),
        ]

    seen = {
        "in": as_user(ALICE, lambda: as_alice(True), groups=(BOB,)),
        "out": as_user(ALICE, lambda: as_alice(False)),
    }
    make(shared / "root's", b"", 0o6777)
    os.chown(shared / "root's", BOB, BOB)
    return {
        **seen,
        "left": {
            name: (oct(os.lstat(shared / name).st_mode), os.lstat(shared / name).st_gid)
            for name in sorted(os.listdir(shared))
        },
    }


@tried(
    "s3fs-fuse/s3fs-fuse#80, s3fs-fuse/s3fs-fuse#470",
    "what another user may do, and what access(2) says",
)
def asking_for_access(top):
    os.chmod(top, 0o755)
    for mode in (0o000, 0o040, 0o070, 0o004, 0o007, 0o400, 0o700, 0o770):
        make(top / f"f{mode:03o}", b"x", mode)
        os.mkdir(top / f"d{mode:03o}")
        os.chmod(top / f"d{mode:03o}", mode)
        for kind in "fd":
            os.chown(top / f"{kind}{mode:03o}", ALICE, BOB)

    def ask():
        return {
            name: (
                [os.access(top / name, mode) for mode in (0, 1, 2, 4, 7)],
                got(os.listdir, top / name),
                got(os.chdir, top / name),
                got(os.mkdir, top / name / "x"),
                got(os.rmdir, top / name / "x"),
                got(os.chmod, top / name, os.stat(top / name).st_mode & 0o777),
                got(os.truncate, top / name, 0),
            )
            for name in sorted(os.listdir(top))
        }

    return {
        "owner": as_user(ALICE, ask),
        "group": as_user(4003, ask, groups=(BOB,)),
        "other": as_user(4004, ask),
        "root": {
            name: [os.access(top / name, mode) for mode in (1, 2, 4)]
            for name in sorted(os.listdir(top))
        },
    }


@tried(
    "trapexit/mergerfs#581, containers/fuse-overlayfs#330, vgough/encfs#457",
    "lsattr and chattr",
    get="ENOTTY",
    immutable="ENOTTY",
)
def asking_for_flags(top):
    import fcntl
    import struct

    with opened(make(top / "f"), os.O_RDONLY) as fd:
        flags = got(fcntl.ioctl, fd, 0x80086601, struct.pack("q", 0))  # FS_IOC_GETFLAGS
        immutable = got(fcntl.ioctl, fd, 0x40086602, struct.pack("q", 0x10))  # FS_IOC_SETFLAGS
        if not isinstance(immutable, str):
            fcntl.ioctl(fd, 0x40086602, struct.pack("q", 0))
        return {
            "get": flags if isinstance(flags, str) else "flags",
            "immutable": immutable if isinstance(immutable, str) else "set",
            "other": got(fcntl.ioctl, fd, 0x5413, bytes(8)),
            "link": got(link_open, fd, top / "g"),
            "left": got(fcntl.ioctl, fd, 0x541B, bytes(4)) is not None,
        }
