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
-- The linter does not know that g is seen in there.
UPDATE recurring_date AS d SET state = 'given_up'
FROM payment AS p
INNER JOIN gate AS g ON p.merchant_id = g.merchant_id AND p.gate_id = g.id
WHERE
    d.state = 'open'
    AND d.merchant_id = p.merchant_id AND d.recurring_id = p.id
    AND (
        p.state IN ('recurring_failed', 'recurring_stopped', 'recurring_finished')
        OR EXISTS (
            SELECT 1 FROM recurring_change AS c
            WHERE
                c.merchant_id = d.merchant_id AND c.payment_id = d.recurring_id AND c.is_back
                AND (c.created_at AT TIME ZONE g.zone)::date > d.due_on  -- noqa: RF01
        )
    );

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
    CROSS JOIN
        LATERAL (
            SELECT
                (array_agg(c.operation_id ORDER BY c.created_at DESC, c.operation_id DESC))[1]
                    AS operation_id
            FROM recurring_payer AS c
            WHERE c.merchant_id = r.merchant_id AND c.payment_id = r.payment_id
        ) AS l
    LEFT JOIN recurring_payer AS y
        ON r.merchant_id = y.merchant_id AND l.operation_id = y.operation_id
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

-- name: dates_of
-- The dates of a recurring payment that came, newest first.
SELECT due_on, amount_minor, attempt, attempt_on, state, response FROM recurring_date
WHERE merchant_id = %(merchant_id)s AND recurring_id = %(id)s
ORDER BY due_on DESC
LIMIT %(limit)s;
