-- name: gate_calls
-- The calls of a gate from a time on, or with these keys, with what became of them, what the
-- processor said, and how much of it was money that was taken or given: that is what its settlement
-- lists.
COPY (
    SELECT
        a.key, a.operation_id, a.act, coalesce(u.state, a.state),
        coalesce(o.currency, p.currency), p.is_payout, u.approved_minor, u.response,
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
        AND (a.created_at > %(since)s::timestamptz OR a.key = ANY(%(keys)s::text []))
        AND NOT EXISTS (
            SELECT 1 FROM settlement AS s
            WHERE s.merchant_id = a.merchant_id AND s.operation_id = a.operation_id
        )
) TO STDOUT (FORMAT csv);

-- name: settlement_window
-- From when to when a close of a gate's day reached, in each currency: the last one, or this one.
-- It begins where the one before it ended, by the times up to which they reached: closes may
-- overlap and end in another order, and one that has no answer yet has taken its part too.
WITH reached AS (
    SELECT currency, number, reached_at FROM settlement
    WHERE merchant_id = %(merchant_id)s AND gate_id = %(gate_id)s
    UNION ALL
    SELECT k.currency, 0, c.told_at FROM closing AS c
    INNER JOIN closing_call AS k
        ON c.merchant_id = k.merchant_id AND c.operation_id = k.operation_id
    WHERE
        k.merchant_id = %(merchant_id)s AND k.gate_id = %(gate_id)s
        AND coalesce(k.result, 'approved') = 'approved'
)

SELECT
    s.number, s.currency, s.sale_minor, s.refund_minor, max(b.reached_at) AS since,
    s.reached_at AS until
FROM settlement AS s
LEFT JOIN reached AS b
    ON s.currency = b.currency AND (b.reached_at, b.number) < (s.reached_at, s.number)
WHERE
    s.merchant_id = %(merchant_id)s AND s.gate_id = %(gate_id)s
    AND s.number = coalesce(
        %(number)s::integer,
        (
            SELECT max(l.number) FROM settlement AS l
            WHERE l.merchant_id = %(merchant_id)s AND l.gate_id = %(gate_id)s
        )
    )
GROUP BY s.number, s.currency, s.sale_minor, s.refund_minor, s.reached_at
ORDER BY s.currency;
