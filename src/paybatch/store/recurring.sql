-- name: lock_due
-- Recurring payments of which a date has come by the day of their gate, with their present amounts
-- and what was charged so far. Those that another clock holds are its own.
COPY (
    SELECT
        r.merchant_id, r.payment_id, r.next_on, q.day, r.start_on, r.period, r.every, r.finish_on,
        r.finish_count, b.back_on, coalesce(t.operation_id, r.operation_id) AS terms_id,
        CASE WHEN t.operation_id IS NULL THEN r.amount_minor ELSE t.amount_minor END,
        CASE WHEN t.operation_id IS NULL THEN r.amount_to_minor ELSE t.amount_to_minor END,
        array_to_string(
            CASE WHEN t.operation_id IS NULL THEN r.amounts ELSE t.amounts END, ','
        ),
        n.date_count, n.terms_count
    FROM recurring AS r
    INNER JOIN payment AS p ON r.merchant_id = p.merchant_id AND r.payment_id = p.id
    INNER JOIN gate AS g ON p.merchant_id = g.merchant_id AND p.gate_id = g.id
    INNER JOIN
        unnest(%(gate_ids)s::integer [], %(days)s::date []) AS q (id, day)
        ON p.gate_id = q.id
    CROSS JOIN
        LATERAL (
            SELECT
                (array_agg(c.operation_id ORDER BY c.created_at DESC, c.operation_id DESC))[1]
                    AS operation_id
            FROM recurring_change AS c
            WHERE
                c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id
                AND (c.amount_minor IS NOT NULL OR c.amounts IS NOT NULL)
        ) AS l
    LEFT JOIN recurring_change AS t
        ON r.merchant_id = t.merchant_id AND l.operation_id = t.operation_id
    CROSS JOIN
        LATERAL (
            SELECT max((c.created_at AT TIME ZONE g.zone)::date) AS back_on
            FROM recurring_change AS c
            WHERE c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id AND c.is_back
        ) AS b
    CROSS JOIN
        LATERAL (
            SELECT
                count(*) AS date_count,
                count(*) FILTER (
                    WHERE d.terms_id = coalesce(t.operation_id, r.operation_id)
                ) AS terms_count
            FROM recurring_date AS d
            WHERE d.merchant_id = r.merchant_id AND d.recurring_id = r.payment_id
        ) AS n
    WHERE NOT r.is_over AND r.next_on <= q.day AND p.state = 'recurring_active'
    ORDER BY r.merchant_id, r.payment_id
    LIMIT %(limit)s
    FOR UPDATE OF r SKIP LOCKED
) TO STDOUT (FORMAT csv);

-- name: set_next
-- Notes which date of each comes next; null = none.
UPDATE recurring AS r SET next_on = w.next_on
FROM
    unnest(%(merchant_ids)s::integer [], %(recurring_ids)s::bigint [], %(next_on)s::date [])
        AS w (merchant_id, recurring_id, next_on)
WHERE r.merchant_id = w.merchant_id AND r.payment_id = w.recurring_id;

-- name: ended
-- Recurring payments whose last date is done with, and the day of their gate.
COPY (
    SELECT
        s.name AS sender, m.name AS merchant, r.merchant_id, r.payment_id, g.day
    FROM recurring AS r
    INNER JOIN payment AS p ON r.merchant_id = p.merchant_id AND r.payment_id = p.id
    INNER JOIN operation AS o ON p.merchant_id = o.merchant_id AND p.id = o.id
    INNER JOIN sender AS s ON o.sender_id = s.id
    INNER JOIN merchant AS m ON p.merchant_id = m.id
    INNER JOIN
        unnest(%(gate_ids)s::integer [], %(days)s::date []) AS g (id, day)
        ON p.gate_id = g.id
    WHERE
        NOT r.is_over AND r.next_on IS NULL AND p.state = 'recurring_active'
        AND NOT EXISTS (
            SELECT 1 FROM recurring_date AS d
            WHERE
                d.merchant_id = r.merchant_id AND d.recurring_id = r.payment_id
                AND d.state IN ('open', 'handed_over')
        )
    ORDER BY s.name, r.merchant_id, r.payment_id
    LIMIT %(limit)s
) TO STDOUT (FORMAT csv);

-- name: retire
-- Takes what was stopped or has finished off the clock's list.
UPDATE recurring AS r SET is_over = TRUE, next_on = NULL
FROM payment AS p
WHERE
    NOT r.is_over AND (r.next_on IS NULL OR r.next_on <= %(day)s)
    AND r.merchant_id = p.merchant_id AND r.payment_id = p.id
    AND p.state IN ('recurring_stopped', 'recurring_finished');

-- name: scheme_ids
-- The scheme's id of the first payment that recurring payments, or the rows that made payments,
-- carry. The text of a row stands in the columns of its file, under its dialect's name.
COPY (
    SELECT
        w.merchant_id, w.id,
        coalesce(
            r.scheme_transaction_id, nullif(split_part(t.cells, E'\x1f', p.place), '')
        ) AS scheme_id
    FROM
        unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, id)
    LEFT JOIN recurring AS r ON w.merchant_id = r.merchant_id AND w.id = r.payment_id
    LEFT JOIN operation AS o ON w.merchant_id = o.merchant_id AND w.id = o.id
    LEFT JOIN batch AS b ON o.batch_id = b.id
    CROSS JOIN
        LATERAL (
            SELECT min(c.place)::integer AS place
            FROM unnest(b.columns) WITH ORDINALITY AS c (name, place)
            INNER JOIN unnest(%(dialects)s::text [], %(columns)s::text []) AS d (dialect, name)
                ON b.dialect = d.dialect AND c.name = d.name
        ) AS p
    LEFT JOIN row_text AS t ON p.place IS NOT NULL AND o.batch_id = t.batch_id AND o.line = t.line
    ORDER BY w.merchant_id, w.id
) TO STDOUT (FORMAT csv);

-- name: list_recurring
-- The recurring payments of some merchants, newest first.
SELECT
    r.merchant_id,
    m.name AS merchant,
    g.name AS gate,
    r.payment_id AS id,
    o.reference,
    p.state,
    p.is_payout,
    p.currency, p.brand, n.masked, p.expiry, r.period, r.every, r.start_on, r.finish_on,
    r.finish_count, r.attempts, r.next_on,
    CASE WHEN t.operation_id IS NULL THEN r.amount_minor ELSE t.amount_minor END AS amount_minor,
    CASE
        WHEN t.operation_id IS NULL THEN r.amount_to_minor ELSE t.amount_to_minor
    END AS amount_to_minor,
    CASE WHEN t.operation_id IS NULL THEN r.amounts ELSE t.amounts END AS amounts,
    (
        SELECT count(*) FROM recurring_date AS d
        WHERE
            d.merchant_id = r.merchant_id AND d.recurring_id = r.payment_id
            AND d.state = 'charged'
    ) AS charged_count,
    r.created_at
FROM recurring AS r
INNER JOIN payment AS p ON r.merchant_id = p.merchant_id AND r.payment_id = p.id
INNER JOIN operation AS o ON p.merchant_id = o.merchant_id AND p.id = o.id
INNER JOIN merchant AS m ON p.merchant_id = m.id
INNER JOIN gate AS g ON p.merchant_id = g.merchant_id AND p.gate_id = g.id
CROSS JOIN
    LATERAL (
        SELECT
            (array_agg(c.operation_id ORDER BY c.created_at DESC, c.operation_id DESC))[1]
                AS operation_id
        FROM recurring_change AS c
        WHERE
            c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id
            AND (c.amount_minor IS NOT NULL OR c.amounts IS NOT NULL)
    ) AS l
LEFT JOIN recurring_change AS t
    ON r.merchant_id = t.merchant_id AND l.operation_id = t.operation_id
LEFT JOIN number AS n ON p.merchant_id = n.merchant_id AND p.number_id = n.id
WHERE
    r.merchant_id = ANY(%(merchant_ids)s)
    AND (%(id)s::bigint IS NULL OR r.payment_id = %(id)s)
    AND (%(state)s::text IS NULL OR p.state = %(state)s)
ORDER BY r.created_at DESC, r.payment_id DESC
LIMIT %(limit)s;
