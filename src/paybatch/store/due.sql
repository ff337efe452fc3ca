-- name: open_due
-- What is due by the day of the payment's gate and was not handed over. What a fraud score holds
-- is not captured until a person accepts it, nor while a reversal is prepared or in doubt.
COPY (
    SELECT
        s.name AS sender, m.name AS merchant, d.merchant_id, d.payment_id, d.kind,
        d.due_on
    FROM due AS d
    INNER JOIN payment AS p ON d.merchant_id = p.merchant_id AND d.payment_id = p.id
    INNER JOIN operation AS o ON p.merchant_id = o.merchant_id AND p.id = o.id
    INNER JOIN sender AS s ON o.sender_id = s.id
    INNER JOIN merchant AS m ON p.merchant_id = m.id
    INNER JOIN
        unnest(%(gate_ids)s::integer [], %(days)s::date []) AS g (id, day)
        ON p.gate_id = g.id
    WHERE
        d.batch_id IS NULL AND d.due_on <= g.day
        AND p.captured + p.released < p.authorized
        AND (p.state = 'approved' OR (p.state = 'challenged' AND d.kind = 'expire'))
        AND ((p.prepared = 0 AND p.reserved_void = 0) OR d.kind = 'expire')
    ORDER BY d.merchant_id, d.payment_id, d.kind, d.due_on
    LIMIT %(limit)s
) TO STDOUT (FORMAT csv);

-- name: drop_idle_due
-- Forgets what is due on payments of which nothing is held any more.
DELETE FROM due AS d USING payment AS p
WHERE
    d.batch_id IS NULL AND d.due_on <= %(day)s
    AND d.merchant_id = p.merchant_id AND d.payment_id = p.id
    AND (p.captured + p.released >= p.authorized OR p.state NOT IN ('approved', 'challenged'));

-- name: hand_over
-- Notes which system batch does what was due.
UPDATE due AS d SET batch_id = %(batch_id)s
FROM
    unnest(
        %(merchant_ids)s::integer [], %(payment_ids)s::bigint [], %(kinds)s::text [],
        %(days)s::date []
    ) AS w (merchant_id, payment_id, kind, due_on)
WHERE
    d.merchant_id = w.merchant_id AND d.payment_id = w.payment_id
    AND d.kind = w.kind AND d.due_on = w.due_on AND d.batch_id IS NULL;

-- name: returned_debits
-- Debits that were taken from accounts at these banks of a gate, made on or before the last day,
-- and not returned yet; what was refunded meanwhile is no matter of the payer's bank.
COPY (
    SELECT
        s.name AS sender, m.name AS merchant, p.merchant_id, p.id AS payment_id,
        'debit_return' AS kind, g.day AS due_on, g.code AS return_code
    FROM payment AS p
    INNER JOIN operation AS o ON p.merchant_id = o.merchant_id AND p.id = o.id
    INNER JOIN sender AS s ON o.sender_id = s.id
    INNER JOIN merchant AS m ON p.merchant_id = m.id
    INNER JOIN
        unnest(
            %(gate_ids)s::integer [], %(bank_codes)s::text [], %(codes)s::text [],
            %(last_days)s::date [], %(days)s::date []
        ) AS g (id, bank_code, code, last_day, day)
        ON p.gate_id = g.id AND o.bank_code = g.bank_code
    WHERE
        p.made_on <= g.last_day AND p.brand = 'bank' AND p.state = 'approved'
        AND NOT p.is_payout
        AND p.captured > p.cancelled AND p.returned = 0
    ORDER BY p.merchant_id, p.id
    LIMIT %(limit)s
) TO STDOUT (FORMAT csv);

-- name: lapsed_holds
-- Payments by card whose hold is over: made on or before the last day of their gate and brand
-- (a null brand stands for all others). What is under way on them is waited for.
COPY (
    SELECT
        s.name AS sender, m.name AS merchant, p.merchant_id, p.id AS payment_id,
        'expire' AS kind, g.day AS due_on
    FROM payment AS p
    INNER JOIN operation AS o ON p.merchant_id = o.merchant_id AND p.id = o.id
    INNER JOIN sender AS s ON o.sender_id = s.id
    INNER JOIN merchant AS m ON p.merchant_id = m.id
    INNER JOIN
        unnest(
            %(gate_ids)s::integer [], %(brands)s::text [], %(last_days)s::date [], %(days)s::date []
        ) AS g (id, brand, last_day, day)
        ON p.gate_id = g.id
    WHERE
        p.made_on <= g.last_day
        AND p.captured + p.released < p.authorized
        AND p.state IN ('approved', 'challenged')
        AND p.reserved_capture = 0 AND p.reserved_void = 0
        AND p.brand IS NOT NULL AND p.brand <> 'bank'
        AND (
            g.brand = p.brand
            OR (
                g.brand IS NULL
                AND NOT EXISTS (
                    SELECT 1
                    FROM unnest(%(gate_ids)s::integer [], %(brands)s::text []) AS r (id, brand)
                    WHERE r.id = p.gate_id AND r.brand = p.brand
                )
            )
        )
    ORDER BY p.merchant_id, p.id
    LIMIT %(limit)s
) TO STDOUT (FORMAT csv);
