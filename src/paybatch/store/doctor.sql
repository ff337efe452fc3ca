-- name: settings
-- What the server says of itself; a setting that it does not know is absent.
SELECT name, setting FROM pg_settings WHERE name = ANY(%(names)s);

-- name: bound
-- Which key set and blob store the database belongs with.
SELECT key_set_id, blob_store_id FROM installation;

-- name: room
-- The bytes of this database.
SELECT pg_database_size(current_database());

-- name: clock
-- What time the server has.
SELECT clock_timestamp();

-- name: connectors
-- The connectors that gates name.
SELECT DISTINCT connector FROM gate ORDER BY connector;
