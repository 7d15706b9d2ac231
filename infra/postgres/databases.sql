-- Generated from deploy/services.toml by `cargo run -p bahi-register -- write`.
-- Wants roles.sql first. Runs any number of times.
\set ON_ERROR_STOP on

SELECT 'CREATE DATABASE bahi_identity OWNER bahi_identity_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bahi_identity') \gexec
REVOKE ALL ON DATABASE bahi_identity FROM PUBLIC;
GRANT CONNECT ON DATABASE bahi_identity TO bahi_identity_app, bahi_relay;

SELECT 'CREATE DATABASE bahi_product OWNER bahi_product_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bahi_product') \gexec
REVOKE ALL ON DATABASE bahi_product FROM PUBLIC;
GRANT CONNECT ON DATABASE bahi_product TO bahi_product_app, bahi_relay;

SELECT 'CREATE DATABASE bahi_inventory OWNER bahi_inventory_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bahi_inventory') \gexec
REVOKE ALL ON DATABASE bahi_inventory FROM PUBLIC;
GRANT CONNECT ON DATABASE bahi_inventory TO bahi_inventory_app, bahi_relay;

SELECT 'CREATE DATABASE bahi_sales OWNER bahi_sales_owner' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bahi_sales') \gexec
REVOKE ALL ON DATABASE bahi_sales FROM PUBLIC;
GRANT CONNECT ON DATABASE bahi_sales TO bahi_sales_app, bahi_relay;
