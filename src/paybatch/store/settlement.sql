-- name: lock_gates
-- Locks gates in the order of their ids, and gives where they stand.
SELECT id, state, business_day, close_count FROM gate
WHERE merchant_id = %(merchant_id)s AND id = ANY(%(gate_ids)s)
ORDER BY id
FOR UPDATE;

-- name: shut_gates
-- Lets open gates be closing, by an operation.
UPDATE gate SET state = 'closing', closed_by = %(closed_by)s
WHERE merchant_id = %(merchant_id)s AND id = ANY(%(gate_ids)s) AND state = 'open';

-- name: open_gates
-- Opens gates that are closing by this operation, or by any.
UPDATE gate SET state = 'open', closed_by = NULL
WHERE
    merchant_id = %(merchant_id)s AND id = ANY(%(gate_ids)s) AND state = 'closing'
    AND closed_by = coalesce(%(closed_by)s::bigint, closed_by)
RETURNING name;

-- name: open_day
-- Opens the day after a close. A close that was answered late takes no gate back to an earlier day.
UPDATE gate SET
    business_day = greatest(business_day, %(business_day)s), close_count = close_count + 1
WHERE merchant_id = %(merchant_id)s AND id = %(gate_id)s;

-- name: settle_payments
-- Settles what is due at gates, locked in the order of the payments' keys as claims lock them, and
-- sums it up. What is due was taken (captured; for a payout: given) or refunded.
-- What a void that is under way may still undo falls into the day in which that is known.
WITH due AS MATERIALIZED (
    SELECT
        p.merchant_id, p.id, p.gate_id, p.currency, p.is_payout,
        p.captured - p.cancelled - p.settled AS taken, p.refunded - p.refund_settled AS refunded
    FROM payment AS p
    WHERE
        p.merchant_id = %(merchant_id)s AND p.gate_id = ANY(%(gate_ids)s)
        AND (p.captured - p.cancelled > p.settled OR p.refunded > p.refund_settled)
        AND p.reserved_void = 0
    ORDER BY p.merchant_id, p.id
    FOR UPDATE
),

done AS (
    UPDATE payment AS p SET settled = p.captured - p.cancelled, refund_settled = p.refunded
    FROM due AS d
    WHERE p.merchant_id = d.merchant_id AND p.id = d.id
    RETURNING
        d.gate_id, d.currency,
        CASE WHEN d.is_payout THEN 0 ELSE d.taken END AS sale,
        CASE WHEN d.is_payout THEN d.taken ELSE 0 END + d.refunded AS refund
)

SELECT
    gate_id, currency,
    count(*) FILTER (WHERE sale > 0) AS sale_count, sum(sale)::bigint AS sale_minor,
    count(*) FILTER (WHERE refund > 0) AS refund_count, sum(refund)::bigint AS refund_minor
FROM done
GROUP BY gate_id, currency
ORDER BY gate_id, currency;

-- name: insert_settlement
-- Keeps what a close moved in one currency.
INSERT INTO settlement (
    merchant_id, gate_id, number, currency, operation_id, business_day, sale_count, sale_minor,
    refund_count, refund_minor, net_minor, response, processor_code, processor_text, approval_code,
    reached_at, created_at
) VALUES (
    %(merchant_id)s, %(gate_id)s, %(number)s, %(currency)s, %(operation_id)s, %(business_day)s,
    %(sale_count)s, %(sale_minor)s, %(refund_count)s, %(refund_minor)s, %(net_minor)s,
    %(response)s, %(processor_code)s, %(processor_text)s, %(approval_code)s,
    %(reached_at)s, %(created_at)s
);

-- name: last_settlements
-- The last close of each gate of these merchants, by currency.
SELECT
    s.gate_id, s.number, s.business_day, s.currency, s.sale_count, s.sale_minor, s.refund_count,
    s.refund_minor, s.net_minor, s.response, s.processor_code, s.processor_text, s.approval_code,
    s.created_at
FROM settlement AS s
INNER JOIN gate AS g
    ON s.merchant_id = g.merchant_id AND s.gate_id = g.id AND s.number = g.close_count
WHERE s.merchant_id = ANY(%(merchant_ids)s)
ORDER BY s.gate_id, s.currency;
