-- name: copy_attempts
-- Notes tries before the first byte of them leaves.
COPY attempt (
    merchant_id, operation_id, batch_id, chunk_number, gate_id, key, act, amount_minor, payment_id,
    state, next_look_at, created_at
) FROM STDIN (FORMAT csv);

-- name: mark_unknown
-- No clear answer came to these tries: they are asked about from a time on.
UPDATE attempt AS a SET state = 'unknown', next_look_at = %(next_look_at)s, sent_at = %(sent_at)s
FROM unnest(%(merchant_ids)s::integer [], %(operation_ids)s::bigint []) AS w (merchant_id, id)
WHERE a.merchant_id = w.merchant_id AND a.operation_id = w.id AND a.state = 'sending'
RETURNING a.operation_id;

-- name: abandon_chunk
-- What a worker that is gone had under way in a chunk is unknown: its tries without an outcome.
UPDATE attempt AS a SET
    state = 'unknown', next_look_at = %(next_look_at)s, sent_at = %(next_look_at)s
FROM operation AS o
WHERE
    a.merchant_id = o.merchant_id AND a.operation_id = o.id
    AND a.merchant_id = ANY(%(merchant_ids)s)
    AND a.operation_id BETWEEN %(first_id)s AND %(last_id)s
    AND a.chunk_number = %(chunk_number)s
    AND a.state = 'sending'
    AND NOT EXISTS (
        SELECT 1 FROM outcome AS u
        WHERE u.merchant_id = a.merchant_id AND u.id = a.operation_id
    )
RETURNING a.merchant_id, a.operation_id, a.act, o.kind, o.currency, o.amount_minor;

-- name: in_doubt
-- What of a batch is unknown: the operation, and the payment that it acts on.
SELECT merchant_id, operation_id, payment_id FROM attempt
WHERE batch_id = %(batch_id)s AND state IN ('unknown', 'person');

-- name: take_due
-- Takes tries that are to be asked about now; nobody else does so until a time. Those of a gate
-- whose breaker is open wait for it; those of other connectors for a worker that has them.
-- Closes of day go on by themselves (`closing.sql`).
UPDATE attempt AS a SET
    state = 'unknown', looks = a.looks + 1, next_look_at = %(until)s, asked_until = %(until)s
FROM (
    SELECT d.merchant_id, d.operation_id, d.number, d.state FROM attempt AS d
    WHERE
        (d.state = 'unknown' OR (d.state = 'sending' AND d.chunk_number IS NULL))
        AND d.next_look_at <= %(now)s
        AND EXISTS (
            SELECT 1 FROM gate AS g
            WHERE
                g.merchant_id = d.merchant_id AND g.id = d.gate_id
                AND g.connector = ANY(%(connectors)s)
        )
        AND NOT EXISTS (
            SELECT 1 FROM breaker AS b
            WHERE
                b.merchant_id = d.merchant_id AND b.gate_id = d.gate_id
                AND b.state = 'open' AND b.retry_at > %(now)s
        )
        AND NOT EXISTS (
            SELECT 1 FROM closing AS c
            WHERE c.merchant_id = d.merchant_id AND c.operation_id = d.operation_id
        )
    ORDER BY d.next_look_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) AS w
WHERE
    a.merchant_id = w.merchant_id AND a.operation_id = w.operation_id AND a.number = w.number
RETURNING
    a.merchant_id, a.operation_id, a.batch_id, a.chunk_number, a.gate_id, a.key, a.act,
    a.amount_minor, a.payment_id, a.looks, w.state, a.created_at,
    a.sent_at;

-- name: take_of_payments
-- Takes what is unknown of these payments, to be asked about now; nobody else does so until a time.
-- Only what acted as one of these kinds, where they are given.
UPDATE attempt AS a SET
    state = 'unknown', looks = a.looks + 1, next_look_at = %(until)s, asked_until = %(until)s
FROM (
    SELECT d.merchant_id, d.operation_id, d.number, d.state FROM attempt AS d
    INNER JOIN
        unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS p (merchant_id, id)
        ON d.merchant_id = p.merchant_id AND p.id IN (d.operation_id, d.payment_id)
    WHERE
        d.state IN ('unknown', 'person')
        AND (d.asked_until IS NULL OR d.asked_until <= %(now)s)
        AND (%(acts)s::text [] IS NULL OR d.act = ANY(%(acts)s))
    ORDER BY d.merchant_id, d.operation_id
    FOR UPDATE OF d SKIP LOCKED
) AS w
WHERE
    a.merchant_id = w.merchant_id AND a.operation_id = w.operation_id AND a.number = w.number
RETURNING
    a.merchant_id, a.operation_id, a.batch_id, a.chunk_number, a.gate_id, a.key, a.act,
    a.amount_minor, a.payment_id, a.looks, w.state, a.created_at,
    a.sent_at;

-- name: standing
-- How tries stand: how their operation ended, or what it waits for.
SELECT a.merchant_id, a.operation_id, coalesce(u.state, a.state) AS state
FROM attempt AS a
INNER JOIN
    unnest(%(merchant_ids)s::integer [], %(operation_ids)s::bigint []) AS w (merchant_id, id)
    ON a.merchant_id = w.merchant_id AND a.operation_id = w.id
LEFT JOIN outcome AS u ON a.merchant_id = u.merchant_id AND a.operation_id = u.id;

-- name: unknown_payments
-- Those of these payments of which something is unknown.
SELECT DISTINCT p.merchant_id, p.id
FROM attempt AS d
INNER JOIN
    unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS p (merchant_id, id)
    ON d.merchant_id = p.merchant_id AND p.id IN (d.operation_id, d.payment_id)
WHERE d.state IN ('unknown', 'person');

-- name: makers
-- The known tries that made these payments.
SELECT
    a.merchant_id, a.operation_id, a.batch_id, a.chunk_number, a.gate_id, a.key, a.act,
    a.amount_minor, a.payment_id, a.looks, a.state, a.created_at, a.sent_at
FROM attempt AS a
INNER JOIN
    unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS p (merchant_id, id)
    ON a.merchant_id = p.merchant_id AND a.operation_id = p.id
WHERE
    a.state <> 'unknown' AND a.state <> 'person'
    AND EXISTS (
        SELECT 1 FROM outcome AS u
        WHERE u.merchant_id = a.merchant_id AND u.id = a.operation_id
    );

-- name: hasten
-- Lets what is unknown be asked about at once: all of it, or only these operations. What somebody
-- asks about right now stays as it is.
UPDATE attempt SET state = 'unknown', next_look_at = %(now)s
WHERE
    merchant_id = ANY(%(merchant_ids)s) AND state IN ('unknown', 'person')
    AND (%(operation_ids)s::bigint [] IS NULL OR operation_id = ANY(%(operation_ids)s))
    AND (asked_until IS NULL OR asked_until <= %(now)s);

-- name: set_next_look
-- When a try is asked about again; a null time = a person must decide. sent_at is null if it was
-- not sent again.
UPDATE attempt SET
    state = CASE WHEN %(next_look_at)s::timestamptz IS NULL THEN 'person' ELSE 'unknown' END,
    next_look_at = %(next_look_at)s,
    asked_until = NULL,
    sent_at = coalesce(%(sent_at)s, sent_at)
WHERE
    merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s
    AND looks = %(looks)s AND state = 'unknown';

-- name: close_attempts
-- These tries are known now; gives those that nobody else has closed or taken meanwhile.
UPDATE attempt AS a SET state = 'known', next_look_at = NULL, asked_until = NULL
FROM
    unnest(%(merchant_ids)s::integer [], %(operation_ids)s::bigint [], %(looks)s::smallint [])
        AS w (merchant_id, id, looks)
WHERE
    a.merchant_id = w.merchant_id AND a.operation_id = w.id AND a.looks = w.looks
    AND a.state <> 'known'
RETURNING a.operation_id;

-- name: drop_attempts
-- Tries that never left the house are as if they had not been made.
DELETE FROM attempt AS a
USING unnest(%(merchant_ids)s::integer [], %(operation_ids)s::bigint []) AS w (merchant_id, id)
WHERE
    a.merchant_id = w.merchant_id AND a.operation_id = w.id AND a.state IN ('sending', 'unknown');

-- name: settled_range
-- Which operations of a range of ids have ended.
SELECT id FROM outcome
WHERE merchant_id = ANY(%(merchant_ids)s) AND id BETWEEN %(first_id)s AND %(last_id)s;

-- name: settled_ordered
-- The same for an ordered chunk.
SELECT u.id FROM operation_subject AS s
INNER JOIN outcome AS u ON s.merchant_id = u.merchant_id AND s.operation_id = u.id
WHERE s.batch_id = %(batch_id)s AND s.chunk_number = %(chunk_number)s;

-- name: claim_ids
-- Operations as a claim reads them, by their ids.
COPY (
    SELECT
        o.merchant_id, o.id, o.line, o.kind, o.gate_id, o.amount_minor, o.currency,
        coalesce(o.payment_id, s.payment_id) AS payment_id, o.payment_reference, s.reason, o.final,
        encode(uuid_send(o.number_id), 'hex') AS number_id, o.brand, o.masked, o.expiry,
        o.bank_code, o.account_type, o.sec_code, o.has_secret
    FROM operation AS o
    INNER JOIN
        unnest(%(merchant_ids)s::integer [], %(operation_ids)s::bigint []) AS w (merchant_id, id)
        ON o.merchant_id = w.merchant_id AND o.id = w.id
    LEFT JOIN operation_subject AS s
        ON o.merchant_id = s.merchant_id AND o.id = s.operation_id
    ORDER BY o.id
) TO STDOUT (FORMAT csv);

-- name: cells_of_lines
-- One cell of the texts of some lines, which may be far apart.
COPY (
    SELECT t.line, nullif(split_part(t.cells, E'\x1f', %(place)s), '')
    FROM row_text AS t
    WHERE t.batch_id = %(batch_id)s AND t.line = ANY(%(lines)s::bigint [])
) TO STDOUT (FORMAT csv);

-- name: secrets_of_lines
-- The sealed secrets of the chunks in which these lines are, and of no other.
SELECT s.chunk_number, s.sealed, s.created_at FROM secret_block AS s
WHERE
    s.batch_id = %(batch_id)s
    AND EXISTS (
        SELECT 1 FROM unnest(%(lines)s::bigint []) AS w (line)
        WHERE w.line BETWEEN s.first_line AND s.last_line
    )
ORDER BY s.chunk_number
FOR UPDATE OF s;

-- name: list_unknown
-- What is unknown, oldest first, with what was asked for.
SELECT
    a.merchant_id, m.name AS merchant, a.operation_id, a.batch_id, a.chunk_number,
    g.name AS gate, a.act, a.amount_minor, o.currency, a.payment_id, o.reference, o.masked, a.state,
    a.looks, a.next_look_at, a.created_at
FROM attempt AS a
INNER JOIN merchant AS m ON a.merchant_id = m.id
INNER JOIN gate AS g ON a.merchant_id = g.merchant_id AND a.gate_id = g.id
INNER JOIN operation AS o ON a.merchant_id = o.merchant_id AND a.operation_id = o.id
WHERE a.state IN ('unknown', 'person') AND a.merchant_id = ANY(%(merchant_ids)s)
ORDER BY a.created_at, a.operation_id
LIMIT %(limit)s;

-- name: find_one
-- One try with where it stands, whoever asks about it.
SELECT
    merchant_id, operation_id, batch_id, chunk_number, gate_id, key, act, amount_minor, payment_id,
    looks, state, created_at, sent_at
FROM attempt
WHERE merchant_id = ANY(%(merchant_ids)s) AND operation_id = %(operation_id)s;

-- name: take_one
-- Takes one unknown try for a person's decision, unless somebody asks about it right now. A look-up
-- that took it before cannot settle it any more.
UPDATE attempt SET state = 'person', looks = looks + 1, next_look_at = NULL, asked_until = NULL
WHERE
    merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s
    AND state IN ('unknown', 'person')
    AND (asked_until IS NULL OR asked_until <= %(now)s)
RETURNING
    merchant_id, operation_id, batch_id, chunk_number, gate_id, key, act, amount_minor, payment_id,
    looks, 'unknown', created_at, sent_at;
