#!/usr/bin/env python3
"""Fetches libtorch from PyPI into libtorch/ at the root of the repository.

    python3 tools/libtorch.py [--cuda] [--wheels DIR] [--into DIR]

The torch wheel (900 MB) holds libtorch and its headers; what else it holds is
left out. For a CPU, the CUDA runtime and profiler that libtorch_cpu.so is
linked against are replaced by stubs that answer "no device". With --cuda the
real ones come along (4 GB of wheels in all).

Wheels are kept in DIR/.wheels until everything is in place, and checked
against tools/libtorch.txt, so an interrupted call goes on where it was. With
--wheels they are looked for in a folder instead of on PyPI.
"""

import argparse
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PINS = ROOT / "tools" / "libtorch.txt"
# Error code that the stubs return: cudaErrorNoDevice.
NO_DEVICE = 100
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 17, 12)] + ["manylinux2014_x86_64"]


def fail(message):
    sys.exit(f"error: failed to {message}")


def run(what, command):
    """Runs a program; its own words go to standard error."""
    try:
        done = subprocess.run(command, stdout=sys.stderr)
    except OSError as error:
        fail(f"{what}: {command[0]}: {error.strerror}")
    if done.returncode != 0:
        fail(f"{what}: `{' '.join(map(str, command))}` ended with {done.returncode}")


def need(program, remedy):
    if shutil.which(program) is None:
        fail(f"find `{program}`, which building against libtorch needs: {remedy}")


def pins():
    """(name, version, sha256) of each line of the pin file."""
    pattern = re.compile(r"^(\S+)==(\S+) --hash=sha256:([0-9a-f]{64})$", re.MULTILINE)
    found = pattern.findall(PINS.read_text())
    if not found:
        fail(f"read {PINS}: it pins nothing")
    return found


def digest(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            hasher.update(block)
    return hasher.hexdigest()


def wheel(name, version, sha256, folder, source):
    """The wheel in `folder`, fetched unless it is there already."""
    stem = f"{name.replace('-', '_')}-{version}-"

    def here():
        for path in sorted(folder.glob(f"{stem}*.whl")):
            if digest(path) == sha256:
                return path
            print(f"{path.name} is not what was pinned: fetched again", file=sys.stderr)
            path.unlink()
        return None

    found = here()
    if found is None:
        pinned = folder / f"{name}.txt"
        pinned.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311"]
        command += ["--abi=none"] + [f"--platform={platform}" for platform in PLATFORMS]
        command += ["--no-index", f"--find-links={source}"] if source else ["--progress-bar=on"]
        command += [f"--dest={folder}", f"--requirement={pinned}"]
        print(f"fetching {name} {version}", file=sys.stderr)
        run(f"fetch {name} {version} (the network, or a folder given with WHEELS=DIR)", command)
        pinned.unlink()
        found = here()
    if found is None:
        fail(f"fetch {name} {version}: pip brought no wheel {stem}*.whl of the pinned content")
    return found


def unpack(path, into, wanted):
    """The members of a wheel that satisfy the predicate."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if wanted(member) and not member.endswith("/"):
                archive.extract(member, into)


def of_torch(cuda):
    """What is taken of the torch wheel: headers and libraries, without Python's."""
    skipped = ("libtorch_python", "libshm", "libtorch_global_deps", "libtorch_nvshmem")
    cpu = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1")

    def wanted(member):
        folder, _, file = member.rpartition("/")
        if member.startswith("torch/include/"):
            return True
        if folder != "torch/lib" or ".so" not in file:
            return member == "torch/version.py"
        return not file.startswith(skipped) if cuda else file in cpu

    return wanted


def stub(library, symbols, folder):
    """A shared library whose versioned functions all answer "no device"."""
    source = folder / "stub.c"
    source.write_text("".join(f"int {symbol}(void) {{ return {NO_DEVICE}; }}\n" for symbol in symbols) or "\n")
    script = folder / "stub.map"
    script.write_text(f"{library} {{ global: *; }};\n")
    command = ["g++", "-x", "c", "-shared", "-fPIC", str(source), "-o", str(folder / library)]
    command += [f"-Wl,-soname,{library}"] + ([f"-Wl,--version-script,{script}"] if symbols else [])
    run(f"build the stub of {library}", command)
    source.unlink()
    script.unlink()


def stubs(folder):
    """Stands in for what a CPU does not need of CUDA."""
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", str(folder / "libtorch_cpu.so")], capture_output=True, text=True
    )
    if listing.returncode != 0:
        fail(f"list the symbols of libtorch_cpu.so: {listing.stderr.strip()}")
    needed = {}
    for symbol, library in re.findall(r" U (\w+)@(lib(?:cudart|cupti)\.so\.\d+)", listing.stdout):
        needed.setdefault(library, []).append(symbol)
    for library, symbols in needed.items():
        stub(library, sorted(symbols), folder)
    # The real one only forwards to libtorch_cpu.so and libtorch_cuda.so.
    stub("libtorch.so", [], folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", action="store_true", help="with CUDA's libraries")
    parser.add_argument("--wheels", type=pathlib.Path, help="a folder that holds the wheels")
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "libtorch")
    arguments = parser.parse_args()
    into, kind = arguments.into, "cuda" if arguments.cuda else "cpu"
    taken = [pin for pin in pins() if pin[0] == "torch" or arguments.cuda]
    version = next(version for name, version, _ in taken if name == "torch")
    done = into / "build-version"
    have = (into / "kind").read_text().strip() if (into / "kind").is_file() else None
    if done.is_file() and done.read_text().startswith(version) and have in (kind, "cuda"):
        print(f"{into}: libtorch {done.read_text().strip()} ({have}) is here", file=sys.stderr)
        return

    need("g++", "apt-get install g++")
    need("nm", "apt-get install binutils")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        fail(f"find pip for {sys.executable}: apt-get install python3-pip (or python3 -m ensurepip)")

    try:
        wheels, fresh = into / ".wheels", into / ".new"
        wheels.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
        for name, number, sha256 in taken:
            path = wheel(name, number, sha256, wheels, arguments.wheels)
            print(f"unpacking {path.name}", file=sys.stderr)
            is_torch = name == "torch"
            unpack(path, fresh, of_torch(arguments.cuda) if is_torch else lambda m: "/lib/" in m and ".so" in m)
        if not arguments.cuda:
            stubs(fresh / "torch" / "lib")
        label = re.search(r"__version__ = '([^']+)'", (fresh / "torch" / "version.py").read_text())
        if label is None or label.group(1).split("+")[0] != version:
            fail(f"use the torch wheel: it does not say that it is {version}")
        # In place only when complete; `build-version` comes last and says so.
        done.unlink(missing_ok=True)
        shutil.rmtree(into / "site", ignore_errors=True)
        fresh.rename(into / "site")
        for link in ("lib", "include"):
            (into / link).unlink(missing_ok=True)
            (into / link).symlink_to(f"site/torch/{link}")
        (into / "kind").write_text(f"{kind}\n")
        done.write_text(f"{label.group(1)}\n")
        shutil.rmtree(wheels)
    except (OSError, zipfile.BadZipFile) as error:
        fail(f"put libtorch into {into}: {error}")
    print(f"{into}: libtorch {label.group(1)} ({kind}) is ready; now `make BACKEND=tch`", file=sys.stderr)


if __name__ == "__main__":
    main()
