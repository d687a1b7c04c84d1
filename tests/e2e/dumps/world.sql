-- What pg_dump's text leaves out: rows, the values of sequences, large objects, and who owns the extensions.
\pset tuples_only on
SET search_path = '';
SELECT 'extension', extname, extversion, extowner::regrole, (SELECT array_agg(refobjid::regrole) FROM pg_shdepend
    WHERE classid = 'pg_extension'::regclass AND objid = e.oid AND dbid = d.oid)
  FROM pg_extension e, pg_database d WHERE datname = current_database() ORDER BY extname;
SELECT format('SELECT %L, count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM %s t', oid::regclass, oid::regclass)
  FROM pg_class WHERE relkind IN ('r', 'm') AND relispopulated AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
   AND relnamespace::regnamespace::text !~ '^pg_toast' ORDER BY oid::regclass::text COLLATE "C" \gexec
SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2;
SELECT oid, lomowner::regrole, lomacl, md5(lo_get(oid)), obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata ORDER BY oid;
SELECT parname, paracl FROM pg_parameter_acl ORDER BY 1;
SELECT datname, datdba::regrole, datacl, datconnlimit, datcollate FROM pg_database ORDER BY 1;
