-- name: insert_document
-- Notes a document before its blob is written: whoever is killed then, it is found by the sweep.
INSERT INTO document (batch_id, number, name, byte_count, wrapped_key, created_at)
VALUES (
    %(batch_id)s, %(number)s, %(name)s, %(byte_count)s, %(wrapped_key)s, %(created_at)s
);

-- name: documents_of
-- The documents that were handed in with a batch.
SELECT number, name, byte_count, wrapped_key FROM document
WHERE batch_id = %(batch_id)s
ORDER BY number;

-- name: orphans
-- Documents of batches that came to nothing: their numbers, noted before a time.
SELECT d.batch_id, d.number FROM document AS d
LEFT JOIN batch AS b ON d.batch_id = b.id
WHERE b.state = 'refused' OR (b.id IS NULL AND d.created_at < %(before)s);

-- name: drop_document
-- Forgets a document whose blob is deleted.
DELETE FROM document WHERE batch_id = %(batch_id)s AND number = %(number)s;
