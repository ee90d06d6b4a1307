"""Makes the archive that `recording.archive` names; boto3 is loaded where there is one."""

from __future__ import annotations

from importlib.util import find_spec

from jitgate.app.problems import Problems
from jitgate.config import schema
from jitgate.config.archive_schema import S3
from jitgate.interfaces import IArchive
from jitgate.stores.state import secret_line

NEEDS_BOTO3 = "type s3 needs a package: pip install 'jitgate[s3]'"


def archive_of(settings: schema.Settings, problems: Problems) -> IArchive | None:
    """The archive, if there is one; what is wrong with it goes to ``problems``."""
    recording = settings.recording
    if recording is None or recording.archive is None:
        return None
    return problems.attempt(recording.archive.where, _archive, recording.archive)


def _archive(archive: S3) -> IArchive:
    """Raises `ValueError`, `StateUnusable`."""
    if find_spec("boto3") is None:
        raise ValueError(NEEDS_BOTO3)
    from jitgate.archives.s3 import S3Archive  # noqa: PLC0415 (30 MB of it, for whoever has one)

    session = {} if archive.region is None else {"region_name": archive.region}
    if archive.access_key is not None and archive.secret_key is not None:
        session["aws_access_key_id"] = secret_line(archive.access_key).decode("ascii", "replace")
        session["aws_secret_access_key"] = secret_line(archive.secret_key).decode(
            "ascii", "replace"
        )
    return S3Archive(
        archive.name,
        archive.bucket,
        archive.prefix,
        hold=archive.hold,
        session=session,
        endpoint=archive.endpoint,
        trust=archive.trust,
    )
