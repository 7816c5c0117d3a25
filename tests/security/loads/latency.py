# SPDX-License-Identifier: Apache-2.0
"""How long operations took, as somebody who asks at a steady rate would have seen it."""


def with_those_that_waited(lengths, interval):
    """One who waits for an answer asks nothing meanwhile. What would have been asked then would have
    waited as well: each long operation counts as often as its time has room for others."""
    seen = []
    for length in lengths:
        while length > 0:
            seen.append(length)
            length -= interval
    return seen


def percentile(lengths, share):
    """The least of them that `share` of all do not exceed; 0 for none."""
    if not lengths:
        return 0.0
    ordered = sorted(lengths)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Latencies:
    """Of the operations in a span of time."""

    def __init__(self, operations, begin, end, interval):
        self.operations = [o for o in operations if begin <= o.start < end]
        self.interval = interval

    def all(self):
        return [o.seconds for o in self.operations if o.judged]

    def percentile(self, share):
        return percentile(with_those_that_waited(self.all(), self.interval), share)

    def of_each_kind(self, share):
        kinds = {}
        for operation in self.operations:
            kinds.setdefault(operation.kind, []).append(operation.seconds)
        return {kind: percentile(lengths, share) for kind, lengths in sorted(kinds.items())}

    def longest(self):
        return max(self.operations, key=lambda o: o.seconds, default=None)
