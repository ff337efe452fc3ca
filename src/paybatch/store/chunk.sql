-- name: insert_chunk
-- Notes that a block of lines is stored; the primary key makes a second load of it fail.
INSERT INTO chunk (
    batch_id, number, kind, first_line, last_line, merchant_ids, state, phase, row_count,
    rejected_count, fault_count
) VALUES (
    %(batch_id)s, %(number)s, %(kind)s, %(first_line)s, %(last_line)s, %(merchant_ids)s, 'loaded',
    %(phase)s, %(row_count)s, %(rejected_count)s, %(rejected_count)s
);

-- name: cut_chunk
-- Leaves a chunk the lines up to a last one, in a phase; the others go to new chunks.
UPDATE chunk SET last_line = %(last_line)s, phase = %(phase)s, row_count = %(row_count)s
WHERE batch_id = %(batch_id)s AND number = %(number)s AND state = 'loaded';

-- name: list_chunks
-- The chunks of a batch: the ranges by their lines, then the ordered ones.
SELECT number, kind, first_line, last_line, merchant_ids, state, phase, row_count, rejected_count
FROM chunk WHERE batch_id = %(batch_id)s ORDER BY kind DESC, first_line ASC, number ASC;

-- name: take_chunk
-- Takes a ready chunk of a batch that was running when the statement began; others skip it until
-- this transaction ends. Those of a phase wait until no chunk of a lower one is left.
SELECT c.number, c.kind, c.first_line, c.last_line, c.merchant_ids, c.phase, c.attempt
FROM chunk AS c
INNER JOIN batch AS b ON c.batch_id = b.id
WHERE
    c.batch_id = %(batch_id)s AND c.state = 'loaded' AND b.state = 'running'
    AND c.phase = (
        SELECT min(l.phase) FROM chunk AS l
        WHERE l.batch_id = %(batch_id)s AND l.state = 'loaded'
    )
ORDER BY c.number
LIMIT 1
FOR UPDATE OF c SKIP LOCKED;

-- name: has_later_phase
-- Whether a running batch has chunks that wait for those that others work now.
SELECT min(c.phase) < max(c.phase) FROM chunk AS c
INNER JOIN batch AS b ON c.batch_id = b.id
WHERE c.batch_id = %(batch_id)s AND c.state = 'loaded' AND b.state = 'running';

-- name: finish_chunk
-- A chunk is settled; fault_count counts what stop-after counts.
UPDATE chunk SET
    state = 'done', attempt = attempt + 1, fault_count = fault_count + %(fault_count)s
WHERE batch_id = %(batch_id)s AND number = %(number)s AND state = 'loaded'
RETURNING number;

-- name: cancel_chunk
-- A chunk that will not be worked, because its batch is cancelled.
UPDATE chunk SET state = 'cancelled'
WHERE batch_id = %(batch_id)s AND number = %(number)s AND state = 'loaded';

-- name: progress
-- How many chunks are in which state, and the faults so far.
SELECT
    count(*) FILTER (WHERE state = 'loaded') AS loaded,
    count(*) AS chunks,
    coalesce(sum(fault_count), 0)::bigint AS faults
FROM chunk WHERE batch_id = %(batch_id)s;

-- name: wait_for_chunks
-- Waits until no worker holds a chunk of the batch.
SELECT number FROM chunk WHERE batch_id = %(batch_id)s AND state = 'loaded'
ORDER BY number
FOR UPDATE;

-- name: loaded_chunk
-- Any chunk that is not worked yet, whatever the batch's state: for cancelling.
SELECT number, kind, first_line, last_line, merchant_ids, phase, attempt
FROM chunk
WHERE batch_id = %(batch_id)s AND state = 'loaded'
ORDER BY number
LIMIT 1
FOR UPDATE;
