"""Mutations of seeds: random changes of bytes, and files rebuilt around damaged pieces with valid checksums."""

from __future__ import annotations

import gzip
import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

MAX_LENGTH = 1 << 20

_EDGES = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\1\0",
    b"\x08\0\0\0",
]

_TEXT = [
    *(
        b"\n",
        b" ",
        b"\t",
        b":",
        b"=",
        b",",
        b"-",
        b".",
        b"#",
        b"'",
        b'"',
        b"[",
        b"]",
        b"{",
        b"}",
        b"(",
        b")",
        b"*",
        b"&",
    ),
    *(
        b"0",
        b"1",
        b"-1",
        b"1e308",
        b"1e-400",
        b".inf",
        b"nan",
        b"9" * 30,
        b"9**9**9",
        b"true",
        b"null",
        b"~",
        b"!!int ",
    ),
    *(
        "é".encode(),
        "\u2028".encode(),
        "\U0001f600".encode(),
        b"\xed\xa0\x80",
        b"\\u0000",
        b"a" * 200,
        b"[" * 60,
        b"(" * 60,
    ),
]

Mutator = Callable[[random.Random, Sequence[bytes], Sequence[bytes]], bytes]
"""Makes an input: from the seeds, with words that mean something to the target."""


def raw(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return a seed with one to a few random edits."""
    data = bytearray(rng.choice(seeds))
    for _ in range(1 << rng.randrange(4)):
        _edit(rng, data, seeds, words)
    return bytes(data[:MAX_LENGTH])


def _edit(rng: random.Random, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    length = min(1 << rng.randrange(10), len(data) - at)
    match rng.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(data):
            data[at] = rng.randrange(256)
        case 2:
            del data[at : at + length]
        case 3:
            data[at:at] = data[at : at + length] * rng.choice([1, 1, 2, 30])
        case 4:
            edge = rng.choice(_EDGES)
            data[at : at + len(edge)] = edge
        case 5:
            data[at:at] = rng.choice([*words, *_TEXT])
        case 6:
            word = rng.choice([*words, *_TEXT])
            data[at : at + len(word)] = word
        case 7:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + (1 << rng.randrange(10))]


def lined(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return the lines of a seed, one or two of them mutated by `raw` or replaced by those of another seed."""
    lines = rng.choice(seeds).split(b"\n")
    for _ in range(rng.randrange(1, 3)):
        place = rng.randrange(len(lines))
        others = rng.choice(seeds).split(b"\n")
        replaced = place < len(others) and rng.random() < 0.4
        lines[place] = others[place] if replaced else raw(rng, [lines[place]], words)
    return b"\n".join(lines)


def gzipped(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return a valid gzip file with damaged contents, or a mutation by `raw`."""
    if rng.random() < 0.5:
        return raw(rng, seeds, words)
    plain = [gzip.decompress(seed) if seed[:2] == b"\x1f\x8b" else seed for seed in seeds]
    return gzip.compress(raw(rng, plain, words), compresslevel=1, mtime=0)


def zipped(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return a valid archive with damaged, missing, duplicate or renamed members, or a mutation by `raw`."""
    if rng.random() < 0.3:
        return raw(rng, seeds, words)
    members = _members(rng.choice(seeds))
    if not members:
        return raw(rng, seeds, words)
    contents = [content for _, content in members]
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(members))
        name, content = members[place]
        match rng.randrange(6):
            case 0:
                members[place] = rng.choice(members)[0], content
            case 1 if len(members) > 1:
                del members[place]
            case 2:
                members[place] = name, rng.choice(contents)
            case 3:
                members[place] = name, content[:128] + raw(rng, [content[128:]], words)
            case _:
                members[place] = name, raw(rng, [content[:128]], words) + content[128:]
    stream = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def _members(data: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(member.filename, archive.read(member)) for member in archive.infolist()]
    except zipfile.BadZipFile:
        return []


def pictured(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return a valid PNG or gzip file with damaged contents, or a mutation by `raw`, depending on the seed."""
    seed = rng.choice(seeds)
    if seed[:4] == b"\x89PNG" and rng.random() < 0.7:
        return _png(rng, seed, words)
    return gzipped(rng, [seed], words) if seed[:2] == b"\x1f\x8b" else raw(rng, [seed], words)


def _png(rng: random.Random, seed: bytes, words: Sequence[bytes]) -> bytes:
    """Return a PNG with changed, missing, duplicate or renamed chunks and valid checksums."""
    chunks, at = [], 8
    while at < len(seed):
        (length,) = struct.unpack_from(">I", seed, at)
        chunks.append((seed[at + 4 : at + 8], seed[at + 8 : at + 8 + length]))
        at += length + 12
    whole = set(chunks)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(chunks))
        kind, content = chunks[place]
        match rng.randrange(5):
            case 0 if len(chunks) > 1:
                del chunks[place]
            case 1:
                chunks.insert(place, rng.choice(chunks))
            case 2:
                chunks[place] = rng.choice(chunks)[0], content
            case 3 if kind == b"IDAT" and chunks[place] in whole:
                chunks[place] = kind, zlib.compress(raw(rng, [zlib.decompress(content)], words))
            case _:
                chunks[place] = kind, raw(rng, [content], words)
    framed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return seed[:8] + b"".join(framed)
