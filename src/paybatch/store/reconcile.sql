-- name: gate_calls
-- The calls of a gate from a time on, with what became of them, what the processor said, and how
-- much of it was money that was taken or given: that is what its processor's settlement lists.
COPY (
    SELECT
        a.key, a.operation_id, a.act, coalesce(u.state, a.state),
        coalesce(o.currency, p.currency), u.approved_minor, u.response,
        extract(EPOCH FROM u.settled_at)::float8,
        coalesce((
            SELECT sum(t.amount_minor)::bigint FROM transfer AS t
            INNER JOIN account AS c
                ON
                    t.merchant_id = c.merchant_id
                    AND c.id IN (t.debit_account_id, t.credit_account_id)
            WHERE
                t.merchant_id = a.merchant_id AND t.operation_id = a.operation_id
                AND c.name = 'receivable'
        ), 0)
    FROM attempt AS a
    INNER JOIN operation AS o ON a.merchant_id = o.merchant_id AND a.operation_id = o.id
    LEFT JOIN outcome AS u ON a.merchant_id = u.merchant_id AND a.operation_id = u.id
    LEFT JOIN payment AS p
        ON a.merchant_id = p.merchant_id AND p.id = coalesce(a.payment_id, a.operation_id)
    WHERE
        a.merchant_id = %(merchant_id)s AND a.gate_id = %(gate_id)s
        AND a.created_at > %(since)s
        AND NOT EXISTS (
            SELECT 1 FROM settlement AS s
            WHERE s.merchant_id = a.merchant_id AND s.operation_id = a.operation_id
        )
) TO STDOUT (FORMAT csv);

-- name: settlement_window
-- From when to when a close of a gate's day reached, in each currency: the last one, or this one.
SELECT s.number, s.currency, b.created_at AS since, s.created_at AS until
FROM settlement AS s
LEFT JOIN LATERAL (
    SELECT max(e.created_at) AS created_at FROM settlement AS e
    WHERE
        e.merchant_id = s.merchant_id AND e.gate_id = s.gate_id AND e.currency = s.currency
        AND e.number < s.number
) AS b ON TRUE
WHERE
    s.merchant_id = %(merchant_id)s AND s.gate_id = %(gate_id)s
    AND s.number = coalesce(
        %(number)s::integer,
        (
            SELECT max(l.number) FROM settlement AS l
            WHERE l.merchant_id = %(merchant_id)s AND l.gate_id = %(gate_id)s
        )
    )
ORDER BY s.currency;
