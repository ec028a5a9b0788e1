"""Storage: the database (SQLite or Postgres) and the spool on disk; the only importer of sqlalchemy."""
