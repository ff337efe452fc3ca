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
-- this transaction ends. Those of a phase wait until no chunk of a lower one is left. A chunk that
-- a worker is sending is ready when its time is over, or when the worker's connection is gone.
SELECT
    c.number, c.kind, c.first_line, c.last_line, c.merchant_ids, c.phase, c.attempt, c.state,
    c.row_count
FROM chunk AS c
INNER JOIN batch AS b ON c.batch_id = b.id
WHERE
    c.batch_id = %(batch_id)s AND b.state = 'running'
    AND (
        c.state = 'loaded'
        OR (
            c.state = 'sending'
            AND (
                c.deadline_at < %(now)s
                OR NOT EXISTS (
                    SELECT 1 FROM pg_locks AS h
                    WHERE
                        h.locktype = 'advisory' AND h.objsubid = 1
                        AND (h.classid::bigint << 32 | h.objid::bigint) = c.holder
                )
            )
        )
    )
    AND c.phase = (
        SELECT min(l.phase) FROM chunk AS l
        WHERE l.batch_id = %(batch_id)s AND l.state IN ('loaded', 'sending')
    )
ORDER BY c.number
LIMIT 1
FOR UPDATE OF c SKIP LOCKED;

-- name: has_later_phase
-- Whether a running batch has chunks that wait for those that others work now.
SELECT min(c.phase) < max(c.phase) OR bool_or(c.state = 'sending') FROM chunk AS c
INNER JOIN batch AS b ON c.batch_id = b.id
WHERE
    c.batch_id = %(batch_id)s AND c.state IN ('loaded', 'sending') AND b.state = 'running';

-- name: lease_chunk
-- A worker has calls of the chunk under way, until a time.
UPDATE chunk SET
    state = 'sending', attempt = attempt + 1, holder = %(holder)s, deadline_at = %(deadline_at)s
WHERE batch_id = %(batch_id)s AND number = %(number)s AND state IN ('loaded', 'sending')
RETURNING attempt;

-- name: hold_chunk
-- The worker still has the chunk: from here to the end of the transaction nobody takes it.
UPDATE chunk SET deadline_at = %(deadline_at)s, fault_count = fault_count + %(fault_count)s
WHERE
    batch_id = %(batch_id)s AND number = %(number)s AND state = 'sending'
    AND attempt = %(attempt)s AND deadline_at > %(now)s
RETURNING number;

-- name: leave_chunk
-- The worker has nothing of the chunk under way any more.
UPDATE chunk SET state = %(state)s, holder = NULL, deadline_at = NULL
WHERE
    batch_id = %(batch_id)s AND number = %(number)s AND state = 'sending'
    AND attempt = %(attempt)s
RETURNING number;

-- name: wake_chunks
-- Something of these chunks has become known: whoever takes them goes on with what waited for it.
UPDATE chunk SET state = 'loaded'
WHERE batch_id = %(batch_id)s AND state = 'waiting';

-- name: idle_chunks
-- How many chunks of a batch wait though nothing of them is unknown.
SELECT count(*) FROM chunk AS c
WHERE
    c.batch_id = %(batch_id)s AND c.state = 'waiting'
    AND NOT EXISTS (
        SELECT 1 FROM attempt AS a
        WHERE
            a.batch_id = c.batch_id AND a.chunk_number = c.number
            AND a.state IN ('unknown', 'person')
    );

-- name: idle_batches
-- Batches with chunks that wait though nothing of theirs is unknown any more: what they waited for
-- became known while a worker let go of them. Those of merchants with a gate that is closing are
-- woken when it opens.
SELECT DISTINCT c.batch_id FROM chunk AS c
WHERE
    c.state = 'waiting'
    AND NOT EXISTS (
        SELECT 1 FROM gate AS g WHERE g.state = 'closing' AND g.merchant_id = ANY(c.merchant_ids)
    )
    AND NOT EXISTS (
        SELECT 1 FROM attempt AS a
        WHERE a.batch_id = c.batch_id AND a.state IN ('unknown', 'person')
    )
ORDER BY c.batch_id;

-- name: waiting_batches
-- Batches with chunks of a merchant that wait, such as for its gates.
SELECT DISTINCT batch_id FROM chunk
WHERE state = 'waiting' AND merchant_ids @> ARRAY[%(merchant_id)s::integer]
ORDER BY batch_id;

-- name: children_wait
-- Whether operations that rows of a batch made still wait.
SELECT EXISTS (
    SELECT 1 FROM chunk
    WHERE batch_id = %(batch_id)s AND kind = 'children' AND state = 'waiting'
);

-- name: hold_of_worker
-- A worker's own lock, which goes with its connection.
SELECT pg_advisory_lock(%(holder)s);

-- name: is_there
-- Whether the connection that holds the lock is there.
SELECT TRUE;

-- name: leave_of_worker
-- Lets go of it.
SELECT pg_advisory_unlock(%(holder)s);

-- name: chunk_in_doubt
-- Whether something of a chunk is unknown.
SELECT EXISTS (
    SELECT 1 FROM attempt
    WHERE
        batch_id = %(batch_id)s AND chunk_number = %(number)s AND state IN ('unknown', 'person')
);

-- name: finish_chunk
-- A chunk is settled; fault_count counts what stop-after counts.
UPDATE chunk SET
    state = %(state)s, attempt = attempt + 1, holder = NULL, deadline_at = NULL,
    fault_count = fault_count + %(fault_count)s
WHERE batch_id = %(batch_id)s AND number = %(number)s AND state IN ('loaded', 'sending')
RETURNING number;

-- name: cancel_chunk
-- A chunk that will not be worked, because its batch is cancelled.
UPDATE chunk SET state = %(state)s, holder = NULL, deadline_at = NULL
WHERE batch_id = %(batch_id)s AND number = %(number)s;

-- name: progress
-- How many chunks are in which state, and the faults so far.
SELECT
    count(*) FILTER (WHERE state IN ('loaded', 'sending')) AS open,
    count(*) FILTER (WHERE state = 'waiting') AS waiting,
    count(*) AS chunks,
    coalesce(sum(fault_count), 0)::bigint AS faults
FROM chunk WHERE batch_id = %(batch_id)s;

-- name: wait_for_chunks
-- Waits until no worker holds a chunk of the batch.
SELECT number FROM chunk WHERE batch_id = %(batch_id)s AND state = 'loaded'
ORDER BY number
FOR UPDATE;

-- name: is_sending
-- Whether a worker that lives has calls of the batch under way.
SELECT EXISTS (
    SELECT 1 FROM chunk AS c
    INNER JOIN pg_locks AS h
        ON
            h.locktype = 'advisory' AND h.objsubid = 1
            AND (h.classid::bigint << 32 | h.objid::bigint) = c.holder
    WHERE c.batch_id = %(batch_id)s AND c.state = 'sending' AND c.deadline_at > %(now)s
);

-- name: lost_chunks
-- Chunks whose worker is gone in the middle of sending.
SELECT
    c.number, c.kind, c.first_line, c.last_line, c.merchant_ids, c.phase, c.attempt, c.state,
    c.row_count
FROM chunk AS c
WHERE
    c.batch_id = %(batch_id)s AND c.state = 'sending'
    AND (
        c.deadline_at < %(now)s
        OR NOT EXISTS (
            SELECT 1 FROM pg_locks AS h
            WHERE
                h.locktype = 'advisory' AND h.objsubid = 1
                AND (h.classid::bigint << 32 | h.objid::bigint) = c.holder
        )
    )
ORDER BY c.number
FOR UPDATE SKIP LOCKED;

-- name: loaded_chunk
-- Any chunk that has rows to cancel, whatever the batch's state, beyond a number.
SELECT number, kind, first_line, last_line, merchant_ids, phase, attempt, state
FROM chunk
WHERE
    batch_id = %(batch_id)s AND state IN ('loaded', 'waiting') AND number > %(beyond)s
ORDER BY number
LIMIT 1
FOR UPDATE;
