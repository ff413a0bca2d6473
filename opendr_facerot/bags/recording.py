"""Reading a recording and writing another one in its place or beside it, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from opendr_facerot.bags.errors import BagError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer
    from rosbags.typesys.store import Typestore

_FILE_SUFFIXES = {".mcap": "MCAP", ".db3": "SQLITE3"}
_UNSET_HASH = "RIHS00_" + 64 * "0"  # REP 2016's version 0: the type's hash is not known


@contextmanager
def reading(source: Path) -> Iterator[Reader]:
    """Open a recording: a folder with ``metadata.yaml``, a ``.mcap`` or a ``.db3`` file.

    Raises:
        BagError: It is none, or it is damaged.
    """
    from rosbags.rosbag2 import Reader

    try:
        reader = Reader(source)
        reader.open()
    except Exception as error:  # whatever the library meets in a damaged file
        raise BagError(
            f"cannot read the recording {source}: {str(error) or type(error).__name__}. Give a "
            "rosbag2 folder, a .mcap or a .db3 file; 'ros2 bag reindex' mends one whose "
            "recording was cut off"
        ) from error
    try:
        yield reader
    finally:
        reader.close()


def messages(reader: Reader) -> Iterator[tuple[Connection, int, bytes]]:
    """All messages in the order of their log times, with these, nanoseconds.

    Raises:
        BagError: The recording is damaged, or holds another number of messages than it says.
    """
    stream = reader.messages()
    count = 0
    while True:
        try:
            message = next(stream)
        except StopIteration:
            break
        except Exception as error:  # as above
            raise BagError(
                f"the recording {reader.path} is damaged after {count} of "
                f"{reader.message_count} messages: {str(error) or type(error).__name__}"
            ) from error
        count += 1
        yield message
    if count != reader.message_count:
        raise BagError(
            f"the recording {reader.path} says it has {reader.message_count} messages, and "
            f"{count} can be read: mend it with 'ros2 bag reindex'"
        )


@contextmanager
def writing(target: Path, source: Path, reader: Reader, *, force: bool) -> Iterator[Writer]:
    """Open a recording that takes its name when all is written, and is removed if that fails.

    Args:
        target: A ``.mcap`` or ``.db3`` file; any other name is that of a folder, in the storage
            format and compression of the source.
        source: Of ``reader``.
        reader: The recording to which something is added.
        force: Take the place of a recording that exists.

    Raises:
        BagError: The target exists, is the source, or cannot be written to.
    """
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, Writer

    _check_target(target, source, force=force)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise _not_written(target, error) from error
    try:
        is_file = target.suffix in _FILE_SUFFIXES
        # The name inside the recording is that of its folder.
        folder = staging / (target.stem if is_file else target.name)
        storage = _storage(target if is_file else source)
        writer = Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=storage)
        if not is_file and reader.compression_mode:
            mode = CompressionMode[reader.compression_mode.upper()]
            writer.set_compression(mode, CompressionFormat.ZSTD)
        for key, value in (reader.storage.metadata.custom or {}).items():
            writer.set_custom_data(key, value)
        with writer:
            yield writer
        made = folder / f"{folder.name}{target.suffix}" if is_file else folder
        _install(made, target, staging / "replaced recording")
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def copy_connection(writer: Writer, connection: Connection, store: Typestore) -> Connection:
    """Announce a topic with the type, definition, hash and QoS that it has in another recording."""
    from rosbags.interfaces import ConnectionExtRosbag2, MessageDefinitionFormat

    recorded = connection.ext
    assert isinstance(recorded, ConnectionExtRosbag2)  # what the library's reader of rosbag2 gives
    definition, digest = connection.msgdef.data, connection.digest
    if connection.msgdef.format is MessageDefinitionFormat.NONE:
        if connection.msgtype in store.fielddefs:
            definition, _ = store.generate_msgdef(connection.msgtype, ros_version=2)
            digest = digest or store.hash_rihs01(connection.msgtype)
    elif not digest:
        digest = _type_hash(connection)
    return writer.add_connection(
        connection.topic,
        connection.msgtype,
        msgdef=definition,
        rihs01=digest or _UNSET_HASH,
        serialization_format=recorded.serialization_format,
        offered_qos_profiles=recorded.offered_qos_profiles,
    )


def _type_hash(connection: Connection) -> str:
    """The hash that follows from a recorded definition; empty if it cannot be parsed."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    text, name = connection.msgdef.data, connection.msgtype
    store = get_typestore(Stores.EMPTY)
    try:
        is_idl = connection.msgdef.format is MessageDefinitionFormat.IDL
        store.register(get_types_from_idl(text) if is_idl else get_types_from_msg(text, name))
        return store.hash_rihs01(name)
    except Exception:  # a definition that the library does not understand is copied all the same
        return ""


def _check_target(target: Path, source: Path, *, force: bool) -> None:
    inside, outside = target.resolve(), source.resolve()
    if inside == outside or outside in inside.parents or inside in outside.parents:
        raise BagError(f"{target} is, or lies in, the recording {source}: choose another name")
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise BagError(f"{target} exists: choose another name, or give --force to replace it")
    is_recording = (
        (target / "metadata.yaml").is_file() if target.is_dir() else target.suffix in _FILE_SUFFIXES
    )
    if not is_recording:
        raise BagError(f"{target} exists and is no recording: it is not replaced")


def _install(made: Path, target: Path, replaced: Path) -> None:
    """Give what was made its name; what had it goes to ``replaced``."""
    had_one = target.exists() or target.is_symlink()
    if had_one:
        target.rename(replaced)
    try:
        made.rename(target)
    except BaseException:
        if had_one:
            replaced.rename(target)
        raise


def _storage(path: Path) -> StoragePlugin:
    from rosbags.rosbag2 import StoragePlugin

    names = [path.name] if path.suffix in _FILE_SUFFIXES else [p.name for p in path.iterdir()]
    is_mcap = any(".mcap" in name for name in names)
    return StoragePlugin.MCAP if is_mcap else StoragePlugin.SQLITE3


def _not_written(target: Path, error: OSError) -> BagError:
    return BagError(f"cannot write {target}: {error.strerror or error}")
