//! Checks of single fields, for `#[garde(custom(...))]`.

use bahi_types::Fixed;
use serde::{Deserialize, Deserializer};

/// Greater than zero.
///
/// # Errors
/// When it is not.
pub fn positive<const S: u32>(value: &Fixed<S>, (): &()) -> garde::Result {
    if value.is_positive() {
        Ok(())
    } else {
        Err(garde::Error::new("must be greater than zero"))
    }
}

/// Zero or more.
///
/// # Errors
/// When it is negative.
pub fn non_negative<const S: u32>(value: &Fixed<S>, (): &()) -> garde::Result {
    if value.is_negative() {
        Err(garde::Error::new("must not be negative"))
    } else {
        Ok(())
    }
}

/// A percentage, 0 to 100.
///
/// # Errors
/// When it is outside.
pub fn percent<const S: u32>(value: &Fixed<S>, (): &()) -> garde::Result {
    if value.is_negative() || *value > Fixed::from(100) {
        return Err(garde::Error::new("must be between 0 and 100"));
    }
    Ok(())
}

/// The same check for a field that may be absent.
pub fn optional<T>(
    check: impl Fn(&T, &()) -> garde::Result,
) -> impl Fn(&Option<T>, &()) -> garde::Result {
    move |value, ctx| value.as_ref().map_or(Ok(()), |v| check(v, ctx))
}

/// A name or other short line: not blank, no leading or trailing space, no control characters, at most 200
/// characters.
///
/// # Errors
/// What is wrong with it.
pub fn line(value: &str, (): &()) -> garde::Result {
    let wrong = if value.trim().is_empty() {
        "must not be blank"
    } else if value.trim() != value {
        "must not begin or end with a space"
    } else if value.chars().any(char::is_control) {
        "must not contain control characters"
    } else if value.chars().count() > 200 {
        "must have at most 200 characters"
    } else {
        return Ok(());
    };
    Err(garde::Error::new(wrong))
}
/// Tells `null` from nothing: for `#[serde(default, deserialize_with = "validate::said")]` on an `Option<Option<_>>`.
///
/// # Errors
/// When the value is not what it should be.
pub fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
