-- name: make_numbers
-- A table of this connection for the numbers of a block.
CREATE TEMPORARY TABLE IF NOT EXISTS new_number (
    merchant_id integer, id uuid, sealed bytea, brand text, masked text, bank_code text
) ON COMMIT DELETE ROWS;

-- name: copy_numbers
-- Fills it.
COPY new_number (merchant_id, id, sealed, brand, masked, bank_code) FROM STDIN (FORMAT csv);

-- name: keep_numbers
-- Stores the numbers that the vault does not have, in the order of their keys.
INSERT INTO number (merchant_id, id, sealed, brand, masked, bank_code)
SELECT merchant_id, id, sealed, brand, masked, bank_code FROM new_number
ORDER BY merchant_id, id
ON CONFLICT (merchant_id, id) DO NOTHING;

-- name: keep_number
-- The same for one number: a table of this connection costs more than a few rows.
INSERT INTO number (merchant_id, id, sealed, brand, masked, bank_code)
VALUES (
    %(merchant_id)s, %(id)s::uuid, %(sealed)s, %(brand)s, %(masked)s, %(bank_code)s
)
ON CONFLICT (merchant_id, id) DO NOTHING;

-- name: known_numbers
-- Which of these numbers the merchant's vault has.
COPY (
    SELECT
        encode(uuid_send(n.id), 'hex'), n.brand, n.masked, n.bank_code
    FROM number AS n
    WHERE n.merchant_id = %(merchant_id)s AND n.id = ANY(%(ids)s::uuid [])
) TO STDOUT (FORMAT csv);

-- name: sealed_numbers
-- The sealed numbers of these ids, for a connector that needs them.
COPY (
    SELECT encode(uuid_send(n.id), 'hex'), encode(n.sealed, 'hex')
    FROM number AS n
    WHERE n.merchant_id = %(merchant_id)s AND n.id = ANY(%(ids)s::uuid [])
) TO STDOUT (FORMAT csv);

-- name: list_numbers
-- A merchant's numbers, masked.
SELECT encode(uuid_send(id), 'hex') AS id, brand, masked, created_at
FROM number WHERE merchant_id = ANY(%(merchant_ids)s) ORDER BY created_at DESC LIMIT %(limit)s;

-- name: put_secrets
-- Stores the sealed secrets of a chunk's rows.
INSERT INTO secret_block (batch_id, chunk_number, first_line, last_line, sealed, created_at)
VALUES (
    %(batch_id)s, %(chunk_number)s, %(first_line)s, %(last_line)s, %(sealed)s, %(created_at)s
);

-- name: secrets_of_lines
-- The sealed secrets of the chunks that were loaded with these lines.
SELECT chunk_number, sealed, created_at FROM secret_block
WHERE
    batch_id = %(batch_id)s AND last_line >= %(first_line)s AND first_line <= %(last_line)s
ORDER BY chunk_number
FOR UPDATE;

-- name: replace_secrets
-- Stores what is left of a chunk's secrets after some of its rows were settled.
UPDATE secret_block SET sealed = %(sealed)s
WHERE batch_id = %(batch_id)s AND chunk_number = %(chunk_number)s;

-- name: drop_secrets
-- Deletes the secrets of a chunk.
DELETE FROM secret_block WHERE batch_id = %(batch_id)s AND chunk_number = %(chunk_number)s;

-- name: drop_batch_secrets
-- Deletes every secret of a batch.
DELETE FROM secret_block WHERE batch_id = %(batch_id)s;

-- name: drop_old_secrets
-- Deletes every secret whose time is over and names its batches. Those of rows that are being
-- settled right now are left to them: they delete it unread.
DELETE FROM secret_block
WHERE
    (batch_id, chunk_number) IN (
        SELECT s.batch_id, s.chunk_number FROM secret_block AS s
        WHERE s.created_at < %(before)s
        FOR UPDATE SKIP LOCKED
    )
RETURNING batch_id;
