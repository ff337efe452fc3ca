-- name: make_keys
-- A table of this connection for the idempotency keys of a block.
CREATE TEMPORARY TABLE IF NOT EXISTS new_key (
    merchant_id integer, face text, key text, values_hash text, operation_id bigint
) ON COMMIT DELETE ROWS;

-- name: copy_keys
-- Fills it.
COPY new_key (merchant_id, face, key, values_hash, operation_id) FROM STDIN (FORMAT csv);

-- name: keep_keys
-- Takes the keys that nobody had, in order; of two equal ones in a block the earlier line wins.
-- A key is free again when nothing was sent under it: its operation was cancelled or rejected. The
-- linter does not know that i, the row in conflict, is seen there.
INSERT INTO idempotency AS i (merchant_id, face, key, values_hash, operation_id)
SELECT DISTINCT ON (merchant_id, face, key) merchant_id, face, key, values_hash, operation_id
FROM new_key
ORDER BY merchant_id, face, key, operation_id
ON CONFLICT (merchant_id, face, key) DO UPDATE SET
    values_hash = excluded.values_hash, operation_id = excluded.operation_id
WHERE EXISTS (
    SELECT 1 FROM outcome AS u
    WHERE
        u.merchant_id = i.merchant_id AND u.id = i.operation_id  -- noqa: RF01
        AND u.state IN ('cancelled', 'rejected')
);

-- name: taken_keys
-- The keys of the block that belong to another operation, and how that one ended.
SELECT
    n.operation_id, i.operation_id AS first_id, i.values_hash = n.values_hash AS is_same,
    coalesce(u.state IN ('cancelled', 'rejected'), FALSE) AS is_free,
    u.state, u.payment_id, u.status, u.approved_minor, u.response, u.processor_code,
    u.processor_text, u.approval_code, u.avs_result, u.cvv_result
FROM new_key AS n
INNER JOIN idempotency AS i
    ON n.merchant_id = i.merchant_id AND n.face = i.face AND n.key = i.key
LEFT JOIN outcome AS u ON i.merchant_id = u.merchant_id AND i.operation_id = u.id
WHERE i.operation_id <> n.operation_id;
