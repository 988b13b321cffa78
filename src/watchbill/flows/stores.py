"""Places for second copies: a folder, or a bucket of an S3-compatible store (needs the extra "object-storage")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from watchbill.core.errors import ConfigError
from watchbill.ledger.copies import FolderStore, Store

if TYPE_CHECKING:
    from obstore.store import S3Store

#: Settings by kind; those that are secret are sealed in the database and never shown.
SETTINGS: dict[str, tuple[str, ...]] = {
    "folder": ("path",),
    "s3": ("bucket", "prefix", "endpoint", "region", "access_key_id", "secret_access_key"),
}
SECRETS = frozenset({"secret_access_key"})


def checked(kind: str, config: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a place, with what is missing filled in. Raises ConfigError."""
    if kind not in SETTINGS:
        raise ConfigError(f"there is no kind of copy {kind!r}", mend=f"one of: {', '.join(SETTINGS)}")
    if unknown := config.keys() - set(SETTINGS[kind]):
        raise ConfigError(f"{kind} has no setting {', '.join(sorted(unknown))}")
    found = {name: config.get(name, "").strip() for name in SETTINGS[kind]}
    if kind == "folder":
        path = Path(found["path"])
        if not found["path"] or not path.is_absolute():
            raise ConfigError("a folder needs its whole path", mend="write it from the root: /mnt/copies/watchbill")
        return found
    if not found["bucket"]:
        raise ConfigError("an S3 place needs its bucket", mend="write s3://bucket/prefix")
    endpoint = urlsplit(found["endpoint"])
    local = endpoint.hostname in {"localhost", "127.0.0.1", "::1"}
    if found["endpoint"] and not (endpoint.scheme == "https" or (endpoint.scheme == "http" and local)):
        raise ConfigError("the logs would go over the network in clear", mend="write an endpoint with https://")
    found["prefix"] = found["prefix"].strip("/")
    found["region"] = found["region"] or "us-east-1"
    return found


def open_store(kind: str, config: Mapping[str, str]) -> Store:
    """Open a place. Raises ConfigError if it makes no sense, or the extra for S3 is not installed."""
    known = checked(kind, config)
    return FolderStore(Path(known["path"])) if kind == "folder" else BucketStore(known)


class BucketStore:
    """A bucket, or what is below a prefix of it."""

    def __init__(self, config: Mapping[str, str]) -> None:
        try:
            from obstore.store import S3Store
        except ImportError:
            mend = 'install it: pip install "watchbill[object-storage]"'
            raise ConfigError("copies to S3 need the extra object-storage", mend=mend) from None
        keys: dict[str, Any] = {
            name: config[name] for name in ("access_key_id", "secret_access_key") if config.get(name)
        }
        endpoint = config.get("endpoint", "")
        self._name = f"s3://{config['bucket']}/{config['prefix']}"
        with self._errors():
            self._store: S3Store = S3Store(
                config["bucket"],
                prefix=config["prefix"] or None,
                region=config["region"],
                endpoint=endpoint or None,
                virtual_hosted_style_request=False if endpoint else None,
                client_options={"allow_http": endpoint.startswith("http://"), "timeout": "60s"},
                retry_config={"max_retries": 3},
                **keys,
            )

    def names(self, prefix: str) -> dict[str, int]:
        import obstore

        with self._errors():
            pages = obstore.list(self._store, prefix=prefix.rstrip("/") or None)
            return {one["path"]: one["size"] for page in pages for one in page}

    def get(self, name: str) -> bytes:
        import obstore

        with self._errors():
            return bytes(obstore.get(self._store, name).bytes())

    def put(self, name: str, data: bytes) -> None:
        import obstore

        with self._errors():
            obstore.put(self._store, name, data)

    def delete(self, name: str) -> None:
        import obstore

        with self._errors():
            obstore.delete(self._store, name)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Make the store's errors those of a file system, in one line and without what was sent."""
        from obstore.exceptions import BaseError, NotFoundError

        try:
            yield
        except (FileNotFoundError, NotFoundError) as error:
            raise FileNotFoundError(2, "there is nothing of this name", self._name) from error
        except BaseError as error:
            what = " ".join(str(error).split())[:200]
            raise OSError(5, f"{type(error).__name__}: {what}", self._name) from error
