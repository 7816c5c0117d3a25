# SPDX-License-Identifier: Apache-2.0
"""POSIX ACLs as the xattrs that hold them (acl(5))."""
import os
import struct
import subprocess

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
TAGS = {"u": (0x01, 0x02), "g": (0x04, 0x08), "m": (0x10, None), "o": (0x20, None)}
NO_ID = 0xFFFFFFFF


def acl(text):
    """The value of "u::rw-,u:4001:r--,g::---,m::r--,o::---"."""
    value = struct.pack("<I", 2)
    for entry in text.split(","):
        kind, name, rights = entry.split(":")
        bits = sum(bit for letter, bit in zip("rwx", (4, 2, 1)) if letter in rights)
        tag = TAGS[kind][1 if name else 0]
        value += struct.pack("<HHI", tag, bits, int(name) if name else NO_ID)
    return value


def has_acls(folder):
    """Whether files there can have them."""
    try:
        os.setxattr(folder, ACCESS, os.getxattr(folder, ACCESS))
    except OSError as error:
        return error.errno == 61  # ENODATA: it could have
    return True


def acl_of(path, name=ACCESS):
    """None where it has none."""
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


def getfacl(path):
    """What getfacl(1) says, without the path."""
    done = subprocess.run(["getfacl", "-n", "-p", "-c", str(path)], capture_output=True, text=True,
                          check=True)
    return done.stdout.strip().splitlines()


def setfacl(*arguments):
    return subprocess.run(["setfacl", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
