-- name: open_rows
-- The chunks of batches that are not done, and their rows: loaded wait, sending are under way,
-- waiting are behind something unknown.
SELECT c.state, count(*) AS chunks, coalesce(sum(c.row_count), 0)::bigint AS row_count
FROM chunk AS c
WHERE c.state IN ('loaded', 'sending', 'waiting')
GROUP BY c.state;

-- name: open_batches
-- How many unfinished batches are in which state.
SELECT state, count(*) AS batches FROM batch WHERE finished_at IS NULL GROUP BY state;

-- name: unknown_calls
-- What is unknown at each gate, and since when.
SELECT m.name AS merchant, g.name AS gate, a.state, count(*) AS calls, min(a.created_at) AS since
FROM attempt AS a
INNER JOIN merchant AS m ON a.merchant_id = m.id
INNER JOIN gate AS g ON a.merchant_id = g.merchant_id AND a.gate_id = g.id
WHERE a.state IN ('unknown', 'person')
GROUP BY m.name, g.name, a.state;

-- name: gate_names
-- What the gates are called.
SELECT g.id, m.name AS merchant, g.name AS gate
FROM gate AS g INNER JOIN merchant AS m ON g.merchant_id = m.id;
