-- An empty database :"scratch" of the kind that :"live" is, for :"owner". What an earlier run left goes first.
SELECT format('ALTER DATABASE %I IS_TEMPLATE false', datname)
  FROM pg_catalog.pg_database WHERE datname IN (:'scratch', :'replaced') AND datistemplate \gexec
DROP DATABASE IF EXISTS :"scratch" WITH (FORCE);
DROP DATABASE IF EXISTS :"replaced" WITH (FORCE);
-- The names of the columns differ between versions: datlocale since 17, daticulocale before.
SELECT format('CREATE DATABASE %I TEMPLATE template0 OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L TABLESPACE %I',
              :'scratch', :'owner', pg_catalog.pg_encoding_to_char((d->>'encoding')::int), d->>'datcollate', d->>'datctype', tablespace)
    || CASE d->>'datlocprovider'
         WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', coalesce(d->>'datlocale', d->>'daticulocale'))
                    || coalesce(format(' ICU_RULES %L', d->>'daticurules'), '')
         WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', d->>'datlocale')
         ELSE ' LOCALE_PROVIDER libc' END
  FROM (SELECT to_jsonb(database) AS d, spcname AS tablespace
          FROM pg_catalog.pg_database database JOIN pg_catalog.pg_tablespace space ON space.oid = dattablespace
         WHERE datname = :'live') found \gexec
