//! Classes of products, and ages of stock.

use rust_decimal::Decimal;
use serde::Serialize;

/// Days after which goods of which nothing has left are dead stock, unless a request says otherwise.
pub const DEAD_DAYS: i32 = 90;

/// By value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) enum ByValue {
    /// The first 80 %.
    A,
    /// The next 15 %.
    B,
    /// The rest.
    C,
}

/// By steadiness of demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) enum BySteadiness {
    /// Coefficient of variation at most 0.5.
    X,
    /// At most 1.
    Y,
    /// Above, or no demand in any whole period.
    Z,
}

/// The class of a product before which products of `before` of the whole `total` come.
pub(super) fn by_value(before: Decimal, total: Decimal) -> ByValue {
    let hundredfold = before * Decimal::ONE_HUNDRED;
    if hundredfold < total * Decimal::from(80) {
        ByValue::A
    } else if hundredfold < total * Decimal::from(95) {
        ByValue::B
    } else {
        ByValue::C
    }
}

/// The class of a coefficient of variation; none where there was no demand.
pub(super) fn by_steadiness(variation: Option<Decimal>) -> BySteadiness {
    match variation {
        Some(cv) if cv <= Decimal::new(5, 1) => BySteadiness::X,
        Some(cv) if cv <= Decimal::ONE => BySteadiness::Y,
        _ => BySteadiness::Z,
    }
}

/// First and last day of each age, as the store's query cuts them.
pub(super) const AGES: [(i32, Option<i32>); 6] = [
    (0, Some(30)),
    (31, Some(60)),
    (61, Some(90)),
    (91, Some(180)),
    (181, Some(365)),
    (366, None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_begin_where_the_share_before_them_ends() {
        let d = |n: i64| Decimal::from(n);
        let classes: Vec<_> = [0, 79, 80, 94, 95, 100]
            .map(|n| by_value(d(n), d(100)))
            .to_vec();
        use ByValue::{A, B, C};
        assert_eq!(classes, [A, A, B, B, C, C]);
        assert_eq!(by_value(d(0), d(0)), C);
        use BySteadiness::{X, Y, Z};
        let steady = |t: Option<&str>| by_steadiness(t.map(|t| t.parse().unwrap()));
        assert_eq!(
            [Some("0.5"), Some("0.5001"), Some("1"), Some("1.1"), None].map(steady),
            [X, Y, Y, Z, Z]
        );
    }
}
