-- name: copy_payments
-- Stores new payments.
COPY payment (
    merchant_id, id, gate_id, origin, is_payout, state, currency, number_id, expiry, brand,
    scheme_transaction_id, business_day, made_on, authorized, captured, refund_excess_percent,
    created_at
) FROM STDIN (FORMAT csv);

-- name: lock_payments
-- Locks payments in the order of their keys, so that two chunks never wait for each other.
COPY (
    SELECT
        p.merchant_id, p.id, p.gate_id, p.origin, p.is_payout,
        CASE
            WHEN p.state = 'mandate_ended' THEN ended_mandate(p.merchant_id, p.id) ELSE p.state
        END AS state,
        p.currency,
        encode(uuid_send(p.number_id), 'hex') AS number_id, p.brand, p.expiry,
        p.scheme_transaction_id, p.made_on,
        p.authorized, p.released, p.captured, p.cancelled, p.settled, p.refunded,
        p.refund_settled, p.returned, p.charged_back, p.represented, p.prepared,
        p.reserved_capture, p.reserved_void, p.reserved_refund
    FROM payment AS p
    INNER JOIN
        unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, id)
        ON p.merchant_id = w.merchant_id AND p.id = w.id
    ORDER BY p.merchant_id, p.id
    FOR UPDATE OF p
) TO STDOUT (FORMAT csv);

-- name: lock_free_payments
-- The same for those that nobody holds.
COPY (
    SELECT
        p.merchant_id, p.id, p.gate_id, p.origin, p.is_payout,
        CASE
            WHEN p.state = 'mandate_ended' THEN ended_mandate(p.merchant_id, p.id) ELSE p.state
        END AS state,
        p.currency,
        encode(uuid_send(p.number_id), 'hex') AS number_id, p.brand, p.expiry,
        p.scheme_transaction_id, p.made_on,
        p.authorized, p.released, p.captured, p.cancelled, p.settled, p.refunded,
        p.refund_settled, p.returned, p.charged_back, p.represented, p.prepared,
        p.reserved_capture, p.reserved_void, p.reserved_refund
    FROM payment AS p
    INNER JOIN
        unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, id)
        ON p.merchant_id = w.merchant_id AND p.id = w.id
    ORDER BY p.merchant_id, p.id
    FOR UPDATE OF p SKIP LOCKED
) TO STDOUT (FORMAT csv);

-- name: existing_payments
-- Which of these payments there are.
SELECT p.merchant_id, p.id
FROM payment AS p
INNER JOIN
    unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, id)
    ON p.merchant_id = w.merchant_id AND p.id = w.id;

-- name: make_changes
-- A table of this connection for the changes of a chunk; a null state stays as it is.
CREATE TEMPORARY TABLE IF NOT EXISTS amount_change (
    merchant_id integer, id bigint, authorized bigint, released bigint, captured bigint,
    cancelled bigint, settled bigint, refunded bigint, refund_settled bigint, returned bigint,
    charged_back bigint, represented bigint, prepared bigint, state text
) ON COMMIT DELETE ROWS;

-- name: copy_changes
-- Fills it.
COPY amount_change (
    merchant_id, id, authorized, released, captured, cancelled, settled, refunded, refund_settled,
    returned, charged_back, represented, prepared, state
) FROM STDIN (FORMAT csv);

-- name: apply_changes
-- Adds the changes to their payments; the CHECKs of the table refuse what breaks an amount rule.
UPDATE payment AS p SET
    authorized = p.authorized + c.authorized,
    released = p.released + c.released,
    captured = p.captured + c.captured,
    cancelled = p.cancelled + c.cancelled,
    settled = p.settled + c.settled,
    refunded = p.refunded + c.refunded,
    refund_settled = p.refund_settled + c.refund_settled,
    returned = p.returned + c.returned,
    charged_back = p.charged_back + c.charged_back,
    represented = p.represented + c.represented,
    prepared = p.prepared + c.prepared,
    state = coalesce(c.state, p.state)
FROM amount_change AS c
WHERE p.merchant_id = c.merchant_id AND p.id = c.id;

-- name: change_means
-- Lets payments be for other cards.
UPDATE payment AS p SET number_id = w.number_id, brand = w.brand, expiry = w.expiry
FROM
    unnest(
        %(merchant_ids)s::integer [], %(payment_ids)s::bigint [], %(number_ids)s::uuid [],
        %(brands)s::text [], %(expiries)s::smallint []
    ) AS w (merchant_id, id, number_id, brand, expiry)
WHERE p.merchant_id = w.merchant_id AND p.id = w.id;

-- name: apply_few
-- The same for some hundred changes that are given as lists: payments are found by their key.
UPDATE payment AS p SET
    authorized = p.authorized + c.authorized,
    released = p.released + c.released,
    captured = p.captured + c.captured,
    cancelled = p.cancelled + c.cancelled,
    settled = p.settled + c.settled,
    refunded = p.refunded + c.refunded,
    refund_settled = p.refund_settled + c.refund_settled,
    returned = p.returned + c.returned,
    charged_back = p.charged_back + c.charged_back,
    represented = p.represented + c.represented,
    prepared = p.prepared + c.prepared,
    state = coalesce(c.state, p.state)
FROM
    unnest(
        %(merchant_id)s::integer [], %(payment_id)s::bigint [], %(authorized)s::bigint [],
        %(released)s::bigint [], %(captured)s::bigint [], %(cancelled)s::bigint [],
        %(settled)s::bigint [], %(refunded)s::bigint [], %(refund_settled)s::bigint [],
        %(returned)s::bigint [], %(charged_back)s::bigint [], %(represented)s::bigint [],
        %(prepared)s::bigint [], %(state)s::text []
    ) AS c (
        merchant_id, id, authorized, released, captured, cancelled, settled, refunded,
        refund_settled, returned, charged_back, represented, prepared, state
    )
WHERE p.merchant_id = c.merchant_id AND p.id = c.id;

-- name: forget_changes
-- Drops the table of changes: the transaction goes on with others.
DROP TABLE IF EXISTS amount_change;

-- name: reserve
-- What calls that have no answer yet may take from their payments; negative = they were answered.
UPDATE payment AS p SET
    reserved_capture = p.reserved_capture + w.capture,
    reserved_void = p.reserved_void + w.void,
    reserved_refund = p.reserved_refund + w.refund
FROM
    unnest(
        %(merchant_ids)s::integer [], %(payment_ids)s::bigint [],
        %(reserved_capture)s::bigint [], %(reserved_void)s::bigint [],
        %(reserved_refund)s::bigint []
    ) AS w (merchant_id, id, capture, void, refund)
WHERE p.merchant_id = w.merchant_id AND p.id = w.id;

-- name: name_at_scheme
-- Gives payments the card scheme's id that their processor told.
UPDATE payment AS p SET scheme_transaction_id = w.name
FROM
    unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint [], %(names)s::text [])
        AS w (merchant_id, id, name)
WHERE p.merchant_id = w.merchant_id AND p.id = w.id;

-- name: drop_pending
-- Payments whose call never left the house are as if they had not been made.
DELETE FROM payment AS p
USING unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, id)
WHERE p.merchant_id = w.merchant_id AND p.id = w.id AND p.state = 'pending';

-- name: get_payment
-- One payment with what was asked for when it was made.
SELECT
    p.merchant_id, m.name AS merchant, p.id, g.name AS gate, p.origin, p.is_payout,
    CASE
        WHEN p.state = 'mandate_ended' THEN ended_mandate(p.merchant_id, p.id) ELSE p.state
    END AS state,
    p.currency,
    p.brand,
    o.masked,
    o.reference,
    o.line,
    o.batch_id,
    p.scheme_transaction_id,
    p.business_day,
    p.authorized,
    p.released,
    p.captured, p.cancelled, p.settled, p.refunded, p.refund_settled, p.returned, p.charged_back,
    p.represented, p.prepared,
    p.reserved_capture, p.reserved_void, p.reserved_refund, p.created_at
FROM payment AS p
INNER JOIN merchant AS m ON p.merchant_id = m.id
INNER JOIN gate AS g ON p.merchant_id = g.merchant_id AND p.gate_id = g.id
INNER JOIN operation AS o ON p.merchant_id = o.merchant_id AND p.id = o.id
WHERE p.merchant_id = ANY(%(merchant_ids)s) AND p.id = %(id)s;

-- name: merchants_of_payments
-- Whose these payments are, among some merchants.
SELECT p.id, p.merchant_id FROM payment AS p
WHERE p.merchant_id = ANY(%(merchant_ids)s) AND p.id = ANY(%(payment_ids)s);

-- name: payments_by_reference
-- The payments whose row carried a reference, newest first.
SELECT p.merchant_id, p.id
FROM operation AS o
INNER JOIN payment AS p ON o.merchant_id = p.merchant_id AND o.id = p.id
WHERE
    o.merchant_id = ANY(%(merchant_ids)s) AND o.reference = %(reference)s AND o.accepted
ORDER BY p.id DESC
LIMIT %(limit)s;

-- name: operations_of_payment
-- What was done to a payment, in order.
SELECT
    o.id, o.batch_id, o.line, o.kind, o.amount_minor, o.currency, u.state, u.reason, u.message,
    u.approved_minor, u.processor_code, u.processor_text, u.approval_code, u.settled_at, o.parent_id
FROM outcome AS u
INNER JOIN operation AS o ON u.merchant_id = o.merchant_id AND u.id = o.id
WHERE
    u.merchant_id = %(merchant_id)s
    AND (u.id = %(id)s OR (u.payment_id = %(id)s AND u.payment_id <> u.id))
ORDER BY o.id
LIMIT %(limit)s;
