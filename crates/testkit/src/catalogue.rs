//! The tenancy rules, checked on the live catalogue.

use crate::TestApp;

/// Asserts that every table of the schema public belongs to tenants: `tenant_id` leads its primary key, its unique
/// indexes and its foreign keys, and row-level security is forced. `except` names tables that are no tenant's.
///
/// # Panics
/// With the list of offenders.
pub async fn assert_tenant_tables<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    except: &[&str],
) {
    let rows = app
        .admin()
        .await
        .query(
            "with t as (
               select c.oid, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
                 and c.relname <> '__diesel_schema_migrations' and c.relname <> all ($1))
             select t.relname || ': row-level security is not forced' from t join pg_class c using (oid)
               where not (c.relrowsecurity and c.relforcerowsecurity)
             union all
             select t.relname || ': no policy' from t
               where not exists (select 1 from pg_policy p where p.polrelid = t.oid)
             union all
             select t.relname || ': no primary key' from t
               where not exists (select 1 from pg_index i where i.indrelid = t.oid and i.indisprimary)
             union all
             select t.relname || ': ' || i.indexrelid::regclass || ' does not begin with tenant_id' from t
               join pg_index i on i.indrelid = t.oid and i.indisunique
               left join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
               where a.attname is distinct from 'tenant_id'
             union all
             select t.relname || ': foreign key ' || f.conname || ' does not begin with tenant_id' from t
               join pg_constraint f on f.conrelid = t.oid and f.contype = 'f'
               join pg_attribute a on a.attrelid = t.oid and a.attnum = f.conkey[1]
               where a.attname <> 'tenant_id'
             union all
             select t.relname || '.' || a.attname || ': numeric takes NaN' from t
               join pg_attribute a on a.attrelid = t.oid and a.atttypid = 'numeric'::regtype and a.attnum > 0
               where not exists (select 1 from pg_constraint k where k.conrelid = t.oid and k.contype = 'c'
                 and a.attnum = any (k.conkey) and pg_get_constraintdef(k.oid) like '%NaN%')",
            &[&except],
        )
        .await
        .expect("catalogue");
    let offenders: Vec<String> = rows.into_iter().map(|r| r.get(0)).collect();
    assert!(offenders.is_empty(), "{offenders:#?}");
}

/// Asserts that every table whose rows name a branch, or a place, a till, a session or an invoice of one, is cut to the
/// branches of whoever asks. `whole` names those that are not, and why. The last three count where the service has them.
///
/// # Panics
/// With the list of offenders, and of what is in `whole` for nothing.
pub async fn assert_branch_tables<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    whole: &[(&str, &str)],
) {
    let names: Vec<_> = whole.iter().map(|(table, _)| *table).collect();
    let rows = app
        .admin()
        .await
        .query(
            "with named as (
               select c.oid, c.relname, a.attname, a.attname ~ '^(branch_id|(from_|to_)?location(_id)?)$' as itself
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
               where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
                 and a.attname ~ '^(branch_id|(from_|to_)?location(_id)?|(till|session|invoice)_id)$'
                 and a.atttypid = 'uuid'::regtype),
             -- What leads to a branch is the key of a table that names one.
             ways as (
               select a.attname from named b join pg_index i on i.indrelid = b.oid and i.indisprimary and i.indnkeyatts = 2
               join pg_attribute a on a.attrelid = b.oid and a.attnum = i.indkey[1]
               where b.itself),
             t as (
               select distinct oid, relname,
                      exists (select 1 from pg_policy p where p.polrelid = named.oid and not p.polpermissive
                                 and p.polname in ('branch', 'branch_shown')) as cut
               from named where itself or attname in (select attname from ways))
             select relname || ': shows other branches' from t where not cut and relname <> all ($1)
             union all
             select w || ': is cut to branches, or names none' from unnest($1) as w
               where not exists (select 1 from t where relname = w and not cut)",
            &[&names],
        )
        .await
        .expect("catalogue");
    let offenders: Vec<String> = rows.into_iter().map(|r| r.get(0)).collect();
    assert!(offenders.is_empty(), "{offenders:#?}");
}
