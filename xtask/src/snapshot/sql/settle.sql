-- What no dump holds, into the restored copy: :'facts' of the database that was dumped.
BEGIN;
CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
  SELECT e.oid, quote_ident(value)::regrole::oid AS owner
    FROM jsonb_each_text(:'facts'::jsonb->'extensions') JOIN pg_catalog.pg_extension e ON extname = key
   WHERE extowner <> quote_ident(value)::regrole::oid;
-- PostgreSQL has no ALTER EXTENSION … OWNER TO. These three statements write what it notes of an extension that this owner made:
-- the owner and, except for the bootstrap superuser (10), the dependency on the role.
UPDATE pg_catalog.pg_extension e SET extowner = owner FROM wanted WHERE e.oid = wanted.oid;
DELETE FROM pg_catalog.pg_shdepend USING wanted
 WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND classid = 'pg_catalog.pg_extension'::regclass AND objid = wanted.oid AND deptype = 'o';
INSERT INTO pg_catalog.pg_shdepend (dbid, classid, objid, objsubid, refclassid, refobjid, deptype)
  SELECT d.oid, 'pg_catalog.pg_extension'::regclass, wanted.oid, 0, 'pg_catalog.pg_authid'::regclass, owner, 'o'
    FROM wanted, pg_catalog.pg_database d WHERE datname = current_database() AND owner <> 10;
-- A new database has these; the one that was dumped may have lost them.
SELECT format('DROP EXTENSION %I', extname) FROM pg_catalog.pg_extension
 WHERE (:'facts'::jsonb->>'exact')::boolean AND NOT :'facts'::jsonb->'extensions' ? extname \gexec
SELECT 'DROP SCHEMA public' FROM pg_catalog.pg_namespace
 WHERE nspname = 'public' AND NOT (:'facts'::jsonb->>'public')::boolean \gexec
COMMIT;
