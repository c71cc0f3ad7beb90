"""The Python side's layouts are the header's."""

import os
import re
import struct

from kvlens import _native as native

HEADER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "include", "kvlens.h")
SIZES = {"uint32_t": 4, "uint64_t": 8, "double": 8, "const double *": 8, "uint8_t": 1}


def header():
    with open(HEADER, encoding="utf-8") as file:
        return re.sub(r"//[^\n]*|/\*.*?\*/", "", file.read(), flags=re.S)


def members(name):
    body = re.search(r"typedef struct " + name + r" \{(.*?)\} " + name + ";", header(), re.S).group(1)
    found = []
    for line in body.split(";"):
        match = re.match(r"\s*(const double \*|\w+)\s*(\w+)(?:\[(\d+)\])?\s*$", line)
        if match:
            found.append((match.group(2), match.group(1), int(match.group(3) or 1)))
    return found


def size(name):
    return sum(SIZES[kind] * count for _, kind, count in members(name))


def constants(prefix):
    found = {}
    for name, value in re.findall(r"#define (" + prefix + r"\w*) (.+)", header()):
        found[name] = eval(value)  # noqa: S307: our own header
    return found


def test_steps():
    names = [name for name, *_ in members("kvlens_step")]
    head = len(names) - len(native.STEP_FIELDS)
    assert names[head:] == [name for name, _ in native.STEP_FIELDS]
    letters = ["d" if kind == "double" else "Q" for _, kind, _ in members("kvlens_step")[head:]]
    assert letters == [letter for _, letter in native.STEP_FIELDS]
    assert native.STEP_STRUCT.size == size("kvlens_step")
    bits = [value for name, value in constants("KVLENS_STEP_").items() if "FLAG" not in name]
    assert bits == [1 << at for at in range(len(native.STEP_FIELDS))]


def test_requests():
    assert native.REQUEST_STRUCT.size == size("kvlens_request")
    names = [name for name, *_ in members("kvlens_request")]
    assert names[-len(native.REQUEST_FIELDS):] == list(native.REQUEST_FIELDS)
    bits = list(constants("KVLENS_REQUEST_").values())
    assert bits == [1 << at for at in range(len(native.REQUEST_FIELDS))]


def test_blocks():
    assert native.BLOCK_STRUCT.size == size("kvlens_block")
    assert struct.calcsize("=IIQ") == 16
    bits = [value for name, value in constants("KVLENS_BLOCK_").items() if value not in (0, 3, 255) and name not in (
        "KVLENS_BLOCK_REALLOCATED", "KVLENS_BLOCK_RESET")]
    assert bits == [native.BLOCK_NUMBER, native.BLOCK_PREFIX_HASH, native.BLOCK_TOKENS, native.BLOCK_IDLE,
                    native.BLOCK_REUSE_COUNT, native.BLOCK_CACHED]


def test_codes():
    codes = constants("KVLENS_")
    for name in ("OK", "OUTPUT", "CLOSED", "FORKED", "BUSY", "PANIC", "BUFFER_TOO_SMALL"):
        assert codes["KVLENS_" + name] == getattr(native, name)
    for name, value in constants("KVLENS_ORIGIN_").items():
        if name != "KVLENS_ORIGIN_C_API":
            assert getattr(native, name[len("KVLENS_"):]) == value
