-- name: answer
-- The shortest question there is: a server that answers it is up.
SELECT 1;

-- name: find_database
-- Whether the server has a database of this name.
SELECT FROM pg_database WHERE datname = %(name)s;

-- name: create_database
-- Makes the engine's database; its name is a constant, because a statement takes none as a value.
CREATE DATABASE paybatch;
