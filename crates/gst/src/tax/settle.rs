//! Settlement: how much tax each line carries, so that lines, rates and document agree to the paisa.

use std::collections::BTreeMap;

use super::{
    Levy, Pricing,
    working::{WHOLE, Working},
};
use crate::{
    apportion::largest_remainder,
    paise::{NumberError, div_round, mul_div, sum},
};

/// Fills in the amounts of every line.
pub(super) fn settle(lines: &mut [Working], levy: Levy) -> Result<(), NumberError> {
    for line in lines.iter_mut() {
        line.amounts.taxable = line.net();
    }
    if levy == Levy::NotCharged {
        return Ok(());
    }
    for line in lines
        .iter_mut()
        .filter(|line| line.pricing == Pricing::Inclusive)
    {
        split_inclusive(line, levy)?;
    }
    settle_exclusive(lines, levy)
}

/// Takes the taxes out of a price that includes them. The taxable value is what they leave, so the
/// price stays exact; computed by itself it would make 299.01 of a price of 299.00 at 18 %.
fn split_inclusive(line: &mut Working, levy: Levy) -> Result<(), NumberError> {
    let price = line.net();
    let with_tax = WHOLE + line.rate + line.cess;
    let inside = |rate, parts: i128| mul_div(price.into(), rate, with_tax * parts);
    let amounts = &mut line.amounts;
    if levy == Levy::Intra {
        amounts.cgst = inside(line.rate, 2)?;
        amounts.sgst = amounts.cgst;
    } else {
        amounts.igst = inside(line.rate, 1)?;
    }
    amounts.cess = inside(line.cess, 1)?;
    let taxes = sum([amounts.cgst, amounts.sgst, amounts.igst, amounts.cess])?;
    amounts.taxable = price - taxes;
    Ok(())
}

/// Settles the lines priced without tax once per rate, and their cess once per rate and cess.
fn settle_exclusive(lines: &mut [Working], levy: Levy) -> Result<(), NumberError> {
    let parts = if levy == Levy::Intra { 2 } else { 1 };
    for group in exclusive_groups(lines, |line| line.rate).into_values() {
        let taxes = settle_group(lines, &group, |line| line.rate, WHOLE * parts)?;
        for (place, tax) in group.into_iter().zip(taxes) {
            let amounts = &mut lines[place].amounts;
            if levy == Levy::Intra {
                (amounts.cgst, amounts.sgst) = (tax, tax);
            } else {
                amounts.igst = tax;
            }
        }
    }
    for group in exclusive_groups(lines, |line| (line.rate, line.cess)).into_values() {
        let taxes = settle_group(lines, &group, |line| line.cess, WHOLE)?;
        for (place, tax) in group.into_iter().zip(taxes) {
            lines[place].amounts.cess = tax;
        }
    }
    Ok(())
}

/// Places of the lines priced without tax, by `key`.
fn exclusive_groups<K: Ord>(
    lines: &[Working],
    key: impl Fn(&Working) -> K,
) -> BTreeMap<K, Vec<usize>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        if line.pricing == Pricing::Exclusive {
            groups.entry(key(line)).or_default().push(place);
        }
    }
    groups
}

/// The tax of each line of a group: the tax on all of it, rounded once, by largest remainder.
fn settle_group(
    lines: &[Working],
    group: &[usize],
    rate: impl Fn(&Working) -> i128,
    divisor: i128,
) -> Result<Vec<i64>, NumberError> {
    let quota = |place: &usize| i128::from(lines[*place].amounts.taxable) * rate(&lines[*place]);
    let quotas: Vec<i128> = group.iter().map(quota).collect();
    let tax = div_round(quotas.iter().sum(), divisor)?;
    largest_remainder(&quotas, divisor, tax)
}
