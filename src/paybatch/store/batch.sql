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
    b.refusal, b.nonce, b.wrapped_key, b.row_count, b.has_subjects, b.created_at, b.released_at,
    b.finished_at
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
-- Moves a batch along an arrow; changes nothing when it is in no state that the arrow leaves.
UPDATE batch SET
    state = %(state)s,
    refusal = coalesce(%(refusal)s, refusal),
    released_at = CASE
        WHEN %(state)s = 'running' AND released_at IS NULL THEN %(at)s::timestamptz
        ELSE released_at
    END,
    finished_at = CASE
        WHEN %(state)s IN ('refused', 'cancelled', 'completed') THEN %(at)s::timestamptz
    END,
    holds_content = holds_content AND %(holds_content)s
WHERE id = %(id)s AND state = ANY(%(sources)s)
RETURNING id;

-- name: set_accepted
-- Notes what accepting found: the number of rows, and whether rows act on payments.
UPDATE batch SET row_count = %(row_count)s, has_subjects = %(has_subjects)s WHERE id = %(id)s;

-- name: lock_batch
-- Waits until no other process reads the batch's file; held until the transaction ends.
SELECT pg_advisory_xact_lock(%(id)s);

-- name: destroy_key
-- Destroys the batch's data key: its secrets cannot be read by anybody from here on.
UPDATE batch SET wrapped_key = NULL WHERE id = %(id)s;

-- name: has_sent
-- Whether any operation of the batch went out or settled.
SELECT EXISTS (
    SELECT 1 FROM tally
    WHERE batch_id = %(id)s AND state NOT IN ('queued', 'rejected', 'replayed', 'cancelled')
);

-- name: unfinished
-- Batches that have work: the oldest first.
SELECT id FROM batch
WHERE state IN ('received', 'checking', 'ready', 'running', 'pausing', 'cancelling')
ORDER BY id;
