-- name: schema
-- Make the tables where they are not there yet.
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    times INTEGER NOT NULL,           -- 1; more only where keys were not looked at
    verb TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,    -- asked for
    approved_minor INTEGER NOT NULL,  -- what took effect
    currency TEXT NOT NULL,
    payment TEXT NOT NULL,
    status TEXT NOT NULL,             -- approved, declined, pending
    answer BLOB NOT NULL,             -- as it is told again
    at REAL NOT NULL,
    due_at REAL,                      -- pending: when it takes effect
    UNIQUE (key, account, times)
);
CREATE INDEX IF NOT EXISTS entry_due ON entry (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS settlement (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    currency TEXT NOT NULL,
    key TEXT NOT NULL,
    after_id INTEGER NOT NULL,        -- its entries: above this ...
    up_to_id INTEGER NOT NULL,        -- ... and up to this
    at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS callback (
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL,
    at REAL NOT NULL,
    due_at REAL NOT NULL,
    delivered_at REAL,
    tries INTEGER NOT NULL DEFAULT 0
);

-- name: find
-- Give what became of a key.
SELECT answer, verb, amount_minor, currency, payment
FROM entry WHERE key = ? AND account = ? ORDER BY times LIMIT 1;

-- name: count
-- Count how often a key was taken.
SELECT count(*) FROM entry WHERE key = ? AND account = ?;

-- name: add
-- Write down a call and its answer.
INSERT INTO entry (
    account, key, times, verb, amount_minor, approved_minor, currency, payment, status, answer, at,
    due_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: due
-- Give what was pending and takes effect now.
SELECT id, account, key, verb, amount_minor FROM entry WHERE due_at <= ?;

-- name: settle
-- Let a pending entry take effect.
UPDATE entry
SET status = 'approved', approved_minor = amount_minor, answer = ?, at = ?, due_at = NULL
WHERE id = ?;

-- name: close
-- End a day: its settlement holds what took effect since the last one of the account.
INSERT INTO settlement (account, currency, key, after_id, up_to_id, at)
SELECT
    :account, :currency, :key,
    coalesce(
        (SELECT max(up_to_id) FROM settlement WHERE account = :account AND currency = :currency), 0
    ),
    coalesce((SELECT max(id) FROM entry), 0), :at;

-- name: settlements
-- List the settlements of an account.
SELECT id, account, currency, key, after_id, up_to_id, at
FROM settlement WHERE account = ? ORDER BY id;

-- name: settlement
-- Give the lines of a settlement: what moved money. Voids of holds moved none.
SELECT entry.key, entry.verb, entry.payment, entry.approved_minor, entry.currency, entry.at
FROM settlement INNER JOIN entry
    ON entry.id > settlement.after_id AND entry.id <= settlement.up_to_id
    AND entry.account = settlement.account AND entry.currency = settlement.currency
WHERE
    settlement.id = :id AND settlement.account = :account AND entry.status = 'approved'
    AND (
        entry.verb IN ('sale', 'capture', 'debit', 'refund', 'credit')
        OR entry.verb = 'void' AND entry.payment IN (
            SELECT taken.payment FROM entry AS taken
            WHERE taken.verb IN ('sale', 'capture', 'debit') AND taken.status = 'approved'
        )
    )
ORDER BY entry.id;

-- name: books
-- Give every entry above an id.
SELECT
    id, account, key, times, verb, amount_minor, approved_minor, currency, payment, status, at
FROM entry WHERE id > ? ORDER BY id;

-- name: balances
-- Give count and sum of what took effect, by currency and verb.
SELECT currency, verb, count(*) AS count, sum(approved_minor) AS amount_minor
FROM entry WHERE account = ? AND status = 'approved'
GROUP BY currency, verb ORDER BY currency, verb;

-- name: call_back
-- Write down a callback that is owed from a time on.
INSERT INTO callback (body, at, due_at) VALUES (?, ?, ?);

-- name: callbacks
-- Give the callbacks above an id whose time has come.
SELECT id, body, at, delivered_at, tries FROM callback WHERE id > ? AND due_at <= ? ORDER BY id;

-- name: undelivered
-- Give the callbacks that are to be delivered now, the oldest first.
SELECT id, body FROM callback
WHERE delivered_at IS NULL AND due_at <= ? ORDER BY id LIMIT 100;

-- name: delivered
-- Write down a try to deliver a callback, and when it was taken.
UPDATE callback SET tries = tries + 1, delivered_at = ? WHERE id = ?;
