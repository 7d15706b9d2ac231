//! The figures of all runs: printed as tables with their spread and the ratio to Debezium, and held against the aims.

use super::{contender::Contender, usage::OTHERS};

/// Above this the machine was not ours: in % of a core.
const DISTURBED: f64 = 20.0;

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// A throughput or a ratio of throughputs.
    More,
    /// A time, a share of the processor or a size.
    Less,
}

/// Figures under one name.
struct Line {
    scenario: &'static str,
    metric: String,
    who: &'static str,
    values: Vec<f64>,
}

/// A figure that is asked for.
struct Gate {
    what: String,
    value: f64,
    aim: f64,
    better: Better,
}

/// Everything that was measured.
#[derive(Default)]
pub struct Report {
    lines: Vec<Line>,
    gates: Vec<Gate>,
    faults: Vec<String>,
}

#[allow(clippy::float_arithmetic)] // figures, not money
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Three digits that matter.
fn text(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "-".into(),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl Report {
    /// Notes the figure of one run.
    pub fn note(&mut self, scenario: &'static str, metric: &str, who: &'static str, value: f64) {
        let same = |line: &&mut Line| {
            line.scenario == scenario && line.metric == metric && line.who == who
        };
        match self.lines.iter_mut().find(same) {
            Some(line) => line.values.push(value),
            None => self.lines.push(Line {
                scenario,
                metric: metric.to_owned(),
                who,
                values: vec![value],
            }),
        }
    }

    /// Notes what the oracle does not forgive.
    pub fn fault(&mut self, what: String) {
        eprintln!("FAULT: {what}");
        self.faults.push(what);
    }

    /// The median of the runs; none when it was not measured.
    pub fn median(&self, scenario: &str, metric: &str, who: Contender) -> Option<f64> {
        self.lines
            .iter()
            .find(|line| {
                line.scenario == scenario && line.metric == metric && line.who == who.name()
            })
            .map(|line| median(&line.values))
    }

    /// Asks for a figure; what was not measured is not asked for. It fails at half of the aim of a throughput and at twice
    /// that of anything else.
    pub fn ask(&mut self, what: &str, value: Option<f64>, better: Better, aim: f64) {
        if let Some(value) = value {
            self.gates.push(Gate {
                what: what.to_owned(),
                value,
                aim,
                better,
            });
        }
    }

    /// Prints the table of a scenario.
    pub fn print(&self, scenario: &str) {
        let lines: Vec<&Line> = self
            .lines
            .iter()
            .filter(|line| line.scenario == scenario)
            .collect();
        if lines.is_empty() {
            return;
        }
        let mut metrics: Vec<&str> = lines.iter().map(|line| line.metric.as_str()).collect();
        // In the order in which they were first noted.
        let mut known = std::collections::HashSet::new();
        metrics.retain(|metric| known.insert(*metric));
        println!(
            "\n## {scenario}\n{:<46} {:<18} {:>10} {:>10} {:>10} {:>8}  runs",
            "", "", "min", "median", "max", "x tuned"
        );
        for metric in metrics {
            let tuned = self.median(scenario, metric, Contender::Tuned);
            for line in lines.iter().filter(|line| line.metric == metric) {
                let middle = median(&line.values);
                let least = line.values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = line
                    .values
                    .iter()
                    .copied()
                    .fold(f64::NEG_INFINITY, f64::max);
                #[allow(clippy::float_arithmetic)] // a ratio, not money
                let ratio = tuned
                    .filter(|tuned| *tuned > 0.0)
                    .map_or_else(String::new, |tuned| text(middle / tuned));
                let runs: Vec<String> = line.values.iter().map(|value| text(*value)).collect();
                println!(
                    "{metric:<46} {:<18} {:>10} {:>10} {:>10} {ratio:>8}  {}",
                    line.who,
                    text(least),
                    text(middle),
                    text(most),
                    runs.join(" ")
                );
            }
        }
    }

    /// Prints the gates; false when one of them is not passed or the oracle found something.
    pub fn print_gates(&self) -> bool {
        println!(
            "\n## gates\n{:<64} {:>10} {:>10} {:>10}",
            "", "median", "aim", "floor"
        );
        let mut passed = self.faults.is_empty();
        for gate in &self.gates {
            let (floor, kept, reached) = gate.judge();
            passed &= kept;
            let sign = |more: &str, less: &str| {
                if gate.better == Better::More {
                    more
                } else {
                    less
                }
                .to_owned()
            };
            println!(
                "{:<64} {:>10} {:>10} {:>10}  {}{}",
                gate.what,
                text(gate.value),
                sign(">= ", "< ") + &text(gate.aim),
                sign(">= ", "< ") + &text(floor),
                if kept { "PASS" } else { "FAIL" },
                if reached { ", aim reached" } else { "" }
            );
        }
        for fault in &self.faults {
            println!("FAIL {fault}");
        }
        let others = self
            .lines
            .iter()
            .filter(|line| line.metric.ends_with(OTHERS))
            .flat_map(|line| line.values.iter().copied())
            .fold(0.0, f64::max);
        if others > DISTURBED {
            println!(
                "Others had up to {others:.0} % of a core of this machine while it was measured: the figures are not its own."
            );
        }
        passed
    }
}

impl Gate {
    /// The floor, whether it is kept, and whether the aim is reached.
    #[allow(clippy::float_arithmetic)] // figures, not money
    fn judge(&self) -> (f64, bool, bool) {
        match self.better {
            Better::More => {
                let floor = self.aim / 2.0;
                (floor, self.value >= floor, self.value >= self.aim)
            }
            Better::Less => {
                let floor = self.aim * 2.0;
                (floor, self.value < floor, self.value < self.aim)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(better: Better, aim: f64, values: &[f64]) -> bool {
        let mut report = Report::default();
        for value in values {
            report.note("drain", "events/s", Contender::Bahi.name(), *value);
        }
        let middle = report.median("drain", "events/s", Contender::Bahi);
        report.ask("it", middle, better, aim);
        report.print_gates()
    }

    #[test]
    fn a_floor_is_half_of_a_throughput_and_twice_a_time() {
        assert!(asked(Better::More, 200.0, &[100.0]));
        assert!(!asked(Better::More, 200.0, &[99.0]));
        assert!(asked(Better::Less, 6.0, &[11.9]));
        assert!(!asked(Better::Less, 6.0, &[12.0]));
    }

    #[test]
    fn the_median_of_the_runs_is_judged() {
        assert!(asked(Better::More, 200.0, &[10.0, 150.0, 900.0]));
        assert!(!asked(Better::More, 200.0, &[10.0, 90.0, 900.0]));
    }

    #[test]
    fn what_was_not_measured_is_not_asked_for_and_no_number_is_no_pass() {
        assert!(asked(Better::More, 200.0, &[]));
        assert!(!asked(Better::More, 200.0, &[f64::NAN]));
    }

    #[test]
    fn a_fault_of_the_oracle_fails_whatever_the_figures() {
        let mut report = Report::default();
        report.fault("1 lost".into());
        assert!(!report.print_gates());
    }
}
