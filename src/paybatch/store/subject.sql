-- name: has_subjects
-- Whether any row of a batch acts on a payment.
SELECT EXISTS (
    SELECT 1 FROM operation AS o
    WHERE
        o.merchant_id = ANY(%(merchant_ids)s)
        AND o.id BETWEEN %(first_id)s AND %(last_id)s
        AND (o.payment_id IS NOT NULL OR o.payment_reference IS NOT NULL)
);

-- name: resolve_subjects
-- Finds the payment of every row that names one by its reference: the one that an earlier line of
-- the file makes, else the merchant's only payment with that reference; declined ones count only
-- where there is no other. Behind a line of that
-- reference that was rejected no older payment is meant. Test and live are looked at apart (arrays:
-- live, test): in the mode of the gate that the row names, else in that of the merchant's default
-- gate, and in the other one where that has nothing. Each reference is looked up once.
WITH named AS (
    SELECT
        o.merchant_id, o.id, w.acts,
        CASE WHEN w.acts THEN o.payment_reference ELSE o.reference END AS name,
        CASE
            WHEN o.gate_id > 0 THEN o.gate_id = ANY(%(test_gates)s)
            WHEN o.accepted THEN o.merchant_id = ANY(%(test_merchants)s)
        END AS is_test,
        o.gate_id > 0 AS is_strict, o.accepted AND NOT w.acts AS makes,
        NOT o.accepted AS fails
    FROM operation AS o
    -- A row may act on a payment and make another one: it is looked at twice.
    CROSS JOIN (VALUES (TRUE), (FALSE)) AS w (acts)
    WHERE
        o.merchant_id = ANY(%(merchant_ids)s)
        AND o.id BETWEEN %(first_id)s AND %(last_id)s
        AND CASE
            WHEN o.accepted AND w.acts THEN o.payment_reference IS NOT NULL
            WHEN o.accepted THEN o.reference IS NOT NULL AND o.kind = ANY(%(creating)s)
            WHEN w.acts THEN FALSE
            -- A row of no known kind may have been meant to make a payment.
            WHEN
                o.kind = ANY(%(creating)s)
                OR (o.kind = 'unknown' AND o.payment_reference IS NULL AND o.payment_id IS NULL)
                THEN
                    o.reference IS NOT NULL AND EXISTS (
                        SELECT 1 FROM outcome AS u
                        WHERE
                            u.merchant_id = o.merchant_id AND u.id = o.id
                            AND u.state = 'rejected'
                    )
        END
),

-- What the lines above each line are; merchant 0 stands for one that is not known.
told AS (
    SELECT
        merchant_id, id, acts, name, is_strict,
        1 + is_test::integer AS own, 2 - is_test::integer AS other,
        count(*) FILTER (WHERE makes AND NOT is_test) OVER above AS live_count,
        count(*) FILTER (WHERE makes AND is_test) OVER above AS test_count,
        max(id) FILTER (WHERE makes AND NOT is_test) OVER above AS live_id,
        max(id) FILTER (WHERE makes AND is_test) OVER above AS test_id,
        max(id) FILTER (WHERE fails AND is_test IS NOT TRUE) OVER above AS live_rejected_id,
        max(id) FILTER (WHERE fails AND is_test IS NOT FALSE) OVER above AS test_rejected_id,
        max(id) FILTER (WHERE merchant_id = 0) OVER of_anybody AS nobodys_id
    FROM named
    WINDOW
        above AS (
            PARTITION BY name, merchant_id ORDER BY id ASC, acts DESC ROWS UNBOUNDED PRECEDING
        ),
        of_anybody AS (PARTITION BY name ORDER BY id ASC, acts DESC ROWS UNBOUNDED PRECEDING)
),

paired AS (
    SELECT
        merchant_id, id, name, is_strict, own, other, nobodys_id,
        ARRAY[live_count, test_count] AS found, ARRAY[live_id, test_id] AS maker_id,
        ARRAY[live_rejected_id, test_rejected_id] AS rejected_id
    FROM told WHERE acts
),

here AS (
    SELECT
        merchant_id, id, name, is_strict, own, other, found[place] AS found,
        maker_id[place] AS maker_id,
        coalesce(greatest(rejected_id[place], nobodys_id), 0) AS rejected_id
    FROM (
        SELECT
            *,
            CASE
                WHEN is_strict OR found[own] > 0 OR rejected_id[own] IS NOT NULL THEN own
                ELSE other
            END AS place
        FROM paired
    ) AS placed
),

-- One for each reference that no line above carries, with the rows that name it.
wanted AS (
    SELECT merchant_id, name, is_strict, own, other, array_agg(id) AS ids
    FROM here
    WHERE found = 0 AND rejected_id = 0
    GROUP BY merchant_id, name, is_strict, own, other
),

stored AS (
    SELECT
        w.merchant_id, w.is_strict, w.own, w.other, w.ids,
        ARRAY[p.live_count, p.test_count] AS found, ARRAY[p.live_id, p.test_id] AS payment_id
    FROM wanted AS w
    CROSS JOIN LATERAL (
        SELECT
            coalesce(
                nullif(
                    count(*) FILTER (
                        WHERE NOT p.gate_id = ANY(%(test_gates)s) AND p.state <> 'declined'
                    ), 0
                ),
                count(*) FILTER (WHERE NOT p.gate_id = ANY(%(test_gates)s))
            ) AS live_count,
            coalesce(
                nullif(
                    count(*) FILTER (
                        WHERE p.gate_id = ANY(%(test_gates)s) AND p.state <> 'declined'
                    ), 0
                ),
                count(*) FILTER (WHERE p.gate_id = ANY(%(test_gates)s))
            ) AS test_count,
            coalesce(
                max(e.id) FILTER (
                    WHERE NOT p.gate_id = ANY(%(test_gates)s) AND p.state <> 'declined'
                ),
                max(e.id) FILTER (WHERE NOT p.gate_id = ANY(%(test_gates)s))
            ) AS live_id,
            coalesce(
                max(e.id) FILTER (WHERE p.gate_id = ANY(%(test_gates)s) AND p.state <> 'declined'),
                max(e.id) FILTER (WHERE p.gate_id = ANY(%(test_gates)s))
            ) AS test_id
        FROM operation AS e
        INNER JOIN payment AS p ON e.merchant_id = p.merchant_id AND e.id = p.id
        WHERE e.merchant_id = w.merchant_id AND e.reference = w.name AND e.accepted
    ) AS p
),

elsewhere AS (
    SELECT
        merchant_id, unnest(ids) AS id, found[place] AS found, payment_id[place] AS payment_id
    FROM (
        SELECT *, CASE WHEN is_strict OR found[own] > 0 THEN own ELSE other END AS place
        FROM stored
    ) AS placed
)

INSERT INTO operation_subject (merchant_id, operation_id, batch_id, payment_id, reason)
SELECT
    merchant_id, id AS operation_id, %(batch_id)s::bigint,
    CASE WHEN found = 1 AND maker_id > rejected_id THEN maker_id END,
    CASE
        WHEN found > 1 THEN 'reference_ambiguous'
        WHEN found = 0 OR maker_id < rejected_id THEN 'reference_rejected'
    END
FROM here WHERE found > 0 OR rejected_id > 0
UNION ALL
SELECT
    merchant_id, id AS operation_id, %(batch_id)s::bigint,
    CASE WHEN found = 1 THEN payment_id END,
    CASE WHEN found > 1 THEN 'reference_ambiguous' WHEN found = 0 THEN 'payment_unknown' END
FROM elsewhere;

-- name: order_subjects
-- Gives every row whose payment occurs more than once in the file, and the row that makes that
-- payment, to an ordered chunk: one payment in one chunk, a chunk of about chunk_rows rows. A
-- payment that a row makes from an earlier one goes with that one (its root). Rows of kinds in_line
-- stay where they are: their phases keep their order, and they leave payments as they are.
WITH RECURSIVE act AS (
    SELECT o.merchant_id, o.id, coalesce(o.payment_id, s.payment_id) AS payment_id
    FROM operation AS o
    LEFT JOIN operation_subject AS s
        ON o.merchant_id = s.merchant_id AND o.id = s.operation_id AND s.batch_id = %(batch_id)s
    WHERE
        o.merchant_id = ANY(%(merchant_ids)s)
        AND o.id BETWEEN %(first_id)s AND %(last_id)s
        AND o.accepted AND coalesce(o.payment_id, s.payment_id) IS NOT NULL
        AND NOT o.kind = ANY(%(in_line)s)
),

tie AS (
    SELECT a.merchant_id, a.id AS payment_id, a.payment_id AS source_id
    FROM act AS a
    WHERE EXISTS (
        SELECT 1 FROM act AS f WHERE f.merchant_id = a.merchant_id AND f.payment_id = a.id
    )
),

climb AS (
    SELECT merchant_id, payment_id, source_id FROM tie
    UNION ALL
    SELECT c.merchant_id, c.payment_id, t.source_id
    FROM climb AS c
    INNER JOIN tie AS t ON c.merchant_id = t.merchant_id AND c.source_id = t.payment_id
),

root AS (
    SELECT merchant_id, payment_id, min(source_id) AS root_id
    FROM climb GROUP BY merchant_id, payment_id
),

member AS (
    SELECT a.merchant_id, a.id, a.payment_id, coalesce(r.root_id, a.payment_id) AS root_id
    FROM act AS a
    LEFT JOIN root AS r ON a.merchant_id = r.merchant_id AND a.payment_id = r.payment_id
),

busy AS (
    SELECT merchant_id, root_id, count(*) AS acts
    FROM member
    GROUP BY merchant_id, root_id
    HAVING count(*) > 1 OR root_id BETWEEN %(first_id)s AND %(last_id)s
),

placed AS (
    SELECT
        merchant_id, root_id,
        %(first_chunk)s
        + (sum(acts) OVER (ORDER BY merchant_id, root_id) - acts) / %(chunk_rows)s AS place
    FROM busy
),

numbered AS (
    SELECT merchant_id, root_id, floor(place)::integer AS chunk_number FROM placed
)

INSERT INTO operation_subject (merchant_id, operation_id, batch_id, payment_id, chunk_number)
SELECT m.merchant_id, m.id, %(batch_id)s::bigint, m.payment_id, n.chunk_number
FROM member AS m
INNER JOIN numbered AS n ON m.merchant_id = n.merchant_id AND m.root_id = n.root_id
UNION ALL
SELECT
    n.merchant_id, n.root_id AS operation_id, %(batch_id)s::bigint, n.root_id, n.chunk_number
FROM numbered AS n
WHERE n.root_id BETWEEN %(first_id)s AND %(last_id)s
ON CONFLICT (merchant_id, operation_id) DO UPDATE SET chunk_number = excluded.chunk_number;

-- name: part_ordered
-- Cuts the ordered chunks at the ids with which phases begin. Parts of one have numbers in a row.
WITH part AS (
    SELECT
        merchant_id, operation_id,
        dense_rank() OVER (
            ORDER BY chunk_number, width_bucket(operation_id, %(start_ids)s::bigint [])
        ) - 1 + %(first_chunk)s AS number
    FROM operation_subject
    WHERE batch_id = %(batch_id)s AND chunk_number IS NOT NULL
)

UPDATE operation_subject AS s SET chunk_number = p.number
FROM part AS p
WHERE s.merchant_id = p.merchant_id AND s.operation_id = p.operation_id;

-- name: ordered_chunks
-- The ordered chunks that were made, with their rows, merchants and first row.
SELECT
    chunk_number, count(*) AS row_count, min(operation_id) AS first_id,
    array_agg(DISTINCT merchant_id) AS merchant_ids
FROM operation_subject
WHERE batch_id = %(batch_id)s AND chunk_number IS NOT NULL
GROUP BY chunk_number ORDER BY chunk_number;

-- name: payments_of_references
-- How many payments each of these references has, and the newest of them: live, then test. Declined
-- ones count only where there is no other.
COPY (
    SELECT
        merchant_id, reference,
        coalesce(
            nullif(count(*) FILTER (WHERE NOT is_test AND is_good), 0),
            count(*) FILTER (WHERE NOT is_test)
        ),
        coalesce(
            max(id) FILTER (WHERE NOT is_test AND is_good), max(id) FILTER (WHERE NOT is_test)
        ),
        coalesce(
            nullif(count(*) FILTER (WHERE is_test AND is_good), 0), count(*) FILTER (WHERE is_test)
        ),
        coalesce(max(id) FILTER (WHERE is_test AND is_good), max(id) FILTER (WHERE is_test))
    FROM (
        SELECT
            w.merchant_id, w.reference, e.id, p.gate_id = ANY(%(test_gates)s) AS is_test,
            p.state <> 'declined' AS is_good
        FROM
            unnest(%(merchant_ids)s::integer [], %(references)s::text [])
                AS w (merchant_id, reference)
        INNER JOIN operation AS e ON w.merchant_id = e.merchant_id AND w.reference = e.reference
        INNER JOIN payment AS p ON e.merchant_id = p.merchant_id AND e.id = p.id
        WHERE e.accepted
    ) AS m
    GROUP BY merchant_id, reference
) TO STDOUT (FORMAT csv);
