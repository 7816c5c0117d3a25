# SPDX-License-Identifier: Apache-2.0
"""Tries with holes, and what is allocated."""

import os

from support.cases import opened
from support.system_calls import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate
from tries.table import got, make, tried

WRITE_NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC
COLLAPSE_RANGE, INSERT_RANGE = 0x08, 0x20


def blocks_of(file):
    """In 8 KiB: a segment's own xattr may take a block of the disk, which counts."""
    return os.stat(file).st_blocks // 16


def holes_of(fd):
    """Where data and holes begin, asked from several places."""
    return [
        (got(os.lseek, fd, at, os.SEEK_DATA), got(os.lseek, fd, at, os.SEEK_HOLE))
        for at in (0, 1, 4095, 65536, 1 << 20, (1 << 20) + 5, (2 << 20) - 1, 2 << 20, 1 << 30)
    ]


@tried("seaweedfs/seaweedfs#3491, libfuse/libfuse#457", "SEEK_DATA and SEEK_HOLE are not known")
def seeking_holes(top):
    with opened(top / "f", WRITE_NEW) as fd:
        os.ftruncate(fd, 2 << 20)
        seen = {"all hole": holes_of(fd)}
        os.pwrite(fd, b"x" * 65536, 1 << 20)
        os.fsync(fd)
        seen["data in it"] = holes_of(fd)
        os.pwrite(fd, b"y" * 4096, (2 << 20) - 4096)
        os.fsync(fd)
        seen["data at the end"] = holes_of(fd)
        os.ftruncate(fd, 3 << 20)
        seen["hole at the end"] = holes_of(fd)
        return seen


@tried(
    "hanwen/go-fuse#417, hanwen/go-fuse#487",
    "SEEK_HOLE is not the end of a full file, SEEK_DATA behind it not ENXIO",
)
def seeking_ends(top):
    with opened(make(top / "f", b"text\n" * 1000), os.O_RDONLY) as fd:
        at = [0, 100, 4999, 5000, 5001]
        seen = {
            "data": [got(os.lseek, fd, place, os.SEEK_DATA) for place in at],
            "hole": [got(os.lseek, fd, place, os.SEEK_HOLE) for place in at],
            "negative": got(os.lseek, fd, -1, os.SEEK_DATA),
        }
    with opened(make(top / "empty"), os.O_RDONLY) as fd:
        seen["empty"] = (got(os.lseek, fd, 0, os.SEEK_DATA), got(os.lseek, fd, 0, os.SEEK_HOLE))
    return seen


@tried(
    "macfuse/macfuse#1121",
    "du shows the size of a sparse file, not its blocks",
)
def counting_blocks(top):
    with opened(top / "f", WRITE_NEW) as fd:
        os.ftruncate(fd, 1 << 20)
        seen = {"hole": blocks_of(fd)}
        os.pwrite(fd, b"x" * 65536, 0)
        os.fsync(fd)
        seen["data"] = blocks_of(fd)
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 32768)
        os.fsync(fd)
        seen["punched"] = blocks_of(fd)
        os.ftruncate(fd, 0)
        seen["empty"] = blocks_of(fd)
        return seen


@tried(
    "ceph/ceph#28831",
    "fallocate is not supported",
    **{"mode 0x8": "ENOTSUP", "mode 0x20": "ENOTSUP"},
)
def allocating(top):
    seen = {}
    for mode in (
        0,
        KEEP_SIZE,
        PUNCH_HOLE,
        PUNCH_HOLE | KEEP_SIZE,
        ZERO_RANGE,
        ZERO_RANGE | KEEP_SIZE,
        COLLAPSE_RANGE,
        INSERT_RANGE,
        0x100,
        PUNCH_HOLE | ZERO_RANGE | KEEP_SIZE,
    ):
        with opened(make(top / f"{mode}", b"x" * 16384), os.O_RDWR) as fd:
            outcome = got(fallocate, fd, mode, 4096, 8192)
            beyond = got(fallocate, fd, mode, 20000, 10000)
            done = (os.fstat(fd).st_size, os.pread(fd, 40000, 0)) if outcome is None else None
            seen[f"mode {mode:#x}"] = outcome if outcome else (beyond, done)
    with opened(top / "0", os.O_RDWR) as fd:
        seen["bad"] = [
            got(fallocate, fd, 0, at, length)
            for at, length in ((0, 0), (-1, 10), (0, -1), (1 << 62, 1 << 62))
        ]
    with opened(top / "0", os.O_RDONLY) as fd:
        seen["read only"] = got(fallocate, fd, 0, 0, 10)
    return seen
