//! What is aimed at, beside what was found: a run fails where less than half of it was reached.

/// Which way is better.
#[derive(Clone, Copy)]
pub enum Aim {
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
}

/// An aim and what was found.
pub struct Goal {
    name: String,
    aim: Aim,
    found: f64,
}

/// What was reached of all.
#[derive(Default)]
pub struct Goals(Vec<Goal>);

impl Goals {
    /// Notes what was found.
    pub fn note(&mut self, name: impl Into<String>, aim: Aim, found: f64) {
        let name = name.into();
        self.0.push(Goal { name, aim, found });
    }

    /// Prints all; false when less than half of one was reached.
    pub fn print(&self) -> bool {
        println!("\n{:52} {:>10} {:>10}", "", "aim", "found");
        for goal in &self.0 {
            let (sign, aim) = match goal.aim {
                Aim::Most(most) => ("<=", most),
                Aim::Least(least) => (">=", least),
            };
            let word = match (goal.reached(), goal.half()) {
                (true, _) => "",
                (false, true) => "missed",
                (false, false) => "MISSED BY MORE THAN HALF",
            };
            let name = &goal.name;
            println!("{name:52} {sign} {aim:>7.2} {:>10.2} {word}", goal.found);
        }
        self.0.iter().all(Goal::half)
    }
}

impl Goal {
    fn reached(&self) -> bool {
        match self.aim {
            Aim::Most(most) => self.found <= most,
            Aim::Least(least) => self.found >= least,
        }
    }

    #[allow(clippy::float_arithmetic)] // ratios, not money
    fn half(&self) -> bool {
        match self.aim {
            Aim::Most(most) => self.found <= most * 2.0,
            Aim::Least(least) => self.found >= least / 2.0,
        }
    }
}

/// The middle one; of an even number the upper one of the two in the middle. Not a number where there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The least one.
pub fn least(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_fails_below_half_of_an_aim_and_not_before() {
        let run = |aim, found| {
            let mut goals = Goals::default();
            goals.note("a", Aim::Most(1.0), 0.5);
            goals.note("b", aim, found);
            goals.print()
        };
        assert!(run(Aim::Most(1.5), 1.4) && run(Aim::Most(1.5), 3.0));
        assert!(!run(Aim::Most(1.5), 3.1) && !run(Aim::Most(1.5), f64::NAN));
        assert!(run(Aim::Least(0.7), 0.8) && run(Aim::Least(0.7), 0.35));
        assert!(!run(Aim::Least(0.7), 0.34) && !run(Aim::Least(0.7), f64::NAN));
    }

    #[test]
    fn the_middle_and_the_least() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert!(median([]).is_nan());
        assert_eq!(least([3.0, 1.0, 2.0]), 1.0);
    }
}
