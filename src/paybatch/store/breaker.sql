-- name: read_breaker
-- Where the breaker of a gate stands; none = it never opened.
SELECT state, trips, reason, opened_at, retry_at FROM breaker
WHERE merchant_id = %(merchant_id)s AND gate_id = %(gate_id)s;

-- name: open_breaker
-- Opens a breaker: nothing goes out until a time. One that is open already stays as it is. A row of
-- openings has the time of its first.
INSERT INTO breaker AS b (merchant_id, gate_id, state, trips, reason, opened_at, retry_at)
VALUES (%(merchant_id)s, %(gate_id)s, 'open', 1, %(reason)s, %(now)s, %(retry_at)s)
ON CONFLICT (merchant_id, gate_id) DO UPDATE
    SET
        state = 'open',
        trips = b.trips + 1,
        reason = excluded.reason,
        opened_at = CASE WHEN b.state = 'closed' THEN excluded.opened_at ELSE b.opened_at END,
        retry_at = excluded.retry_at
    WHERE b.state <> 'open' OR b.retry_at <= excluded.opened_at
RETURNING retry_at;

-- name: probe_breaker
-- Whose turn it is sends a few calls through an open breaker; others wait for what they tell.
UPDATE breaker SET state = 'probing', retry_at = %(until)s
WHERE
    merchant_id = %(merchant_id)s AND gate_id = %(gate_id)s
    AND state IN ('open', 'probing') AND retry_at <= %(now)s
RETURNING gate_id;

-- name: put_off_probe
-- Whose turn it was could send nothing: it is anybody's turn again at a time.
UPDATE breaker SET state = 'open', retry_at = %(retry_at)s
WHERE merchant_id = %(merchant_id)s AND gate_id = %(gate_id)s AND state = 'probing';

-- name: close_breaker
-- The processor takes calls again.
UPDATE breaker SET state = 'closed', trips = 0
WHERE merchant_id = %(merchant_id)s AND gate_id = %(gate_id)s AND state <> 'closed'
RETURNING gate_id;

-- name: hasten_breakers
-- Lets the open breakers of a sender's gates be probed at once.
UPDATE breaker AS b SET retry_at = %(now)s
FROM sender_merchant AS s
WHERE
    b.merchant_id = s.merchant_id AND s.sender_id = %(sender_id)s AND b.state = 'open'
    AND b.retry_at > %(now)s;

-- name: list_breakers
-- Every breaker that ever opened, with its gate.
SELECT m.name AS merchant, g.name AS gate, b.state, b.trips, b.reason, b.opened_at, b.retry_at
FROM breaker AS b
INNER JOIN merchant AS m ON b.merchant_id = m.id
INNER JOIN gate AS g ON b.merchant_id = g.merchant_id AND b.gate_id = g.id
ORDER BY m.name, g.name;
