-- name: copy_operations
-- Stores operations as they were accepted.
COPY operation (
    merchant_id, id, batch_id, line, sender_id, kind, gate_id, accepted, payment_id,
    payment_reference, amount_minor, currency, reference, idempotency_key, number_id, brand,
    masked, expiry, bank_code, account_type, sec_code, tax_minor, surcharge_minor, tip_minor,
    shipping_minor, final, has_secret, created_at
) FROM STDIN (FORMAT csv);

-- name: copy_outcomes
-- Stores how operations ended; a second outcome of one operation fails on the primary key.
COPY outcome (
    merchant_id, id, state, reason, message, payment_id, status, approved_minor, response,
    processor_code, processor_text, approval_code, avs_result, cvv_result, scheme_transaction_id,
    settled_at
) FROM STDIN (FORMAT csv);

-- name: copy_row_texts
-- Stores the rows' own text.
COPY row_text (batch_id, line, created_on, cells) FROM STDIN (FORMAT csv);

-- name: copy_row_errors
-- Stores everything that is wrong with rows.
COPY row_error (batch_id, line, number, reason, column_name, value, message)
FROM STDIN (FORMAT csv);

-- name: claim_range
-- The accepted operations of a range of lines, without those that an ordered chunk works.
COPY (
    SELECT
        o.merchant_id, o.id, o.line, o.kind, o.gate_id, o.amount_minor, o.currency,
        coalesce(o.payment_id, s.payment_id) AS payment_id, o.payment_reference, s.reason, o.final,
        encode(uuid_send(o.number_id), 'hex') AS number_id, o.brand, o.masked, o.expiry,
        o.bank_code, o.account_type, o.sec_code, o.has_secret
    FROM operation AS o
    LEFT JOIN operation_subject AS s
        ON o.merchant_id = s.merchant_id AND o.id = s.operation_id
    WHERE
        o.merchant_id = ANY(%(merchant_ids)s)
        AND o.id BETWEEN %(first_id)s AND %(last_id)s
        AND o.accepted
        AND s.chunk_number IS NULL
    ORDER BY o.id
) TO STDOUT (FORMAT csv);

-- name: claim_range_plain
-- The same for a batch in which no row acts on a payment.
COPY (
    SELECT
        o.merchant_id, o.id, o.line, o.kind, o.gate_id, o.amount_minor, o.currency,
        NULL AS payment_id, NULL AS payment_reference, NULL AS reason, o.final,
        encode(uuid_send(o.number_id), 'hex') AS number_id, o.brand, o.masked, o.expiry,
        o.bank_code, o.account_type, o.sec_code, o.has_secret
    FROM operation AS o
    WHERE
        o.merchant_id = ANY(%(merchant_ids)s)
        AND o.id BETWEEN %(first_id)s AND %(last_id)s
        AND o.accepted
    ORDER BY o.id
) TO STDOUT (FORMAT csv);

-- name: claim_ordered
-- The accepted operations of an ordered chunk, in line order.
COPY (
    SELECT
        o.merchant_id, o.id, o.line, o.kind, o.gate_id, o.amount_minor, o.currency,
        s.payment_id, o.payment_reference, s.reason, o.final,
        encode(uuid_send(o.number_id), 'hex') AS number_id, o.brand, o.masked, o.expiry,
        o.bank_code, o.account_type, o.sec_code, o.has_secret
    FROM operation_subject AS s
    INNER JOIN operation AS o ON s.merchant_id = o.merchant_id AND s.operation_id = o.id
    WHERE s.batch_id = %(batch_id)s AND s.chunk_number = %(chunk_number)s
    ORDER BY o.id
) TO STDOUT (FORMAT csv);

-- name: join_ranges
-- For statements of this transaction that join ranges of ids: the planner knows nothing of rows
-- that were just loaded, takes each range for one row, and would compare all with all.
SET LOCAL enable_nestloop = off;

-- name: row_cells
-- One cell of each row of a range, by its place in the file.
COPY (
    SELECT t.line, nullif(split_part(t.cells, E'\x1f', %(place)s), '')
    FROM row_text AS t
    WHERE t.batch_id = %(batch_id)s AND t.line BETWEEN %(first_line)s AND %(last_line)s
) TO STDOUT (FORMAT csv);

-- name: report_range
-- Everything that a result needs of a range of lines: what was accepted and how it ended.
COPY (
    SELECT
        o.line, o.merchant_id, o.id, o.kind, o.gate_id, o.amount_minor, o.currency, o.reference,
        encode(uuid_send(o.number_id), 'hex'), o.brand, o.masked, o.expiry, o.account_type,
        o.sec_code, o.tax_minor, o.surcharge_minor, o.tip_minor, o.shipping_minor, o.accepted,
        extract(EPOCH FROM o.created_at)::bigint,
        coalesce(u.state, replace(a.state, 'person', 'unknown')),
        u.reason, u.message, u.payment_id, u.status, u.approved_minor, u.response,
        u.processor_code, u.processor_text, u.approval_code, u.avs_result, u.cvv_result,
        u.scheme_transaction_id, extract(EPOCH FROM u.settled_at)::bigint,
        t.cells
    FROM operation AS o
    LEFT JOIN outcome AS u
        ON
            o.merchant_id = u.merchant_id AND o.id = u.id
            AND u.merchant_id = ANY(%(merchant_ids)s)
            AND u.id BETWEEN %(first_id)s AND %(last_id)s
    LEFT JOIN attempt AS a
        ON
            o.merchant_id = a.merchant_id AND o.id = a.operation_id
            AND a.merchant_id = ANY(%(merchant_ids)s)
            AND a.operation_id BETWEEN %(first_id)s AND %(last_id)s
    LEFT JOIN row_text AS t
        ON
            o.line = t.line AND t.batch_id = %(batch_id)s
            AND t.line BETWEEN %(first_line)s AND %(last_line)s
    WHERE
        o.merchant_id = ANY(%(merchant_ids)s)
        AND o.id BETWEEN %(first_id)s AND %(last_id)s
    ORDER BY o.line
) TO STDOUT (FORMAT csv);

-- name: first_errors
-- The first things that were wrong in a batch, by line.
SELECT line, number, reason, column_name, value, message
FROM row_error WHERE batch_id = %(batch_id)s ORDER BY line, number LIMIT %(limit)s;

-- name: first_refusals
-- The first rows that were refused in a batch, with their reason.
SELECT o.line, u.reason, u.message
FROM outcome AS u
INNER JOIN operation AS o ON u.merchant_id = o.merchant_id AND u.id = o.id
WHERE
    u.merchant_id = ANY(%(merchant_ids)s)
    AND u.id BETWEEN %(first_id)s AND %(last_id)s
    AND u.state = 'rejected'
ORDER BY u.id
LIMIT %(limit)s;

-- name: insert_tally
-- Appends counts and sums.
INSERT INTO tally (
    batch_id, kind, state, reason, currency, row_count, requested_minor, approved_minor
) VALUES (
    %(batch_id)s, %(kind)s, %(state)s, %(reason)s, %(currency)s, %(row_count)s,
    %(requested_minor)s, %(approved_minor)s
);

-- name: tallies
-- Counts and sums of a batch by state, kind, reason and currency.
SELECT
    kind, state, reason, currency, sum(row_count)::bigint AS row_count,
    sum(requested_minor) AS requested_minor, sum(approved_minor) AS approved_minor
FROM tally WHERE batch_id = %(batch_id)s
GROUP BY kind, state, reason, currency
ORDER BY state, kind, currency, reason;

-- name: seen_references
-- How many of a batch's references earlier batches of the same merchant carried too.
SELECT count(*) FROM operation AS o
WHERE
    o.merchant_id = ANY(%(merchant_ids)s)
    AND o.id BETWEEN %(first_id)s AND %(last_id)s
    AND o.accepted AND o.reference IS NOT NULL
    AND EXISTS (
        SELECT 1 FROM operation AS e
        WHERE
            e.merchant_id = o.merchant_id AND e.reference = o.reference AND e.accepted
            AND e.batch_id <> o.batch_id
    );

-- name: known_references
-- Which of these references the merchant's operations already carry, with their batch; rows that
-- were never sent do not count.
SELECT e.reference, max(e.batch_id) AS batch_id
FROM operation AS e
LEFT JOIN outcome AS u ON e.merchant_id = u.merchant_id AND e.id = u.id
WHERE
    e.merchant_id = %(merchant_id)s AND e.reference = ANY(%(references)s) AND e.accepted
    AND coalesce(u.state, 'queued') NOT IN ('rejected', 'cancelled')
GROUP BY e.reference;

-- name: make_text_month
-- Makes the partition of row texts for a month, if it is not there.
SELECT make_row_text_month(date_trunc('month', %(day)s::date)::date);

-- name: drop_text_months
-- Drops the row texts of the months before a day's month.
SELECT drop_row_text_before(date_trunc('month', %(day)s::date)::date);
