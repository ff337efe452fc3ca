-- name: next_number
-- Takes the number of a new batch, or of a block of ids for single calls.
SELECT nextval('batch_number');

-- name: insert_batch
-- Writes a received batch; the unique key on content decides between two uploads at once.
INSERT INTO batch (
    id, sender_id, merchant_id, gate_id, dialect, kind, file_name, content_hash, occurrence,
    byte_count, shape, columns, policy, state, nonce, wrapped_key, created_at
) VALUES (
    %(id)s, %(sender_id)s, %(merchant_id)s, %(gate_id)s, %(dialect)s, %(kind)s, %(file_name)s,
    %(content_hash)s, %(occurrence)s, %(byte_count)s, %(shape)s, %(columns)s, %(policy)s,
    'received', %(nonce)s, %(wrapped_key)s, %(created_at)s
);

-- name: holders_of_content
-- The batches that hold the same bytes of the same sender, newest first.
SELECT id, state, occurrence FROM batch
WHERE sender_id = %(sender_id)s AND content_hash = %(content_hash)s AND holds_content
ORDER BY occurrence DESC;

-- name: get_batch
-- One batch with the names that stand behind its numbers.
SELECT
    b.id, b.sender_id, s.name AS sender, b.merchant_id, m.name AS merchant, b.gate_id, b.dialect,
    b.kind, b.file_name, b.content_hash, b.byte_count, b.shape, b.columns, b.policy, b.state,
    b.refusal, b.pause_reason, b.resume_at, b.nonce, b.wrapped_key, b.row_count, b.has_subjects,
    b.created_at, b.released_at, b.finished_at
FROM batch AS b
INNER JOIN sender AS s ON b.sender_id = s.id
INNER JOIN merchant AS m ON b.merchant_id = m.id
WHERE b.id = %(id)s;

-- name: list_batches
-- Batches, newest first, from a given id downward.
SELECT b.id, b.state, b.file_name, b.dialect, m.name AS merchant, b.row_count, b.created_at
FROM batch AS b
INNER JOIN merchant AS m ON b.merchant_id = m.id
WHERE b.id < %(before)s
ORDER BY b.id DESC
LIMIT %(limit)s;

-- name: move_batch
-- Moves a batch along an arrow; changes nothing when it is in no state that the arrow leaves. A
-- final state destroys the data key: the batch's secrets cannot be read by anybody from here on.
UPDATE batch SET
    state = %(state)s,
    refusal = coalesce(%(refusal)s, refusal),
    pause_reason = CASE WHEN %(state)s IN ('pausing', 'paused') THEN pause_reason END,
    resume_at = CASE WHEN %(state)s IN ('pausing', 'paused') THEN resume_at END,
    released_at = CASE
        WHEN %(state)s = 'running' AND released_at IS NULL THEN %(at)s::timestamptz
        ELSE released_at
    END,
    finished_at = CASE WHEN %(is_final)s THEN %(at)s::timestamptz END,
    wrapped_key = CASE WHEN NOT %(is_final)s THEN wrapped_key END,
    holds_content = holds_content AND %(holds_content)s
WHERE id = %(id)s AND state = ANY(%(sources)s)
RETURNING id;

-- name: set_accepted
-- Notes what accepting found: the number of rows, and whether rows act on payments.
UPDATE batch SET row_count = %(row_count)s, has_subjects = %(has_subjects)s WHERE id = %(id)s;

-- name: state_of
-- Where a batch stands now.
SELECT state FROM batch WHERE id = %(id)s;

-- name: lock_batch
-- Holds a batch's state: who moves it or its chunks to and from waiting does so one by one.
SELECT state FROM batch WHERE id = %(id)s FOR UPDATE;

-- name: lock_file
-- Waits until no other process reads the batch's file; the connection holds it, no transaction.
SELECT pg_advisory_lock(%(id)s);

-- name: try_lock_file
-- The same without waiting.
SELECT pg_try_advisory_lock(%(id)s);

-- name: unlock_file
-- Lets others read the batch's file.
SELECT pg_advisory_unlock(%(id)s);

-- name: files_of
-- Which of these batches there are, and whether their file is still to be read.
SELECT id, state IN ('received', 'checking') AS is_unread FROM batch WHERE id = ANY(%(ids)s);

-- name: destroy_idle_keys
-- Destroys the data keys of batches that were read and have no secret left to send; those that
-- somebody works on right now are left to the next time.
UPDATE batch SET wrapped_key = NULL
WHERE
    id IN (
        SELECT b.id FROM batch AS b
        WHERE
            b.finished_at IS NULL AND b.wrapped_key IS NOT NULL
            AND b.state NOT IN ('received', 'checking')
            AND NOT EXISTS (SELECT 1 FROM secret_block AS s WHERE s.batch_id = b.id)
        FOR UPDATE SKIP LOCKED
    );

-- name: note_pause
-- Notes why a batch is paused, and when it goes on by itself; nulls = when a person says so.
UPDATE batch SET pause_reason = %(reason)s, resume_at = %(resume_at)s
WHERE id = %(id)s AND state IN ('pausing', 'paused');

-- name: paused_until
-- Batches that a breaker paused and whose time to go on has come.
SELECT id FROM batch WHERE state = 'paused' AND resume_at <= %(now)s ORDER BY id;

-- name: note_refusal
-- Notes why the batch is being refused, before the first of its rows is cancelled.
UPDATE batch SET refusal = %(refusal)s WHERE id = %(id)s;

-- name: has_sent
-- Whether any operation of the batch went out or settled; those that rows made are in no tally.
SELECT EXISTS (
    SELECT 1 FROM tally
    WHERE batch_id = %(id)s AND state NOT IN ('queued', 'rejected', 'replayed', 'cancelled')
) OR EXISTS (
    SELECT 1 FROM chunk WHERE batch_id = %(id)s AND kind = 'children' AND state = 'done'
);

-- name: unfinished
-- Batches that have work: the oldest first.
SELECT id FROM batch
WHERE
    finished_at IS NULL
    AND state IN ('received', 'checking', 'ready', 'running', 'pausing', 'cancelling')
ORDER BY id;
