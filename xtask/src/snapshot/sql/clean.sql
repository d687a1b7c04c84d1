-- Removes what a run made beside the application's database, and ends what that run still does. Says whether the content was exchanged.
SELECT count(pg_catalog.pg_terminate_backend(pid, 5000)) AS ended
  FROM pg_catalog.pg_stat_get_activity(NULL) WHERE application_name = :'own' \gset
SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = :'replaced');
SELECT format('ALTER DATABASE %I IS_TEMPLATE false', datname)
  FROM pg_catalog.pg_database WHERE datname IN (:'scratch', :'replaced') AND datistemplate \gexec
DROP DATABASE IF EXISTS :"scratch" WITH (FORCE);
DROP DATABASE IF EXISTS :"replaced" WITH (FORCE);
