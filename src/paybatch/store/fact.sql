-- name: copy_note
-- Stores words and marks on payments.
COPY note (merchant_id, operation_id, payment_id, name, text, created_at) FROM STDIN (FORMAT csv);

-- name: copy_listing
-- Stores what is put on lists and taken off them.
COPY listing (
    merchant_id, operation_id, payment_id, level, place, what, value, is_listed, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_dispute_step
-- Stores steps of disputes.
COPY dispute_step (
    merchant_id, operation_id, payment_id, dispute, stage, amount_minor, currency, arn, reason_code,
    happened_on, due_on, text, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_card_name
-- Stores identifiers that stand for cards.
COPY card_name (
    merchant_id, operation_id, payment_id, name_type, name, number_id, expiry, created_at
) FROM STDIN (FORMAT csv);

-- name: cards_of_names
-- The card that each of these identifiers stands for: the newest row decides.
COPY (
    SELECT DISTINCT ON (w.merchant_id, w.name_type, w.name)
        w.merchant_id, w.name_type, w.name, encode(uuid_send(c.number_id), 'hex'), c.expiry,
        n.brand, n.masked, n.bank_code
    FROM
        unnest(%(merchant_ids)s::integer [], %(name_types)s::text [], %(names)s::text [])
            AS w (merchant_id, name_type, name)
    INNER JOIN card_name AS c
        ON w.merchant_id = c.merchant_id AND w.name_type = c.name_type AND w.name = c.name
    INNER JOIN number AS n ON c.merchant_id = n.merchant_id AND c.number_id = n.id
    ORDER BY
        w.merchant_id ASC, w.name_type ASC, w.name ASC, c.created_at DESC, c.operation_id DESC
) TO STDOUT (FORMAT csv);

-- name: copy_score
-- Stores scores.
COPY score (
    merchant_id, operation_id, payment_id, number_id, score, band, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_notice
-- Stores notices that are owed.
COPY notice (merchant_id, operation_id, payment_id, state, created_at) FROM STDIN (FORMAT csv);

-- name: copy_mandate
-- Stores what payers signed.
COPY mandate (
    merchant_id, operation_id, payment_id, creditor_id, bic, mandate_type, signed_on, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_debit
-- Stores how direct debits are collected.
COPY debit (
    merchant_id, operation_id, payment_id, mandate_id, sequence_type, collect_on, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_due
-- Stores what the clock is to do.
COPY due (merchant_id, operation_id, payment_id, kind, due_on, created_at) FROM STDIN (FORMAT csv);

-- name: copy_recurring
-- Stores what is charged again and again.
COPY recurring (
    merchant_id, operation_id, payment_id, source_id, amount_minor, amount_to_minor, amounts,
    period, every, start_on, finish_on, finish_count, attempts, scheme_transaction_id, created_at,
    next_on
) FROM STDIN (FORMAT csv);

-- name: copy_recurring_change
-- Stores what changes in it.
COPY recurring_change (
    merchant_id, operation_id, payment_id, amount_minor, amount_to_minor, amounts, is_back,
    created_at
) FROM STDIN (FORMAT csv);

-- name: copy_recurring_payer
-- Stores who pays it.
COPY recurring_payer (
    merchant_id, operation_id, payment_id, billing_first_name, billing_last_name,
    billing_address_line_1, billing_city, billing_state, billing_postal_code, billing_country,
    billing_phone, email, customer_ip, created_at
) FROM STDIN (FORMAT csv);

-- name: facts_of_payment
-- What stands on a payment beside money, in order: words, steps of disputes, scores, listings,
-- notices, mandates, debits and what is due. detail names the values that are there.
WITH kept AS (
    SELECT operation_id, 'note' AS fact, name, text, NULL::jsonb AS detail, created_at
    FROM note WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
    UNION ALL
    SELECT
        operation_id, 'dispute' AS fact, stage AS name, text,
        jsonb_build_object(
            'dispute', dispute, 'amount_minor', amount_minor, 'currency', currency, 'arn', arn,
            'reason_code', reason_code, 'happened_on', happened_on, 'due_on', due_on
        ) AS detail,
        created_at
    FROM dispute_step WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
    UNION ALL
    SELECT
        operation_id, 'score' AS fact, band AS name, NULL AS text,
        jsonb_build_object('score', score) AS detail, created_at
    FROM score WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
    UNION ALL
    SELECT
        operation_id, 'listing' AS fact,
        CASE WHEN is_listed THEN 'listed' ELSE 'taken off' END AS name, NULL AS text,
        jsonb_build_object('level', level, 'what', what) AS detail, created_at
    FROM listing WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
    UNION ALL
    SELECT operation_id, 'notice' AS fact, state AS name, NULL AS text, NULL AS detail, created_at
    FROM notice WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
    UNION ALL
    SELECT
        operation_id, 'mandate' AS fact, mandate_type AS name, NULL AS text,
        jsonb_build_object('creditor_id', creditor_id, 'bic', bic, 'signed_on', signed_on)
            AS detail,
        created_at
    FROM mandate WHERE merchant_id = %(merchant_id)s AND operation_id = %(payment_id)s
    UNION ALL
    SELECT
        operation_id, 'debit' AS fact, sequence_type AS name, NULL AS text,
        jsonb_build_object('collect_on', collect_on) AS detail, created_at
    FROM debit WHERE merchant_id = %(merchant_id)s AND operation_id = %(payment_id)s
    UNION ALL
    SELECT
        operation_id, 'due' AS fact, kind AS name, NULL AS text,
        jsonb_build_object('due_on', due_on) AS detail, created_at
    FROM due WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
)

SELECT
    operation_id, fact, name, text,
    coalesce(jsonb_strip_nulls(detail), '{}') AS detail, created_at
FROM kept
ORDER BY operation_id, fact;

-- name: standing
-- What stands on any list; and, in the same statement, as every call asks both, the gates whose day
-- is being closed.
SELECT w.what, NULL::integer AS gate_id
FROM (VALUES ('number'), ('bin'), ('email'), ('ip')) AS w (what)
WHERE EXISTS (SELECT 1 FROM listing AS l WHERE l.what = w.what)
UNION ALL
SELECT NULL AS what, g.id AS gate_id FROM gate AS g WHERE g.state = 'closing';

-- name: listed
-- Which of these values stand on a list that holds for their merchant and gate: the newest row of
-- each level and place decides.
SELECT w.merchant_id, w.gate_id, w.value
FROM
    unnest(%(merchant_ids)s::integer [], %(gate_ids)s::integer [], %(values)s::text [])
        AS w (merchant_id, gate_id, value)
INNER JOIN gate AS g ON w.merchant_id = g.merchant_id AND w.gate_id = g.id
WHERE
    TRUE = ANY(
        SELECT DISTINCT ON (l.level, l.place) l.is_listed
        FROM listing AS l
        WHERE
            l.what = %(what)s AND l.value = w.value
            AND (l.level IN ('platform', 'processor') OR l.merchant_id = w.merchant_id)
            AND l.place IN ('*', w.gate_id::text, g.connector)
        ORDER BY l.level ASC, l.place ASC, l.created_at DESC, l.operation_id DESC
    );
