//! Looking up what a basket's prices depend on. It reads only.

use bahi_db::{Result, Tx};
use bahi_pricing::Rules;
use bahi_types::CustomerId;
use uuid::Uuid;

use super::Market;
use crate::{
    catalogue::{self, Goods},
    price_list::{self, Asked},
    promotion,
};

/// The rules that may concern a basket. Its statements go out with the reader's others, in one round trip; what lies
/// above the goods' categories is for [`Market::classify`], and only where a promotion names categories.
pub(crate) async fn look(
    tx: &Tx,
    products: &[Uuid],
    asked: &Asked,
    codes: &[String],
    customer: Option<CustomerId>,
) -> Result<Market> {
    let (offers, promotions, coupons) = futures::try_join!(
        price_list::offers(tx, products, asked),
        promotion::active(tx, codes, asked),
        promotion::coupons_by_code(tx, codes, customer),
    )?;
    let names = promotions.iter().map(|(p, name)| (p.id, name.clone()));
    Ok(Market {
        date: asked.date,
        branch: None,
        customer_group: asked.customer_group,
        customer,
        codes: codes.to_vec(),
        names: names.collect(),
        rules: Rules {
            offers,
            promotions: promotions.into_iter().map(|(p, _)| p).collect(),
            coupons,
        },
        ..Market::default()
    })
}

impl Market {
    /// Looks up what lies above the categories of the goods, where a promotion asks for it.
    pub(crate) async fn classify(&mut self, tx: &Tx, goods: &[Goods]) -> Result<()> {
        if !self.names_categories() {
            return Ok(());
        }
        let mut ids: Vec<Uuid> = goods
            .iter()
            .filter_map(|g| g.category_id.map(|id| id.uuid()))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            self.categories = catalogue::with_all_above(tx, &ids).await?;
        }
        Ok(())
    }
}
