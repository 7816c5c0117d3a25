# SPDX-License-Identifier: Apache-2.0
"""File handles, as NFS servers and backup programs keep them: name_to_handle_at(2) and
open_by_handle_at(2)."""
import ctypes
import os
import pathlib

from support.system_calls import AT_FDCWD, AT_SYMLINK_FOLLOW, libc

MOST = 128  # bytes of a handle


class _Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_ubyte * MOST)]


def _failed(name):
    number = ctypes.get_errno()
    raise OSError(number, f"{name}: {os.strerror(number)}")


def handle_of(path, follow=True):
    """What names the file from now on: type and bytes."""
    found, mount = _Handle(bytes=MOST), ctypes.c_int()
    if libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), ctypes.byref(found), ctypes.byref(mount),
                              AT_SYMLINK_FOLLOW if follow else 0) != 0:
        _failed("name_to_handle_at")
    return found.type, bytes(found.handle[:found.bytes])


def open_handle(mountpoint, handle, flags=os.O_RDONLY):
    """A descriptor of it; `mountpoint`: anything on its file system."""
    kind, content = handle
    wanted = _Handle(bytes=len(content), type=kind)
    ctypes.memmove(wanted.handle, content, len(content))
    mount = os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd = libc.open_by_handle_at(mount, ctypes.byref(wanted), flags | os.O_CLOEXEC)
    finally:
        os.close(mount)
    if fd < 0:
        _failed("open_by_handle_at")
    return fd


def drop_caches():
    """The kernel forgets every name and inode that is not in use."""
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("2")
