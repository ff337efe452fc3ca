-- Makes the database and its two roles. Once, as an administrator of the server:
--     psql --host db.example --username postgres --file deploy/roles.sql
-- then give both a password: \password paybatch_owner  and  \password paybatch

-- Owns the tables; only `paybatch migrate` uses it.
CREATE ROLE paybatch_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
-- Reads and writes rows; every worker and every other command uses it.
CREATE ROLE paybatch LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;

CREATE DATABASE paybatch OWNER paybatch_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE ALL ON DATABASE paybatch FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE paybatch TO paybatch;

\connect paybatch
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO paybatch_owner;
GRANT USAGE ON SCHEMA public TO paybatch;

-- What paybatch_owner makes, now and in later releases.
ALTER DEFAULT PRIVILEGES FOR ROLE paybatch_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE paybatch_owner IN SCHEMA public
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO paybatch;
ALTER DEFAULT PRIVILEGES FOR ROLE paybatch_owner IN SCHEMA public
GRANT USAGE ON SEQUENCES TO paybatch;
ALTER DEFAULT PRIVILEGES FOR ROLE paybatch_owner IN SCHEMA public
GRANT EXECUTE ON FUNCTIONS TO paybatch;
