-- What no dump holds: whose the extensions are, whether the schema public is there; and the size, in bytes.
SELECT json_build_object(
  'extensions', (SELECT coalesce(json_object_agg(extname, pg_catalog.pg_get_userbyid(extowner)), '{}') FROM pg_catalog.pg_extension),
  'public', EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public'),
  'size', pg_catalog.pg_database_size(current_database()));
