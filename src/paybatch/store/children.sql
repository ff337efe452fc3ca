-- name: insert_children
-- Makes an operation for each payment of some gates that has an open hold, or for each of those
-- that are chosen, at lines that follow each other; and gives what they are by currency. They come
-- from their parent: sender, batch and merchant are its own.
WITH chosen AS MATERIALIZED (
    SELECT
        p.id, p.gate_id, p.currency, d.amount_minor,
        p.authorized - p.captured - p.released - p.reserved_capture - p.reserved_void AS open_minor,
        row_number() OVER (ORDER BY p.id) AS place
    FROM payment AS p
    LEFT JOIN
        unnest(%(differing_ids)s::bigint [], %(differing_minor)s::bigint []) AS d (id, amount_minor)
        ON p.id = d.id
    WHERE
        p.merchant_id = %(merchant_id)s AND p.gate_id = ANY(%(gate_ids)s)
        AND (%(since_on)s::date IS NULL OR p.business_day >= %(since_on)s)
        AND (%(until_on)s::date IS NULL OR p.business_day <= %(until_on)s)
        AND CASE
            WHEN %(chosen_ids)s::bigint [] IS NOT NULL THEN p.id = ANY(%(chosen_ids)s)
            ELSE
                p.state = 'approved' AND NOT p.is_payout AND p.charged_back <= p.represented
                AND p.prepared = 0
                AND p.authorized - p.captured - p.released > p.reserved_capture + p.reserved_void
        END
),

made AS (
    INSERT INTO operation (
        merchant_id, id, batch_id, line, sender_id, kind, gate_id, accepted, payment_id,
        amount_minor, currency, final, has_secret, created_at, parent_id
    )
    SELECT
        o.merchant_id, %(first_id)s::bigint + c.place - 1 AS id, o.batch_id,
        %(first_line)s::bigint + c.place - 1 AS line, o.sender_id, %(kind)s AS kind, c.gate_id,
        TRUE AS accepted, c.id AS payment_id, c.amount_minor, c.currency,
        coalesce(o.final, TRUE) AS final, FALSE AS has_secret, %(at)s::timestamptz AS created_at,
        o.id AS parent_id
    FROM operation AS o
    CROSS JOIN chosen AS c
    WHERE o.merchant_id = %(merchant_id)s AND o.id = %(parent_id)s
)

SELECT
    currency, count(*) AS row_count, count(amount_minor) AS differing_count,
    sum(coalesce(amount_minor, open_minor))::bigint AS amount_minor
FROM chosen
GROUP BY currency
ORDER BY currency;

-- name: gates_of_payments
-- At which gates these payments were made.
SELECT id, gate_id FROM payment
WHERE merchant_id = %(merchant_id)s AND id = ANY(%(payment_ids)s);

-- name: has_due
-- Whether anything at these gates waits to be settled.
SELECT EXISTS (
    SELECT 1 FROM payment AS p
    WHERE
        p.merchant_id = %(merchant_id)s AND p.gate_id = ANY(%(gate_ids)s)
        AND (p.captured - p.cancelled > p.settled OR p.refunded > p.refund_settled)
);

-- name: children_of
-- Where the children of a batch's rows end: their last line, if there are any, and the last chunk.
SELECT max(last_line) FILTER (WHERE kind = 'children') AS last_line, max(number) AS number
FROM chunk WHERE batch_id = %(batch_id)s;

-- name: make_room
-- Makes room behind a phase for others.
UPDATE chunk SET phase = phase + %(phases)s
WHERE batch_id = %(batch_id)s AND phase > %(phase)s AND state = 'loaded';

-- name: lines_of_children
-- Where the children of a row stand that its totals follow: their chunks are of the phase before.
SELECT min(first_line) AS first_line, max(last_line) AS last_line
FROM chunk
WHERE batch_id = %(batch_id)s AND kind = 'children' AND phase = %(phase)s;

-- name: totals_of_children
-- What became of children, by gate and currency: what was captured, what of the holds was released
-- with it, how many ended in another way, and of how many it is not known yet.
WITH freed AS (
    SELECT t.operation_id, sum(t.amount_minor)::bigint AS freed_minor
    FROM transfer AS t
    INNER JOIN account AS a ON t.merchant_id = a.merchant_id AND t.credit_account_id = a.id
    WHERE
        t.merchant_id = %(merchant_id)s AND t.operation_id BETWEEN %(first_id)s AND %(last_id)s
        AND a.name = 'hold'
    GROUP BY t.operation_id
)

SELECT
    o.gate_id, o.currency,
    count(*) FILTER (WHERE u.state = 'approved') AS sale_count,
    coalesce(sum(u.approved_minor) FILTER (WHERE u.state = 'approved'), 0)::bigint AS sale_minor,
    count(*) FILTER (WHERE f.freed_minor > u.approved_minor) AS void_count,
    coalesce(
        sum(f.freed_minor - u.approved_minor) FILTER (WHERE f.freed_minor > u.approved_minor), 0
    )::bigint AS void_minor,
    count(*) FILTER (WHERE u.state = 'declined') AS declined_count,
    count(*) FILTER (WHERE u.state = 'failed') AS failed_count,
    count(*) FILTER (WHERE u.state = 'rejected') AS rejected_count,
    count(*) FILTER (WHERE u.state = 'cancelled') AS cancelled_count,
    count(*) FILTER (WHERE u.state IS NULL) AS unknown_count
FROM operation AS o
LEFT JOIN outcome AS u
    ON
        o.merchant_id = u.merchant_id AND o.id = u.id
        AND u.merchant_id = %(merchant_id)s AND u.id BETWEEN %(first_id)s AND %(last_id)s
LEFT JOIN freed AS f ON o.id = f.operation_id
WHERE o.merchant_id = %(merchant_id)s AND o.id BETWEEN %(first_id)s AND %(last_id)s
GROUP BY o.gate_id, o.currency
ORDER BY o.gate_id, o.currency;

-- name: list_children
-- The operations that the rows of a batch made, with what became of them.
SELECT
    o.line, o.parent_id, o.id, o.kind, o.payment_id, g.name AS gate, o.amount_minor, o.currency,
    coalesce(u.state, 'queued') AS state, u.reason, u.message, u.approved_minor, u.processor_code
FROM operation AS o
INNER JOIN gate AS g ON o.merchant_id = g.merchant_id AND o.gate_id = g.id
LEFT JOIN outcome AS u ON o.merchant_id = u.merchant_id AND o.id = u.id
WHERE
    o.merchant_id = ANY(%(merchant_ids)s)
    AND o.id BETWEEN %(first_id)s AND %(last_id)s
    AND (%(states)s::text [] IS NULL OR coalesce(u.state, 'queued') = ANY(%(states)s))
ORDER BY o.id
LIMIT %(limit)s;
