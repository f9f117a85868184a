"""What a core is compiled and linked against (headers, libtorch_cpu, libc10 …), out of a torch wheel, by HTTP range.

    python scripts/fetch_torch_parts.py VERSION FOLDER [--platform manylinux_2_28_x86_64] [--headers]

The public index has CUDA builds for Linux: half a gigabyte each, of which a core needs a fifth. FOLDER becomes what
`LIBTORCH` may name to build for, with `lib/`, `include/` and `build-version`. From a CUDA build it leaves out what only
CUDA needs; such a libtorch can be linked against, and opened where the CUDA runtime that libtorch_cpu names is there.
`--headers` leaves out the libraries too. pip says which wheel it is, so its own settings hold.
"""

import argparse
import io
import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

LIBRARIES = re.compile(
    r"torch/lib/(lib(torch|torch_cpu|torch_global_deps|c10|omp|gomp|shm|arm_compute|nvpl|openblas|gfortran)"
    r"[^/]*\.(so[.\d]*|dylib)"
    r"|(torch|torch_cpu|c10|fbgemm|asmjit|libiomp5md|uv|shm)\.(dll|lib))"
    r"|torch\.libs/[^/]+"
)
NOT_NEEDED = re.compile("python|cuda|nvshmem")
BLOCK = 4 << 20


class RemoteFile(io.RawIOBase):
    """A file on a web server (or the disk), read in blocks as they are asked for."""

    def __init__(self, url: str) -> None:
        self.url, self.position, self.blocks, self.fetched = url, 0, {}, 0
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
            self.size = int(answer.headers["Content-Length"])

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer) -> int:
        start = self.position
        if start >= self.size:
            return 0
        index = start // BLOCK
        part = self.block(index)[start - index * BLOCK :][: len(buffer)]
        buffer[: len(part)] = part
        self.position += len(part)
        return len(part)

    def block(self, index: int) -> bytes:
        if index not in self.blocks:
            first, last = index * BLOCK, min(self.size, (index + 1) * BLOCK) - 1
            request = urllib.request.Request(self.url, headers={"Range": f"bytes={first}-{last}"})
            with urllib.request.urlopen(request) as answer:
                if answer.status != 206:
                    raise SystemExit("The server does not answer ranges; download the wheel whole.")
                data = answer.read()
            self.fetched += len(data)
            # Members are read from first to last, so a few blocks are enough.
            self.blocks = {**dict(list(self.blocks.items())[-3:]), index: data}
        return self.blocks[index]


def locate(version: str, platform: str) -> str:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
    command += ["--report", "-", "--only-binary", ":all:", "--target", "unused", "--python-version", "3.11"]
    command += ["--platform", platform, f"torch=={version}"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["install"][0]["download_info"]["url"]


def wanted(name: str, headers_only: bool) -> bool:
    if name.startswith("torch/include/") or name == "torch/version.py":
        return not name.endswith("/")
    return not headers_only and not NOT_NEEDED.search(name) and LIBRARIES.fullmatch(name) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--platform", default="manylinux_2_28_x86_64")
    parser.add_argument("--headers", action="store_true")
    options = parser.parse_args()

    url = locate(options.version, options.platform)
    remote = None if url.startswith("file:") else RemoteFile(url)
    path = urllib.request.url2pathname(urllib.parse.urlparse(url).path)
    with zipfile.ZipFile(path if remote is None else io.BufferedReader(remote)) as wheel:
        members = [member for member in wheel.infolist() if wanted(member.filename, options.headers)]
        # In the file's order, so that each block is fetched once.
        for member in sorted(members, key=lambda member: member.header_offset):
            inside = member.filename.removeprefix("torch/").replace("torch.libs/", "lib/")
            target = options.folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(member) as packed, open(target, "wb") as out:
                while block := packed.read(1 << 20):
                    out.write(block)
    version_file = options.folder / "version.py"
    version = re.search(r"__version__ = '([^']+)'", version_file.read_text())[1]
    (options.folder / "build-version").write_text(version + "\n")
    version_file.unlink()
    name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
    size = "" if remote is None else f", {remote.fetched / 1e6:.0f} of {remote.size / 1e6:.0f} MB fetched"
    print(f"{name}{size}: {options.folder}")


if __name__ == "__main__":
    main()
