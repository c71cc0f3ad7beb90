#!/usr/bin/env python3
"""Compiles the CUDA kernels of this folder to the PTX in ptx/, which is committed and embedded.

    build.py            compile what is stale
    build.py --force    compile everything
    build.py --check    compile everything aside and fail if a committed file differs (CI)
    build.py --fresh    compare the hashes alone: no compiler, no network
    build.py --report   also print registers, spills and shared memory per kernel (installs ptxas)

NVRTC comes from PyPI, pinned in requirements.txt, in a virtual environment of this script's own
(build/kernels-venv at the workspace root, or $KVLENS_KERNELS_VENV). It needs no GPU and no CUDA toolkit.
A source with a line `// builds: f16 bf16_wide` is compiled once for each, as <source>_<build>.ptx, so that a
process loads only what it uses. The first line of a PTX file holds a hash of the sources and of the pins it was made from; a test of the
crate compares it too, so that staleness shows without a compiler.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PTX = HERE / "ptx"
VENV = Path(os.environ.get("KVLENS_KERNELS_VENV", HERE.parent.parent / "build" / "kernels-venv"))
REPORT_PIN = "nvidia-cuda-nvcc==13.0.88"
BASELINE = 80
OPTIONS = ["--std=c++17", "--extra-device-vectorization", "-DNDEBUG"]


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash; src/cuda/module.rs computes the same."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


@dataclass(frozen=True)
class Unit:
    """A source, compiled for one dtype (`wide`: with f32 queries) or for none in particular."""

    source: Path
    build: str

    @property
    def name(self) -> str:
        return f"{self.source.stem}_{self.build}.ptx" if self.build else f"{self.source.stem}.ptx"

    @property
    def committed(self) -> Path:
        return PTX / self.name

    @property
    def stamp(self) -> str:
        parts = [self.source, *sorted(HERE.glob("*.cuh")), HERE / "requirements.txt"]
        return f"// kvlens sources fnv1a:{fnv1a(b''.join(p.read_bytes() for p in parts)):016x}\n"

    @property
    def is_fresh(self) -> bool:
        return self.committed.exists() and self.committed.open(encoding="ascii").readline() == self.stamp

    @property
    def options(self) -> list[str]:
        if not self.build:
            return []
        types = {"f16": "half", "bf16": "__nv_bfloat16"}
        dtype, _, wide = self.build.partition("_")
        return [f"-DDTYPE={types[dtype]}", f"-DBUILD={self.build}", f"-DWIDE={'true' if wide else 'false'}"]


def units() -> list[Unit]:
    found = []
    for source in sorted(HERE.glob("*.cu")):
        builds = re.search(r"^// builds: (.*)$", source.read_text(encoding="utf-8"), re.M)
        found += [Unit(source, build) for build in (builds.group(1).split() if builds else [""])]
    return found


def packages(extra: list[str]) -> Path:
    """Returns the folder of the pinned NVIDIA packages, installing them when they are missing."""
    python = VENV / "bin" / "python"
    if not python.exists():
        venv.create(VENV, with_pip=True)
    wanted = ["-r", str(HERE / "requirements.txt"), *extra]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    subprocess.run([*pip, *wanted], check=True)
    found = sorted(VENV.glob("lib/python*/site-packages/nvidia/cu13"))
    if not found:
        sys.exit("the pinned packages hold no nvidia/cu13 folder")
    return found[-1]


class Nvrtc:
    """The few calls of NVRTC's C API that a compilation needs."""

    def __init__(self, root: Path):
        # The compiler looks its builtins up by name: load them first, from the same folder.
        for builtins in root.glob("lib/libnvrtc-builtins.so*"):
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
        self.lib = ctypes.CDLL(str(next(root.glob("lib/libnvrtc.so*"))))
        self.include = root / "include"

    def _text(self, program: ctypes.c_void_p, kind: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(self.lib, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        getattr(self.lib, f"nvrtcGet{kind}")(program, text)
        return text.value

    def compile(self, unit: Unit) -> bytes:
        source = unit.source
        arch = f"--gpu-architecture=compute_{BASELINE}"
        options = [arch, *OPTIONS, *unit.options, f"-I{HERE}", f"-I{self.include}", f"-I{self.include / 'cccl'}"]
        program = ctypes.c_void_p()
        code = self.lib.nvrtcCreateProgram(
            ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None
        )
        if code != 0:
            sys.exit(f"nvrtcCreateProgram failed with code {code}")
        array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        code = self.lib.nvrtcCompileProgram(program, len(options), array)
        log = self._text(program, "ProgramLog").decode(errors="replace").strip()
        if log:
            print(log, file=sys.stderr)
        if code != 0:
            sys.exit(f"{source.name} does not compile")
        ptx = self._text(program, "PTX")
        self.lib.nvrtcDestroyProgram(ctypes.byref(program))
        return unit.stamp.encode() + ptx.rstrip(b"\n") + b"\n"


def report(root: Path) -> None:
    for unit in units():
        for arch in (BASELINE, 90):
            with tempfile.NamedTemporaryFile() as cubin:
                command = [root / "bin" / "ptxas", "-v", f"-arch=sm_{arch}", unit.committed, "-o", cubin.name]
                lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr
            rows = re.findall(
                r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
                r"(\d+) bytes spill loads.*?Used (\d+) registers",
                lines,
                re.S,
            )
            for name, frame, stores, loads, registers in rows:
                print(f"sm_{arch} {name:32} registers {registers:>3}  frame {frame:>4}  spills {stores}/{loads}")


def build(args: argparse.Namespace) -> int:
    stale = [unit for unit in units() if args.force or args.check or not unit.is_fresh]
    root = packages([REPORT_PIN] if args.report else []) if stale or args.report else None
    PTX.mkdir(exist_ok=True)
    different = []
    if stale:
        compiler = Nvrtc(root)
        for unit in stale:
            text = compiler.compile(unit)
            if not args.check:
                unit.committed.write_bytes(text)
            elif not unit.committed.exists() or unit.committed.read_bytes() != text:
                different.append(unit.name)
            print(f"{unit.source.name} -> {unit.name}")
    if args.report:
        report(root)
    for name in different:
        print(f"{name} is not what build.py makes: run backend-native/kernels/build.py", file=sys.stderr)
    return 1 if different else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("force", "check", "fresh", "report"):
        parser.add_argument(f"--{flag}", action="store_true")
    args = parser.parse_args()
    known = {unit.name for unit in units()}
    orphans = [path for path in sorted(PTX.glob("*.ptx")) if path.name not in known]
    if args.fresh or args.check:
        stale = [unit.name for unit in units() if not unit.is_fresh]
        for name in [*stale, *(path.name for path in orphans)]:
            print(f"{name}: the committed PTX is stale", file=sys.stderr)
        if stale or orphans or args.fresh:
            return 1 if stale or orphans else 0
    for path in orphans:
        path.unlink()
    return build(args)


if __name__ == "__main__":
    sys.exit(main())
