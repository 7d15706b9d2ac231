//! What identity holds of a tenant and of people.

use bahi_events::SubjectKind::User;
use bahi_privacy::{Erase, Holdings, Keep, LeftOut};

const LOGIN: &str = "whoever has it could come in as somebody else";
const COPY: &str = "finds a tenant by what is exported with it";

const fn of(table: &'static str, by: &'static str) -> Erase {
    Erase {
        subject: User,
        table,
        by,
    }
}

/// What is in no archive, how a user is erased, and what stays: his id, and what he did under it.
pub const HOLDINGS: Holdings = Holdings {
    left_out: &[
        LeftOut::new("public.app_user.password_hash", LOGIN),
        LeftOut::new("public.pin.hash", LOGIN),
        LeftOut::new("public.mfa.sealed", LOGIN),
        LeftOut::new("public.recovery_code", LOGIN),
        LeftOut::new("public.refresh_token", LOGIN),
        LeftOut::new("public.ticket", LOGIN),
        LeftOut::new("public.oidc_login", LOGIN),
        LeftOut::new("public.api_key.hash", LOGIN),
        LeftOut::new("public.identity_provider.sealed", LOGIN),
        LeftOut::new(
            "public.attempt",
            "counts of wrong passwords under keys that nobody can read",
        ),
        LeftOut::new("directory.slug", COPY),
        LeftOut::new("directory.api_key", COPY),
    ],
    erases: &[
        of(
            "app_user",
            "update app_user set name = 'Erased', email = 'erased-' || id || '@erased.invalid', password_hash = null,
                    email_verified_at = null, status = 'disabled', version = version + 1
              where tenant_id = $1 and id = $2 and email <> 'erased-' || id || '@erased.invalid'",
        ),
        of(
            "refresh_token",
            "delete from refresh_token t using session s
              where s.tenant_id = $1 and s.user_id = $2 and t.tenant_id = s.tenant_id and t.session_id = s.id",
        ),
        of(
            "session",
            "update session set ip = null, user_agent = null, device = null
              where tenant_id = $1 and user_id = $2 and coalesce(ip, user_agent, device) is not null",
        ),
        of(
            "linked_identity",
            "delete from linked_identity where tenant_id = $1 and user_id = $2",
        ),
        of("mfa", "delete from mfa where tenant_id = $1 and user_id = $2"),
        of(
            "recovery_code",
            "delete from recovery_code where tenant_id = $1 and user_id = $2",
        ),
        of("pin", "delete from pin where tenant_id = $1 and user_id = $2"),
        of("ticket", "delete from ticket where tenant_id = $1 and user_id = $2"),
        of(
            "oidc_login",
            "delete from oidc_login where tenant_id = $1 and user_id = $2",
        ),
        of(
            "user_role",
            "delete from user_role where tenant_id = $1 and user_id = $2",
        ),
    ],
    keeps: &[Keep {
        subject: User,
        table: "audit",
        count: "select count(*) as rows, null::date as until from audit
                 where tenant_id = $1 and (actor_id = $2::text or object_id = $2::text) and $3 is not null",
        why: "who did what, under an id that names nobody any more: each record of the trail is sealed by the next, and an \
              accounting system must keep it (Companies (Accounts) Rules 2014 r.3(1))",
    }],
};
