"""Sweep: what killed processes left behind, and what may not be kept any longer.

Cheap, and safe at any time in any number of processes: a worker sweeps every minute, `paybatch run`
and `paybatch batch resume` each time.
"""

from datetime import timedelta

from paybatch.flow import control
from paybatch.flow.documents import drop
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake import receive
from paybatch.store import batches, documents, numbers

ORPHAN_HOURS = 24  # an upload may stand there some time before its batch does


def forget_old_secrets(engine: Engine) -> list[int]:
    """Delete the CVVs that waited too long, and data keys that open nothing any more.

    Gives the batches whose CVVs were deleted.
    """
    oldest = engine.clock() - timedelta(hours=engine.settings.secret_hours)
    with engine.database.transaction() as connection:
        dropped = numbers.drop_old_secrets(connection, oldest)
    with engine.database.transaction() as connection:
        batches.destroy_idle_keys(connection)
    return dropped


def drop_uploads(engine: Engine) -> list[int]:
    """Delete the uploads that nobody will read any more; give the numbers of their batches.

    A batch whose upload may not be kept any longer is refused.

    Raises:
        BlobsError: The blob store cannot be listed.
    """
    orphaned = engine.clock() - timedelta(hours=ORPHAN_HOURS)
    engine.blobs.drop_unfinished(receive.UPLOADS, orphaned)
    with engine.database.transaction() as connection:
        left = documents.orphans(connection, orphaned)
    for key in left:
        drop(engine, *key)
    listed = engine.blobs.listed(receive.UPLOADS)  # first: a batch comes after its upload
    written = {
        number: at for name, at in listed if (number := receive.number_of_upload(name)) is not None
    }
    if not written:
        return []
    with engine.database.transaction() as connection:
        known = batches.files_of(connection, list(written))
    dropped = []
    for number, at in written.items():
        is_unread = known.get(number, at >= orphaned)
        if not is_unread or (number in known and _refused(engine, number)):
            engine.blobs.delete(receive.blob_name(number))
            dropped.append(number)
    return dropped


def _refused(engine: Engine, batch_id: int) -> bool:
    """Refuse a batch that waited too long to be read; False = it may wait, or is being read."""
    if not receive.is_overdue(engine, load_batch(engine, batch_id)):
        return False
    with (
        engine.database.session() as connection,
        batches.reading(connection, batch_id, waits=False) as is_ours,
    ):
        if is_ours and batches.files_of(connection, [batch_id])[batch_id]:
            control.refuse(engine, load_batch(engine, batch_id), receive.overdue(engine))
        return is_ours
