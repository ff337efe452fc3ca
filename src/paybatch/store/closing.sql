-- name: insert_closing
-- A close of day at processors outside begins: its gates are closing.
INSERT INTO closing (
    merchant_id, operation_id, gate_ids, phase, state, drain_until, expected_sale_count,
    expected_sale_minor, expected_refund_count, expected_refund_minor
) VALUES (
    %(merchant_id)s, %(operation_id)s, %(gate_ids)s, %(phase)s, 'draining', %(drain_until)s,
    %(expected_sale_count)s, %(expected_sale_minor)s, %(expected_refund_count)s,
    %(expected_refund_minor)s
);

-- name: take_closing
-- Takes one close that is to go on now, any or this one; nobody else does so until a time. One
-- whose connector is not installed here is left to a worker that has it.
UPDATE attempt AS a SET
    looks = a.looks + 1, next_look_at = %(until)s, asked_until = %(until)s
FROM (
    SELECT d.merchant_id, d.operation_id, d.number FROM closing AS c
    INNER JOIN attempt AS d ON c.merchant_id = d.merchant_id AND c.operation_id = d.operation_id
    WHERE
        d.state = 'unknown' AND d.next_look_at <= %(now)s
        AND (%(operation_id)s::bigint IS NULL OR d.operation_id = %(operation_id)s)
        AND NOT EXISTS (
            SELECT 1 FROM gate AS g
            WHERE
                g.merchant_id = c.merchant_id AND g.id = ANY(c.gate_ids)
                AND NOT g.connector = ANY(%(connectors)s)
        )
    ORDER BY d.next_look_at
    LIMIT 1
    FOR UPDATE OF d SKIP LOCKED
) AS w
WHERE
    a.merchant_id = w.merchant_id AND a.operation_id = w.operation_id AND a.number = w.number
RETURNING
    a.merchant_id, a.operation_id, a.batch_id, a.chunk_number, a.looks, a.created_at, a.sent_at;

-- name: hold_closing
-- Where a close stands, locked; nothing when it is over, or when somebody else took it meanwhile.
SELECT
    c.gate_ids, c.phase, c.state, c.drain_until, c.told_at, c.expected_sale_count,
    c.expected_sale_minor, c.expected_refund_count, c.expected_refund_minor, c.left_open
FROM closing AS c
INNER JOIN attempt AS a ON c.merchant_id = a.merchant_id AND c.operation_id = a.operation_id
WHERE
    c.merchant_id = %(merchant_id)s AND c.operation_id = %(operation_id)s
    AND a.looks = %(looks)s AND a.state IN ('unknown', 'person')
FOR UPDATE OF c, a;

-- name: is_closing
-- Whether an operation is a close that is under way.
SELECT EXISTS (
    SELECT 1 FROM closing
    WHERE merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s
);

-- name: under_way
-- The closes that are under way at any of these gates.
SELECT operation_id FROM closing
WHERE merchant_id = %(merchant_id)s AND gate_ids && %(gate_ids)s::integer []
ORDER BY operation_id;

-- name: calls_in_flight
-- Whether calls at gates are under way: those of chunks that workers are sending, and single ones.
SELECT EXISTS (
    SELECT 1 FROM chunk AS c
    INNER JOIN attempt AS a
        ON
            a.merchant_id = %(merchant_id)s AND c.batch_id = a.batch_id
            AND c.number = a.chunk_number
            AND a.operation_id BETWEEN c.batch_id << 30 AND (c.batch_id + 1 << 30) - 1
            AND (
                c.kind = 'ordered'
                OR a.operation_id - (c.batch_id << 30) BETWEEN c.first_line AND c.last_line
            )
    WHERE
        c.state = 'sending' AND c.merchant_ids @> ARRAY[%(merchant_id)s::integer]
        AND a.state = 'sending' AND a.gate_id = ANY(%(gate_ids)s)
        AND NOT EXISTS (
            SELECT 1 FROM outcome AS u
            WHERE u.merchant_id = a.merchant_id AND u.id = a.operation_id
        )
) OR EXISTS (
    SELECT 1 FROM attempt AS a
    WHERE
        a.state = 'sending' AND a.chunk_number IS NULL AND a.next_look_at IS NOT NULL
        AND a.merchant_id = %(merchant_id)s AND a.gate_id = ANY(%(gate_ids)s)
);

-- name: unknown_at_gates
-- What is unknown at gates, but for a close itself; the first ones of it, and how many there are.
SELECT a.operation_id, a.act, a.amount_minor, o.currency, count(*) OVER () AS total
FROM attempt AS a
INNER JOIN operation AS o ON a.merchant_id = o.merchant_id AND a.operation_id = o.id
WHERE
    a.state IN ('unknown', 'person') AND a.merchant_id = %(merchant_id)s
    AND a.gate_id = ANY(%(gate_ids)s) AND a.operation_id <> %(operation_id)s
ORDER BY a.operation_id
LIMIT %(limit)s;

-- name: reserve_due
-- Reserves what is due at gates for a close, locked in the order of the payments' keys, and sums it
-- up, as `settle_payments` does where nobody outside is asked. Not due is what an earlier close
-- that has no answer yet takes, and what a void that is under way may still undo.
WITH taking AS MATERIALIZED (
    SELECT payment_id, sum(taken)::bigint AS taken, sum(refunded)::bigint AS refunded
    FROM settling WHERE merchant_id = %(merchant_id)s
    GROUP BY payment_id
),

due AS MATERIALIZED (
    SELECT
        p.merchant_id, p.id, p.gate_id, p.currency, p.is_payout,
        p.captured - p.cancelled - p.settled - coalesce(t.taken, 0) AS taken,
        p.refunded - p.refund_settled - coalesce(t.refunded, 0) AS refunded
    FROM payment AS p
    LEFT JOIN taking AS t ON p.id = t.payment_id
    WHERE
        p.merchant_id = %(merchant_id)s AND p.gate_id = ANY(%(gate_ids)s)
        AND (p.captured - p.cancelled > p.settled OR p.refunded > p.refund_settled)
        AND p.reserved_void = coalesce(t.taken, 0)
    ORDER BY p.merchant_id, p.id
    FOR UPDATE OF p
),

kept AS (
    INSERT INTO settling (merchant_id, operation_id, payment_id, taken, refunded)
    SELECT d.merchant_id, %(operation_id)s, d.id, d.taken, d.refunded
    FROM due AS d WHERE d.taken > 0 OR d.refunded > 0
),

held AS (
    UPDATE payment AS p SET reserved_void = p.reserved_void + d.taken
    FROM due AS d
    WHERE p.merchant_id = d.merchant_id AND p.id = d.id AND d.taken > 0
),

sums AS (
    SELECT
        gate_id, currency, CASE WHEN is_payout THEN 0 ELSE taken END AS sale,
        CASE WHEN is_payout THEN taken ELSE 0 END + refunded AS refund
    FROM due WHERE taken > 0 OR refunded > 0
)

SELECT
    gate_id, currency,
    count(*) FILTER (WHERE sale > 0) AS sale_count, sum(sale)::bigint AS sale_minor,
    count(*) FILTER (WHERE refund > 0) AS refund_count, sum(refund)::bigint AS refund_minor
FROM sums
GROUP BY gate_id, currency
ORDER BY gate_id, currency;

-- name: release_due
-- Settles what was reserved for a call of a close, or lets go of it.
WITH due AS MATERIALIZED (
    SELECT p.merchant_id, p.id, s.taken, s.refunded FROM settling AS s
    INNER JOIN payment AS p ON s.merchant_id = p.merchant_id AND s.payment_id = p.id
    WHERE
        s.merchant_id = %(merchant_id)s AND s.operation_id = %(operation_id)s
        AND p.gate_id = %(gate_id)s AND p.currency = %(currency)s
    ORDER BY p.merchant_id, p.id
    FOR UPDATE OF p
),

gone AS (
    DELETE FROM settling AS s USING due AS d
    WHERE
        s.merchant_id = d.merchant_id AND s.operation_id = %(operation_id)s
        AND s.payment_id = d.id
)

UPDATE payment AS p SET
    settled = p.settled + CASE WHEN %(is_settled)s THEN d.taken ELSE 0 END,
    refund_settled = p.refund_settled + CASE WHEN %(is_settled)s THEN d.refunded ELSE 0 END,
    reserved_void = p.reserved_void - d.taken
FROM due AS d
WHERE p.merchant_id = d.merchant_id AND p.id = d.id;

-- name: tell_closing
-- What is due is reserved and the processors are about to be told; with what was left open.
UPDATE closing SET state = 'told', told_at = %(told_at)s, left_open = %(left_open)s
WHERE merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s;

-- name: insert_call
-- A call that a processor is about to get.
INSERT INTO closing_call (
    merchant_id, operation_id, number, gate_id, currency, key, business_day, sale_count,
    sale_minor, refund_count, refund_minor, result, response
) VALUES (
    %(merchant_id)s, %(operation_id)s, %(number)s, %(gate_id)s, %(currency)s, %(key)s,
    %(business_day)s, %(sale_count)s, %(sale_minor)s, %(refund_count)s, %(refund_minor)s,
    %(result)s, %(response)s
);

-- name: answer_call
-- The answer to a call is known.
UPDATE closing_call SET
    result = %(result)s, response = %(response)s, processor_code = %(processor_code)s,
    processor_text = %(processor_text)s, approval_code = %(approval_code)s
WHERE
    merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s AND number = %(number)s
    AND result IS NULL;

-- name: list_calls
-- The calls of a close, in their order.
SELECT
    number, gate_id, currency, key, business_day, sale_count, sale_minor, refund_count,
    refund_minor, result, response, processor_code, processor_text, approval_code
FROM closing_call
WHERE merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s
ORDER BY number;

-- name: end_calls
-- The calls of a close are over.
DELETE FROM closing_call
WHERE merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s;

-- name: end_closing
-- A close is over.
DELETE FROM closing WHERE merchant_id = %(merchant_id)s AND operation_id = %(operation_id)s;
