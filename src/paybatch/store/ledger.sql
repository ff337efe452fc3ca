-- name: open_account
-- Makes an account if it is not there.
INSERT INTO account (merchant_id, gate_id, currency, name)
VALUES (%(merchant_id)s, %(gate_id)s, %(currency)s, %(name)s)
ON CONFLICT (merchant_id, gate_id, currency, name) DO NOTHING;

-- name: find_accounts
-- The accounts of a gate in a currency.
SELECT name, id FROM account
WHERE merchant_id = %(merchant_id)s AND gate_id = %(gate_id)s AND currency = %(currency)s;

-- name: copy_transfers
-- Stores transfers.
COPY transfer (
    merchant_id, operation_id, number, debit_account_id, credit_account_id, amount_minor
) FROM STDIN (FORMAT csv);

-- name: insert_delta
-- Appends what a chunk moved on one account.
INSERT INTO balance_delta (merchant_id, account_id, debit_minor, credit_minor, transfer_count)
VALUES (%(merchant_id)s, %(account_id)s, %(debit_minor)s, %(credit_minor)s, %(transfer_count)s);

-- name: fold
-- Adds the deltas of each account up into one; the balances stay the same.
WITH folded AS (
    DELETE FROM balance_delta
    WHERE
        (merchant_id, account_id) IN (
            SELECT merchant_id, account_id FROM balance_delta
            GROUP BY merchant_id, account_id HAVING count(*) > 1
        )
    RETURNING merchant_id, account_id, debit_minor, credit_minor, transfer_count
)

INSERT INTO balance_delta (merchant_id, account_id, debit_minor, credit_minor, transfer_count)
SELECT merchant_id, account_id, sum(debit_minor), sum(credit_minor), sum(transfer_count)
FROM folded GROUP BY merchant_id, account_id;

-- name: balances
-- The balance of every account: debits less credits.
SELECT
    a.merchant_id, a.gate_id, a.id AS account_id, m.name AS merchant, g.name AS gate, g.mode,
    a.currency, a.name AS account,
    coalesce(sum(d.debit_minor), 0) AS debit_minor,
    coalesce(sum(d.credit_minor), 0) AS credit_minor
FROM account AS a
INNER JOIN merchant AS m ON a.merchant_id = m.id
INNER JOIN gate AS g ON a.merchant_id = g.merchant_id AND a.gate_id = g.id
LEFT JOIN balance_delta AS d ON a.merchant_id = d.merchant_id AND a.id = d.account_id
GROUP BY a.merchant_id, a.gate_id, a.id, m.name, g.name, g.mode, a.currency, a.name
ORDER BY m.name, g.name, a.currency, a.name;

-- name: broken_balances
-- Law 1: every balance is the sum of its transfers. Gives the accounts where it is not.
WITH side AS (
    SELECT merchant_id, debit_account_id AS account_id, amount_minor FROM transfer
    UNION ALL
    SELECT merchant_id, credit_account_id AS account_id, -amount_minor FROM transfer
),

moved AS (
    SELECT merchant_id, account_id, sum(amount_minor) AS balance
    FROM side GROUP BY merchant_id, account_id
),

kept AS (
    SELECT merchant_id, account_id, sum(debit_minor - credit_minor) AS balance
    FROM balance_delta GROUP BY merchant_id, account_id
)

SELECT a.merchant_id, a.id, a.name, coalesce(k.balance, 0) AS kept, coalesce(m.balance, 0) AS moved
FROM account AS a
LEFT JOIN kept AS k ON a.merchant_id = k.merchant_id AND a.id = k.account_id
LEFT JOIN moved AS m ON a.merchant_id = m.merchant_id AND a.id = m.account_id
WHERE coalesce(k.balance, 0) <> coalesce(m.balance, 0);

-- name: broken_laws
-- Laws 2 to 4, per gate and currency: receivable = unsettled captures less unsettled refunds and
-- credits; hold = what is open; in_collection = what is open of direct debits that are not due yet.
-- Gives the gates where an account says otherwise.
WITH owed AS (
    SELECT
        merchant_id, gate_id, currency,
        sum(
            CASE WHEN is_payout THEN -1 ELSE 1 END * (captured - cancelled - settled)
            - (refunded - refund_settled)
        ) AS receivable,
        sum(authorized - captured - released) FILTER (WHERE state <> 'in_collection') AS hold,
        sum(authorized - captured - released) FILTER (
            WHERE state = 'in_collection'
        ) AS in_collection
    FROM payment GROUP BY merchant_id, gate_id, currency
),

kept AS (
    SELECT
        a.merchant_id, a.gate_id, a.currency,
        sum(d.debit_minor - d.credit_minor) FILTER (WHERE a.name = 'receivable') AS receivable,
        sum(d.debit_minor - d.credit_minor) FILTER (WHERE a.name = 'hold') AS hold,
        sum(d.debit_minor - d.credit_minor) FILTER (
            WHERE a.name = 'in_collection'
        ) AS in_collection
    FROM account AS a
    INNER JOIN balance_delta AS d ON a.merchant_id = d.merchant_id AND a.id = d.account_id
    GROUP BY a.merchant_id, a.gate_id, a.currency
)

SELECT
    coalesce(o.merchant_id, k.merchant_id) AS merchant_id,
    coalesce(o.gate_id, k.gate_id) AS gate_id,
    coalesce(o.currency, k.currency) AS currency,
    coalesce(o.receivable, 0) AS receivable_owed,
    coalesce(k.receivable, 0) AS receivable_kept,
    coalesce(o.hold, 0) AS hold_owed,
    coalesce(k.hold, 0) AS hold_kept,
    coalesce(o.in_collection, 0) AS in_collection_owed,
    coalesce(k.in_collection, 0) AS in_collection_kept
FROM owed AS o
FULL JOIN kept AS k
    ON o.merchant_id = k.merchant_id AND o.gate_id = k.gate_id AND o.currency = k.currency
WHERE
    coalesce(o.receivable, 0) <> coalesce(k.receivable, 0)
    OR coalesce(o.hold, 0) <> coalesce(k.hold, 0)
    OR coalesce(o.in_collection, 0) <> coalesce(k.in_collection, 0);
