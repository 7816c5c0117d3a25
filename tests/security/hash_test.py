# SPDX-License-Identifier: Apache-2.0
"""The offsets of directory entries are hashes of names. An ordinary user takes the hash's seed out of
two of them, where that can be done, and makes names that collide with one that another user needs."""
import contextlib
import ctypes
import errno
import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import OnStores
from support.users import as_user

m.need_fuse()
m.limit_time(110)
MALLORY, ALICE = 4001, 4002
NEEDED = "ray_spilled_objects_5"
WORD = (1 << 64) - 1
PRIME = 0x9fb21c651e98df25
SECRET = 0x1cad21f72c81017c ^ 0xdb979083e96dd4de  # XXH3's own, at 8 and 16
SHOWN = (1 << 55) - 1
LIBC = ctypes.CDLL(None, use_errno=True)


def offsets(directory):
    """What getdents64(2) tells of each name: where the listing goes on behind it."""
    found = {}
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    buffer = ctypes.create_string_buffer(1 << 16)
    while (size := LIBC.syscall(217, fd, buffer, len(buffer))) > 0:
        at = 0
        while at < size:
            _, offset, length = struct.unpack_from("<QqH", buffer, at)
            found[buffer.raw[at + 19:at + length].split(b"\0", 1)[0]] = offset
            at += length
    os.close(fd)
    return found


def rotate(value, by):
    return (value << by | value >> 64 - by) & WORD


def undo(value, length):
    """XXH3 of 4 to 8 bytes, from its end to what the bytes made with the seed."""
    inverse = pow(PRIME, -1, 1 << 64)
    value ^= value >> 28 ^ value >> 56
    value = value * inverse & WORD
    value ^= (value >> 35) + length
    value = value * inverse & WORD
    for _ in range(63):
        value ^= rotate(value, 49) ^ rotate(value, 24)
    return value


def redo(value, length):
    value ^= rotate(value, 49) ^ rotate(value, 24)
    value = value * PRIME & WORD
    value ^= (value >> 35) + length
    value = value * PRIME & WORD
    return value ^ value >> 28


def taken_in(name):
    first, last = struct.unpack("<I", name[:4])[0], struct.unpack("<I", name[-4:])[0]
    return last | first << 32


def flips(name, offset):
    """What the seed may have made of the secret, as far as one name tells."""
    return {undo(offset >> 8 | hidden << 55, len(name)) ^ taken_in(name) for hidden in range(512)}


def names_at(offset, flip):
    """All names of 8 bytes with a hash."""
    for hidden in range(512):
        value = undo(offset >> 8 & SHOWN | hidden << 55, 8) ^ flip
        name = struct.pack("<II", value >> 32, value & 0xffffffff)
        if b"\0" not in name and b"/" not in name:
            yield name


def touch(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


class Attack:
    """On the place of a name that exists when it begins."""

    def __init__(self, directory, needed):
        self.directory, self.needed = os.fsencode(directory), needed.encode()
        for name in (b"abcdefgh", b"ijklmnop"):
            touch(os.path.join(self.directory, name))
        seen = offsets(self.directory)
        self.place = seen[self.needed] >> 8
        found = flips(b"abcdefgh", seen[b"abcdefgh"]) & flips(b"ijklmnop", seen[b"ijklmnop"])
        # Where nothing fits both there is no such seed; any will do to go on.
        self.names = list(names_at(seen[self.needed], found.pop() if found else 0))

    def fill(self):
        """Makes the names that are not there, until there is no room for more."""
        for name in self.names:
            with contextlib.suppress(FileExistsError):
                try:
                    touch(os.path.join(self.directory, name))
                except OSError as error:
                    if error.errno == errno.ENOSPC:
                        return
                    raise

    def colliding(self):
        return sum(offset >> 8 == self.place for name, offset in offsets(self.directory).items()
                   if name != self.needed)


class Hashes(OnStores):
    def test_the_hash_is_undone(self):
        """What the attack is made of, without which it proves nothing."""
        for value in (0, 1, 0x0123456789abcdef, WORD):
            self.assertEqual(undo(redo(value, 8), 8), value)

    def test_names_made_to_collide(self):
        store = self.mounted("")
        common = store.path / "common"
        common.mkdir()
        os.chmod(common, 0o777)
        as_user(ALICE, lambda: touch(common / NEEDED))
        attack = as_user(MALLORY, lambda: Attack(common, NEEDED))
        self.assertGreater(len(attack.names), 300)
        for _ in range(2):
            as_user(MALLORY, attack.fill)
            as_user(ALICE, lambda: os.unlink(common / NEEDED))
            as_user(MALLORY, attack.fill)  # what was Alice's place, too
            as_user(ALICE, lambda: touch(common / NEEDED))
        self.assertEqual(as_user(MALLORY, attack.colliding), 0, "offsets tell the hash's seed")
        self.assertEqual(len(os.listdir(common)), len(attack.names) + 3)
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
