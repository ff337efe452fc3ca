-- name: read_paces
-- Buckets by their names.
SELECT
    name, per_second, tokens, filled_at, slowed_per_second, slowed_at, slowed_from_per_second,
    held_until
FROM pace WHERE name = ANY(%(names)s) ORDER BY name;

-- name: make_pace
-- Makes a bucket, full, and notes what its rate is meant to be now.
INSERT INTO pace (name, per_second, tokens, filled_at)
VALUES (%(name)s, %(per_second)s, %(tokens)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET per_second = excluded.per_second;

-- name: lock_paces
-- Locks buckets in the order of their names, so that two workers never wait for each other.
SELECT
    name, per_second, tokens, filled_at, slowed_per_second, slowed_at, slowed_from_per_second,
    held_until
FROM pace WHERE name = ANY(%(names)s) ORDER BY name FOR UPDATE;

-- name: save_pace
-- What is left in a bucket that is locked.
UPDATE pace SET
    tokens = %(tokens)s, filled_at = %(filled_at)s, slowed_per_second = %(slowed_per_second)s,
    slowed_at = %(slowed_at)s, slowed_from_per_second = %(slowed_from_per_second)s,
    held_until = %(held_until)s
WHERE name = %(name)s;
