-- Generated from deploy/services.toml by `cargo run -p bahi-register -- write`.
-- Passwords come from the environment of psql. Runs any number of times.
\set ON_ERROR_STOP on

\getenv password PG_PASSWORD_BAHI_RELAY
SELECT 'CREATE ROLE bahi_relay' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_relay') \gexec
ALTER ROLE bahi_relay LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
-- The relay watches for old transactions that hold back its windows.
GRANT pg_monitor TO bahi_relay;

\getenv password PG_PASSWORD_BAHI_IDENTITY_OWNER
SELECT 'CREATE ROLE bahi_identity_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_identity_owner') \gexec
ALTER ROLE bahi_identity_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';

\getenv password PG_PASSWORD_BAHI_IDENTITY_APP
SELECT 'CREATE ROLE bahi_identity_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_identity_app') \gexec
ALTER ROLE bahi_identity_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
ALTER ROLE bahi_identity_app SET statement_timeout = '2s';
ALTER ROLE bahi_identity_app SET lock_timeout = '1s';
ALTER ROLE bahi_identity_app SET idle_in_transaction_session_timeout = '5s';

\getenv password PG_PASSWORD_BAHI_PRODUCT_OWNER
SELECT 'CREATE ROLE bahi_product_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_product_owner') \gexec
ALTER ROLE bahi_product_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';

\getenv password PG_PASSWORD_BAHI_PRODUCT_APP
SELECT 'CREATE ROLE bahi_product_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_product_app') \gexec
ALTER ROLE bahi_product_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
ALTER ROLE bahi_product_app SET statement_timeout = '2s';
ALTER ROLE bahi_product_app SET lock_timeout = '1s';
ALTER ROLE bahi_product_app SET idle_in_transaction_session_timeout = '5s';

\getenv password PG_PASSWORD_BAHI_INVENTORY_OWNER
SELECT 'CREATE ROLE bahi_inventory_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_inventory_owner') \gexec
ALTER ROLE bahi_inventory_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';

\getenv password PG_PASSWORD_BAHI_INVENTORY_APP
SELECT 'CREATE ROLE bahi_inventory_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_inventory_app') \gexec
ALTER ROLE bahi_inventory_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
ALTER ROLE bahi_inventory_app SET statement_timeout = '2s';
ALTER ROLE bahi_inventory_app SET lock_timeout = '1s';
ALTER ROLE bahi_inventory_app SET idle_in_transaction_session_timeout = '5s';

\getenv password PG_PASSWORD_BAHI_SALES_OWNER
SELECT 'CREATE ROLE bahi_sales_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_sales_owner') \gexec
ALTER ROLE bahi_sales_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';

\getenv password PG_PASSWORD_BAHI_SALES_APP
SELECT 'CREATE ROLE bahi_sales_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bahi_sales_app') \gexec
ALTER ROLE bahi_sales_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
ALTER ROLE bahi_sales_app SET statement_timeout = '2s';
ALTER ROLE bahi_sales_app SET lock_timeout = '1s';
ALTER ROLE bahi_sales_app SET idle_in_transaction_session_timeout = '5s';
