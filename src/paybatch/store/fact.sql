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
    merchant_id, operation_id, payment_id, stage, amount_minor, currency, arn, reason_code,
    happened_on, due_on, text, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_card_name
-- Stores identifiers that stand for cards.
COPY card_name (
    merchant_id, operation_id, payment_id, name_type, name, number_id, expiry, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_score
-- Stores scores.
COPY score (
    merchant_id, operation_id, payment_id, number_id, score, band, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_notice
-- Stores notices that are owed.
COPY notice (merchant_id, operation_id, payment_id, state, created_at) FROM STDIN (FORMAT csv);

-- name: facts_of_payment
-- The words, dispute steps, scores and notices of a payment, in order.
SELECT operation_id, 'note' AS fact, name, text, created_at
FROM note WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
UNION ALL
SELECT operation_id, 'dispute' AS fact, stage AS name, concat_ws(' ', arn, reason_code, text),
    created_at
FROM dispute_step WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
UNION ALL
SELECT operation_id, 'score' AS fact, band AS name, score::text, created_at
FROM score WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
UNION ALL
SELECT operation_id, 'notice' AS fact, state AS name, NULL, created_at
FROM notice WHERE merchant_id = %(merchant_id)s AND payment_id = %(payment_id)s
ORDER BY operation_id;
