-- name: schema
-- Which schema this is, and since which version programs can use it.
SELECT schema_version, readable_from FROM installation;

-- name: bind_installation
-- Binds the database to its key set and blob store, once.
UPDATE installation SET
    key_set_id = coalesce(key_set_id, %(key_set_id)s),
    blob_store_id = coalesce(blob_store_id, %(blob_store_id)s)
RETURNING key_set_id, blob_store_id;

-- name: has_schema
-- Whether the engine's tables are there at all.
SELECT to_regclass('public.installation') IS NOT NULL;

-- name: lock_schema
-- Only one process changes the schema at a time.
SELECT pg_advisory_xact_lock(7120310244);

-- name: add_sender
-- Makes a sender.
INSERT INTO sender (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING;

-- name: find_sender
-- A sender by its name.
SELECT id FROM sender WHERE name = %(name)s;

-- name: add_merchant
-- Makes a merchant.
INSERT INTO merchant (name, title) VALUES (%(name)s, %(title)s) ON CONFLICT (name) DO NOTHING;

-- name: allow_sender
-- Lets a sender act for a merchant.
INSERT INTO sender_merchant (sender_id, merchant_id)
SELECT s.id AS sender_id, m.id AS merchant_id FROM sender AS s CROSS JOIN merchant AS m
WHERE s.name = %(sender)s AND m.name = %(merchant)s
ON CONFLICT DO NOTHING;

-- name: merchants_of_sender
-- The merchants that a sender may act for.
SELECT m.id, m.name, m.title FROM merchant AS m
INNER JOIN sender_merchant AS sm ON m.id = sm.merchant_id
WHERE sm.sender_id = %(sender_id)s ORDER BY m.id;

-- name: list_merchants
-- Every merchant.
SELECT id, name, title, created_at FROM merchant ORDER BY id;

-- name: add_gate
-- Makes a gate; the first one of a merchant is its default.
INSERT INTO gate (
    merchant_id, name, connector, mode, currencies, zone, cut_off, capabilities, settings,
    is_default
)
SELECT
    m.id, %(name)s, %(connector)s, %(mode)s, %(currencies)s, %(zone)s, %(cut_off)s,
    %(capabilities)s, %(settings)s,
    NOT EXISTS (SELECT 1 FROM gate AS g WHERE g.merchant_id = m.id AND g.is_default)
FROM merchant AS m WHERE m.name = %(merchant)s
ON CONFLICT (merchant_id, name) DO NOTHING
RETURNING id;

-- name: clear_default_gate
-- Takes the mark of the default gate off a merchant.
UPDATE gate AS g SET is_default = FALSE
FROM merchant AS m
WHERE g.merchant_id = m.id AND m.name = %(merchant)s AND g.is_default;

-- name: set_default_gate
-- Marks a gate as its merchant's default.
UPDATE gate AS g SET is_default = TRUE
FROM merchant AS m
WHERE g.merchant_id = m.id AND m.name = %(merchant)s AND g.name = %(name)s;

-- name: gates_of_merchants
-- The gates of these merchants.
SELECT
    g.merchant_id, m.name AS merchant, g.id, g.name, g.connector, g.mode, g.currencies, g.zone,
    g.cut_off, g.capabilities, g.settings, g.is_default, g.state, g.business_day
FROM gate AS g INNER JOIN merchant AS m ON g.merchant_id = m.id
WHERE g.merchant_id = ANY(%(merchant_ids)s) ORDER BY g.merchant_id, g.id;

-- name: add_customer
-- Makes a customer.
INSERT INTO customer (merchant_id, reference) VALUES (%(merchant_id)s, %(reference)s)
ON CONFLICT (merchant_id, reference) DO NOTHING;

-- name: add_customer_means
-- Adds a means to a customer behind those it has.
INSERT INTO customer_means (
    merchant_id, customer_id, rank, number_id, means, expiry, account_type
)
SELECT
    c.merchant_id, c.id,
    coalesce((
        SELECT max(x.rank) FROM customer_means AS x
        WHERE x.merchant_id = c.merchant_id AND x.customer_id = c.id
    ), 0) + 1,
    %(number_id)s, %(means)s, %(expiry)s, %(account_type)s
FROM customer AS c
WHERE c.merchant_id = %(merchant_id)s AND c.reference = %(reference)s
RETURNING rank;

-- name: means_of_customers
-- The means of these customers in the order of their rank.
COPY (
    SELECT
        c.reference, w.rank, w.means, encode(uuid_send(w.number_id), 'hex'), w.expiry,
        w.account_type, n.brand, n.masked, n.bank_code
    FROM customer AS c
    INNER JOIN customer_means AS w ON c.merchant_id = w.merchant_id AND c.id = w.customer_id
    INNER JOIN number AS n ON w.merchant_id = n.merchant_id AND w.number_id = n.id
    WHERE c.merchant_id = %(merchant_id)s AND c.reference = ANY(%(references)s)
    ORDER BY c.reference, w.rank
) TO STDOUT (FORMAT csv);

-- name: list_customers
-- A merchant's customers with the number of their means.
SELECT c.merchant_id, c.id, c.reference, count(w.rank) AS means
FROM customer AS c
LEFT JOIN customer_means AS w ON c.merchant_id = w.merchant_id AND c.id = w.customer_id
WHERE c.merchant_id = ANY(%(merchant_ids)s)
GROUP BY c.merchant_id, c.id, c.reference ORDER BY c.merchant_id, c.id LIMIT %(limit)s;

-- name: last_audit_hash
-- The seal of the newest event; the lock keeps the chain in one line.
SELECT hash FROM audit ORDER BY id DESC LIMIT 1;

-- name: lock_audit
-- Events are written one after the other.
LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE;

-- name: insert_audit
-- Appends an event with its seal.
INSERT INTO audit (at, actor, action, subject, detail, previous_hash, hash)
VALUES (
    %(at)s, %(actor)s, %(action)s, %(subject)s, %(detail)s, %(previous_hash)s, %(hash)s
);

-- name: audit_events
-- Every event in order, for checking the chain.
SELECT at, actor, action, subject, detail, previous_hash, hash FROM audit ORDER BY id;
