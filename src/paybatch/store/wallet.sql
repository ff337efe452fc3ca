-- name: make_customers
-- Makes those of these customers that are not there yet, in the order of their names, so that two
-- at once do not wait for each other in a circle.
INSERT INTO customer (merchant_id, reference)
SELECT %(merchant_id)s AS merchant_id, w.reference
FROM unnest(%(references)s::text []) AS w (reference)
ORDER BY w.reference
ON CONFLICT (merchant_id, reference) DO NOTHING;

-- name: lock_customers
-- Locks customers, so that nobody else fills their wallets until the transaction ends.
SELECT c.id FROM customer AS c
WHERE c.merchant_id = %(merchant_id)s AND c.reference = ANY(%(references)s)
ORDER BY c.reference
FOR UPDATE;

-- name: cards_of_customers
-- The cards in these customers' wallets, and their ranks.
COPY (
    SELECT c.merchant_id, c.reference, encode(uuid_send(w.number_id), 'hex'), w.expiry, w.rank
    FROM customer AS c
    INNER JOIN customer_means AS w ON c.merchant_id = w.merchant_id AND c.id = w.customer_id
    WHERE c.merchant_id = %(merchant_id)s AND c.reference = ANY(%(references)s)
    ORDER BY c.reference, w.rank
) TO STDOUT (FORMAT csv);

-- name: enroll
-- Puts cards into wallets under the ranks that they were given while the customers were locked.
INSERT INTO customer_means (merchant_id, customer_id, rank, number_id, means, expiry)
SELECT c.merchant_id, c.id AS customer_id, w.rank, w.number_id, 'card' AS means, w.expiry
FROM
    unnest(
        %(merchant_ids)s::integer [], %(customers)s::text [], %(number_ids)s::uuid [],
        %(expiries)s::smallint [], %(ranks)s::smallint []
    ) AS w (merchant_id, customer, number_id, expiry, rank)
INNER JOIN customer AS c ON w.merchant_id = c.merchant_id AND w.customer = c.reference;
