# SPDX-License-Identifier: Apache-2.0
"""System calls that Python's os does not have, or not with all their flags."""
import ctypes
import mmap
import os

AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
libc = ctypes.CDLL(None, use_errno=True)


def check(result, name):
    if result != 0:
        raise OSError(ctypes.get_errno(), name)


def rename2(old, new, flags):
    check(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags),
          "renameat2")


def fallocate(fd, mode, offset, length):
    check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)), "fallocate")


def link_open(fd, name):
    """Gives an open file, perhaps made by O_TMPFILE, a name."""
    check(libc.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, os.fsencode(name),
                      AT_SYMLINK_FOLLOW), "linkat")


def last_page(fd, size, access):
    """The page that holds a file's end, mapped: what lies behind the end as well."""
    libc.mmap.restype = ctypes.c_void_p
    page = ctypes.c_size_t(mmap.PAGESIZE)
    start = (size - 1) // mmap.PAGESIZE * mmap.PAGESIZE
    at = libc.mmap(None, page, access, mmap.MAP_SHARED, fd, ctypes.c_long(start))
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    found = ctypes.string_at(at, mmap.PAGESIZE)
    libc.munmap(ctypes.c_void_p(at), page)
    return found


def known_mode(path):
    """The mode that the kernel goes by when it runs a program: it asks for nothing else."""
    found = ctypes.create_string_buffer(256)
    at_fdcwd, no_flags, only_mode = ctypes.c_int(AT_FDCWD), ctypes.c_int(0), ctypes.c_uint(2)
    check(libc.statx(at_fdcwd, os.fsencode(path), no_flags, only_mode, found), "statx")
    return int.from_bytes(found.raw[28:30], "little")


def splice(pipe, fd, length):
    """What a pipe holds into a file, at its beginning."""
    offset = ctypes.c_longlong(0)
    if libc.splice(pipe, None, fd, ctypes.byref(offset), ctypes.c_size_t(length), 0) != length:
        raise OSError(ctypes.get_errno(), "splice")
