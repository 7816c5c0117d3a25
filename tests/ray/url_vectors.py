# SPDX-License-Identifier: Apache-2.0
"""Ray's own url functions and ours give the same for thousands of urls, plain and bent."""
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.run_with_ray()
m.limit_time(100)

from ray._private.external_storage import create_url_with_offset, parse_url_with_offset

BASES = ("/tmp/spill/ray_spilled_objects_ab/0123-multi-7", "s3://bucket/prefix/key-ab-multi-2",
         "file:///mnt/a", "file:/mnt/a", "s3:///key", "S3://Bucket/Key", "relative/path", "x:y", "1x:y",
         "", "//host/a", "////a", "http://h:80", "http:a", "gs://b/k", "bucket/spilled_objects/s/f",
         "/größe/雪", "/a b", "/a;b", "/a;", "/a;b/c;", "s3://b/k;", "http://h/k;p", "/a%20b", "/a+b",
         " /a", "/a\t\r\nb", "\x00\x1f/a", "/a#b", "/a?b", "/a?", "/a??b", "//[/a", "//]/a", "a[b]",
         "-x:/a", "a+b.c-d://h/p", "h\u00e4:/a", ":/a", "http:////a", "file://host", "file:")
QUERIES = ("offset=1&size=2", "size=2&offset=1", "offset=1", "size=1", "", "offset=&size=1",
           "offset=1&offset=2&size=3&size=4", "offset=&offset=2&size=3", "x=y&offset=1&&size=2&z",
           "offset=1;size=2", "Offset=1&size=2", "%6ffset=%31&s%69ze=2", "offset=1&size=2#f",
           "offset=1#&size=2", "offset=+1&size=%2B2", "offset=1_0&size=2", "offset=1__0&size=2",
           "offset=_1&size=2", "offset=1_&size=2", "offset=%201%09&size=2", "offset=0x1&size=2",
           "offset=1.0&size=2", "offset=1e3&size=2", "offset=-1&size=2", "offset=007&size=0",
           "offset=18446744073709551615&size=18446744073709551616",
           "offset=18446744073709551615&size=18446744073709551615", "offset=1?&size=2",
           "offset=1&size=2?", "off\tset=1&si\nze=2", "offset=1&size=2 ", "offset=1&size==2",
           "offset%3D1&size=2", "offset=1%26size=2", "offset=%FF&size=2", "offset=1%00&size=2")
ALPHABET = "abzAZ019:/?#&=;%+_-. \t\n[]@\x00\x1f" + "äß"


def bent(random_, url):
    """`url` with a few characters added, removed or exchanged."""
    characters = list(url)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        at = random_.randrange(len(characters) + 1)
        kind = random_.randrange(3)
        if kind == 0 or at == len(characters):
            characters.insert(at, random_.choice(ALPHABET))
        elif kind == 1:
            del characters[at]
        else:
            characters[at] = random_.choice(ALPHABET)
    return "".join(characters)


def by_ray(url):
    try:
        parsed = parse_url_with_offset(url)
    except ValueError:
        return None
    numbers = (parsed.offset, parsed.size)
    return [parsed.base_url, *numbers] if all(0 <= n < 1 << 64 for n in numbers) else None


def vectors():
    random_ = random.Random(2600)
    urls = [f"{base}?{query}" for base in BASES for query in QUERIES] + list(BASES)
    plain = [f"{base}?offset=12&size=345" for base in BASES]
    urls += [bent(random_, random_.choice(some)) for some in (urls, plain) for _ in range(15_000)]
    urls += [create_url_with_offset(url=base, offset=random_.randrange(1 << 63),
                                    size=random_.randrange(1 << 63)) for base in BASES]
    # Python checks that the host between brackets is one.
    return [url for url in urls if not ("[" in url and "]" in url and "//" in url)]


def main():
    urls = vectors()
    lines = "".join(json.dumps(url) + "\n" for url in urls)
    done = subprocess.run([os.environ["URL_LINES"]], input=lines, capture_output=True, text=True,
                          timeout=60, check=True)
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ours) == len(urls)
    theirs = [by_ray(url) for url in urls]
    assert sum(answer is not None for answer in theirs) > 5000
    wrong = [(url, ray, own) for url, ray, own in zip(urls, theirs, ours) if ray != own]
    assert not wrong, "\n".join(map(repr, wrong[:20]))
    print(f"url_vectors: {len(urls)} urls, all the same")


if __name__ == "__main__":
    main()
