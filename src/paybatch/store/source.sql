-- name: sources
-- Payments by merchant and id, with the means that a new payment of another merchant may take.
COPY (
    SELECT
        p.merchant_id, p.id, p.gate_id, p.state, encode(uuid_send(p.number_id), 'hex'), p.expiry,
        p.brand, n.masked, n.bank_code
    FROM payment AS p
    INNER JOIN
        unnest(%(merchant_ids)s::integer [], %(payment_ids)s::bigint []) AS w (merchant_id, id)
        ON p.merchant_id = w.merchant_id AND p.id = w.id
    LEFT JOIN number AS n ON p.merchant_id = n.merchant_id AND p.number_id = n.id
) TO STDOUT (FORMAT csv);

-- name: share_number
-- Gives a merchant a number that another one has; the seal is bound to the number's id alone.
INSERT INTO number (merchant_id, id, sealed, brand, masked, bank_code)
SELECT %(merchant_id)s, n.id, n.sealed, n.brand, n.masked, n.bank_code
FROM number AS n
WHERE n.merchant_id = %(source_id)s AND n.id = %(number_id)s::uuid
ON CONFLICT (merchant_id, id) DO NOTHING;
