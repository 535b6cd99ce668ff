"""Where a sweep is kept: a folder on a local disk, on NFS or in object storage, as Tune's `storage_path` names it."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow
import pyarrow.fs

from invrec_rllib.errors import InputError

SWEEP, WORLDS, TRIALS, BEST, REPORT = "sweep.yaml", "worlds.json", "trials.csv", "best.yaml", "report"
CHECKPOINT = "checkpoint_"
"""How Tune's names of checkpoints begin."""
_TUNER = "tuner.pkl"


class SweepFolder:
    """A sweep's folder.

    Args:
        storage: the folder above it: a path, or a URI such as ``s3://bucket/sweeps``.
        name: of the sweep.

    Raises:
        InputError: the URI is of no known file system.
    """

    def __init__(self, storage: str | os.PathLike[str], name: str) -> None:
        text = os.fspath(storage)
        self.storage = text.rstrip("/") if "://" in text else str(Path(text).expanduser().resolve())
        self.name, self.path = name, f"{self.storage}/{name}"
        self.filesystem, self._root = _open(self.path)

    @property
    def local(self) -> Path | None:
        """Its path on this machine; None elsewhere."""
        return Path(self._root) if isinstance(self.filesystem, pyarrow.fs.LocalFileSystem) else None

    def is_taken(self) -> bool:
        """Whether it holds anything."""
        found = self.filesystem.get_file_info(pyarrow.fs.FileSelector(self._root, allow_not_found=True))
        return bool(found)

    def holds_tuner(self) -> bool:
        """Whether Tune has begun there."""
        return self._exists(_TUNER)

    def read(self, name: str) -> str | None:
        """Text of a file; None where there is none."""
        if not self._exists(name):
            return None
        with self.filesystem.open_input_stream(f"{self._root}/{name}") as file:
            content: bytes = file.read()
        return content.decode()

    def write(self, name: str, text: str) -> None:
        """Write a file so that a reader sees the old content or the new, never a part."""
        self.filesystem.create_dir(self._root, recursive=True)
        part = f"{self._root}/.{name}.{os.getpid()}.part"
        with self.filesystem.open_output_stream(part) as file:
            file.write(text.encode())
        self.filesystem.move(part, f"{self._root}/{name}")

    def upload(self, source: Path, name: str) -> None:
        """Copy a folder of this machine into it."""
        target = f"{self._root}/{name}"
        self.filesystem.create_dir(target, recursive=True)
        pyarrow.fs.copy_files(str(source), target, destination_filesystem=self.filesystem)

    def remove_checkpoints(self, trial: str) -> None:
        """Remove the checkpoints of a trial."""
        selector = pyarrow.fs.FileSelector(f"{self._root}/{trial}", allow_not_found=True)
        for info in self.filesystem.get_file_info(selector):
            if info.type == pyarrow.fs.FileType.Directory and info.base_name.startswith(CHECKPOINT):
                self.filesystem.delete_dir(info.path)

    def _exists(self, name: str) -> bool:
        info = self.filesystem.get_file_info(f"{self._root}/{name}")
        return bool(info.type != pyarrow.fs.FileType.NotFound)


def _open(path: str) -> tuple[pyarrow.fs.FileSystem, str]:
    if "://" not in path:
        return pyarrow.fs.LocalFileSystem(), path
    try:
        filesystem, root = pyarrow.fs.FileSystem.from_uri(path)
        return filesystem, root
    except pyarrow.ArrowInvalid:
        pass
    import fsspec

    scheme, _, rest = path.partition("://")
    try:
        found = fsspec.filesystem(scheme)
    except (ValueError, ImportError) as error:
        raise InputError(f"storage {path!r}: {error}") from error
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(found)), rest
