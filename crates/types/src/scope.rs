//! Which branches somebody works for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::BranchId;

/// The branches that somebody's rights are good at: all of them, or those that are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Vec<BranchId>>", into = "Option<Vec<BranchId>>")]
pub struct Scope(Option<Arc<[BranchId]>>);

impl Scope {
    /// The branches named; all of them for `None`.
    pub fn new(branches: Option<Vec<BranchId>>) -> Self {
        Self(branches.map(|mut branches| {
            branches.sort();
            branches.dedup();
            branches.into()
        }))
    }

    /// The branches, in order and once each, where not all are meant.
    pub fn branches(&self) -> Option<&[BranchId]> {
        self.0.as_deref()
    }

    /// Whether all branches are meant, also those to come.
    pub fn is_whole(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a branch belongs to it.
    pub fn has(&self, branch: BranchId) -> bool {
        self.branches().is_none_or(|own| own.contains(&branch))
    }

    /// Whether all of `other` belongs to it.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.branches(), other.branches()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other.iter().all(|branch| own.contains(branch)),
        }
    }
}

impl From<Option<Vec<BranchId>>> for Scope {
    fn from(branches: Option<Vec<BranchId>>) -> Self {
        Self::new(branches)
    }
}

impl From<Scope> for Option<Vec<BranchId>> {
    fn from(scope: Scope) -> Self {
        scope.branches().map(<[_]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_does_not_cover_the_whole() {
        let (a, b, c) = (BranchId::new(), BranchId::new(), BranchId::new());
        let whole = Scope::default();
        let two = Scope::new(Some(vec![b, a, b]));
        let one = Scope::new(Some(vec![a]));
        let none = Scope::new(Some(Vec::new()));
        assert_eq!(two.branches().map(<[_]>::len), Some(2));
        assert!(whole.has(c) && two.has(b) && !one.has(b) && !none.has(a));
        assert!(
            whole.covers(&two) && whole.covers(&whole) && two.covers(&one) && one.covers(&none)
        );
        assert!(!two.covers(&whole) && !one.covers(&two) && !none.covers(&one));
    }

    #[test]
    fn all_branches_are_said_by_saying_nothing() {
        let one = Scope::new(Some(vec![BranchId::new()]));
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), one);
        assert_eq!(serde_json::to_string(&Scope::default()).unwrap(), "null");
    }
}
