# SPDX-License-Identifier: Apache-2.0
"""What was done to files and names, when, and what may be left of it after a loss of power.

Every sector says whose it is: the file, the write that wrote it, its place in the file.
"""
import collections
import dataclasses
import functools
import itertools
import struct

SECTOR = 512
STAMP = struct.Struct("<4sIII")  # magic, file, write, sector
MAGIC = b"SpIl"
TIMES = SECTOR // STAMP.size
ZEROS = bytes(SECTOR)


def stamped(file, write, first, count):
    """The bytes of `count` sectors."""
    return b"".join(STAMP.pack(MAGIC, file, write, sector) * TIMES
                    for sector in range(first, first + count))


@dataclasses.dataclass
class Span:
    """When something was done: between these two times, and between these two places in the log."""

    start_time: int
    start: int
    end_time: int = 1 << 62
    end: int = 1 << 62


@dataclasses.dataclass(frozen=True)
class Content:
    """A file's bytes: which write each sector is of; 0 for zeros."""

    size: int = 0
    writes: tuple = ()

    def changed(self, write, first, count):
        writes = list(self.writes) + [0] * (first + count - len(self.writes))
        writes[first:first + count] = [write] * count
        return Content(max(self.size, (first + count) * SECTOR), tuple(writes))

    def resized(self, size):
        sectors = -(-size // SECTOR)
        return Content(size, (self.writes + (0,) * sectors)[:sectors])

    def bytes(self, file):
        parts = [stamped(file, write, sector, 1) if write else ZEROS
                 for sector, write in enumerate(self.writes)]
        return b"".join(parts)[:self.size]


@dataclasses.dataclass
class Event:
    """A change, a close or a sync of one file, and its content from then on."""

    kind: str  # "write" of the whole file, "change" in place, "seal", "sync"
    span: Span
    content: Content


@dataclasses.dataclass
class File:
    number: int  # in the stamps
    inode: int = 0
    in_place: bool = False  # it has been changed so
    events: list = dataclasses.field(default_factory=list)

    @property
    def content(self):
        return self.events[-1].content if self.events else Content()

    def group(self, position):
        """What is promised of the file after a loss of power at `position`, and the contents it may
        then have: the one of its last sync first."""
        synced = max((n for n, event in enumerate(self.events)
                      if event.kind == "sync" and event.span.end <= position), default=-1)
        later = [event for event in self.events[synced + 1:] if event.span.start <= position]
        if synced < 0:
            return "unsynced", [event.content for event in later]
        contents = [self.events[synced].content] + [event.content for event in later]
        kinds = {event.kind for event in later}
        grown = any(after.size > before.size for before, after in itertools.pairwise(contents))
        return ("rewritten" if "write" in kinds else "fsynced" if "change" not in kinds else
                "grown" if grown else "changed"), contents

    def judge(self, position, data):
        """What is wrong with `data` (None: it cannot be read) after a loss of power at `position`: a
        class and a text; None when all is well."""
        group, contents = self.group(position)
        contents = list(dict.fromkeys(contents))
        if data is None:
            return f"{group}: unreadable", ""
        if len(data) not in {content.size for content in contents}:
            return f"{group}: size", f"{len(data)} bytes"
        in_place = any(event.kind == "change" and event.span.start <= position
                       for event in self.events)
        tried = contents[-4:] if in_place else contents
        if any(data == whole(self.number, content) for content in reversed(tried)):
            return None
        for wrong, sectors in sorted(self.wrong_sectors(data, contents).items()):
            return f"{group}: {wrong}", f"{len(sectors)} sectors from {sectors[0]} of {len(data)} bytes"
        return None if in_place else (f"{group}: neither old nor new", "")

    def wrong_sectors(self, data, contents):
        """The sectors that are as no content has them: what is there -> their numbers."""
        shortest = min(content.size for content in contents)
        found = collections.defaultdict(list)
        for sector in range(-(-len(data) // SECTOR)):
            part = data[sector * SECTOR:(sector + 1) * SECTOR]
            allowed = {content.writes[sector] for content in contents
                       if sector < len(content.writes)}
            if part != ZEROS[:len(part)]:
                found[self.whose(part, sector, allowed)].append(sector)
            elif 0 not in allowed and sector * SECTOR < shortest:
                found["zeros"].append(sector)
        found.pop("", None)
        return found

    def whose(self, part, sector, allowed):
        """What the sector is; "" when it is as it may be."""
        if len(part) < STAMP.size:
            return "" if any(stamped(self.number, write, sector, 1).startswith(part)
                             for write in allowed) else "garbage"
        magic, file, write, place = STAMP.unpack_from(part)
        if magic != MAGIC or (part[:STAMP.size] * TIMES)[:len(part)] != part:
            return "garbage"
        if file != self.number or place != sector:
            return "foreign"
        return "" if write in allowed else "stale"


@functools.lru_cache(maxsize=256)
def whole(file, content):
    return content.bytes(file)


@dataclasses.dataclass
class Step:
    """A change of one folder's names: None for a name that goes."""

    span: Span
    names: dict
    sync: Span | None = None  # the sync that was part of it

    def is_durable(self, position, synced):
        return (self.span.end_time <= synced or
                self.sync is not None and self.sync.end <= position)


class Folder:
    """One writer's names, and its files."""

    def __init__(self, name):
        self.name = name
        self.steps, self.files = [], {}

    def may_be(self, position, synced):
        """The states the names may be in after a loss of power at `position`, latest first, when all
        that ended by the time `synced` was synced. A state is name -> file number."""
        state, states = {}, [{}]
        for step in self.steps:
            if step.span.start > position:
                break
            state = {name: file for name, file in {**state, **step.names}.items()
                     if file is not None}
            if step.is_durable(position, synced):
                states = []
            states.append(state)
        return states[::-1]


class History:
    """Everything the writers did."""

    def __init__(self):
        self.folders, self.syncs = [], []  # the spans of all syncs

    def synced(self, position):
        """All that ended before this time is on disk after a loss of power at `position`."""
        return max((span.start_time for span in self.syncs if span.end <= position), default=0)
