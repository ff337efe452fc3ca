-- name: has_kinds
-- Whether a batch has accepted rows of any of these kinds.
SELECT EXISTS (
    SELECT 1 FROM tally
    WHERE batch_id = %(batch_id)s AND state = 'queued' AND kind = ANY(%(kinds)s) AND row_count > 0
);

-- name: starts
-- The lines with which a new phase begins: where accepted rows turn to a barrier, from one to
-- another, or back; at each row that is a phase by itself, and behind it; and at the first one of a
-- chunk whose rows go in line order.
WITH told AS (
    SELECT
        o.id, o.line, CASE WHEN o.kind = ANY(%(barriers)s) THEN o.kind ELSE '' END AS barrier,
        width_bucket(o.line, %(chunk_starts)s::bigint []) AS chunk
    FROM operation AS o
    WHERE
        o.merchant_id = ANY(%(merchant_ids)s)
        AND o.id BETWEEN %(first_id)s AND %(last_id)s
        AND o.accepted
),

paired AS (
    SELECT
        line, barrier, chunk, lag(barrier) OVER (ORDER BY id) AS before,
        lag(chunk) OVER (ORDER BY id) AS chunk_before
    FROM told
)

SELECT line FROM paired
WHERE
    before <> barrier
    OR (before IS NOT NULL AND barrier = ANY(%(alone)s))
    OR (chunk_before <> chunk AND barrier = ANY(%(in_line)s))
ORDER BY line;

-- name: rows_of_parts
-- How many rows each part of a file has; parts begin with these lines.
SELECT width_bucket(o.line, %(first_lines)s::bigint []) AS place, count(*) AS row_count
FROM operation AS o
WHERE
    o.merchant_id = ANY(%(merchant_ids)s)
    AND o.id BETWEEN %(first_id)s AND %(last_id)s
GROUP BY place;
