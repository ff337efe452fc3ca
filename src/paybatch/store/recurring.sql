-- name: answered_dates
-- Dates whose charge has its answer, or was never taken up by the batch that was to make it. What
-- is under way, or of which nobody knows the outcome, is waited for.
COPY (
    SELECT
        d.merchant_id, d.recurring_id, d.due_on, d.attempt, d.key, r.attempts, u.state, u.response,
        g.day
    FROM recurring_date AS d
    INNER JOIN recurring AS r ON d.merchant_id = r.merchant_id AND d.recurring_id = r.payment_id
    INNER JOIN payment AS p ON d.merchant_id = p.merchant_id AND d.recurring_id = p.id
    INNER JOIN
        unnest(%(gate_ids)s::integer [], %(days)s::date []) AS g (id, day)
        ON p.gate_id = g.id
    INNER JOIN batch AS b ON d.batch_id = b.id
    LEFT JOIN idempotency AS i
        ON d.merchant_id = i.merchant_id AND i.face = 'file' AND d.key = i.key
    LEFT JOIN outcome AS u ON i.merchant_id = u.merchant_id AND i.operation_id = u.id
    WHERE
        d.state = 'handed_over'
        AND (u.state IS NOT NULL OR (i.key IS NULL AND b.finished_at IS NOT NULL))
    ORDER BY d.merchant_id, d.recurring_id, d.due_on
    LIMIT %(limit)s
    FOR UPDATE OF d SKIP LOCKED
) TO STDOUT (FORMAT csv);

-- name: conclude_dates
-- Notes how dates ended, or that they are tried again.
UPDATE recurring_date AS d SET
    state = w.state, response = w.response, attempt = w.attempt, attempt_on = w.attempt_on,
    key = w.new_key
FROM
    unnest(
        %(merchant_ids)s::integer [], %(keys)s::text [], %(recurring_ids)s::bigint [],
        %(days)s::date [], %(states)s::text [], %(responses)s::text [], %(attempts)s::smallint [],
        %(attempts_on)s::date [], %(new_keys)s::text []
    ) AS w (
        merchant_id, key, recurring_id, due_on, state, response, attempt, attempt_on, new_key
    )
WHERE
    d.merchant_id = w.merchant_id AND d.recurring_id = w.recurring_id AND d.due_on = w.due_on
    AND d.state = 'handed_over' AND d.key = w.key;

-- name: drop_dates
-- Gives up the dates of what is not charged any more, and those from before a pause or a failure.
UPDATE recurring_date AS d SET state = 'given_up'
FROM payment AS p, gate AS g
WHERE
    d.state = 'open'
    AND d.merchant_id = p.merchant_id AND d.recurring_id = p.id
    AND p.merchant_id = g.merchant_id AND p.gate_id = g.id
    AND (
        p.state IN ('recurring_failed', 'recurring_stopped', 'recurring_finished')
        OR EXISTS (
            SELECT 1 FROM recurring_change AS c
            WHERE
                c.merchant_id = d.merchant_id AND c.payment_id = d.recurring_id AND c.is_back
                AND (c.created_at AT TIME ZONE g.zone)::date > d.due_on
        )
    );

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
    LEFT JOIN LATERAL (
        SELECT c.operation_id, c.amount_minor, c.amount_to_minor, c.amounts
        FROM recurring_change AS c
        WHERE
            c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id
            AND (c.amount_minor IS NOT NULL OR c.amounts IS NOT NULL)
        ORDER BY c.created_at DESC, c.operation_id DESC
        LIMIT 1
    ) AS t ON TRUE
    CROSS JOIN LATERAL (
        SELECT max((c.created_at AT TIME ZONE g.zone)::date) AS back_on
        FROM recurring_change AS c
        WHERE c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id AND c.is_back
    ) AS b
    CROSS JOIN LATERAL (
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

-- name: give_up_older
-- Gives up what is left of earlier dates: one charge is made for all that was missed.
UPDATE recurring_date AS d SET state = 'given_up'
FROM
    unnest(%(merchant_ids)s::integer [], %(recurring_ids)s::bigint [])
        AS w (merchant_id, recurring_id)
WHERE
    d.merchant_id = w.merchant_id AND d.recurring_id = w.recurring_id AND d.state = 'open';

-- name: add_dates
-- Keeps dates that are to be charged, with their amounts. A date that is there stays as it is.
INSERT INTO recurring_date (
    merchant_id, recurring_id, due_on, amount_minor, terms_id, attempt, attempt_on, key, state
)
SELECT
    w.merchant_id, w.recurring_id, w.due_on, w.amount_minor, w.terms_id, 1 AS attempt, w.attempt_on,
    w.key, 'open' AS state
FROM
    unnest(
        %(merchant_ids)s::integer [], %(recurring_ids)s::bigint [], %(due)s::date [],
        %(amounts)s::bigint [], %(terms_ids)s::bigint [], %(days)s::date [], %(keys)s::text []
    ) AS w (merchant_id, recurring_id, due_on, amount_minor, terms_id, attempt_on, key)
ON CONFLICT (merchant_id, recurring_id, due_on) DO NOTHING;

-- name: set_next
-- Notes which date of each comes next; null = none.
UPDATE recurring AS r SET next_on = w.next_on
FROM
    unnest(%(merchant_ids)s::integer [], %(recurring_ids)s::bigint [], %(next_on)s::date [])
        AS w (merchant_id, recurring_id, next_on)
WHERE r.merchant_id = w.merchant_id AND r.payment_id = w.recurring_id;

-- name: open_dates
-- Charges that are to be made by the day of their gate, with who pays.
COPY (
    SELECT
        s.name AS sender, m.name AS merchant, d.merchant_id, d.recurring_id, d.due_on, d.attempt,
        d.key, d.amount_minor, p.currency, r.scheme_transaction_id, y.billing_first_name,
        y.billing_last_name, y.billing_address_line_1, y.billing_city, y.billing_state,
        y.billing_postal_code, y.billing_country, y.billing_phone, y.email, y.customer_ip
    FROM recurring_date AS d
    INNER JOIN recurring AS r ON d.merchant_id = r.merchant_id AND d.recurring_id = r.payment_id
    INNER JOIN payment AS p ON d.merchant_id = p.merchant_id AND d.recurring_id = p.id
    INNER JOIN operation AS o ON p.merchant_id = o.merchant_id AND p.id = o.id
    INNER JOIN sender AS s ON o.sender_id = s.id
    INNER JOIN merchant AS m ON p.merchant_id = m.id
    INNER JOIN
        unnest(%(gate_ids)s::integer [], %(days)s::date []) AS g (id, day)
        ON p.gate_id = g.id
    LEFT JOIN LATERAL (
        SELECT c.* FROM recurring_payer AS c
        WHERE c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id
        ORDER BY c.created_at DESC, c.operation_id DESC
        LIMIT 1
    ) AS y ON TRUE
    WHERE d.state = 'open' AND d.attempt_on <= g.day AND p.state = 'recurring_active'
    ORDER BY s.name, d.merchant_id, d.recurring_id, d.due_on
    LIMIT %(limit)s
) TO STDOUT (FORMAT csv);

-- name: hand_over_dates
-- Notes which system batch makes these charges.
UPDATE recurring_date AS d SET state = 'handed_over', batch_id = %(batch_id)s
FROM
    unnest(
        %(merchant_ids)s::integer [], %(recurring_ids)s::bigint [], %(due)s::date [],
        %(keys)s::text []
    ) AS w (merchant_id, recurring_id, due_on, key)
WHERE
    d.merchant_id = w.merchant_id AND d.recurring_id = w.recurring_id AND d.due_on = w.due_on
    AND d.key = w.key AND d.state = 'open';

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
    SELECT w.merchant_id, w.id, f.scheme_id
    FROM
        unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, id)
    LEFT JOIN recurring AS r ON w.merchant_id = r.merchant_id AND w.id = r.payment_id
    LEFT JOIN operation AS o ON w.merchant_id = o.merchant_id AND w.id = o.id
    LEFT JOIN batch AS b ON o.batch_id = b.id
    LEFT JOIN LATERAL (
        SELECT c.place
        FROM unnest(b.columns) WITH ORDINALITY AS c (name, place)
        INNER JOIN unnest(%(dialects)s::text [], %(columns)s::text []) AS d (dialect, name)
            ON b.dialect = d.dialect AND c.name = d.name
        LIMIT 1
    ) AS p ON TRUE
    LEFT JOIN row_text AS t ON p.place IS NOT NULL AND o.batch_id = t.batch_id AND o.line = t.line
    CROSS JOIN LATERAL (
        SELECT
            coalesce(
                r.scheme_transaction_id, nullif(split_part(t.cells, E'\x1f', p.place::integer), '')
            ) AS scheme_id
    ) AS f
    WHERE f.scheme_id IS NOT NULL
    ORDER BY w.merchant_id, w.id
) TO STDOUT (FORMAT csv);

-- name: list_recurring
-- The recurring payments of some merchants, newest first.
SELECT
    r.merchant_id, m.name AS merchant, g.name AS gate, r.payment_id AS id, o.reference, p.state, p.is_payout,
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
LEFT JOIN LATERAL (
    SELECT c.operation_id, c.amount_minor, c.amount_to_minor, c.amounts
    FROM recurring_change AS c
    WHERE
        c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id
        AND (c.amount_minor IS NOT NULL OR c.amounts IS NOT NULL)
    ORDER BY c.created_at DESC, c.operation_id DESC
    LIMIT 1
) AS t ON TRUE
LEFT JOIN number AS n ON p.merchant_id = n.merchant_id AND p.number_id = n.id
WHERE
    r.merchant_id = ANY(%(merchant_ids)s)
    AND (%(id)s::bigint IS NULL OR r.payment_id = %(id)s)
    AND (%(state)s::text IS NULL OR p.state = %(state)s)
ORDER BY r.created_at DESC, r.payment_id DESC
LIMIT %(limit)s;

-- name: dates_of
-- The dates of a recurring payment that came, newest first.
SELECT due_on, amount_minor, attempt, attempt_on, state, response FROM recurring_date
WHERE merchant_id = %(merchant_id)s AND recurring_id = %(id)s
ORDER BY due_on DESC
LIMIT %(limit)s;
