//! What identity holds of a tenant and of people.

use bahi_privacy::{Holdings, LeftOut};

const LOGIN: &str = "whoever has it could come in as somebody else";
const COPY: &str = "finds a tenant by what is exported with it";

/// What is in no archive.
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
};
