-- name: disputes_of_payments
-- The disputes of these payments in the order in which they were opened: their ids, their ARNs, and
-- what is in dispute.
SELECT
    d.merchant_id, d.payment_id, d.dispute,
    array_agg(DISTINCT d.arn) FILTER (WHERE d.arn IS NOT NULL) AS arns,
    sum(
        CASE d.stage
            WHEN 'chargeback' THEN d.amount_minor
            WHEN 'chargeback_reversal' THEN -d.amount_minor
            ELSE 0
        END
    )::bigint AS open_minor
FROM dispute_step AS d
INNER JOIN
    unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, payment_id)
    ON d.merchant_id = w.merchant_id AND d.payment_id = w.payment_id
WHERE d.dispute IS NOT NULL
GROUP BY d.merchant_id, d.payment_id, d.dispute
ORDER BY min(d.operation_id);

-- name: hold_alerts
-- Keeps others from answering these alerts until this transaction ends, in the order of their keys.
SELECT pg_advisory_xact_lock(w.key)
FROM (
    SELECT DISTINCT hashtextextended(a.merchant_id || ' ' || a.alert, 7120310247) AS key
    FROM unnest(%(merchant_ids)s::integer [], %(alerts)s::text []) AS a (merchant_id, alert)
    ORDER BY key
) AS w;

-- name: answered_alerts
-- What was told of these alerts, or is on its way.
SELECT DISTINCT a.merchant_id, a.alert, a.answer
FROM alert_answer AS a
INNER JOIN
    unnest(%(merchant_ids)s::integer [], %(alerts)s::text []) AS w (merchant_id, alert)
    ON a.merchant_id = w.merchant_id AND a.alert = w.alert
LEFT JOIN outcome AS u ON a.merchant_id = u.merchant_id AND a.operation_id = u.id
WHERE coalesce(u.state, 'approved') = 'approved';

-- name: keep_answer
-- Notes what an operation tells of an alert.
INSERT INTO alert_answer (merchant_id, alert, answer, operation_id)
VALUES (%(merchant_id)s, %(alert)s, %(answer)s, %(operation_id)s)
ON CONFLICT DO NOTHING;

-- name: drop_answers
-- Forgets what operations were to tell of alerts: it was never told.
DELETE FROM alert_answer AS a
USING unnest(%(merchant_ids)s::integer [], %(operation_ids)s::bigint []) AS w (merchant_id, id)
WHERE a.merchant_id = w.merchant_id AND a.operation_id = w.id;
